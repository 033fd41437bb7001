//! Holds the book to its claims.

use super::*;
use crate::layout::{BACKEND, FRONTEND, PARTITION_ID};
use causeway_ffa::PageAddr;

fn range(page: u64) -> PageRange {
    PageRange::new(PageAddr::new(page * 4096).unwrap(), 2).unwrap()
}

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).unwrap()
}

fn terms(owner: VmIndex) -> Terms {
    let mut terms = Terms::new(owner, Transfer::Share, 7);
    terms.add(PARTITION_ID, BorrowedAccess::ReadWrite).unwrap();
    terms
}

fn ranges(count: u64) -> impl ExactSizeIterator<Item = PageRange> {
    (0..count as u32).map(|page| range(u64::from(page) * 3))
}

fn boxed() -> Box<Book> {
    Box::new(Book::new())
}

#[test]
fn a_transaction_is_found_with_its_ranges_in_order() {
    let mut book = boxed();
    let reservation = book.reserve(terms(FRONTEND), ranges(5)).unwrap();
    assert_eq!(book.find(handle(0)), None);
    let slot = book.fill(reservation, handle(0));
    assert_eq!(book.find(handle(0)), Some(slot));
    assert_eq!(book.share(slot).unwrap().page_count, 10);
    assert!(book.ranges(slot).eq(ranges(5)));
    book.remove(slot);
    assert_eq!(book.find(handle(0)), None);
    assert_eq!(book.ranges(slot).count(), 0);
    assert_eq!(book.used_bytes, [0; VM_COUNT]);
}

#[test]
fn each_vm_has_its_own_part_of_the_store() {
    let mut book = boxed();
    let mut taken = 0_u64;
    while let Ok(reservation) = book.reserve(terms(BACKEND), ranges(1)) {
        let _slot = book.fill(reservation, handle(taken));
        taken += 1;
    }
    let each = u64::from(store_bytes(1, 1).unwrap());
    assert_eq!(taken, u64::from(STORE_QUOTA[BACKEND.index()]) / each);
    assert!(book.reserve(terms(FRONTEND), ranges(1)).is_ok());
    assert_eq!(STORE_QUOTA.iter().sum::<u32>(), STORE_BYTES);
}

#[test]
fn a_cancelled_or_refused_reservation_leaves_no_trace() {
    let mut book = boxed();
    for _ in 0..1000 {
        let reservation = book.reserve(terms(FRONTEND), ranges(3000)).unwrap();
        book.cancel(reservation);
        assert_eq!(book.reserve(terms(FRONTEND), ranges(4000)), Err(FfaError::NoMemory));
    }
    assert_eq!(book.used_bytes, [0; VM_COUNT]);
    assert_eq!(book.slots(|_| true).count(), 0);
}

#[test]
fn all_quotas_together_never_run_out_of_records() {
    let mut book = boxed();
    for vm in VmIndex::ALL {
        let most = (STORE_QUOTA[vm.index()] - store_bytes(1, 0).unwrap()) / 16;
        let reservation = book.reserve(terms(vm), ranges(u64::from(most))).unwrap();
        let _slot = book.fill(reservation, handle(u64::from(vm.id().get())));
        assert!(book.reserve(terms(vm), ranges(1)).is_err());
    }
}

#[test]
fn each_vm_gets_its_own_shares_whatever_the_others_do() {
    let fewest = store_bytes(1, 1).unwrap();
    let own = |vm: VmIndex| (STORE_QUOTA[vm.index()] / fewest) as usize;
    for last in VmIndex::ALL {
        let mut book = boxed();
        let greedy = VmIndex::ALL.into_iter().filter(|vm| *vm != last);
        for vm in greedy.chain([last]) {
            while let Ok(reservation) = book.reserve(terms(vm), ranges(1)) {
                let _slot = book.fill(reservation, handle(1));
            }
            assert_eq!(book.slots(|share| share.terms.owner == vm).count(), own(vm));
        }
    }
}

