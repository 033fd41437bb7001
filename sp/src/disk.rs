//! Owns the memory of the one RAM disk, and who has it. Never talks to a driver.

use causeway_virtio::BusAddr;
use causeway_virtio::device::block::{Medium, MediumError, RamDisk};
use causeway_virtio::mem::AreaMap;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::mutex::SpinMutex;

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

/// Gives the disk out, once.
pub(crate) fn take() -> Option<Disk> {
    (!TAKEN.swap(true, Ordering::AcqRel)).then_some(Disk { _private: () })
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
