//! A peer that never lets go: after the partition's deadline the monitor unmaps it by force, and
//! the owner gets its memory back. Never waits longer than a multiple of that deadline.

use super::lock::reclaim_denied;
use crate::calls::{self, Mailbox, PARTITION};
use crate::check;
use crate::rt::hvc::{self, vendor};
use crate::rt::{Boot, access, pages, signal, time};
use causeway_abi::{GrantKind, LifeState};

const SEED: u64 = 0xdead;
/// Several times `unmap-deadline-ms` of the manifest.
const MILLIS: u64 = 15_000;

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(1);
    pages::fill(area, 1, SEED);
    let handle = mailbox.share(area, 1, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 1, "VM 2 maps the grant");
    let revoked = calls::revoke(handle);
    let refused = reclaim_denied(handle);
    let locked = revoked == Ok(LifeState::Releasing) && refused.0;
    check!("deadline/locked_before_the_deadline", locked, "{revoked:?} {:?}", refused.1);
    let mut met = refused.1;
    let came = time::wait_until(MILLIS, || {
        signal::fetch();
        met = calls::reclaim(handle);
        met.is_ok()
    });
    check!("deadline/reclaimed_after_the_deadline", came, "{met:?}");
    pages::fill(area, 1, !SEED);
    signal::send(2, 2);
    assert_eq!(signal::receive(2), 2, "VM 2 tried to write");
    let kept = pages::holds(area, 1, !SEED);
    check!("deadline/peer_cannot_write_any_more", kept);
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    let mapped = pages::holds(address, 1, SEED);
    signal::send(1, 1);
    // Revoked, and the deadline passed, while this VM did nothing.
    assert_eq!(signal::receive(1), 2, "VM 1 has its memory back");
    hvc::call([vendor::FAULT_SKIP, 2, 0, 0, 0, 0, 0, 0]);
    let read = access::try_read(address);
    access::write_u64(address, SEED);
    hvc::call([vendor::FAULT_SKIP, 0, 0, 0, 0, 0, 0, 0]);
    check!("deadline/peers_access_faults", mapped && read.is_none(), "{mapped} {read:x?}");
    signal::send(1, 2);
}
