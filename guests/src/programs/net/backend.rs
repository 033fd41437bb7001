//! VM 2: serves a network card to VM 1 and is itself at the other end of the card's cable, with a file
//! server on its own TCP/IP. Never calls the partition while frames flow: they come by doorbell and go
//! by doorbell.

use super::file_server::FileServer;
use super::station::End;
use super::{BOUND, DEVICE_NUMBER, DRIVER};
use crate::cmdline::CommandLine;
use crate::programs::medium::medium;
use crate::programs::serving;
use crate::rt::client::{Clock, mailbox, mapper, take_pages};
use crate::rt::{Boot, signal, time};
use crate::{check, say};
use alloc::vec;
use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, bit_of};
use causeway_client::stack::FarEnd;
use causeway_client::{Connection, Error};
use causeway_virtio::device::net::{
    Cable, Faults, Frame, HEADER_BYTES, Lane, Net, RECEIVE, TRANSMIT,
};
use causeway_virtio::device::{DeviceModel as _, DeviceServer};
use causeway_virtio::msg::{DeviceState, Request};
use causeway_virtio::types::Status;

/// Frames that the cable holds towards VM 1: a window of TCP; and towards VM 2, mostly bare ACKs.
const DOWN: usize = 256;
const UP: usize = 64;
/// Frames of a queue served before the stack has its turn.
const BUDGET: u32 = 64;
/// How long this VM waits for anything to happen.
const IDLE_MILLIS: u64 = 30_000;

type Card = DeviceServer<Net<Cable<'static>>, 2>;

/// VM 2 of `net`.
pub(in crate::programs) fn run(boot: &Boot) {
    let faults = faults(&boot.line);
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(DRIVER).expect("doorbell of the driver");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    bus.announce(DEVICE_NUMBER, DeviceState::Added).expect("announce");
    let mapper = mapper();
    let lane = |slots, faults| Lane::new(vec![Frame::BLANK; slots].leak(), faults);
    let upward = Faults { seed: !faults.seed, ..faults };
    let mut cable = Cable::new(lane(DOWN, faults), lane(UP, upward));
    let server = FileServer::new(&mut FarEnd::of(&mut cable), medium(boot));
    let mut service = Service {
        bus: &bus,
        doorbells: &doorbells,
        backend: Backend::new(&connection, &mapper),
        card: DeviceServer::new(Net::new(cable, End::Client.mac())),
        server,
        used: false,
    };
    let served = service.until_left();
    let done = served.is_ok() && service.server.is_done();
    check!("net/served", done, "{served:?} {} bytes", service.server.sent_bytes());
    service.print_result();
    if faults != Faults::NONE {
        let (lost, again) = (service.lost(), service.server.meter().retransmits);
        let mended = lost > 0 && again > 0;
        check!("net/lost_frames_were_sent_again", mended, "{lost} lost, {again} sent again");
    }
    drop(service);
    let gone = bus.announce(DEVICE_NUMBER, DeviceState::Removed).is_ok();
    let closed = bus.close().is_ok();
    let down = gone && closed && connection.stranded() == 0;
    check!("net/backend_torn_down", down);
}

/// What is to go wrong on the cable, in both directions.
fn faults(line: &CommandLine<'_>) -> Faults {
    let one_in = |key| line.number(key).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let (drop, twice, ahead) = (one_in("drop"), one_in("twice"), one_in("ahead"));
    Faults { seed: line.number("seed").unwrap_or(0), drop, twice, ahead }
}

struct Service<'b, 'c> {
    bus: &'b Bus<'c>,
    doorbells: &'b Doorbells<'c>,
    backend: Backend<'c, 4>,
    card: Card,
    server: FileServer,
    /// Whether the driver has bound an area.
    used: bool,
}

impl Service<'_, '_> {
    /// Serves until the driver has unbound its last area, or nothing happened for too long.
    fn until_left(&mut self) -> Result<(), Error> {
        let mut last = time::now_micros();
        while !self.used || self.backend.held() > 0 {
            signal::fetch();
            let mut busy = signal::take_from_vms(bit_of(DRIVER)) != 0;
            // LIST is a call of the partition: only when it rang, or nothing is at work yet.
            if signal::take_from_partition() || !self.card.status().contains(Status::DRIVER_OK) {
                let admitted = self.backend.admit(|seen| {
                    if seen.owner == DRIVER { Verdict::Accept } else { Verdict::Reject }
                })?;
                busy |= admitted.accepted > 0;
            }
            while let Some(incoming) = self.bus.receive()? {
                serving::take(self.bus, &mut self.backend, &mut self.card, &incoming)?;
                self.used |= self.backend.held() > 0;
                busy = true;
            }
            busy |= self.turn()?;
            let now = time::now_micros();
            if busy {
                last = now;
            } else if now.saturating_sub(last) > IDLE_MILLIS * 1000 {
                say!("nothing happened for {IDLE_MILLIS} ms");
                return Ok(());
            } else {
                // TCP's own timers are looked at when this ends, some 10 ms later at most.
                time::rest();
            }
        }
        Ok(())
    }

    /// Frames from the driver, the stack's turn, frames to the driver, and one doorbell for all of
    /// them. Returns whether there was anything, or may be.
    fn turn(&mut self) -> Result<bool, Error> {
        let memory = self.backend.memory(DRIVER);
        for queue in [RECEIVE, TRANSMIT] {
            self.card.disarm(&memory, queue);
        }
        let sent = self.card.serve(&memory, TRANSMIT, BUDGET);
        let moved = self.server.turn(&mut FarEnd::of(self.card.model_mut().wire_mut()));
        let received = self.card.serve(&memory, RECEIVE, BUDGET);
        for event in [sent.event, received.event].into_iter().flatten() {
            self.bus.event_to(DEVICE_NUMBER, DRIVER, Request::EventConfig(event))?;
        }
        if (sent.notify || received.notify)
            && let Err(error) = self.doorbells.ring(DRIVER)
        {
            say!("NOTE doorbell refused: {error}");
        }
        if moved || sent.requests > 0 || received.requests > 0 {
            return Ok(true);
        }
        // Empty receive buffers are no work, unless a frame waits for one.
        let mut more = self.card.arm(&memory, TRANSMIT) && self.card.model().wants(TRANSMIT);
        if self.card.model().wants(RECEIVE) {
            more |= self.card.arm(&memory, RECEIVE);
        }
        Ok(more)
    }

    /// Frames that the cable lost, in both directions.
    fn lost(&self) -> u64 {
        let cable = self.card.model().wire();
        cable.to_driver().counts().dropped + cable.to_far().counts().dropped
    }

    fn print_result(&self) {
        let (meter, card) = (self.server.meter(), self.card.model().counters());
        let cable = self.card.model().wire();
        let (down, up) = (cable.to_driver().counts(), cable.to_far().counts());
        let (frames, bytes) = (card.sent + card.received, card.sent_bytes + card.received_bytes);
        let headers = u64::try_from(HEADER_BYTES).unwrap_or(0) * frames;
        say!(
            "RESULT job=net status=ok medium_bytes={} frames_sent={} frames_received={} \
             segments={} retransmits={} lost={} doubled={} reordered={} \
             card_frames={frames} card_bytes={bytes} copied_bytes={} doorbells={}",
            self.server.sent_bytes(),
            meter.sent,
            meter.received,
            meter.segments,
            meter.retransmits,
            self.lost(),
            down.doubled + up.doubled,
            down.overtook + up.overtook,
            headers + bytes,
            self.doorbells.ring_count()
        );
    }
}
