//! A processor of tests: it runs no program.

use causeway_monitor::layout::Processor;
use causeway_monitor::trap::Trap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Trap(Trap),
    Interrupt,
    SystemError,
}

#[derive(Clone, Debug)]
pub(crate) struct Vcpu {
    starts: u64,
    pub(crate) entry: u64,
    pub(crate) argument: u64,
}

impl Vcpu {
    pub(crate) const fn new() -> Self {
        Self { starts: 0, entry: 0, argument: 0 }
    }

    pub(crate) fn reset(&mut self, entry: u64, argument: u64) {
        *self = Self { starts: self.starts + 1, entry, argument };
    }

    pub(crate) fn starts(&self) -> u64 {
        self.starts
    }

    pub(crate) fn load(&self, _processor: Processor, _stage2_root: u64) {}

    pub(crate) fn save(&mut self) {}

    pub(crate) fn run(&mut self) -> Exit {
        Exit::Interrupt
    }

    pub(crate) fn arguments(&self) -> [u64; 8] {
        [0; 8]
    }

    pub(crate) fn answer(&mut self, _regs: &[u64; 8]) {}

    pub(crate) fn skip_instruction(&mut self) {}

    pub(crate) fn inject_undefined(&mut self) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VirtualIrq {
    Pending,
    None,
}

pub(crate) fn show_interrupt(_line: VirtualIrq) {}

pub(crate) fn init_core() {}
