//! Owns what a message from the SPMC asks of the partition, and how a refusal looks. Never acts;
//! total: every register file has an outcome.

use crate::platform::Outgoing;
use causeway_abi::{Frame, Reply, Status};
use causeway_ffa::call::{DirectMessage, DirectMessage2, Framework, FrameworkMessage, Width};
use causeway_ffa::{Call, EndpointId, FfaError, FuncId, Regs, Uuid, Version};
use causeway_virtio::bus::LongWords;

/// The version that the manifest names and the partition negotiates.
pub const VERSION: Version = Version::V1_1;

/// What to do about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Nobody waits for an answer: call FFA_MSG_WAIT.
    Wait,
    /// A secure interrupt is pending on this core: fetch it, then wait.
    Interrupt,
    /// The SPMC refused what we sent it.
    Refused(FfaError),
    /// Send this; no state is concerned.
    Answer(Regs),
    /// The SPMC says that this core is about to be switched off: let go of it, then send this.
    CoreOff(Regs),
    /// A frame of the service interface or of the bus.
    Frame(DirectMessage),
    /// A direct message of fourteen words: where the SPMC has FFA_MSG_SEND_DIRECT_REQ2.
    Long(DirectMessage2),
    /// A framework message about a VM, not yet judged by its sender.
    Vm(Framework, VmEvent),
}

/// What a framework message says of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmEvent {
    /// It was created.
    Created(EndpointId),
    /// It was destroyed.
    Destroyed(EndpointId),
}

/// Finds the task of a message. `spmc` is the SPMC's own id: only from there power messages count.
#[must_use]
pub fn task(regs: &Regs, spmc: EndpointId) -> Task {
    if regs.func() == Some(FuncId::DirectReq2) {
        return long_task(regs);
    }
    match Call::decode(regs, VERSION) {
        Ok(Call::DirectReq(message)) => match message.width {
            Width::Bits64 => Task::Frame(message),
            Width::Bits32 => Task::Answer(refuse(&message, Status::BadArgument)),
        },
        Ok(Call::FrameworkReq(framework)) => framework_task(framework, spmc),
        Ok(Call::Error(error)) => Task::Refused(error),
        Ok(Call::Interrupt { .. }) => Task::Interrupt,
        // FFA_RUN and whatever else is no request: the context waits again.
        Ok(_) => Task::Wait,
        Err(_) => {
            Call::direct_parties(regs).map_or(Task::Wait, |parties| malformed(regs, parties, spmc))
        }
    }
}

/// Reads a frame by the short way: [`task`] would find [`Task::Frame`]. `None` says nothing.
#[inline]
#[must_use]
pub fn frame(regs: &Regs) -> Option<DirectMessage> {
    DirectMessage::request64(regs)
}

/// A message of the second kind. An SPMC that delivers one has it, whatever version we agreed on.
fn long_task(regs: &Regs) -> Task {
    match Call::decode(regs, Version::V1_2) {
        Ok(Call::DirectReq2(message)) => Task::Long(message),
        Ok(_) | Err(_) => Call::direct_parties(regs).map_or(Task::Wait, |(sender, receiver, _)| {
            let message = DirectMessage2 { sender, receiver, uuid: Uuid::NIL, words: [0; 14] };
            Task::Answer(answer_long(&message, [0; 14]))
        }),
    }
}

/// A direct request that makes no sense still has somebody waiting for its answer.
fn malformed(
    regs: &Regs,
    (sender, receiver, width): (EndpointId, EndpointId, Width),
    spmc: EndpointId,
) -> Task {
    if sender == spmc {
        // The SPMC itself sends power messages only, and a core must not hang on a register that
        // it left stale: agree.
        let message = FrameworkMessage::PowerResp { status: 0 };
        let answer = Framework { sender: receiver, receiver: sender, message };
        let answer = Call::FrameworkResp(answer).encode();
        let leaves = u64::from(regs.w(3)) == CPU_OFF;
        return if leaves { Task::CoreOff(answer) } else { Task::Answer(answer) };
    }
    let message = DirectMessage { sender, receiver, width, words: frame_words(regs) };
    Task::Answer(refuse(&message, Status::ReservedNotZero))
}

