//! Owns what the partition's own devices are made of: the processor's random numbers, and memory
//! for one disk. Never talks to a driver.

use crate::arch::regs::RandomNumbers;
use causeway_service::entropy::{Handle, Shared};
use causeway_vault::entropy::RawEntropy;
use causeway_virtio::BusAddr;
use causeway_virtio::device::block::{Medium, MediumError, RamDisk};
use causeway_virtio::mem::AreaMap;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Once;
use spin::mutex::SpinMutex;

/// The processor's random numbers (FEAT_RNG), each from a fresh seed. Raw: `causeway-vault` tests
/// their health and puts a generator in front.
#[derive(Debug)]
pub(crate) struct Rndrrs(RandomNumbers);

impl RawEntropy for Rndrrs {
    fn word(&mut self) -> Option<u64> {
        self.0.next_reseeded()
    }
}

static GENERATOR: Once<Option<Shared<Rndrrs>>> = Once::new();

/// Returns the way to the one generator, if this machine has a source.
pub(crate) fn entropy() -> Option<Handle<Rndrrs>> {
    let found = || RandomNumbers::find().map(|numbers| Shared::new(Rndrrs(numbers)));
    GENERATOR.call_once(found).as_ref().map(Handle::new)
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
