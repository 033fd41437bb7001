//! Owns the heap: private memory, and small slots in an area of the link for what virtio-drivers
//! allocates on behalf of a device. Never keeps a word of its own in shared memory.
//!
//! virtio-drivers puts a table of indirect descriptors for each request on the heap. The device has
//! to read it, so it must lie in an area; the rest of the heap must not. While [`in_slots`] runs, a
//! small allocation is taken from slots that [`lend_slots`] named. Which are taken is noted in
//! private memory.

use super::layout;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use linked_list_allocator::LockedHeap;

/// Bytes of a slot: a table of four descriptors.
const SLOT_BYTES: usize = 64;
/// Slots, one bit each in [`Heap::taken`].
const SLOTS: u32 = u32::BITS;
/// Bytes of all slots.
pub const SLOTS_BYTES: usize = SLOT_BYTES * SLOTS as usize;

struct Heap {
    private: LockedHeap,
    /// First byte of the slots; 0 while there are none.
    base: AtomicUsize,
    taken: AtomicU32,
    active: AtomicBool,
}

#[global_allocator]
static HEAP: Heap = Heap {
    private: LockedHeap::empty(),
    base: AtomicUsize::new(0),
    taken: AtomicU32::new(0),
    active: AtomicBool::new(false),
};

/// Gives the heap its private memory; once, before anything is allocated.
pub(super) fn init() {
    let start: *mut u8 = ptr::with_exposed_provenance_mut(layout::HEAP_START);
    // SAFETY: `layout` gives this range to the heap alone: the image ends below it (guest.ld), the
    // pages allocator begins above it, and the entry calls this function once.
    unsafe { HEAP.private.lock().init(start, layout::HEAP_LEN) };
}

/// Lends [`SLOTS_BYTES`] bytes at `address`, page-aligned, of an area.
///
/// # Safety
/// The bytes must be mapped and used by nobody else until [`end_slots`].
///
/// # Panics
/// If slots are lent already, or the address is not that of a page.
pub unsafe fn lend_slots(address: usize) {
    assert!(address.is_multiple_of(4096) && address != 0, "slots begin at a page");
    assert_eq!(HEAP.base.swap(address, Ordering::Relaxed), 0, "slots are lent once");
}

/// Frees every slot: their owners are gone and did not.
///
/// # Safety
/// Nothing that lies in a slot is used any more, nor given back.
pub unsafe fn free_slots() {
    HEAP.taken.store(0, Ordering::Relaxed);
}

/// Takes the slots back.
///
/// # Safety
/// As for [`free_slots`].
pub unsafe fn end_slots() {
    HEAP.taken.store(0, Ordering::Relaxed);
    HEAP.base.store(0, Ordering::Relaxed);
}

/// Runs `work`, whose small allocations lie in the slots as long as there are any.
pub fn in_slots<T>(work: impl FnOnce() -> T) -> T {
    HEAP.active.store(true, Ordering::Relaxed);
    let done = work();
    HEAP.active.store(false, Ordering::Relaxed);
    done
}

impl Heap {
    /// Takes a free slot for `layout`, if it is the time for one and it fits.
    fn take_slot(&self, layout: Layout) -> Option<*mut u8> {
        let base = self.base.load(Ordering::Relaxed);
        let fits = layout.size() <= SLOT_BYTES && layout.align() <= SLOT_BYTES;
        if !self.active.load(Ordering::Relaxed) || base == 0 || !fits {
            return None;
        }
        let update = |taken: u32| (taken != u32::MAX).then_some(taken | (taken + 1));
        let before = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).ok()?;
        let slot = usize::try_from(before.trailing_ones()).ok()?;
        Some(ptr::with_exposed_provenance_mut(base + slot * SLOT_BYTES))
    }

    /// The number of the slot at this address.
    fn slot_at(&self, address: usize) -> Option<u32> {
        let base = self.base.load(Ordering::Relaxed);
        let slot = u32::try_from(address.checked_sub(base)? / SLOT_BYTES).ok()?;
        (base != 0 && slot < SLOTS).then_some(slot)
    }
}

// SAFETY:
// 1. A slot is given out to one owner at a time (`taken`), is as large and as aligned as `take_slot`
//    has checked, and lies in memory that `lend_slots`' caller has promised.
// 2. Everything else is the private heap's, which keeps the trait's promises itself; an address is
//    given back to the one that it came from, told apart by `slot_at`.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take_slot(layout) {
            Some(slot) => slot,
            // SAFETY: the caller keeps the promises of this same function.
            None => unsafe { self.private.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        match self.slot_at(address.addr()) {
            Some(slot) => {
                self.taken.fetch_and(!(1 << slot), Ordering::Relaxed);
            }
            // SAFETY: not a slot, so the private heap gave it out; the rest is the caller's promise.
            None => unsafe { self.private.dealloc(address, layout) },
        }
    }
}
