//! Owns what the partition's own devices are made of: the processor's random numbers, and memory
//! for one disk. Never talks to a driver.

use crate::arch::regs::RandomNumbers;
use causeway_virtio::BusAddr;
use causeway_virtio::device::block::{Medium, MediumError, RamDisk};
use causeway_virtio::device::rng::{EntropySource, NoEntropy};
use causeway_virtio::mem::AreaMap;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::mutex::SpinMutex;

/// How often RNDR is asked for one number; it fails when many cores ask at once.
const TRIES: u32 = 16;

/// The processor's random numbers (FEAT_RNG), used as they come: no test of their health, no
/// generator behind them.
#[derive(Debug)]
pub(crate) struct Rndr(RandomNumbers);

impl Rndr {
    /// Returns the source if this machine has one.
    pub(crate) fn find() -> Option<Self> {
        RandomNumbers::find().map(Self)
    }
}

impl EntropySource for Rndr {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        for part in into.chunks_mut(size_of::<u64>()) {
            let number = (0..TRIES).find_map(|_| self.0.next()).ok_or(NoEntropy)?;
            for (place, byte) in part.iter_mut().zip(number.to_le_bytes()) {
                *place = byte;
            }
        }
        Ok(())
    }
}

/// Bytes of the one disk.
const DISK_BYTES: usize = 64 * 1024;

static DISK: SpinMutex<RamDisk<DISK_BYTES>> = SpinMutex::new(RamDisk::new());
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The one disk, which forgets all when the machine is switched off. Its contents stay when its
/// driver dies: they are that VM's, and no other VM gets the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    _private: (),
}

impl Disk {
    /// Gives the disk out, once.
    pub(crate) fn take() -> Option<Self> {
        (!TAKEN.swap(true, Ordering::AcqRel)).then_some(Self { _private: () })
    }
}

impl Medium for Disk {
    fn sector_count(&self) -> u64 {
        DISK.lock().sector_count()
    }

    fn storage(&self) -> Range<usize> {
        DISK.lock().storage()
    }

    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        to: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        DISK.lock().read_into(at, mem, to, len)
    }

    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        DISK.lock().write_from(at, mem, from, len)
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        DISK.lock().flush()
    }
}
