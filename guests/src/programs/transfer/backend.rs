//! VM 2: serves the disk medium in its RAM as a virtio block device, to VM 1 only. Never calls the
//! partition while the driver is at work: requests come by doorbell and go by doorbell.

use super::sectors::Sectors;
use super::{BOUND, DEVICE, DRIVER};
use crate::programs::medium::medium;
use crate::programs::serving::is_event;
use crate::rt::client::{Clock, mailbox, mapper, take_pages};
use crate::rt::{Boot, signal, time};
use crate::{check, say};
use causeway_abi::GrantSummary;
use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::{Bus, Incoming};
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, bit_of};
use causeway_client::{Connection, Error};
use causeway_virtio::device::DeviceServer;
use causeway_virtio::device::block::{Block, SliceMedium};
use causeway_virtio::msg::{Body, BusRequest, DeviceState, Message, Request};
use causeway_virtio::types::Status;

/// The device's number on this VM's side of the link.
const DEVICE_NUMBER: u16 = 0;
/// Areas that the driver may bind.
const AREAS: usize = 16;
/// Requests served before the FIFO is looked at again.
const BUDGET: u32 = 64;
/// How long the device waits for its driver to appear, and for anything to happen.
const IDLE_MILLIS: u64 = 15_000;

type Disk = DeviceServer<Block<Sectors>, 1>;

/// VM 2 of `transfer`.
pub(in crate::programs) fn run(boot: &Boot) {
    let sectors = Sectors::new(SliceMedium::new(medium(boot)), boot.line.is_set("copy"));
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(DRIVER).expect("doorbell of the driver");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    bus.announce(DEVICE_NUMBER, DeviceState::Added).expect("announce");

    let mapper = mapper();
    let mut service = Service {
        bus: &bus,
        doorbells: &doorbells,
        backend: Backend::new(&connection, &mapper),
        disk: DeviceServer::new(Block::new(sectors, *b"causeway-guest-disk\0")),
        state: State::Waiting,
    };
    let outcome = service.until_done();
    let state = service.state;
    let counters = service.disk.model().counters();
    let served = outcome.is_ok() && state == State::Done;
    check!("transfer/served", served, "{outcome:?} {state:?} {counters:?}");
    drop(service);

    let gone = bus.announce(DEVICE_NUMBER, DeviceState::Removed);
    let closed = bus.close().map(|_| ()).map_err(|failed| failed.error);
    let stranded = connection.stranded();
    let connection = connection.close().map(|_| ());
    let down = gone.is_ok() && closed.is_ok() && connection.is_ok() && stranded == 0;
    check!(
        "transfer/backend_torn_down",
        down,
        "{gone:?} {closed:?} {connection:?} stranded={stranded}"
    );
}

/// Where the driver's use of the device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No area is bound yet.
    Waiting,
    /// Areas are bound.
    InUse,
    /// The last area has been let go.
    Done,
    /// The driver died, or reset its bus, with areas still bound.
    Abandoned,
}

struct Service<'b, 'c> {
    bus: &'b Bus<'c>,
    doorbells: &'b Doorbells<'c>,
    backend: Backend<'c, AREAS>,
    disk: Disk,
    state: State,
}

impl Service<'_, '_> {
    /// Serves until the driver has taken everything back, or nothing has happened for too long.
    fn until_done(&mut self) -> Result<(), Error> {
        let mut last = time::now_micros();
        while matches!(self.state, State::Waiting | State::InUse) {
            signal::fetch();
            let mut busy = signal::take_from_vms(bit_of(DRIVER)) != 0;
            let ringing = signal::take_from_partition();
            // LIST is a call of the partition: only when it rang, or nothing is at work yet.
            if ringing || !self.disk.status().contains(Status::DRIVER_OK) {
                let admitted = self.backend.admit(policy)?;
                busy |= admitted.accepted > 0;
                if admitted.revoked > 0 {
                    self.lost(admitted.revoked)?;
                    busy = true;
                }
            }
            while let Some(incoming) = self.bus.receive()? {
                self.take(&incoming)?;
                busy = true;
            }
            busy |= self.serve()? > 0;
            let now = time::now_micros();
            if busy {
                last = now;
            } else if now.saturating_sub(last) > IDLE_MILLIS * 1000 {
                say!("nothing happened for {IDLE_MILLIS} ms");
                return Ok(());
            } else {
                time::rest();
            }
        }
        Ok(())
    }

