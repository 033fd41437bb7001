//! Owns an area made of atomics: shared memory for tests and host programs, in safe Rust.

use super::{Access, AreaMap, MemError};
use crate::addr::{AreaId, BusAddr};
use crate::fifo::{FifoMemory, OutOfFifo};
use core::sync::atomic::{AtomicU16, Ordering};

/// One area whose memory is a slice of atomics, so that two threads may share it as two VMs
/// share pages. Slow (two bytes at a time): for tests, examples and host tools.
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
        // Up to the first whole word, then words; the last one may be half.
        let lead = into.len().min(start % 2);
        let (head, rest) = into.split_at_mut_checked(lead).ok_or(MemError::Outside)?;
        if let [byte] = head {
            [_, *byte] = self.word(start)?.load(Ordering::Relaxed).to_ne_bytes();
        }
        let after = start.saturating_add(lead);
        for (bytes, at) in rest.chunks_mut(2).zip((after..).step_by(2)) {
            let word = self.word(at)?.load(Ordering::Relaxed).to_ne_bytes();
            for (byte, value) in bytes.iter_mut().zip(word) {
                *byte = value;
            }
        }
        Ok(())
    }

    fn copy_in(&self, start: usize, from: &[u8]) -> Result<(), MemError> {
        let lead = from.len().min(start % 2);
        let (head, rest) = from.split_at_checked(lead).ok_or(MemError::Outside)?;
        let after = start.saturating_add(lead);
        if let [byte] = head {
            self.patch(start, |[even, _]| [even, *byte])?;
        }
        for (bytes, at) in rest.chunks(2).zip((after..).step_by(2)) {
            match bytes {
                [even, odd] => {
                    self.word(at)?.store(u16::from_ne_bytes([*even, *odd]), Ordering::Relaxed);
                }
                [byte] => self.patch(at, |[_, odd]| [*byte, odd])?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Changes one byte of a word and leaves the other as somebody else may write it meanwhile.
    fn patch(&self, byte: usize, with: impl Fn([u8; 2]) -> [u8; 2]) -> Result<(), MemError> {
        let with = |word: u16| Some(u16::from_ne_bytes(with(word.to_ne_bytes())));
        let word = self.word(byte)?;
        // The closure never declines, so the old value is all that comes back.
        let (Ok(_) | Err(_)) = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with);
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

    fn read_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        if !at.offset().is_multiple_of(2) {
            let mut bytes = [0; 2];
            AreaMap::read(self, at, &mut bytes)?;
            return Ok(u16::from_le_bytes(bytes));
        }
        Ok(u16::from_le(self.index(at, Access::Read)?.load(Ordering::Relaxed)))
    }

    fn write_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        if !at.offset().is_multiple_of(2) {
            return AreaMap::write(self, at, &value.to_le_bytes());
        }
        self.index(at, Access::Write)?.store(value.to_le(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alignment_and_length_is_copied_and_nothing_beside_it() {
        let pattern = [1, 2, 3, 4, 5, 6, 7];
        for start in 0..4_usize {
            for len in 0..=pattern.len() {
                let words: Vec<AtomicU16> = (0..8).map(|_| AtomicU16::new(0xeeee)).collect();
                let area = WordArea::flat(&words);
                let at = BusAddr::from_raw(u64::try_from(start).unwrap());
                AreaMap::write(&area, at, &pattern[..len]).unwrap();
                let mut expected = [0xee; 16];
                expected[start..start + len].copy_from_slice(&pattern[..len]);
                let mut all = [0; 16];
                AreaMap::read(&area, BusAddr::from_raw(0), &mut all).unwrap();
                assert_eq!(all, expected, "{start} {len}");
                let mut back = [0; 7];
                AreaMap::read(&area, at, &mut back[..len]).unwrap();
                assert_eq!(back[..len], pattern[..len]);
            }
        }
    }

    #[test]
    fn sixteen_bits_are_little_endian_at_even_and_odd_addresses() {
        let words: Vec<AtomicU16> = (0..4).map(|_| AtomicU16::new(0)).collect();
        let area = WordArea::flat(&words);
        for start in 0..3 {
            let at = BusAddr::from_raw(start);
            area.write_u16(at, 0x1234).unwrap();
            assert_eq!(area.read_u16(at), Ok(0x1234));
            let mut bytes = [0; 2];
            AreaMap::read(&area, at, &mut bytes).unwrap();
            assert_eq!(bytes, [0x34, 0x12]);
        }
        let outside = BusAddr::from_raw(7);
        assert_eq!(area.read_u16(outside), Err(MemError::Outside));
        assert_eq!(area.read_only().write_u16(outside, 0), Err(MemError::Outside));
        let inside = BusAddr::from_raw(2);
        assert_eq!(area.read_only().write_u16(inside, 0), Err(MemError::Permission));
    }
}
