//! VM 1: downloads the file over TCP, through virtio-drivers' network driver, and digests it. Never calls
//! the partition between MARK begin and MARK end.

use super::station::{End, Station};
use super::{BACKEND, BOUND, CardLink, DEVICE_NUMBER, POOL, REQUEST, SMALL, WINDOW};
use crate::programs::control::mark;
use crate::report::Hex;
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::{Boot, signal, time};
use crate::{check, say};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, Gathered, bit_of};
use causeway_client::guest::{Health, Kick, MsgTransport, NetPort, SharedArea};
use causeway_client::{Connection, Error};
use causeway_virtio::AreaId;
use causeway_virtio::msg::{Request, Response};
use causeway_virtio::types::{DeviceId, Features};
use core::fmt;
use core::sync::atomic::{Ordering, fence};
use sha2::{Digest as _, Sha256};
use smoltcp::socket::tcp::{RecvError, State};

/// Frame buffers in each direction.
const BUFFERS: usize = 128;
/// Pages of the area: two frame buffers each in one, rings, and some to spare.
const AREA_PAGES: u32 = 144;
/// How long the last doorbells of the set-up may take to arrive, in milliseconds.
const SETTLE_MILLIS: u64 = 20;
/// Without a byte for so long the server counts as dead. TCP's patience doubles with each loss in a
/// row, from a second on.
const DEAD_MILLIS: u64 = 30_000;

/// Why there is no file.
#[derive(Debug)]
enum Failed {
    /// The link, or the driver.
    Link(Error),
    /// Nothing came for too long.
    NoAnswer,
    /// The connection was broken off, or never came to be.
    Broken(State),
    /// The monitor took no note of the marks.
    Unmarked,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Link(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => write!(f, "{error}"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Broken(state) => write!(f, "the connection is in state {state}"),
            Self::Unmarked => f.write_str("the monitor took no note"),
        }
    }
}

/// What came.
struct Outcome {
    digest: [u8; 32],
    bytes: u64,
    elapsed_micros: u64,
}

/// VM 1 of `net`.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(BACKEND).expect("doorbell of the backend");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    let device = find_card(&bus);
    check!("net/card_found", device == Ok(true), "{device:?}");
    if device != Ok(true) {
        return;
    }
    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    let terms = GrantTerms { peer: Some(BACKEND), kind, permission };
    let id = AreaId::new(1).expect("ids begin at 1");
    let mut area = SharedArea::new(&POOL, id, terms, take_pages(AREA_PAGES));
    let shared = area.share(&bus, &Clock, BOUND);
    check!("net/area_granted", shared.is_ok(), "{shared:?}");
    // The area, and the message FIFO.
    let pages = area.page_count() + 2;

    let (health, kicks) = (Health::new(), Gathered::new(&doorbells, BACKEND));
    let line = Line::open(&bus, &kicks, &health);
    let mut line = line.expect("network driver");
    let outcome = line.download();
    let why = outcome.as_ref().err();
    check!("net/file_came_over_tcp", outcome.is_ok(), "{why:?}");
    let (meter, stats) = (line.station.meter(), POOL.stats());
    drop(line);

    let back = area.take_back(&bus, &Clock, BOUND).map(|pages| pages.is_some());
    let closed = bus.close().map(|_| ()).map_err(|failed| failed.error);
    let all = back == Ok(true) && closed.is_ok() && connection.stranded() == 0;
    check!("net/reclaimed", all, "{back:?} {closed:?} stranded={}", connection.stranded());
    match outcome {
        Ok(outcome) => say!(
            "RESULT job=net status=ok sha256={} bytes={} grants=2 pages={pages} frames_received={} \
             frames_sent={} copied_bytes={} bounced_bytes={} doorbells={} elapsed_us={}",
            Hex(&outcome.digest),
            outcome.bytes,
            meter.received,
            meter.sent,
            stats.copied_bytes,
            stats.bounced_bytes,
            doorbells.ring_count(),
            outcome.elapsed_micros
        ),
        Err(failed) => {
            say!("NOTE {failed}");
            say!("RESULT job=net status=no_file");
        }
    }
}

/// Waits, with a bound, until VM 2's card is on the bus; true if it is a card.
fn find_card(bus: &Bus<'_>) -> Result<bool, Error> {
    bus.wait_for_device(DEVICE_NUMBER, &Clock, BOUND)?;
    let answer = bus.request(DEVICE_NUMBER, Request::GetDeviceInfo)?;
    Ok(matches!(answer, Response::GetDeviceInfo(info) if info.device_id == DeviceId::NET.get()))
}

