//! Sealed mode, and who may read the ledger.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use super::*;
use crate::broker::SEAL_GRANTS;
use crate::ledger::Action;
use causeway_abi::{DigestHalf, LedgerScope};

/// VM 4 may seal, VM 3 may read the whole ledger.
fn lab() -> Small {
    let four = EndpointId::from_raw(4);
    Lab::new(&policy().with_sealer(four).with_auditor(EndpointId::from_raw(3)))
}

type Large = Lab<32, 256, 1>;

/// VM 1 may give much to the partition.
fn large_policy() -> Policy {
    let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
    for id in [1, 4] {
        policy.add_vm(EndpointId::from_raw(id)).unwrap();
    }
    let rule = PairRule {
        owner: EndpointId::from_raw(1),
        peer: None,
        share: true,
        lend: false,
        donate: false,
        widest: Permission::ReadWrite,
        max_area_pages: 256,
        quota: Quota { grants: 32, pages: 1024, ranges: 256 },
    };
    policy.add_pair(rule).unwrap();
    policy.add_window(pages(0x1000, 0x2000)).unwrap();
    policy
}

/// 230 ranges in no order.
fn scattered() -> Vec<causeway_ffa::PageRange> {
    (0..230).map(|n| pages(0x1100 + n * 7 % 230 * 2, 1)).collect()
}

/// A grant of VM 1 to VM 2 of the pages 0x101 and 0x100 and one for the partition, and the seal.
fn sealed() -> Small {
    let mut lab = lab();
    lab.send(0, 1, terms(Some(2)), &[pages(0x101, 1), pages(0x100, 1)]);
    lab.send(1, 1, terms(None), &[pages(0x110, 2)]);
    lab.granted(1, offer(0, terms(Some(2))));
    lab.granted(1, offer(1, terms(None)));
    assert_eq!(lab.granted(4, Call::Seal), [2, 0, 0, 0]);
    lab
}

#[test]
fn only_the_hypervisor_and_the_named_vm_seal() {
    for caller in [1, 2, 3] {
        lab().refused(caller, Call::Seal, Status::PolicyCaller);
    }
    for caller in [0, 4] {
        let mut lab = lab();
        lab.granted(caller, Call::Seal);
        assert!(lab.broker.is_sealed());
        assert_eq!(lab.records.last().map(|r| r.action), Some(Action::Sealed));
    }
}

#[test]
fn a_second_seal_does_not_widen_the_set() {
    let mut lab = sealed();
    lab.granted(1, Call::Revoke { handle: handle(1) });
    assert_eq!(lab.granted(0, Call::Seal), [2, 0, 0, 0]);
    assert_eq!(lab.records.iter().filter(|r| r.action == Action::Sealed).count(), 1);
}

/// Twenty local areas of one page and one of 230 ranges, frozen but not all hashed.
fn half_sealed() -> (Box<Large>, u64) {
    let four = EndpointId::from_raw(4);
    let mut lab = Box::new(Large::new(&large_policy().with_sealer(four)));
    for n in 0..20 {
        lab.send(n, 1, terms(None), &[pages(0x1000 + n * 2, 1)]);
        lab.granted(1, offer(n, terms(None)));
    }
    lab.send(20, 1, terms(None), &scattered());
    lab.granted(1, offer(20, terms(None)));
    let [count, left, ..] = lab.granted(4, Call::Seal);
    assert_eq!((count, left), (21, 21 - u64::from(SEAL_GRANTS)));
    (lab, left)
}

#[test]
fn a_large_set_is_frozen_at_once_and_hashed_in_parts() {
    let (mut lab, mut left) = half_sealed();
    lab.send(30, 1, terms(None), &[pages(0x2000, 1)]);
    lab.refused(1, offer(30, terms(None)), Status::Sealed);
    let mut calls = 0;
    while left > 0 {
        let [count, now, ..] = lab.granted(4, Call::Seal);
        assert!(count == 21 && now <= left);
        (left, calls) = (now, calls + 1);
    }
    // The long area alone has 47 blocks, in four parts.
    assert_eq!(calls, 2);
    assert_eq!(lab.granted(4, Call::Seal), [21, 0, 0, 0]);
    assert_eq!(lab.records.iter().filter(|r| r.action == Action::Sealed).count(), 1);
}

#[test]
fn a_member_that_ends_before_it_was_hashed_is_taken_again() {
    let (mut lab, left) = half_sealed();
    let mut goes = vec![3, 19, 20];
    // One of them in the middle of its hashing.
    assert!(lab.granted(4, Call::Seal)[1] < left);
    goes.push(18);
    for n in &goes {
        lab.granted(1, Call::Revoke { handle: handle(*n) });
        lab.reclaim(*n).unwrap();
    }
    for n in &goes {
        let list = if *n == 20 { scattered() } else { vec![pages(0x1000 + n * 2, 1)] };
        lab.send(40 + n, 1, terms(None), &list[..]);
        lab.granted(1, offer(40 + n, terms(None)));
    }
    let mut swapped = scattered();
    swapped.swap(100, 101);
    lab.granted(1, Call::Revoke { handle: handle(60) });
    lab.reclaim(60).unwrap();
    lab.send(61, 1, terms(None), &swapped);
    lab.refused(1, offer(61, terms(None)), Status::Sealed);
    lab.reclaim(61).unwrap();
    while lab.granted(4, Call::Seal)[1] > 0 {}
    lab.send(62, 1, terms(None), &scattered());
    lab.granted(1, offer(62, terms(None)));
}

