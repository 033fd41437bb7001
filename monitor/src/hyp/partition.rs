//! Owns the monitor's own talk with the SPMC and the partition. Never speaks for a VM.

use super::memory::{self, MEMORY};
use super::state::{self, COUNTERS, NOTIFY};
use super::trace;
use crate::arch::gic::DOORBELL_SGI;
use crate::arch::uart::say;
use crate::arch::{smc, timer};
use causeway_abi::{Call as Service, InterruptCall, Reply, SourceId, Status};
use causeway_ffa::call::{DirectMessage, Framework, FrameworkMessage};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, MemHandle, Regs, Version, Width};
use causeway_monitor::config::Confirm;
#[cfg(feature = "raw")]
use causeway_monitor::layout::Processor;
use causeway_monitor::layout::{MONITOR_ID, PARTITION_ID, VmIndex};
use causeway_monitor::lifecycle::{Order, Verdict};
use causeway_monitor::notify::Ring;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

/// Whether a partition answered at start-up.
static CONNECTED: AtomicBool = AtomicBool::new(false);
/// Whether the partition has work for the hypervisor.
static POLL_DUE: AtomicBool = AtomicBool::new(false);
/// When to look without being asked, in ticks; 0 for never.
static DEADLINE: AtomicU64 = AtomicU64::new(0);

/// The SPMC's own id, as it says itself.
static SPMC_ID: AtomicU16 = AtomicU16::new(0x8000);

/// Most unmap requests taken at one look.
const MAX_REQUESTS: usize = 16;

/// Returns the SPMC's own id.
pub(crate) fn spmc_id() -> EndpointId {
    EndpointId::from_raw(SPMC_ID.load(Ordering::Relaxed))
}

/// Makes an FF-A call of the monitor's own.
pub(crate) fn ffa(call: &Call) -> Result<Answer, FfaError> {
    let (asked, request) = (trace::ask(), call.encode().smc8());
    let regs = smc::call(&request);
    trace::below(asked, &request, &regs);
    match Answer::decode(&Regs::from_smc8(regs), Version::V1_1) {
        Ok(Answer::Error(error)) => Err(error),
        Ok(answer) => Ok(answer),
        // The SPMC did not say that our parameters were wrong: its answer made no sense.
        Err(error) if error.status() == FfaError::InvalidParameters => Err(FfaError::Aborted),
        Err(error) => Err(error.status()),
    }
}

/// Calls the partition's own service as the hypervisor.
fn service(call: Service) -> Result<[u64; 4], Status> {
    if !CONNECTED.load(Ordering::Relaxed) {
        return Err(Status::UnknownCall);
    }
    ask(call)
}

fn ask(call: Service) -> Result<[u64; 4], Status> {
    COUNTERS.count_partition_call();
    let message = DirectMessage {
        sender: MONITOR_ID,
        receiver: PARTITION_ID,
        width: Width::Bits64,
        words: call.encode(),
    };
    let answer = ffa(&Call::DirectReq(message));
    let Ok(Answer::DirectResp(reply)) = answer else { return Err(Status::SpmcFailure) };
    let reply = Reply::decode(&reply.words).ok_or(Status::SpmcFailure)?;
    if reply.status == Status::Ok { Ok(reply.results) } else { Err(reply.status) }
}

/// Carries a VM's message to the partition and its answer back.
pub(crate) fn carry(message: &DirectMessage) -> Result<Answer, FfaError> {
    COUNTERS.count_partition_call();
    let answer = COUNTERS.inside_partition(|| ffa(&Call::DirectReq(*message)))?;
    // Under the EL3 SPMC a partition is never pre-empted, and answers its caller only.
    let Answer::DirectResp(reply) = answer else { return Err(FfaError::Aborted) };
    let fits = reply.sender == message.receiver && reply.receiver == message.sender;
    if fits { Ok(answer) } else { Err(FfaError::Aborted) }
}

