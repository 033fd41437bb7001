//! Owns the three call instructions of AArch64; never looks at a register's contents.
#![expect(unsafe_code, reason = "a call instruction can only be written in assembly")]

use super::Conduit;
use causeway_ffa::Regs;

/// Defines a conduit around one instruction. `$extra` lists what it clobbers beyond x0-x17.
macro_rules! conduit {
    ($(#[$doc:meta])* $name:ident, $instruction:literal $(, $extra:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Conduit for $name {
            #[inline]
            fn call(&self, regs: &mut Regs) {
                let file = regs.0.as_mut_ptr();
                // SAFETY:
                // 1. `file` is valid for 18 reads and writes: it comes from `&mut Regs`.
                // 2. The callee may change x0-x17 only (DEN0028 1.5, 2.6), and what this conduit
                //    lists beyond them; all are declared. `file` lies in a register that it keeps.
                // 3. No `nomem`: the callee reads and writes the RX, TX and shared pages during
                //    the call, so the compiler must not move accesses across it.
                // 4. The stack is not touched by the instruction (`nostack`); the flags are
                //    declared as changed, since `preserves_flags` is not claimed.
                unsafe {
                    core::arch::asm!(
                        "ldp x0, x1, [{file}]", "ldp x2, x3, [{file}, #16]",
                        "ldp x4, x5, [{file}, #32]", "ldp x6, x7, [{file}, #48]",
                        "ldp x8, x9, [{file}, #64]", "ldp x10, x11, [{file}, #80]",
                        "ldp x12, x13, [{file}, #96]", "ldp x14, x15, [{file}, #112]",
                        "ldp x16, x17, [{file}, #128]",
                        $instruction,
                        "stp x0, x1, [{file}]", "stp x2, x3, [{file}, #16]",
                        "stp x4, x5, [{file}, #32]", "stp x6, x7, [{file}, #48]",
                        "stp x8, x9, [{file}, #64]", "stp x10, x11, [{file}, #80]",
                        "stp x12, x13, [{file}, #96]", "stp x14, x15, [{file}, #112]",
                        "stp x16, x17, [{file}, #128]",
                        file = in(reg) file,
                        out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _,
                        out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
                        out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _,
                        out("x15") _, out("x16") _, out("x17") _,
                        $(out($extra) _,)*
                        options(nostack)
                    );
                }
            }
        }
    };
}

conduit! {
    /// Calls the hypervisor: what a virtual machine does.
    Hvc, "hvc #0"
}

conduit! {
    /// Calls the secure monitor: what a kernel without a hypervisor does, or one whose hypervisor traps it.
    Smc, "smc #0"
}

conduit! {
    /// Calls the kernel below: what a partition at S-EL0 does. OP-TEE 4.10 returns with x15-x18
    /// changed, so x18 is declared as well. Floating-point registers are not: this conduit is for
    /// soft-float builds. It is compiled, and run by nothing yet: this project has no caller at S-EL0.
    Svc, "svc #0", "x18"
}