fn framework_task(request: Framework, spmc: EndpointId) -> Task {
    let answer = |message| Task::Answer(Call::FrameworkResp(request.reply(message)).encode());
    match request.message {
        FrameworkMessage::PowerPsci { .. } | FrameworkMessage::PowerWarmBoot { .. } => {
            // What of ours is bound to a core moves to another, so every power change is agreed to: but
            // the word of anybody else is not a power change (-3: PSCI DENIED).
            let status = if request.sender == spmc { 0 } else { -3 };
            let regs = Call::FrameworkResp(request.reply(FrameworkMessage::PowerResp { status }));
            let leaves = status == 0 && switches_off(request.message);
            if leaves { Task::CoreOff(regs.encode()) } else { Task::Answer(regs.encode()) }
        }
        FrameworkMessage::VmCreated { vm, .. } => Task::Vm(request, VmEvent::Created(vm)),
        FrameworkMessage::VmDestroyed { vm, .. } => Task::Vm(request, VmEvent::Destroyed(vm)),
        FrameworkMessage::VersionReq { .. } => {
            let reply = u32::from_le_bytes(FfaError::NotSupported.code().to_le_bytes());
            answer(FrameworkMessage::VersionResp { reply })
        }
        // Answers in a request: the type in the reply tells the sender nothing more.
        FrameworkMessage::PowerResp { .. }
        | FrameworkMessage::VmCreatedResp { .. }
        | FrameworkMessage::VmDestroyedResp { .. }
        | FrameworkMessage::VersionResp { .. } => {
            answer(FrameworkMessage::PowerResp { status: -3 })
        }
    }
}

/// PSCI CPU_OFF. Source: DEN0022, 5.1.3.
const CPU_OFF: u64 = 0x8400_0002;

fn switches_off(message: FrameworkMessage) -> bool {
    let FrameworkMessage::PowerPsci { params, .. } = message else { return false };
    let [function, ..] = params;
    function == CPU_OFF
}

/// Answers a frame.
#[inline]
#[must_use]
pub fn answer(message: &DirectMessage, words: Frame) -> Outgoing {
    message.reply8(words)
}

/// Answers a message of the second kind.
#[must_use]
pub fn answer_long(message: &DirectMessage2, words: LongWords) -> Regs {
    let (sender, receiver) = (message.receiver, message.sender);
    Call::DirectResp2(DirectMessage2 { sender, receiver, uuid: Uuid::NIL, words }).encode()
}

/// A frame at the beginning of fourteen words.
#[must_use]
pub const fn widen([a, b, c, d, e]: Frame) -> LongWords {
    [a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// The frame at the beginning of fourteen words.
#[must_use]
pub const fn narrow([a, b, c, d, e, ..]: LongWords) -> Frame {
    [a, b, c, d, e]
}

/// Answers a framework message about a VM.
#[must_use]
pub fn answer_vm(request: &Framework, event: VmEvent, status: Result<(), FfaError>) -> Regs {
    let message = match event {
        VmEvent::Created(_) => FrameworkMessage::VmCreatedResp { status },
        VmEvent::Destroyed(_) => FrameworkMessage::VmDestroyedResp { status },
    };
    Call::FrameworkResp(request.reply(message)).encode()
}

/// Refuses a frame in the language in which it came: a virtio-msg ERROR, or a status.
#[must_use]
pub fn refuse(message: &DirectMessage, status: Status) -> Regs {
    Regs::from_smc8(answer(message, refused_frame(&message.words, status)))
}

/// The frame of a refusal: see [`refuse`].
#[must_use]
pub fn refused_frame(frame: &Frame, status: Status) -> Frame {
    let [word, ..] = *frame;
    let [first, id, d0, d1, t0, t1, _, _] = word.to_le_bytes();
    if is_bus_message(frame) {
        // Bus message ERROR: response and bus bits, id 0x87, device and token kept, 10 bytes long,
        // then the refused id. Source: virtio-msg over FF-A, message 0x87.
        let header = [first | 0x3, 0x87, d0, d1, t0, t1, 10, 0];
        [u64::from_le_bytes(header), u64::from(id), 0, 0, 0]
    } else {
        Reply::refused(first, status).encode()
    }
}

/// Reports whether a frame is a virtio-msg message: its first byte is a message type, 0 to 3.
#[must_use]
pub fn is_bus_message(frame: &Frame) -> bool {
    let [first, ..] = frame[0].to_le_bytes();
    first <= 3
}

fn frame_words(regs: &Regs) -> Frame {
    core::array::from_fn(|word| regs.x(word + 3))
}

/// What a partition that crashed answers to a message: whoever waits learns that it failed; cores
/// may still be switched off. `None`: nobody waits, call FFA_MSG_WAIT.
#[must_use]
pub fn answer_of_crashed(regs: &Regs, spmc: EndpointId) -> Option<Regs> {
    match task(regs, spmc) {
        Task::Wait | Task::Interrupt | Task::Refused(_) => None,
        Task::Answer(answer) | Task::CoreOff(answer) => Some(answer),
        Task::Frame(message) => Some(refuse(&message, CRASHED)),
        Task::Long(message) => {
            let refused = refused_frame(&narrow(message.words), CRASHED);
            Some(answer_long(&message, widen(refused)))
        }
        Task::Vm(request, event) => Some(answer_vm(&request, event, Err(FfaError::Aborted))),
    }
}

/// The status of every call after a crash.
pub const CRASHED: Status = Status::PartitionFailed;

#[cfg(test)]
mod tests;
