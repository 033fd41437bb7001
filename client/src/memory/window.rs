//! Owns one mapped stretch of shared memory; bytes are copied in and out, never referenced.
#![expect(unsafe_code, reason = "shared memory is reached through raw pointers only")]

use super::copy;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

/// An access that does not lie wholly inside its window. Nothing was read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfWindow;

/// A stretch of memory that this program has mapped and that others may write at any moment.
///
/// Every access copies, is bounds checked, and is volatile in units of at most eight bytes: each
/// aligned unit is read or written once, and a larger copy may tear between units. Values taken out
/// are private and can be checked; what lies in the window can't.
pub struct Window {
    base: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the window is the only way of this program to these bytes (see `Window::new`), so moving
// it to another thread moves all access. It is not `Sync`: volatile accesses of two threads race.
unsafe impl Send for Window {}

impl Window {
    /// Takes charge of `len_bytes` bytes from `base`. Only [`Window::into_parts`] gives them back:
    /// a window that is dropped keeps its bytes for ever, since somebody else may still write them.
    ///
    /// # Safety
    /// Until they are given back:
    /// 1. The bytes are mapped, readable, and writable unless only `read` functions are called.
    /// 2. No Rust reference to them exists, and they belong to no other Rust object that is used.
    ///    (Pointers handed out by [`Window::pointer`] are the business of whoever uses them.)
    /// 3. `base + len_bytes` does not wrap, and `len_bytes` is at most `isize::MAX`.
    #[must_use]
    pub const unsafe fn new(base: NonNull<u8>, len_bytes: usize) -> Self {
        Self { base, len_bytes }
    }

