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
