//! Holds the lives of VMs: creation, destruction, and what a dead VM leaves behind.

use super::*;
use crate::event::MapFailed;
use crate::{Action, VmVerdict};
use causeway_ffa::FfaError;

#[test]
fn a_dead_peer_frees_its_owner() {
    for mut lab in [Small::offered(7), Small::accepted(7), Small::active(7)] {
        assert_eq!(lab.destroyed(2), VmVerdict::Done);
        assert_eq!(lab.reclaim(7), Ok(()));
        lab.is_gone(1, 7);
        assert_eq!(lab.events(1) & 2, 2);
        lab.refused(2, Call::Events, Status::UnknownCaller);
    }
}

#[test]
fn a_dead_owner_leaves_only_what_a_live_peer_maps() {
    for mut lab in [Small::offered(7), Small::accepted(7)] {
        assert_eq!(lab.destroyed(1), VmVerdict::Done);
        assert_eq!(lab.locks(7), 0);
        lab.is_gone(2, 7);
    }
    let mut lab = Small::active(7);
    assert_eq!(lab.destroyed(1), VmVerdict::Done);
    assert_eq!(lab.locks(7), 1);
    lab.state_is(2, 7, LifeState::Releasing);
    assert_eq!(lab.events(2) & 2, 2);
    assert_eq!(lab.granted(2, release(7))[0], RELEASING);
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.locks(7), 0);
}

#[test]
fn two_deaths_leave_nothing() {
    for order in [[1, 2], [2, 1]] {
        let mut lab = Small::active(7);
        for vm in order {
            assert_eq!(lab.destroyed(vm), VmVerdict::Done);
        }
        assert_eq!(lab.locks(7), 0);
        assert_eq!(lab.broker.view(lab.lost.first().copied().unwrap_or(FIRST)), None);
    }
}

const FIRST: crate::GrantId = crate::GrantId { slot: 0, generation: 1 };

#[test]
fn a_new_life_cannot_use_the_handles_of_the_old_one() {
    let mut lab = Small::active(7);
    lab.destroyed(1);
    assert_eq!(lab.created(1), VmVerdict::Done);
    lab.is_gone(1, 7);
    lab.refused(1, revoke(7), Status::NoSuchGrant);
    lab.refused(1, offer(7, terms(Some(2))), Status::NoSuchGrant);
    assert_eq!(lab.events(1), 0, "starts clean");
    assert_eq!(lab.locks(7), 1);
    lab.refused(0, mapping(7, 2), Status::NoSuchGrant);
}

#[test]
fn a_dead_owners_pages_are_charged_to_its_pair_only() {
    let mut lab = lab();
    for n in 0..3 {
        lab.send(n, 1, terms(Some(2)), &[pages(0x100 + n, 1)]);
        lab.granted(1, offer(n, terms(Some(2))));
        let seen = lab.summary(2, n);
        lab.granted(2, Call::Accept { handle: handle(n), seen });
        lab.granted(0, mapping(n, 2));
    }
    lab.destroyed(1);
    lab.created(1);
    lab.send(10, 1, terms(Some(2)), &[pages(0x120, 1)]);
    lab.refused(1, offer(10, terms(Some(2))), Status::QuotaGrants);
    lab.send(11, 1, terms(None), &[pages(0x121, 1)]);
    lab.granted(1, offer(11, terms(None)));
    lab.granted(0, unmapped(1, 2));
    assert_eq!([0, 1, 2].map(|n| lab.locks(n)), [1, 0, 1]);
    lab.granted(1, offer(10, terms(Some(2))));
}

#[test]
fn creation_is_refused_for_a_live_id() {
    let mut lab = lab();
    assert_eq!(lab.created(1), VmVerdict::Done, "not yet announced");
    assert_eq!(lab.created(1), VmVerdict::Refused(Status::AlreadyLive));
    assert_eq!(lab.created(40), VmVerdict::Done, "a VM that policy does not name gets nothing");
    lab.refused(40, Call::Events, Status::UnknownCaller);
    let mut lab = Small::offered(7);
    assert_eq!(lab.created(2), VmVerdict::Refused(Status::AlreadyLive), "it has an offer");
    assert_eq!(lab.created(3), VmVerdict::Done);
}

