//! Owns a flash in memory for host tests, a fake: programming only clears bits, and the power may
//! be cut in the middle of any operation. Never built into an image.

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use std::vec;
use std::vec::Vec;

/// Bytes of a sector of the model. Smaller than a real one (256 KiB on QEMU's board), so that
/// every path of the store, sector changes above all, is reached by a short workload.
pub const SECTOR: usize = 8 * 1024;

/// How an operation that the cut hits ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Not begun.
    Before,
    /// A part of the bytes: the first ones are done, the next word has half its bits.
    Middle,
    /// Done, but the caller never heard of it.
    After,
}

/// Why the model refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// The power is off: nothing works until [`Model::power_on`].
    PowerCut,
    /// The arguments break the rules of the flash.
    Arguments(NorFlashErrorKind),
    /// A bit was to be set by programming: a forgotten erase, which QEMU's flash would hide.
    BitSet,
}

impl NorFlashError for ModelError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Arguments(kind) => *kind,
            Self::PowerCut | Self::BitSet => NorFlashErrorKind::Other,
        }
    }
}

/// The flash.
#[derive(Clone, Debug)]
pub struct Model {
    bytes: Vec<u8>,
    cut: Option<(u64, Tear)>,
    off: bool,
    /// Operations (programs and erases) so far.
    pub operations: u64,
    /// Erases among them.
    pub erases: u64,
}

impl Model {
    /// A new flash, erased.
    #[must_use]
    pub fn new(sectors: usize) -> Self {
        Self {
            bytes: vec![0xff; sectors.saturating_mul(SECTOR)],
            cut: None,
            off: false,
            operations: 0,
            erases: 0,
        }
    }

    /// The power fails in the operation with this number (the first is 0).
    pub fn cut_at(&mut self, operation: u64, tear: Tear) {
        self.cut = Some((operation, tear));
    }

    /// The power is there again; no further cut is planned.
    pub fn power_on(&mut self) {
        self.off = false;
        self.cut = None;
    }

    /// Whether the planned cut has happened.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// The contents, to be damaged by tests.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Counts an operation, and tells how far it goes: `None` = all of it.
    fn begin(&mut self) -> Result<Option<Tear>, ModelError> {
        if self.off {
            return Err(ModelError::PowerCut);
        }
        let number = self.operations;
        self.operations = number.saturating_add(1);
        match self.cut {
            Some((at, tear)) if at == number => {
                self.off = true;
                Ok(Some(tear))
            }
            _ => Ok(None),
        }
    }

    fn range(&mut self, offset: u32, len: usize, align: usize) -> Result<&mut [u8], ModelError> {
        let wrong = ModelError::Arguments;
        let start = usize::try_from(offset).map_err(|_| wrong(NorFlashErrorKind::OutOfBounds))?;
        if !start.is_multiple_of(align) || !len.is_multiple_of(align) {
            return Err(wrong(NorFlashErrorKind::NotAligned));
        }
        let end = start.checked_add(len).ok_or(wrong(NorFlashErrorKind::OutOfBounds))?;
        self.bytes.get_mut(start..end).ok_or(wrong(NorFlashErrorKind::OutOfBounds))
    }
}

impl ErrorType for Model {
    type Error = ModelError;
}

impl ReadNorFlash for Model {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        if self.off {
            return Err(ModelError::PowerCut);
        }
        let from = self.range(offset, bytes.len(), Self::READ_SIZE)?;
        bytes.copy_from_slice(from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Model {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        // Sector by sector: the power may fail between two.
        let mut at = from;
        let sector = u32::try_from(SECTOR).unwrap_or(u32::MAX);
        self.range(from, 0, SECTOR)?;
        self.range(to, 0, SECTOR)?;
        while at < to {
            let tear = self.begin()?;
            self.erases = self.erases.saturating_add(1);
            let bytes = self.range(at, SECTOR, SECTOR)?;
            match tear {
                Some(Tear::Before) => return Err(ModelError::PowerCut),
                Some(Tear::Middle) => {
                    // An erase is no wave from one end: bits come back in any order.
                    for (n, byte) in bytes.iter_mut().enumerate() {
                        if n % 3 != 0 {
                            *byte |= 0x5a;
                        }
                        if n % 7 < 4 {
                            *byte = 0xff;
                        }
                    }
                    return Err(ModelError::PowerCut);
                }
                Some(Tear::After) => {
                    bytes.fill(0xff);
                    return Err(ModelError::PowerCut);
                }
                None => bytes.fill(0xff),
            }
            at = at.saturating_add(sector);
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        let to = self.range(offset, bytes.len(), Self::WRITE_SIZE)?;
        if to.iter().zip(bytes).any(|(old, new)| !old & new != 0) {
            return Err(ModelError::BitSet);
        }
        let tear = self.begin()?;
        let to = self.range(offset, bytes.len(), Self::WRITE_SIZE)?;
        let done = match tear {
            None | Some(Tear::After) => bytes.len(),
            Some(Tear::Before) => 0,
            Some(Tear::Middle) => bytes.len() / 2,
        };
        for (n, (old, new)) in to.iter_mut().zip(bytes).enumerate() {
            if n < done {
                *old &= new;
            } else if n == done && tear == Some(Tear::Middle) {
                // The word under the programming pulse: half its zeros have arrived.
                *old &= new | 0x55;
            }
        }
        if tear.is_some() { Err(ModelError::PowerCut) } else { Ok(()) }
    }
}
