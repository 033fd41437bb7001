//! Owns the EL1 runtime of a guest: entry, first page table, heap, panic, power off; never a test.

pub mod access;
pub mod c;
pub mod client;
pub mod console;
pub mod heap;
pub mod hvc;
pub mod interrupt;
pub mod layout;
pub mod pages;
pub mod registers;
pub mod second;
pub mod signal;
pub mod thread;
pub mod time;

mod panic;

use crate::cmdline::CommandLine;
use alloc::string::String;
use alloc::vec::Vec;

pub use aarch64_rt;

/// What a program learns at its start.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// The command line.
    pub line: CommandLine<'static>,
    /// This VM's id: 1, 2 or 3.
    pub vm: u16,
    /// Whether the monitor is the raw build.
    pub raw: bool,
}

/// Exceptions that a guest takes: of the doorbell's interrupt; any other ends the VM with a failed test.
pub struct Exceptions;

impl aarch64_rt::ExceptionHandlers for Exceptions {
    extern "C" fn sync_current(state: aarch64_rt::RegisterStateRef) {
        panic!("exception at {:#x} esr={:#x} far={:#x}", state.elr, panic::esr(), panic::far());
    }

    extern "C" fn irq_current(_state: aarch64_rt::RegisterStateRef) {
        interrupt::handle();
    }
}

/// Builds a guest image: entry, vectors, page table, and a call of `$program` with its [`Boot`].
#[macro_export]
macro_rules! guest {
    ($program:path) => {
        mod entry {
            use $crate::rt::aarch64_rt;

            aarch64_rt::entry!(begin, 64);
            aarch64_rt::exception_handlers!($crate::rt::Exceptions);
            aarch64_rt::initial_pagetable!($crate::rt::layout::PAGE_TABLE);

            fn begin(command_line: u64, _x1: u64, _x2: u64, _x3: u64) -> ! {
                $crate::rt::run(command_line, $program)
            }
        }
    };
}

/// Sets up the heap, reads the command line, runs the program and switches the VM off.
pub fn run(command_line: u64, program: fn(&Boot)) -> ! {
    heap::init();
    let text: &'static str = String::leak(read_command_line(command_line));
    let line = CommandLine::new(text);
    let vm = line.number("vm").and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
    signal::set_own_id(vm);
    pages::init(&line);
    program(&Boot { line, vm, raw: line.is_set("raw") });
    power_off()
}

/// Copies the NUL-terminated command line; at most one page, which the monitor wrote for us.
fn read_command_line(address: u64) -> String {
    let mut bytes = Vec::new();
    for offset in 0..layout::PAGE_LEN {
        match access::read_u8(address.wrapping_add(offset)) {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Switches this VM off (PSCI SYSTEM_OFF).
pub fn power_off() -> ! {
    loop {
        hvc::call([hvc::PSCI_SYSTEM_OFF, 0, 0, 0, 0, 0, 0, 0]);
    }
}
