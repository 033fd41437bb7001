//! Owns the secure devices of QEMU's virt machine whose lines lead to the controller (beside the UART):
//! how each is made to let go of its line, and to raise it, and how one of them resets the machine. Never
//! decides when.

use super::{bounded, regs};
use core::ops::Range;
use core::ptr::NonNull;
use safe_mmio::fields::{ReadPure, ReadPureWrite, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field};
use spin::mutex::SpinMutex;

/// The PL061 of the secure world: reset and power-off are its pins 0 and 1.
pub(crate) const GPIO: Range<usize> = 0x090b_0000..0x090b_1000;
/// The PL031, which the normal world reaches as well.
pub(crate) const CLOCK: Range<usize> = 0x0901_0000..0x0901_1000;

/// A pin that nothing is connected to: it reads as low, and a low level is what it interrupts for.
const PIN: u32 = 1 << 4;
/// The pin that resets the machine. TF-A uses it and pin 0 (power-off), through this page as well.
const RESET: u32 = 1 << 1;
/// The data register that reads and writes this pin alone: address bits 9:2 are its mask.
const RESET_ALONE: usize = RESET as usize;

/// Source: ARM DDI0190, PL061, register summary.
#[repr(C)]
struct Gpio {
    data: [ReadPureWrite<u32>; 256],
    direction: ReadPureWrite<u32>,
    sense: ReadPureWrite<u32>,
    both_edges: ReadPureWrite<u32>,
    event: ReadPureWrite<u32>,
    enable: ReadPureWrite<u32>,
    raw_status: ReadPure<u32>,
    status: ReadPure<u32>,
    clear: WriteOnly<u32>,
}

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

struct Devices {
    gpio: UniqueMmioPointer<'static, Gpio>,
    clock: UniqueMmioPointer<'static, Clock>,
}

static DEVICES: SpinMutex<Option<Devices>> = SpinMutex::new(None);

/// Makes the devices usable, when their registers are mapped.
pub(crate) fn init() {
    let (gpio, clock) = (NonNull::new(GPIO.start as *mut _), NonNull::new(CLOCK.start as *mut _));
    let (Some(gpio), Some(clock)) = (gpio, clock) else { return };
    let mut devices = DEVICES.lock();
    if devices.is_some() {
        return;
    }
    // SAFETY: the page of the secure GPIO is mapped as device memory for the partition's whole life; the
    // pointer is made once, and stays inside the lock.
    let gpio = unsafe { UniqueMmioPointer::new(gpio) };
    // SAFETY: the same holds of the clock's page. The normal world may write it too, which changes what
    // is read and nothing else.
    let clock = unsafe { UniqueMmioPointer::new(clock) };
    *devices = Some(Devices { gpio, clock });
}

/// A device of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// INTID 32.
    Gpio,
    /// INTID 34.
    Clock,
}

/// Makes a device let go of its line.
pub(crate) fn quiet(device: Device) {
    with(|devices| {
        let (mut gpio, mut clock) = (devices.gpio.reborrow(), devices.clock.reborrow());
        match device {
            Device::Gpio => {
                let others = field!(gpio, enable).read() & !PIN;
                field!(gpio, enable).write(others);
                field!(gpio, clear).write(PIN);
            }
            Device::Clock => {
                field!(clock, mask).write(0);
                field!(clock, clear).write(1);
            }
        }
    });
}

/// Makes a device raise its line: the GPIO for the low level of its pin, the clock in a second.
pub(crate) fn provoke(device: Device) {
    with(|devices| {
        let (mut gpio, mut clock) = (devices.gpio.reborrow(), devices.clock.reborrow());
        match device {
            Device::Gpio => {
                let level = field!(gpio, sense).read() | PIN;
                field!(gpio, sense).write(level);
                let low = field!(gpio, event).read() & !PIN;
                field!(gpio, event).write(low);
                let enabled = field!(gpio, enable).read() | PIN;
                field!(gpio, enable).write(enabled);
            }
            Device::Clock => {
                let soon = field!(clock, data).read().wrapping_add(1);
                field!(clock, matching).write(soon);
                field!(clock, clear).write(1);
                field!(clock, mask).write(1);
            }
        }
    });
}

/// Pulls the line that resets the machine, as TF-A does (its plat/qemu): low, then high.
pub(crate) fn reset_machine() {
    with(|devices| {
        let mut gpio = devices.gpio.reborrow();
        let outputs = field!(gpio, direction).read() | RESET;
        field!(gpio, direction).write(outputs);
        let mut data = field!(gpio, data);
        if let Some(mut pin) = data.get(RESET_ALONE) {
            pin.write(0);
            pin.write(RESET);
        }
    });
    regs::data_barrier();
}

/// Does nothing where the devices stay taken: their user may have crashed.
fn with(work: impl FnOnce(&mut Devices)) {
    if let Some(Some(devices)) = bounded::lock(&DEVICES).as_deref_mut() {
        work(devices);
    }
}
