//! VM 3 is the peer of a grant of VM 2 and breaks one rule of each of its calls; VM 2 makes the peer's
//! calls on its own grant. Each is refused by its name, and the grant stays where it was.

use super::audit;
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::records::{Dump, Told};
use crate::rt::{Boot, client, pages, signal};
use causeway_abi::{
    Call, CallId, GrantKind, GrantSummary, LedgerScope, LifeState, Permission, Status,
};
use causeway_client::Connection;
use causeway_client::conduit::Hvc;
use causeway_ffa::EndpointId;

/// How long a VM waits for another's part.
const MILLIS: u64 = 60_000;
const SEED: u64 = 0x7ef0;

fn is_refused<T>(met: &Result<T, Met>, status: Status) -> bool {
    matches!(met, Err(Met::Status(found)) if *found == status)
}

fn accept_as(handle: u64, seen: GrantSummary) -> Result<[u64; 4], Met> {
    calls::partition(&Call::Accept { handle: calls::name(handle), seen })
}

fn reject(handle: u64, generation: u32) -> Result<[u64; 4], Met> {
    calls::partition(&Call::Reject { handle: calls::name(handle), generation })
}

/// What is refused to whom (VM, call, status), each at least once.
const REFUSED: [(u16, CallId, Status); 10] = [
    (2, CallId::Inspect, Status::NoSuchGrant),
    (2, CallId::Accept, Status::NoSuchGrant),
    (2, CallId::Reject, Status::NoSuchGrant),
    (2, CallId::Release, Status::NoSuchGrant),
    (3, CallId::Inspect, Status::BadArgument),
    (3, CallId::Accept, Status::TermsChanged),
    (3, CallId::Accept, Status::WrongState),
    (3, CallId::Reject, Status::TermsChanged),
    (3, CallId::Reject, Status::WrongState),
    (3, CallId::Release, Status::WrongState),
];

/// VM 1: reads the ledger when both are through.
pub(super) fn auditor(_boot: &Boot) {
    let connection = Connection::open(&Hvc, client::mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 and VM 3 are through");
    let read = audit::dump(&reader, LedgerScope::All).expect("the whole ledger");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let is_there = |(vm, call, status): &(u16, CallId, Status)| {
        let told = Told::Refused(call.number(), status.code());
        dump.count(|r| r.subject == *vm && r.told == told) > 0
    };
    let missing = REFUSED.iter().find(|refusal| !is_there(refusal));
    check!("refusals/each_is_in_the_ledger", missing.is_none(), "{missing:?}");
    audit::print(&read);
}

/// VM 2.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(3);
    pages::fill(area, 3, SEED);
    let give = || {
        let handle = mailbox.share(area, 3, &[PARTITION, 3]).expect("share");
        calls::offer(handle, 3, GrantKind::Share).expect("offer");
        handle
    };
    let handle = give();
    let seen = GrantSummary {
        owner: EndpointId::from_raw(2),
        permission: Permission::ReadWrite,
        kind: GrantKind::Share,
        generation: 1,
        page_count: 3,
        range_count: 1,
        fold: 0,
    };
    let met = [
        calls::inspect(handle).map(|_| ()),
        accept_as(handle, seen).map(|_| ()),
        reject(handle, 1).map(|_| ()),
        calls::release(handle).map(|_| ()),
    ];
    let refused = met.iter().all(|met| is_refused(met, Status::NoSuchGrant));
    let same = calls::state(handle) == Ok(LifeState::Offered);
    check!("refusals/owner_is_no_peer", refused && same, "{met:?} {same}");

    signal::send(3, handle);
    assert_eq!(signal::receive(3), 1, "VM 3 has rejected it");
    let gone = is_refused(&calls::state(handle), Status::NoSuchGrant);
    let met = calls::reclaim(handle);
    let back = met.is_ok() && pages::holds(area, 3, SEED);
    check!("refusals/rejected_offer_is_reclaimed", gone && back, "{gone} {met:?}");

    let handle = give();
    signal::send(3, handle);
    assert_eq!(signal::receive(3), 2, "VM 3 let go");
    calls::reclaim(handle).expect("reclaim");
    signal::send_within(1, 1, MILLIS);
}

/// VM 3.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(2);
    let still = |state: LifeState| calls::state(handle) == Ok(state);
    let seen = calls::inspect(handle).expect("inspect");
    let inspect = Call::Inspect { handle: calls::name(handle), range_index: seen.range_count };
    let met = calls::partition(&inspect);
    let refused = is_refused(&met, Status::BadArgument) && still(LifeState::Offered);
    check!("refusals/range_that_is_not_there", refused, "{met:?}");

    let others = [
        GrantSummary { owner: EndpointId::from_raw(1), ..seen },
        GrantSummary { permission: Permission::ReadOnly, ..seen },
        GrantSummary { kind: GrantKind::Lend, ..seen },
        GrantSummary { generation: seen.generation.wrapping_add(1), ..seen },
        GrantSummary { page_count: seen.page_count - 1, ..seen },
        GrantSummary { range_count: seen.range_count + 1, ..seen },
        GrantSummary { fold: seen.fold ^ 1, ..seen },
    ];
    let met = others.map(|other| accept_as(handle, other));
    let refused = met.iter().all(|met| is_refused(met, Status::TermsChanged));
    let offered = still(LifeState::Offered);
    check!("refusals/accept_of_other_terms", refused && offered, "{met:?} {offered}");

    let met = reject(handle, seen.generation.wrapping_add(1));
    let refused = is_refused(&met, Status::TermsChanged) && still(LifeState::Offered);
    check!("refusals/reject_of_another_generation", refused, "{met:?}");
    let met = calls::release(handle);
    let refused = is_refused(&met, Status::WrongState) && still(LifeState::Offered);
    check!("refusals/release_before_accept", refused, "{met:?}");
    reject(handle, seen.generation).expect("an honest reject");
    signal::send(2, 1);

    let handle = signal::receive(2);
    let still = |state: LifeState| calls::state(handle) == Ok(state);
    let seen = calls::accept(handle).expect("accept");
    let met = accept_as(handle, seen);
    let refused = is_refused(&met, Status::WrongState) && still(LifeState::Accepted);
    check!("refusals/second_accept", refused, "{met:?}");
    let met = reject(handle, seen.generation);
    let refused = is_refused(&met, Status::WrongState) && still(LifeState::Accepted);
    check!("refusals/reject_after_accept", refused, "{met:?}");
    let met = (calls::revoke(handle), calls::offer(handle, 2, GrantKind::Share));
    let refused = is_refused(&met.0, Status::NoSuchGrant) && met.1.is_err();
    check!("refusals/peer_is_no_owner", refused && still(LifeState::Accepted), "{met:?}");

    let address = mailbox.retrieve(2, handle, &[PARTITION, 3]).expect("retrieve");
    let holds = still(LifeState::Active) && pages::holds(address, 3, SEED);
    mailbox.relinquish(handle).expect("relinquish");
    let released = calls::release(handle);
    let right = holds && released == Ok(LifeState::Released);
    check!("refusals/honest_life_goes_on", right, "{holds} {released:?}");
    signal::send(2, 2);
}
