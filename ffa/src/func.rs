//! Owns the function ids of FF-A; never decides which of them a component serves.
//!
//! ```
//! use causeway_ffa::{FuncId, Version};
//!
//! let share = FuncId::from_raw(0x8400_0073).expect("FFA_MEM_SHARE");
//! assert_eq!((share, share.is_64_bit(), share.since()), (FuncId::MemShare32, false, Version::V1_0));
//! ```

use crate::Version;

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $text:literal, $since:ident;)+) => {
        /// A function of FF-A, by the value of w0. Source: DEN0077A 1.2, tables of function ids.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum FuncId { $($(#[$doc])* $name = $id,)+ }

        impl FuncId {
            /// Every function id that we know, in no order that matters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the value of w0.
            #[must_use]
            pub const fn raw(self) -> u32 {
                match self { $(Self::$name => $id,)+ }
            }

            /// Names a value of w0.
            #[must_use]
            pub const fn from_raw(raw: u32) -> Option<Self> {
                match raw { $($id => Some(Self::$name),)+ _ => None }
            }

            /// Returns the specification's name, for logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Returns the first version that has the function.
            #[must_use]
            pub const fn since(self) -> Version {
                match self { $(Self::$name => Version::$since,)+ }
            }
        }
    };
}

functions! {
    /// An error code.
    Error = 0x8400_0060, "FFA_ERROR", V1_0;
    /// Success, results in w2-w7.
    Success32 = 0x8400_0061, "FFA_SUCCESS_32", V1_0;
    /// Success, results in x2-x17.
    Success64 = 0xc400_0061, "FFA_SUCCESS_64", V1_0;
    /// An interrupt is reported or forwarded.
    Interrupt = 0x8400_0062, "FFA_INTERRUPT", V1_0;
    /// Version negotiation.
    Version = 0x8400_0063, "FFA_VERSION", V1_0;
    /// Feature discovery.
    Features = 0x8400_0064, "FFA_FEATURES", V1_0;
    /// The reader gives the RX buffer back.
    RxRelease = 0x8400_0065, "FFA_RX_RELEASE", V1_0;
    /// Registers the buffer pair, 32-bit addresses.
    RxTxMap32 = 0x8400_0066, "FFA_RXTX_MAP_32", V1_0;
    /// Registers the buffer pair, 64-bit addresses.
    RxTxMap64 = 0xc400_0066, "FFA_RXTX_MAP_64", V1_0;
    /// Removes the buffer pair.
    RxTxUnmap = 0x8400_0067, "FFA_RXTX_UNMAP", V1_0;
    /// Partition discovery through the RX buffer.
    PartitionInfoGet = 0x8400_0068, "FFA_PARTITION_INFO_GET", V1_0;
    /// The caller's id.
    IdGet = 0x8400_0069, "FFA_ID_GET", V1_0;
    /// The callee waits for work.
    MsgWait = 0x8400_006b, "FFA_MSG_WAIT", V1_0;
    /// The callee gives its cycles back.
    MsgYield = 0x8400_006c, "FFA_YIELD", V1_0;
    /// The scheduler gives cycles.
    Run = 0x8400_006d, "FFA_RUN", V1_0;
    /// Direct request, 32-bit payload.
    DirectReq32 = 0x8400_006f, "FFA_MSG_SEND_DIRECT_REQ_32", V1_0;
    /// Direct request, 64-bit payload.
    DirectReq64 = 0xc400_006f, "FFA_MSG_SEND_DIRECT_REQ_64", V1_0;
    /// Direct response, 32-bit payload.
    DirectResp32 = 0x8400_0070, "FFA_MSG_SEND_DIRECT_RESP_32", V1_0;
    /// Direct response, 64-bit payload.
    DirectResp64 = 0xc400_0070, "FFA_MSG_SEND_DIRECT_RESP_64", V1_0;
    /// Transfers ownership.
    MemDonate32 = 0x8400_0071, "FFA_MEM_DONATE_32", V1_0;
    /// Transfers ownership.
    MemDonate64 = 0xc400_0071, "FFA_MEM_DONATE_64", V1_0;
    /// Transfers access.
    MemLend32 = 0x8400_0072, "FFA_MEM_LEND_32", V1_0;
    /// Transfers access.
    MemLend64 = 0xc400_0072, "FFA_MEM_LEND_64", V1_0;
    /// Shares access.
    MemShare32 = 0x8400_0073, "FFA_MEM_SHARE_32", V1_0;
    /// Shares access.
    MemShare64 = 0xc400_0073, "FFA_MEM_SHARE_64", V1_0;
    /// A borrower asks for the memory.
    MemRetrieveReq32 = 0x8400_0074, "FFA_MEM_RETRIEVE_REQ_32", V1_0;
    /// A borrower asks for the memory.
    MemRetrieveReq64 = 0xc400_0074, "FFA_MEM_RETRIEVE_REQ_64", V1_0;
    /// The answer to a retrieve request.
    MemRetrieveResp = 0x8400_0075, "FFA_MEM_RETRIEVE_RESP", V1_0;
    /// A borrower lets go.
    MemRelinquish = 0x8400_0076, "FFA_MEM_RELINQUISH", V1_0;
    /// The owner takes back.
    MemReclaim = 0x8400_0077, "FFA_MEM_RECLAIM", V1_0;
    /// A long operation is paused.
    MemOpPause = 0x8400_0078, "FFA_MEM_OP_PAUSE", V1_0;
    /// A long operation goes on.
    MemOpResume = 0x8400_0079, "FFA_MEM_OP_RESUME", V1_0;
    /// Asks for the next fragment.
    MemFragRx = 0x8400_007a, "FFA_MEM_FRAG_RX", V1_0;
    /// Delivers the next fragment.
    MemFragTx = 0x8400_007b, "FFA_MEM_FRAG_TX", V1_0;
    /// SPMC to SPMD: back to the normal world.
    NormalWorldResume = 0x8400_007c, "FFA_NORMAL_WORLD_RESUME", V1_0;
    /// The hypervisor creates a VM's notification bitmap.
    NotificationBitmapCreate = 0x8400_007d, "FFA_NOTIFICATION_BITMAP_CREATE", V1_1;
    /// The hypervisor destroys it.
    NotificationBitmapDestroy = 0x8400_007e, "FFA_NOTIFICATION_BITMAP_DESTROY", V1_1;
    /// A receiver lets a sender ring.
    NotificationBind = 0x8400_007f, "FFA_NOTIFICATION_BIND", V1_1;
    /// A receiver withdraws that.
    NotificationUnbind = 0x8400_0080, "FFA_NOTIFICATION_UNBIND", V1_1;
    /// A sender rings.
    NotificationSet = 0x8400_0081, "FFA_NOTIFICATION_SET", V1_1;
    /// A receiver fetches and clears what rang.
    NotificationGet = 0x8400_0082, "FFA_NOTIFICATION_GET", V1_1;
    /// A scheduler asks who has notifications, 32-bit list.
    NotificationInfoGet32 = 0x8400_0083, "FFA_NOTIFICATION_INFO_GET_32", V1_1;
    /// A scheduler asks who has notifications, 64-bit list.
    NotificationInfoGet64 = 0xc400_0083, "FFA_NOTIFICATION_INFO_GET_64", V1_1;
    /// A producer takes an RX buffer.
    RxAcquire = 0x8400_0084, "FFA_RX_ACQUIRE", V1_1;
    /// The id of the SPMC or SPMD.
    SpmIdGet = 0x8400_0085, "FFA_SPM_ID_GET", V1_1;
    /// Indirect message.
    MsgSend2 = 0x8400_0086, "FFA_MSG_SEND2", V1_1;
    /// Entry point of secondary cores.
    SecondaryEpRegister32 = 0x8400_0087, "FFA_SECONDARY_EP_REGISTER_32", V1_1;
    /// Entry point of secondary cores.
    SecondaryEpRegister64 = 0xc400_0087, "FFA_SECONDARY_EP_REGISTER_64", V1_1;
    /// Stage-1 permissions of a page.
    MemPermGet32 = 0x8400_0088, "FFA_MEM_PERM_GET_32", V1_1;
    /// Stage-1 permissions of a page.
    MemPermGet64 = 0xc400_0088, "FFA_MEM_PERM_GET_64", V1_1;
    /// Changes stage-1 permissions.
    MemPermSet32 = 0x8400_0089, "FFA_MEM_PERM_SET_32", V1_1;
    /// Changes stage-1 permissions.
    MemPermSet64 = 0xc400_0089, "FFA_MEM_PERM_SET_64", V1_1;
    /// Characters for a console, 24 at most. Since 1.2, but the SPMCs in the field serve it to
    /// callers that negotiated 1.1 as well, and so do we.
    ConsoleLog32 = 0x8400_008a, "FFA_CONSOLE_LOG_32", V1_1;
    /// Characters for a console, 48 in x2-x7. See [`FuncId::ConsoleLog32`].
    ConsoleLog64 = 0xc400_008a, "FFA_CONSOLE_LOG_64", V1_1;
    /// Partition discovery through registers.
    PartitionInfoGetRegs = 0xc400_008b, "FFA_PARTITION_INFO_GET_REGS", V1_2;
    /// SPMC to SPMD: an EL3 interrupt.
    El3IntrHandle = 0x8400_008c, "FFA_EL3_INTR_HANDLE", V1_2;
    /// Direct request to a service UUID, payload x4-x17.
    DirectReq2 = 0xc400_008d, "FFA_MSG_SEND_DIRECT_REQ2", V1_2;
    /// Its response, payload x4-x17.
    DirectResp2 = 0xc400_008e, "FFA_MSG_SEND_DIRECT_RESP2", V1_2;
    /// A partition reports that it cannot go on.
    Abort32 = 0x8400_0090, "FFA_ABORT_32", V1_3;
    /// A partition reports that it cannot go on.
    Abort64 = 0xc400_0090, "FFA_ABORT_64", V1_3;
}

impl FuncId {
    /// Reports whether the call uses 64-bit registers (SMC64). In an SMC32 call only w registers
    /// carry anything.
    #[must_use]
    pub const fn is_64_bit(self) -> bool {
        self.raw() & (1 << 30) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_survives_a_round_trip_and_is_a_standard_fast_call() {
        for id in FuncId::ALL {
            assert_eq!(FuncId::from_raw(id.raw()), Some(*id));
            assert_eq!(id.raw() & 0xbfff_ff00, 0x8400_0000, "{}", id.name());
            assert!((0x60..=0x90).contains(&(id.raw() & 0xff)), "{}", id.name());
        }
    }

    #[test]
    fn no_two_functions_share_an_id() {
        for (i, a) in FuncId::ALL.iter().enumerate() {
            assert!(FuncId::ALL[..i].iter().all(|b| a.raw() != b.raw()), "{}", a.name());
        }
    }

    #[test]
    fn ids_outside_the_tables_have_no_name() {
        for raw in [0, 0x8400_005f, 0x8400_0091, 0xc400_0069, 0x0400_0063, u32::MAX] {
            assert_eq!(FuncId::from_raw(raw), None, "{raw:#x}");
        }
    }
}
