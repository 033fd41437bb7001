//! VM 1: reads the whole disk of VM 2 with virtio-drivers' block driver, digests it, writes a
//! region and reads it back, and takes everything back. Never calls the partition between MARK
//! begin and MARK end, unless a test asks for just that.

use super::digest::Digest;
use super::disk::{Disk, Failed, SECTOR, Slots, Tables, Way};
use super::figures;
use super::killer;
use super::link::Areas;
use super::payload::{Payload, Place};
use super::successor::{Opener, Successor, Takeover};
use super::{BOUND, DEVICE, POOL};
use crate::programs::control::mark;
use crate::report::Hex;
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::hvc::{self, vendor};
use crate::rt::{Boot, time};
use crate::{check, say};
use alloc::vec;
use alloc::vec::Vec;
use causeway_abi::{Call, VERSION_MINOR};
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, Gathered};
use causeway_client::guest::{Bounce, Health, PoolStats};
use causeway_client::memory::OutOfWindow;
use causeway_client::{Connection, Error, Wait};
use causeway_virtio::msg::{Request, Response};
use causeway_virtio::types::DeviceId;
use core::fmt;

/// Bytes per request unless `batch=` says otherwise.
const BATCH: u64 = 65_536;
/// Most bytes per request.
const LARGEST_BATCH: u64 = 2 << 20;
/// Bytes of the region that is written and read back, at most.
const REGION: u64 = 65_536;
/// How long the last doorbells of the set-up may take to arrive, in milliseconds.
const SETTLE_MILLIS: u64 = 20;

/// Which bit VM 1 is to flip, as a sabotage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flip {
    None,
    Buffer,
    Digest,
}

impl Flip {
    fn read(boot: &Boot) -> Self {
        match boot.line.get("flip") {
            Some("buffer") => Self::Buffer,
            Some("digest") => Self::Digest,
            Some(_) | None => Self::None,
        }
    }
}

/// The wishes of the command line.
#[derive(Clone, Copy, Debug)]
struct Wishes {
    batch: u64,
    place: Place,
    flip: Flip,
    call_partition: bool,
    copy: bool,
    /// VM 3 kills the backend half-way.
    restart: bool,
}

impl Wishes {
    fn read(boot: &Boot) -> Option<Self> {
        let batch = boot.line.number("batch").unwrap_or(BATCH);
        let good = batch.is_multiple_of(SECTOR) && (SECTOR..=LARGEST_BATCH).contains(&batch);
        let outside = boot.line.is_set("outside");
        good.then_some(Self {
            batch,
            place: if outside { Place::OutsideAreas } else { Place::InAreas },
            flip: Flip::read(boot),
            call_partition: boot.line.is_set("call_partition"),
            copy: boot.line.is_set("copy"),
            restart: boot.line.is_set("restart"),
        })
    }

    fn pages(self) -> u32 {
        u32::try_from(self.batch.div_ceil(4096)).unwrap_or(u32::MAX)
    }
}

/// What the transfer came to.
struct Outcome {
    digest: [u8; 32],
    bytes: u64,
    requests: u64,
    /// Doorbells, both ways, while the image was read.
    doorbells: u64,
    elapsed_micros: u64,
    write_check: bool,
    /// Before the flush, whose header virtio-drivers keeps outside areas.
    moved: PoolStats,
    /// Bytes that this VM copied into or out of areas while it read the image.
    copied: u64,
    /// The backend's death and return, if there was one.
    takeover: Option<Takeover>,
}

