//! Owns an area made of atomics: shared memory for tests and host programs, in safe Rust.

use super::{Access, AreaMap, MemError};
use crate::addr::{AreaId, BusAddr};
use crate::fifo::{FifoMemory, OutOfFifo};
use core::sync::atomic::{AtomicU16, Ordering};

/// One area whose memory is a slice of atomics, so that two threads may share it as two VMs
/// share pages. Slow (a byte at a time): for tests, examples and host tools.
#[derive(Clone, Copy, Debug)]
pub struct WordArea<'a> {
    area: u16,
    words: &'a [AtomicU16],
    writable: bool,
}

impl<'a> WordArea<'a> {
    /// Maps `words` as area `area`, readable and writable.
    #[must_use]
    pub const fn new(area: AreaId, words: &'a [AtomicU16]) -> Self {
        Self { area: area.get(), words, writable: true }
    }

    /// Maps `words` at plain addresses from 0 on, as a guest's physical memory.
    #[must_use]
    pub const fn flat(words: &'a [AtomicU16]) -> Self {
        Self { area: 0, words, writable: true }
    }

    /// Takes away the right to write.
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self { writable: false, ..self }
    }

    fn len(&self) -> u64 {
        u64::try_from(self.words.len()).unwrap_or(u64::MAX).saturating_mul(2)
    }

    fn start(&self, at: BusAddr, len: u64, access: Access) -> Result<usize, MemError> {
        let end = at.offset().checked_add(len).ok_or(MemError::Outside)?;
        if at.area().map_or(0, AreaId::get) != self.area || end > self.len() {
            return Err(MemError::Outside);
        }
        if access == Access::Write && !self.writable {
            return Err(MemError::Permission);
        }
        usize::try_from(at.offset()).map_err(|_| MemError::Outside)
    }

    fn word(&self, byte: usize) -> Result<&AtomicU16, MemError> {
        self.words.get(byte / 2).ok_or(MemError::Outside)
    }

    fn index(&self, at: BusAddr, access: Access) -> Result<&AtomicU16, MemError> {
        let start = self.start(at, 2, access)?;
        if !start.is_multiple_of(2) {
            return Err(MemError::Unaligned);
        }
        self.word(start)
    }

    fn copy_out(&self, start: usize, into: &mut [u8]) -> Result<(), MemError> {
        for (place, byte) in into.iter_mut().zip(start..) {
            let [even, odd] = self.word(byte)?.load(Ordering::Relaxed).to_ne_bytes();
            *place = if byte.is_multiple_of(2) { even } else { odd };
        }
        Ok(())
    }

    fn copy_in(&self, start: usize, from: &[u8]) -> Result<(), MemError> {
        for (value, byte) in from.iter().zip(start..) {
            let with = |word: u16| {
                let [even, odd] = word.to_ne_bytes();
                let bytes = if byte.is_multiple_of(2) { [*value, odd] } else { [even, *value] };
                Some(u16::from_ne_bytes(bytes))
            };
            let word = self.word(byte)?;
            // The closure never declines, so the old value is all that comes back.
            let (Ok(_) | Err(_)) = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with);
        }
        Ok(())
    }
}

impl AreaMap for WordArea<'_> {
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError> {
        self.start(at, len, access).map(|_| ())
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        let len = u64::try_from(into.len()).map_err(|_| MemError::Outside)?;
        self.copy_out(self.start(at, len, Access::Read)?, into)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        let len = u64::try_from(from.len()).map_err(|_| MemError::Outside)?;
        self.copy_in(self.start(at, len, Access::Write)?, from)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        Ok(u16::from_le(self.index(at, Access::Read)?.load(Ordering::Acquire)))
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.index(at, Access::Write)?.store(value.to_le(), Ordering::Release);
        Ok(())
    }
}

impl FifoMemory for WordArea<'_> {
    fn len_bytes(&self) -> usize {
        self.words.len().saturating_mul(2)
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        self.copy_out(offset, into).map_err(|_| OutOfFifo)
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        self.copy_in(offset, from).map_err(|_| OutOfFifo)
    }

    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        self.word(offset).map(|w| u16::from_le(w.load(Ordering::Acquire))).map_err(|_| OutOfFifo)
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        let word = self.word(offset).map_err(|_| OutOfFifo)?;
        word.store(value.to_le(), Ordering::Release);
        Ok(())
    }
}
