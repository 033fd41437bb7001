//! Holds the rules to their claims, with descriptors as a VM would write them.

use super::*;
use crate::layout::{BACKEND, FRONTEND, RAM_IPA};
use causeway_ffa::call::TimeSlice;
use causeway_ffa::descriptor::{Builder, Flags, Receiver, Spec};
use causeway_ffa::{EndpointId, PageAddr, PageRange, relinquish};

const HOSTILE: VmIndex = VmIndex::ALL[2];
const HANDLE: u64 = 0xffff_ffc0;

fn range() -> PageRange {
    PageRange::new(PageAddr::new(RAM_IPA).unwrap(), 2).unwrap()
}

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).unwrap()
}

fn bytes(spec: Spec<'_>) -> Vec<u8> {
    let builder = Builder::new(spec).unwrap();
    let mut out = vec![0; builder.total_len() as usize];
    assert_eq!(builder.write(0, &mut out).unwrap(), out.len());
    out
}

/// Sends what `change` makes of an honest share from VM 1 to {partition, VM 2}.
fn send(kind: Transfer, change: impl FnOnce(&mut Spec<'_>)) -> Result<Terms, FfaError> {
    let receivers = [Receiver::read_write(PARTITION_ID), Receiver::read_write(BACKEND.id())];
    let ranges = [range()];
    let mut spec = Spec::send(Version::V1_1, kind, FRONTEND.id(), 7, &receivers, &ranges);
    change(&mut spec);
    let bytes = bytes(spec);
    let wish = Transaction::parse(&bytes, Version::V1_1, Role::Send(kind)).unwrap();
    check_send(FRONTEND, kind, &wish)
}

fn send_to(receivers: &[Receiver]) -> Result<Terms, FfaError> {
    let ranges = [range()];
    let spec = Spec::send(Version::V1_1, Transfer::Lend, FRONTEND.id(), 7, receivers, &ranges);
    let bytes = bytes(spec);
    let wish = Transaction::parse(&bytes, Version::V1_1, Role::Send(Transfer::Lend)).unwrap();
    check_send(FRONTEND, Transfer::Lend, &wish)
}

#[test]
fn an_honest_share_has_its_terms() {
    let terms = send(Transfer::Share, |_| ()).unwrap();
    assert_eq!((terms.owner, terms.kind, terms.tag), (FRONTEND, Transfer::Share, 7));
    assert_eq!(terms.borrowers().count(), 2);
    assert_eq!(terms.borrower(BACKEND.id()).unwrap().access, BorrowedAccess::ReadWrite);
}

#[test]
fn a_sender_that_is_not_the_caller_is_refused() {
    let spoofed = |spec: &mut Spec<'_>| spec.sender = HOSTILE.id();
    assert_eq!(send(Transfer::Share, spoofed), Err(FfaError::InvalidParameters));
    assert_eq!(send(Transfer::Lend, spoofed), Err(FfaError::InvalidParameters));
}

#[test]
fn zeroing_and_slicing_are_refused() {
    let zero = |spec: &mut Spec<'_>| spec.flags = Flags { zero: Zero::Zero, ..spec.flags };
    assert_eq!(send(Transfer::Lend, zero), Err(FfaError::InvalidParameters));
    let slice =
        |spec: &mut Spec<'_>| spec.flags = Flags { time_slice: TimeSlice::Sliced, ..spec.flags };
    assert_eq!(send(Transfer::Lend, slice), Err(FfaError::InvalidParameters));
}

#[test]
fn memory_that_is_not_ordinary_ram_is_refused() {
    let unspecified = |spec: &mut Spec<'_>| spec.attributes = Attributes::UNSPECIFIED;
    assert_eq!(send(Transfer::Share, unspecified), Err(FfaError::Denied));
    assert!(send(Transfer::Lend, unspecified).is_ok());
    for word in [0x10, 0x24, 0x2c, 0x2e] {
        let strange = |spec: &mut Spec<'_>| spec.attributes = Attributes::from_word(word).unwrap();
        assert_eq!(send(Transfer::Lend, strange), Err(FfaError::Denied), "{word:#x}");
    }
}

#[test]
fn the_partition_must_be_among_the_receivers() {
    assert_eq!(send_to(&[Receiver::read_write(BACKEND.id())]), Err(FfaError::Denied));
    assert!(send_to(&[Receiver::read_write(PARTITION_ID)]).is_ok());
}

#[test]
fn unknown_and_executing_receivers_are_refused() {
    let broker = Receiver::read_write(PARTITION_ID);
    for id in [0, 4, 0x8002, 0xffff] {
        let unknown = Receiver::read_only(EndpointId::from_raw(id));
        assert_eq!(send_to(&[broker, unknown]), Err(FfaError::InvalidParameters));
    }
    let mut executing = Receiver::read_only(BACKEND.id());
    executing.access.instruction = InstructionAccess::Executable;
    assert_eq!(send_to(&[broker, executing]), Err(FfaError::Denied));
}

/// A book with one share of VM 1 to {partition, VM 2}, the latter with `access`.
fn book(access: BorrowedAccess) -> (Box<Book>, Slot) {
    let mut terms = Terms::new(FRONTEND, Transfer::Share, 7);
    terms.add(PARTITION_ID, BorrowedAccess::ReadWrite).unwrap();
    terms.add(BACKEND.id(), access).unwrap();
    let mut book = Box::new(Book::new());
    let reservation = book.reserve(terms, [range()].into_iter()).unwrap();
    let slot = book.fill(reservation, handle(HANDLE));
    (book, slot)
}

fn request(receivers: &[Receiver], change: impl FnOnce(&mut Spec<'_>)) -> Vec<u8> {
    let mut spec = Spec::retrieve_request(
        Version::V1_1,
        FRONTEND.id(),
        handle(HANDLE),
        Some(Transfer::Share),
        7,
        receivers,
    );
    change(&mut spec);
    bytes(spec)
}

fn retrieve(
    access: BorrowedAccess,
    vm: VmIndex,
    receivers: &[Receiver],
    change: impl FnOnce(&mut Spec<'_>),
) -> Result<BorrowedAccess, FfaError> {
    let (book, _) = book(access);
    check_retrieve(&book, vm, &request(receivers, change)).map(|wish| wish.access)
}

#[test]
fn a_borrower_gets_no_more_than_it_was_granted() {
    use BorrowedAccess::{ReadOnly, ReadWrite};
    let ask = |granted, receiver| retrieve(granted, BACKEND, &[receiver], |_| ());
    let id = BACKEND.id();
    assert_eq!(ask(ReadWrite, Receiver::read_write(id)), Ok(ReadWrite));
    assert_eq!(ask(ReadWrite, Receiver::read_only(id)), Ok(ReadOnly));
    assert_eq!(ask(ReadOnly, Receiver::read_only(id)), Ok(ReadOnly));
    assert_eq!(ask(ReadOnly, Receiver::read_write(id)), Err(FfaError::Denied));
    assert_eq!(ask(ReadOnly, Receiver::new(id, DataAccess::NotSpecified)), Ok(ReadOnly));
    let mut executing = Receiver::read_only(id);
    executing.access.instruction = InstructionAccess::Executable;
    assert_eq!(ask(ReadWrite, executing), Err(FfaError::Denied));
}

#[test]
fn foreign_stale_and_invented_handles_are_refused_alike() {
    let refused = Err(FfaError::InvalidParameters);
    let rw = BorrowedAccess::ReadWrite;
    let invented = |spec: &mut Spec<'_>| spec.handle = Some(handle(HANDLE + 1));
    assert_eq!(retrieve(rw, BACKEND, &[Receiver::read_write(BACKEND.id())], invented), refused);
    assert_eq!(retrieve(rw, HOSTILE, &[Receiver::read_write(HOSTILE.id())], |_| ()), refused);
    let (mut book, slot) = book(rw);
    book.remove(slot);
    let stale = request(&[Receiver::read_write(BACKEND.id())], |_| ());
    assert_eq!(check_retrieve(&book, BACKEND, &stale).err(), Some(FfaError::InvalidParameters));
}

#[test]
fn a_request_that_does_not_match_the_send_is_refused() {
    let refused = Err(FfaError::InvalidParameters);
    let rw = BorrowedAccess::ReadWrite;
    let own = [Receiver::read_write(BACKEND.id())];
    let with = |change: fn(&mut Spec<'_>)| retrieve(rw, BACKEND, &own, change);
    assert_eq!(with(|spec| spec.tag = 8), refused);
    assert_eq!(with(|spec| spec.sender = HOSTILE.id()), refused);
    assert_eq!(with(|spec| spec.flags = Flags::of_kind(Transfer::Lend)), refused);
    assert_eq!(
        with(|spec| spec.flags = Flags { zero_after: Zero::Zero, ..Flags::default() }),
        refused
    );
    let with_stranger = [own[0], Receiver::read_write(HOSTILE.id())];
    assert_eq!(retrieve(rw, BACKEND, &with_stranger, |_| ()), refused);
    let without_caller = [Receiver::read_write(PARTITION_ID)];
    assert_eq!(retrieve(rw, BACKEND, &without_caller, |_| ()), refused);
}

#[test]
fn a_second_retrieve_is_refused() {
    let (mut book, slot) = book(BorrowedAccess::ReadWrite);
    let bytes = request(&[Receiver::read_write(BACKEND.id())], |_| ());
    assert!(check_retrieve(&book, BACKEND, &bytes).is_ok());
    book.set_mapping(slot, BACKEND.id(), Some(0x1_0000_0000));
    assert_eq!(check_retrieve(&book, BACKEND, &bytes).err(), Some(FfaError::Denied));
}

#[test]
fn only_the_borrower_that_maps_can_relinquish() {
    let (mut book, slot) = book(BorrowedAccess::ReadWrite);
    let release = |id: EndpointId, raw: u64, flags: ReclaimFlags| {
        let mut out = [0; 64];
        relinquish::write(handle(raw), flags, &[id], &mut out).unwrap();
        out
    };
    let plain = ReclaimFlags::default();
    let own = release(BACKEND.id(), HANDLE, plain);
    assert_eq!(check_relinquish(&book, BACKEND, &own), Err(FfaError::Denied));
    book.set_mapping(slot, BACKEND.id(), Some(0x1_0000_0000));
    assert_eq!(check_relinquish(&book, BACKEND, &own), Ok((slot, handle(HANDLE))));
    let refused = Err(FfaError::InvalidParameters);
    assert_eq!(check_relinquish(&book, HOSTILE, &own), refused);
    let foreign = release(HOSTILE.id(), HANDLE, plain);
    assert_eq!(check_relinquish(&book, HOSTILE, &foreign), refused);
    let invented = release(BACKEND.id(), HANDLE + 1, plain);
    assert_eq!(check_relinquish(&book, BACKEND, &invented), refused);
    let zeroing = release(BACKEND.id(), HANDLE, ReclaimFlags { zero: Zero::Zero, ..plain });
    assert_eq!(check_relinquish(&book, BACKEND, &zeroing), refused);
    assert_eq!(check_relinquish(&book, BACKEND, &[0; 8]), refused);
}

#[test]
fn only_the_owner_reclaims_and_only_what_nobody_maps() {
    let (mut book, slot) = book(BorrowedAccess::ReadWrite);
    let reclaim = |book: &Book, vm, raw| check_reclaim(book, vm, handle(raw)).map(|found| found.0);
    assert_eq!(reclaim(&book, FRONTEND, HANDLE), Ok(slot));
    for (vm, raw) in [(BACKEND, HANDLE), (HOSTILE, HANDLE), (FRONTEND, HANDLE + 1)] {
        assert_eq!(reclaim(&book, vm, raw), Err(FfaError::InvalidParameters));
    }
    book.set_mapping(slot, BACKEND.id(), Some(0x1_0000_0000));
    assert_eq!(reclaim(&book, FRONTEND, HANDLE), Err(FfaError::Denied));
}

#[test]
fn a_dead_vms_pages_are_held_until_the_spmc_plainly_lets_go() {
    assert_eq!(after_last_reclaim(Ok(())), LastReclaim::Free);
    assert_eq!(after_last_reclaim(Err(FfaError::InvalidParameters)), LastReclaim::Unknown);
    for error in [
        FfaError::Denied,
        FfaError::Busy,
        FfaError::Retry,
        FfaError::NoMemory,
        FfaError::Aborted,
        FfaError::NotSupported,
        FfaError::NotReady,
    ] {
        assert_eq!(after_last_reclaim(Err(error)), LastReclaim::Held, "{error:?}");
    }
}
