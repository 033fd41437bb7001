//! Owns the call that shows which registers a call changes: x8-x30 are filled before and stored
//! after. Never knows what is called.

use core::arch::global_asm;

/// x0 to x30.
pub type File = [u64; 31];

/// By which instruction the monitor is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// HVC.
    Hvc,
    /// SMC, which the monitor traps.
    Smc,
}

// AAPCS64: x19-x30 and SP are the caller's; they are kept on the stack meanwhile.
global_asm!(
    ".macro call_with_all_registers name, instruction",
    ".global \\name",
    "\\name:",
    "stp x29, x30, [sp, #-128]!",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp x0, x18, [sp, #96]",
    "ldp x2, x3, [x0, #16]",
    "ldp x4, x5, [x0, #32]",
    "ldp x6, x7, [x0, #48]",
    "ldp x8, x9, [x0, #64]",
    "ldp x10, x11, [x0, #80]",
    "ldp x12, x13, [x0, #96]",
    "ldp x14, x15, [x0, #112]",
    "ldp x16, x17, [x0, #128]",
    "ldp x18, x19, [x0, #144]",
    "ldp x20, x21, [x0, #160]",
    "ldp x22, x23, [x0, #176]",
    "ldp x24, x25, [x0, #192]",
    "ldp x26, x27, [x0, #208]",
    "ldp x28, x29, [x0, #224]",
    "ldr x30, [x0, #240]",
    "ldp x0, x1, [x0]",
    "\\instruction #0",
    "str x0, [sp, #112]",
    "ldr x0, [sp, #96]",
    "str x1, [x0, #8]",
    "ldr x1, [sp, #112]",
    "str x1, [x0]",
    "stp x2, x3, [x0, #16]",
    "stp x4, x5, [x0, #32]",
    "stp x6, x7, [x0, #48]",
    "stp x8, x9, [x0, #64]",
    "stp x10, x11, [x0, #80]",
    "stp x12, x13, [x0, #96]",
    "stp x14, x15, [x0, #112]",
    "stp x16, x17, [x0, #128]",
    "stp x18, x19, [x0, #144]",
    "stp x20, x21, [x0, #160]",
    "stp x22, x23, [x0, #176]",
    "stp x24, x25, [x0, #192]",
    "stp x26, x27, [x0, #208]",
    "stp x28, x29, [x0, #224]",
    "str x30, [x0, #240]",
    "ldr x18, [sp, #104]",
    "ldp x27, x28, [sp, #80]",
    "ldp x25, x26, [sp, #64]",
    "ldp x23, x24, [sp, #48]",
    "ldp x21, x22, [sp, #32]",
    "ldp x19, x20, [sp, #16]",
    "ldp x29, x30, [sp], #128",
    "ret",
    ".endm",
    "call_with_all_registers causeway_hvc_with_all_registers, hvc",
    "call_with_all_registers causeway_smc_with_all_registers, smc",
);

unsafe extern "C" {
    fn causeway_hvc_with_all_registers(file: *mut File);
    fn causeway_smc_with_all_registers(file: *mut File);
}

/// Makes a call with all of these registers and returns what they hold afterwards.
#[must_use]
pub fn call(conduit: Conduit, mut file: File) -> File {
    let pointer = &raw mut file;
    match conduit {
        // SAFETY: the function above uses its own stack frame and the array that it is given, and
        // keeps to AAPCS64; the callee of the call changes shared memory only where it is asked to.
        Conduit::Hvc => unsafe { causeway_hvc_with_all_registers(pointer) },
        // SAFETY: as above.
        Conduit::Smc => unsafe { causeway_smc_with_all_registers(pointer) },
    }
    file
}
