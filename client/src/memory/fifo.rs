//! Owns the message FIFO's view of a window; never interprets a byte.

use super::{OutOfWindow, Window};
use causeway_virtio::fifo::{FifoMemory, OutOfFifo};

fn outside(_: OutOfWindow) -> OutOfFifo {
    OutOfFifo
}

fn wide(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}

impl FifoMemory for Window {
    fn len_bytes(&self) -> usize {
        Self::len_bytes(self)
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        Self::read(self, wide(offset), into).map_err(outside)
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        Self::write(self, wide(offset), from).map_err(outside)
    }

    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        Self::load_acquire_u16(self, wide(offset)).map_err(outside)
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        Self::store_release_u16(self, wide(offset), value).map_err(outside)
    }
}
