//! The console of tests: kept.

use core::fmt;

pub(crate) fn print_line(args: fmt::Arguments<'_>) {
    super::world(|world| world.lines.push(args.to_string()));
}

macro_rules! say {
    ($($arg:tt)*) => {
        $crate::arch::uart::print_line(format_args!("[mon] {}", format_args!($($arg)*)))
    };
}
pub(crate) use say;
