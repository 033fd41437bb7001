//! Owns the reading of the counter of time; never knows why.
//!
//! At EL0 it traps unless CNTKCTL_EL1.EL0PCTEN is set: `docs/spmc-facts.md`, OPTEE-CLOCK.

use core::arch::asm;

/// Returns the counter of time.
pub(crate) fn now() -> u64 {
    let value: u64;
    // SAFETY: the barrier and the reading of the counter change nothing.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Returns its ticks in a second.
pub(crate) fn frequency() -> u64 {
    let value: u64;
    // SAFETY: reading the register changes nothing.
    unsafe {
        asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}
