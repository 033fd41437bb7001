//! Owns the PL031 at EL2, for tests only: the device whose interrupt is the secure world's and that the
//! normal world can make lie. Never tells the time.

use core::ptr::NonNull;
use safe_mmio::fields::{ReadPure, ReadPureWrite, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field};
use spin::Mutex;

/// The registers' page.
pub(crate) const BASE: u64 = 0x0901_0000;

/// Source: ARM DDI0224, PL031, register summary.
#[repr(C)]
struct Clock {
    data: ReadPure<u32>,
    matching: ReadPureWrite<u32>,
    load: ReadPureWrite<u32>,
    control: ReadPureWrite<u32>,
    mask: ReadPureWrite<u32>,
    raw_status: ReadPure<u32>,
    status: ReadPure<u32>,
    clear: WriteOnly<u32>,
}

/// One core at a time.
static LOCK: Mutex<()> = Mutex::new(());

/// Makes the clock's interrupt come now, whatever the secure world asked of the clock.
pub(crate) fn lie() {
    let Some(base) = NonNull::new(BASE as *mut Clock) else { return };
    let _lock = LOCK.lock();
    // SAFETY: the page is mapped as device memory for the monitor's whole life, and LOCK makes this the
    // only pointer of the monitor's. The partition uses the device too: what either finds in it is a
    // number from a device, and nothing more.
    let mut clock = unsafe { UniqueMmioPointer::new(base) };
    field!(clock, mask).write(1);
    let now = field!(clock, data).read();
    field!(clock, matching).write(now);
}
