//! Holds joined areas: who may join what, which way bytes go, that every byte is counted.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use super::*;
use crate::event::{Event, MapFailed, Next};
use crate::policy::{CopyRule, PolicyError};
use crate::{Action, VmVerdict};
use causeway_abi::join::COPY_MAX_BYTES;
use causeway_abi::{CopyDirection, JoinName};

fn vm(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

/// Copies from 1 to 2 and back, from 3 to 1 only; two joins between each two.
fn copying() -> Policy {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR).with_sealer(vm(3));
    for id in [1, 2, 3] {
        policy.add_vm(vm(id)).unwrap();
        let rule = PairRule {
            owner: vm(id),
            peer: None,
            share: true,
            lend: false,
            donate: false,
            widest: Permission::ReadWrite,
            max_area_pages: 64,
            quota: Quota { grants: 3, pages: 256, ranges: 8 },
        };
        policy.add_pair(rule).unwrap();
    }
    let first = policy.pairs().next().unwrap();
    policy.add_pair(PairRule { peer: Some(vm(2)), ..first }).unwrap();
    for (from, to) in [(1, 2), (2, 1), (3, 1)] {
        policy.add_copy(CopyRule { from: vm(from), to: vm(to), joins: 2 }).unwrap();
    }
    policy.add_window(pages(0x100, 0x400)).unwrap();
    policy
}

/// Each VM n has a local area n of eight pages in two ranges, and VM 2 one more, 20, read-only.
fn lab() -> Small {
    let mut lab = Lab::new(&copying());
    for id in [1_u16, 2, 3] {
        let (number, first) = (u64::from(id), 0x100 * u64::from(id));
        lab.send(number, id, terms(None), &[pages(first, 4), pages(first + 0x10, 4)]);
        lab.granted(id, offer(number, terms(None)));
    }
    let readable = GrantTerms { permission: Permission::ReadOnly, ..terms(None) };
    lab.send(20, 2, readable, &[pages(0x400, 1)]);
    lab.granted(2, offer(20, readable));
    lab
}

fn name(peer: u16, number: u16) -> JoinName {
    JoinName { peer: vm(peer), number }
}

fn join(area: u64, peer: u16, number: u16) -> Call {
    Call::Join { handle: handle(area), name: name(peer, number) }
}

fn copy(peer: u16, direction: CopyDirection, length: u64) -> Call {
    let name = name(peer, 5);
    Call::Copy { name, direction, from_offset: 0, to_offset: 0, length }
}

const WAITING: u64 = 1;
const JOINED: u64 = 2;
const TO: CopyDirection = CopyDirection::ToPeer;
const FROM: CopyDirection = CopyDirection::FromPeer;

/// Areas 1 and 2 are joined under number 5.
fn joined() -> Small {
    let mut lab = lab();
    assert_eq!(lab.granted(1, join(1, 2, 5)), [WAITING, 0, 0, 0]);
    assert_eq!(lab.granted(2, join(2, 1, 5)), [JOINED, 8, 0, 0]);
    lab
}

#[test]
fn both_sides_must_join_under_one_number() {
    let mut lab = lab();
    lab.granted(1, join(1, 2, 5));
    lab.refused(1, copy(2, TO, 1), Status::NotJoined);
    lab.granted(2, join(2, 1, 6));
    lab.refused(1, copy(2, TO, 1), Status::NotJoined);
    lab.granted(2, Call::Part { name: name(1, 6) });
    lab.events(1);
    lab.granted(2, join(2, 1, 5));
    assert_eq!(lab.events(1) & 2, 2, "the first hears of the second");
    lab.granted(1, copy(2, TO, 1));
}

#[test]
fn a_join_takes_only_an_area_of_the_callers_own_for_the_partition_alone() {
    let mut lab = lab();
    lab.send(7, 1, terms(Some(2)), &[pages(0x180, 1)]);
    lab.granted(1, offer(7, terms(Some(2))));
    for (caller, area, peer) in [(1, 2, 2), (2, 1, 1), (1, 7, 2), (2, 7, 1), (1, 99, 2)] {
        lab.refused(caller, join(area, peer, 5), Status::NoSuchGrant);
    }
    lab.refused(2, join(2, 3, 5), Status::PolicyPeer);
    lab.refused(1, join(1, 1, 5), Status::PolicyPeer);
    lab.refused(1, join(1, 9, 5), Status::PolicyPeer);
    lab.destroyed(2);
    lab.refused(1, join(1, 2, 5), Status::PeerNotLive);
}

