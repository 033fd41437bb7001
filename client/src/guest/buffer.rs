//! Owns pages that a driver's user has taken from a pool: payload and headers that stay in place.
#![expect(unsafe_code, reason = "virtio-drivers takes slices of memory that the device writes")]

use super::pool::{DmaPool, Taken};
use crate::memory::{OutOfWindow, Window};
use causeway_virtio::BusAddr;
use core::ptr::{self, NonNull};
use core::slice;

const PAGE: usize = 4096;

/// Where bytes pass on their way to whoever looks at them, aligned so that they come by words.
#[repr(align(8))]
struct Block([u8; 64]);

/// Whole pages of a pool, for buffers that are to be used where they lie. They go back on drop.
///
/// The device side can write them at any time. [`DmaBuffer::read`] and [`DmaBuffer::write`] copy
/// (and count it in [`super::PoolStats::copied_bytes`]) and are always sound; the slices are there because virtio-drivers takes slices.
#[derive(Debug)]
pub struct DmaBuffer<'p> {
    pool: &'p DmaPool,
    bus: BusAddr,
    window: Window,
    pages: usize,
}

impl<'p> DmaBuffer<'p> {
    pub(super) const fn new(pool: &'p DmaPool, taken: Taken, pages: usize) -> Self {
        // SAFETY: the pool has just taken these pages for this buffer alone, out of an area that
        // stays mapped while pages of it are taken (`DmaPool::attach`).
        let window = unsafe { Window::new(taken.base, pages.saturating_mul(PAGE)) };
        Self { pool, bus: taken.bus, window, pages }
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.window.len_bytes()
    }

    /// Returns the address under which the device knows the buffer.
    #[must_use]
    pub const fn bus_address(&self) -> BusAddr {
        self.bus
    }

    /// Returns the memory, for a driver's own use.
    #[must_use]
    pub const fn raw(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.window.pointer(), self.window.len_bytes())
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// [`OutOfWindow`] if not all of them lie inside.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), OutOfWindow> {
        self.window.read(offset, into)?;
        self.pool.note_copy(into.len());
        Ok(())
    }

    /// Shows the first `len_bytes` bytes to `look`, at most 64 at a time: each byte is loaded once
    /// and goes on to no buffer, so this is no copy (a digest, a comparison).
    ///
    /// # Errors
    /// [`OutOfWindow`] if not all of them lie inside; nothing was shown then.
    pub fn visit(&self, len_bytes: usize, mut look: impl FnMut(&[u8])) -> Result<(), OutOfWindow> {
        if len_bytes > self.window.len_bytes() {
            return Err(OutOfWindow);
        }
        let mut block = Block([0; 64]);
        let mut done: usize = 0;
        while done < len_bytes {
            let (now, _) = block.0.split_at_mut(len_bytes.saturating_sub(done).min(64));
            self.window.read(u64::try_from(done).map_err(|_| OutOfWindow)?, now)?;
            look(now);
            done = done.saturating_add(now.len());
        }
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// [`OutOfWindow`] if not all of them lie inside.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfWindow> {
        self.window.write(offset, bytes)?;
        self.pool.note_copy(bytes.len());
        Ok(())
    }

    /// Lends the memory as a slice, to hand it to a virtio-drivers driver.
    ///
    /// # Safety
    /// The device must not write these bytes while the slice lives, except through a request that
    /// the slice itself was handed to. A device that breaks that rule makes the slice's contents
    /// change: use its values through [`DmaBuffer::read`], which is sound whatever the device does.
    #[must_use]
    pub unsafe fn slice_mut(&mut self) -> &mut [u8] {
        let start = self.window.pointer().as_ptr();
        // SAFETY: the pages are valid for reads and writes and belong to this buffer alone, which
        // is borrowed as long as the slice lives; they were zeroed, so they are initialised. That
        // nobody else writes them is promised by the caller.
        unsafe { slice::from_raw_parts_mut(start, self.window.len_bytes()) }
    }

    /// Gives the buffer up as a slice that lives as long as the pool: its pages never come back.
    ///
    /// # Safety
    /// As for [`DmaBuffer::slice_mut`].
    #[must_use]
    pub unsafe fn leak(self) -> &'p mut [u8] {
        let this = core::mem::ManuallyDrop::new(self);
        let memory =
            ptr::slice_from_raw_parts_mut(this.window.pointer().as_ptr(), this.window.len_bytes());
        // SAFETY: as in `slice_mut`; the pages are not given back, so nobody else gets them while
        // the pool lives.
        unsafe { &mut *memory }
    }
}

impl Drop for DmaBuffer<'_> {
    fn drop(&mut self) {
        // They were taken by `DmaPool::take` and are given back once.
        self.pool.give_back(self.bus.get(), self.pages);
    }
}
