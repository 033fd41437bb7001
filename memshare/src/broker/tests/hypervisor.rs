//! Holds the hypervisor's calls, the deadlines and the doorbells.

use super::*;
use crate::event::{Doorbell, Event, Next, Notice};
use crate::lab::Outcome;
use causeway_abi::NO_HANDLE;
use causeway_abi::call::Callers;

fn poll(lab: &mut Small) -> [u64; 4] {
    lab.granted(0, Call::HypPoll)
}

#[test]
fn only_the_hypervisor_speaks_as_one() {
    let mut lab = Small::active(7);
    for call in [
        Call::HypRegister { sgi: 1, core: 0 },
        Call::HypPoll,
        mapping(7, 2),
        unmapped(7, 2),
        unmapped(99, 2),
        Call::Stats { page: 0 },
    ] {
        for caller in [1, 2, 3] {
            lab.refused(caller, call, Status::NotHypervisor);
        }
    }
    lab.refused(0, Call::Events, Status::UnknownCaller);
    lab.refused(0, Call::BusKick, Status::UnknownCaller);
}

/// A frame that the call accepts: every field is 1.
fn frame_of(call: CallId) -> causeway_abi::Frame {
    let mut words = [0u64; 5];
    words[0] = u64::from(call.number()) | u64::from(causeway_abi::VERSION_MAJOR) << 16;
    for field in call.layout().arguments {
        if let Some(word) = words.get_mut(usize::from(field.register).wrapping_sub(3)) {
            *word |= 1 << field.low;
        }
    }
    words
}

#[test]
fn each_call_is_taken_from_those_that_the_interface_names() {
    for id in CallId::ALL {
        let call = Call::decode(&frame_of(*id)).unwrap();
        let met = |caller| {
            let outcome = lab().drive(Event::call(EndpointId::from_raw(caller), &call));
            let Outcome::Reply(reply) = outcome else { return Callers::Both };
            if reply.status == Status::NotHypervisor {
                Callers::Hypervisor
            } else if reply.status == Status::UnknownCaller {
                Callers::Vms
            } else {
                Callers::Both
            }
        };
        let expected = match (met(1), met(0)) {
            (Callers::Hypervisor, Callers::Both) => Callers::Hypervisor,
            (Callers::Both, Callers::Vms) => Callers::Vms,
            (Callers::Both, Callers::Both) => Callers::Both,
            other => panic!("{id:?}: {other:?}"),
        };
        assert_eq!(id.callers(), expected, "{id:?}");
    }
}

#[test]
fn without_a_hypervisor_id_zero_is_an_ordinary_vm() {
    let mut policy = Policy::new();
    policy.add_vm(EndpointId::from_raw(0)).unwrap();
    let mut lab: Small = Lab::new(&policy);
    lab.refused(0, Call::HypPoll, Status::NotHypervisor);
    lab.granted(0, Call::Events);
    let refused = crate::VmVerdict::Refused(Status::NotHypervisor);
    assert_eq!(lab.destroyed(0), refused);
    assert_eq!(lab.created(1), refused);
}

#[test]
fn only_an_accepted_grant_may_be_mapped() {
    let mut lab = Small::offered(7);
    lab.refused(0, mapping(7, 2), Status::NoSuchGrant);
    let mut lab = Small::accepted(7);
    lab.refused(0, mapping(7, 1), Status::NoSuchGrant);
    lab.refused(0, mapping(7, 3), Status::NoSuchGrant);
    lab.refused(0, mapping(7, 9), Status::NoSuchGrant);
    lab.refused(0, mapping(8, 2), Status::NoSuchGrant);
    lab.granted(0, mapping(7, 2));
    lab.state_is(1, 7, LifeState::Active);
}

#[test]
fn a_second_mapping_is_refused_lest_its_undoing_end_the_first() {
    let mut lab = Small::active(7);
    lab.refused(0, mapping(7, 2), Status::WrongState);
}

#[test]
fn an_unmapped_grant_may_be_mapped_again() {
    let mut lab = Small::active(7);
    lab.granted(0, unmapped(7, 2));
    lab.granted(0, unmapped(7, 2));
    lab.state_is(1, 7, LifeState::Active);
    lab.granted(0, mapping(7, 2));
    assert_eq!(lab.granted(1, revoke(7))[0], RELEASING);
}

#[test]
fn unmapping_a_foreign_or_unknown_borrower_says_nothing() {
    let mut lab = Small::active(7);
    for vm in [1, 3, 9] {
        lab.refused(0, unmapped(7, vm), Status::NoSuchGrant);
    }
    lab.refused(0, unmapped(8, 2), Status::NoSuchGrant);
    let mut lab = Small::accepted(7);
    lab.granted(0, unmapped(7, 2));
    lab.state_is(1, 7, LifeState::Accepted);
}

