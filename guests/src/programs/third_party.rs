//! A third VM that knows the handle of somebody else's grant, and can do nothing with it: what it
//! gets is what it gets for a handle that never was. Never uses the client library.

use super::bystander;
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::rt::{Boot, signal};
use causeway_abi::{
    Call, GrantKind, GrantSummary, GrantTerms, LifeState, Permission, RangeFold, Status,
};
use causeway_ffa::{EndpointId, PageAddr, PageRange};

/// A handle that the SPMC does not give out: it counts up from 0xffffffc0 in 32 bits.
const fn invented(handle: u64) -> u64 {
    handle ^ (1 << 40)
}

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let owned = bystander::offer();
    // Round 1: the grant is offered and could be accepted. Round 2: it is active.
    signal::send(3, owned.handle);
    signal::send(3, owned.area());
    let first = signal::receive(3) == 1 && owned.is_unaffected(LifeState::Offered);
    owned.hand_over();
    signal::send(3, owned.handle);
    signal::send(3, owned.area());
    let second = signal::receive(3) == 1 && owned.is_unaffected(LifeState::Active);
    let down = owned.take_down();
    check!("third_party/owner_unaffected", first && second && down, "{first} {second} {down}");
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let unaffected = bystander::peer();
    check!("third_party/peer_unaffected", unaffected);
}

/// What one round of attacks found; true: as for an invented handle, and refused.
#[derive(Clone, Copy, Debug)]
struct Round {
    list: bool,
    events: bool,
    partition: [bool; 7],
    hypervisor: bool,
    monitor: [bool; 3],
}

/// VM 3.
pub(super) fn hostile(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let first = round(&mailbox);
    signal::send(1, 1);
    let second = round(&mailbox);
    signal::send(1, 1);
    let list = first.list && second.list;
    check!("third_party/list_is_empty", list);
    let events = first.events && second.events;
    check!("third_party/no_event_waits", events);
    let both = |index: usize| first.partition[index] && second.partition[index];
    check!("third_party/state_is_as_of_an_invented_handle", both(0));
    check!("third_party/inspect_is_as_of_an_invented_handle", both(1));
    check!("third_party/accept_is_as_of_an_invented_handle", both(2));
    check!("third_party/reject_is_as_of_an_invented_handle", both(3));
    check!("third_party/release_is_as_of_an_invented_handle", both(4));
    check!("third_party/revoke_is_as_of_an_invented_handle", both(5));
    check!("third_party/offer_is_as_of_an_invented_handle", both(6));
    let hypervisor = first.hypervisor && second.hypervisor;
    check!("third_party/hypervisor_calls_are_refused", hypervisor);
    let both = |index: usize| first.monitor[index] && second.monitor[index];
    check!("third_party/retrieve_is_as_of_an_invented_handle", both(0));
    check!("third_party/relinquish_is_as_of_an_invented_handle", both(1));
    check!("third_party/reclaim_is_as_of_an_invented_handle", both(2));
}

fn round(mailbox: &Mailbox) -> Round {
    let handle = signal::receive(1);
    let area = signal::receive(1);
    let [reject, release] = [
        |h| Call::Reject { handle: calls::name(h), generation: 1 },
        |h| Call::Release { handle: calls::name(h) },
    ];
    Round {
        list: calls::first_offer() == Ok(None),
        events: calls::partition(&Call::Events) == Ok([0; 4]),
        partition: [
            same(handle, |h| Call::State { handle: calls::name(h) }),
            same(handle, |h| Call::Inspect { handle: calls::name(h), range_index: 0 }),
            same(handle, |h| Call::Accept { handle: calls::name(h), seen: best_guess(area) }),
            same(handle, reject),
            same(handle, release),
            same(handle, |h| Call::Revoke { handle: calls::name(h) }),
            same(handle, offer_to_nobody) && same(handle, offer_to_peer),
        ],
        hypervisor: hypervisor_calls(handle),
        monitor: [
            same_ffa(handle, |h| mailbox.retrieve(1, h, &[PARTITION, 3]).map(|_| ()))
                && same_ffa(handle, |h| mailbox.retrieve(1, h, &[PARTITION, 2]).map(|_| ())),
            same_ffa(handle, |h| mailbox.relinquish(h)),
            same_ffa(handle, calls::reclaim),
        ],
    }
}

/// Makes a call with the true handle and with an invented one: both must be refused alike.
fn same(handle: u64, call: impl Fn(u64) -> Call) -> bool {
    let met = calls::partition(&call(handle));
    met.is_err() && met == calls::partition(&call(invented(handle)))
}

fn same_ffa(handle: u64, call: impl Fn(u64) -> Result<(), calls::Refused>) -> bool {
    let met = call(handle);
    met.is_err() && met == call(invented(handle))
}

fn offer_to_nobody(handle: u64) -> Call {
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    Call::Offer { handle: calls::name(handle), terms, tag: 0 }
}

fn offer_to_peer(handle: u64) -> Call {
    // What policy allows, so that it is the handle that is refused.
    let terms = GrantTerms {
        peer: Some(EndpointId::from_raw(2)),
        kind: GrantKind::Share,
        permission: Permission::ReadOnly,
    };
    Call::Offer { handle: calls::name(handle), terms, tag: 0 }
}

fn hypervisor_calls(handle: u64) -> bool {
    let handle = calls::name(handle);
    let vm = EndpointId::from_raw(3);
    [
        Call::HypMapping { handle, vm },
        Call::HypUnmapped { handle, vm: EndpointId::from_raw(2) },
        Call::HypPoll,
        Call::HypRegister { sgi: 1, core: 0 },
        Call::Stats { page: 0 },
    ]
    .iter()
    .all(|call| calls::partition(call) == Err(Met::Status(Status::NotHypervisor)))
}

/// The summary as VM 2 would see it, had this VM learnt all of it some other way: VM 1's RAM
/// begins at 0x80000000, its first grant has generation 1.
fn best_guess(area: u64) -> GrantSummary {
    let address = PageAddr::new(area - 0x4000_0000 + 0x8000_0000);
    let range = address.and_then(|start| PageRange::new(start, 3));
    GrantSummary {
        owner: EndpointId::from_raw(1),
        permission: Permission::ReadWrite,
        kind: GrantKind::Share,
        generation: 1,
        page_count: 3,
        range_count: 1,
        fold: range.map_or(0, |range| RangeFold::new().with(range).get()),
    }
}