/// The `raw` build's way: any direct request, whatever its registers say. Its sender is the VM, or
/// somebody who is not there: never another VM, and never the hypervisor.
#[cfg(feature = "raw")]
pub(crate) fn carry_unchecked(processor: Processor, regs: &smc::Regs8) -> smc::Regs8 {
    COUNTERS.count_partition_call();
    let mut out = *regs;
    let said = EndpointId::from_raw((regs[1] >> 16) as u16);
    let is_nobody = said != MONITOR_ID && !said.is_secure() && VmIndex::from_id(said).is_none();
    let sender = if is_nobody { said } else { processor.vm.id() };
    out[1] = (regs[1] & !0xffff_0000) | u64::from(sender.get()) << 16;
    let asked = trace::ask();
    let answer = COUNTERS.inside_partition(|| smc::call(&out));
    trace::below(asked, &out, &answer);
    if let Ok(Answer::Error(_)) = Answer::decode(&Regs::from_smc8(answer), Version::V1_1) {
        super::dispatch::note_refusal_below(processor);
    }
    answer
}

/// Agrees on a version with the SPMC and registers the doorbell with the partition.
pub(crate) fn connect() {
    let asked = Call::Version { requested: Some(Version::V1_1) };
    let regs = Regs::from_smc8(smc::call(&asked.encode().smc8()));
    match causeway_ffa::regs::decode_version_reply(&regs) {
        Ok(version) => say!("SPMC version={:#x}", version.raw()),
        Err(error) => {
            say!("no SPMC: status={}", error.code());
            return;
        }
    }
    if let Ok(Answer::Success(success)) = ffa(&Call::SpmIdGet) {
        SPMC_ID.store(success.endpoint().get(), Ordering::Relaxed);
    }
    if let Err(error) = memory::connect() {
        say!("RXTX_MAP refused: status={}", error.code());
        return;
    }
    let register = Service::HypRegister { sgi: DOORBELL_SGI as u8, core: 0 };
    match ask(register) {
        Ok(_) => CONNECTED.store(true, Ordering::Relaxed),
        Err(status) => say!("HYP_REGISTER refused: {}", status.name()),
    }
}

/// The partition rang: look at its work at the next opportunity.
pub(crate) fn poll_soon() {
    POLL_DUE.store(true, Ordering::Relaxed);
}

/// When the partition wants to be looked at without ringing.
pub(crate) fn next_deadline() -> Option<u64> {
    let deadline = DEADLINE.load(Ordering::Relaxed);
    (deadline != 0).then_some(deadline)
}

/// The core that fetches the partition's work.
const POLLING_CORE: usize = 0;

/// Fetches the partition's work if it rang or its deadline passed. Called on the first core only.
pub(crate) fn poll_if_due() {
    let late = next_deadline().is_some_and(|deadline| timer::now() >= deadline);
    if !(POLL_DUE.swap(false, Ordering::Relaxed) || late) {
        return;
    }
    for _ in 0..MAX_REQUESTS {
        let Ok([bells, handle, vm, deadline]) = service(Service::HypPoll) else {
            DEADLINE.store(0, Ordering::Relaxed);
            return;
        };
        ring(bells);
        if let Some(vm) = to_restart(vm) {
            say!("RESTART vm={} asked_by=partition", vm.id().get());
            *state::RESTARTS[vm.index()].lock() = Order::Asked;
        }
        DEADLINE.store(deadline, Ordering::Relaxed);
        if handle == causeway_abi::NO_HANDLE {
            if bells == 0 {
                return;
            }
            // What rang meanwhile is read by the next look.
            continue;
        }
        let raw = u16::try_from(vm & 0xffff).unwrap_or_default();
        let named = (MemHandle::new(handle), VmIndex::from_id(EndpointId::from_raw(raw)));
        let (Some(handle), Some(vm)) = named else {
            say!("unmap request names no VM: handle={handle:#x} vm={vm:#x}");
            continue;
        };
        MEMORY.lock().unmap_by_force(handle, vm);
    }
    poll_soon();
}

