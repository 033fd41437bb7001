//! Holds donations: the partition's for good, refused where the SPMC has none, never given back.

use super::*;
use crate::policy::PolicyError;
use crate::{Action, VmVerdict};
use causeway_abi::features;

const DONATION: GrantTerms =
    GrantTerms { peer: None, kind: GrantKind::Donate, permission: Permission::ReadWrite };

fn generous() -> Policy {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR);
    for id in [1, 2] {
        policy.add_vm(EndpointId::from_raw(id)).unwrap();
        let rule = PairRule {
            owner: EndpointId::from_raw(id),
            peer: None,
            share: true,
            lend: false,
            donate: id == 1,
            widest: Permission::ReadWrite,
            max_area_pages: 8,
            quota: Quota { grants: 3, pages: 16, ranges: 8 },
        };
        policy.add_pair(rule).unwrap();
    }
    policy.add_window(pages(0x100, 0x100)).unwrap();
    policy
}

/// Under an SPMC that has FFA_MEM_DONATE.
fn lab() -> Small {
    let mut lab = Lab::new(&generous());
    lab.broker.spmc_donates();
    lab
}

/// VM 1 has donated page 0x110; returns the name that it got.
fn donated(lab: &mut Small, number: u64, page: u64) -> u64 {
    lab.send(number, 1, DONATION, &[pages(page, 1)]);
    lab.granted(1, offer(number, DONATION))[2]
}

#[test]
fn a_donation_is_refused_where_the_spmc_has_none_and_version_says_so() {
    let mut lab = Small::new(&generous());
    lab.send(7, 1, DONATION, &[pages(0x110, 1)]);
    lab.refused(1, offer(7, DONATION), Status::SpmcKind);
    assert_eq!(lab.granted(1, Call::Version { minor: 0 })[1] & features::DONATE, 0);
    let mut able = self::lab();
    assert_ne!(able.granted(1, Call::Version { minor: 0 })[1] & features::DONATE, 0);
    assert_eq!(able.granted(2, Call::Version { minor: 0 })[1] & features::DONATE, 0, "policy");
    able.refused(2, offer(7, DONATION), Status::PolicyKind);
}

#[test]
fn no_policy_lets_a_vm_donate_to_another() {
    let rule = generous().pairs().next().unwrap();
    let rule = PairRule { peer: Some(EndpointId::from_raw(2)), ..rule };
    assert_eq!(generous().add_pair(rule), Err(PolicyError::BadProperty("kinds")));
    let to_two = GrantTerms { peer: Some(EndpointId::from_raw(2)), ..DONATION };
    lab().refused(1, offer(7, to_two), Status::PolicyPeer);
}

#[test]
fn a_donation_has_a_name_of_the_partitions_own() {
    let mut lab = lab();
    let name = donated(&mut lab, 7, 0x110);
    assert_ne!(name, 7);
    lab.is_gone(1, 7);
    lab.state_is(1, name, LifeState::Active);
    // The SPMC gives the handle to the next transaction.
    lab.send(7, 1, terms(None), &[pages(0x120, 1)]);
    assert_eq!(lab.granted(1, offer(7, terms(None)))[2], 7);
    let again = donated(&mut lab, 8, 0x111);
    assert_ne!(name, again);
    lab.refused(2, Call::State { handle: handle(name) }, Status::NoSuchGrant);
    lab.refused(2, offer(name, terms(None)), Status::NoSuchGrant);
}

#[test]
fn what_was_donated_is_used_and_never_taken_back() {
    let mut lab = lab();
    let name = donated(&mut lab, 7, 0x110);
    lab.refused(1, revoke(name), Status::Donated);
    let id = lab.broker.owned(EndpointId::from_raw(1), handle(name)).unwrap().id;
    lab.begin_use(id).unwrap();
    lab.refused(1, revoke(name), Status::Donated);
    lab.end_use(id).unwrap();
    assert_eq!(lab.donated, [pages(0x110, 1)]);
}

#[test]
fn a_dead_givers_donation_is_kept_charged_and_named_by_nobody() {
    for used in [false, true] {
        let mut lab = lab();
        let name = donated(&mut lab, 7, 0x110);
        let id = lab.broker.owned(EndpointId::from_raw(1), handle(name)).unwrap().id;
        if used {
            lab.begin_use(id).unwrap();
        }
        assert_eq!(lab.destroyed(1), VmVerdict::Done);
        assert!(lab.mapped.is_empty());
        assert!(lab.lost.contains(&id), "the bus hears of it");
        assert_eq!(lab.broker.view(id).unwrap().state, LifeState::Kept);
        assert!(lab.records.iter().any(|r| r.action == Action::Kept));
        assert_eq!(lab.created(1), VmVerdict::Done);
        lab.is_gone(1, name);
        lab.refused(1, revoke(name), Status::NoSuchGrant);
        // Two of three are left, and I1 holds whatever the SPMC thinks.
        donated(&mut lab, 8, 0x111);
        donated(&mut lab, 9, 0x112);
        lab.refused(1, offer(10, DONATION), Status::QuotaGrants);
        lab.send(11, 2, terms(None), &[pages(0x110, 1)]);
        lab.refused(2, offer(11, terms(None)), Status::Overlap);
        assert_eq!(lab.destroyed(1), VmVerdict::Done);
        assert_eq!(lab.broker.grants().count(), 3);
    }
}

#[test]
fn a_donation_that_is_refused_after_its_retrieve_is_in_the_ledger() {
    let mut lab = lab();
    lab.send(7, 1, DONATION, &[pages(0x400, 1)]);
    let before = lab.broker.clone();
    assert_eq!(lab.call(1, offer(7, DONATION)).status, Status::OutsideRam);
    assert!(lab.broker == before, "the tables do not know it");
    let kept = lab.records.iter().find(|r| r.action == Action::Kept).unwrap();
    assert_eq!(kept.handle, Some(handle(7)));
    assert_eq!(lab.donated, [pages(0x400, 1)], "nothing gives it back");
}

#[test]
fn a_donation_offered_as_a_share_and_a_share_offered_as_a_donation_find_nothing() {
    let mut lab = lab();
    lab.send(7, 1, DONATION, &[pages(0x110, 1)]);
    lab.refused(1, offer(7, terms(None)), Status::NoSuchGrant);
    lab.send(8, 1, terms(None), &[pages(0x111, 1)]);
    lab.refused(1, offer(8, DONATION), Status::NoSuchGrant);
    assert_eq!(lab.reclaim(7), Ok(()), "not retrieved: the giver may have it back");
}
