//! Owns the FF-A calls of a VM at its virtual instance: who may say what in whose name.

use super::{Refusal, Regs8, refuse};
use crate::hyp::memory::MEMORY;
use crate::hyp::partition;
use crate::hyp::state::{self, COUNTERS};
use causeway_ffa::answer::NotificationInfo;
use causeway_ffa::call::{BitmapSet, ConsoleText, DirectMessage, FeatureQuery, Scope};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, FuncId, Notifications, Regs, Version, Width,
};
use causeway_monitor::layout::{PARTITION_ID, Processor, VmIndex};
use causeway_monitor::mailbox::Pair;
use causeway_monitor::notify::{Ring, Want};

type Outcome = Result<Answer, Refusal>;

/// The functions that FFA_FEATURES reports.
const FEATURES: [FuncId; 33] = [
    FuncId::Error,
    FuncId::Success32,
    FuncId::Success64,
    FuncId::Version,
    FuncId::Features,
    FuncId::RxRelease,
    FuncId::RxTxMap32,
    FuncId::RxTxMap64,
    FuncId::RxTxUnmap,
    FuncId::PartitionInfoGet,
    FuncId::IdGet,
    FuncId::SpmIdGet,
    FuncId::DirectReq32,
    FuncId::DirectReq64,
    FuncId::MemShare32,
    FuncId::MemShare64,
    FuncId::MemLend32,
    FuncId::MemLend64,
    FuncId::MemRetrieveReq32,
    FuncId::MemRetrieveReq64,
    FuncId::MemRetrieveResp,
    FuncId::MemRelinquish,
    FuncId::MemReclaim,
    FuncId::MemFragRx,
    FuncId::MemFragTx,
    FuncId::ConsoleLog32,
    FuncId::ConsoleLog64,
    FuncId::NotificationBind,
    FuncId::NotificationUnbind,
    FuncId::NotificationSet,
    FuncId::NotificationGet,
    FuncId::NotificationInfoGet32,
    FuncId::NotificationInfoGet64,
];

/// Handles one FF-A call of a VM.
pub(super) fn call(processor: Processor, regs: &Regs8) -> Regs8 {
    let vm = processor.vm;
    match Call::decode(&Regs::from_smc8(*regs), Version::V1_1) {
        // One version, so that nothing can be renegotiated after use (KB-11).
        Ok(Call::Version { requested }) => {
            let ours = requested.filter(|version| *version == Version::V1_1);
            causeway_ffa::regs::version_reply(ours).smc8()
        }
        Ok(call) => match answer(vm, call) {
            Ok(answer) => answer.encode().smc8(),
            Err(refusal) => refused(processor, regs, refusal),
        },
        Err(error) => refused(processor, regs, Refusal::Here(error.status())),
    }
}

#[cfg(not(feature = "raw"))]
fn refused(processor: Processor, _regs: &Regs8, refusal: Refusal) -> Regs8 {
    refuse(processor, refusal)
}

/// In the `raw` build the SPMC is asked too, where that is possible.
#[cfg(feature = "raw")]
fn refused(processor: Processor, regs: &Regs8, refusal: Refusal) -> Regs8 {
    let below = match refusal {
        Refusal::Here(_) => super::below::ask(processor, regs),
        Refusal::Below(_) => None,
    };
    below.unwrap_or_else(|| refuse(processor, refusal))
}

