//! Owns the SMC instruction: registers out, registers back. Never interprets them.
//!
//! The EL3 SPMC of TF-A 2.12 passes x0-x7 only; x8-x17 go out as zero, so that nothing leaks, but
//! for an answer to FFA_MSG_SEND_DIRECT_REQ2, which newer ones deliver.

use causeway_ffa::Regs;
use causeway_service::platform::Outgoing;

/// Issues one call and returns the answer, or the next message where the call waits.
pub(crate) fn call(out: &Outgoing) -> Regs {
    let mut args = [0; 17];
    let [x0, seven @ ..] = out;
    args[..seven.len()].copy_from_slice(seven);
    // A function ID is 32 bits; what stands above it is not ours to pass on.
    let [a, b, c, d, ..] = x0.to_le_bytes();
    Regs(smccc::smc64(u32::from_le_bytes([a, b, c, d]), args))
}

/// Issues one call with all of its registers.
pub(crate) fn call_all(out: &Regs) -> Regs {
    let Regs([x0, args @ ..]) = out;
    let [a, b, c, d, ..] = x0.to_le_bytes();
    Regs(smccc::smc64(u32::from_le_bytes([a, b, c, d]), *args))
}
