//! Retrieve before accept: the monitor maps nothing that the partition has not seen accepted.
//! Never uses the client library, whose types would not let a peer try.

use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::rt::{Boot, pages, signal};
use causeway_abi::{Call, GrantKind, GrantSummary, Status};

const SEED: u64 = 0xacce;

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(2);
    pages::fill(area, 2, SEED);
    let handle = mailbox.share(area, 2, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 1, "the peer let go");
    let met = calls::reclaim(handle);
    check!("unaccepted/reclaimed", met.is_ok(), "{met:?}");
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    let met = mailbox.retrieve(1, handle ^ 0x5a5a_0000, &[PARTITION, 2]);
    check!("unaccepted/retrieve_of_invented_handle_is_refused", met.is_err(), "{met:?}");
    let met = mailbox.retrieve(1, handle, &[PARTITION, 2]);
    check!("unaccepted/retrieve_before_accept_is_refused", met.is_err(), "{met:?}");

    let seen = calls::inspect(handle).expect("inspect");
    let other = GrantSummary { page_count: seen.page_count + 1, ..seen };
    let met = calls::partition(&Call::Accept { handle: calls::name(handle), seen: other });
    let refused = met == Err(Met::Status(Status::TermsChanged))
        && mailbox.retrieve(1, handle, &[PARTITION, 2]).is_err();
    check!("unaccepted/accept_of_other_terms_is_refused", refused, "{met:?}");

    calls::partition(&Call::Accept { handle: calls::name(handle), seen }).expect("accept");
    let met = mailbox.retrieve(1, handle, &[PARTITION, 2]);
    let works = met.is_ok_and(|address| pages::holds(address, 2, SEED));
    check!("unaccepted/retrieve_after_accept_works", works, "{met:?}");
    mailbox.relinquish(handle).expect("relinquish");
    calls::release(handle).expect("release");
    signal::send(1, 1);
}
