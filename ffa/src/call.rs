//! Owns the requests of FF-A as typed values, in both directions; never decides who may make one.
//!
//! [`Call::decode`] is total. What it checks, in this order: the function id (and that the
//! negotiated version has it), the upper halves of the registers that an SMC32 call uses, reserved
//! (MBZ) bits, the values of the fields. Registers that a call does not use are ignored, as
//! DEN0077A 1.2 asks ("Reserved parameter convention"). [`Call::encode`] leaves them zero.
//!
//! Decoding what a caller's registers say, and encoding an own call:
//!
//! ```
//! use causeway_ffa::call::{Call, DecodeError, DirectMessage, FeatureQuery, InfoForm};
//! use causeway_ffa::{EndpointId, FuncId, Regs, Uuid, Version, Width};
//!
//! let asked = Call::Features { query: FeatureQuery::Function(FuncId::MemShare32), properties: 0 };
//! assert_eq!(Call::decode(&asked.encode(), Version::V1_1), Ok(asked));
//! let listed = Call::PartitionInfoGet { uuid: Uuid::NIL, form: InfoForm::CountOnly };
//! assert_eq!(Call::decode(&listed.encode(), Version::V1_1), Ok(listed));
//!
//! let (sender, receiver) = (EndpointId::from_raw(1), EndpointId::from_raw(0x8001));
//! let message = DirectMessage { sender, receiver, width: Width::Bits64, words: [1, 2, 3, 4, 5] };
//! let registers = Call::DirectReq(message).encode();
//! assert_eq!(Call::direct_parties(&registers), Some((sender, receiver, Width::Bits64)));
//! // The answer goes back to the sender.
//! assert_eq!((message.reply([0; 5]).sender, message.reply([0; 5]).receiver), (receiver, sender));
//!
//! // Reserved bits must be zero, and what is no function is told apart from what a version does not have.
//! let mut broken = registers;
//! broken.0[2] = 1;
//! assert!(matches!(Call::decode(&broken, Version::V1_1), Err(DecodeError::Reserved { .. })));
//! let unknown = Call::decode(&Regs::from_smc8([0x8400_00ff, 0, 0, 0, 0, 0, 0, 0]), Version::V1_1);
//! assert!(matches!(unknown, Err(DecodeError::UnknownFunction { .. })));
//! ```
//!
//! Calls about memory:
//!
//! ```
//! use causeway_ffa::call::{
//!     Call, DataPermission, InstructionPermission, Lengths, PagePermission, ReclaimFlags, TimeSlice, Transfer, Zero,
//! };
//! use causeway_ffa::{MemHandle, Version};
//!
//! // A descriptor of 8000 bytes, of which the first 4096 lie in the TX buffer.
//! let lengths = Lengths::new(8000, 4096).expect("a fragment is no longer than the whole");
//! assert!(!lengths.is_whole());
//! let share = Call::MemSend { kind: Transfer::Share, lengths };
//! assert_eq!(Call::decode(&share.encode(), Version::V1_1), Ok(share));
//!
//! let flags = ReclaimFlags { zero: Zero::Zero, time_slice: TimeSlice::Whole };
//! assert_eq!(ReclaimFlags::from_word(flags.word()), Some(flags));
//! let handle = MemHandle::new(0x1234).expect("a handle");
//! let reclaim = Call::MemReclaim { handle, flags };
//! assert_eq!(Call::decode(&reclaim.encode(), Version::V1_1), Ok(reclaim));
//!
//! let data = PagePermission { data: DataPermission::ReadWrite, instruction: InstructionPermission::NotExecutable };
//! assert_eq!(PagePermission::from_word(data.word()), Some(data));
//! ```
//!
//! Messages of the framework, notifications, and what only some SPMCs serve:
//!
//! ```
//! use causeway_ffa::call::{
//!     BitmapSet, Call, ConsoleText, DirectMessage2, Framework, FrameworkMessage, RareCall, Scope, Signal, Vcpu, WarmBoot,
//! };
//! use causeway_ffa::{EndpointId, Uuid, Version, Width};
//!
//! let (spmc, partition) = (EndpointId::from_raw(0x8000), EndpointId::from_raw(0x8001));
//! let message = FrameworkMessage::PowerWarmBoot { kind: WarmBoot::SuspendToRam };
//! let woken = Framework { sender: spmc, receiver: partition, message };
//! assert!(woken.message.is_request());
//! assert_eq!(Call::decode(&Call::FrameworkReq(woken).encode(), Version::V1_1), Ok(Call::FrameworkReq(woken)));
//!
//! let vcpu = Vcpu { endpoint: EndpointId::from_raw(2), vcpu: 1 };
//! assert_eq!(Vcpu::from_word(vcpu.word()), vcpu);
//! assert!(BitmapSet::VM.and(BitmapSet::SP).has(BitmapSet::VM));
//! assert_ne!((Scope::Global, Signal::Now), (Scope::PerVcpu, Signal::Delayed));
//!
//! let text = ConsoleText::new(b"hello").expect("at most 48 bytes");
//! let log = Call::ConsoleLog { text, width: Width::Bits64 };
//! assert_eq!(Call::decode(&log.encode(), Version::V1_2), Ok(log));
//! let long = DirectMessage2 { sender: vcpu.endpoint, receiver: partition, uuid: Uuid::NIL, words: [7; 14] };
//! assert_eq!(Call::decode(&Call::DirectReq2(long).encode(), Version::V1_2), Ok(Call::DirectReq2(long)));
//! let rare = RareCall::Abort { width: Width::Bits32 };
//! assert_eq!(RareCall::decode(&rare.encode(), Version::V1_3), Ok(rare));
//! ```