#[test]
fn an_identical_grant_is_taken_again_after_a_restart() {
    let mut lab = sealed();
    lab.destroyed(1);
    lab.created(1);
    for number in [0, 1] {
        lab.reclaim(number).unwrap();
    }
    // The SPMC gives new handles.
    lab.send(70, 1, terms(Some(2)), &[pages(0x101, 1), pages(0x100, 1)]);
    lab.send(71, 1, terms(None), &[pages(0x110, 2)]);
    lab.granted(1, offer(70, terms(Some(2))));
    lab.granted(1, offer(71, terms(None)));
}

#[test]
fn whatever_is_not_in_the_set_is_refused_until_reset() {
    let mut lab = sealed();
    for number in [0, 1] {
        lab.granted(1, Call::Revoke { handle: handle(number) });
        lab.reclaim(number).unwrap();
    }
    let ro = GrantTerms { permission: Permission::ReadOnly, ..terms(Some(2)) };
    let lend = GrantTerms { kind: GrantKind::Lend, ..terms(Some(2)) };
    let set = [pages(0x101, 1), pages(0x100, 1)];
    let swapped = [pages(0x100, 1), pages(0x101, 1)];
    let cases: [(u16, GrantTerms, &[_]); 7] = [
        (1, terms(Some(2)), &swapped),
        (1, terms(Some(2)), &[pages(0x101, 1)]),
        (1, terms(Some(2)), &[pages(0x120, 1)]),
        (1, terms(None), &set),
        (1, ro, &set),
        (1, lend, &set),
        (3, terms(None), &[pages(0x110, 2)]),
    ];
    for (number, (owner, terms, ranges)) in (10..).zip(cases) {
        lab.send(number, owner, terms, ranges);
        lab.refused(owner, offer(number, terms), Status::Sealed);
        lab.reclaim(number).unwrap();
    }
    lab.send(50, 1, terms(Some(2)), &set);
    lab.granted(1, offer(50, terms(Some(2))));
}

#[test]
fn letting_go_and_accepting_go_on_when_sealed() {
    let mut lab = sealed();
    let [a, b, c, _] = lab.granted(2, Call::Inspect { handle: handle(0), range_index: 0 });
    let seen = GrantSummary::from_words([a, b, c]).unwrap();
    lab.granted(2, Call::Accept { handle: handle(0), seen });
    lab.granted(2, Call::Release { handle: handle(0) });
    lab.granted(1, Call::Revoke { handle: handle(1) });
    assert_eq!(lab.broker.grants().count(), 0);
}

#[test]
fn the_whole_ledger_is_the_auditors_only() {
    let mut lab = lab();
    let head = |scope| Call::LedgerHead { scope, half: DigestHalf::First };
    for vm in [1, 2, 4] {
        lab.granted(vm, head(LedgerScope::Own));
        lab.refused(vm, head(LedgerScope::All), Status::PolicyCaller);
    }
    lab.granted(3, head(LedgerScope::All));
}

#[test]
fn the_ledger_is_read_into_the_readers_own_local_area() {
    let mut lab = lab();
    lab.send(0, 1, terms(Some(2)), &[pages(0x100, 1)]);
    lab.send(1, 1, terms(None), &[pages(0x110, 1)]);
    lab.send(2, 3, terms(None), &[pages(0x120, 1)]);
    lab.granted(1, offer(0, terms(Some(2))));
    lab.granted(1, offer(1, terms(None)));
    lab.granted(3, offer(2, terms(None)));
    let read = |number, scope| Call::LedgerRead { handle: handle(number), scope, cursor: 0 };
    lab.granted(1, read(1, LedgerScope::Own));
    lab.granted(3, read(2, LedgerScope::All));
    lab.refused(1, read(1, LedgerScope::All), Status::PolicyCaller);
    for other in [0, 2, 9] {
        lab.refused(1, read(other, LedgerScope::Own), Status::NoSuchGrant);
    }
}

/// LEDGER_READ of the caller's own records into this area.
fn read(number: u64) -> Call {
    Call::LedgerRead { handle: handle(number), scope: LedgerScope::Own, cursor: 0 }
}

#[test]
fn the_ledger_is_not_read_into_an_area_that_may_only_be_read() {
    let mut lab = lab();
    let readable = GrantTerms { permission: Permission::ReadOnly, ..terms(None) };
    lab.send(0, 1, readable, &[pages(0x110, 1)]);
    lab.granted(1, offer(0, readable));
    lab.refused(1, read(0), Status::BadArgument);
    lab.send(1, 1, terms(None), &[pages(0x111, 1)]);
    lab.granted(1, offer(1, terms(None)));
    lab.granted(1, read(1));
}

#[test]
fn the_ledger_is_not_read_into_an_area_that_cannot_be_mapped() {
    let mut lab = lab();
    lab.send(1, 1, terms(None), &[pages(0x111, 1)]);
    lab.granted(1, offer(1, terms(None)));
    let id = lab.broker.owned(EndpointId::from_raw(1), handle(1)).unwrap().id;
    lab.faults.mmu = Some(crate::MapFailed);
    let before = lab.broker.clone();
    // What the image does when the broker has let the call pass.
    assert_eq!(lab.begin_use(id), Err(Status::NoRoom));
    assert!(lab.broker == before);
    lab.faults.mmu = None;
    assert!(lab.begin_use(id).is_ok());
}
