//! Owns the way from a handle to the slot of its grant: small buckets by the handle's lowest bits, and
//! a table in order for what a bucket has no room for. Never looks into a grant but for its handle.
//!
//! An SPMC counts its handles up, so that live ones spread evenly. Who goes to the length of keeping
//! handles that share a bucket makes each look-up longer by one binary search, his own and others'.

use crate::grant::Grant;
use crate::shelf::{Item, Shelf};
use causeway_ffa::MemHandle;

/// Handles of a bucket.
const WAYS: usize = 4;

/// A handle that found no room in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crowded {
    handle: u64,
    slot: u16,
}

impl Item for Crowded {
    const BLANK: Self = Self { handle: 0, slot: 0 };

    fn key(&self) -> u64 {
        self.handle
    }
}

/// The names of up to `G` grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names<const G: usize> {
    /// Slots, each plus 1; 0 for none.
    buckets: [[u16; WAYS]; G],
    crowded: Shelf<Crowded, G>,
}

impl<const G: usize> Names<G> {
    /// Only a power of two of the buckets is used: to find one costs one instruction.
    const MASK: u64 = {
        let mut count = 1_u64;
        let mut places = G >> 1;
        while places > 0 {
            (count, places) = (count << 1, places >> 1);
        }
        count - 1
    };

    pub(super) const fn new() -> Self {
        Self { buckets: [[0; WAYS]; G], crowded: Shelf::new() }
    }

    fn at(handle: MemHandle) -> usize {
        usize::try_from(handle.get() & Self::MASK).unwrap_or(0)
    }

    /// The slot of a handle; `grant` shows what a slot holds.
    #[inline]
    pub(super) fn find<'a>(
        &self,
        handle: MemHandle,
        grant: impl Fn(u16) -> Option<&'a Grant>,
    ) -> Option<u16> {
        for entry in self.buckets.get(Self::at(handle))? {
            if let Some(slot) = entry.checked_sub(1)
                && grant(slot).is_some_and(|grant| grant.handle == handle)
            {
                return Some(slot);
            }
        }
        if self.crowded.is_empty() { None } else { self.find_crowded(handle) }
    }

    #[inline(never)]
    fn find_crowded(&self, handle: MemHandle) -> Option<u16> {
        self.crowded.find(handle.get()).map(|(_, crowded)| crowded.slot)
    }

    /// Enters a handle that is new.
    #[inline(always)]
    pub(super) fn insert(&mut self, handle: MemHandle, slot: u16) {
        let bucket = self.buckets.get_mut(Self::at(handle));
        match bucket.and_then(|bucket| bucket.iter_mut().find(|entry| **entry == 0)) {
            Some(entry) => *entry = slot.saturating_add(1),
            None => self.insert_crowded(handle, slot),
        }
    }

    #[inline(never)]
    fn insert_crowded(&mut self, handle: MemHandle, slot: u16) {
        let handle = handle.get();
        // There is room for all grants.
        let _inserted = self.crowded.insert(self.crowded.place(handle), Crowded { handle, slot });
    }

    /// Forgets the handle of a slot.
    #[inline]
    pub(super) fn remove(&mut self, handle: MemHandle, slot: u16) {
        let bucket = self.buckets.get_mut(Self::at(handle));
        let mine = slot.saturating_add(1);
        match bucket.and_then(|bucket| bucket.iter_mut().find(|entry| **entry == mine)) {
            Some(entry) => *entry = 0,
            None => self.remove_crowded(handle),
        }
    }

    #[inline(never)]
    fn remove_crowded(&mut self, handle: MemHandle) {
        if let Some((place, _)) = self.crowded.find(handle.get()) {
            self.crowded.remove(place);
        }
    }
}