#[test]
fn an_area_is_in_one_join_and_a_name_stands_for_one() {
    let mut lab = joined();
    lab.refused(1, join(1, 2, 6), Status::AlreadyJoined);
    lab.refused(2, join(20, 1, 5), Status::AlreadyJoined);
    lab.granted(2, join(20, 1, 6));
    lab.send(21, 2, terms(None), &[pages(0x410, 1)]);
    lab.granted(2, offer(21, terms(None)));
    lab.refused(2, join(21, 1, 7), Status::QuotaGrants);
}

#[test]
fn an_area_with_a_fifo_is_not_joined_and_a_joined_one_gets_none() {
    let mut lab = lab();
    let id = lab.broker.owned(vm(1), handle(1)).unwrap().id;
    lab.begin_use(id).unwrap();
    lab.refused(1, join(1, 2, 5), Status::InUse);
    lab.end_use(id).unwrap();
    lab.granted(1, join(1, 2, 5));
    assert_eq!(lab.begin_use(id), Err(Status::InUse));
}

#[test]
fn bytes_are_counted_for_both_sides_and_one_call_is_bounded() {
    let mut lab = joined();
    assert_eq!(lab.granted(1, copy(2, TO, 0x8000)), [COPY_MAX_BYTES.into(), 0x4000, 0, 0]);
    assert_eq!(lab.granted(1, copy(2, FROM, 10)), [10, 0x4000, 10, 0]);
    assert_eq!(lab.granted(2, copy(1, TO, 5)), [5, 15, 0x4000, 0]);
    let state =
        |lab: &mut Small, caller, peer| lab.granted(caller, Call::Joined { name: name(peer, 5) });
    assert_eq!(state(&mut lab, 1, 2), [JOINED, 0x4000, 15, 8]);
    assert_eq!(state(&mut lab, 2, 1), [JOINED, 15, 0x4000, 8]);
    assert_eq!(
        lab.copies,
        [
            (handle(1), handle(2), COPY_MAX_BYTES),
            (handle(2), handle(1), 10),
            (handle(2), handle(1), 5)
        ]
    );
    let told = |r: &&crate::Record| r.action == Action::Copied;
    let counts: Vec<_> =
        lab.records.iter().filter(told).map(|r| (r.subject.get(), r.fold)).collect();
    assert_eq!(counts, [(1, 0x4000), (1, 10), (2, 5)], "in the caller's room, as counts");
    assert_eq!(lab.granted(1, Call::Part { name: name(2, 5) }), [0x4000, 15, 0, 0]);
    assert_eq!(lab.records.last().map(|r| (r.action, r.fold)), Some((Action::Parted, 0x400f)));
    assert_eq!(state(&mut lab, 2, 1), [WAITING, 15, 0x4000, 0]);
    lab.refused(2, copy(1, TO, 5), Status::NotJoined);
}

#[test]
fn policy_says_which_way_bytes_go() {
    let mut lab = lab();
    lab.granted(1, join(1, 3, 5));
    lab.granted(3, join(3, 1, 5));
    lab.refused(1, copy(3, TO, 8), Status::PolicyCopy);
    lab.refused(3, copy(1, FROM, 8), Status::PolicyCopy);
    lab.granted(1, copy(3, FROM, 8));
    lab.granted(3, copy(1, TO, 8));
}

#[test]
fn bytes_lie_in_the_areas_and_only_what_may_be_written_is() {
    let mut lab = lab();
    lab.granted(1, join(1, 2, 5));
    lab.granted(2, join(20, 1, 5));
    lab.refused(1, copy(2, TO, 8), Status::OutsideArea);
    lab.granted(1, copy(2, FROM, 8));
    let mut lab = joined();
    for (from_offset, to_offset, length) in [
        (0, 0, 0),
        (0x8000, 0, 1),
        (0x7fff, 0, 2),
        (0, 0x7fff, 2),
        (0, 0, 0x8001),
        (u64::MAX, 0, 2),
        (0, u64::MAX, u64::MAX),
        (1, 1, u64::MAX),
    ] {
        let call = Call::Copy { name: name(2, 5), direction: TO, from_offset, to_offset, length };
        lab.refused(1, call, Status::OutsideArea);
    }
    let name = name(2, 5);
    let last = Call::Copy { name, direction: TO, from_offset: 0x7fff, to_offset: 0, length: 1 };
    lab.granted(1, last);
}

#[test]
fn a_copy_that_the_image_cannot_carry_out_counts_nothing() {
    let mut lab = joined();
    lab.faults.mmu = Some(MapFailed);
    lab.refused(1, copy(2, TO, 8), Status::NoRoom);
    // An image that claims more than it was asked for is not believed.
    let step = lab.broker.step(0, Event::call(vm(1), &copy(2, TO, 8)));
    assert!(matches!(step.next(), Next::Copy { len: 8, .. }));
    let step = lab.broker.step(0, Event::Copied(Ok(9)));
    let Next::Reply(frame) = step.next() else { panic!() };
    assert_eq!(Reply::decode(&frame).unwrap().results, [8, 8, 0, 0]);
}

