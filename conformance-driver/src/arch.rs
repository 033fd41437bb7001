//! Owns the machine: entry, SMC, the counter, memory, the console, the end. The only unsafe room here.

mod second;

use aarch64_rt::{InitialPagetable, entry, initial_pagetable};
use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use causeway_conformance::Machine;
use causeway_ffa::Regs;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::ops::Range;
use core::panic::PanicInfo;
use core::ptr::NonNull;

const DEVICE_BLOCK: usize = 1 | 1 << 10 | 1 << 54;
const MEMORY_BLOCK: usize = 1 | 1 << 2 | 3 << 8 | 1 << 10;

// The first GiB is devices, then two of RAM.
initial_pagetable!({
    let mut table = [0; 512];
    table[0] = DEVICE_BLOCK;
    table[1] = 0x4000_0000 | MEMORY_BLOCK;
    table[2] = 0x8000_0000 | MEMORY_BLOCK;
    InitialPagetable(table)
});

entry!(start, 64);

fn start(_: u64, _: u64, _: u64, _: u64) -> ! {
    crate::suite::run_all();
    system_off()
}

/// The bare machine.
pub(crate) struct Bare;

impl Machine for Bare {
    fn smc(&mut self, regs: &Regs) -> Regs {
        smc(regs)
    }

    fn smc_on_second_core(&mut self, regs: &Regs) -> Option<Regs> {
        second::smc(regs)
    }

    fn message_pages(&self) -> (u64, u64) {
        message_pages()
    }

    fn write_tx(&mut self, bytes: &[u8]) {
        write_tx(bytes);
    }

    fn read_rx(&mut self, into: &mut [u8]) {
        read_rx(into);
    }

    fn read_ram(&mut self, address: u64, into: &mut [u8]) {
        read_ram(address, into);
    }

    fn write_ram(&mut self, address: u64, from: &[u8]) {
        write_ram(address, from);
    }
}

/// Makes a call with x0-x7.
fn smc(regs: &Regs) -> Regs {
    let mut r = regs.smc8();
    // SAFETY: SMCCC: EL3 and the partition change x0-x17 only, and of our memory only the two
    // message pages and what was shared, none of which is ever borrowed.
    unsafe {
        asm!("smc #0", inout("x0") r[0], inout("x1") r[1], inout("x2") r[2], inout("x3") r[3],
            inout("x4") r[4], inout("x5") r[5], inout("x6") r[6], inout("x7") r[7],
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
            out("x14") _, out("x15") _, out("x16") _, out("x17") _, options(nostack));
    }
    Regs::from_smc8(r)
}

/// The physical counter.
pub(crate) fn now() -> u64 {
    let value: u64;
    // SAFETY: reading the counter changes nothing; the barrier keeps it in its place.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) value, options(nostack)) };
    value
}

/// Bytes in a message page.
const PAGE_BYTES: usize = 4096;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; PAGE_BYTES]>);

// SAFETY: one core runs, and EL3 touches the pages only inside its calls.
unsafe impl Sync for Page {}

static TX: Page = Page(UnsafeCell::new([0; PAGE_BYTES]));
static RX: Page = Page(UnsafeCell::new([0; PAGE_BYTES]));

/// Physical addresses of TX and RX.
fn message_pages() -> (u64, u64) {
    (TX.0.get() as u64, RX.0.get() as u64)
}

/// Puts a message into TX.
fn write_tx(bytes: &[u8]) {
    for (index, byte) in bytes.iter().take(PAGE_BYTES).enumerate() {
        let pointer = TX.0.get().cast::<u8>().wrapping_add(index);
        // SAFETY: `index` is below the page's size.
        unsafe { pointer.write_volatile(*byte) };
    }
}

/// Copies the beginning of RX.
fn read_rx(into: &mut [u8]) {
    for (index, byte) in into.iter_mut().take(PAGE_BYTES).enumerate() {
        let pointer = RX.0.get().cast::<u8>().wrapping_add(index);
        // SAFETY: as in `write_tx`.
        *byte = unsafe { pointer.read_volatile() };
    }
}

/// RAM that stands for VMs': mapped read-write, used by nobody but the partition.
const VM_RAM: Range<u64> = 0x7000_0000..0xa800_0000;

fn in_ram(address: u64, bytes: usize) -> *mut u8 {
    let end = address + bytes as u64;
    assert!(VM_RAM.start <= address && end <= VM_RAM.end, "not RAM of VMs: {address:#x}");
    address as usize as *mut u8
}

/// Writes bytes of a VM's RAM.
fn write_ram(address: u64, bytes: &[u8]) {
    let start = in_ram(address, bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        // SAFETY: the address is in RAM that no Rust object lies in.
        unsafe { start.wrapping_add(index).write_volatile(*byte) };
    }
}

/// Reads bytes of a VM's RAM.
fn read_ram(address: u64, into: &mut [u8]) {
    let start = in_ram(address, into.len());
    for (index, byte) in into.iter_mut().enumerate() {
        // SAFETY: as in `write_ram`.
        *byte = unsafe { start.wrapping_add(index).read_volatile() };
    }
}

/// Prints a line.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    const UART0: usize = 0x0900_0000;
    let Some(registers) = NonNull::new(UART0 as *mut PL011Registers) else { return };
    // SAFETY: UART0 is mapped as device memory, TF-A has set it up, and one core runs.
    let registers = unsafe { UniqueMmioPointer::new(registers) };
    // Writing to the UART cannot fail.
    write!(Uart::new(registers), "[conf] {text}\r\n").unwrap_or_default();
}

/// Switches the machine off.
fn system_off() -> ! {
    let mut regs = Regs::ZERO;
    regs.0[0] = 0x8400_0008;
    smc(&regs);
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    say(format_args!("PANIC {}:{} {}", place.0, place.1, info.message()));
    system_off()
}
