//! Owns the answers to FF-A calls as typed values, in both directions; never decides on one.
//!
//! Answers come from a callee that we trust more than a caller (the SPMC, the hypervisor), and real
//! ones leave stale or sign-extended upper halves behind (TF-A does both): where a register is a
//! w register, only its lower half counts, and registers that an answer does not use are ignored.
//!
//! ```
//! use causeway_ffa::answer::{Answer, NotificationInfo, Notifications, PendingIter, Success};
//! use causeway_ffa::{EndpointId, FfaError, Version, Width};
//!
//! // A callee's side and a caller's side of one answer.
//! let vms = [EndpointId::from_raw(1), EndpointId::from_raw(2)];
//! let mut info = NotificationInfo::new(Width::Bits64);
//! vms.map(|vm| info.push(vm));
//! let registers = info.answer().encode();
//! let Answer::Success(success) = Answer::decode(&registers, Version::V1_1)? else { panic!("refused") };
//! let success: Success = success;
//! let pending: PendingIter = success.pending();
//! assert!(pending.eq(vms));
//!
//! let rung = Notifications { from_sps: 0, from_vms: 1 << 5, from_spm: 0, from_hypervisor: 0 };
//! let Answer::Success(success) = Answer::decode(&Answer::notifications(&rung).encode(), Version::V1_1)? else {
//!     panic!("refused")
//! };
//! assert_eq!(success.notifications(), rung);
//!
//! let refused = Answer::Error(FfaError::Denied);
//! assert_eq!(Answer::decode(&refused.encode(), Version::V1_1), Ok(refused));
//! # Ok::<(), causeway_ffa::DecodeError>(())
//! ```

mod info;

#[cfg(test)]
mod tests;

pub use info::{NotificationInfo, PendingIter};

use crate::call::{
    DecodeError, DirectMessage, DirectMessage2, Framework, Lengths, Vcpu, Width, error, error_code,
};
use crate::regs::{high, join, low};
use crate::{Call, EndpointId, FfaError, FuncId, MemHandle, Regs, Version};

/// The results of FFA_SUCCESS: x2-x17, or w2-w7 where it is 32 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Success {
    width: Width,
    args: [u64; 16],
}

impl Success {
    /// Builds a 32-bit success from w2-w7.
    #[must_use]
    pub fn words(words: [u32; 6]) -> Self {
        let mut args = [0; 16];
        for (slot, word) in args.iter_mut().zip(words) {
            *slot = u64::from(word);
        }
        Self { width: Width::Bits32, args }
    }

    /// Builds a 64-bit success from x2-x17.
    #[must_use]
    pub const fn double_words(args: [u64; 16]) -> Self {
        Self { width: Width::Bits64, args }
    }

    /// Returns x`register` (2 to 17); 0 for any other.
    #[must_use]
    pub fn x(&self, register: usize) -> u64 {
        register.checked_sub(2).and_then(|index| self.args.get(index)).copied().unwrap_or(0)
    }

    /// Returns w`register` (2 to 17); 0 for any other.
    #[must_use]
    pub fn w(&self, register: usize) -> u32 {
        low(self.x(register))
    }

    /// Returns whether the results are w or x registers.
    #[must_use]
    pub const fn width(&self) -> Width {
        self.width
    }

    /// Returns the handle that a memory send leaves in w2 and w3; `None` for the invalid one.
    #[must_use]
    pub fn handle(&self) -> Option<MemHandle> {
        MemHandle::new(u64::from(self.w(2)) | (u64::from(self.w(3)) << 32))
    }

    /// Returns the id that FFA_ID_GET and FFA_SPM_ID_GET leave in w2.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        let [a, b, ..] = self.w(2).to_le_bytes();
        EndpointId::from_raw(u16::from_le_bytes([a, b]))
    }

    /// Returns what FFA_NOTIFICATION_GET leaves in w2-w7.
    #[must_use]
    pub fn notifications(&self) -> Notifications {
        Notifications {
            from_sps: u64::from(self.w(2)) | (u64::from(self.w(3)) << 32),
            from_vms: u64::from(self.w(4)) | (u64::from(self.w(5)) << 32),
            from_spm: self.w(6),
            from_hypervisor: self.w(7),
        }
    }
}

