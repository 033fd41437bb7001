//! Revoke: the owner takes an offer back in each state. Never uses the client library, whose types
//! would not let a peer accept what was revoked.

use super::lock::reclaim_denied;
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::rt::{Boot, pages, signal};
use causeway_abi::{GrantKind, LifeState, Status};

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");

    let handle = offer(&mailbox);
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 1, "the peer saw the offer");
    let met = calls::revoke(handle).and_then(|_| calls::reclaim(handle).map_err(Met::Ffa));
    check!("revoke/unaccepted_offer_is_reclaimed", met.is_ok(), "{met:?}");
    signal::send(2, 1);
    assert_eq!(signal::receive(2), 2, "the peer tried to accept");

    let handle = offer(&mailbox);
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 3, "the peer accepted");
    let met = calls::revoke(handle).and_then(|_| calls::reclaim(handle).map_err(Met::Ffa));
    check!("revoke/accepted_but_unmapped_is_reclaimed", met.is_ok(), "{met:?}");
    signal::send(2, 3);
    assert_eq!(signal::receive(2), 4, "the peer tried to retrieve");

    let handle = offer(&mailbox);
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 5, "the peer mapped");
    let revoked = calls::revoke(handle);
    let refused = reclaim_denied(handle);
    let locked = revoked == Ok(LifeState::Releasing) && refused.0;
    check!("revoke/mapped_stays_locked", locked, "{revoked:?} {:?}", refused.1);
    signal::send(2, 5);
    assert_eq!(signal::receive(2), 6, "the peer relinquished");
    let met = calls::reclaim(handle);
    check!("revoke/mapped_is_reclaimed_after_relinquish", met.is_ok(), "{met:?}");
}

fn offer(mailbox: &Mailbox) -> u64 {
    let area = pages::take(1);
    let handle = mailbox.share(area, 1, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    handle
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");

    let handle = signal::receive(1);
    let seen = calls::inspect(handle).expect("inspect");
    signal::send(1, 1);
    assert_eq!(signal::receive(1), 1, "the owner revoked");
    let call = causeway_abi::Call::Accept { handle: calls::name(handle), seen };
    let met = calls::partition(&call);
    let refused = met == Err(Met::Status(Status::NoSuchGrant));
    check!("revoke/accept_after_revoke_is_refused", refused, "{met:?}");
    signal::send(1, 2);

    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    signal::send(1, 3);
    assert_eq!(signal::receive(1), 3, "the owner revoked");
    let met = mailbox.retrieve(1, handle, &[PARTITION, 2]);
    check!("revoke/retrieve_after_revoke_is_refused", met.is_err(), "{met:?}");
    signal::send(1, 4);

    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    signal::send(1, 5);
    assert_eq!(signal::receive(1), 5, "the owner revoked");
    let met = calls::state(handle);
    let releasing = met == Ok(LifeState::Releasing);
    check!("revoke/peer_of_a_mapped_revoke_sees_releasing", releasing, "{met:?}");
    mailbox.relinquish(handle).expect("relinquish");
    let met = calls::release(handle);
    assert!(
        matches!(met, Ok(LifeState::Released) | Err(Met::Status(Status::NoSuchGrant))),
        "release: {met:?}"
    );
    signal::send(1, 6);
}
