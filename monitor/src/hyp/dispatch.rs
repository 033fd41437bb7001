//! Owns which call of a VM goes where: PSCI, the monitor's own calls, FF-A. Never acts on memory.

#[cfg(feature = "raw")]
mod below;
mod ffa;
mod hardware;
mod psci;

use super::memory::MEMORY;
use super::partition;
use super::state::{self, COUNTERS, LAST_REFUSAL};
use crate::arch::gic;
use causeway_ffa::{Answer, EndpointId, FfaError, FuncId};
use causeway_monitor::layout::{FRONTEND, Processor, VmIndex};
use causeway_monitor::lifecycle::Progress;
use causeway_monitor::processors::Wake;
use causeway_monitor::trap::Access;
use core::sync::atomic::Ordering;

/// x0-x7.
pub(crate) type Regs8 = [u64; 8];

/// What the caller's core does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Give the VM these registers and go on.
    Answer(Regs8),
    /// The VM switched itself off.
    Off,
    /// The calling processor switched itself off.
    ProcessorOff,
    /// The calling processor sleeps until the VM's interrupt, and goes on so.
    Suspend(Wake),
}

impl Reaction {
    /// The registers that the VM gets, if it gets any.
    pub(crate) const fn answer(&self) -> Option<&Regs8> {
        match self {
            Self::Answer(regs) => Some(regs),
            Self::Off | Self::ProcessorOff | Self::Suspend(_) => None,
        }
    }
}

/// A refusal, and the layer that refused (LAST_REFUSAL tells tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The monitor.
    Here(FfaError),
    /// The SPMC.
    Below(FfaError),
}

impl From<FfaError> for Refusal {
    fn from(error: FfaError) -> Self {
        Self::Here(error)
    }
}

/// SMCCC: the function id is unknown.
const NOT_SUPPORTED: u64 = u64::MAX;
/// PSCI and vendor calls: refused.
const DENIED: u64 = -3_i64 as u64;
/// PSCI and vendor calls: an argument makes no sense.
const INVALID: u64 = -2_i64 as u64;
/// PSCI 1.1.
const PSCI_1_1: u64 = 0x1_0001;

/// Handles one HVC or SMC of a VM.
pub(crate) fn call(processor: Processor, regs: &Regs8) -> Reaction {
    let vm = processor.vm;
    COUNTERS.vm_calls.count();
    let one = |x0| Reaction::Answer([x0, 0, 0, 0, 0, 0, 0, 0]);
    match regs[0] as u32 {
        0x8400_0000 => one(PSCI_1_1),
        // PSCI_FEATURES: of what there is.
        0x8400_000a => match regs[1] as u32 {
            0x8400_0000..=0x8400_0004 | 0x8400_0008 | 0x8400_000a => one(0),
            0xc400_0001 | 0xc400_0003 | 0xc400_0004 => one(0),
            _ => one(NOT_SUPPORTED),
        },
        0x8400_0001 => psci::cpu_suspend(vm, [1, 2, 3].map(|n| regs[n] & 0xffff_ffff)),
        0xc400_0001 => psci::cpu_suspend(vm, [regs[1], regs[2], regs[3]]),
        0x8400_0002 => Reaction::ProcessorOff,
        0x8400_0003 => one(psci::cpu_on(vm, [1, 2, 3].map(|n| regs[n] & 0xffff_ffff))),
        0xc400_0003 => one(psci::cpu_on(vm, [regs[1], regs[2], regs[3]])),
        0x8400_0004 => one(psci::affinity_info(vm, regs[1] & 0xffff_ffff, regs[2] & 0xffff_ffff)),
        0xc400_0004 => one(psci::affinity_info(vm, regs[1], regs[2])),
        0x8400_0008 => Reaction::Off,
        id @ 0xc600_0001..=0xc600_0006 => one(vendor(processor, id, regs[1], regs[2])),
        0xc600_0007 => Reaction::Answer(audit(vm, regs[1])),
        0xc600_0008 => Reaction::Answer(counts()),
        id @ 0xc600_0018..=0xc600_001a => one(hardware::call(vm, id, regs[1], regs[2])),
        #[cfg(feature = "raw")]
        id if [FuncId::DirectReq32.raw(), FuncId::DirectReq64.raw()].contains(&id) => {
            Reaction::Answer(partition::carry_unchecked(processor, regs))
        }
        id if FuncId::from_raw(id).is_some() => Reaction::Answer(ffa::call(processor, regs)),
        // An FF-A number that no version has: FF-A's own way to say so.
        0x8400_0060..=0x8400_00ef | 0xc400_0060..=0xc400_00ef => {
            Reaction::Answer(refuse(processor, Refusal::Here(FfaError::NotSupported)))
        }
        _ => one(NOT_SUPPORTED),
    }
}

