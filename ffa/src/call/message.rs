//! Owns direct messages: partition messages as five words, framework messages by meaning.
//! Never judges a sender.

use super::DecodeError;
use super::types::Width;
use crate::regs::{halves, high, join, low};
use crate::{EndpointId, FfaError, FuncId, MemHandle, Regs, Uuid, Version};

/// A partition message of a direct request or response: x3-x7 (w3-w7 when 32 bits wide).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectMessage {
    /// Who sends.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// Which of the two function ids; 32 bits wide, the words' upper halves are zero.
    pub width: Width,
    /// The payload.
    pub words: [u64; 5],
}

/// A direct request 2 or its response: x4-x17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectMessage2 {
    /// Who sends.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// The service asked for; nil in a response.
    pub uuid: Uuid,
    /// The payload.
    pub words: [u64; 14],
}

/// A framework message. Source: DEN0077A 1.2, 18.2 (power management), 18.3 (VM availability) and
/// FFA_MSG_SEND_DIRECT_REQ, w2: bit 31 set, message type in bits 7:0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Framework {
    /// Who sends. Power messages count only from the SPMC, VM messages only from the hypervisor.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// What it says.
    pub message: FrameworkMessage,
}

/// From which state a core comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarmBoot {
    /// 0: from suspend to RAM.
    SuspendToRam,
    /// 1: from a shallower state.
    LowPower,
}

/// What a framework message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameworkMessage {
    /// Type 0: a PSCI call is about to be carried out; `params[0]` is its function id.
    PowerPsci {
        /// w3-w6 (x3-x6 in an SMC64 message).
        params: [u64; 4],
        /// Which of the two function ids.
        width: Width,
    },
    /// Type 1: this core comes back.
    PowerWarmBoot {
        /// From where.
        kind: WarmBoot,
    },
    /// Type 2: the partition's answer to both; a PSCI status, 0 for success.
    PowerResp {
        /// The status.
        status: i32,
    },
    /// Type 4: the hypervisor created a VM.
    VmCreated {
        /// Memory with the hypervisor's own information on the VM, if any.
        info: Option<MemHandle>,
        /// The VM.
        vm: EndpointId,
    },
    /// Type 5: the partition's answer.
    VmCreatedResp {
        /// How it went.
        status: Result<(), FfaError>,
    },
    /// Type 6: the hypervisor destroys a VM.
    VmDestroyed {
        /// Memory with the hypervisor's own information on the VM, if any.
        info: Option<MemHandle>,
        /// The VM.
        vm: EndpointId,
    },
    /// Type 7: the partition's answer. RETRY: not done yet, send the message again.
    VmDestroyedResp {
        /// How it went.
        status: Result<(), FfaError>,
    },
    /// Type 8: SPMD to SPMC, a version call of the normal world.
    VersionReq {
        /// What was asked for.
        requested: u32,
    },
    /// Type 9: SPMC to SPMD, its answer.
    VersionResp {
        /// The reply, a version or an error code.
        reply: u32,
    },
}

/// Bit 31 of w2: a framework message.
pub(super) const FRAMEWORK_BIT: u32 = 1 << 31;

fn status_of(word: u32) -> Result<(), FfaError> {
    match i32::from_le_bytes(word.to_le_bytes()) {
        0 => Ok(()),
        code => Err(FfaError::from_code(code)),
    }
}

fn code_of(status: Result<(), FfaError>) -> u32 {
    let code = status.map_or_else(FfaError::code, |()| 0);
    u32::from_le_bytes(code.to_le_bytes())
}

fn handle_of(regs: &Regs) -> Option<MemHandle> {
    MemHandle::new(u64::from(regs.w(3)) | (u64::from(regs.w(4)) << 32))
}

