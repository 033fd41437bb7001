//! Holds the page model to the rules of ownership: each forbidden step is named, no allowed one is.

use super::*;
use crate::ram::range;

const A: EndpointId = EndpointId::from_raw(1);
const B: EndpointId = EndpointId::from_raw(2);
const SP: EndpointId = EndpointId::from_raw(0x8001);

fn model() -> PageModel {
    let mut pages = PageModel::default();
    for (owner, start) in [(A, 0x10_0000), (B, 0x20_0000)] {
        pages.give(owner, range(start, 16));
        pages.map(owner, range(start, 16), Permission::ReadWrite);
    }
    pages
}

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).unwrap()
}

fn send(pages: &mut PageModel, kind: Transfer, permission: Permission) {
    let borrowers = vec![(SP, permission), (B, permission)];
    pages.sent(handle(1), A, kind, borrowers, vec![range(0x10_1000, 2)]);
}

#[test]
fn a_whole_life_breaks_no_rule() {
    let mut pages = model();
    send(&mut pages, Transfer::Share, Permission::ReadWrite);
    pages.retrieved(handle(1), SP);
    pages.retrieved(handle(1), B);
    pages.map(B, range(0x10_1000, 2), Permission::ReadWrite);
    assert!(pages.touch(B, range(0x10_2000, 1), Permission::ReadWrite));
    pages.unmap(B, range(0x10_1000, 2));
    pages.relinquished(handle(1), B);
    pages.relinquished(handle(1), SP);
    pages.reclaimed(handle(1));
    assert_eq!(pages.violations(), []);
    assert_eq!((pages.live().len(), pages.mapped_pages(A)), (0, 16));
}

#[test]
fn a_borrower_that_has_not_retrieved_may_not_map() {
    let mut pages = model();
    send(&mut pages, Transfer::Share, Permission::ReadWrite);
    pages.map(B, range(0x10_1000, 2), Permission::ReadOnly);
    assert!(matches!(pages.violations(), [Violation::NotGranted { who: B, .. }]));
}

#[test]
fn more_than_was_granted_may_not_be_mapped() {
    let mut pages = model();
    send(&mut pages, Transfer::Share, Permission::ReadOnly);
    pages.retrieved(handle(1), B);
    pages.map(B, range(0x10_1000, 2), Permission::ReadOnly);
    assert_eq!(pages.violations(), []);
    assert!(!pages.touch(B, range(0x10_1000, 1), Permission::ReadWrite));
    pages.map(B, range(0x10_1000, 2), Permission::ReadWrite);
    pages.map(B, range(0x10_1000, 3), Permission::ReadOnly);
    assert_eq!(pages.violations().len(), 3);
}

#[test]
fn an_owner_that_keeps_what_it_lent_is_found() {
    let mut pages = model();
    send(&mut pages, Transfer::Lend, Permission::ReadWrite);
    assert!(matches!(pages.violations(), [Violation::NotGranted { who: A, .. }]));
    let mut pages = model();
    pages.unmap(A, range(0x10_1000, 2));
    send(&mut pages, Transfer::Lend, Permission::ReadWrite);
    pages.reclaimed(handle(1));
    pages.map(A, range(0x10_1000, 2), Permission::ReadWrite);
    assert_eq!(pages.violations(), []);
}

#[test]
fn a_reclaim_while_a_borrower_maps_is_found() {
    let mut pages = model();
    send(&mut pages, Transfer::Share, Permission::ReadWrite);
    pages.retrieved(handle(1), B);
    pages.map(B, range(0x10_1000, 2), Permission::ReadWrite);
    pages.reclaimed(handle(1));
    assert!(matches!(
        pages.violations(),
        [Violation::ReclaimedWhileRetrieved { .. }, Violation::NotGranted { who: B, .. }]
    ));
}

#[test]
fn nobody_gets_a_right_from_pages_that_were_not_the_senders_to_give() {
    let mut pages = model();
    let foreign = range(0x20_0000, 1);
    pages.sent(handle(1), A, Transfer::Share, vec![(SP, Permission::ReadWrite)], vec![foreign]);
    pages.retrieved(handle(1), SP);
    assert!(!pages.may(SP, foreign, Permission::ReadOnly));
    // The same page twice: the second transaction gives nothing.
    let once = vec![range(0x10_0000, 1)];
    pages.sent(handle(2), A, Transfer::Share, vec![(SP, Permission::ReadOnly)], once.clone());
    pages.sent(handle(3), A, Transfer::Share, vec![(SP, Permission::ReadWrite)], once);
    pages.retrieved(handle(3), SP);
    assert!(!pages.may(SP, range(0x10_0000, 1), Permission::ReadOnly));
    assert_eq!(pages.violations(), []);
}

#[test]
fn what_is_no_ram_of_a_vm_is_never_mapped() {
    let mut pages = model();
    pages.map(SP, range(0xe10_0000, 1), Permission::ReadOnly);
    assert!(matches!(pages.violations(), [Violation::OutsideRam { who: SP, .. }]));
}

#[test]
fn donated_pages_change_their_owner_when_they_are_retrieved() {
    let mut pages = model();
    pages.unmap(A, range(0x10_0000, 1));
    let one = vec![range(0x10_0000, 1)];
    pages.sent(handle(9), A, Transfer::Donate, vec![(B, Permission::ReadWrite)], one);
    pages.retrieved(handle(9), B);
    assert_eq!((pages.live().len(), pages.violations()), (0, [].as_slice()));
    assert!(pages.may(B, range(0x10_0000, 1), Permission::ReadWrite));
    assert!(!pages.may(A, range(0x10_0000, 1), Permission::ReadOnly));
}
