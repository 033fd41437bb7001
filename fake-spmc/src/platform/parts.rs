//! Owns what the fake machine gives to the partition's devices: repeatable numbers and a RAM disk.
//! Never anything that a real build should use.

use causeway_vault::entropy::{Drbg, EntropyError, Random, RawEntropy};
use causeway_virtio::BusAddr;
use causeway_virtio::device::block::{Medium, MediumError, RamDisk};
use causeway_virtio::mem::AreaMap;
use core::ops::Range;

/// The same numbers in every run, through the same tests and generator as a real source's.
#[derive(Debug)]
pub struct Numbers(Drbg<Seeded>);

impl Default for Numbers {
    fn default() -> Self {
        Self(Drbg::new(Some(Seeded(0))))
    }
}

impl Random for Numbers {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(into)
    }
}

/// A raw source that is none.
#[derive(Debug)]
struct Seeded(u64);

impl RawEntropy for Seeded {
    fn word(&mut self) -> Option<u64> {
        let bytes = [(); 8].map(|()| {
            // Knuth's MMIX generator; its upper bits are good enough for a fake.
            let seed = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = seed.wrapping_add(1_442_695_040_888_963_407);
            let [.., top] = self.0.to_le_bytes();
            top
        });
        Some(u64::from_le_bytes(bytes))
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
