//! Owns reads and writes of single system registers; never knows why.

use crate::core_id::CoreId;
use core::arch::asm;

macro_rules! read_register {
    ($($(#[$doc:meta])* $function:ident = $register:literal;)+) => {
        $($(#[$doc])*
        pub(crate) fn $function() -> u64 {
            let value: u64;
            // SAFETY: reads one system register that S-EL1 may read; no memory, stack or flags.
            unsafe {
                asm!(concat!("mrs {}, ", $register), out(reg) value,
                    options(nomem, nostack, preserves_flags));
            }
            value
        })+
    };
}

read_register! {
    /// Multiprocessor affinity.
    mpidr = "mpidr_el1";
    /// Syndrome of the last exception taken to EL1.
    esr = "esr_el1";
    /// Fault address of the last exception taken to EL1.
    far = "far_el1";
    /// Return address of the last exception taken to EL1.
    elr = "elr_el1";
    /// The memory model's limits.
    mmfr0 = "id_aa64mmfr0_el1";
    /// Which optional instructions there are.
    isar0 = "id_aa64isar0_el1";
    /// The architecture's counter of time; isb first, so that it is not read early.
    raw_count = "cntpct_el0";
    /// Ticks of the counter in a second.
    counter_frequency = "cntfrq_el0";
}

/// Returns the counter of time.
pub(crate) fn now() -> u64 {
    instruction_barrier();
    raw_count()
}

/// Returns the core that runs this.
///
/// # Panics
/// If the core has no name: TF-A would have had to start more cores than its platform has.
pub(crate) fn this_core() -> CoreId {
    let Some(core) = CoreId::from_mpidr(mpidr()) else { panic!("a core beyond the platform") };
    core
}

fn instruction_barrier() {
    // SAFETY: a barrier changes no state of the program.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Traps every floating-point instruction of this core, so that none can touch the normal world's
/// registers unseen. The image is built without any.
pub(crate) fn trap_floating_point() {
    // SAFETY: CPACR_EL1 = 0 traps FP, SIMD and SVE at EL1 and EL0; this image executes none.
    unsafe {
        asm!("msr cpacr_el1, xzr", "isb", options(nostack, preserves_flags));
    }
}

/// Waits until all earlier accesses are done: a device has let go of its line, the controller has heard.
pub(crate) fn data_barrier() {
    // SAFETY: a barrier changes no state of the program.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Has this core's physical timer interrupt at `deadline` of the counter; `None`: not at all. Hafnium takes
/// the accesses and keeps the timer in the partition's name.
#[cfg(feature = "hafnium")]
pub(crate) fn set_secure_timer(deadline: Option<u64>) {
    let (at, on) = deadline.map_or((u64::MAX, 0_u64), |at| (at, 1));
    // SAFETY: writes the timer that this virtual core has to itself; its interrupt is masked here and
    // comes as FFA_INTERRUPT. No `nomem`: what the deadline stands for is stored before it is armed.
    unsafe {
        asm!("msr cntp_cval_el0, {at}", "msr cntp_ctl_el0, {on}", "isb",
            at = in(reg) at, on = in(reg) on, options(nostack, preserves_flags));
    }
}

/// Has this core's secure timer interrupt at `deadline` of the counter; `None`: not at all. Source:
/// DDI0487, CNTPS_CVAL_EL1 (S3_7_C14_C2_2) and CNTPS_CTL_EL1 (S3_7_C14_C2_1): bit 0 enables.
#[cfg(not(feature = "hafnium"))]
pub(crate) fn set_secure_timer(deadline: Option<u64>) {
    let (at, on) = deadline.map_or((u64::MAX, 0_u64), |at| (at, 1));
    // SAFETY: writes this core's secure timer, which is S-EL1's own (SCR_EL3.ST is for S-EL1 to use,
    // DDI0487); its interrupt is masked here and comes as FFA_INTERRUPT. No `nomem`: what the deadline
    // stands for is stored before it is armed.
    unsafe {
        asm!("msr S3_7_C14_C2_2, {at}", "msr S3_7_C14_C2_1, {on}", "isb",
            at = in(reg) at, on = in(reg) on, options(nostack, preserves_flags));
    }
}

/// Raises a non-secure Group 1 SGI. Source: IHI0069, ICC_ASGI1R_EL1.
#[cfg(not(feature = "hafnium"))]
pub(crate) fn raise_ns_sgi(core: CoreId, intid: u8) {
    let value = core.sgi_register(intid);
    // SAFETY: writes ICC_ASGI1R_EL1 only, which makes an SGI pending for the normal world and
    // changes nothing of this one. No `nomem`: what the SGI announces must be stored before, which
    // the barrier in front makes true.
    unsafe {
        asm!("dsb ishst", "msr S3_0_C12_C11_6, {}", "isb", in(reg) value,
            options(nostack, preserves_flags));
    }
}

/// The right to execute RNDRRS: this machine has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomNumbers {
    _private: (),
}

impl RandomNumbers {
    /// Looks whether there is FEAT_RNG. Source: DDI0487, ID_AA64ISAR0_EL1, RNDR (bits 63:60).
    pub(crate) fn find() -> Option<Self> {
        (isar0() >> 60 != 0).then_some(Self { _private: () })
    }

    /// Returns 64 random bits from a fresh seed; `None` if there were none in time.
    pub(crate) fn next_reseeded(self) -> Option<u64> {
        let (value, good): (u64, u64);
        // SAFETY: RNDRRS (S3_3_C2_C4_1) is defined, since `find` saw FEAT_RNG. It writes a register
        // and the flags: Z says that there was no number (DDI0487, RNDRRS). No memory, no stack.
        unsafe {
            asm!("mrs {value}, S3_3_C2_C4_1", "cset {good}, ne",
                value = out(reg) value, good = out(reg) good, options(nomem, nostack));
        }
        (good != 0).then_some(value)
    }
}
