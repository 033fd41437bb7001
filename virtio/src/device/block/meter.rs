//! Owns the count of what a medium moves in the driver's areas, and from or to which memory. Never
//! moves anything itself.

use crate::addr::BusAddr;
use crate::mem::{Access, AreaMap, MemError};
use core::cell::Cell;
use core::ops::Range;

/// The areas as a medium sees them during one transfer.
///
/// A payload byte that goes straight between the medium's storage and an area is the one move that
/// a request needs. A byte that comes from, or goes to, any other memory has been copied there or
/// will be copied on from there, so it is counted as a copy; and so is a byte moved a second time.
#[derive(Debug)]
pub(super) struct Meter<'m, M: ?Sized> {
    mem: &'m M,
    storage: Range<usize>,
    straight: Cell<u64>,
    elsewhere: Cell<u64>,
}

impl<'m, M: AreaMap + ?Sized> Meter<'m, M> {
    pub(super) const fn new(mem: &'m M, storage: Range<usize>) -> Self {
        Self { mem, storage, straight: Cell::new(0), elsewhere: Cell::new(0) }
    }

    /// Returns the bytes that were copied in a transfer that had to move `needed` bytes.
    pub(super) fn copied(&self, needed: u64) -> u64 {
        self.straight.get().saturating_sub(needed).saturating_add(self.elsewhere.get())
    }

    fn note(&self, bytes: Range<*const u8>) {
        let (start, end) = (bytes.start.addr(), bytes.end.addr());
        let inside = self.storage.start <= start && end <= self.storage.end;
        let count = if inside { &self.straight } else { &self.elsewhere };
        let len = u64::try_from(end.saturating_sub(start)).unwrap_or(u64::MAX);
        count.set(count.get().saturating_add(len));
    }
}

impl<M: AreaMap + ?Sized> AreaMap for Meter<'_, M> {
    #[inline]
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError> {
        self.mem.check(at, len, access)
    }

    #[inline]
    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        self.note(into.as_ptr_range());
        self.mem.read(at, into)
    }

    #[inline]
    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        self.note(from.as_ptr_range());
        self.mem.write(at, from)
    }

    #[inline]
    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        self.mem.load_acquire_u16(at)
    }

    #[inline]
    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.mem.store_release_u16(at, value)
    }

    #[inline]
    fn full_fence(&self) {
        self.mem.full_fence();
    }
}
