//! Stage-2 faults: after relinquish at the peer, on lend at the owner. The faults are real: the
//! monitor reports each and skips the instruction. Never uses the client library.

use crate::calls::{self, Mailbox, PARTITION, id};
use crate::check;
use crate::descriptor::Descriptor;
use crate::rt::hvc::{self, vendor};
use crate::rt::{Boot, access, pages, signal};
use causeway_abi::GrantKind;

const SEED: u64 = 0xfa17;
const MARK: u64 = 0x1122_3344_5566_7788;

/// Asks the monitor whether this VM's stage 2 allows an access.
fn probe(address: u64, write: u64) -> bool {
    hvc::call([vendor::PROBE, address, write, 0, 0, 0, 0, 0])[0] == 1
}

/// Lets the next `count` stage-2 aborts skip their instruction.
fn skip_faults(count: u64) {
    hvc::call([vendor::FAULT_SKIP, count, 0, 0, 0, 0, 0, 0]);
}

/// VM 1 of `fault_after_relinquish`.
pub(super) fn relinquish_owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(1);
    pages::fill(area, 1, SEED);
    let handle = mailbox.share(area, 1, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 1, "the peer is through");
    let first = access::read_u64(area);
    calls::reclaim(handle).expect("reclaim");
    check!("fault_after_relinquish/memory_is_unchanged", first == MARK, "{first:#x}");
}

/// VM 2 of `fault_after_relinquish`.
pub(super) fn relinquish_peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    let before = pages::holds(address, 1, SEED) && probe(address, 0) && probe(address, 1);
    access::write_u64(address, MARK);
    let before = before && access::try_read(address) == Some(MARK);
    check!("fault_after_relinquish/access_works_before", before);
    mailbox.relinquish(handle).expect("relinquish");
    let unmapped = !probe(address, 0) && !probe(address, 1);
    check!("fault_after_relinquish/probe_says_unmapped", unmapped);
    skip_faults(2);
    let read = access::try_read(address);
    check!("fault_after_relinquish/read_faults", read.is_none(), "{read:?}");
    access::write_u64(address, !MARK);
    // The owner looks at the memory; here it is enough that the store did not go through either.
    skip_faults(1);
    let read = access::try_read(address);
    check!("fault_after_relinquish/write_faults", read.is_none(), "{read:?}");
    skip_faults(0);
    calls::release(handle).expect("release");
    signal::send(1, 1);
}

/// VM 1 of `fault_on_lend`.
pub(super) fn lend_owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(1);
    pages::fill(area, 1, SEED);
    let lent = Descriptor::send(1, &[PARTITION, 2], &[(area, 1)]);
    let handle = mailbox.send(id::LEND, &lent).expect("lend");
    let unmapped = !probe(area, 0) && !probe(area, 1);
    check!("fault_on_lend/probe_says_unmapped", unmapped);
    calls::offer(handle, 2, GrantKind::Lend).expect("offer");
    skip_faults(1);
    let read = access::try_read(area);
    check!("fault_on_lend/read_faults", read.is_none(), "{read:?}");
    skip_faults(1);
    access::write_u64(area, !MARK);
    signal::send(2, handle);
    // The peer sees the owner's content, not what the owner tried to write.
    let untouched = signal::receive(2) == 1;
    check!("fault_on_lend/write_faults", untouched);
    skip_faults(0);
    calls::reclaim(handle).expect("reclaim");
    let back = probe(area, 0) && probe(area, 1) && access::try_read(area) == Some(MARK);
    access::write_u64(area, SEED);
    let back = back && access::try_read(area) == Some(SEED);
    check!("fault_on_lend/access_returns_after_reclaim", back);
}

/// VM 2 of `fault_on_lend`.
pub(super) fn lend_peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    let untouched = pages::holds(address, 1, SEED);
    access::write_u64(address, MARK);
    let used = access::try_read(address) == Some(MARK);
    check!("fault_on_lend/peer_uses_lent_memory", untouched && used);
    mailbox.relinquish(handle).expect("relinquish");
    calls::release(handle).expect("release");
    signal::send(1, u64::from(untouched));
}
