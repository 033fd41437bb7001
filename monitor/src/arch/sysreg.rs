//! Owns access to system registers and barriers; never knows what a value means.

/// Reads a system register into a `u64`.
macro_rules! read_sysreg {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no side effect beyond the value read; the monitor runs
        // at EL2, where every register that it names is readable.
        unsafe {
            core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack));
        }
        value
    }};
}

/// Writes a `u64` to a system register. Not a memory-clobber-free operation: memory accesses are
/// not moved across it. The caller adds an ISB where the change must be seen at once.
macro_rules! write_sysreg {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the monitor owns EL2 and the EL1 state of its VMs; each caller says at its call
        // why this value is right. No register named in this crate changes the monitor's own
        // translation except in `arch::mmu`, which maps its own code and stacks first.
        unsafe {
            core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack));
        }
    }};
}

pub(crate) use {read_sysreg, write_sysreg};

/// Instruction synchronisation barrier.
pub(crate) fn isb() {
    // SAFETY: a barrier changes no state.
    unsafe { core::arch::asm!("isb", options(nostack)) };
}

/// Waits until all earlier memory accesses, and cache or TLB maintenance, have completed.
pub(crate) fn dsb() {
    // SAFETY: a barrier changes no state.
    unsafe { core::arch::asm!("dsb sy", options(nostack)) };
}

/// Sleeps until an interrupt is pending, masked or not.
pub(crate) fn wfi() {
    // SAFETY: WFI only pauses this core; a pending interrupt ends it even where PSTATE masks it.
    unsafe { core::arch::asm!("dsb sy", "wfi", options(nostack)) };
}

/// Forgets every translation of EL1 and of stage 2, for all VMIDs, on all cores.
///
/// Called after a stage-2 entry was removed or narrowed: when it returns, no core uses the old one.
pub(crate) fn tlbi_all_guests() {
    // SAFETY: dropping cached translations never makes a wrong one; tables in memory stay as they
    // are. The first DSB makes the changed entries visible to the walkers, the second waits for
    // all cores.
    unsafe {
        core::arch::asm!("dsb ishst", "tlbi alle1is", "dsb ish", "isb", options(nostack));
    }
}

/// Returns the linear number of this core (16 cores a cluster on QEMU virt with GICv3).
pub(crate) fn core_number() -> usize {
    let mpidr = read_sysreg!("mpidr_el1");
    ((mpidr & 0xff) + ((mpidr >> 8) & 0xff) * 16) as usize
}