#[test]
fn only_the_hypervisor_creates_and_destroys() {
    use crate::event::Event;
    let mut lab = Small::active(7);
    let before = lab.broker.clone();
    for caller in [1, 2, 3, 9, 0x8001].map(EndpointId::from_raw) {
        let vm = EndpointId::from_raw(2);
        let refused = VmVerdict::Refused(Status::NotHypervisor);
        assert_eq!(lab.framework(Event::VmDestroyed { caller, vm }), refused);
        assert_eq!(lab.framework(Event::VmCreated { caller, vm }), refused);
    }
    assert!(lab.broker == before);
}

#[test]
fn a_destruction_is_done_once_and_in_bounded_parts() {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR);
    policy.add_vm(EndpointId::from_raw(1)).unwrap();
    policy.add_window(pages(0x100, 0x100)).unwrap();
    let quota = Quota { grants: 40, pages: 40, ranges: 40 };
    policy
        .add_pair(PairRule {
            owner: EndpointId::from_raw(1),
            peer: None,
            share: true,
            lend: false,
            donate: false,
            widest: Permission::ReadWrite,
            max_area_pages: 1,
            quota,
        })
        .unwrap();
    let mut lab: Lab<40, 40, 1> = Lab::new(&policy);
    for n in 0..40 {
        lab.send(n, 1, terms(None), &[pages(0x100 + n, 1)]);
        assert_eq!(lab.call(1, offer(n, terms(None))).status, Status::Ok);
    }
    let locks = |lab: &Lab<40, 40, 1>| lab.shares.values().map(|s| s.locks).sum::<u32>();
    assert_eq!(lab.destroyed(1), VmVerdict::InProgress);
    assert_eq!(locks(&lab), 24);
    assert_eq!(lab.call(1, Call::Events).status, Status::UnknownCaller);
    assert_eq!(lab.created(1), VmVerdict::Refused(Status::AlreadyLive));
    assert_eq!(lab.destroyed(1), VmVerdict::InProgress);
    assert_eq!(lab.destroyed(1), VmVerdict::Done);
    assert_eq!(locks(&lab), 0);
    let dead = lab.records.len();
    assert_eq!(lab.destroyed(1), VmVerdict::Done);
    assert_eq!(lab.records.len(), dead);
    assert_eq!(lab.created(1), VmVerdict::Done);
}

#[test]
fn a_destruction_that_fails_is_taken_up_again() {
    let mut lab = lab();
    lab.send(7, 1, terms(None), &[pages(0x100, 1)]);
    lab.granted(1, offer(7, terms(None)));
    let view = lab.broker.owned(EndpointId::from_raw(1), handle(7)).unwrap();
    lab.begin_use(view.id).unwrap();
    lab.faults.mmu = Some(MapFailed);
    assert_eq!(lab.destroyed(1), VmVerdict::Refused(Status::NoRoom));
    assert_eq!((lab.locks(7), lab.mapped.len()), (1, 1));
    lab.faults.mmu = None;
    lab.faults.relinquish = Some(FfaError::Denied);
    assert_eq!(lab.destroyed(1), VmVerdict::Refused(Status::SpmcFailure));
    assert_eq!((lab.locks(7), lab.mapped.len()), (1, 0));
    lab.faults.relinquish = None;
    assert_eq!(lab.destroyed(1), VmVerdict::Done);
    assert_eq!(lab.locks(7), 0);
    assert!(lab.records.iter().any(|r| r.action == Action::VmDestroyed));
}

#[test]
fn a_peer_whose_destruction_failed_counts_as_unmapped() {
    let mut lab = Small::active(7);
    lab.granted(1, revoke(7));
    lab.faults.relinquish = Some(FfaError::Denied);
    assert_eq!(lab.destroyed(2), VmVerdict::Refused(Status::SpmcFailure));
    lab.now = 1000;
    let [_, asked, ..] = lab.granted(0, Call::HypPoll);
    assert_eq!(asked, causeway_abi::NO_HANDLE, "nobody maps it");
    lab.faults.relinquish = None;
    assert_eq!(lab.granted(1, revoke(7))[0], RELEASED, "the survivor need not wait");
    assert_eq!(lab.destroyed(2), VmVerdict::Done);
}