/// VM 1 of `transfer`.
pub(in crate::programs) fn run(boot: &Boot) {
    if boot.line.is_set("figures") {
        return figures::run();
    }
    let wishes = Wishes::read(boot).expect("batch= must be sectors, at most 2 MiB");
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(DEVICE).expect("doorbell of the device");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    check!("transfer/connected", true);

    let device = find_block_device(&bus);
    check!("transfer/device_found", matches!(device, Ok(Some(_))), "{device:?}");
    let Ok(Some(dev_num)) = device else { return };

    let mut areas = match Areas::grant(&bus, wishes.pages()) {
        Ok(areas) => areas,
        Err(error) => {
            check!("transfer/areas_granted", false, "{error}");
            return;
        }
    };
    check!("transfer/areas_granted", true);

    let length = usize::try_from(wishes.batch).expect("64-bit");
    let tables = Tables::lend().expect("room");
    let slots = Slots::take(length, wishes.place).expect("room");
    let healths = [Health::new(), Health::new()];
    let kicks = Gathered::new(&doorbells, DEVICE);
    let opener = Opener { bus: &bus, dev_num, kicks: &kicks };
    let disk = opener.open(&healths[0], slots).expect("block driver");
    let mut successor =
        Successor { opener, areas: &mut areas, doorbells: &doorbells, health: &healths[1] };
    let outcome = transfer(disk, wishes, &connection, &mut successor);
    let (grants, pages) = (areas.grants() + 1, areas.page_count() + 2);
    drop(tables);

    let areas = areas.take_back(&bus);
    let closed = bus.close().map(|_| ()).map_err(|failed| failed.error);
    let stranded = connection.stranded();
    let doorbells = doorbells.ring_count();
    let connection = connection.close().map(|_| ());
    let back = areas.is_ok() && closed.is_ok() && connection.is_ok() && stranded == 0;
    check!("transfer/reclaimed", back, "{areas:?} {closed:?} {connection:?} stranded={stranded}");
    if wishes.restart {
        killer::tell_end();
    }
    match outcome {
        Ok(outcome) => print_result(&outcome, wishes, doorbells, grants, pages),
        Err(status) => say!("RESULT job=transfer status={status}"),
    }
}

/// The number that the manifest gives to VM 2's disk (link-0). It comes when VM 2 announces it; the
/// partition's own disk is there from the start, under another number.
const BACKENDS_DISK: u16 = 0;

/// Waits, with a bound, until VM 2's disk is on the bus.
pub(super) fn find_block_device(bus: &Bus<'_>) -> Result<Option<u16>, Error> {
    BOUND.until(&Clock as &dyn Wait, || {
        for dev_num in bus.devices()? {
            if dev_num == BACKENDS_DISK
                && let Response::GetDeviceInfo(info) =
                    bus.request(dev_num, Request::GetDeviceInfo)?
                && info.device_id == DeviceId::BLOCK.get()
            {
                return Ok(Some(dev_num));
            }
        }
        Ok(None)
    })
}

/// Doorbells that the monitor has counted so far.
pub(super) fn doorbells() -> u64 {
    let [_, doorbells, ..] = hvc::call([vendor::COUNTS, 0, 0, 0, 0, 0, 0, 0]);
    doorbells
}