#[test]
fn past_its_deadline_a_grant_awaits_its_unmapping() {
    let mut lab = Small::active(7);
    lab.granted(1, revoke(7));
    assert_eq!(lab.broker.next_deadline(), Some(100));
    lab.now = 99;
    lab.state_is(1, 7, LifeState::Releasing);
    assert_eq!(poll(&mut lab)[1..], [NO_HANDLE, 0, 100]);
    lab.now = 100;
    assert_eq!(lab.granted(1, revoke(7))[0], AWAITING);
    assert_eq!(lab.last_move(), Some(LifeState::AwaitingUnmap));
    assert_eq!(poll(&mut lab)[1..], [7, 2, 200]);
    assert_eq!(poll(&mut lab)[1..], [NO_HANDLE, 0, 200]);
    lab.now = 200;
    assert_eq!(poll(&mut lab)[1..], [7, 2, 300], "asked again");
    assert_eq!(lab.locks(7), 1);
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.locks(7), 0);
    assert_eq!(poll(&mut lab)[1..], [NO_HANDLE, 0, 0]);
}

#[test]
fn a_poll_at_the_deadline_needs_no_entry_before_it() {
    let mut lab = Small::active(7);
    lab.granted(1, revoke(7));
    lab.now = 1000;
    assert_eq!(poll(&mut lab)[1..], [7, 2, 1100]);
    lab.state_is(1, 7, LifeState::AwaitingUnmap);
}

#[test]
fn every_overdue_grant_counts_as_such_and_gets_its_turn() {
    let mut lab = lab();
    for n in 0..3 {
        lab.send(n, 1, terms(Some(2)), &[pages(0x100 + n, 1)]);
        lab.granted(1, offer(n, terms(Some(2))));
        let seen = lab.summary(2, n);
        lab.granted(2, Call::Accept { handle: handle(n), seen });
        lab.granted(0, mapping(n, 2));
        lab.granted(1, revoke(n));
    }
    lab.now = 100;
    for n in 0..3 {
        lab.state_is(1, n, LifeState::AwaitingUnmap);
    }
    let asked: Vec<_> = (0..4).map(|_| poll(&mut lab)[1]).collect();
    assert_eq!(asked, [0, 1, 2, NO_HANDLE]);
    lab.now = 200;
    assert_eq!(poll(&mut lab)[1], 0);
    lab.now = 300;
    assert_eq!(poll(&mut lab)[1], 1, "a hypervisor that confirms nothing starves no grant");
}

#[test]
fn the_doorbell_rings_from_empty_to_non_empty_only() {
    let mut lab = lab();
    lab.granted(0, Call::HypRegister { sgi: 3, core: 1 });
    assert_eq!(lab.rings, 0);
    for n in 0..3 {
        lab.send(n, 1, terms(Some(2)), &[pages(0x100 + n, 1)]);
        lab.granted(1, offer(n, terms(Some(2))));
    }
    assert_eq!(lab.rings, 1);
    assert_eq!(poll(&mut lab)[0], 1 << 2);
    assert_eq!(poll(&mut lab)[0], 0, "cleared by the read");
    lab.granted(2, Call::Reject { handle: handle(0), generation: 1 });
    assert_eq!(lab.rings, 2);
    assert_eq!(poll(&mut lab)[0], 1 << 1);
}

#[test]
fn work_that_waited_rings_at_the_registration() {
    let mut lab = Small::offered(7);
    assert_eq!(lab.rings, 0);
    lab.granted(0, Call::HypRegister { sgi: 3, core: 1 });
    assert_eq!(lab.rings, 1);
    lab.granted(0, Call::HypPoll);
    let call = Call::HypRegister { sgi: 4, core: 0 };
    lab.granted(0, call);
    assert_eq!(lab.rings, 1);
    lab.send(8, 1, terms(Some(2)), &[pages(0x130, 1)]);
    let event = Event::call(EndpointId::from_raw(1), &offer(8, terms(Some(2))));
    assert!(matches!(lab.broker.step(0, event).next(), Next::Retrieve(_)));
    let refused = lab.broker.step(0, Event::Retrieved(Err(causeway_ffa::FfaError::Denied)));
    let ring = Notice::RingHypervisor(Doorbell { sgi: 4, core: 0 });
    assert!(!refused.notices().any(|n| *n == ring), "a refusal rings nobody");
}

#[test]
fn the_deadline_rings_the_hypervisor() {
    let mut lab = Small::active(7);
    lab.granted(0, Call::HypRegister { sgi: 3, core: 1 });
    lab.granted(1, revoke(7));
    poll(&mut lab);
    let rings = lab.rings;
    lab.now = 100;
    lab.drive(Event::Tick);
    assert_eq!(lab.rings, rings + 1);
    lab.drive(Event::Tick);
    assert_eq!(lab.rings, rings + 1);
}
