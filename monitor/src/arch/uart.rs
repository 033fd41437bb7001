//! Owns UART0; prints whole lines. Never decides what is printed.

use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use core::fmt::{self, Write};
use core::ptr::NonNull;
use spin::Mutex;

/// Physical address of UART0. TF-A has set it up.
const UART0: usize = 0x0900_0000;

static LINE_LOCK: Mutex<()> = Mutex::new(());

fn write(args: fmt::Arguments<'_>) -> fmt::Result {
    let Some(registers) = NonNull::new(UART0 as *mut PL011Registers) else {
        return Ok(());
    };
    // SAFETY: UART0 is mapped as device memory for the whole life of the monitor, the VMs do not
    // map it, and LINE_LOCK (or the end of everything, in `print_last`) makes this the only user.
    let registers = unsafe { UniqueMmioPointer::new(registers) };
    let mut uart = Uart::new(registers);
    uart.write_fmt(args)?;
    uart.write_str("\r\n")
}

/// Prints a line.
pub(crate) fn print_line(args: fmt::Arguments<'_>) {
    let _lock = LINE_LOCK.lock();
    // Writing to the UART cannot fail; a `Display` that fails cuts its line short.
    write(args).unwrap_or_default();
}

/// Prints a line without the lock: the monitor is at its end and another core may hold it.
pub(crate) fn print_last(args: fmt::Arguments<'_>) {
    write(args).unwrap_or_default();
}

/// Prints a line of the monitor's own.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::arch::uart::print_line(format_args!("[mon] {}", format_args!($($arg)*)))
    };
}
pub(crate) use say;