/// The transfer itself; if it came to nothing, the status for the RESULT line.
fn transfer<'b, 'c>(
    mut disk: Disk<'b, 'c>,
    wishes: Wishes,
    connection: &Connection<'_>,
    successor: &mut Successor<'_, 'b, 'c>,
) -> Result<Outcome, &'static str> {
    if wishes.place == Place::OutsideAreas {
        let pages = usize::try_from(wishes.pages()).unwrap_or(0);
        POOL.set_bounce(Bounce::Pages(pages * super::disk::SLOTS));
    }
    let bytes = disk.len_bytes();
    if bytes == 0 {
        check!("transfer/image_read", false, "no disk");
        return Err("no_disk");
    }
    if let Err(error) = settle(&mut disk) {
        check!("transfer/image_read", false, "before the first read: {error}");
        return Err("read_failed");
    }
    let requests_before = disk.requests();
    let mut reading = Reading::new(bytes, wishes);
    let mut counted = mark(1);
    let (rung, begin) = (doorbells(), time::now_micros());
    let mut read = reading.go_on(&mut disk, connection);
    let mut takeover = None;
    if wishes.restart && read.is_err() {
        let read_before = reading.digested;
        let (next, again) = successor.take_over(disk).map_err(|error| {
            check!("transfer/backend_was_restarted", false, "{error}");
            "no_successor"
        })?;
        disk = next;
        takeover = Some(Takeover { submitted_again: again, read_before });
        counted &= reading.marked && settle_behind(&mut disk).is_ok() && mark(1);
        read = reading.go_on(&mut disk, connection);
    }
    if wishes.restart {
        let again = takeover.map_or(0, |takeover| takeover.submitted_again);
        let why = Maybe(read.as_ref().err());
        check!("transfer/backend_was_restarted", again > 0, "{again} submitted again, {why}");
    }
    let elapsed_micros = time::now_micros().saturating_sub(begin);
    let requests = disk.requests().saturating_sub(requests_before);
    let doorbells = doorbells().saturating_sub(rung);
    let copied = POOL.stats().copied_bytes;
    let region = bytes.min(wishes.batch).min(REGION);
    let written = write_and_read_back(&mut disk, bytes, region);
    let write_check = matches!(written, Ok(true));
    let why = written.as_ref().err();
    check!("transfer/written_region_reads_back", write_check, "{}", Maybe(why));
    let moved = POOL.stats();
    // One page for the header that lies on virtio-drivers' stack, one for its status byte.
    POOL.set_bounce(Bounce::Pages(2));
    let flushed = disk.flush();
    check!("transfer/flushed", flushed.is_ok(), "{}", Maybe(flushed.as_ref().err()));
    let counted = mark(0) && counted;
    let why = read.as_ref().err();
    check!("transfer/image_read", read.is_ok() && counted, "{} marked={counted}", Maybe(why));
    // Resets the queue, which is a message by way of the partition; then all buffers go.
    drop(disk);
    read.map_err(|_| "read_failed")?;
    let mut digest = reading.digest.finish();
    if wishes.flip == Flip::Digest {
        digest[0] ^= 1;
    }
    Ok(Outcome {
        digest,
        bytes,
        requests,
        doorbells,
        elapsed_micros,
        write_check,
        moved,
        copied,
        takeover,
    })
}

/// Waits until the set-up has come to rest. Its last doorbells may still be on their way to VM 2, which
/// then asks the partition what is new; such a call belongs to the set-up, not to the transfer. VM 2
/// looks at its doorbells before it serves its queue, so the second read is behind the last of them.
pub(super) fn settle(disk: &mut Disk<'_, '_>) -> Result<(), Failed> {
    let len = usize::try_from(SECTOR).map_err(|_| Failed::TooShort)?;
    for pause_millis in [SETTLE_MILLIS, 0] {
        disk.submit(Way::Read, 0, len, |_| Ok(()))?;
        disk.finish_oldest(|_, _| Ok(()))?;
        time::wait_until(pause_millis, || false);
    }
    Ok(())
}

/// After a takeover, requests are in flight already: the pause alone has to do.
fn settle_behind(disk: &mut Disk<'_, '_>) -> Result<(), Failed> {
    time::wait_until(SETTLE_MILLIS, || false);
    disk.check()
}

/// How far the disk has been read. It outlives the backend.
struct Reading {
    total: u64,
    wishes: Wishes,
    digest: Digest,
    asked: u64,
    digested: u64,
    todo: Todo,
    /// Whether the monitor took note of what this made it note.
    marked: bool,
}

/// What is still to be done once.
struct Todo {
    flip: bool,
    call: bool,
    tell: bool,
}

impl Reading {
    fn new(total: u64, wishes: Wishes) -> Self {
        Self {
            total,
            wishes,
            digest: Digest::new(),
            asked: 0,
            digested: 0,
            todo: Todo {
                flip: wishes.flip == Flip::Buffer,
                call: wishes.call_partition,
                tell: wishes.restart,
            },
            marked: true,
        }
    }

