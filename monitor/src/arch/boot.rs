//! Owns how a core gets from EL3 into Rust: entry, stacks, secondary cores, the end. Never decides
//! what a core does then.

use super::{mmu, smc, sysreg, uart, vcpu};
use aarch64_rt::{InitialPagetable, Stack, entry, initial_pagetable, start_core};
use causeway_monitor::layout::{MAX_CORES, PhysRange};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;

/// Pages in a core's stack.
const STACK_PAGES: usize = 12;

/// A stack with an unmapped page below it.
#[repr(C, align(4096))]
pub(crate) struct GuardedStack {
    guard: [u8; 4096],
    stack: UnsafeCell<Stack<STACK_PAGES>>,
}

// SAFETY: each stack is given to exactly one core; nothing else looks into it.
unsafe impl Sync for GuardedStack {}

impl GuardedStack {
    const fn new() -> Self {
        Self { guard: [0; 4096], stack: UnsafeCell::new(Stack::new()) }
    }

    /// Returns the page that must not be mapped.
    pub(crate) fn guard(&self) -> PhysRange {
        PhysRange { base: self.guard.as_ptr() as u64, len_bytes: self.guard.len() as u64 }
    }
}

/// One stack per core.
pub(crate) static STACKS: [GuardedStack; MAX_CORES] = [const { GuardedStack::new() }; MAX_CORES];

const DEVICE_BLOCK: usize = 1 | 1 << 10 | 1 << 54;
const MEMORY_BLOCK: usize = 1 | 1 << 2 | 3 << 8 | 1 << 10;

// The table of the start-up code: the first GiB is devices, then RAM, in blocks of 1 GiB. Every
// core leaves it as soon as it runs Rust (`mmu::activate`).
initial_pagetable!({
    let mut table = [0; 512];
    table[0] = DEVICE_BLOCK;
    table[1] = 0x4000_0000 | MEMORY_BLOCK;
    table[2] = 0x8000_0000 | MEMORY_BLOCK;
    InitialPagetable(table)
});

entry!(first_core, 8);

fn first_core(_arg0: u64, _arg1: u64, _arg2: u64, _arg3: u64) -> ! {
    vcpu::set_vectors();
    mmu::build();
    mmu::activate();
    let top = STACKS[0].stack.get().wrapping_add(1) as usize;
    // SAFETY: the new stack is mapped, 16-byte aligned and used by nothing else; nothing on the
    // start-up stack is needed any more, since `first_core_main` never returns.
    unsafe {
        core::arch::asm!("mov sp, {}", "b {}", in(reg) top, sym first_core_main, options(noreturn));
    }
}

extern "C" fn first_core_main() -> ! {
    crate::hyp::boot()
}

/// Starts core `core` (a linear number, not 0) in `crate::hyp::run_core`.
///
/// Returns whether EL3 accepted; it refuses cores that the machine does not have.
pub(crate) fn start(core: usize) -> bool {
    let Some(stack) = STACKS.get(core) else { return false };
    // SAFETY: the stack belongs to this core alone, lives for ever, and is mapped with the same
    // attributes in the table of the start-up code and in the final one (the guard page is not
    // part of it). A core is started once, and again only when EL3 has said that it is off.
    let started = unsafe {
        start_core::<smccc::Smc, _, STACK_PAGES>(core as u64, stack.stack.get(), move || {
            vcpu::set_vectors();
            mmu::activate();
            crate::hyp::run_core(core)
        })
    };
    started.is_ok()
}

/// Where the linker put the parts of the image.
pub(crate) struct Sections {
    /// Code.
    pub(crate) text: PhysRange,
    /// Constants.
    pub(crate) rodata: PhysRange,
    /// Variables and stacks, to the end of the image's region.
    pub(crate) data: PhysRange,
}

unsafe extern "C" {
    safe static text_begin: [u8; 0];
    safe static text_end: [u8; 0];
    safe static rodata_begin: [u8; 0];
    safe static rodata_end: [u8; 0];
    safe static data_begin: [u8; 0];
    safe static dma_region: [u8; 0];
}

impl Sections {
    /// Reads the linker's symbols; each section begins on a page of its own.
    pub(crate) fn of_image() -> Self {
        let range = |begin: &[u8; 0], end: &[u8; 0]| {
            let (begin, end) = (begin.as_ptr() as u64, end.as_ptr() as u64);
            PhysRange { base: begin, len_bytes: end.next_multiple_of(4096) - begin }
        };
        Self {
            text: range(&text_begin, &text_end),
            rodata: range(&rodata_begin, &rodata_end),
            data: range(&data_begin, &dma_region),
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    uart::print_last(format_args!("[mon] PANIC core={} {info}", sysreg::core_number()));
    smc::system_off()
}
