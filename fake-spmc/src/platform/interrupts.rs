//! Owns the partition's way to the fake machine's interrupts, by the back end that fits the SPMC.
//! Never decides.

use super::secure::Secure;
use crate::machine::Machine;
use crate::personality::Controlling;
use crate::wires::{DEVICES, TIMER, Wires};
use causeway_abi::Trigger;
use causeway_service::platform::{Alarm, Controller, HandOver, Lines};
use causeway_service::virtual_gic::{HypervisorCall, VirtualGic};
use std::sync::Arc;

/// Hafnium, as the partition calls it.
struct Hvc<'m>(&'m Machine);

impl HypervisorCall for Hvc<'_> {
    fn hypervisor_call(&mut self, arguments: [u64; 4]) -> u64 {
        let now = self.0.now();
        self.0.wires(|wires| wires.hafnium(now, arguments))
    }
}

/// The GIC, where it is the partition's own.
struct OwnGic<'m>(&'m Machine);

impl Controller for OwnGic<'_> {
    fn claim(&mut self, intid: u32, _trigger: Trigger) -> bool {
        self.0.wires(|wires| wires.claim(intid))
    }

    fn acknowledge(&mut self) -> Option<u32> {
        let now = self.0.now();
        self.0.wires(|wires| wires.acknowledge(now))
    }

    fn end(&mut self, intid: u32) {
        self.0.wires(|wires| wires.end(intid));
    }

    fn open(&mut self, intid: u32) {
        self.0.wires(|wires| wires.open(intid));
    }

    fn close(&mut self, intid: u32) {
        self.0.wires(|wires| wires.close(intid));
    }
}

impl Secure {
    /// Runs `work` with the back end of this SPMC; `None` where partitions get no interrupts.
    fn controller<R>(&mut self, work: impl FnOnce(&mut dyn Controller) -> R) -> Option<R> {
        let machine: Arc<Machine> = self.machine.clone();
        match self.controlling {
            Controlling::OwnGic => Some(work(&mut OwnGic(&machine))),
            Controlling::Virtual => Some(work(&mut VirtualGic::new(Hvc(&machine)))),
            Controlling::Nobody => None,
        }
    }
}

impl Controller for Secure {
    fn claim(&mut self, intid: u32, trigger: Trigger) -> bool {
        self.controller(|gic| gic.claim(intid, trigger)).unwrap_or(false)
    }

    fn acknowledge(&mut self) -> Option<u32> {
        self.controller(|gic| gic.acknowledge()).flatten()
    }

    fn end(&mut self, intid: u32) {
        self.controller(|gic| gic.end(intid));
    }

    fn open(&mut self, intid: u32) {
        self.controller(|gic| gic.open(intid));
    }

    fn close(&mut self, intid: u32) {
        self.controller(|gic| gic.close(intid));
    }
}

impl Lines for Secure {
    fn is_known(&self, intid: u32) -> bool {
        DEVICES.contains(&intid)
    }

    fn quiet(&mut self, intid: u32) -> u32 {
        self.machine.wires(|wires| wires.quiet(intid))
    }

    fn rearm(&mut self, intid: u32) {
        self.machine.wires(|wires| wires.rearm(intid));
    }

    fn provoke(&mut self, intid: u32) -> bool {
        self.machine.wires(|wires| wires.raise(intid));
        true
    }
}

impl Alarm for Secure {
    fn alarm_intid(&self) -> Option<u32> {
        match self.controlling {
            Controlling::OwnGic | Controlling::Virtual => Some(TIMER),
            Controlling::Nobody => None,
        }
    }

    fn set_alarm(&mut self, deadline: Option<u64>) {
        self.machine.wires(|wires: &mut Wires| wires.set_alarm(deadline));
    }

    fn core(&self) -> u16 {
        self.machine.wires(|wires| wires.core())
    }

    fn leave_core(&mut self, alarm: HandOver) {
        if alarm == HandOver::Alarm {
            self.machine.wires(Wires::hand_over);
        }
    }
}