    /// Reads on to the disk's last byte, several requests in flight, and digests what comes.
    fn go_on(
        &mut self,
        disk: &mut Disk<'_, '_>,
        connection: &Connection<'_>,
    ) -> Result<(), Failed> {
        while self.digested < self.total {
            // A whole queue at a time, for one ring of the doorbell each way.
            let more = disk.has_room_for_all();
            while more && self.asked < self.total && disk.has_room() {
                let len = self.wishes.batch.min(self.total - self.asked);
                let bytes = usize::try_from(len).map_err(|_| Failed::TooShort)?;
                disk.submit(Way::Read, self.asked, bytes, |_| Ok(()))?;
                self.asked += len;
            }
            disk.ring()?;
            if self.todo.tell && 2 * self.digested >= self.total {
                self.todo.tell = false;
                // Between the marks is the steady state alone: a death and a new backend are not.
                self.marked &= mark(0);
                killer::tell_half();
            }
            disk.finish_oldest(|payload, len| self.take(payload, len))?;
            if core::mem::take(&mut self.todo.call) {
                let version = Call::Version { minor: VERSION_MINOR };
                connection.call(version).map_err(Failed::Transport)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, payload: &mut Payload, len: usize) -> Result<(), OutOfWindow> {
        if core::mem::take(&mut self.todo.flip) {
            payload.flip();
        }
        self.digested += u64::try_from(len).unwrap_or(0);
        if self.wishes.copy {
            // Sabotage: a private copy of each request, and the digest over that.
            let mut copy = vec![0; len];
            payload.read(0, &mut copy)?;
            self.digest.add_private(&copy);
            return Ok(());
        }
        self.digest.add(payload, len)
    }
}

/// Writes a pattern into the middle of the disk, reads it back, and restores what was there.
fn write_and_read_back(disk: &mut Disk<'_, '_>, total: u64, region: u64) -> Result<bool, Failed> {
    let at = (total - region) / 2 / SECTOR * SECTOR;
    let len = usize::try_from(region).map_err(|_| Failed::TooShort)?;
    while disk.is_busy() {
        disk.finish_oldest(|_, _| Ok(()))?;
    }
    let mut old = vec![0; len];
    disk.submit(Way::Read, at, len, |_| Ok(()))?;
    disk.finish_oldest(|payload, _| payload.read(0, &mut old))?;
    let new: Vec<u8> = old.iter().zip(0_u32..).map(|(b, i)| !*b ^ low(i)).collect();
    disk.submit(Way::Write, at, len, |payload| payload.write(0, &new))?;
    disk.finish_oldest(|_, _| Ok(()))?;
    let mut seen = vec![0; len];
    // The pattern is wiped from all buffers, so that what is read back comes from the device.
    for _ in 0..super::disk::SLOTS {
        seen.fill(0);
        disk.submit(Way::Read, at, len, |payload| payload.write(0, &seen))?;
        disk.finish_oldest(|payload, _| payload.read(0, &mut seen))?;
        if seen != new {
            return Ok(false);
        }
    }
    disk.submit(Way::Write, at, len, |payload| payload.write(0, &old))?;
    disk.finish_oldest(|_, _| Ok(()))?;
    Ok(len > 0)
}

fn low(index: u32) -> u8 {
    let [byte, ..] = index.to_le_bytes();
    byte
}

fn print_result(outcome: &Outcome, wishes: Wishes, doorbells: u64, grants: usize, pages: u64) {
    let sha256 = Hex(&outcome.digest);
    let bounced = outcome.moved.bounced_bytes;
    say!(
        "RESULT job=transfer status=ok sha256={sha256} bytes={} requests={} doorbells={doorbells} \
         bounced_bytes={bounced} copied_bytes={} grants={grants} pages={pages} \
         write_check={} elapsed_us={} batch={} read_doorbells={}{}",
        outcome.bytes,
        outcome.requests,
        outcome.copied,
        if outcome.write_check { "ok" } else { "fail" },
        outcome.elapsed_micros,
        wishes.batch,
        outcome.doorbells,
        Again(outcome.takeover)
    );
}

/// The fields of a takeover, or nothing.
struct Again(Option<Takeover>);

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Takeover { submitted_again, read_before }) = self.0 else { return Ok(()) };
        write!(f, " restarts=1 submitted_again={submitted_again} read_before_restart={read_before}")
    }
}

/// An optional reason, in plain words.
pub(super) struct Maybe<'a, T>(pub(super) Option<&'a T>);

impl<T: fmt::Display> fmt::Display for Maybe<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("no error"),
        }
    }
}
