//! Owns the medium of VM 2 as its block device sees it: the image itself, or, as a sabotage, the
//! image behind a private staging buffer. Never counts a copy: the block device measures them.

use alloc::vec;
use alloc::vec::Vec;
use causeway_virtio::device::block::{Medium, MediumError, SliceMedium};
use causeway_virtio::{AreaMap, BusAddr};
use core::ops::Range;

/// Bytes that are staged at a time.
const STAGE: usize = 4096;

/// The image.
pub(super) struct Sectors {
    image: SliceMedium<'static>,
    /// Where sectors are staged on their way; empty if they are not.
    stage: Vec<u8>,
}

impl Sectors {
    /// Takes the image; with `staged`, what is read goes through a private buffer first.
    pub(super) fn new(image: SliceMedium<'static>, staged: bool) -> Self {
        Self { image, stage: if staged { vec![0; STAGE] } else { Vec::new() } }
    }
}

impl Medium for Sectors {
    fn sector_count(&self) -> u64 {
        self.image.sector_count()
    }

    fn storage(&self) -> Range<usize> {
        self.image.storage()
    }

    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        to: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        if self.stage.is_empty() {
            return self.image.read_into(at, mem, to, len);
        }
        let start = usize::try_from(at).map_err(|_| MediumError::Io)?;
        let len = usize::try_from(len).map_err(|_| MediumError::Io)?;
        let rest = self.image.bytes().get(start..).and_then(|rest| rest.get(..len));
        let mut to = to;
        for piece in rest.ok_or(MediumError::Io)?.chunks(STAGE) {
            let stage = self.stage.get_mut(..piece.len()).ok_or(MediumError::Io)?;
            stage.copy_from_slice(piece);
            mem.write(to, stage)?;
            let step = u64::try_from(piece.len()).map_err(|_| MediumError::Io)?;
            to = to.checked_add(step).ok_or(MediumError::Io)?;
        }
        Ok(())
    }

    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        self.image.write_from(at, mem, from, len)
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        self.image.flush()
    }
}