/// The monitor's own hypercalls, for jobs and tests only.
fn vendor(processor: Processor, id: u32, x1: u64, x2: u64) -> u64 {
    let vm = processor.vm;
    match id {
        0xc600_0001 if vm == FRONTEND => {
            let marked = match x1 {
                0 => {
                    // Here the areas are still mapped.
                    state::note_medium_mappings();
                    COUNTERS.end_transfer()
                }
                1 => COUNTERS.begin_transfer(),
                _ => return INVALID,
            };
            if marked.is_ok() { 0 } else { DENIED }
        }
        0xc600_0002 | 0xc600_0003 if vm == state::config().controller => {
            let Some(target) = named(x1).filter(|target| *target != vm) else { return INVALID };
            let progress = {
                let mut life = state::LIVES[target.index()].lock();
                if id == 0xc600_0002 { life.kill() } else { life.restart() }
            };
            gic::kick(state::home_core(target));
            match progress {
                Progress::Done => 0,
                Progress::UnderWay => 1,
                Progress::Refused => DENIED,
            }
        }
        0xc600_0004 => {
            let access = if x2 == 0 { Access::Read } else { Access::Write };
            u64::from(state::stage2(vm).allows(x1, access))
        }
        0xc600_0005 => {
            state::FAULT_SKIPS[vm.index()].lock().ask(x1);
            0
        }
        0xc600_0006 => u64::from(LAST_REFUSAL[processor.index()].load(Ordering::Relaxed)),
        _ => DENIED,
    }
}

fn named(raw: u64) -> Option<VmIndex> {
    VmIndex::from_id(EndpointId::from_raw(u16::try_from(raw).ok()?))
}

/// What a VM owns according to the monitor (x1-x4: transactions, bytes of the SPMC's store, pages,
/// and how many transactions some VM maps) and according to the partition (x5-x7: grants, pages,
/// ranges; all ones if it does not say).
fn audit(vm: VmIndex, target: u64) -> Regs8 {
    let answer = |x0| [x0, 0, 0, 0, 0, 0, 0, 0];
    let Some(target) = named(target) else { return answer(INVALID) };
    if target != vm && vm != state::config().controller {
        return answer(DENIED);
    }
    let own = MEMORY.lock().holdings(target);
    let [grants, pages, ranges] = partition::charged_to(target).unwrap_or([u64::MAX; 3]);
    let [shares, bytes, claimed, mapped] =
        [own.shares, own.store_bytes, own.pages, own.mapped].map(u64::from);
    [0, shares, bytes, claimed, mapped, grants, pages, ranges]
}

/// What was counted since power-on: doorbells rung (x1), calls that reached the partition (x2).
fn counts() -> Regs8 {
    [0, COUNTERS.doorbells.get(), COUNTERS.partition_calls.get(), 0, 0, 0, 0, 0]
}

/// The SPMC or the partition refused what was carried unchecked.
#[cfg(feature = "raw")]
pub(crate) fn note_refusal_below(processor: Processor) {
    LAST_REFUSAL[processor.index()].store(2, Ordering::Relaxed);
}

fn refuse(processor: Processor, refusal: Refusal) -> Regs8 {
    let (layer, error) = match refusal {
        Refusal::Here(error) => (1, error),
        Refusal::Below(error) => (2, error),
    };
    LAST_REFUSAL[processor.index()].store(layer, Ordering::Relaxed);
    Answer::Error(error).encode().smc8()
}
