//! VM 2: serves a network card to VM 1 and is itself at the other end of the card's cable, with a file
//! server on its own TCP/IP. Never calls the partition while frames flow: they come by doorbell and go
//! by doorbell.

use super::file_server::FileServer;
use super::station::End;
use super::{BOUND, DEVICE_NUMBER, DRIVER};
use crate::cmdline::CommandLine;
use crate::programs::medium::medium;
use crate::programs::serving::Serving;
use crate::rt::Boot;
use crate::rt::client::{Clock, mailbox, mapper, take_pages};
use crate::{check, say};
use alloc::vec;
use causeway_client::backend::Backend;
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::Doorbells;
use causeway_client::stack::FarEnd;
use causeway_client::{Connection, Error};
use causeway_virtio::device::DeviceModel as _;
use causeway_virtio::device::net::{
    Cable, Faults, Frame, HEADER_BYTES, Lane, Net, RECEIVE, TRANSMIT,
};
use causeway_virtio::msg::DeviceState;

/// Frames that the cable holds towards VM 1: a window of TCP; and towards VM 2, mostly bare ACKs.
const DOWN: usize = 256;
const UP: usize = 64;
/// Frames of a queue served before the stack has its turn.
const BUDGET: u32 = 64;

type Service<'b, 'c> = Serving<'b, 'c, Net<Cable<'static>>, 2>;

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
    let mut server = FileServer::new(&mut FarEnd::of(&mut cable), medium(boot));
    let card = Net::new(cable, End::Client.mac());
    let backend = Backend::new(&connection, &mapper);
    let mut service = Serving::new(&bus, &doorbells, backend, card, DEVICE_NUMBER);
    let served = service.until_left(|service| turn(service, &mut server));
    let done = served.is_ok() && server.is_done();
    check!("net/served", done, "{served:?} {} bytes", server.sent_bytes());
    print_result(&service, &server);
    if faults != Faults::NONE {
        let (lost, again) = (lost(service.model().wire()), server.meter().retransmits);
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

/// Frames from the driver, the stack's turn, frames to the driver, and one doorbell for all of them.
/// Returns whether there was anything, or may be. TCP's own timers are looked at in each turn, some
/// 10 ms apart at most.
fn turn(service: &mut Service<'_, '_>, server: &mut FileServer) -> Result<bool, Error> {
    for queue in [RECEIVE, TRANSMIT] {
        service.disarm(queue);
    }
    let sent = service.serve(TRANSMIT, BUDGET)?;
    let moved = server.turn(&mut FarEnd::of(service.model_mut().wire_mut()));
    let received = service.serve(RECEIVE, BUDGET)?;
    if sent.notify || received.notify {
        service.ring();
    }
    if moved || sent.requests > 0 || received.requests > 0 {
        return Ok(true);
    }
    // Empty receive buffers are no work, unless a frame waits for one.
    let starving = service.model().wants(RECEIVE) && service.arm(RECEIVE);
    Ok(service.arm(TRANSMIT) || starving)
}

/// Frames that the cable lost, in both directions.
fn lost(cable: &Cable<'_>) -> u64 {
    cable.to_driver().counts().dropped + cable.to_far().counts().dropped
}

fn print_result(service: &Service<'_, '_>, server: &FileServer) {
    let (meter, card) = (server.meter(), service.model().counters());
    let cable = service.model().wire();
    let (down, up) = (cable.to_driver().counts(), cable.to_far().counts());
    let (frames, bytes) = (card.sent + card.received, card.sent_bytes + card.received_bytes);
    let headers = u64::try_from(HEADER_BYTES).unwrap_or(0) * frames;
    say!(
        "RESULT job=net status=ok medium_bytes={} frames_sent={} frames_received={} segments={} \
         retransmits={} lost={} doubled={} reordered={} card_frames={frames} card_bytes={bytes} \
         copied_bytes={} doorbells={}",
        server.sent_bytes(),
        meter.sent,
        meter.received,
        meter.segments,
        meter.retransmits,
        lost(cable),
        down.doubled + up.doubled,
        down.overtook + up.overtook,
        headers + bytes,
        service.ring_count()
    );
}
