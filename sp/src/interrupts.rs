//! Owns what the machine's interrupts are to the partition: the GIC, the devices behind its lines, the
//! secure timer. Never decides which interrupt is whose.

use crate::arch::lines::{self, Device};
use crate::arch::{gic, regs, uart};
use crate::partition::Machine;
use causeway_abi::Trigger;
use causeway_service::platform::{Alarm, Controller, HandOver, Lines};

/// The secure UART's interrupt.
const UART: u32 = 40;

/// The device behind an interrupt, other than the UART.
const fn device(intid: u32) -> Option<Device> {
    match intid {
        32 => Some(Device::Gpio),
        34 => Some(Device::Clock),
        _ => None,
    }
}

impl Controller for Machine {
    fn claim(&mut self, intid: u32, trigger: Trigger) -> bool {
        let level = match trigger {
            Trigger::Level => true,
            Trigger::Edge => false,
        };
        gic::claim(regs::this_core(), intid, level)
    }

    fn acknowledge(&mut self) -> Option<u32> {
        gic::acknowledge()
    }

    fn end(&mut self, intid: u32) {
        gic::end(intid);
    }

    fn open(&mut self, intid: u32) {
        gic::open(regs::this_core(), intid);
    }

    fn close(&mut self, intid: u32) {
        gic::close(regs::this_core(), intid);
    }
}

impl Lines for Machine {
    fn is_known(&self, intid: u32) -> bool {
        intid == UART || device(intid).is_some()
    }

    fn quiet(&mut self, intid: u32) -> u32 {
        match device(intid) {
            Some(device) => lines::quiet(device),
            None if intid == UART => return uart::quiet(),
            None => {}
        }
        1
    }

    fn rearm(&mut self, intid: u32) {
        // Others that were quieted have no reason left: they raise their line when they are provoked
        // again, or when somebody else (the normal world, at the clock) gives them a reason.
        if intid == UART {
            uart::rearm();
        }
    }

    fn provoke(&mut self, intid: u32) -> bool {
        match device(intid) {
            Some(device) => lines::provoke(device),
            None if intid == UART => uart::provoke(),
            None => return false,
        }
        true
    }
}

impl Alarm for Machine {
    fn alarm_intid(&self) -> Option<u32> {
        Some(gic::TIMER)
    }

    fn set_alarm(&mut self, deadline: Option<u64>) {
        regs::set_secure_timer(deadline);
    }

    fn core(&self) -> u16 {
        u16::try_from(regs::this_core().get()).unwrap_or(u16::MAX)
    }

    fn leave_core(&mut self, alarm: HandOver) {
        let call = match alarm {
            HandOver::Alarm => true,
            HandOver::Nothing => false,
        };
        gic::core_leaves(regs::this_core(), call);
    }
}
