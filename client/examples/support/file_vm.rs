//! Owns a backend VM that serves a file by rust-vmm's queue, and the run of its example. Never the
//! device itself: that is `file_disk`.

#[path = "file_disk.rs"]
mod file_disk;
#[path = "front.rs"]
mod front;
#[path = "vm.rs"]
mod vm;
#[path = "whole_file.rs"]
mod whole_file;

use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::{Bus, Incoming};
use causeway_client::doorbell::Doorbells;
use causeway_client::{Bound, Connection, Error as ClientError, Wait};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use causeway_virtio::BusAddr;
use causeway_virtio::device::DeviceServer;
use causeway_virtio::msg::{Body, BusRequest, DeviceState, Message, Request, Response};
use file_disk::{FileDisk, Ring, serve};
use front::with_disk;
use std::cell::RefCell;
use std::error::Error;
use std::path::Path;
use virtio_queue::Queue;
use vm::{Memory, Rest, VM_PAGES, Vm};
use whole_file::read_all;

/// The front end.
const DRIVER: EndpointId = EndpointId::from_raw(1);

/// VM 2: control messages go to the library's server, requests to rust-vmm's queue.
struct FileVm<'c> {
    bus: Bus<'c>,
    doorbells: Doorbells<'c>,
    areas: Backend<'c, 4>,
    control: DeviceServer<FileDisk, 1>,
    /// What the driver set up, and the ring made of it.
    queue: Option<(Ring, Queue)>,
    served: u64,
}

impl<'c> FileVm<'c> {
    fn open(
        vm: &Vm,
        connection: &'c Connection<'c>,
        mapper: &'c Memory,
        wait: &'c dyn Wait,
        disk: FileDisk,
    ) -> Result<Self, ClientError> {
        let doorbells = Doorbells::new(connection);
        doorbells.bind(DRIVER)?;
        let bus = Bus::open(connection, vm.pages(2), wait, Bound::millis(100));
        let bus = bus.map_err(|failed| failed.error)?;
        bus.announce(0, DeviceState::Added)?;
        let (areas, control) = (Backend::new(connection, mapper), DeviceServer::new(disk));
        Ok(Self { bus, doorbells, areas, control, queue: None, served: 0 })
    }

    /// What this VM's loop does once.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let only_driver = |owner| if owner == DRIVER { Verdict::Accept } else { Verdict::Reject };
        self.areas.admit(|seen| only_driver(seen.owner))?;
        while let Some(incoming) = self.bus.receive()? {
            self.answer(&incoming)?;
        }
        self.follow_queue()?;
        let Some((_, queue)) = &mut self.queue else { return Ok(()) };
        // While `memory` lives, no area can be unmapped.
        let memory = self.areas.regions(DRIVER);
        let requests = serve(&memory, queue, self.control.model_mut())?;
        self.served += requests;
        if requests > 0 {
            self.doorbells.ring(DRIVER)?;
        }
        Ok(())
    }

    fn answer(&mut self, incoming: &Incoming) -> Result<(), ClientError> {
        if incoming.message.body == Body::BusRequest(BusRequest::Reset) {
            self.control.reset();
        }
        if let Some(response) = self.areas.answer(incoming) {
            return self.bus.respond(incoming, Body::BusResponse(response));
        }
        let memory = self.areas.memory(incoming.far);
        match (self.control.answer(&memory, &incoming.message), &incoming.message.body) {
            (Some(answer), _) => self.bus.respond(incoming, answer.body),
            (None, Body::Request(request)) if !request.is_event() => self.bus.refuse(incoming),
            (None, _) => Ok(()),
        }
    }

    /// Asks the server how queue 0 stands, and keeps rust-vmm's queue in step.
    fn follow_queue(&mut self) -> Result<(), Box<dyn Error>> {
        let body = Body::Request(Request::GetVqueue { index: 0 });
        let memory = self.areas.memory(DRIVER);
        let answer = self.control.answer(&memory, &Message { dev_num: 0, token: 0, body });
        let Some(Body::Response(Response::GetVqueue(now))) = answer.map(|answer| answer.body)
        else {
            return Err("the server knows no queue".into());
        };
        let ring = now.enabled.then_some(Ring {
            size: u16::try_from(now.cur_size)?,
            parts: [now.desc, now.driver, now.device].map(BusAddr::get),
        });
        if self.queue.as_ref().map(|(ring, _)| *ring) != ring {
            self.queue = match ring {
                Some(ring) => Some((ring, ring.queue()?)),
                None => None,
            };
        }
        Ok(())
    }
}

/// Serves `path` to a front end that reads all of it and writes its last sector.
pub(crate) fn run(path: &Path, say: &mut dyn FnMut(&str)) -> Result<(), Box<dyn Error>> {
    let setup = Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let back = Vm::new(&platform, 2);
    let (conduit, mapper) = (back.conduit(), Memory::of(&platform));
    let connection = Connection::open(&conduit, back.mailbox()).map_err(|failed| failed.error)?;
    let idle = || ();
    let alone = Rest::new(&platform, &idle);
    let disk = FileDisk::open(path)?;
    let file_vm = FileVm::open(&back, &connection, &mapper, &alone, disk)?;
    let file_vm = RefCell::new(file_vm);
    let failure: RefCell<Option<Box<dyn Error>>> = RefCell::new(None);
    let turn = || {
        let turned = file_vm.borrow_mut().turn();
        failure.replace(failure.take().or(turned.err()));
    };
    let wait = Rest::new(&platform, &turn);
    let expected = std::fs::read(path)?;
    let used = with_disk(&Vm::new(&platform, 1), &wait, |disk| {
        let last = read_all(disk, &expected, say)?;
        disk.write(last, &[0x5a; 512])
    });
    if let Some(error) = failure.take() {
        return Err(error);
    }
    used?;
    let FileVm { bus, areas, served, .. } = file_vm.into_inner();
    drop(areas);
    bus.close().map_err(|failed| failed.error)?;
    say(&format!("rust-vmm's queue has served {served} requests; the last sector is written"));
    Ok(())
}
