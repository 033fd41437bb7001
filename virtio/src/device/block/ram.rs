//! Owns a medium that is nothing but an array: the RAM disk. Never keeps anything over a restart.

use super::{Medium, MediumError, SliceMedium};
use crate::addr::BusAddr;
use crate::mem::AreaMap;

/// A RAM disk of `BYTES` bytes, all zero at first. Bytes behind the last whole sector are not used.
#[derive(Debug)]
pub struct RamDisk<const BYTES: usize> {
    bytes: [u8; BYTES],
}

impl<const BYTES: usize> RamDisk<BYTES> {
    /// Makes an empty disk.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; BYTES] }
    }

    /// Makes a disk with something on it.
    #[must_use]
    pub const fn with(bytes: [u8; BYTES]) -> Self {
        Self { bytes }
    }

    /// Returns what is on it.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.bytes
    }
}

impl<const BYTES: usize> Default for RamDisk<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> Medium for RamDisk<BYTES> {
    fn sector_count(&self) -> u64 {
        u64::try_from(BYTES / 512).unwrap_or(0)
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
        SliceMedium::new(&mut self.bytes).read_into(at, mem, to, len)
    }

    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        SliceMedium::new(&mut self.bytes).write_from(at, mem, from, len)
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        Ok(())
    }
}