fn answer(vm: VmIndex, call: Call) -> Outcome {
    match call {
        Call::IdGet => Ok(Answer::endpoint(vm.id())),
        Call::SpmIdGet => Ok(Answer::endpoint(partition::spmc_id())),
        Call::ConsoleLog { text, .. } => Ok(console(vm, &text)),
        Call::Features { query, .. } => features(query),
        Call::DirectReq(message) => direct(vm, &message),
        // Only the hypervisor itself speaks for the framework.
        Call::FrameworkReq(_) => Err(FfaError::Denied.into()),
        Call::RxTxMap { tx, rx, page_count, .. } => {
            MEMORY.lock().rxtx_map(vm, Pair { tx, rx }, page_count)
        }
        Call::RxTxUnmap { endpoint } => {
            own(vm, endpoint)?;
            MEMORY.lock().rxtx_unmap(vm)
        }
        Call::RxRelease { vm: endpoint } => {
            own(vm, endpoint)?;
            MEMORY.lock().rx_release(vm)
        }
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
            if scope != Scope::Global {
                return Err(FfaError::InvalidParameters.into());
            }
            bind(vm, sender, receiver, |all, sender| all.bind(vm, sender, bitmap))
        }
        Call::NotificationUnbind { sender, receiver, bitmap } => {
            bind(vm, sender, receiver, |all, sender| all.unbind(vm, sender, bitmap))
        }
        Call::NotificationSet { sender, receiver, vcpu, bitmap, .. } => {
            if sender != vm.id() || vcpu.is_some() {
                return Err(FfaError::InvalidParameters.into());
            }
            ring(vm, receiver, bitmap)
        }
        Call::NotificationGet { receiver, vcpu, wanted } => fetch(vm, receiver, vcpu, wanted),
        Call::NotificationInfoGet { width } => info(vm, width),
        Call::Version { .. }
        | Call::RxAcquire { .. }
        | Call::MsgWait
        | Call::Yield
        | Call::Run { .. }
        | Call::Interrupt { .. }
        | Call::DirectResp(_)
        | Call::DirectReq2(_)
        | Call::DirectResp2(_)
        | Call::FrameworkResp(_)
        | Call::MemPermGet { .. }
        | Call::MemPermSet { .. }
        | Call::NotificationBitmapCreate { .. }
        | Call::NotificationBitmapDestroy { .. }
        | Call::SecondaryEpRegister { .. }
        | Call::Error(_) => Err(FfaError::NotSupported.into()),
    }
}

/// At a virtual instance an endpoint field is zero, or the caller's own.
fn own(vm: VmIndex, endpoint: EndpointId) -> Result<(), FfaError> {
    let fits = endpoint == EndpointId::default() || endpoint == vm.id();
    if fits { Ok(()) } else { Err(FfaError::InvalidParameters) }
}

fn features(query: FeatureQuery) -> Outcome {
    match query {
        // For RXTX_MAP, w2 = 0 says: buffers of 4 KiB, aligned to 4 KiB.
        FeatureQuery::Function(func) if FEATURES.contains(&func) => Ok(Answer::success()),
        FeatureQuery::Function(_) | FeatureQuery::Feature(_) | FeatureQuery::Unknown(_) => {
            Err(FfaError::NotSupported.into())
        }
    }
}

/// A direct request. It goes to the partition, in the name of nobody but the caller.
fn direct(vm: VmIndex, message: &DirectMessage) -> Outcome {
    if message.sender != vm.id() || message.receiver != PARTITION_ID {
        return Err(FfaError::InvalidParameters.into());
    }
    partition::carry(message).map_err(Refusal::Below)
}

fn console(vm: VmIndex, text: &ConsoleText) -> Answer {
    state::console(vm, text.as_bytes());
    Answer::success()
}

/// Changes whom a VM lets ring its own bits.
fn bind(
    vm: VmIndex,
    sender: EndpointId,
    receiver: EndpointId,
    change: impl FnOnce(&mut causeway_monitor::notify::Notifications, VmIndex) -> Result<(), FfaError>,
) -> Outcome {
    if receiver != vm.id() {
        return Err(FfaError::InvalidParameters.into());
    }
    let sender = VmIndex::from_id(sender).ok_or(FfaError::InvalidParameters)?;
    change(&mut state::NOTIFY.lock(), sender)?;
    Ok(Answer::success())
}

fn ring(vm: VmIndex, receiver: EndpointId, bitmap: u64) -> Outcome {
    let receiver = VmIndex::from_id(receiver).ok_or(FfaError::InvalidParameters)?;
    let ring = state::NOTIFY.lock().set(vm, receiver, bitmap)?;
    COUNTERS.count_doorbell();
    if ring == Ring::Wake {
        state::wake(receiver, None);
    }
    Ok(Answer::success())
}

fn fetch(vm: VmIndex, receiver: EndpointId, vcpu: u16, wanted: BitmapSet) -> Outcome {
    let has_vcpu = usize::from(vcpu) < state::config().vcpus[vm.index()];
    if receiver != vm.id() || !has_vcpu {
        return Err(FfaError::InvalidParameters.into());
    }
    let want = Want { partitions: wanted.has(BitmapSet::SP), vms: wanted.has(BitmapSet::VM) };
    let fetched = state::NOTIFY.lock().get(vm, want);
    Ok(Answer::notifications(&Notifications {
        from_sps: fetched.from_partitions,
        from_vms: fetched.from_vms,
        ..Notifications::default()
    }))
}

fn info(vm: VmIndex, width: Width) -> Outcome {
    if !state::NOTIFY.lock().info(vm) {
        return Err(FfaError::NoData.into());
    }
    let mut info = NotificationInfo::new(width);
    info.push(vm.id());
    Ok(info.answer())
}