    /// Gives the bytes back: start and length.
    #[must_use]
    pub const fn into_parts(self) -> (NonNull<u8>, usize) {
        (self.base, self.len_bytes)
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Returns the address of the first byte, for code that needs a pointer (a driver's ring).
    #[must_use]
    pub const fn pointer(&self) -> NonNull<u8> {
        self.base
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// [`OutOfWindow`] if not all of them lie inside.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), OutOfWindow> {
        let from = self.at(offset, into.len())?;
        // SAFETY: `at` has checked that `into.len()` bytes from `from` lie in the window, whose
        // bytes are readable and not referenced (`Window::new` 1, 2).
        unsafe { copy::out_of(from, into) };
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// [`OutOfWindow`] if not all of them lie inside.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfWindow> {
        let to = self.at(offset, bytes.len())?;
        // SAFETY: `at` has checked that `bytes.len()` bytes from `to` lie in the window, whose
        // bytes are writable and not referenced (`Window::new` 1, 2).
        unsafe { copy::into(to, bytes) };
        Ok(())
    }

    /// Sets bytes to one value.
    ///
    /// # Errors
    /// [`OutOfWindow`] if not all of them lie inside.
    pub fn fill(&self, offset: u64, len_bytes: usize, byte: u8) -> Result<(), OutOfWindow> {
        let to = self.at(offset, len_bytes)?;
        // SAFETY: as in `write`.
        unsafe { copy::fill(to, len_bytes, byte) };
        Ok(())
    }

    /// Copies bytes to another window, with no private copy between.
    ///
    /// # Errors
    /// [`OutOfWindow`] if they don't lie inside both; nothing was copied then.
    pub fn copy_to(
        &self,
        offset: u64,
        target: &Self,
        target_offset: u64,
        len_bytes: usize,
    ) -> Result<(), OutOfWindow> {
        let from = self.at(offset, len_bytes)?;
        let to = target.at(target_offset, len_bytes)?;
        // SAFETY: both stretches have been checked to lie in windows, whose bytes are accessible
        // and not referenced; if they overlap, volatile copying is merely copying in order.
        unsafe { copy::between(from, to, len_bytes) };
        Ok(())
    }

    /// Reads a little-endian `u16` and orders all later accesses after it.
    ///
    /// # Errors
    /// [`OutOfWindow`] if it lies outside, or `offset` is odd.
    pub fn load_acquire_u16(&self, offset: u64) -> Result<u16, OutOfWindow> {
        let from = self.aligned::<u16>(offset)?;
        // SAFETY: `aligned` has checked bounds and alignment; `Window::new` 1 and 2 hold.
        let value = unsafe { from.read_volatile() };
        fence(Ordering::Acquire);
        Ok(u16::from_le(value))
    }

    /// Orders all earlier accesses before it and writes a little-endian `u16`.
    ///
    /// # Errors
    /// [`OutOfWindow`] if it lies outside, or `offset` is odd.
    pub fn store_release_u16(&self, offset: u64, value: u16) -> Result<(), OutOfWindow> {
        let to = self.aligned::<u16>(offset)?;
        fence(Ordering::Release);
        // SAFETY: `aligned` has checked bounds and alignment; `Window::new` 1 and 2 hold.
        unsafe { to.write_volatile(value.to_le()) };
        Ok(())
    }

    /// Orders all earlier accesses before it and writes eight bytes at once.
    ///
    /// # Errors
    /// [`OutOfWindow`] if they lie outside, or `offset` is no multiple of eight.
    pub fn store_release_word(&self, offset: u64, bytes: [u8; 8]) -> Result<(), OutOfWindow> {
        let to = self.aligned::<u64>(offset)?;
        fence(Ordering::Release);
        // SAFETY: `aligned` has checked bounds and alignment; `Window::new` 1 and 2 hold.
        unsafe { to.write_volatile(u64::from_ne_bytes(bytes)) };
        Ok(())
    }

    /// Reports whether `address` lies in the window, and at which offset.
    #[must_use]
    pub fn offset_of(&self, address: usize, len_bytes: usize) -> Option<u64> {
        let offset = address.checked_sub(self.base.addr().get())?;
        let end = offset.checked_add(len_bytes)?;
        (end <= self.len_bytes).then_some(u64::try_from(offset).ok()?)
    }

    /// Turns a checked offset into a pointer.
    fn at(&self, offset: u64, len_bytes: usize) -> Result<*mut u8, OutOfWindow> {
        let offset = usize::try_from(offset).map_err(|_| OutOfWindow)?;
        let end = offset.checked_add(len_bytes).ok_or(OutOfWindow)?;
        if end > self.len_bytes {
            return Err(OutOfWindow);
        }
        Ok(self.base.as_ptr().wrapping_add(offset))
    }

    fn aligned<T>(&self, offset: u64) -> Result<*mut T, OutOfWindow> {
        let pointer = self.at(offset, size_of::<T>())?.cast::<T>();
        if pointer.is_aligned() { Ok(pointer) } else { Err(OutOfWindow) }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({:p}, {:#x} bytes)", self.base, self.len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Backing that outlives its window: leaked, so that no reference to it is left.
    fn window(len: usize) -> Window {
        let words = vec![0u64; len.div_ceil(8)].leak();
        // SAFETY: the words are leaked, hence valid for ever, and `words` is used no more.
        unsafe { Window::new(NonNull::from(words).cast(), len) }
    }

    #[test]
    fn what_is_written_is_read_back_at_every_alignment_and_length() {
        // Longer than two lines of the copying loop, and from private bytes at every alignment.
        let w = window(256);
        let pattern: Vec<u8> = (1..=216).collect();
        for (start, skip) in
            (0..9_u64).flat_map(|start| (0..9_usize).map(move |skip| (start, skip)))
        {
            for len in (0..40).chain(60..70).chain(125..140).chain(190..208) {
                w.fill(0, 256, 0xee).unwrap();
                w.write(start, &pattern[skip..skip + len]).unwrap();
                let mut all = [0; 265];
                w.read(0, &mut all[skip..skip + 256]).unwrap();
                let all = &all[skip..skip + 256];
                let first = usize::try_from(start).unwrap();
                assert_eq!(&all[first..first + len], &pattern[skip..skip + len]);
                assert!(all[..first].iter().chain(&all[first + len..]).all(|b| *b == 0xee));
            }
        }
    }

    #[test]
    fn copies_between_windows_keep_every_byte() {
        let (a, b) = (window(240), window(240));
        let pattern: Vec<u8> = (0..240).collect();
        a.write(0, &pattern).unwrap();
        for (from, to, len) in
            [(0, 0, 240), (3, 0, 61), (8, 16, 17), (1, 9, 200), (5, 5, 0), (3, 11, 133)]
        {
            b.fill(0, 240, 0).unwrap();
            a.copy_to(from, &b, to, len).unwrap();
            let mut got = vec![0; len];
            b.read(to, &mut got).unwrap();
            let first = usize::try_from(from).unwrap();
            assert_eq!(got, &pattern[first..first + len]);
        }
    }

    #[test]
    fn a_word_is_written_where_it_lies() {
        let w = window(16);
        w.store_release_word(8, [1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let mut all = [9; 16];
        w.read(0, &mut all).unwrap();
        assert_eq!(all, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn an_access_that_leaves_the_window_changes_nothing() {
        let w = window(16);
        assert_eq!(w.write(15, &[1, 2]), Err(OutOfWindow));
        assert_eq!(w.write(u64::MAX, &[1]), Err(OutOfWindow));
        assert_eq!(w.copy_to(8, &window(4), 0, 5), Err(OutOfWindow));
        assert_eq!(w.load_acquire_u16(15), Err(OutOfWindow));
        assert_eq!(w.store_release_u16(1, 1), Err(OutOfWindow));
        assert_eq!(w.store_release_word(4, [1; 8]), Err(OutOfWindow));
        assert_eq!(w.store_release_word(16, [1; 8]), Err(OutOfWindow));
        let mut all = [9; 16];
        w.read(0, &mut all).unwrap();
        assert_eq!(all, [0; 16]);
        assert_eq!(w.read(0, &mut [0; 17]), Err(OutOfWindow));
    }

    #[test]
    fn an_address_outside_has_no_offset() {
        let w = window(16);
        let base = w.pointer().addr().get();
        assert_eq!(w.offset_of(base + 3, 13), Some(3));
        assert_eq!(w.offset_of(base + 3, 14), None);
        assert_eq!(w.offset_of(base - 1, 1), None);
        assert_eq!(w.offset_of(base, usize::MAX), None);
    }
}