/// VM 1's end: the card's driver and TCP/IP above it.
struct Line<'b, 'c> {
    port: NetPort<'b, 'c, CardLink, BUFFERS>,
    kicks: &'b Gathered<'b>,
    station: Station,
}

impl<'b, 'c> Line<'b, 'c> {
    fn open(bus: &'b Bus<'c>, kicks: &'b Gathered<'b>, health: &'b Health) -> Result<Self, Error> {
        let transport = MsgTransport::open(bus, DEVICE_NUMBER, Kick::Gathered(kicks), health)?;
        // virtio-drivers 0.13 compares the event index without wrapping, and would leave out a kick.
        let mut port = NetPort::open(transport.without(Features::EVENT_IDX), health)?;
        // Only while this VM rests does it want to be rung.
        port.disable_interrupts();
        let station = Station::new(&mut port, End::Client, WINDOW, SMALL);
        Ok(Self { port, kicks, station })
    }

    /// The whole conversation.
    fn download(&mut self) -> Result<Outcome, Failed> {
        if !self.station.connect() {
            return Err(Failed::Broken(self.station.socket().state()));
        }
        self.until(DEAD_MILLIS, |line| line.station.socket().may_send())?;
        // The last doorbells of the set-up may still be on their way to VM 2, which then asks the
        // partition what is new; such a call belongs to the set-up.
        let settled = self.until(SETTLE_MILLIS, |_| false);
        if !matches!(settled, Err(Failed::NoAnswer)) {
            settled?;
        }
        let marked = mark(1);
        let begin = time::now_micros();
        let asked = self.station.socket().send_slice(REQUEST);
        let read = self.read_all();
        let elapsed_micros = time::now_micros().saturating_sub(begin);
        let marked = mark(0) && marked;
        let (digest, bytes) = read?;
        if !marked || asked != Ok(REQUEST.len()) {
            return Err(Failed::Unmarked);
        }
        self.station.socket().close();
        self.until(DEAD_MILLIS, |line| line.station.socket().state() == State::Closed)?;
        Ok(Outcome { digest, bytes, elapsed_micros })
    }

    /// Digests what comes, where it lies in the socket's buffer, to the end of the stream.
    fn read_all(&mut self) -> Result<([u8; 32], u64), Failed> {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let mut last = time::now_micros();
        loop {
            self.turn()?;
            let taken = self.station.socket().recv(|part| {
                digest.update(&*part);
                (part.len(), part.len())
            });
            match taken {
                Ok(0) => {
                    let waited = time::now_micros().saturating_sub(last);
                    if waited > DEAD_MILLIS * 1000 {
                        return Err(Failed::NoAnswer);
                    }
                    self.rest();
                }
                Ok(count) => {
                    bytes += u64::try_from(count).unwrap_or(0);
                    last = time::now_micros();
                }
                Err(RecvError::Finished) => return Ok((digest.finalize().into(), bytes)),
                Err(RecvError::InvalidState) => {
                    return Err(Failed::Broken(self.station.socket().state()));
                }
            }
        }
    }

    /// Moves frames until `done`, with a bound.
    fn until(
        &mut self,
        millis: u64,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Failed> {
        let end = time::now_micros().saturating_add(millis * 1000);
        loop {
            let over = time::now_micros() >= end;
            self.turn()?;
            if done(self) {
                return Ok(());
            }
            if over {
                return Err(Failed::NoAnswer);
            }
            self.rest();
        }
    }

    /// Frames in, the stack's turn, frames out, and one doorbell for all of them.
    fn turn(&mut self) -> Result<(), Error> {
        self.station.poll(&mut self.port);
        self.kicks.ring_due()?;
        self.port.health().check()
    }

    /// Asks the device to ring, and rests unless a frame has come meanwhile.
    fn rest(&mut self) {
        self.port.enable_interrupts();
        // Between the wish and this look nothing can be missed: the device looks at the wish after
        // it has used a buffer.
        fence(Ordering::SeqCst);
        if !self.port.has_frame() {
            time::rest();
        }
        self.port.disable_interrupts();
        signal::fetch();
        // A doorbell only says "look again", and the callers do.
        let _looked = signal::take_from_vms(bit_of(BACKEND));
        if signal::take_from_partition() {
            // News of the device, which may be that it is gone: `health` has it then.
            self.port.take_events();
        }
    }
}