/// What FFA_NOTIFICATION_GET returns; bitmaps that were not asked for are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notifications {
    /// w2, w3.
    pub from_sps: u64,
    /// w4, w5.
    pub from_vms: u64,
    /// w6.
    pub from_spm: u32,
    /// w7.
    pub from_hypervisor: u32,
}

/// What came back from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// FFA_SUCCESS.
    Success(Success),
    /// FFA_ERROR.
    Error(FfaError),
    /// FFA_MEM_RETRIEVE_RESP: the descriptor, or its first fragment, is in RX.
    MemRetrieveResp(Lengths),
    /// FFA_MEM_FRAG_RX: the relayer wants the next fragment of a send.
    MemFragRx {
        /// The transaction.
        handle: MemHandle,
        /// Bytes that it has.
        offset: u32,
        /// The sender VM at a physical instance, else 0.
        endpoint: EndpointId,
    },
    /// FFA_MEM_FRAG_TX: the next fragment of a retrieve response is in RX.
    MemFragTx {
        /// The transaction.
        handle: MemHandle,
        /// Bytes in RX; never 0.
        length: u32,
        /// The receiver VM at a physical instance, else 0.
        endpoint: EndpointId,
    },
    /// The callee of a direct request answered.
    DirectResp(DirectMessage),
    /// The callee of a direct request 2 answered.
    DirectResp2(DirectMessage2),
    /// The callee of a framework message answered.
    FrameworkResp(Framework),
    /// The callee was pre-empted: FFA_RUN lets it go on.
    Interrupt {
        /// Who was interrupted.
        target: Vcpu,
        /// By what, where the SPMC says so.
        interrupt: u32,
    },
    /// The callee gave its cycles back.
    Yield {
        /// Who.
        target: Vcpu,
    },
    /// The callee waits for work (answer to FFA_RUN).
    MsgWait,
}

impl Answer {
    /// A success without results.
    #[must_use]
    pub fn success() -> Self {
        Self::Success(Success::words([0; 6]))
    }

    /// A success with a handle, as sends return it.
    #[must_use]
    pub fn handle(handle: MemHandle) -> Self {
        let raw = handle.get();
        Self::Success(Success::words([low(raw), high(raw), 0, 0, 0, 0]))
    }

    /// A success with an id, as FFA_ID_GET returns it.
    #[must_use]
    pub fn endpoint(id: EndpointId) -> Self {
        Self::Success(Success::words([u32::from(id.get()), 0, 0, 0, 0, 0]))
    }

    /// A success with two words, as FFA_FEATURES (properties) and FFA_PARTITION_INFO_GET (count,
    /// descriptor size) return them.
    #[must_use]
    pub fn two_words(w2: u32, w3: u32) -> Self {
        Self::Success(Success::words([w2, w3, 0, 0, 0, 0]))
    }

    /// A success of FFA_NOTIFICATION_GET.
    #[must_use]
    pub fn notifications(n: &Notifications) -> Self {
        Self::Success(Success::words([
            low(n.from_sps),
            high(n.from_sps),
            low(n.from_vms),
            high(n.from_vms),
            n.from_spm,
            n.from_hypervisor,
        ]))
    }

    /// Reports whether x0-x7 of an answer are a plain success, by the short way: what
    /// [`Answer::decode`] would find as [`Answer::Success`] with 32-bit results. `false` says only
    /// that `decode` must be asked.
    #[inline]
    #[must_use]
    pub const fn is_success32(answer: &[u64; 8]) -> bool {
        let [x0, ..] = *answer;
        low(x0) == FuncId::Success32.raw()
    }

    /// Reads x0-x7 of FFA_MEM_RETRIEVE_RESP by the short way: the lengths that [`Answer::decode`]
    /// would find. `None` says only that `decode` must be asked.
    #[inline]
    #[must_use]
    pub const fn retrieved(answer: &[u64; 8]) -> Option<Lengths> {
        let [x0, x1, x2, ..] = *answer;
        if low(x0) == FuncId::MemRetrieveResp.raw() { Lengths::new(low(x1), low(x2)) } else { None }
    }

