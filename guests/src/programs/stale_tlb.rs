//! Stale translations: what one processor of a VM gives back, its other processor cannot reach
//! either, though it used the translation a moment ago and never left its core since (KB-26). Never
//! shows that stores in flight are drained: QEMU has none.

use crate::calls::{self, Mailbox, PARTITION};
use crate::check;
use crate::rt::hvc::{self, vendor};
use crate::rt::second::Second;
use crate::rt::{Boot, access, pages, signal};
use causeway_abi::GrantKind;

/// Each gives a stale translation another chance to survive; a core that was interrupted in between
/// has none any more.
const ROUNDS: u64 = 12;
const MARK: u64 = 0x57a1_e000_0000_0000;
const MILLIS: u64 = 5_000;

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(1);
    let mut reclaimed = 0;
    for round in 0..ROUNDS {
        access::write_u64(area, MARK | round);
        let handle = mailbox.share(area, 1, &[PARTITION, 2]).expect("share");
        calls::offer(handle, 2, GrantKind::Share).expect("offer");
        signal::send(2, handle);
        assert_eq!(signal::receive(2), 1, "the peer is through");
        reclaimed += u64::from(calls::reclaim(handle).is_ok());
    }
    check!("stale_tlb/reclaimed_each_time", reclaimed == ROUNDS, "{reclaimed}");
}

/// VM 2, with two processors.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let mut second = None;
    let (mut warm, mut faulted) = (0, 0);
    let mut stale = None;
    for round in 0..ROUNDS {
        let handle = signal::receive(1);
        calls::accept(handle).expect("accept");
        let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
        let second = second.get_or_insert_with(|| Second::start(address).expect("CPU_ON"));
        // The window hands out the same address each time, or the second processor reads another.
        second.look_at(address);
        warm += u64::from(second.read(MILLIS) == Some(MARK | round));
        mailbox.relinquish(handle).expect("relinquish");
        hvc::call([vendor::FAULT_SKIP, 1, 0, 0, 0, 0, 0, 0]);
        let read = second.read(MILLIS);
        stale = stale.or(read);
        faulted += u64::from(read.is_none() && second.has_answered());
        hvc::call([vendor::FAULT_SKIP, 0, 0, 0, 0, 0, 0, 0]);
        calls::release(handle).expect("release");
        signal::send(1, 1);
    }
    if let Some(second) = second {
        second.stop();
    }
    check!("stale_tlb/second_processor_reads_what_is_mapped", warm == ROUNDS, "{warm}");
    check!(
        "stale_tlb/second_processor_faults_after_relinquish",
        faulted == ROUNDS,
        "{faulted} of {ROUNDS}, read {stale:x?}"
    );
}
