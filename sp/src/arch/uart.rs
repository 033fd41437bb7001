//! Owns the secure UART (a PL011 at 0x0904_0000); never decides what is printed.

use super::bounded;
use arm_pl011_uart::{Interrupts, PL011Registers, Uart, UniqueMmioPointer};
use core::fmt::{self, Write};
use core::ptr::NonNull;
use spin::mutex::SpinMutex;

/// The secure UART of QEMU's virt machine. Mapped for the whole life of the partition.
pub(crate) const UART_BASE: usize = 0x0904_0000;

static UART: SpinMutex<Option<Uart<'static>>> = SpinMutex::new(None);

/// Makes the UART usable. TF-A does not touch it; QEMU needs no line set-up.
pub(crate) fn init() {
    let Some(registers) = NonNull::new(UART_BASE as *mut PL011Registers) else { return };
    let mut uart = UART.lock();
    if uart.is_some() {
        return;
    }
    // SAFETY: the address is the secure UART's register page, device memory that is mapped from
    // before this call to the end; the pointer is made once, and stays inside the lock.
    let pointer = unsafe { UniqueMmioPointer::new(registers) };
    *uart = Some(Uart::new(pointer));
}

/// Prints while nobody else does. Gives up where the UART stays taken: its owner may have crashed.
pub(crate) fn print(args: fmt::Arguments<'_>) -> fmt::Result {
    with(|uart| uart.write_fmt(args)).unwrap_or(Err(fmt::Error))
}

/// What it interrupts for by itself: characters that came.
const ARRIVALS: Interrupts = Interrupts::RXI.union(Interrupts::RTI);
/// Most characters that it holds.
const FIFO: usize = 32;

/// Makes the UART let go of its line, and takes the characters that came; returns how many. They are told
/// to nobody. Where it stays taken its interrupt is masked all the same.
pub(crate) fn quiet() -> u32 {
    let taken = with(|uart| {
        uart.set_interrupt_masks(Interrupts::empty());
        // Not the arrivals: one that comes now keeps its reason until it is taken.
        uart.clear_interrupts(Interrupts::all().difference(ARRIVALS));
        let mut taken = 0;
        for _ in 0..FIFO {
            match uart.read_word() {
                Ok(None) => break,
                // A character with an error has come as well.
                Ok(Some(_)) | Err(_) => taken += 1,
            }
        }
        taken
    });
    taken.unwrap_or(0)
}

/// Lets characters that come raise the line again; one that waits does so at once.
pub(crate) fn rearm() {
    let _armed: Option<()> = with(|uart| {
        let masks = uart.interrupt_masks();
        uart.set_interrupt_masks(masks | ARRIVALS);
    });
}

/// Makes the UART raise its line when it has sent what is printed next: one line, now. While it is
/// raised, nothing more is printed: a VM that asks for more prints no more than it is let have interrupts.
pub(crate) fn provoke() {
    // The line says what it is for; that it could not be printed is seen by what does not come.
    let _printed: Option<fmt::Result> = with(|uart| {
        if uart.interrupt_masks().contains(Interrupts::TXI) {
            return Ok(());
        }
        uart.set_interrupt_masks(Interrupts::TXI | ARRIVALS);
        uart.write_str("[sp] the UART was made to interrupt\n")
    });
}

fn with<R>(work: impl FnOnce(&mut Uart<'static>) -> R) -> Option<R> {
    bounded::lock(&UART)?.as_mut().map(work)
}