#[test]
fn a_mapping_is_recorded_for_its_borrower_only() {
    let mut book = boxed();
    let mut both = terms(FRONTEND);
    both.add(BACKEND.id(), BorrowedAccess::ReadOnly).unwrap();
    let reservation = book.reserve(both, ranges(1)).unwrap();
    let slot = book.fill(reservation, handle(9));
    assert!(!book.share(slot).unwrap().terms.is_mapped());
    book.set_mapping(slot, BACKEND.id(), Some(0x1_0000_0000));
    let terms = book.share(slot).unwrap().terms;
    assert!(terms.is_mapped());
    assert_eq!(terms.borrower(BACKEND.id()).unwrap().mapped_at, Some(0x1_0000_0000));
    assert_eq!(terms.borrower(PARTITION_ID).unwrap().mapped_at, None);
    assert_eq!(terms.borrower(FRONTEND.id()), None);
    book.set_mapping(slot, BACKEND.id(), None);
    assert!(!book.share(slot).unwrap().terms.is_mapped());
}

#[test]
fn borrowers_are_bounded() {
    let mut terms = Terms::new(FRONTEND, Transfer::Lend, 0);
    for id in 0..MAX_BORROWERS as u16 {
        terms.add(EndpointId::from_raw(id), BorrowedAccess::ReadOnly).unwrap();
    }
    let one_more = terms.add(EndpointId::from_raw(99), BorrowedAccess::ReadOnly);
    assert_eq!(one_more, Err(FfaError::NoMemory));
}

#[test]
fn a_walk_that_removes_some_meets_each_transaction_once() {
    let mut book = boxed();
    for raw in 0..5 {
        let reservation = book.reserve(terms(FRONTEND), ranges(1)).unwrap();
        let _slot = book.fill(reservation, handle(raw));
    }
    let mut met = Vec::new();
    let mut last = None;
    while let Some(slot) = book.next_slot(last, |_| true) {
        last = Some(slot);
        let handle = book.share(slot).unwrap().handle;
        met.push(handle);
        if met.len() % 2 == 0 {
            book.remove(slot);
        }
    }
    assert!(met.into_iter().eq((0..5).map(handle)));
    assert_eq!(book.slots(|_| true).count(), 3);
}

#[test]
fn one_vm_can_have_the_whole_store_and_the_one_that_does_not_fit_changes_nothing() {
    let both = |owner| {
        let mut terms = terms(owner);
        terms.add(BACKEND.id(), BorrowedAccess::ReadWrite).unwrap();
        terms
    };
    for (terms, most) in [(terms(FRONTEND), 546), (both(FRONTEND), 481)] {
        let mut book = boxed();
        book.set_quota([STORE_BYTES, 0, 0]);
        let mut slots = Vec::new();
        while let Ok(reservation) = book.reserve(terms, ranges(1)) {
            slots.push(book.fill(reservation, handle(slots.len() as u64)));
        }
        assert_eq!(slots.len(), most);
        let full = book.holdings(FRONTEND);
        assert_eq!((full.shares as usize, full.pages as usize, full.mapped), (most, 2 * most, 0));
        assert_eq!(book.reserve(terms, ranges(1)), Err(FfaError::NoMemory));
        assert_eq!(book.holdings(FRONTEND), full);
        assert_eq!(book.reserve(self::terms(BACKEND), ranges(1)), Err(FfaError::NoMemory));
        book.remove(slots[most / 2]);
        let reservation = book.reserve(terms, ranges(1)).unwrap();
        let _slot = book.fill(reservation, handle(9999));
        assert_eq!(book.holdings(FRONTEND), full);
    }
}

#[test]
fn the_longest_transactions_fit_alone_and_no_longer_ones() {
    for (extra_receivers, most) in [(0, 4089), (1, 4088)] {
        let mut book = boxed();
        book.set_quota([STORE_BYTES, 0, 0]);
        let mut terms = terms(FRONTEND);
        for _ in 0..extra_receivers {
            terms.add(BACKEND.id(), BorrowedAccess::ReadWrite).unwrap();
        }
        assert_eq!(book.reserve(terms, ranges(most + 1)), Err(FfaError::NoMemory));
        let reservation = book.reserve(terms, ranges(most)).unwrap();
        let slot = book.fill(reservation, handle(1));
        assert_eq!(book.ranges(slot).count() as u64, most);
    }
}
