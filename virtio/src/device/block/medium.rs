//! Owns a medium in memory that belongs to the device alone; never shared, so plain slices serve.

use super::{Medium, MediumError};
use crate::addr::BusAddr;
use crate::mem::AreaMap;

/// A disk image in the device's own memory. Bytes behind the last whole sector are not used.
#[derive(Debug)]
pub struct SliceMedium<'a> {
    bytes: &'a mut [u8],
}

impl<'a> SliceMedium<'a> {
    /// Takes the image.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// Returns the image.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

fn range(at: u64, len: u32) -> Result<core::ops::Range<usize>, MediumError> {
    let start = usize::try_from(at).map_err(|_| MediumError::Io)?;
    let len = usize::try_from(len).map_err(|_| MediumError::Io)?;
    Ok(start..start.checked_add(len).ok_or(MediumError::Io)?)
}

impl Medium for SliceMedium<'_> {
    fn sector_count(&self) -> u64 {
        u64::try_from(self.bytes.len() / 512).unwrap_or(0)
    }

    fn storage(&self) -> core::ops::Range<usize> {
        let bytes = self.bytes.as_ptr_range();
        bytes.start.addr()..bytes.end.addr()
    }

    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        to: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        let piece = self.bytes.get(range(at, len)?).ok_or(MediumError::Io)?;
        Ok(mem.write(to, piece)?)
    }

    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        let piece = self.bytes.get_mut(range(at, len)?).ok_or(MediumError::Io)?;
        Ok(mem.read(from, piece)?)
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        Ok(())
    }
}
