//! Owns what the fake machine gives to the partition's devices: repeatable numbers and a RAM disk.
//! Never anything that a real build should use.

use causeway_virtio::BusAddr;
use causeway_virtio::device::block::{Medium, MediumError, RamDisk};
use causeway_virtio::device::rng::{EntropySource, NoEntropy};
use causeway_virtio::mem::AreaMap;
use core::ops::Range;

/// The same numbers in every run.
#[derive(Debug, Default)]
pub struct Numbers(u64);

impl EntropySource for Numbers {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in into {
            // Knuth's MMIX generator; its upper bits are good enough for a fake.
            let seed = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = seed.wrapping_add(1_442_695_040_888_963_407);
            let [.., top] = self.0.to_le_bytes();
            *byte = top;
        }
        Ok(())
    }
}

/// Bytes of a disk.
const DISK_BYTES: usize = 64 * 1024;

/// A disk. Boxed: the table of devices has the same room for each of them.
#[derive(Default)]
pub struct Disk(Box<RamDisk<DISK_BYTES>>);

impl Medium for Disk {
    fn sector_count(&self) -> u64 {
        self.0.sector_count()
    }

    fn storage(&self) -> Range<usize> {
        self.0.storage()
    }

    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        to: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        self.0.read_into(at, mem, to, len)
    }

    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        self.0.write_from(at, mem, from, len)
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        self.0.flush()
    }
}
