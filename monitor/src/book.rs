//! Owns the record of every live memory transaction that a VM began. Never maps, never calls.

mod ranges;

#[cfg(test)]
mod tests;

use crate::layout::{VM_COUNT, VmIndex};
use crate::stage2::BorrowedAccess;
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageRange, Transfer};
use core::fmt;
use ranges::{RangeList, RangePool};

/// Most live transactions: as many of the smallest as the store holds (and one), so that no VM's
/// transactions take another's places, however the store is divided.
pub const MAX_SHARES: usize = {
    let least = STORE_HEADER_BYTES + STORE_RECEIVER_BYTES + STORE_RANGE_BYTES;
    // One more, so that where the SPMC alone counts, it is the SPMC that refuses.
    (STORE_BYTES / least) as usize + 1
};
/// Most borrowers of one transaction.
pub const MAX_BORROWERS: usize = 4;
/// Most ranges of all live transactions together: what the SPMC's store can hold.
pub const MAX_RANGES: usize = 4096;

/// The EL3 SPMC's descriptor store on the qemu platform, in bytes.
/// Source: TF-A 2.12, `PLAT_SPMC_SHMEM_DATASTORE_SIZE`.
pub const STORE_BYTES: u32 = 64 << 10;
/// How much of it each VM may fill where the configuration does not say otherwise. Whatever one VM
/// does, the others have theirs.
pub const STORE_QUOTA: [u32; VM_COUNT] = [54 << 10, 8 << 10, 2 << 10];

/// Bytes that the SPMC's store takes for any transaction.
/// Source: TF-A 2.12, `spmc_shmem_obj`: 24 bytes, then the descriptor.
const STORE_HEADER_BYTES: u32 = 24 + 48 + 16;
/// Bytes more for each receiver.
const STORE_RECEIVER_BYTES: u32 = 16;
/// Bytes more for each range.
const STORE_RANGE_BYTES: u32 = 16;

/// Returns the bytes that a transaction takes in the SPMC's store.
#[must_use]
pub fn store_bytes(borrowers: usize, ranges: usize) -> Option<u32> {
    let receivers = u32::try_from(borrowers).ok()?.checked_mul(STORE_RECEIVER_BYTES)?;
    let constituents = u32::try_from(ranges).ok()?.checked_mul(STORE_RANGE_BYTES)?;
    receivers.checked_add(constituents)?.checked_add(STORE_HEADER_BYTES)
}

/// Who may borrow, and where a VM has it mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrower {
    /// The partition or a VM.
    pub endpoint: EndpointId,
    /// What it may do.
    pub access: BorrowedAccess,
    /// Guest-physical address in a VM's window, while it is mapped there.
    pub mapped_at: Option<u64>,
}

/// The terms of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who owns the pages.
    pub owner: VmIndex,
    /// Share or lend.
    pub kind: Transfer,
    /// The owner's tag.
    pub tag: u64,
    borrowers: [Option<Borrower>; MAX_BORROWERS],
}

impl Terms {
    /// Terms without borrowers.
    #[must_use]
    pub const fn new(owner: VmIndex, kind: Transfer, tag: u64) -> Self {
        Self { owner, kind, tag, borrowers: [None; MAX_BORROWERS] }
    }

    /// Adds a borrower.
    ///
    /// # Errors
    /// `NoMemory` beyond [`MAX_BORROWERS`].
    pub fn add(&mut self, endpoint: EndpointId, access: BorrowedAccess) -> Result<(), FfaError> {
        let free = self.borrowers.iter_mut().find(|slot| slot.is_none());
        *free.ok_or(FfaError::NoMemory)? = Some(Borrower { endpoint, access, mapped_at: None });
        Ok(())
    }

    /// Iterates over the borrowers.
    pub fn borrowers(&self) -> impl Iterator<Item = &Borrower> {
        self.borrowers.iter().flatten()
    }

    /// Finds a borrower.
    #[must_use]
    pub fn borrower(&self, endpoint: EndpointId) -> Option<&Borrower> {
        self.borrowers().find(|borrower| borrower.endpoint == endpoint)
    }

    /// Reports whether a VM has the memory mapped.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.borrowers().any(|borrower| borrower.mapped_at.is_some())
    }
}

/// A live transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The SPMC's name for it.
    pub handle: MemHandle,
    /// Its terms.
    pub terms: Terms,
    /// 4 KiB pages.
    pub page_count: u32,
    ranges: RangeList,
    store_bytes: u32,
}

/// A place in the book: valid until the share in it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(usize);

/// Room in the book, set aside before the SPMC is asked.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Reservation {
    slot: Slot,
    terms: Terms,
    ranges: RangeList,
    page_count: u32,
    store_bytes: u32,
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shares, store_bytes, pages, ranges, mapped } = self;
        write!(f, "shares={shares} store_bytes={store_bytes} pages={pages} ranges={ranges} ")?;
        write!(f, "mapped={mapped}")
    }
}

/// All live transactions.
#[derive(Clone, Debug)]
pub struct Book {
    shares: [Option<Share>; MAX_SHARES],
    ranges: RangePool,
    quota: [u32; VM_COUNT],
    used_bytes: [u32; VM_COUNT],
}

