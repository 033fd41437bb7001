//! Owns the access to mapped shared memory: bytes are copied in and out by volatile accesses,
//! inside the mapped range only. Never makes a reference to it, never trusts what it reads.

use causeway_abi::Permission;
use causeway_ffa::PageRange;
use causeway_virtio::fifo::{FifoMemory, OutOfFifo};
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};

/// The access did not lie inside the window, or wrote where only reading is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutsideWindow;

/// The right to reach one mapped range. Made by the tables that map it, and given back to them.
#[derive(Debug)]
pub(crate) struct Window {
    range: PageRange,
    permission: Permission,
}

impl Window {
    /// To be called by `Stage1` alone, for a range that it maps until it gets the window back.
    pub(crate) const fn of_mapped(range: PageRange, permission: Permission) -> Self {
        Self { range, permission }
    }

    /// Returns the mapped range.
    pub(crate) const fn range(&self) -> PageRange {
        self.range
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
        let address = self.range.start().get().checked_add(offset).ok_or(OutsideWindow)?;
        usize::try_from(address).map_err(|_| OutsideWindow)
    }
}

impl Window {
    /// Copies bytes out of the window.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), OutsideWindow> {
        let base = self.locate(offset, out.len())?;
        for (at, byte) in out.iter_mut().enumerate() {
            let source = (base + at) as *const u8;
            // SAFETY: `locate` put every byte inside the range that the tables map readable until
            // they get this window back. It is normal-world memory that no Rust object occupies;
            // a concurrent writer only makes the value arbitrary, and every u8 is valid.
            *byte = unsafe { source.read_volatile() };
        }
        Ok(())
    }

    /// Copies bytes into the window.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutsideWindow> {
        self.check_writable()?;
        let base = self.locate(offset, bytes.len())?;
        for (at, byte) in bytes.iter().enumerate() {
            let target = (base + at) as *mut u8;
            // SAFETY: as in `read`; the permission says that the range is mapped writable.
            unsafe { target.write_volatile(*byte) };
        }
        Ok(())
    }

    /// Reads one aligned little-endian index by one access, before everything that follows.
    fn load_acquire_u16(&self, offset: u64) -> Result<u16, OutsideWindow> {
        let source = self.locate_even(offset)? as *const u16;
        // SAFETY: as in `read`; the address is even, and every u16 is valid.
        let value = unsafe { source.read_volatile() };
        fence(Ordering::Acquire);
        Ok(u16::from_le(value))
    }

    /// Writes one aligned little-endian index by one access, after everything that came before.
    fn store_release_u16(&self, offset: u64, value: u16) -> Result<(), OutsideWindow> {
        self.check_writable()?;
        let target = self.locate_even(offset)? as *mut u16;
        fence(Ordering::Release);
        // SAFETY: as in `write`; the address is even.
        unsafe { target.write_volatile(value.to_le()) };
        Ok(())
    }

    fn locate_even(&self, offset: u64) -> Result<usize, OutsideWindow> {
        let address = self.locate(offset, size_of::<u16>())?;
        if address.is_multiple_of(2) { Ok(address) } else { Err(OutsideWindow) }
    }

    fn check_writable(&self) -> Result<(), OutsideWindow> {
        if self.permission == Permission::ReadWrite { Ok(()) } else { Err(OutsideWindow) }
    }
}

/// Areas mapped at once: the message FIFO of each VM that a policy can name.
pub(crate) const MAX_AREAS: usize = 8;

/// Ranges that one mapped area can have. A FIFO has one or two.
pub(crate) const MAX_PIECES: usize = 4;

/// A mapped area: its ranges, one after the other, as one run of bytes.
#[derive(Debug)]
pub(crate) struct MappedArea {
    pieces: [Option<Window>; MAX_PIECES],
}

impl MappedArea {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { pieces: [const { None }; MAX_PIECES] }
    }

    /// Appends a range; gives it back if there is no room.
    pub(crate) fn add(&mut self, window: Window) -> Result<(), Window> {
        match self.pieces.iter_mut().find(|piece| piece.is_none()) {
            Some(piece) => {
                *piece = Some(window);
                Ok(())
            }
            None => Err(window),
        }
    }

    /// Takes the ranges out, to be unmapped.
    pub(crate) fn into_windows(self) -> impl Iterator<Item = Window> {
        self.pieces.into_iter().flatten()
    }

    fn len(&self) -> u64 {
        self.pieces.iter().flatten().map(|piece| piece.range.len_bytes()).sum()
    }

    /// Runs `access` on each piece that `len` bytes at `offset` touch: the window, the offset in
    /// it, and which of the bytes. Nothing is touched unless all of it lies inside.
    fn each(
        &self,
        offset: usize,
        len: usize,
        mut access: impl FnMut(&Window, u64, Range<usize>) -> Result<(), OutsideWindow>,
    ) -> Result<(), OutsideWindow> {
        let start = u64::try_from(offset).map_err(|_| OutsideWindow)?;
        let bytes = u64::try_from(len).map_err(|_| OutsideWindow)?;
        let end = start.checked_add(bytes).ok_or(OutsideWindow)?;
        if end > self.len() {
            return Err(OutsideWindow);
        }
        let mut base = 0;
        for piece in self.pieces.iter().flatten() {
            let next = base + piece.range.len_bytes();
            let (from, to) = (start.max(base), end.min(next));
            if from < to {
                let part = |at: u64| usize::try_from(at - start).map_err(|_| OutsideWindow);
                access(piece, from - base, part(from)?..part(to)?)?;
            }
            base = next;
        }
        Ok(())
    }
}

