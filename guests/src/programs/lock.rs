//! The lock: the owner's reclaim is refused until the peer really let go. Never uses the client
//! library, whose types would not let an owner try.

use crate::calls::{self, Mailbox, PARTITION, Refused};
use crate::check;
use crate::rt::{Boot, access, pages, signal};
use causeway_abi::{GrantKind, LifeState, Status};
use causeway_ffa::FfaError;

const PAGES: u32 = 4;
const SEED: u64 = 0x10c4;

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(PAGES.into());
    pages::fill(area, PAGES.into(), SEED);
    let handle = mailbox.share(area, PAGES, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    let refused = reclaim_denied(handle);
    check!("lock/reclaim_refused_while_offered", refused.0, "{:?}", refused.1);

    signal::send(2, handle);
    assert_eq!(signal::receive(2), 1, "the peer accepted");
    let refused = reclaim_denied(handle);
    check!("lock/reclaim_refused_while_accepted", refused.0, "{:?}", refused.1);
    signal::send(2, 2);
    assert_eq!(signal::receive(2), 2, "the peer mapped");
    let refused = reclaim_denied(handle);
    check!("lock/reclaim_refused_while_mapped", refused.0, "{:?}", refused.1);
    signal::send(2, 3);
    assert_eq!(signal::receive(2), 3, "the peer lied");
    let refused = reclaim_denied(handle);
    check!("lock/reclaim_refused_after_false_release", refused.0, "{:?}", refused.1);
    signal::send(2, 4);
    assert_eq!(signal::receive(2), 4, "the peer let go");
    let used = access::read_u64(area) == !SEED;
    check!("lock/peer_really_used_the_memory", used);
    let reclaimed = calls::reclaim(handle);
    check!("lock/reclaim_succeeds_after_true_release", reclaimed.is_ok(), "{reclaimed:?}");
    let state = calls::state(handle);
    let forgotten = state == Err(calls::Met::Status(Status::NoSuchGrant));
    check!("lock/grant_is_forgotten_after_reclaim", forgotten, "{state:?}");
}

/// Tries to reclaim; true if it was denied.
pub(super) fn reclaim_denied(handle: u64) -> (bool, Result<(), Refused>) {
    let met = calls::reclaim(handle);
    (matches!(met, Err(Refused { error: FfaError::Denied, .. })), met)
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    signal::send(1, 1);
    assert_eq!(signal::receive(1), 2, "the owner tried");
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    assert!(pages::holds(address, PAGES.into(), SEED), "the owner's content");
    signal::send(1, 2);
    assert_eq!(signal::receive(1), 3, "the owner tried");
    // "Released", says the peer, and still maps it.
    let lie = calls::release(handle);
    let releasing = lie == Ok(LifeState::Releasing);
    check!("lock/false_release_leaves_it_releasing", releasing, "{lie:?}");
    access::write_u64(address, !SEED);
    signal::send(1, 3);
    assert_eq!(signal::receive(1), 4, "the owner tried");
    mailbox.relinquish(handle).expect("relinquish");
    let truth = calls::release(handle);
    let gone =
        matches!(truth, Ok(LifeState::Released) | Err(calls::Met::Status(Status::NoSuchGrant)));
    check!("lock/true_release_is_released", gone, "{truth:?}");
    signal::send(1, 4);
}
