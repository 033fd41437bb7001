//! Owns what a hypervisor must check in a VM's memory calls beyond their form: who sends, who
//! receives, what was granted. Changes nothing; whoever acts asks here first.
//!
//! A handle that is foreign, stale or invented gives one status, so that nothing is learnt.

#[cfg(test)]
mod tests;

use crate::book::{Book, Share, Slot, Terms};
use crate::layout::{PARTITION_ID, VmIndex};
use crate::stage2::BorrowedAccess;
use causeway_ffa::call::{ReclaimFlags, TimeSlice, Zero};
use causeway_ffa::descriptor::{Attributes, DataAccess, InstructionAccess, Role, Transaction};
use causeway_ffa::relinquish::Relinquish;
use causeway_ffa::{FfaError, MemHandle, Transfer, Version};

/// Checks a share or lend whose descriptor is well formed.
///
/// # Errors
/// In this order: `InvalidParameters` for a sender that is not the caller, or a request to zero or
/// to slice (the EL3 SPMC does neither); `Denied` for memory that is not normal, write-back and
/// inner shareable; `InvalidParameters` for an unknown receiver; `Denied` for an executable
/// borrower; `NoMemory` for more borrowers than the book takes; `Denied` where the partition is
/// not among them: two VMs alone would share without a witness, past the partition's policy.
pub fn check_send(vm: VmIndex, kind: Transfer, wish: &Transaction<'_>) -> Result<Terms, FfaError> {
    let header = wish.header();
    if header.sender != vm.id() {
        return Err(FfaError::InvalidParameters);
    }
    if header.flags.zero != Zero::Keep || header.flags.time_slice != TimeSlice::Whole {
        return Err(FfaError::InvalidParameters);
    }
    let fits = match kind {
        Transfer::Share => header.attributes == Attributes::NORMAL,
        Transfer::Lend | Transfer::Donate => {
            [Attributes::NORMAL, Attributes::UNSPECIFIED].contains(&header.attributes)
        }
    };
    if !fits {
        return Err(FfaError::Denied);
    }
    let mut terms = Terms::new(vm, kind, header.tag);
    for receiver in wish.receivers() {
        let id = receiver.endpoint;
        if id != PARTITION_ID && VmIndex::from_id(id).is_none() {
            return Err(FfaError::InvalidParameters);
        }
        if receiver.access.instruction == InstructionAccess::Executable {
            return Err(FfaError::Denied);
        }
        terms.add(id, borrowed_access(receiver.access.data).ok_or(FfaError::InvalidParameters)?)?;
    }
    if terms.borrower(PARTITION_ID).is_none() {
        return Err(FfaError::Denied);
    }
    Ok(terms)
}

/// Names a permission that a borrower can have.
const fn borrowed_access(data: DataAccess) -> Option<BorrowedAccess> {
    match data {
        DataAccess::ReadOnly => Some(BorrowedAccess::ReadOnly),
        DataAccess::ReadWrite => Some(BorrowedAccess::ReadWrite),
        DataAccess::NotSpecified => None,
    }
}

/// What a checked retrieve request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrieve {
    /// Where the transaction is.
    pub slot: Slot,
    /// The transaction.
    pub share: Share,
    /// How the borrower wants it: no wider than it was granted.
    pub access: BorrowedAccess,
}