mod decode;
mod encode;
mod error;
mod message;
mod rare;
mod text;
mod types;

#[cfg(test)]
mod tests;

pub(crate) use decode::error_code;
pub(crate) use encode::error;
pub use error::DecodeError;
pub use message::{DirectMessage, DirectMessage2, Framework, FrameworkMessage, WarmBoot};
pub use rare::RareCall;
pub use text::{CONSOLE_MAX, ConsoleText};
pub use types::{
    BitmapSet, DataPermission, FeatureQuery, InfoForm, InstructionPermission, Lengths,
    PagePermission, ReclaimFlags, Scope, Signal, TimeSlice, Transfer, Vcpu, Width, Zero,
};

use crate::{EndpointId, FfaError, MemHandle, PageAddr, Regs, Uuid, Version};

/// A request, checked as far as its registers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// FFA_VERSION. `None`: bit 31 of the requested version was set; the reply is
    /// [`crate::regs::version_reply`]`(None)`, never an FFA_ERROR.
    Version {
        /// The version that the caller speaks.
        requested: Option<Version>,
    },
    /// FFA_FEATURES.
    Features {
        /// What is asked for.
        query: FeatureQuery,
        /// Input properties (w2); their meaning depends on the query.
        properties: u32,
    },
    /// FFA_RX_ACQUIRE (hypervisor to SPMC).
    RxAcquire {
        /// Whose RX buffer.
        vm: EndpointId,
    },
    /// FFA_RX_RELEASE. `vm` is 0 unless the hypervisor releases on a VM's behalf.
    RxRelease {
        /// Whose RX buffer.
        vm: EndpointId,
    },
    /// FFA_RXTX_MAP. The two buffers are distinct and do not overlap.
    RxTxMap {
        /// What the caller writes.
        tx: PageAddr,
        /// What the caller reads.
        rx: PageAddr,
        /// 4 KiB pages in each; 1 to 63.
        page_count: u32,
        /// Which of the two function ids.
        width: Width,
    },
    /// FFA_RXTX_UNMAP. `endpoint` is 0 unless the hypervisor calls on a VM's behalf.
    RxTxUnmap {
        /// Whose buffers.
        endpoint: EndpointId,
    },
    /// FFA_PARTITION_INFO_GET.
    PartitionInfoGet {
        /// Whom to list; nil for all.
        uuid: Uuid,
        /// Descriptors or a count.
        form: InfoForm,
    },
    /// FFA_ID_GET.
    IdGet,
    /// FFA_SPM_ID_GET.
    SpmIdGet,
    /// FFA_MSG_WAIT.
    MsgWait,
    /// FFA_YIELD.
    Yield,
    /// FFA_RUN.
    Run {
        /// Whom to run.
        target: Vcpu,
    },
    /// FFA_INTERRUPT. The EL3 SPMC leaves `interrupt` zero: ask the interrupt controller.
    Interrupt {
        /// Who was interrupted.
        target: Vcpu,
        /// The interrupt's id, where the sender knows it.
        interrupt: u32,
    },
    /// FFA_MSG_SEND_DIRECT_REQ with a partition message.
    DirectReq(DirectMessage),
    /// FFA_MSG_SEND_DIRECT_RESP with a partition message.
    DirectResp(DirectMessage),
    /// FFA_MSG_SEND_DIRECT_REQ2.
    DirectReq2(DirectMessage2),
    /// FFA_MSG_SEND_DIRECT_RESP2. The UUID is nil.
    DirectResp2(DirectMessage2),
    /// FFA_MSG_SEND_DIRECT_REQ with a framework message. Any endpoint can send one: whoever acts
    /// on it must look at its sender first.
    FrameworkReq(Framework),
    /// FFA_MSG_SEND_DIRECT_RESP with a framework message.
    FrameworkResp(Framework),
    /// FFA_MEM_SHARE, FFA_MEM_LEND, FFA_MEM_DONATE with the descriptor in the TX buffer.
    MemSend {
        /// Which of the three.
        kind: Transfer,
        /// Bytes in all, and in this fragment.
        lengths: Lengths,
    },
    /// FFA_MEM_RETRIEVE_REQ with the descriptor in the TX buffer.
    MemRetrieveReq {
        /// Bytes in all, and in this fragment.
        lengths: Lengths,
    },
    /// FFA_MEM_RELINQUISH with the descriptor in the TX buffer.
    MemRelinquish,
    /// FFA_MEM_RECLAIM.
    MemReclaim {
        /// The transaction.
        handle: MemHandle,
        /// What to do on the way.
        flags: ReclaimFlags,
    },
    /// FFA_MEM_FRAG_RX: the next fragment, please.
    MemFragRx {
        /// The transaction.
        handle: MemHandle,
        /// Bytes received so far.
        offset: u32,
        /// The VM on whose behalf the hypervisor calls; 0 at a virtual instance.
        endpoint: EndpointId,
    },
    /// FFA_MEM_FRAG_TX: here is the next fragment.
    MemFragTx {
        /// The transaction.
        handle: MemHandle,
        /// Bytes in this fragment; never 0.
        length: u32,
        /// The VM on whose behalf the hypervisor calls; 0 at a virtual instance.
        endpoint: EndpointId,
    },
    /// FFA_MEM_PERM_GET.
    MemPermGet {
        /// The page.
        page: PageAddr,
        /// Which of the two function ids.
        width: Width,
    },
    /// FFA_MEM_PERM_SET.
    MemPermSet {
        /// The first page.
        page: PageAddr,
        /// How many; never 0.
        page_count: u32,
        /// What they shall allow.
        permission: PagePermission,
        /// Which of the two function ids.
        width: Width,
    },
    /// FFA_CONSOLE_LOG.
    ConsoleLog {
        /// What to print.
        text: ConsoleText,
        /// Which of the two function ids.
        width: Width,
    },
    /// FFA_NOTIFICATION_BITMAP_CREATE (hypervisor to SPMC).
    NotificationBitmapCreate {
        /// For whom.
        vm: EndpointId,
        /// Its vCPUs.
        vcpu_count: u32,
    },
    /// FFA_NOTIFICATION_BITMAP_DESTROY (hypervisor to SPMC).
    NotificationBitmapDestroy {
        /// Of whom.
        vm: EndpointId,
    },
    /// FFA_NOTIFICATION_BIND: `receiver` lets `sender` ring these bits.
    NotificationBind {
        /// Who may ring.
        sender: EndpointId,
        /// Who is rung: the caller.
        receiver: EndpointId,
        /// Per vCPU or global.
        scope: Scope,
        /// Which bits.
        bitmap: u64,
    },
    /// FFA_NOTIFICATION_UNBIND.
    NotificationUnbind {
        /// Who could ring.
        sender: EndpointId,
        /// Who was rung: the caller.
        receiver: EndpointId,
        /// Which bits.
        bitmap: u64,
    },
    /// FFA_NOTIFICATION_SET: `sender` rings.
    NotificationSet {
        /// Who rings: the caller.
        sender: EndpointId,
        /// Who is rung.
        receiver: EndpointId,
        /// `None` for global notifications, else the vCPU.
        vcpu: Option<u16>,
        /// When the scheduler hears of it.
        signal: Signal,
        /// Which bits.
        bitmap: u64,
    },
    /// FFA_NOTIFICATION_GET.
    NotificationGet {
        /// Who asks: the caller.
        receiver: EndpointId,
        /// Which of its vCPUs.
        vcpu: u16,
        /// Which bitmaps.
        wanted: BitmapSet,
    },
    /// FFA_NOTIFICATION_INFO_GET.
    NotificationInfoGet {
        /// Which of the two function ids.
        width: Width,
    },
    /// FFA_SECONDARY_EP_REGISTER.
    SecondaryEpRegister {
        /// Where secondary cores enter.
        entry: u64,
        /// Which of the two function ids.
        width: Width,
    },
    /// FFA_ERROR, as the SPMC's answer to FFA_MSG_WAIT or to a direct response.
    Error(FfaError),
}

impl Call {
    /// Reads a request. Total: every register file is a call or an error.
    ///
    /// # Errors
    /// See [`DecodeError`]; [`DecodeError::status`] is what the caller gets.
    pub fn decode(regs: &Regs, version: Version) -> Result<Self, DecodeError> {
        decode::decode(regs, version)
    }

    /// Writes a request. Registers that it does not use are zero.
    #[must_use]
    pub fn encode(&self) -> Regs {
        encode::encode(self)
    }

    /// Writes a request that fits x0-x7, all that a call with eight registers carries. What the
    /// partition sends with each grant takes a short way past the whole register file.
    #[inline]
    #[must_use]
    pub fn encode8(&self) -> [u64; 8] {
        encode::short(self).unwrap_or_else(|| encode::encode(self).smc8())
    }

    /// Returns sender, receiver and width of anything that is a direct message by its function id,
    /// even where its other registers make no sense: whoever must refuse it needs to know whom.
    #[must_use]
    pub fn direct_parties(regs: &Regs) -> Option<(EndpointId, EndpointId, Width)> {
        decode::direct_parties(regs)
    }
}
