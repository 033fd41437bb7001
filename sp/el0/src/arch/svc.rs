//! Owns the SVC instruction: registers out, registers back. Never interprets them.

use causeway_ffa::Regs;
use causeway_service::platform::Outgoing;
use core::arch::asm;

/// Issues one call and returns the answer, or the next message where the call waits. OP-TEE passes
/// x0-x7 both ways.
pub(crate) fn call(out: &Outgoing) -> Regs {
    let mut r = *out;
    // SAFETY: OP-TEE 4.10 brings x19-x30 and sp back (`sp_svc_store_registers`), but changes x15-x18
    // (seen; OPTEE-SVC): x8-x18 are given up. Of our memory it touches TX, RX, and what it maps or
    // unmaps on our demand, none of which is ever borrowed. This build has no floating-point state.
    unsafe {
        asm!("svc #0", inout("x0") r[0], inout("x1") r[1], inout("x2") r[2], inout("x3") r[3],
            inout("x4") r[4], inout("x5") r[5], inout("x6") r[6], inout("x7") r[7],
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
            out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            out("x18") _, options(nostack));
    }
    Regs::from_smc8(r)
}