impl FrameworkMessage {
    /// Returns the message type in bits 7:0 of w2.
    #[must_use]
    pub const fn type_code(&self) -> u8 {
        match self {
            Self::PowerPsci { .. } => 0,
            Self::PowerWarmBoot { .. } => 1,
            Self::PowerResp { .. } => 2,
            Self::VmCreated { .. } => 4,
            Self::VmCreatedResp { .. } => 5,
            Self::VmDestroyed { .. } => 6,
            Self::VmDestroyedResp { .. } => 7,
            Self::VersionReq { .. } => 8,
            Self::VersionResp { .. } => 9,
        }
    }

    /// Reports whether the message travels in a direct request (else in a response).
    #[must_use]
    pub const fn is_request(&self) -> bool {
        match self {
            Self::PowerPsci { .. }
            | Self::PowerWarmBoot { .. }
            | Self::VmCreated { .. }
            | Self::VmDestroyed { .. }
            | Self::VersionReq { .. } => true,
            Self::PowerResp { .. }
            | Self::VmCreatedResp { .. }
            | Self::VmDestroyedResp { .. }
            | Self::VersionResp { .. } => false,
        }
    }

    /// Reads w2 and what follows. Only PSCI requests exist 64 bits wide.
    pub(super) fn decode(regs: &Regs, width: Width) -> Result<Self, DecodeError> {
        let flags = regs.w(2);
        if flags & !(FRAMEWORK_BIT | 0xff) != 0 {
            return Err(DecodeError::Reserved { register: 2 });
        }
        let [code, ..] = flags.to_le_bytes();
        if width == Width::Bits64 && code != 0 {
            return Err(DecodeError::BadField { register: 2 });
        }
        // The EL3 SPMC writes x0-x3 of a power message and leaves x4-x7 as the partition's last call
        // left them: of these messages only lower halves count, of all others also the upper ones.
        let is_power = code < 2;
        let used = if matches!(code, 4 | 6) { 3..=5 } else { 3..=3 };
        if let Some(register) =
            used.into_iter().find(|n| !is_power && high(regs.x(usize::from(*n))) != 0)
        {
            return Err(DecodeError::UpperHalf { register });
        }
        let params: [u64; 4] = regs.run(3);
        Ok(match (code, width) {
            (0, Width::Bits32) => {
                Self::PowerPsci { params: params.map(|param| u64::from(low(param))), width }
            }
            (0, Width::Bits64) => Self::PowerPsci { params, width },
            (1, _) => Self::PowerWarmBoot {
                kind: match regs.w(3) {
                    0 => WarmBoot::SuspendToRam,
                    1 => WarmBoot::LowPower,
                    _ => return Err(DecodeError::BadField { register: 3 }),
                },
            },
            (2, _) => Self::PowerResp { status: i32::from_le_bytes(regs.w(3).to_le_bytes()) },
            // Bits 31:16 of w5 are SBZ: ignored, as Hafnium does.
            (4, _) => Self::VmCreated { info: handle_of(regs), vm: low_id(regs.w(5)) },
            (5, _) => Self::VmCreatedResp { status: status_of(regs.w(3)) },
            (6, _) => Self::VmDestroyed { info: handle_of(regs), vm: low_id(regs.w(5)) },
            (7, _) => Self::VmDestroyedResp { status: status_of(regs.w(3)) },
            (8, _) => Self::VersionReq { requested: regs.w(3) },
            (9, _) => Self::VersionResp { reply: regs.w(3) },
            _ => return Err(DecodeError::BadField { register: 2 }),
        })
    }

    /// Writes w2 and what follows.
    pub(super) fn encode(&self, regs: Regs) -> Regs {
        let regs = regs.with_w(2, FRAMEWORK_BIT | u32::from(self.type_code()));
        match *self {
            Self::PowerPsci { params, width: Width::Bits64 } => regs.with_run(3, &params),
            Self::PowerPsci { params, width: Width::Bits32 } => {
                regs.with_run(3, &params.map(|param| u64::from(low(param))))
            }
            Self::PowerWarmBoot { kind: WarmBoot::SuspendToRam } => regs,
            Self::PowerWarmBoot { kind: WarmBoot::LowPower } => regs.with_w(3, 1),
            Self::PowerResp { status } => regs.with_w(3, u32::from_le_bytes(status.to_le_bytes())),
            Self::VmCreated { info, vm } | Self::VmDestroyed { info, vm } => {
                let handle = info.map_or(u64::MAX, MemHandle::get);
                regs.with_w(3, low(handle)).with_w(4, high(handle)).with_w(5, u32::from(vm.get()))
            }
            Self::VmCreatedResp { status } | Self::VmDestroyedResp { status } => {
                regs.with_w(3, code_of(status))
            }
            Self::VersionReq { requested: word } | Self::VersionResp { reply: word } => {
                regs.with_w(3, word)
            }
        }
    }