#[test]
fn a_join_ends_with_either_area_and_with_either_vm() {
    let ends: [fn(&mut Small); 3] = [
        |lab| assert_eq!(lab.granted(2, revoke(2))[0], RELEASED),
        |lab| assert_eq!(lab.destroyed(2), VmVerdict::Done),
        |lab| assert_eq!(lab.granted(2, Call::Part { name: name(1, 5) }), [0; 4]),
    ];
    for end in ends {
        let mut lab = joined();
        lab.events(1);
        end(&mut lab);
        assert_eq!(lab.events(1) & 2, 2, "the other side hears of it");
        lab.refused(1, copy(2, TO, 8), Status::NotJoined);
        assert_eq!(lab.granted(1, revoke(1))[0], RELEASED, "and is not held by it");
    }
}

#[test]
fn a_new_life_does_not_come_into_the_old_ones_join() {
    let mut lab = joined();
    lab.destroyed(2);
    lab.created(2);
    lab.send(30, 2, terms(None), &[pages(0x420, 1)]);
    lab.granted(2, offer(30, terms(None)));
    assert_eq!(lab.granted(2, join(30, 1, 5))[0], WAITING);
    lab.refused(2, copy(1, FROM, 8), Status::NotJoined);
    lab.refused(1, copy(2, TO, 8), Status::NotJoined);
    // The old half makes room for a new one, of the same area and under the same name.
    assert_eq!(lab.granted(1, join(1, 2, 5))[0], JOINED);
    assert_eq!(lab.records.iter().filter(|r| r.action == Action::Parted).count(), 2);
    lab.granted(1, copy(2, TO, 8));
}

#[test]
fn halves_meant_for_a_dead_vm_do_not_use_up_the_pairs_share() {
    let mut lab = lab();
    lab.send(10, 1, terms(None), &[pages(0x180, 1)]);
    lab.granted(1, offer(10, terms(None)));
    for area in [1, 10] {
        lab.granted(1, join(area, 2, u16::try_from(area).unwrap()));
    }
    lab.destroyed(2);
    lab.created(2);
    lab.granted(1, Call::Part { name: name(2, 10) });
    lab.granted(1, join(10, 2, 7));
    lab.granted(1, join(1, 2, 8));
    lab.refused(1, Call::Part { name: name(2, 1) }, Status::NotJoined);
}

#[test]
fn one_half_meant_for_a_dead_vm_makes_room_for_a_new_join_and_no_more_than_one() {
    let mut lab = lab();
    for (area, first) in [(10, 0x180), (11, 0x190)] {
        lab.send(area, 1, terms(None), &[pages(first, 1)]);
        lab.granted(1, offer(area, terms(None)));
    }
    lab.granted(1, join(1, 2, 1));
    lab.granted(1, join(10, 2, 2));
    lab.refused(1, join(11, 2, 3), Status::QuotaGrants);
    lab.destroyed(2);
    lab.created(2);
    lab.granted(1, join(11, 2, 3));
    let left = [1, 2, 3].map(|number| {
        let part = Call::Part { name: name(2, number) };
        lab.call(1, part).status == Status::Ok
    });
    assert_eq!(left.iter().filter(|there| **there).count(), 2, "{left:?}");
    assert!(left[2], "the new one is there");
}

#[test]
fn a_sealed_partition_takes_the_joins_that_it_had_and_no_other() {
    let mut lab = joined();
    lab.granted(3, Call::Seal);
    lab.granted(1, Call::Part { name: name(2, 5) });
    lab.refused(1, join(1, 2, 6), Status::Sealed);
    lab.granted(1, join(1, 2, 5));
    lab.granted(1, copy(2, TO, 8));
}

#[test]
fn joins_are_reserved_and_a_rule_is_checked() {
    let rule = |from, to, joins| CopyRule { from: vm(from), to: vm(to), joins };
    let mut policy = copying();
    assert_eq!(policy.add_copy(rule(1, 1, 1)), Err(PolicyError::BadProperty("to")));
    assert_eq!(policy.add_copy(rule(1, 3, 0)), Err(PolicyError::BadProperty("joins")));
    assert_eq!(policy.add_copy(rule(1, 2, 1)), Err(PolicyError::Duplicate("copy")));
    policy.add_copy(rule(2, 3, 13)).unwrap();
    assert_eq!(policy.check(12, 40), Err(PolicyError::OverCommitted("joins")));
    let mut policy = copying();
    policy.add_copy(rule(1, 7, 1)).unwrap();
    assert_eq!(policy.check(12, 40), Err(PolicyError::UnknownVm(vm(7))));
}