fn ring(bells: u64) {
    for vm in VmIndex::ALL {
        if bells & (1 << vm.id().get()) != 0 {
            COUNTERS.count_doorbell();
            // The first core, which polls, chooses its next VM right after this. A kick to itself
            // would end that VM's turn before its first instruction: with all VMs on one core, a
            // VM that keeps calling the partition would keep the others from ever running.
            if NOTIFY.lock().ring_from_partition(vm) == Ring::Wake {
                state::wake(vm, Some(POLLING_CORE));
            }
        }
    }
}

/// The VM that the partition wants restarted (its watchdog fired): bits 16 and 47:32 of the third word.
fn to_restart(word: u64) -> Option<VmIndex> {
    let id = EndpointId::from_raw((word >> 32) as u16);
    if word & 1 << 16 == 0 { None } else { VmIndex::from_id(id) }
}

fn framework(message: FrameworkMessage) -> Result<FrameworkMessage, FfaError> {
    COUNTERS.count_partition_call();
    let request = Framework { sender: MONITOR_ID, receiver: PARTITION_ID, message };
    let answer = ffa(&Call::FrameworkReq(request))?;
    let Answer::FrameworkResp(response) = answer else { return Err(FfaError::Aborted) };
    Ok(response.message)
}

/// Asks the partition's leave to map a transaction for a VM; it records the mapping if it agrees.
pub(crate) fn may_map(handle: MemHandle, vm: VmIndex) -> Result<(), Status> {
    service(Service::HypMapping { handle, vm: vm.id() }).map(|_| ())
}

/// Tells the partition that a VM does not map a transaction any more, after the TLBs forgot it.
pub(crate) fn was_unmapped(handle: MemHandle, vm: VmIndex) {
    if state::config().confirm == Confirm::Never {
        say!("UNCONFIRMED handle={handle} vm={}", vm.id().get());
        return;
    }
    // The partition may have forgotten the grant together with its owner: the fact stands anyway.
    if let Err(status) = service(Service::HypUnmapped { handle, vm: vm.id() })
        && !matches!(status, Status::NoSuchGrant)
    {
        say!("HYP_UNMAPPED handle={handle} vm={} refused: {}", vm.id().get(), status.name());
    }
}

/// Tells the partition who hears of a source of interrupts from now on.
pub(crate) fn bind_source(source: SourceId, vm: Option<EndpointId>) -> Result<(), Status> {
    service(Service::Interrupt(InterruptCall::Bind { source, vm })).map(|_| ())
}

/// What the partition charges to a VM: grants, pages, ranges.
pub(crate) fn charged_to(vm: VmIndex) -> Option<[u64; 3]> {
    /// First page of STATS that shows a VM, and how many VMs a policy can have.
    const PAGES: core::ops::Range<u8> = 16..16 + 32;
    for page in PAGES {
        let [who, grants, pages, ranges] = service(Service::Stats { page }).ok()?;
        if who & 0xffff == u64::from(vm.id().get()) {
            return Some([grants, pages, ranges]);
        }
    }
    None
}

/// Tells the partition of a new VM.
pub(crate) fn announce_created(vm: VmIndex) -> Verdict {
    announce(FrameworkMessage::VmCreated { info: None, vm: vm.id() })
}

/// Tells the partition that a VM is gone.
pub(crate) fn announce_destroyed(vm: VmIndex) -> Verdict {
    announce(FrameworkMessage::VmDestroyed { info: None, vm: vm.id() })
}

fn announce(message: FrameworkMessage) -> Verdict {
    use FrameworkMessage::{VmCreated, VmCreatedResp, VmDestroyed, VmDestroyedResp};
    if !CONNECTED.load(Ordering::Relaxed) {
        return Verdict::NoPartition;
    }
    let answer = framework(message);
    match (message, answer) {
        (VmCreated { .. }, Ok(VmCreatedResp { status: Ok(()) }))
        | (VmDestroyed { .. }, Ok(VmDestroyedResp { status: Ok(()) })) => Verdict::Agreed,
        (VmDestroyed { .. }, Ok(VmDestroyedResp { status: Err(FfaError::Retry) })) => {
            Verdict::InProgress
        }
        (_, answer) => {
            say!("{message:?} refused: {answer:?}");
            Verdict::Refused
        }
    }
}
