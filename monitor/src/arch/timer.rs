//! Owns time: the physical counter and this core's EL2 timer. Never decides what a deadline is for.

use super::sysreg::{isb, read_sysreg, write_sysreg};

/// Interrupt of the EL2 physical timer: PPI 10.
pub(crate) const TIMER_PPI: u32 = 10;

/// Ticks of the counter since power-on.
pub(crate) fn now() -> u64 {
    isb();
    read_sysreg!("cntpct_el0")
}

/// Converts milliseconds to ticks.
pub(crate) fn ticks_of_ms(ms: u64) -> u64 {
    read_sysreg!("cntfrq_el0") * ms / 1000
}

/// Arms the timer for a deadline in ticks.
pub(crate) fn arm(deadline: u64) {
    write_sysreg!("cnthp_cval_el2", deadline);
    // Enabled, not masked.
    write_sysreg!("cnthp_ctl_el2", 1);
    isb();
}

/// Stops the timer; its interrupt line falls.
pub(crate) fn disarm() {
    write_sysreg!("cnthp_ctl_el2", 0);
    isb();
}
