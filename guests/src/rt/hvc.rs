//! Owns the one instruction by which a guest calls the monitor; never knows what a call means.

/// PSCI SYSTEM_OFF: this VM goes off.
pub const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;

/// Monitor's vendor calls, for jobs and tests only.
pub mod vendor {
    /// x1 = 1 begin / 0 end of the transfer phase.
    pub const MARK: u64 = 0xc600_0001;
    /// x1 = VM: orderly kill; VM 1 only.
    pub const KILL: u64 = 0xc600_0002;
    /// x1 = VM: start it anew; VM 1 only.
    pub const RESTART: u64 = 0xc600_0003;
    /// x1 = IPA, x2 = 0 read / 1 write: x0 = 1 if this VM's stage 2 allows it.
    pub const PROBE: u64 = 0xc600_0004;
    /// x1 = how many stage-2 aborts skip the instruction instead of killing the VM.
    pub const FAULT_SKIP: u64 = 0xc600_0005;
    /// x0 = who made the last FFA_ERROR: 0 nobody, 1 the monitor, 2 the SPMC.
    pub const LAST_REFUSAL: u64 = 0xc600_0006;
    /// x1 = VM: what it owns (x1-x4) and what the partition charges to it (x5-x7).
    pub const AUDIT: u64 = 0xc600_0007;
    /// x1 = source, x2 = VM (0 nobody): who hears of its interrupts.
    pub const BIND: u64 = 0xc600_0018;
    /// x1 = core, x2 = 0 off / 1 on.
    pub const CORE: u64 = 0xc600_0019;
    /// x1 = how often the clock's interrupt is made to come without cause.
    pub const LIE: u64 = 0xc600_001a;
    /// x1 = doorbells, x2 = calls that reached the partition, since power-on.
    pub const COUNTS: u64 = 0xc600_0008;
}

/// Makes a call with x0-x7 and returns x0-x7.
#[expect(clippy::must_use_candidate, reason = "many calls are made for what they do")]
pub fn call(regs: [u64; 8]) -> [u64; 8] {
    let [x0, x1, x2, x3, x4, x5, x6, x7] = regs;
    let mut all = [0; 18];
    all[..8].copy_from_slice(&[x0, x1, x2, x3, x4, x5, x6, x7]);
    let [r0, r1, r2, r3, r4, r5, r6, r7, ..] = call_all(all);
    [r0, r1, r2, r3, r4, r5, r6, r7]
}

/// Makes a call with x0-x17. The upper half of x0 is not passed: a function id has 32 bits.
#[must_use]
pub fn call_all(regs: [u64; 18]) -> [u64; 18] {
    let [function, arguments @ ..] = regs;
    let [f0, f1, f2, f3, ..] = function.to_le_bytes();
    smccc::hvc64(u32::from_le_bytes([f0, f1, f2, f3]), arguments)
}
