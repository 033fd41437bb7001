//! Owns the interrupt controller that Hafnium plays for a partition: the hypervisor calls, and which core an
//! interrupt is opened on. Never touches a register of a GIC: Hafnium keeps it to itself.

use crate::core_id::CoreId;
use causeway_abi::Trigger;
use causeway_service::platform::Controller;
use causeway_service::virtual_gic::{HypervisorCall, VirtualGic};
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// There is no controller to be mapped.
pub(crate) const DISTRIBUTOR: Range<usize> = 0..0;
/// Nor these.
pub(crate) const REDISTRIBUTORS: Range<usize> = 0..0;
/// What one of these would have.
pub(crate) const FRAME: usize = 0x2_0000;

/// The interrupt of the timer that Hafnium keeps for each virtual core (HF_VIRTUAL_TIMER_INTID).
pub(crate) const TIMER: u32 = 3;
/// Makes another core come into the partition (HF_IPI_INTID).
const COME: u32 = 9;
/// HF_INTERRUPT_SEND_IPI: x1 = virtual core.
const SEND_IPI: u64 = 0xff0a;

/// Whether each core's timer is the partition's.
static TIMER_CLAIMED: AtomicBool = AtomicBool::new(false);
/// The cores that run.
static ONLINE: AtomicU32 = AtomicU32::new(0);

/// The HVC instruction.
struct Hvc;

impl HypervisorCall for Hvc {
    fn hypervisor_call(&mut self, [x0, x1, x2, x3]: [u64; 4]) -> u64 {
        let answer;
        // SAFETY: a call of Hafnium's about this virtual core's interrupts; it changes no memory of ours,
        // and registers as SMCCC lets it: x0-x17, all named. No `nomem`: what an interrupt stands for is
        // stored before it is ended.
        unsafe {
            asm!("hvc #0", inout("x0") x0 => answer, inout("x1") x1 => _, inout("x2") x2 => _,
                inout("x3") x3 => _, out("x4") _, out("x5") _, out("x6") _, out("x7") _,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
                out("x14") _, out("x15") _, out("x16") _, out("x17") _, options(nostack));
        }
        answer
    }
}

const fn virtual_gic() -> VirtualGic<Hvc> {
    VirtualGic::new(Hvc)
}

/// Nothing is to be made.
pub(crate) const fn init() {}

/// This core runs and takes interrupts from now on.
pub(crate) fn core_comes(core: CoreId) {
    ONLINE.fetch_or(1 << core.get(), Ordering::AcqRel);
    open(core, COME);
    if TIMER_CLAIMED.load(Ordering::Acquire) {
        open(core, TIMER);
    }
}

/// This core is about to be switched off. With `call`, another one comes into the partition. Where shared
/// interrupts go then is Hafnium's to say.
pub(crate) fn core_leaves(core: CoreId, call: bool) {
    let left = ONLINE.fetch_and(!(1 << core.get()), Ordering::AcqRel) & !(1 << core.get());
    if call && left != 0 {
        let other = u64::from(left.trailing_zeros());
        let _sent = Hvc.hypervisor_call([SEND_IPI, other, 0, 0]);
    }
}

/// Makes an interrupt the partition's, which Hafnium does only where the manifest gives it.
pub(crate) fn claim(_core: CoreId, intid: u32, level: bool) -> bool {
    if intid == TIMER {
        TIMER_CLAIMED.store(true, Ordering::Release);
    }
    virtual_gic().claim(intid, if level { Trigger::Level } else { Trigger::Edge })
}

/// Lets an interrupt through, on the core that runs this.
pub(crate) fn open(_core: CoreId, intid: u32) {
    virtual_gic().open(intid);
}

/// Lets it through no more.
pub(crate) fn close(_core: CoreId, intid: u32) {
    virtual_gic().close(intid);
}

/// Takes the next interrupt that is pending for this core. What another core called us with is ended
/// here: to come was all that it wanted.
pub(crate) fn acknowledge() -> Option<u32> {
    loop {
        match virtual_gic().acknowledge()? {
            COME => end(COME),
            intid => return Some(intid),
        }
    }
}

/// Ends an interrupt that was taken.
pub(crate) fn end(intid: u32) {
    virtual_gic().end(intid);
}

/// Lets no interrupt that every core has come to this one any more.
pub(crate) fn silence_core() {
    for intid in [COME, TIMER] {
        virtual_gic().close(intid);
    }
}
