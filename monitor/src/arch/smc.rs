//! Owns the way to EL3; never knows what a call means.

/// The registers of an FF-A call under SMCCC 1.1: x0-x7.
pub(crate) type Regs8 = [u64; 8];

const PSCI_SYSTEM_OFF: u32 = 0x8400_0008;

/// Makes a call and returns x0-x7 of the answer.
pub(crate) fn call(regs: &Regs8) -> Regs8 {
    let mut args = [0; 17];
    args[..7].copy_from_slice(&regs[1..]);
    // FF-A and PSCI function ids are 32-bit; the upper half of x0 is ignored by SMCCC.
    let answer = smccc::smc64(regs[0] as u32, args);
    let mut out = [0; 8];
    out.copy_from_slice(&answer[..8]);
    out
}

/// Switches the machine off.
pub(crate) fn system_off() -> ! {
    call(&[u64::from(PSCI_SYSTEM_OFF), 0, 0, 0, 0, 0, 0, 0]);
    loop {
        super::sysreg::wfi();
    }
}

/// PSCI CPU_OFF, AFFINITY_INFO (SMC64), and its answer for a core that is off. Source: DEN0022, 5.1.
const PSCI_CPU_OFF: u64 = 0x8400_0002;
const PSCI_AFFINITY_INFO: u64 = 0xc400_0004;
const OFF: u64 = 1;

/// Switches this core off. Returns only if EL3 refuses.
pub(crate) fn core_off() {
    call(&[PSCI_CPU_OFF, 0, 0, 0, 0, 0, 0, 0]);
}

/// PSCI CPU_SUSPEND (SMC64), and the one power state of TF-A's platform for QEMU that it can enter: core
/// standby. Its power-down states are listed there and not implemented.
const PSCI_CPU_SUSPEND: u64 = 0xc400_0001;
const STANDBY: u64 = 1;

/// Suspends this core until an interrupt is pending; false if EL3 refuses.
pub(crate) fn core_standby() -> bool {
    let [answer, ..] = call(&[PSCI_CPU_SUSPEND, STANDBY, 0, 0, 0, 0, 0, 0]);
    answer == 0
}

/// Reports whether a core is off.
pub(crate) fn is_off(core: usize) -> bool {
    let mpidr = (((core / 16) << 8) | (core % 16)) as u64;
    let [answer, ..] = call(&[PSCI_AFFINITY_INFO, mpidr, 0, 0, 0, 0, 0, 0]);
    answer == OFF
}
