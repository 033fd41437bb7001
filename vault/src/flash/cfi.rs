//! Owns the command sequences of the secure flash: two x16 chips of the Intel command set (CFI command
//! set 1) side by side, so that every command is doubled. Never decides what is stored, and never
//! touches a register itself: [`Bank`] does.
//!
//! Sequences as QEMU's `virt` machine and real chips take them: erase 0x20 0xD0, buffer 0xE8, clear
//! status 0x50, read array 0xFF. Status 0x80 is ready without an error.

#[cfg(test)]
mod tests;

use core::ops::Range;
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Bytes of a sector: 128 KiB of each chip.
pub const SECTOR: u32 = 256 * 1024;
/// Bytes of the write buffer: 2 KiB of each chip. A buffer lies inside one aligned block of this size.
pub const BUFFER: u32 = 4096;
/// Bytes of a word: 16 bits of each chip.
const WORD: u32 = 4;

/// The same command, or status, for both chips.
const fn both(half: u32) -> u32 {
    half << 16 | half
}

const ERASE: u32 = both(0x20);
const CONFIRM: u32 = both(0xd0);
const TO_BUFFER: u32 = both(0xe8);
const CLEAR_STATUS: u32 = both(0x50);
const READ_IDENTITY: u32 = both(0x90);
const READ_ARRAY: u32 = both(0xff);
const READY: u32 = both(0x80);
/// Manufacturer and device of the chips that this code knows.
const IDENTITY: [u32; 2] = [both(0x89), both(0x18)];

/// How often the status is looked at: an erase takes milliseconds, a look less than a microsecond.
const LOOKS: u32 = 2_000_000;

/// What is done to the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A buffer is programmed.
    Program,
    /// A sector is erased.
    Erase,
}

/// Which end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// No command has been sent.
    Begins,
    /// The chips are ready, or reported an error.
    Ended,
}

/// The way to the bank: aligned 32-bit accesses, in order, by offsets in the bank.
pub trait Bank {
    /// Reads a word: of the array, or a status.
    fn read(&self, offset: u32) -> u32;
    /// Writes a word: a command, or data.
    fn write(&mut self, offset: u32, word: u32);
    /// Whether the bank may leave read-array mode: no core executes from it any more.
    fn may_leave_array(&self) -> bool;
    /// Hears of each operation, before its first command and after its last look.
    fn tell(&mut self, _operation: Operation, _at: u32, _when: When) {}
}

/// Why the flash did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// A core may still execute from this bank.
    CoresNotSeen,
    /// Outside the range that is ours: the firmware's sectors among others.
    OutOfRange,
    /// Not whole words, or not whole sectors.
    NotAligned,
    /// The chips are not those that this code knows.
    UnknownChips,
    /// The status after a command: a bit of an error is set.
    Status(u32),
    /// The chips never became ready.
    TimedOut,
    /// A bit was to be set by programming: an erase was forgotten.
    BitSet,
    /// What was written does not read back.
    Mismatch,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfRange => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::CoresNotSeen
            | Self::UnknownChips
            | Self::Status(_)
            | Self::TimedOut
            | Self::BitSet
            | Self::Mismatch => NorFlashErrorKind::Other,
        }
    }
}

/// A range of a bank as NOR flash. Offsets are those of the bank.
#[derive(Debug)]
pub struct Cfi<B> {
    bank: B,
    range: Range<u32>,
}

impl<B: Bank> Cfi<B> {
    /// The sectors `range` of a bank; nothing outside is ever written, erased or read.
    ///
    /// # Errors
    /// [`FlashError::NotAligned`] for a range that is not whole sectors.
    pub fn new(bank: B, range: Range<u32>) -> Result<Self, FlashError> {
        let whole = range.start.is_multiple_of(SECTOR) && range.end.is_multiple_of(SECTOR);
        if whole { Ok(Self { bank, range }) } else { Err(FlashError::NotAligned) }
    }

    /// Asks the chips who they are.
    ///
    /// # Errors
    /// [`FlashError::UnknownChips`], or [`FlashError::CoresNotSeen`] before anything was sent.
    pub fn identify(&mut self) -> Result<(), FlashError> {
        self.may_command()?;
        let at = self.range.start;
        self.bank.write(at, READ_IDENTITY);
        let found = [self.bank.read(at), self.bank.read(at.saturating_add(WORD))];
        self.bank.write(at, READ_ARRAY);
        if found == IDENTITY { Ok(()) } else { Err(FlashError::UnknownChips) }
    }

    fn may_command(&self) -> Result<(), FlashError> {
        if self.bank.may_leave_array() { Ok(()) } else { Err(FlashError::CoresNotSeen) }
    }

