//! Owns a VMM whose device is a vhost-user process, and the run of its example. Never a device, and
//! never a ring.

#[path = "front.rs"]
mod front;
#[path = "memfd.rs"]
mod memfd;
#[path = "vm.rs"]
mod vm;
#[path = "whole_file.rs"]
mod whole_file;

use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::{Bus, Incoming};
use causeway_client::doorbell::Doorbells;
use causeway_client::vhost_user::{DoorError, FrontDoor, Kind};
use causeway_client::{Bound, Connection, Wait};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use causeway_virtio::DeviceId;
use causeway_virtio::device::{DeviceServer, Identity};
use causeway_virtio::msg::{Body, BusRequest, DeviceState};
use front::with_disk;
use memfd::Files;
use std::cell::RefCell;
use std::error::Error;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use vm::{Memory, Rest, VM_PAGES, Vm};
use whole_file::read_all;

/// The front end.
const DRIVER: EndpointId = EndpointId::from_raw(1);

/// A block device with one queue, and a configuration space as QEMU's has it.
const KIND: Kind = Kind {
    identity: Identity { device: DeviceId::BLOCK, vendor: 0, uuid: [0; 16] },
    queue_count: 1,
    config_len: 60,
    patience: Duration::from_secs(10),
};

/// VM 2: control messages go to the library's server, which asks and tells the process.
struct DoorVm<'c> {
    bus: Bus<'c>,
    doorbells: Doorbells<'c>,
    areas: Backend<'c, 4>,
    control: DeviceServer<FrontDoor<'c>, 1>,
}

impl<'c> DoorVm<'c> {
    fn open(
        vm: &Vm,
        connection: &'c Connection<'c>,
        mapper: &'c Memory,
        wait: &'c dyn Wait,
        stream: UnixStream,
    ) -> Result<Self, Box<dyn Error>> {
        let doorbells = Doorbells::new(connection);
        doorbells.bind(DRIVER)?;
        let control = DeviceServer::new(FrontDoor::open(stream, KIND, &Files)?);
        let bus = Bus::open(connection, vm.pages(2), wait, Bound::millis(100));
        let bus = bus.map_err(|failed| failed.error)?;
        bus.announce(0, DeviceState::Added)?;
        Ok(Self { bus, doorbells, areas: Backend::new(connection, mapper), control })
    }

    /// What this VM's loop does once.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let only_driver = |owner| if owner == DRIVER { Verdict::Accept } else { Verdict::Reject };
        self.areas.admit(|seen| only_driver(seen.owner))?;
        while let Some(incoming) = self.bus.receive()? {
            self.answer(&incoming)?;
        }
        if self.control.queue_config(0).is_none() {
            return Ok(());
        }
        self.control.model().kick();
        // The process works in real time, this platform does not.
        for _ in 0..100 {
            if self.control.model_mut().take_used()? {
                return Ok(self.doorbells.ring(DRIVER)?);
            }
            sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn answer(&mut self, incoming: &Incoming) -> Result<(), Box<dyn Error>> {
        self.before_memory_goes(&incoming.message.body)?;
        if let Some(response) = self.areas.answer(incoming) {
            return Ok(self.bus.respond(incoming, Body::BusResponse(response))?);
        }
        let answer = self.control.answer(&self.areas.memory(incoming.far), &incoming.message);
        FrontDoor::follow(&mut self.control, &self.areas, DRIVER)?;
        match (answer, &incoming.message.body) {
            (Some(answer), _) => self.bus.respond(incoming, answer.body)?,
            (None, Body::Request(request)) if !request.is_event() => self.bus.refuse(incoming)?,
            (None, _) => {}
        }
        Ok(())
    }

    /// The process lets go of memory before this VM does.
    fn before_memory_goes(&mut self, body: &Body) -> Result<(), DoorError> {
        let area = match body {
            Body::BusRequest(BusRequest::AreaUnshare { area }) => Some(*area),
            Body::BusRequest(BusRequest::Reset) => None,
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
                return Ok(());
            }
        };
        if area.is_none() {
            self.control.reset();
        }
        match self.control.model_mut().withdraw(area, &self.areas, DRIVER) {
            // The last area went, and the connection with it.
            Err(DoorError::Over) => Ok(()),
            other => other,
        }
    }
}

/// Connects, once somebody listens.
fn connect(socket: &Path) -> Result<UnixStream, Box<dyn Error>> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() > Duration::from_secs(10) => return Err(error.into()),
            Err(_) => sleep(Duration::from_millis(5)),
        }
    }
}

/// Has `file` served by the process at `socket`, to a front end that reads all of it and writes its
/// last sector.
pub(crate) fn run(
    socket: &Path,
    file: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(), Box<dyn Error>> {
    let setup = Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&Setup { memory: Some(memfd::memory), ..setup });
    let back = Vm::new(&platform, 2);
    let (conduit, mapper) = (back.conduit(), Memory::of(&platform));
    let connection = Connection::open(&conduit, back.mailbox()).map_err(|failed| failed.error)?;
    let idle = || ();
    let alone = Rest::new(&platform, &idle);
    let door_vm = DoorVm::open(&back, &connection, &mapper, &alone, connect(socket)?)?;
    let door_vm = RefCell::new(door_vm);
    let failure: RefCell<Option<Box<dyn Error>>> = RefCell::new(None);
    let turn = || {
        let turned = door_vm.borrow_mut().turn();
        failure.replace(failure.take().or(turned.err()));
    };
    let wait = Rest::new(&platform, &turn);
    let expected = std::fs::read(file)?;
    let used = with_disk(&Vm::new(&platform, 1), &wait, |disk| {
        let last = read_all(disk, &expected, say)?;
        disk.write(last, &[0x5a; 512])?;
        if disk.read(last)? != [0x5a; 512] {
            return Err("the last sector is not what was written".into());
        }
        say("it has written the last sector and read it back");
        Ok(())
    });
    if let Some(error) = failure.take() {
        return Err(error);
    }
    used?;
    let DoorVm { bus, areas, .. } = door_vm.into_inner();
    drop(areas);
    bus.close().map_err(|failed| failed.error)?;
    if !platform.leftovers().is_empty() {
        return Err("something was left behind".into());
    }
    Ok(())
}
