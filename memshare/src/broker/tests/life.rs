//! Holds grants to their life: accept, release, revoke, reject, and what each is refused for.

use super::*;
use causeway_ffa::FfaError;

#[test]
fn the_whole_life_ends_with_a_reclaim() {
    let mut lab = Small::active(7);
    lab.state_is(2, 7, LifeState::Active);
    assert_eq!(lab.reclaim(7), Err(FfaError::Denied));
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.granted(2, release(7))[0], RELEASED);
    assert_eq!(lab.reclaim(7), Ok(()));
    lab.is_gone(1, 7);
    lab.is_gone(2, 7);
    let mut fresh = super::lab();
    lab.broker.make_canonical(0);
    fresh.broker.make_canonical(0);
    assert_eq!(lab.broker, fresh.broker);
}

#[test]
fn only_what_was_inspected_is_accepted() {
    let mut lab = Small::offered(7);
    let seen = lab.summary(2, 7);
    for other in [
        GrantSummary { owner: EndpointId::from_raw(3), ..seen },
        GrantSummary { permission: Permission::ReadOnly, ..seen },
        GrantSummary { kind: GrantKind::Lend, ..seen },
        GrantSummary { generation: seen.generation + 1, ..seen },
        GrantSummary { page_count: 3, ..seen },
        GrantSummary { range_count: 1, ..seen },
        GrantSummary { fold: seen.fold ^ 1, ..seen },
    ] {
        lab.refused(2, Call::Accept { handle: handle(7), seen: other }, Status::TermsChanged);
    }
    lab.granted(2, Call::Accept { handle: handle(7), seen });
    lab.refused(2, Call::Accept { handle: handle(7), seen }, Status::WrongState);
    let other = GrantSummary { fold: 0, ..seen };
    lab.refused(2, Call::Accept { handle: handle(7), seen: other }, Status::WrongState);
}

#[test]
fn an_offer_that_was_made_anew_is_not_the_one_that_was_inspected() {
    let mut lab = Small::offered(7);
    let seen = lab.summary(2, 7);
    lab.granted(1, revoke(7));
    lab.granted(1, offer(7, terms(Some(2))));
    lab.refused(2, Call::Accept { handle: handle(7), seen }, Status::TermsChanged);
    let generation = seen.generation;
    lab.refused(2, Call::Reject { handle: handle(7), generation }, Status::TermsChanged);
}

#[test]
fn a_rejected_offer_is_gone_and_its_lock_too() {
    let mut lab = Small::offered(7);
    lab.granted(2, Call::Reject { handle: handle(7), generation: 1 });
    assert_eq!(lab.reclaim(7), Ok(()));
    lab.is_gone(1, 7);
    assert_eq!(lab.events(1) & 2, 2, "the owner learns of it");
}

#[test]
fn an_accepted_grant_is_no_offer_any_more() {
    let mut lab = Small::accepted(7);
    lab.refused(2, Call::Reject { handle: handle(7), generation: 1 }, Status::WrongState);
    assert_eq!(lab.granted(2, Call::List { cursor: 0 })[0], causeway_abi::NO_HANDLE);
}

#[test]
fn an_owner_is_no_peer_and_a_peer_no_owner() {
    let mut lab = Small::offered(7);
    let seen = lab.summary(2, 7);
    lab.refused(1, Call::Inspect { handle: handle(7), range_index: 0 }, Status::NoSuchGrant);
    lab.refused(1, Call::Accept { handle: handle(7), seen }, Status::NoSuchGrant);
    lab.refused(1, Call::Reject { handle: handle(7), generation: 1 }, Status::NoSuchGrant);
    lab.refused(1, release(7), Status::NoSuchGrant);
    lab.refused(2, revoke(7), Status::NoSuchGrant);
}

#[test]
fn an_offer_that_nobody_maps_is_revoked_at_once() {
    for mut lab in [Small::offered(7), Small::accepted(7)] {
        assert_eq!(lab.granted(1, revoke(7))[0], RELEASED);
        assert_eq!(lab.reclaim(7), Ok(()));
        lab.is_gone(2, 7);
        assert_eq!(lab.events(2) & 2, 2, "the peer learns of it");
    }
}

#[test]
fn a_release_before_acceptance_is_refused() {
    let mut lab = Small::offered(7);
    lab.refused(2, release(7), Status::WrongState);
}

