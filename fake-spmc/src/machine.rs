//! Owns what everybody on the fake machine shares: bytes, the page model, the clock. Never decides.

use crate::flash::Flash;
use crate::pages::PageModel;
use crate::ram::Ram;
use crate::wires::Wires;
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, PageAddr, PageRange};
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A machine without anybody on it.
#[derive(Debug)]
pub struct Machine {
    ram: Ram,
    pages: Mutex<PageModel>,
    ticks: AtomicU64,
    wires: Mutex<Wires>,
    flash: Flash,
}

/// Ticks of the clock in a millisecond.
pub const TICKS_PER_MS: u64 = 1000;

impl Machine {
    /// A machine with these banks of memory; nobody owns any of it yet.
    #[must_use]
    pub fn new(banks: &[PageRange]) -> Self {
        Self::of(Ram::new(banks))
    }

    /// The same, with memory that is there already.
    #[must_use]
    pub fn of(ram: Ram) -> Self {
        let pages = Mutex::new(PageModel::default());
        let wires = Mutex::default();
        let flash = Flash::default();
        Self { ram, pages, ticks: AtomicU64::new(1), wires, flash }
    }

    /// The bytes. What goes this way is not held against the page model: for the SPMC itself, and for
    /// pointers.
    #[must_use]
    pub const fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Looks at the page model, or moves it.
    pub fn pages<R>(&self, work: impl FnOnce(&mut PageModel) -> R) -> R {
        work(&mut self.pages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the secure interrupts, or moves them.
    pub fn wires<R>(&self, work: impl FnOnce(&mut Wires) -> R) -> R {
        work(&mut self.wires.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads as `who`; false (and a violation in the page model) where it does not map the bytes.
    #[must_use]
    pub fn read(&self, who: EndpointId, address: u64, into: &mut [u8]) -> bool {
        self.touch(who, address, into.len(), Permission::ReadOnly)
            && self.ram.read(address, into).is_some()
    }

    /// Writes as `who`; false (and a violation in the page model) where it does not map the bytes
    /// for writing.
    #[must_use]
    pub fn write(&self, who: EndpointId, address: u64, bytes: &[u8]) -> bool {
        self.touch(who, address, bytes.len(), Permission::ReadWrite)
            && self.ram.write(address, bytes).is_some()
    }

    fn touch(&self, who: EndpointId, address: u64, len: usize, permission: Permission) -> bool {
        let Some(end) = u64::try_from(len).ok().and_then(|len| address.checked_add(len)) else {
            return false;
        };
        let first = address & !4095;
        self.pages(|pages| {
            (first..end).step_by(4096).all(|page| {
                let page = PageAddr::new(page).and_then(|page| PageRange::new(page, 1));
                page.is_some_and(|page| pages.touch(who, page, permission))
            })
        })
    }

    /// The secure flash.
    #[must_use]
    pub const fn flash(&self) -> &Flash {
        &self.flash
    }

    /// The clock, in ticks.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub fn pass(&self, milliseconds: u64) {
        self.ticks.fetch_add(milliseconds.saturating_mul(TICKS_PER_MS), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::range;

    #[test]
    fn bytes_that_somebody_does_not_map_are_out_of_reach_and_the_attempt_is_recorded() {
        let vm = EndpointId::from_raw(1);
        let machine = Machine::new(&[range(0x8000_0000, 4)]);
        machine.pages(|pages| {
            pages.give(vm, range(0x8000_0000, 4));
            pages.map(vm, range(0x8000_0000, 2), Permission::ReadWrite);
        });
        assert!(machine.write(vm, 0x8000_0ffe, &[1, 2, 3, 4]));
        let mut back = [0; 4];
        assert!(machine.read(vm, 0x8000_0ffe, &mut back));
        assert_eq!((back, machine.pages(|pages| pages.violations().len())), ([1, 2, 3, 4], 0));
        assert!(!machine.read(vm, 0x8000_1fff, &mut back));
        assert!(!machine.write(EndpointId::from_raw(2), 0x8000_0000, &[1]));
        assert_eq!(machine.pages(|pages| pages.violations().len()), 2);
    }
}