    /// Returns the width of the direct message that carries this one.
    #[must_use]
    pub const fn width(&self) -> Width {
        match self {
            Self::PowerPsci { width, .. } => *width,
            Self::PowerWarmBoot { .. }
            | Self::PowerResp { .. }
            | Self::VmCreated { .. }
            | Self::VmCreatedResp { .. }
            | Self::VmDestroyed { .. }
            | Self::VmDestroyedResp { .. }
            | Self::VersionReq { .. }
            | Self::VersionResp { .. } => Width::Bits32,
        }
    }

    /// The requested version of a [`FrameworkMessage::VersionReq`], if it is well formed.
    #[must_use]
    pub const fn requested_version(&self) -> Option<Version> {
        if let Self::VersionReq { requested } = self { Version::from_raw(*requested) } else { None }
    }
}

fn low_id(word: u32) -> EndpointId {
    EndpointId::from_raw(halves(word).1)
}

/// Reads sender and receiver from w1.
pub(super) fn parties(regs: &Regs) -> (EndpointId, EndpointId) {
    let (sender, receiver) = halves(regs.w(1));
    (EndpointId::from_raw(sender), EndpointId::from_raw(receiver))
}

/// Writes sender and receiver to w1.
pub(super) fn with_parties(regs: Regs, sender: EndpointId, receiver: EndpointId) -> Regs {
    regs.with_w(1, join(sender.get(), receiver.get()))
}

impl DirectMessage {
    /// Reads the most frequent call of all: a 64-bit direct request with no reserved bit set. The
    /// same as [`Call::decode`](super::Call::decode) makes of it, for a tenth of the instructions;
    /// `None` says only that `Call::decode` must be asked.
    #[inline]
    #[must_use]
    pub fn request64(regs: &Regs) -> Option<Self> {
        let Regs([x0, x1, x2, w0, w1, w2, w3, w4, ..]) = *regs;
        if x0 != u64::from(FuncId::DirectReq64.raw()) || high(x1) != 0 || x2 != 0 {
            return None;
        }
        let (sender, receiver) = parties(regs);
        Some(Self { sender, receiver, width: Width::Bits64, words: [w0, w1, w2, w3, w4] })
    }

    /// Returns x0-x7 of the answer to this message: what `Call::DirectResp(self.reply(words))`
    /// encodes.
    #[inline]
    #[must_use]
    pub fn reply8(&self, words: [u64; 5]) -> [u64; 8] {
        let func = match self.width {
            Width::Bits32 => FuncId::DirectResp32,
            Width::Bits64 => FuncId::DirectResp64,
        };
        let parties = join(self.receiver.get(), self.sender.get());
        let [w0, w1, w2, w3, w4] = match self.width {
            Width::Bits32 => words.map(|word| u64::from(low(word))),
            Width::Bits64 => words,
        };
        [u64::from(func.raw()), u64::from(parties), 0, w0, w1, w2, w3, w4]
    }

    /// Returns the answer to this message: parties swapped, same width.
    #[must_use]
    pub const fn reply(&self, words: [u64; 5]) -> Self {
        Self { sender: self.receiver, receiver: self.sender, width: self.width, words }
    }
}

impl Framework {
    /// Returns the answer to this message: parties swapped.
    #[must_use]
    pub const fn reply(&self, message: FrameworkMessage) -> Self {
        Self { sender: self.receiver, receiver: self.sender, message }
    }
}
