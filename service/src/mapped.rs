//! Owns a mapped area: its ranges, one after the other, as one run of bytes. Never maps, and never
//! trusts what it reads.

use crate::platform::{OutsideWindow, Window};
use crate::sizes::MAX_PIECES;
use causeway_virtio::fifo::{FifoMemory, OutOfFifo};
use core::ops::Range;

/// A mapped area.
#[derive(Debug)]
pub(crate) struct MappedArea<W> {
    pieces: [Option<W>; MAX_PIECES],
}

impl<W: Window> MappedArea<W> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { pieces: [const { None }; MAX_PIECES] }
    }

    /// Appends a range; gives it back if there is no room.
    pub(crate) fn add(&mut self, window: W) -> Result<(), W> {
        match self.pieces.iter_mut().find(|piece| piece.is_none()) {
            Some(piece) => {
                *piece = Some(window);
                Ok(())
            }
            None => Err(window),
        }
    }

    /// Takes the ranges out, to be unmapped.
    pub(crate) fn into_windows(self) -> impl Iterator<Item = W> {
        self.pieces.into_iter().flatten()
    }

    /// Reports whether every byte may be written.
    pub(crate) fn is_writable(&self) -> bool {
        self.pieces.iter().flatten().all(Window::is_writable)
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.pieces.iter().flatten().map(|piece| piece.range().len_bytes()).sum()
    }

    /// Runs `access` on each piece that `len` bytes at `offset` touch: the window, the offset in
    /// it, and which of the bytes. Nothing is touched unless all of it lies inside.
    fn each(
        &self,
        offset: usize,
        len: usize,
        mut access: impl FnMut(&W, u64, Range<usize>) -> Result<(), OutsideWindow>,
    ) -> Result<(), OutsideWindow> {
        let start = u64::try_from(offset).map_err(|_| OutsideWindow)?;
        let bytes = u64::try_from(len).map_err(|_| OutsideWindow)?;
        let end = start.checked_add(bytes).ok_or(OutsideWindow)?;
        // A message FIFO has one range as a rule, and each of its uses comes by here several times.
        if let Some(Some(first)) = self.pieces.first()
            && end <= first.range().len_bytes()
        {
            return access(first, start, 0..len);
        }
        if end > self.len() {
            return Err(OutsideWindow);
        }
        let mut base = 0;
        for piece in self.pieces.iter().flatten() {
            let next = base + piece.range().len_bytes();
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

impl<W: Window> FifoMemory for MappedArea<W> {
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
    use crate::testing::{TestWindow, page_range};
    use causeway_abi::Permission;

    fn area(permission: Permission) -> (MappedArea<TestWindow>, [TestWindow; 2]) {
        let windows = [7, 3].map(|page| TestWindow::new(page_range(page, 1), permission));
        let mut area = MappedArea::new();
        for window in &windows {
            area.add(window.clone()).unwrap();
        }
        (area, windows)
    }

    #[test]
    fn ranges_of_an_area_follow_each_other_and_nothing_lies_beyond() {
        let (area, [first, second]) = area(Permission::ReadWrite);
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
        assert_eq!((first.bytes(4094, 2), second.bytes(0, 2)), (vec![1, 2], vec![3, 4]));
        assert_eq!(second.bytes(4094, 2), [0xef, 0xbe]);
    }

    #[test]
    fn a_read_only_area_is_not_written() {
        let (area, _) = area(Permission::ReadOnly);
        assert_eq!(area.write(0, &[1]), Err(OutOfFifo));
        assert_eq!(area.store_release_u16(0, 1), Err(OutOfFifo));
        assert_eq!(area.load_acquire_u16(0), Ok(0));
    }

    #[test]
    fn a_range_too_many_is_given_back() {
        let (mut area, [window, _]) = area(Permission::ReadWrite);
        for _ in 2..MAX_PIECES {
            area.add(window.clone()).unwrap();
        }
        assert_eq!(area.add(window.clone()).unwrap_err().range(), window.range());
        assert_eq!(area.into_windows().count(), MAX_PIECES);
    }
}
