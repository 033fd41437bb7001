//! Owns which call of a VM goes where. Never acts on memory or on another VM by itself.

use super::memory::MEMORY;
use super::partition;
use super::state::{self, COUNTERS, LAST_REFUSAL};
use crate::arch::gic;
use causeway_ffa::answer::NotificationInfo;
use causeway_ffa::call::{BitmapSet, ConsoleText, DirectMessage, FeatureQuery, Scope};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, FuncId, Notifications, Regs, Version};
use causeway_monitor::layout::{FRONTEND, PARTITION_ID, VmIndex};
use causeway_monitor::lifecycle::Progress;
use causeway_monitor::mailbox::Pair;
use causeway_monitor::notify::{Ring, Want};
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
/// Most faults that a VM may have skipped in one go: each prints a line.
const MAX_SKIPS: u64 = 1024;

/// Handles one HVC or SMC of a VM.
pub(crate) fn call(vm: VmIndex, regs: &Regs8) -> Reaction {
    COUNTERS.vm_calls.count();
    let one = |x0| Reaction::Answer([x0, 0, 0, 0, 0, 0, 0, 0]);
    match regs[0] as u32 {
        0x8400_0000 => one(PSCI_1_1),
        // PSCI_FEATURES: of what there is.
        0x8400_000a => match regs[1] as u32 {
            0x8400_0000 | 0x8400_0002 | 0x8400_0008 | 0x8400_000a => one(0),
            _ => one(NOT_SUPPORTED),
        },
        // CPU_OFF of the only processor, SYSTEM_OFF.
        0x8400_0002 | 0x8400_0008 => Reaction::Off,
        id @ 0xc600_0001..=0xc600_0006 => one(vendor(vm, id, regs[1], regs[2])),
        #[cfg(feature = "raw")]
        id if [FuncId::DirectReq32.raw(), FuncId::DirectReq64.raw()].contains(&id) => {
            Reaction::Answer(partition::carry_unchecked(vm, regs))
        }
        id if FuncId::from_raw(id).is_some() => Reaction::Answer(ffa(vm, regs)),
        // An FF-A number that no version has: FF-A's own way to say so.
        0x8400_0060..=0x8400_00ef | 0xc400_0060..=0xc400_00ef => {
            Reaction::Answer(refuse(vm, Refusal::Here(FfaError::NotSupported)))
        }
        _ => one(NOT_SUPPORTED),
    }
}

/// The monitor's own hypercalls, for jobs and tests only.
fn vendor(vm: VmIndex, id: u32, x1: u64, x2: u64) -> u64 {
    let target =
        || u16::try_from(x1).ok().and_then(|raw| VmIndex::from_id(EndpointId::from_raw(raw)));
    match id {
        0xc600_0001 if vm == FRONTEND => {
            if x1 == 0 {
                state::note_medium_mappings();
            }
            COUNTERS.in_transfer.store(x1 != 0, Ordering::SeqCst);
            0
        }
        0xc600_0002 | 0xc600_0003 if vm == FRONTEND => {
            let Some(target) = target().filter(|target| *target != vm) else { return INVALID };
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
            state::FAULT_SKIPS[vm.index()].store(x1.min(MAX_SKIPS), Ordering::Relaxed);
            0
        }
        0xc600_0006 => u64::from(LAST_REFUSAL[vm.index()].load(Ordering::Relaxed)),
        _ => DENIED,
    }
}

/// The SPMC or the partition refused what was carried unchecked.
#[cfg(feature = "raw")]
pub(crate) fn note_refusal_below(vm: VmIndex) {
    LAST_REFUSAL[vm.index()].store(2, Ordering::Relaxed);
}

fn refuse(vm: VmIndex, refusal: Refusal) -> Regs8 {
    let (layer, error) = match refusal {
        Refusal::Here(error) => (1, error),
        Refusal::Below(error) => (2, error),
    };
    LAST_REFUSAL[vm.index()].store(layer, Ordering::Relaxed);
    Answer::Error(error).encode().smc8()
}

fn ffa(vm: VmIndex, regs: &Regs8) -> Regs8 {
    match Call::decode(&Regs::from_smc8(*regs), Version::V1_1) {
        Ok(Call::Version { requested }) => {
            let ours = requested.filter(|version| *version == Version::V1_1);
            causeway_ffa::regs::version_reply(ours).smc8()
        }
        Ok(call) => match answer(vm, call) {
            Ok(answer) => answer.encode().smc8(),
            Err(refusal) => refuse(vm, refusal),
        },
        Err(error) => refuse(vm, Refusal::Here(error.status())),
    }
}

