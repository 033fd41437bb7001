//! Owns this VM's clock and rest; never waits without a bound.

use core::arch::asm;

/// Returns microseconds of the virtual counter.
#[must_use]
pub fn now_micros() -> u64 {
    let micros = u128::from(ticks()) * 1_000_000 / u128::from(frequency().max(1));
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// Returns nanoseconds of the virtual counter.
#[must_use]
pub fn now_nanos() -> u64 {
    let nanos = u128::from(ticks()) * 1_000_000_000 / u128::from(frequency().max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Returns CNTVCT_EL0.
#[must_use]
pub fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter; ISB keeps the read from being done early. No memory is touched.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack)) };
    ticks
}

/// Returns the counter's ticks in a second.
#[must_use]
pub fn frequency() -> u64 {
    let frequency: u64;
    // SAFETY: reads a constant register that EL1 may always read.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
    frequency
}

/// Rests until a notification is pending or some 10 ms have passed (the monitor traps WFI).
pub fn rest() {
    // SAFETY: WFI changes no register and no memory; others may change shared memory meanwhile,
    // so `nomem` is not claimed.
    unsafe { asm!("wfi", options(nostack)) };
}

/// How often a condition is looked at, however late it is: where the host stands still for a while,
/// the clock jumps, and nobody had the time that it shows.
const LEAST_LOOKS: u64 = 200;

/// Looks at `condition` until it holds, or `millis` have passed and everybody had a chance in them;
/// rests between.
pub fn wait_until(millis: u64, mut condition: impl FnMut() -> bool) -> bool {
    let end = now_micros().saturating_add(millis.saturating_mul(1000));
    let least = LEAST_LOOKS.min(millis / 10);
    for looks in 0_u64.. {
        let over = looks >= least && now_micros() >= end;
        if condition() {
            return true;
        }
        if over {
            break;
        }
        rest();
    }
    false
}