    /// The end of `len` bytes at `offset`, if they are ours and aligned.
    fn end(&self, offset: u32, len: usize, align: u32) -> Result<u32, FlashError> {
        let len = u32::try_from(len).map_err(|_| FlashError::OutOfRange)?;
        if !offset.is_multiple_of(align) || !len.is_multiple_of(align) {
            return Err(FlashError::NotAligned);
        }
        let end = offset.checked_add(len).ok_or(FlashError::OutOfRange)?;
        let inside = offset >= self.range.start && end <= self.range.end;
        if inside { Ok(end) } else { Err(FlashError::OutOfRange) }
    }

    /// Waits until both chips are ready; returns their status.
    fn settle(&self, at: u32) -> Result<u32, FlashError> {
        let looks = (0..LOOKS).map(|_| self.bank.read(at));
        let mut ready = looks.filter(|status| status & READY == READY);
        ready.next().ok_or(FlashError::TimedOut)
    }

    /// The status after an operation must be ready and nothing else.
    fn done(&self, at: u32) -> Result<(), FlashError> {
        let status = self.settle(at)?;
        if status == READY { Ok(()) } else { Err(FlashError::Status(status)) }
    }

    /// Back to an array that reads as memory, whatever happened before.
    fn back_to_array(&mut self, at: u32) {
        self.bank.write(at, CLEAR_STATUS);
        self.bank.write(at, READ_ARRAY);
    }

    fn erase_sector(&mut self, at: u32) -> Result<(), FlashError> {
        self.bank.tell(Operation::Erase, at, When::Begins);
        self.bank.write(at, ERASE);
        self.bank.write(at, CONFIRM);
        let result = self.done(at);
        self.bank.tell(Operation::Erase, at, When::Ended);
        result
    }

    /// Programs words inside one aligned block. The bank is left in status mode.
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let (words, _) = bytes.as_chunks::<4>();
        let last = u32::try_from(words.len()).ok().and_then(|n| n.checked_sub(1));
        let Some(last) = last else { return Ok(()) };
        self.bank.write(at, TO_BUFFER);
        self.settle(at)?;
        self.bank.write(at, both(last));
        for (offset, word) in (at..).step_by(4).zip(words) {
            self.bank.write(offset, u32::from_le_bytes(*word));
        }
        self.bank.write(at, CONFIRM);
        self.done(at)
    }

    /// Programs everything, block by block, in one stretch outside read-array mode.
    fn program_all(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let to_block = BUFFER.saturating_sub(at % BUFFER);
            let len = usize::try_from(to_block).unwrap_or(0).min(rest.len());
            let (now, later) = rest.split_at(len);
            self.bank.tell(Operation::Program, at, When::Begins);
            let result = self.program(at, now);
            self.bank.tell(Operation::Program, at, When::Ended);
            result?;
            at = at.saturating_add(to_block);
            rest = later;
        }
        Ok(())
    }

    /// Whether each word of the array and what is there to come pass `good`.
    fn all(&self, offset: u32, bytes: &[u8], good: impl Fn(u32, u32) -> bool) -> bool {
        let (words, _) = bytes.as_chunks::<4>();
        let mut pairs = (offset..).step_by(4).zip(words);
        pairs.all(|(at, word)| good(self.bank.read(at), u32::from_le_bytes(*word)))
    }
}

impl<B> ErrorType for Cfi<B> {
    type Error = FlashError;
}

impl<B: Bank> ReadNorFlash for Cfi<B> {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.end(offset, bytes.len(), WORD)?;
        let (words, _) = bytes.as_chunks_mut::<4>();
        for (at, word) in (offset..).step_by(4).zip(words) {
            *word = self.bank.read(at).to_le_bytes();
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        usize::try_from(self.range.end).unwrap_or(usize::MAX)
    }
}

impl<B: Bank> NorFlash for Cfi<B> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 256 * 1024;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let len = to.checked_sub(from).ok_or(FlashError::OutOfRange)?;
        let len = usize::try_from(len).map_err(|_| FlashError::OutOfRange)?;
        self.end(from, len, SECTOR)?;
        self.may_command()?;
        let mut sectors = (from..to).step_by(Self::ERASE_SIZE);
        let result = sectors.try_for_each(|at| self.erase_sector(at));
        self.back_to_array(from);
        result
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.end(offset, bytes.len(), WORD)?;
        self.may_command()?;
        // Chips clear bits only. QEMU's would replace the word instead, and hide the mistake.
        if !self.all(offset, bytes, |old, new| !old & new == 0) {
            return Err(FlashError::BitSet);
        }
        let result = self.program_all(offset, bytes);
        self.back_to_array(offset);
        result?;
        if self.all(offset, bytes, |old, new| old == new) {
            Ok(())
        } else {
            Err(FlashError::Mismatch)
        }
    }
}
