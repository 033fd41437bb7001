//! Owns the partition's log lines, each of which begins with `[sp] `. Never prints contents of
//! shared memory; lines that a caller can cause are rationed.

use crate::arch::{regs, uart};
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Prints one line on the secure UART: start-up and failures of our own.
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::console::line(format_args!($($argument)*))
    };
}
pub(crate) use log;

/// Prints one line that a caller caused, as long as the ration lasts.
macro_rules! log_rationed {
    ($($argument:tt)*) => {
        $crate::console::rationed_line(format_args!($($argument)*))
    };
}
pub(crate) use log_rationed;

/// Rationed lines that may follow each other without a pause.
const RATION: u32 = 512;

/// Lines of the ration that were used since it was last filled.
static USED: AtomicU32 = AtomicU32::new(0);
/// The second in which it was last filled.
static FILLED_AT: AtomicU64 = AtomicU64::new(0);
/// Lines that could not be printed or exceeded the ration, for a debugger.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Prints one line; a line that the UART would not take is lost.
pub(crate) fn line(args: fmt::Arguments<'_>) {
    if uart::print(format_args!("[sp] {args}\n")).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Prints one line while the ration of this second lasts.
pub(crate) fn rationed_line(args: fmt::Arguments<'_>) {
    let second = regs::now() / regs::counter_frequency().max(1);
    if FILLED_AT.swap(second, Ordering::Relaxed) != second {
        USED.store(0, Ordering::Relaxed);
    }
    if USED.fetch_add(1, Ordering::Relaxed) < RATION {
        line(args);
    } else {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}