/// What one VM's live transactions come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Transactions that it owns.
    pub shares: u32,
    /// Bytes that they take in the SPMC's store.
    pub store_bytes: u32,
    /// Their pages.
    pub pages: u32,
    /// Their ranges.
    pub ranges: u32,
    /// How many of them some VM maps.
    pub mapped: u32,
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// An empty book with the usual quotas.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            shares: [None; MAX_SHARES],
            ranges: RangePool::new(),
            quota: STORE_QUOTA,
            used_bytes: [0; VM_COUNT],
        }
    }

    /// Divides the store anew; done before any VM lives.
    pub fn set_quota(&mut self, quota: [u32; VM_COUNT]) {
        self.quota = quota;
    }

    /// Adds up what a VM owns.
    #[must_use]
    pub fn holdings(&self, vm: VmIndex) -> Holdings {
        let own = self.shares.iter().flatten().filter(|share| share.terms.owner == vm);
        own.fold(Holdings::default(), |sum, share| Holdings {
            shares: sum.shares + 1,
            store_bytes: sum.store_bytes + share.store_bytes,
            pages: sum.pages.saturating_add(share.page_count),
            ranges: sum.ranges + share.ranges.len(),
            mapped: sum.mapped + u32::from(share.terms.is_mapped()),
        })
    }

    /// Sets room aside: a slot, range records, and the owner's part of the SPMC's store.
    ///
    /// # Errors
    /// `NoMemory` where any of them is used up; then nothing changed.
    pub fn reserve(
        &mut self,
        terms: Terms,
        ranges: impl ExactSizeIterator<Item = PageRange>,
    ) -> Result<Reservation, FfaError> {
        let owner = terms.owner.index();
        let slot = self.shares.iter().position(Option::is_none).ok_or(FfaError::NoMemory)?;
        let store_bytes =
            store_bytes(terms.borrowers().count(), ranges.len()).ok_or(FfaError::NoMemory)?;
        let used = self.used_bytes[owner].checked_add(store_bytes).ok_or(FfaError::NoMemory)?;
        if used > self.quota[owner] {
            return Err(FfaError::NoMemory);
        }
        let mut page_count = 0_u32;
        let counted = ranges.inspect(|range| {
            page_count = page_count.saturating_add(range.page_count());
        });
        let ranges = self.ranges.store(counted).ok_or(FfaError::NoMemory)?;
        self.used_bytes[owner] = used;
        Ok(Reservation { slot: Slot(slot), terms, ranges, page_count, store_bytes })
    }

    /// The SPMC took the transaction: the room is filled.
    pub fn fill(&mut self, reservation: Reservation, handle: MemHandle) -> Slot {
        let Reservation { slot, terms, ranges, page_count, store_bytes } = reservation;
        self.shares[slot.0] = Some(Share { handle, terms, page_count, ranges, store_bytes });
        slot
    }

    /// The SPMC refused it: the room is free again.
    pub fn cancel(&mut self, reservation: Reservation) {
        self.ranges.free(reservation.ranges);
        self.used_bytes[reservation.terms.owner.index()] -= reservation.store_bytes;
    }

    /// Finds a transaction by its handle.
    #[must_use]
    pub fn find(&self, handle: MemHandle) -> Option<Slot> {
        let is_it = |share: &Option<Share>| share.as_ref().is_some_and(|s| s.handle == handle);
        self.shares.iter().position(is_it).map(Slot)
    }

    /// Returns a transaction.
    #[must_use]
    pub fn share(&self, slot: Slot) -> Option<&Share> {
        self.shares.get(slot.0)?.as_ref()
    }

    /// Iterates over the live transactions of which `wanted` is true.
    pub fn slots(&self, wanted: impl Fn(&Share) -> bool) -> impl Iterator<Item = Slot> {
        let is_wanted = move |share: &Option<Share>| share.as_ref().is_some_and(&wanted);
        (0..MAX_SHARES).filter(move |index| is_wanted(&self.shares[*index])).map(Slot)
    }

    /// Finds the next live transaction of which `wanted` is true, behind `last`. The book may change
    /// between two calls.
    #[must_use]
    pub fn next_slot(&self, last: Option<Slot>, wanted: impl Fn(&Share) -> bool) -> Option<Slot> {
        self.slots(wanted).find(|slot| Some(*slot) > last)
    }

    /// Iterates over the ranges of a transaction, in the owner's guest-physical addresses.
    pub fn ranges(&self, slot: Slot) -> impl Iterator<Item = PageRange> + Clone {
        let list = self.share(slot).map_or(RangeList::EMPTY, |share| share.ranges);
        self.ranges.iter(list)
    }

    /// Records where a borrower has the memory, or that it has it no more.
    pub fn set_mapping(&mut self, slot: Slot, endpoint: EndpointId, mapped_at: Option<u64>) {
        let share = self.shares.get_mut(slot.0).and_then(Option::as_mut);
        let borrowers = share.map(|share| &mut share.terms.borrowers);
        for borrower in borrowers.into_iter().flatten().flatten() {
            if borrower.endpoint == endpoint {
                borrower.mapped_at = mapped_at;
            }
        }
    }

    /// Forgets a transaction that was reclaimed.
    pub fn remove(&mut self, slot: Slot) {
        if let Some(share) = self.shares.get_mut(slot.0).and_then(Option::take) {
            self.ranges.free(share.ranges);
            self.used_bytes[share.terms.owner.index()] -= share.store_bytes;
        }
    }
}
