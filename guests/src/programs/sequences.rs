//! Two VMs on two cores make the partition fetch long descriptors in fragments and give short ones
//! back at the same time: TF-A 2.12 stops for good if a partition does that from two cores at once
//! (KB-21). Never proves that it cannot happen: it gives it thousands of chances.

use crate::calls::{self, Mailbox, Met, PARTITION, id};
use crate::check;
use crate::descriptor::Descriptor;
use crate::rt::{Boot, layout, pages, signal, time};
use alloc::vec::Vec;
use causeway_abi::{GrantKind, LifeState};

/// Ranges of one page each: three fragments.
const RANGES: u64 = 600;
const LONG_ROUNDS: u32 = 60;
const SHORT_ROUNDS: u32 = 600;
/// The other VM may be much slower under emulation on a busy machine.
const MILLIS: u64 = 120_000;

/// VM 1.
pub(super) fn long(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take_untouched(2 * RANGES);
    let ranges: Vec<(u64, u32)> =
        (0..RANGES).map(|index| (area + 2 * index * layout::PAGE_LEN, 1)).collect();
    let descriptor = Descriptor::send(1, &[PARTITION], &ranges);
    let (wrong, begin, end) =
        rounds(3, LONG_ROUNDS, || mailbox.send_long(id::SHARE, &descriptor).map_err(Met::Ffa));
    let their_begin = signal::receive_within(3, MILLIS);
    let their_end = signal::receive(3);
    check!("sequences/fragmented_lives_all_end", wrong == 0, "{wrong} of {LONG_ROUNDS}");
    let common = end.min(their_end).saturating_sub(begin.max(their_begin));
    let shorter = (end - begin).min(their_end.saturating_sub(their_begin));
    check!("sequences/overlapped_in_time", common > shorter / 2, "{common} of {shorter} us");
}

/// VM 3.
pub(super) fn short(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(1);
    let (wrong, begin, end) =
        rounds(1, SHORT_ROUNDS, || mailbox.share(area, 1, &[PARTITION]).map_err(Met::Ffa));
    signal::send_within(1, begin, MILLIS);
    signal::send(1, end);
    check!("sequences/short_lives_all_end", wrong == 0, "{wrong} of {SHORT_ROUNDS}");
}

/// Lives of a local area, from share to reclaim, from when both VMs are ready; how many went wrong.
fn rounds(other: u16, count: u32, share: impl Fn() -> Result<u64, Met>) -> (u32, u64, u64) {
    if other == 3 {
        signal::send(other, 1);
        assert_eq!(signal::receive(other), 1, "VM {other} is ready");
    } else {
        assert_eq!(signal::receive(other), 1, "VM {other} is ready");
        signal::send(other, 1);
    }
    let begin = time::now_micros();
    let mut wrong = 0;
    for _ in 0..count {
        let good = share().is_ok_and(|handle| {
            calls::offer(handle, 0, GrantKind::Share).is_ok()
                && calls::revoke(handle) == Ok(LifeState::Released)
                && calls::reclaim(handle).is_ok()
        });
        wrong += u32::from(!good);
    }
    (wrong, begin, time::now_micros())
}
