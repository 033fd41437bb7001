//! Owns the exception vectors. Every exception is a bug of ours, since interrupts stay masked:
//! each entry leaves the broken stack, keeps what tells the cause, and never returns.

use crate::arch::entry;
use crate::core_id::{CORES, CoreId};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};

/// Top of the crash stack of each core: the vector code has no room to compute it.
static CRASH_TOPS: [AtomicU64; CORES] = [const { AtomicU64::new(0) }; CORES];

global_asm!(
    ".section .text.causeway_vectors, \"ax\"",
    ".balign 0x800",
    ".global causeway_vectors",
    "causeway_vectors:",
    ".set kind, 0",
    ".rept 16",
    ".balign 0x80",
    "mov x0, #kind",
    "b 90f",
    ".set kind, kind + 1",
    ".endr",
    ".balign 0x80",
    // x0 = number of the vector. The stack pointer may be what broke: take the core's crash stack.
    "90:",
    "mov x1, sp",
    "mov x2, x30",
    "mrs x3, mpidr_el1",
    "ubfx x4, x3, #8, #8",
    "and x3, x3, #0xff",
    "add x3, x3, x4, lsl #4",
    "cmp x3, {cores}",
    "b.hs 91f",
    "adrp x4, {tops}",
    "add x4, x4, :lo12:{tops}",
    "ldr x4, [x4, x3, lsl #3]",
    "cbz x4, 91f",
    "mov sp, x4",
    "mov x29, xzr",
    "mov x30, xzr",
    "b {exception}",
    // No stack is left to report on.
    "91: wfe",
    "b 91b",
    cores = const CORES,
    tops = sym CRASH_TOPS,
    exception = sym exception,
);

unsafe extern "C" {
    /// The table above.
    static causeway_vectors: u8;
}

/// Points this core's exceptions at our vectors.
pub(crate) fn install(core: CoreId) {
    if let Some(top) = CRASH_TOPS.get(core.get()) {
        top.store(entry::crash_stack_top(core) as u64, Ordering::Release);
    }
    let base = (&raw const causeway_vectors) as u64;
    // SAFETY: `base` is a 2 KiB aligned table of 16 entries in the image's code, mapped for ever.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) base, options(nostack, preserves_flags)) };
}

/// Runs on the crash stack.
extern "C" fn exception(vector: u64, stack_pointer: u64, link: u64) -> ! {
    crate::crash::on_exception(vector, stack_pointer, link)
}