    /// Reads an answer. Total: every register file is an answer or an error.
    ///
    /// # Errors
    /// [`DecodeError::WrongDirection`] for a request, else as [`Call::decode`].
    pub fn decode(regs: &Regs, version: Version) -> Result<Self, DecodeError> {
        let func = regs.func().ok_or(DecodeError::UnknownFunction { raw: regs.w(0) })?;
        let is = |one: FuncId| func == one;
        if is(FuncId::Error) {
            return Ok(Self::Error(error_code(regs)));
        }
        if is(FuncId::Success32) {
            let words = regs.run::<6>(2).map(low);
            return Ok(Self::Success(Success::words(words)));
        }
        if is(FuncId::Success64) {
            return Ok(Self::Success(Success::double_words(regs.run(2))));
        }
        if is(FuncId::MemRetrieveResp) {
            let lengths = Lengths::new(regs.w(1), regs.w(2));
            return lengths.map(Self::MemRetrieveResp).ok_or(DecodeError::BadField { register: 2 });
        }
        if is(FuncId::MsgYield) {
            return Ok(Self::Yield { target: Vcpu::from_word(regs.w(1)) });
        }
        // The rest are requests in form, too. Upper halves that a w register does not have go first.
        let narrowed = if func.is_64_bit() { *regs } else { narrow(regs) };
        match Call::decode(&narrowed, version)? {
            Call::DirectResp(message) => Ok(Self::DirectResp(message)),
            Call::DirectResp2(message) => Ok(Self::DirectResp2(message)),
            Call::FrameworkResp(message) => Ok(Self::FrameworkResp(message)),
            Call::MemFragRx { handle, offset, endpoint } => {
                Ok(Self::MemFragRx { handle, offset, endpoint })
            }
            Call::MemFragTx { handle, length, endpoint } => {
                Ok(Self::MemFragTx { handle, length, endpoint })
            }
            Call::Interrupt { target, interrupt } => Ok(Self::Interrupt { target, interrupt }),
            Call::MsgWait => Ok(Self::MsgWait),
            Call::Version { .. }
            | Call::Features { .. }
            | Call::RxAcquire { .. }
            | Call::RxRelease { .. }
            | Call::RxTxMap { .. }
            | Call::RxTxUnmap { .. }
            | Call::PartitionInfoGet { .. }
            | Call::IdGet
            | Call::SpmIdGet
            | Call::Yield
            | Call::Run { .. }
            | Call::DirectReq(_)
            | Call::DirectReq2(_)
            | Call::FrameworkReq(_)
            | Call::MemSend { .. }
            | Call::MemRetrieveReq { .. }
            | Call::MemRelinquish
            | Call::MemReclaim { .. }
            | Call::MemPermGet { .. }
            | Call::MemPermSet { .. }
            | Call::ConsoleLog { .. }
            | Call::NotificationBitmapCreate { .. }
            | Call::NotificationBitmapDestroy { .. }
            | Call::NotificationBind { .. }
            | Call::NotificationUnbind { .. }
            | Call::NotificationSet { .. }
            | Call::NotificationGet { .. }
            | Call::NotificationInfoGet { .. }
            | Call::SecondaryEpRegister { .. }
            | Call::Error(_) => Err(DecodeError::WrongDirection(func)),
        }
    }

    /// Writes an answer. Registers that it does not use are zero (KB-12).
    #[must_use]
    pub fn encode(&self) -> Regs {
        match *self {
            Self::Success(success) => {
                let func = match success.width {
                    Width::Bits32 => FuncId::Success32,
                    Width::Bits64 => FuncId::Success64,
                };
                Regs::of(func).with_run(2, &success.args)
            }
            Self::Error(code) => error(code),
            Self::MemRetrieveResp(lengths) => Regs::of(FuncId::MemRetrieveResp)
                .with_w(1, lengths.total())
                .with_w(2, lengths.fragment()),
            Self::MemFragRx { handle, offset, endpoint } => {
                Call::MemFragRx { handle, offset, endpoint }.encode()
            }
            Self::MemFragTx { handle, length, endpoint } => {
                Call::MemFragTx { handle, length, endpoint }.encode()
            }
            Self::DirectResp(message) => Call::DirectResp(message).encode(),
            Self::DirectResp2(message) => Call::DirectResp2(message).encode(),
            Self::FrameworkResp(message) => Call::FrameworkResp(message).encode(),
            Self::Interrupt { target, interrupt } => Call::Interrupt { target, interrupt }.encode(),
            Self::Yield { target } => {
                Regs::of(FuncId::MsgYield).with_w(1, join(target.endpoint.get(), target.vcpu))
            }
            Self::MsgWait => Call::MsgWait.encode(),
        }
    }
}

fn narrow(regs: &Regs) -> Regs {
    Regs(regs.0.map(|x| u64::from(low(x))))
}
