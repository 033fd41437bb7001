//! Owns the interrupt controller of a partition whose SPMC keeps the GIC to itself: Hafnium's
//! hypervisor calls behind [`Controller`]. Never touches a register of a GIC.
//!
//! Source: Hafnium, `inc/vmapi/hf/abi.h` and `src/api.c` (HF_INTERRUPT_*), as read there: enable, get,
//! deactivate. The partition's image for Hafnium uses it; the host tests run it against a fake of those calls.
//! Trigger, priority and target of an interrupt are those of the partition's manifest there; nobody else can
//! be told to change them but by HF_INTERRUPT_RECONFIGURE.

use crate::platform::Controller;
use causeway_abi::Trigger;

/// Function ids and values.
pub mod abi {
    /// x1 = interrupt, x2 = 1 enable or 0 disable, x3 = 0 IRQ. Returns 0.
    pub const ENABLE: u64 = 0xff03;
    /// Returns the next pending interrupt, which is active from then on, or [`NONE`].
    pub const GET: u64 = 0xff04;
    /// x1 = x2 = interrupt. Returns 0.
    pub const DEACTIVATE: u64 = 0xff08;
    /// HF_INTERRUPT_GET: there is none.
    pub const NONE: u64 = 0xffff_ffff;
    /// HF_INTERRUPT_ENABLE: taken as an IRQ.
    pub const AS_IRQ: u64 = 0;
}

/// The way to the hypervisor: an HVC with x0-x3, answered in x0.
pub trait HypervisorCall {
    /// Makes one call.
    fn hypervisor_call(&mut self, arguments: [u64; 4]) -> u64;
}

/// The controller.
#[derive(Clone, Copy, Debug)]
pub struct VirtualGic<C> {
    way: C,
}

impl<C: HypervisorCall> VirtualGic<C> {
    /// A controller that is reached this way.
    pub const fn new(way: C) -> Self {
        Self { way }
    }

    fn enable(&mut self, intid: u32, enable: u64) -> bool {
        self.way.hypervisor_call([abi::ENABLE, u64::from(intid), enable, abi::AS_IRQ]) == 0
    }
}

impl<C: HypervisorCall> Controller for VirtualGic<C> {
    /// The manifest of the SPMC must have given the interrupt to this partition: else the call fails.
    fn claim(&mut self, intid: u32, _trigger: Trigger) -> bool {
        self.enable(intid, 0)
    }

    fn acknowledge(&mut self) -> Option<u32> {
        let answer = self.way.hypervisor_call([abi::GET, 0, 0, 0]) & abi::NONE;
        u32::try_from(answer).ok().filter(|intid| u64::from(*intid) != abi::NONE)
    }

    fn end(&mut self, intid: u32) {
        let intid = u64::from(intid);
        // A refusal says that it was not active: then there is nothing to end.
        let _refused = self.way.hypervisor_call([abi::DEACTIVATE, intid, intid, 0]);
    }

    fn open(&mut self, intid: u32) {
        self.enable(intid, 1);
    }

    fn close(&mut self, intid: u32) {
        self.enable(intid, 0);
    }
}
