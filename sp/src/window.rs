//! Owns the access to mapped shared memory: bytes are copied in and out by volatile accesses,
//! inside the mapped range only. Never makes a reference to it, never trusts what it reads.

use causeway_abi::Permission;
use causeway_ffa::PageRange;
use causeway_service::platform::{OutsideWindow, Window as Access};
use core::sync::atomic::{Ordering, fence};

/// The right to reach one mapped range. Made by the tables that map it, and given back to them.
#[derive(Debug)]
pub(crate) struct Window {
    range: PageRange,
    /// Where the range begins in our view: at its own address, where the tables are ours.
    base: u64,
    permission: Permission,
}

impl Window {
    /// To be called by whoever maps alone, for a range that stays mapped at `base`, the whole of it, one
    /// page after the other, until the window is given back.
    pub(crate) const fn of_mapped(range: PageRange, base: u64, permission: Permission) -> Self {
        Self { range, base, permission }
    }

    /// Returns where the range begins in our view.
    #[cfg(test)]
    pub(crate) const fn address(&self) -> u64 {
        self.base
    }

    /// Gives the right up.
    pub(crate) const fn into_range(self) -> PageRange {
        self.range
    }

    /// Returns the address of `len` bytes at `offset`, if they lie inside.
    fn locate(&self, offset: u64, len: usize) -> Result<usize, OutsideWindow> {
        let len = u64::try_from(len).map_err(|_| OutsideWindow)?;
        let end = offset.checked_add(len).ok_or(OutsideWindow)?;
        if end > self.range.len_bytes() {
            return Err(OutsideWindow);
        }
        let address = self.base.checked_add(offset).ok_or(OutsideWindow)?;
        usize::try_from(address).map_err(|_| OutsideWindow)
    }

    fn locate_even(&self, offset: u64) -> Result<usize, OutsideWindow> {
        let address = self.locate(offset, size_of::<u16>())?;
        if address.is_multiple_of(2) { Ok(address) } else { Err(OutsideWindow) }
    }

    fn check_writable(&self) -> Result<(), OutsideWindow> {
        if self.permission == Permission::ReadWrite { Ok(()) } else { Err(OutsideWindow) }
    }
}

/// Bytes of the largest access.
const WORD: usize = size_of::<u64>();

/// Bytes of `len` at `base` before the first that an access of a word may begin at.
const fn lead(base: usize, len: usize) -> usize {
    let to_word = base.wrapping_neg() % WORD;
    if to_word < len { to_word } else { len }
}

impl Access for Window {
    fn range(&self) -> PageRange {
        self.range
    }