/// Checks a retrieve request (`bytes` is a private copy) against the book.
///
/// # Errors
/// The descriptor's own rule; `InvalidParameters` for a handle that names nothing the VM may
/// borrow, another owner or tag, a wish to zero, another kind, or borrowers that are none; `Denied`
/// for executable memory, a wider permission than granted, or a second retrieve.
pub fn check_retrieve(book: &Book, vm: VmIndex, bytes: &[u8]) -> Result<Retrieve, FfaError> {
    let request = Transaction::parse(bytes, Version::V1_1, Role::RetrieveRequest)
        .map_err(|error| error.status())?;
    let header = request.header();
    let handle = header.handle.ok_or(FfaError::InvalidParameters)?;
    let (slot, share) = borrowed(book, vm, handle)?;
    let terms = &share.terms;
    if header.sender != terms.owner.id() || header.tag != terms.tag {
        return Err(FfaError::InvalidParameters);
    }
    let flags = &header.flags;
    if flags.zero != Zero::Keep
        || flags.zero_after != Zero::Keep
        || flags.kind.is_some_and(|kind| kind != terms.kind)
    {
        return Err(FfaError::InvalidParameters);
    }
    if request.receivers().any(|receiver| terms.borrower(receiver.endpoint).is_none()) {
        return Err(FfaError::InvalidParameters);
    }
    let own = request.receiver(vm.id()).ok_or(FfaError::InvalidParameters)?;
    let granted = terms.borrower(vm.id()).ok_or(FfaError::InvalidParameters)?;
    if own.access.instruction == InstructionAccess::Executable {
        return Err(FfaError::Denied);
    }
    let access = borrowed_access(own.access.data).unwrap_or(granted.access);
    if access == BorrowedAccess::ReadWrite && granted.access == BorrowedAccess::ReadOnly {
        return Err(FfaError::Denied);
    }
    if granted.mapped_at.is_some() {
        return Err(FfaError::Denied);
    }
    Ok(Retrieve { slot, share, access })
}

/// Checks a relinquish (`bytes` is a private copy) against the book.
///
/// # Errors
/// The descriptor's own rule; `InvalidParameters` for flags, for anybody but the caller as the one
/// who lets go, for a handle that names nothing the VM may borrow; `Denied` where it maps nothing.
pub fn check_relinquish(
    book: &Book,
    vm: VmIndex,
    bytes: &[u8],
) -> Result<(Slot, MemHandle), FfaError> {
    let wish = Relinquish::parse(bytes).map_err(|error| error.status())?;
    if wish.flags() != ReclaimFlags::default() || wish.sole_endpoint() != Some(vm.id()) {
        return Err(FfaError::InvalidParameters);
    }
    let (slot, share) = borrowed(book, vm, wish.handle())?;
    let mapped = share.terms.borrower(vm.id()).and_then(|borrower| borrower.mapped_at);
    mapped.ok_or(FfaError::Denied)?;
    Ok((slot, wish.handle()))
}

/// Checks a reclaim against the book. What the partition still holds, the SPMC refuses.
///
/// # Errors
/// `InvalidParameters` for a handle that names no transaction of the VM's own; `Denied` while
/// another VM maps it.
pub fn check_reclaim(
    book: &Book,
    vm: VmIndex,
    handle: MemHandle,
) -> Result<(Slot, Share), FfaError> {
    let slot = book.find(handle).ok_or(FfaError::InvalidParameters)?;
    let share = book.share(slot).filter(|share| share.terms.owner == vm);
    let share = *share.ok_or(FfaError::InvalidParameters)?;
    if share.terms.is_mapped() {
        return Err(FfaError::Denied);
    }
    Ok((slot, share))
}

/// Finds a transaction of which the VM is a borrower.
fn borrowed(book: &Book, vm: VmIndex, handle: MemHandle) -> Result<(Slot, Share), FfaError> {
    let slot = book.find(handle).ok_or(FfaError::InvalidParameters)?;
    let share = book.share(slot).filter(|share| share.terms.borrower(vm.id()).is_some());
    Ok((slot, *share.ok_or(FfaError::InvalidParameters)?))
}

/// What the SPMC said to the reclaim of a dead VM's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastReclaim {
    /// It let go.
    Free,
    /// It has no such transaction.
    Unknown,
    /// Somebody may still hold it: the pages must not be used again.
    Held,
}

/// Judges the answer to FFA_MEM_RECLAIM for a dead owner: whatever is not plainly the end of the
/// transaction is not the end.
#[must_use]
pub fn after_last_reclaim(answer: Result<(), FfaError>) -> LastReclaim {
    match answer {
        Ok(()) => LastReclaim::Free,
        Err(FfaError::InvalidParameters) => LastReclaim::Unknown,
        Err(_) => LastReclaim::Held,
    }
}
