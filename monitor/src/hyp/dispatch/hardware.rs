//! Owns the calls by which tests move interrupts and cores, as an administrator of the machine would.
//! Never done for anybody but the controller.

use super::{DENIED, INVALID, named};
use crate::arch::{boot, clock, gic, smc};
use crate::hyp::{partition, state};
use causeway_monitor::layout::{VM_COUNT, VmIndex};
use core::sync::atomic::Ordering;

/// Most lies of one call.
const MAX_LIES: u64 = 64;

/// A core is switched on or off.
const UNDER_WAY: u64 = 1;

/// BIND (0xC600_0018), CORE (0xC600_0019), LIE (0xC600_001A).
pub(super) fn call(vm: VmIndex, id: u32, x1: u64, x2: u64) -> u64 {
    if vm != state::config().controller {
        return DENIED;
    }
    match id {
        0xc600_0018 => bind(x1, x2),
        0xc600_0019 => core(x1, x2),
        _ if x1 <= MAX_LIES => {
            (0..x1).for_each(|_| clock::lie());
            0
        }
        _ => INVALID,
    }
}

/// The source's interrupts go to another VM, or (0) to nobody: the partition's status.
fn bind(source: u64, vm: u64) -> u64 {
    let Ok(source) = u16::try_from(source) else { return INVALID };
    let vm = match (vm, named(vm)) {
        (0, _) => None,
        (_, Some(vm)) => Some(vm.id()),
        (_, None) => return INVALID,
    };
    match partition::bind_source(source, vm) {
        Ok(()) => 0,
        Err(status) => u64::from(status.code()),
    }
}

/// A core that carries no VM through its life is switched off (0) or on (1): 0 it is, 1 under way.
fn core(number: u64, on: u64) -> u64 {
    let Ok(core) = usize::try_from(number) else { return INVALID };
    if core < VM_COUNT || core >= state::CORES.load(Ordering::Acquire) || on > 1 {
        return INVALID;
    }
    let is_off = smc::is_off(core);
    if on == 0 {
        if is_off {
            return 0;
        }
        state::ask_to_leave(core);
        gic::kick(core);
        return UNDER_WAY;
    }
    state::ask_to_stay(core);
    // EL3 says that it is off: nothing runs on its stack.
    if is_off && !boot::start(core) { DENIED } else { 0 }
}
