//! Owns this VM's pending notifications and the tests' words between VMs; never loses a bit that
//! somebody else waits for.
//!
//! Bits 0-7 of the VM bitmap belong to the client library's doorbells. Above them each sender has
//! a lane of eleven bits: eight of data, a strobe, "last byte" and an acknowledgement. A word
//! travels low byte first without its leading zeros, each byte acknowledged, so a word sent is a
//! word received: the tests' meeting point.

use super::{hvc, time};
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

const BIND: u64 = 0x8400_007f;
const SET: u64 = 0x8400_0081;
const GET: u64 = 0x8400_0082;
const SUCCESS_32: u64 = 0x8400_0061;
const SUCCESS_64: u64 = 0xc400_0061;
/// GET: bitmaps of partitions and of VMs.
const FROM_PARTITIONS_AND_VMS: u64 = 0b11;

const DATA: u64 = 0xff;
const STROBE: u64 = 1 << 8;
const LAST: u64 = 1 << 9;
const ACKNOWLEDGE: u64 = 1 << 10;
const LANE: u64 = 0x7ff;

/// How long a VM waits for another before the test fails.
pub const PATIENCE_MILLIS: u64 = 20_000;

static OWN_ID: AtomicU16 = AtomicU16::new(0);
static FROM_VMS: AtomicU64 = AtomicU64::new(0);
static FROM_PARTITION: AtomicU64 = AtomicU64::new(0);

pub(super) fn set_own_id(vm: u16) {
    OWN_ID.store(vm, Ordering::Relaxed);
}

/// Returns this VM's id.
#[must_use]
pub fn own_id() -> u16 {
    OWN_ID.load(Ordering::Relaxed)
}

fn shift(sender: u16) -> u32 {
    8 + 11 * u32::from(sender.saturating_sub(1))
}

fn succeeded(regs: [u64; 8]) -> bool {
    matches!(regs[0] & 0xffff_ffff, SUCCESS_32 | SUCCESS_64)
}

/// Lets the other test VMs send words to this one.
///
/// # Panics
/// If the monitor refuses.
pub fn open() {
    for sender in (1..=3).filter(|vm| *vm != own_id()) {
        let met = bind(sender, LANE << shift(sender));
        assert!(met.is_ok(), "NOTIFICATION_BIND of VM {sender}'s bits refused: {met:x?}");
    }
}

/// Binds bits of this VM's bitmap to a sender.
///
/// # Errors
/// The answer's registers.
pub fn bind(sender: u16, bits: u64) -> Result<(), [u64; 8]> {
    let who = (u64::from(sender) << 16) | u64::from(own_id());
    let answer = hvc::call([BIND, who, 0, bits & 0xffff_ffff, bits >> 32, 0, 0, 0]);
    if succeeded(answer) { Ok(()) } else { Err(answer) }
}

/// Sets bits of another VM's bitmap; false if refused.
#[must_use]
pub fn set(receiver: u16, bits: u64) -> bool {
    let who = (u64::from(own_id()) << 16) | u64::from(receiver);
    succeeded(hvc::call([SET, who, 0, bits & 0xffff_ffff, bits >> 32, 0, 0, 0]))
}

/// Fetches what is pending and keeps it for [`take_from_vms`] and [`take_from_partition`].
pub fn fetch() {
    let regs = hvc::call([GET, u64::from(own_id()), FROM_PARTITIONS_AND_VMS, 0, 0, 0, 0, 0]);
    if succeeded(regs) {
        let word = |low: u64, high: u64| (low & 0xffff_ffff) | (high << 32);
        FROM_PARTITION.fetch_or(word(regs[2], regs[3]), Ordering::Relaxed);
        FROM_VMS.fetch_or(word(regs[4], regs[5]), Ordering::Relaxed);
    }
}

/// Reports whether a byte of a word from another VM was fetched and not taken yet.
#[must_use]
pub fn has_word(sender: u16) -> bool {
    FROM_VMS.load(Ordering::Relaxed) & STROBE << shift(sender) != 0
}

/// Takes those of `bits` that other VMs have set.
#[must_use]
pub fn take_from_vms(bits: u64) -> u64 {
    FROM_VMS.fetch_and(!bits, Ordering::Relaxed) & bits
}

/// Reports whether the partition rang since the last call, and forgets it.
#[must_use]
pub fn take_from_partition() -> bool {
    FROM_PARTITION.swap(0, Ordering::Relaxed) != 0
}

fn wait_for(bits: u64, what: &str, whom: u16, millis: u64) {
    let came = time::wait_until(millis, || {
        fetch();
        take_from_vms(bits) != 0
    });
    assert!(came, "VM {whom} sent no {what}");
}

/// Sends a word to another VM and returns when it has taken it.
///
/// # Panics
/// If the other VM does not take it in time.
pub fn send(receiver: u16, word: u64) {
    send_within(receiver, word, PATIENCE_MILLIS);
}

/// Sends a word to another VM that may take longer than usual to look.
///
/// # Panics
/// If the other VM does not take it in time.
pub fn send_within(receiver: u16, word: u64, millis: u64) {
    let mut rest = word;
    loop {
        let last = if rest > DATA { 0 } else { LAST };
        let bits = ((rest & DATA) | STROBE | last) << shift(own_id());
        let sent = time::wait_until(PATIENCE_MILLIS, || set(receiver, bits));
        assert!(sent, "VM {receiver} never bound its bits");
        wait_for(ACKNOWLEDGE << shift(receiver), "acknowledgement", receiver, millis);
        if last != 0 {
            return;
        }
        rest >>= 8;
    }
}

/// Receives a word from another VM.
///
/// # Panics
/// If none comes in time.
#[must_use]
pub fn receive(sender: u16) -> u64 {
    receive_within(sender, PATIENCE_MILLIS)
}

/// Receives a word from another VM that may take longer than usual.
///
/// # Panics
/// If none comes in time.
#[must_use]
pub fn receive_within(sender: u16, millis: u64) -> u64 {
    let mut word = 0;
    for place in (0..u64::BITS).step_by(8) {
        wait_for(STROBE << shift(sender), "word", sender, millis);
        let data = take_from_vms((DATA | LAST) << shift(sender)) >> shift(sender);
        word |= (data & DATA) << place;
        let sent =
            time::wait_until(PATIENCE_MILLIS, || set(sender, ACKNOWLEDGE << shift(own_id())));
        assert!(sent, "VM {sender} never bound its bits");
        if data & LAST != 0 {
            break;
        }
    }
    word
}
