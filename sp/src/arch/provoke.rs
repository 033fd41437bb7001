//! Owns instructions that are meant to fault. Only for the feature `selftest`.

use core::arch::asm;

/// Reads eight bytes anywhere.
pub(crate) fn read(address: u64) -> u64 {
    let value: u64;
    // SAFETY: not safe, on purpose: a test asks for a fault, or reads memory of its own choice in
    // an image that is never shipped.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Writes eight bytes anywhere.
pub(crate) fn write(address: u64) {
    // SAFETY: as in `read`.
    unsafe { asm!("str xzr, [{}]", in(reg) address, options(nostack)) };
}

/// Branches anywhere.
pub(crate) fn execute(address: u64) {
    // SAFETY: as in `read`.
    unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) };
}

/// Executes `fmov d0, xzr`, as a word: the assembler refuses it for a softfloat target.
pub(crate) fn floating_point() {
    // SAFETY: as in `read`.
    unsafe { asm!(".inst 0x9e6703e0", options(nostack)) };
}

/// Asks the MMU to translate for EL1.
pub(crate) fn translate(address: u64, write: bool) -> u64 {
    let result: u64;
    if write {
        // SAFETY: AT and PAR_EL1 change nothing but PAR_EL1, which nobody else uses.
        unsafe {
            asm!("at s1e1w, {}", "isb", "mrs {}, par_el1", in(reg) address, out(reg) result,
                options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!("at s1e1r, {}", "isb", "mrs {}, par_el1", in(reg) address, out(reg) result,
                options(nostack, preserves_flags));
        }
    }
    result
}