fn answer(vm: VmIndex, call: Call) -> Result<Answer, Refusal> {
    match call {
        Call::IdGet => Ok(Answer::endpoint(vm.id())),
        Call::SpmIdGet => Ok(Answer::endpoint(PARTITION_ID)),
        Call::ConsoleLog { text, .. } => Ok(console(vm, &text)),
        Call::Features { query, .. } => features(query),
        Call::DirectReq(message) => direct(vm, &message),
        Call::RxTxMap { tx, rx, page_count, .. } => {
            MEMORY.lock().rxtx_map(vm, Pair { tx, rx }, page_count)
        }
        Call::RxTxUnmap { endpoint } if is_self(vm, endpoint) => MEMORY.lock().rxtx_unmap(vm),
        Call::RxRelease { vm: endpoint } if is_self(vm, endpoint) => MEMORY.lock().rx_release(vm),
        Call::RxTxUnmap { .. } | Call::RxRelease { .. } => Err(FfaError::InvalidParameters.into()),
        Call::PartitionInfoGet { uuid, form } => MEMORY.lock().partition_info(vm, uuid, form),
        Call::MemSend { kind, lengths } => MEMORY.lock().send(vm, kind, lengths),
        Call::MemFragTx { handle, length, endpoint } => {
            MEMORY.lock().send_fragment(vm, handle, length, endpoint)
        }
        Call::MemRetrieveReq { lengths } => MEMORY.lock().retrieve(vm, lengths),
        Call::MemRelinquish => MEMORY.lock().relinquish(vm),
        Call::MemReclaim { handle, flags } => MEMORY.lock().reclaim(vm, handle, flags),
        // Every retrieve response fits RX: no transaction has another fragment to fetch.
        Call::MemFragRx { .. } => Err(FfaError::InvalidParameters.into()),
        Call::NotificationBind { sender, receiver, scope, bitmap } => {
            if receiver != vm.id() || scope != Scope::Global {
                return Err(FfaError::InvalidParameters.into());
            }
            let sender = VmIndex::from_id(sender).ok_or(FfaError::InvalidParameters)?;
            state::NOTIFY.lock().bind(vm, sender, bitmap)?;
            Ok(Answer::success())
        }
        Call::NotificationUnbind { sender, receiver, bitmap } => {
            if receiver != vm.id() {
                return Err(FfaError::InvalidParameters.into());
            }
            let sender = VmIndex::from_id(sender).ok_or(FfaError::InvalidParameters)?;
            state::NOTIFY.lock().unbind(vm, sender, bitmap)?;
            Ok(Answer::success())
        }
        Call::NotificationSet { sender, receiver, vcpu, bitmap, .. } => {
            if sender != vm.id() || vcpu.is_some() {
                return Err(FfaError::InvalidParameters.into());
            }
            ring(vm, receiver, bitmap)
        }
        Call::NotificationGet { receiver, wanted, .. } => {
            if receiver != vm.id() {
                return Err(FfaError::InvalidParameters.into());
            }
            let want =
                Want { partitions: wanted.has(BitmapSet::SP), vms: wanted.has(BitmapSet::VM) };
            let fetched = state::NOTIFY.lock().get(vm, want);
            Ok(Answer::notifications(&Notifications {
                from_sps: fetched.from_partitions,
                from_vms: fetched.from_vms,
                ..Notifications::default()
            }))
        }
        Call::NotificationInfoGet { width } => {
            let mut info = NotificationInfo::new(width);
            if state::NOTIFY.lock().info(vm) {
                info.push(vm.id());
            }
            match info.answer() {
                Answer::Error(error) => Err(error.into()),
                answer => Ok(answer),
            }
        }
        _ => Err(FfaError::NotSupported.into()),
    }
}

/// At a virtual instance an endpoint field is zero, or the caller's own.
fn is_self(vm: VmIndex, endpoint: EndpointId) -> bool {
    endpoint.get() == 0 || endpoint == vm.id()
}

fn features(query: FeatureQuery) -> Result<Answer, Refusal> {
    let FeatureQuery::Function(func) = query else {
        return Err(FfaError::NotSupported.into());
    };
    let exists = matches!(
        func,
        FuncId::Error
            | FuncId::Success32
            | FuncId::Success64
            | FuncId::Version
            | FuncId::Features
            | FuncId::RxRelease
            | FuncId::RxTxMap32
            | FuncId::RxTxMap64
            | FuncId::RxTxUnmap
            | FuncId::PartitionInfoGet
            | FuncId::IdGet
            | FuncId::SpmIdGet
            | FuncId::DirectReq32
            | FuncId::DirectReq64
            | FuncId::MemShare32
            | FuncId::MemShare64
            | FuncId::MemLend32
            | FuncId::MemLend64
            | FuncId::MemRetrieveReq32
            | FuncId::MemRetrieveReq64
            | FuncId::MemRetrieveResp
            | FuncId::MemRelinquish
            | FuncId::MemReclaim
            | FuncId::MemFragRx
            | FuncId::MemFragTx
            | FuncId::ConsoleLog32
            | FuncId::ConsoleLog64
            | FuncId::NotificationBind
            | FuncId::NotificationUnbind
            | FuncId::NotificationSet
            | FuncId::NotificationGet
            | FuncId::NotificationInfoGet32
            | FuncId::NotificationInfoGet64
    );
    // For RXTX_MAP, w2 = 0 says: buffers of 4 KiB, aligned to 4 KiB.
    if exists { Ok(Answer::success()) } else { Err(FfaError::NotSupported.into()) }
}

/// A direct request. It goes to the partition, in the name of nobody but the caller.
fn direct(vm: VmIndex, message: &DirectMessage) -> Result<Answer, Refusal> {
    if message.sender != vm.id() || message.receiver != PARTITION_ID {
        return Err(FfaError::InvalidParameters.into());
    }
    partition::carry(message).map_err(Refusal::Below)
}

fn console(vm: VmIndex, text: &ConsoleText) -> Answer {
    state::console(vm, text.as_bytes());
    Answer::success()
}

fn ring(vm: VmIndex, receiver: EndpointId, bitmap: u64) -> Result<Answer, Refusal> {
    let receiver = VmIndex::from_id(receiver).ok_or(FfaError::InvalidParameters)?;
    let ring = state::NOTIFY.lock().set(vm, receiver, bitmap)?;
    COUNTERS.doorbells.count();
    if ring == Ring::Wake {
        gic::kick(state::home_core(receiver));
    }
    Ok(Answer::success())
}