impl FifoMemory for MappedArea {
    fn len_bytes(&self) -> usize {
        usize::try_from(self.len()).unwrap_or(0)
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        let len = into.len();
        self.each(offset, len, |window, at, part| {
            window.read(at, into.get_mut(part).ok_or(OutsideWindow)?)
        })
        .map_err(|OutsideWindow| OutOfFifo)
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        self.each(offset, from.len(), |window, at, part| {
            window.write(at, from.get(part).ok_or(OutsideWindow)?)
        })
        .map_err(|OutsideWindow| OutOfFifo)
    }

    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        let mut value = Err(OutsideWindow);
        let walked = self.each(offset, size_of::<u16>(), |window, at, _| {
            value = window.load_acquire_u16(at);
            value.map(|_| ())
        });
        walked.and(value).map_err(|OutsideWindow| OutOfFifo)
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        self.each(offset, size_of::<u16>(), |window, at, _| window.store_release_u16(at, value))
            .map_err(|OutsideWindow| OutOfFifo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_ffa::PageAddr;

    fn window() -> Window {
        let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 2).unwrap();
        Window::of_mapped(range, Permission::ReadOnly)
    }

    #[test]
    fn nothing_outside_the_window_has_an_address() {
        assert_eq!(window().locate(0, 8192), Ok(0x8000_0000));
        assert_eq!(window().locate(8191, 1), Ok(0x8000_1fff));
        assert_eq!(window().locate(8191, 2), Err(OutsideWindow));
        assert_eq!(window().locate(8193, 0), Err(OutsideWindow));
        assert_eq!(window().locate(u64::MAX, 1), Err(OutsideWindow));
    }

    /// Two scattered pages of the test's own memory stand for two mapped ranges.
    fn area_over(pages: &mut [Page; 4], permission: Permission) -> MappedArea {
        let mut area = MappedArea::new();
        for index in [2, 0] {
            let address = (&raw mut pages[index]) as u64;
            let range = PageRange::new(PageAddr::new(address).unwrap(), 1).unwrap();
            area.add(Window::of_mapped(range, permission)).unwrap();
        }
        area
    }

    #[repr(align(4096))]
    #[derive(Clone, Copy)]
    struct Page([u8; 4096]);

    #[test]
    fn ranges_of_an_area_follow_each_other_and_nothing_lies_beyond() {
        let mut pages = [Page([0; 4096]); 4];
        let area = area_over(&mut pages, Permission::ReadWrite);
        assert_eq!(area.len_bytes(), 8192);
        area.write(4094, &[1, 2, 3, 4]).unwrap();
        let mut back = [0; 4];
        area.read(4094, &mut back).unwrap();
        assert_eq!(back, [1, 2, 3, 4]);
        area.store_release_u16(8190, 0xbeef).unwrap();
        assert_eq!(area.load_acquire_u16(8190), Ok(0xbeef));
        assert_eq!(area.write(8190, &[9, 9, 9]), Err(OutOfFifo));
        assert_eq!(area.load_acquire_u16(8191), Err(OutOfFifo));
        assert_eq!(area.load_acquire_u16(1), Err(OutOfFifo));
        assert_eq!(
            (pages[2].0[4094..].to_vec(), pages[0].0[..2].to_vec()),
            (vec![1, 2], vec![3, 4])
        );
        assert_eq!(pages[0].0[4094..], [0xef, 0xbe]);
        assert!(pages[1].0.iter().chain(&pages[3].0).all(|byte| *byte == 0));
    }

    #[test]
    fn a_read_only_area_is_not_written() {
        let mut pages = [Page([0; 4096]); 4];
        let area = area_over(&mut pages, Permission::ReadOnly);
        assert_eq!(area.write(0, &[1]), Err(OutOfFifo));
        assert_eq!(area.store_release_u16(0, 1), Err(OutOfFifo));
        assert_eq!(area.load_acquire_u16(0), Ok(0));
    }
}