#[test]
fn a_peers_word_is_not_enough() {
    let mut lab = Small::active(7);
    assert_eq!(lab.granted(2, release(7))[0], RELEASING);
    assert_eq!(lab.reclaim(7), Err(FfaError::Denied));
    lab.state_is(1, 7, LifeState::Releasing);
    assert_eq!(lab.granted(2, release(7))[0], RELEASING);
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.reclaim(7), Ok(()));
    lab.is_gone(2, 7);
}

#[test]
fn a_revoked_mapping_waits_for_the_hypervisor() {
    let mut lab = Small::active(7);
    assert_eq!(lab.granted(1, revoke(7))[0], RELEASING);
    assert_eq!(lab.granted(1, revoke(7))[0], RELEASING);
    assert_eq!(lab.reclaim(7), Err(FfaError::Denied));
    lab.refused(0, mapping(7, 2), Status::NoSuchGrant);
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.reclaim(7), Ok(()));
}

#[test]
fn a_failed_relinquish_leaves_the_grant_as_it_was() {
    let generation = 1;
    type Case = (fn(u64) -> Small, u16, Call);
    let cases: [Case; 4] = [
        (Small::offered, 1, revoke(7)),
        (Small::offered, 2, Call::Reject { handle: handle(7), generation }),
        (Small::accepted, 2, release(7)),
        (
            |n| {
                let mut lab = Small::active(n);
                lab.granted(1, revoke(n));
                lab
            },
            0,
            unmapped(7, 2),
        ),
    ];
    for (make, caller, call) in cases {
        let mut lab = make(7);
        lab.faults.relinquish = Some(FfaError::Denied);
        lab.refused(caller, call, Status::SpmcFailure);
        lab.faults.relinquish = None;
        lab.granted(caller, call);
        assert_eq!(lab.reclaim(7), Ok(()));
    }
}

#[test]
fn where_the_hypervisor_guards_reclaim_a_release_is_enough() {
    use crate::policy::ReclaimGuard;
    let guarded = policy().with_reclaim_guard(ReclaimGuard::Hypervisor);
    for (caller, call) in [(2, release(7)), (1, revoke(7))] {
        let mut lab: Small = Lab::new(&guarded);
        lab.send(7, 1, terms(Some(2)), &[pages(0x110, 1)]);
        lab.granted(1, offer(7, terms(Some(2))));
        let seen = lab.summary(2, 7);
        lab.granted(2, Call::Accept { handle: handle(7), seen });
        lab.granted(0, mapping(7, 2));
        assert_eq!(lab.granted(caller, call)[0], RELEASED);
        assert_eq!(lab.locks(7), 0);
    }
}

#[test]
fn a_vm_lists_the_offers_to_it_and_no_others() {
    let mut lab = lab();
    for n in 0..3 {
        lab.send(n, 1, terms(Some(2)), &[pages(0x100 + n, 1)]);
        lab.granted(1, offer(n, terms(Some(2))));
        lab.send(n + 10, 1, terms(None), &[pages(0x110 + n, 1)]);
        lab.granted(1, offer(n + 10, terms(None)));
    }
    let list = |lab: &mut Small, caller| {
        let (mut found, mut cursor) = (Vec::new(), 0);
        loop {
            let [handle, next, ..] = lab.granted(caller, Call::List { cursor });
            found.extend((handle != causeway_abi::NO_HANDLE).then_some(handle));
            cursor = u32::try_from(next).unwrap();
            if cursor == 0 {
                return found;
            }
        }
    };
    assert_eq!(list(&mut lab, 2), [0, 1, 2]);
    assert_eq!(list(&mut lab, 1), []);
    assert_eq!(list(&mut lab, 3), []);
    for cursor in [6, 64, 0xffff, u32::MAX] {
        let [handle, next, ..] = lab.granted(2, Call::List { cursor });
        assert_eq!((handle, next), (causeway_abi::NO_HANDLE, 0));
    }
}

#[test]
fn the_bus_hears_once_of_every_area_that_stops_being_usable() {
    let lost = |lab: &Small| lab.lost.len();
    let mut lab = Small::offered(7);
    lab.granted(1, revoke(7));
    assert_eq!(lost(&lab), 0, "an offer was never usable");
    let mut lab = Small::accepted(7);
    lab.granted(1, revoke(7));
    assert_eq!(lost(&lab), 1);
    let mut lab = Small::active(7);
    lab.granted(2, release(7));
    assert_eq!(lost(&lab), 1);
    lab.granted(1, revoke(7));
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lost(&lab), 1);
    for vm in [1, 2] {
        let mut lab = Small::active(7);
        lab.destroyed(vm);
        assert_eq!(lost(&lab), 1);
    }
}