    fn is_writable(&self) -> bool {
        self.permission == Permission::ReadWrite
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), OutsideWindow> {
        let base = self.locate(offset, out.len())?;
        let (head, rest) = out.split_at_mut(lead(base, out.len()));
        let (words, tail) = rest.as_chunks_mut::<WORD>();
        let (first_word, first_tail) = (base + head.len(), base + head.len() + words.len() * WORD);
        for (at, byte) in (base..).zip(head).chain((first_tail..).zip(tail)) {
            // SAFETY: `locate` put every byte inside the range, which is mapped readable from `base` on
            // until this window is given back. It is normal-world memory that no Rust object occupies;
            // a concurrent writer only makes the value arbitrary, and every u8 is valid.
            *byte = unsafe { (at as *const u8).read_volatile() };
        }
        for (at, word) in (first_word..).step_by(WORD).zip(words) {
            // SAFETY: as above, for eight bytes at an address that is a multiple of eight (`lead`);
            // every u64 is valid.
            *word = unsafe { (at as *const u64).read_volatile() }.to_ne_bytes();
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutsideWindow> {
        self.check_writable()?;
        let base = self.locate(offset, bytes.len())?;
        let (head, rest) = bytes.split_at(lead(base, bytes.len()));
        let (words, tail) = rest.as_chunks::<WORD>();
        let (first_word, first_tail) = (base + head.len(), base + head.len() + words.len() * WORD);
        for (at, byte) in (base..).zip(head).chain((first_tail..).zip(tail)) {
            // SAFETY: as in `read`; the permission says that the range is mapped writable.
            unsafe { (at as *mut u8).write_volatile(*byte) };
        }
        for (at, word) in (first_word..).step_by(WORD).zip(words) {
            // SAFETY: as above, for eight bytes at an address that is a multiple of eight (`lead`).
            unsafe { (at as *mut u64).write_volatile(u64::from_ne_bytes(*word)) };
        }
        Ok(())
    }

    fn load_acquire_u16(&self, offset: u64) -> Result<u16, OutsideWindow> {
        let source = self.locate_even(offset)? as *const u16;
        // SAFETY: as in `read`; the address is even, and every u16 is valid.
        let value = unsafe { source.read_volatile() };
        fence(Ordering::Acquire);
        Ok(u16::from_le(value))
    }

    fn store_release_u16(&self, offset: u64, value: u16) -> Result<(), OutsideWindow> {
        self.check_writable()?;
        let target = self.locate_even(offset)? as *mut u16;
        fence(Ordering::Release);
        // SAFETY: as in `write`; the address is even.
        unsafe { target.write_volatile(value.to_le()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_ffa::PageAddr;

    fn window() -> Window {
        let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 2).unwrap();
        Window::of_mapped(range, 0x8000_0000, Permission::ReadOnly)
    }

    #[test]
    fn nothing_outside_the_window_has_an_address() {
        assert_eq!(window().locate(0, 8192), Ok(0x8000_0000));
        assert_eq!(window().locate(8191, 1), Ok(0x8000_1fff));
        assert_eq!(window().locate(8191, 2), Err(OutsideWindow));
        assert_eq!(window().locate(8193, 0), Err(OutsideWindow));
        assert_eq!(window().locate(u64::MAX, 1), Err(OutsideWindow));
    }

    /// Two pages of the test's own memory stand for a mapped range.
    fn window_over(pages: &mut [Page; 4], permission: Permission) -> Window {
        let address = (&raw mut pages[1]) as u64;
        let range = PageRange::new(PageAddr::new(address).unwrap(), 2).unwrap();
        Window::of_mapped(range, address, permission)
    }

    #[repr(align(4096))]
    #[derive(Clone, Copy)]
    struct Page([u8; 4096]);

    #[test]
    fn copies_reach_all_of_the_window_and_nothing_beyond() {
        for offset in 0..24 {
            for len in 0..40 {
                let mut pages = [Page([0; 4096]); 4];
                let window = window_over(&mut pages, Permission::ReadWrite);
                let bytes: Vec<u8> = (1..=len).collect();
                for at in [offset, 4096 - 20 + offset, 8192 - u64::from(len)] {
                    window.write(at, &bytes).unwrap();
                    let mut back = vec![0; bytes.len()];
                    window.read(at, &mut back).unwrap();
                    assert_eq!(back, bytes, "{at} {len}");
                }
                assert_eq!(window.write(8193 - u64::from(len), &bytes), Err(OutsideWindow));
                assert!(pages[0].0.iter().chain(&pages[3].0).all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn an_index_is_two_bytes_at_an_even_place() {
        let mut pages = [Page([0; 4096]); 4];
        let window = window_over(&mut pages, Permission::ReadWrite);
        window.store_release_u16(8190, 0xbeef).unwrap();
        assert_eq!(window.load_acquire_u16(8190), Ok(0xbeef));
        assert_eq!(window.load_acquire_u16(8191), Err(OutsideWindow));
        assert_eq!(window.load_acquire_u16(1), Err(OutsideWindow));
        assert_eq!(window.store_release_u16(8192, 1), Err(OutsideWindow));
        assert_eq!(pages[2].0[4094..], [0xef, 0xbe]);
    }

    #[test]
    fn a_read_only_window_is_not_written() {
        let mut pages = [Page([0; 4096]); 4];
        let window = window_over(&mut pages, Permission::ReadOnly);
        assert_eq!(window.write(0, &[1]), Err(OutsideWindow));
        assert_eq!(window.store_release_u16(0, 1), Err(OutsideWindow));
        assert_eq!(window.load_acquire_u16(0), Ok(0));
    }
}
