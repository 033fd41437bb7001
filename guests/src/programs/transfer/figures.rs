//! VM 1 of `figures`: reads the disk of VM 2 by an unmodified driver and by our own, and counts what
//! that takes beside a plain copy of as many bytes. Never judges a figure, and digests outside of them.
//!
//! On a machine that counts instructions, one a nanosecond, on one core, the time of a pass is the
//! number of instructions that everybody made for it: both VMs, the monitor, EL3.

use super::digest::Digest;
use super::disk::{Disk, Failed, SLOTS, Slots, Tables, Way};
use super::frontend::{Maybe, find_block_device, settle};
use super::link::Areas;
use super::own_disk::{DEPTH, Grants, OwnDisk};
use super::payload::{Payload, Place};
use super::successor::Opener;
use super::{BOUND, DEVICE};
use crate::report::Hex;
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::{hvc, time};
use crate::{check, say};
use alloc::vec;
use causeway_client::Connection;
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, Gathered};
use causeway_client::guest::Health;
use causeway_client::memory::{OutOfWindow, Window};

/// Bytes of a request.
pub(super) const REQUEST: usize = 65_536;
/// Most bytes that are read in a pass.
const MOST: u64 = 16 << 20;
/// Pages of the unmodified driver's requests, each.
const PAGES: u32 = 16;

/// What happened while something was done.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    nanos: u64,
    doorbells: u64,
    partition_calls: u64,
}

impl Spent {
    /// What the monitor has counted, and the clock.
    fn now() -> Self {
        let [_, doorbells, partition_calls, ..] =
            hvc::call([hvc::vendor::COUNTS, 0, 0, 0, 0, 0, 0, 0]);
        Self { nanos: time::now_nanos(), doorbells, partition_calls }
    }

    fn since(before: Self) -> Self {
        // The clock is read last there and first here, so that the asking is left out.
        let nanos = time::now_nanos().saturating_sub(before.nanos);
        let now = Self::now();
        Self {
            nanos,
            doorbells: now.doorbells.saturating_sub(before.doorbells),
            partition_calls: now.partition_calls.saturating_sub(before.partition_calls),
        }
    }

    fn say(self, who: &str, requests: u64, sha256: &[u8; 32]) {
        let Self { nanos, doorbells, partition_calls } = self;
        say!(
            "FIGURES who={who} requests={requests} nanos={nanos} doorbells={doorbells} \
             partition_calls={partition_calls} sha256={}",
            Hex(sha256)
        );
    }
}

/// VM 1.
pub(super) fn run() {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(DEVICE).expect("doorbell of the device");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    let Ok(Some(dev_num)) = find_block_device(&bus) else { panic!("no disk") };
    let areas = Areas::grant(&bus, PAGES).expect("areas");
    let unmodified = unmodified(&bus, dev_num, &doorbells);
    let why = unmodified.as_ref().err();
    check!("transfer/unmodified_driver_read_all", why.is_none(), "{}", Maybe(why));
    let own = own(&bus, dev_num, &doorbells);
    let why = own.as_ref().err();
    check!("transfer/own_driver_read_all", why.is_none(), "{}", Maybe(why));
    let areas = areas.take_back(&bus);
    let closed = bus.close().map(|_| ()).map_err(|failed| failed.error);
    let stranded = connection.stranded();
    let down = areas.is_ok() && closed.is_ok() && stranded == 0;
    check!("transfer/figures_torn_down", down, "{areas:?} {closed:?} stranded={stranded}");
    let (Ok(bytes), Ok(())) = (unmodified, own) else { return };
    say!("RESULT job=figures status=ok bytes={bytes} request_bytes={REQUEST}");
}

/// Reads with virtio-drivers' driver, a full queue of it at a time; returns how many bytes.
fn unmodified(bus: &Bus<'_>, dev_num: u16, doorbells: &Doorbells<'_>) -> Result<u64, Failed> {
    let tables = Tables::lend().ok_or(Failed::TooShort)?;
    let slots = Slots::take(REQUEST, Place::InAreas).ok_or(Failed::TooShort)?;
    let health = Health::new();
    let kicks = Gathered::new(doorbells, DEVICE);
    let mut disk = Opener { bus, dev_num, kicks: &kicks }.open(&health, slots)?;
    let total = disk.len_bytes().min(MOST);
    settle(&mut disk)?;
    let mut digest = Digest::new();
    read_all(&mut disk, total, |payload, len| digest.add(payload, len))?;
    let before = (disk.requests(), Spent::now());
    read_all(&mut disk, total, |_, _| Ok(()))?;
    let spent = Spent::since(before.1);
    spent.say("unmodified", disk.requests().saturating_sub(before.0), &digest.finish());
    say!("FIGURES who=depth unmodified={SLOTS} own={DEPTH}");
    drop(disk);
    drop(tables);
    Ok(total)
}

fn read_all(
    disk: &mut Disk<'_, '_>,
    total: u64,
    mut take: impl FnMut(&mut Payload, usize) -> Result<(), OutOfWindow>,
) -> Result<(), Failed> {
    let mut asked = 0;
    while asked < total {
        while asked < total && disk.has_room() {
            let len = usize::try_from(total - asked).map_or(REQUEST, |left| left.min(REQUEST));
            disk.submit(Way::Read, asked, len, |_| Ok(()))?;
            asked += u64::try_from(len).map_err(|_| Failed::TooShort)?;
        }
        disk.ring()?;
        while disk.is_busy() {
            disk.finish_oldest(&mut take)?;
        }
    }
    Ok(())
}

/// Reads with our own driver, then copies as many bytes within this VM.
fn own<'c>(bus: &Bus<'c>, dev_num: u16, doorbells: &Doorbells<'c>) -> Result<(), Failed> {
    let grants = OwnDisk::grant(bus)?;
    let outcome = with_own(bus, dev_num, doorbells, &grants);
    let back = grants.take_back(bus);
    outcome.and(back.map_err(Failed::Transport))
}

fn with_own<'c>(
    bus: &Bus<'c>,
    dev_num: u16,
    doorbells: &Doorbells<'c>,
    grants: &Grants<'c>,
) -> Result<(), Failed> {
    let payload = grants.payload()?;
    let mut disk = OwnDisk::open(bus, dev_num, doorbells, grants)?;
    let total = disk.len_bytes().min(MOST);
    let mut digest = Digest::new();
    disk.read_all(total, Some(&mut digest))?;
    let before = (disk.requests(), Spent::now());
    disk.read_all(total, None)?;
    let spent = Spent::since(before.1);
    spent.say("own", disk.requests().saturating_sub(before.0), &digest.finish());
    bus.end_device(dev_num)?;
    let before = Spent::now();
    copy(payload, total)?;
    let spent = Spent::since(before);
    say!("FIGURES who=plain_copy nanos={}", spent.nanos);
    Ok(())
}

/// Copies `total` bytes of shared memory to private memory, a request's worth at a time: what a VM
/// needs at the very least to have the bytes moved once.
fn copy(from: &Window, total: u64) -> Result<(), Failed> {
    let mut private = vec![0; REQUEST];
    let room = u64::try_from(from.len_bytes()).map_err(|_| Failed::TooShort)?;
    let mut done = 0;
    while done < total {
        let len = usize::try_from(total - done).map_or(REQUEST, |left| left.min(REQUEST));
        from.read(done % room, &mut private[..len])?;
        done += u64::try_from(len).map_err(|_| Failed::TooShort)?;
    }
    Ok(())
}
