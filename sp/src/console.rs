//! Owns the partition's log lines, each of which begins with `[sp] `. Never prints contents of
//! shared memory, and nothing that a caller could flood: boot, maps, failures.

/// Prints one line on the secure UART.
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::console::line(format_args!($($argument)*))
    };
}
pub(crate) use log;

/// Prints one line; a line that the UART would not take is lost.
pub(crate) fn line(args: core::fmt::Arguments<'_>) {
    if crate::arch::uart::print(format_args!("[sp] {args}\n")).is_err() {
        LOST_LINES.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    }
}

/// Lines that could not be printed, for a debugger.
static LOST_LINES: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
