//! Owns a VM's switching of its own processors (PSCI CPU_ON, CPU_SUSPEND, AFFINITY_INFO). Never touches
//! another VM's.

use super::Reaction;
use crate::arch::gic;
use crate::hyp::state;
use causeway_monitor::layout::{Processor, VmIndex};
use causeway_monitor::processors::{NotOn, Processors};

/// AFFINITY_INFO: the processor is on, or off.
const ON: u64 = 0;
const OFF: u64 = 1;
/// An argument makes no sense.
const INVALID: u64 = -2_i64 as u64;

/// CPU_ON: the target processor's MPIDR, its entry, its x0.
pub(super) fn cpu_on(vm: VmIndex, [mpidr, entry, context]: [u64; 3]) -> u64 {
    let processors = &state::PROCESSORS[vm.index()];
    let refused = |not_on: NotOn| not_on.code() as u64;
    let number = match processors.lock().check_on(vm, mpidr, entry) {
        Ok(number) => number,
        Err(not_on) => return refused(not_on),
    };
    let target = Processor { vm, number };
    {
        // It is off: its core lets go of the lock without waiting for anybody.
        let mut vcpu = state::vcpu(target).lock();
        let mut processors = processors.lock();
        // Another processor of the VM may have been faster.
        if let Err(not_on) = processors.check_on(vm, mpidr, entry) {
            return refused(not_on);
        }
        vcpu.reset(entry, context);
        processors.turn_on(number);
    }
    gic::kick(state::core_of(target));
    0
}

/// CPU_SUSPEND: power state, entry, x0.
pub(super) fn cpu_suspend(vm: VmIndex, arguments: [u64; 3]) -> Reaction {
    match Processors::check_suspend(vm, arguments) {
        Ok(wake) => Reaction::Suspend(wake),
        Err(refused) => Reaction::Answer([refused.code() as u64, 0, 0, 0, 0, 0, 0, 0]),
    }
}

/// AFFINITY_INFO: of a single processor.
pub(super) fn affinity_info(vm: VmIndex, mpidr: u64, level: u64) -> u64 {
    let processors = state::PROCESSORS[vm.index()].lock();
    match processors.named(mpidr) {
        Ok(number) if level == 0 => {
            if processors.is_on(number) {
                ON
            } else {
                OFF
            }
        }
        Ok(_) | Err(_) => INVALID,
    }
}
