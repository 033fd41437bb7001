//! Owns walking over a chain's buffers byte by byte or run by run; never copies payload by itself.
//!
//! ```
//! use causeway_virtio::device::cursor::Cursor;
//! use causeway_virtio::mem::WordArea;
//! use causeway_virtio::queue::Segment;
//! use causeway_virtio::{AreaId, BusAddr};
//! use core::sync::atomic::AtomicU16;
//!
//! let words: Vec<AtomicU16> = (0..64).map(|_| AtomicU16::new(0)).collect();
//! let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
//! let at = |offset| BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap();
//! let buffers = [Segment { addr: at(0), len: 3 }, Segment { addr: at(64), len: 3 }];
//! // Six bytes of room, wherever they lie.
//! assert_eq!(Cursor::new(&buffers).write(&mem, b"abcdefgh"), Ok(6));
//! let mut back = [0; 8];
//! assert_eq!(Cursor::new(&buffers).read(&mem, &mut back), Ok(6));
//! assert_eq!(&back, b"abcdef\0\0");
//! ```

use crate::addr::BusAddr;
use crate::mem::{AreaMap, MemError};
use crate::queue::Segment;

/// A piece of a buffer that lies in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte.
    pub at: BusAddr,
    /// Bytes; never 0.
    pub len: u32,
}

/// A position in a list of buffers. Cheap to copy; the buffers stay where they are.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [Segment],
    done: u32,
}

impl<'a> Cursor<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub const fn new(segments: &'a [Segment]) -> Self {
        Self { rest: segments, done: 0 }
    }

    /// Takes the next run of at most `limit` bytes; `None` at the end or if `limit` is 0.
    #[inline]
    pub fn run(&mut self, limit: u64) -> Option<Run> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        if limit == 0 {
            return None;
        }
        loop {
            let (first, others) = self.rest.split_first()?;
            let left = first.len.saturating_sub(self.done);
            if left == 0 {
                self.rest = others;
                self.done = 0;
                continue;
            }
            let len = left.min(limit);
            // The queue has checked that the segment fits into its area's address space.
            let at = first.addr.checked_add(u64::from(self.done))?;
            self.done = self.done.saturating_add(len);
            return Some(Run { at, len });
        }
    }

    /// Copies out the next bytes; returns how many there were.
    ///
    /// # Errors
    /// The rule that an address broke.
    pub fn read<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        into: &mut [u8],
    ) -> Result<usize, MemError> {
        let mut rest = into;
        let mut copied: usize = 0;
        while let Some(run) = self.run(u64::try_from(rest.len()).unwrap_or(0)) {
            let len = usize::try_from(run.len).map_err(|_| MemError::Outside)?;
            let (now, later) = rest.split_at_mut_checked(len).ok_or(MemError::Outside)?;
            mem.read(run.at, now)?;
            copied = copied.saturating_add(len);
            rest = later;
        }
        Ok(copied)
    }

    /// Copies in bytes; returns how many had room.
    ///
    /// # Errors
    /// The rule that an address broke.
    pub fn write<M: AreaMap + ?Sized>(&mut self, mem: &M, from: &[u8]) -> Result<usize, MemError> {
        let mut rest = from;
        let mut copied: usize = 0;
        while let Some(run) = self.run(u64::try_from(rest.len()).unwrap_or(0)) {
            let len = usize::try_from(run.len).map_err(|_| MemError::Outside)?;
            let (now, later) = rest.split_at_checked(len).ok_or(MemError::Outside)?;
            mem.write(run.at, now)?;
            copied = copied.saturating_add(len);
            rest = later;
        }
        Ok(copied)
    }

    /// Passes over `count` bytes.
    pub fn skip(&mut self, count: u64) {
        let mut left = count;
        while let Some(run) = self.run(left) {
            left = left.saturating_sub(u64::from(run.len));
        }
    }
}