    /// The driver has taken areas back without unbinding them. A queue whose ring went with them is
    /// gone: the device needs a reset, and says so.
    fn lost(&mut self, count: u32) -> Result<(), Error> {
        say!("NOTE areas_revoked={count}");
        let memory = self.backend.memory(DRIVER);
        if let Some(event) = self.disk.lost_areas(&memory) {
            self.bus.event_to(DEVICE_NUMBER, DRIVER, Request::EventConfig(event))?;
        }
        if self.backend.held() == 0 && self.state == State::InUse {
            self.state = State::Abandoned;
        }
        Ok(())
    }

    /// Carries out one message and answers it.
    fn take(&mut self, incoming: &Incoming) -> Result<(), Error> {
        if incoming.message.body == Body::BusRequest(BusRequest::Reset) {
            // The driver died or started anew; nobody waits for an answer. The backend lets its
            // areas go.
            self.disk.reset();
            self.backend.answer(incoming);
            if self.state == State::InUse {
                self.state = State::Abandoned;
            }
            return Ok(());
        }
        if let Some(response) = self.backend.answer(incoming) {
            self.note_areas(incoming);
            return self.bus.respond(incoming, Body::BusResponse(response));
        }
        let memory = self.backend.memory(incoming.far);
        match self.disk.answer(&memory, &incoming.message) {
            Some(Message { body, .. }) => self.bus.respond(incoming, body),
            None if is_event(&incoming.message.body) => Ok(()),
            None => self.bus.refuse(incoming),
        }
    }

    /// Follows the areas: the last one that goes ends the job, and its answer ends the driver's
    /// waiting, so the counters are printed before it.
    fn note_areas(&mut self, incoming: &Incoming) {
        match incoming.message.body {
            Body::BusRequest(BusRequest::AreaShare(_)) => self.state = State::InUse,
            Body::BusRequest(BusRequest::AreaUnshare { .. })
                if self.backend.held() == 0 && self.state == State::InUse =>
            {
                self.state = State::Done;
                self.print_result();
            }
            Body::BusRequest(_) | Body::Request(_) | Body::Response(_) | Body::BusResponse(_) => {}
        }
    }

    /// Serves a budget of what is in the queue, so that the FIFO is looked at between two; returns
    /// how many requests there were, or that there may be more.
    fn serve(&mut self) -> Result<u32, Error> {
        let memory = self.backend.memory(DRIVER);
        let served = self.disk.serve(&memory, 0, BUDGET);
        if let Some(event) = served.event {
            self.bus.event_to(DEVICE_NUMBER, DRIVER, Request::EventConfig(event))?;
        }
        if served.notify
            && let Err(error) = self.doorbells.ring(DRIVER)
        {
            // A driver that has died takes no doorbell. The bus will say so; others are served on.
            say!("NOTE doorbell refused: {error}");
        }
        if served.requests > 0 {
            return Ok(served.requests);
        }
        // Asks for a kick; if something came meanwhile there may be none for it.
        Ok(u32::from(self.disk.arm(&memory, 0)))
    }

    fn print_result(&self) {
        let counters = self.disk.model().counters();
        say!(
            "RESULT job=transfer status=ok medium_bytes={} copied_bytes={} requests={} doorbells={}",
            counters.medium_bytes,
            counters.copied_bytes,
            counters.requests,
            self.doorbells.ring_count()
        );
    }
}

/// Takes up what VM 1 offers, and nothing else.
fn policy(seen: &GrantSummary) -> Verdict {
    if seen.owner == DRIVER && DEVICE.get() == signal::own_id() {
        Verdict::Accept
    } else {
        Verdict::Reject
    }
}
