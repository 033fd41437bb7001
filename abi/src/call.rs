//! Owns the calls and their meaning; never decides whether a call is allowed.
//!
//! ```
//! use causeway_abi::{Call, CallId, Status, VERSION_MINOR};
//!
//! let frame = Call::Version { minor: VERSION_MINOR }.encode();
//! assert_eq!(Call::decode(&frame), Ok(Call::Version { minor: VERSION_MINOR }));
//! assert_eq!(CallId::from_number(CallId::Version.number()), Some(CallId::Version));
//! // A number that is no call, and a bit where none may be.
//! let mut other = frame;
//! other[0] |= 0xff;
//! assert_eq!(Call::decode(&other), Err(Status::UnknownCall));
//! let mut other = frame;
//! other[4] = 1;
//! assert!(Call::decode(&other).is_err());
//! ```

mod codec;

use crate::grant::{GrantSummary, GrantTerms};
use crate::interrupt::InterruptCall;
use crate::join::{CopyDirection, JoinName};
use crate::ledger::{DigestHalf, LedgerScope};
use crate::vault::VaultCall;
use causeway_ffa::{EndpointId, MemHandle};

macro_rules! call_ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal;)+) => {
        /// The number of a call: byte 0 of word 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum CallId { $($(#[doc = $doc])+ $name = $number,)+ }

        impl CallId {
            /// Every call, in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the number.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
            }

            /// Returns the variant's name, for logs and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// Returns what the call is for, in one sentence.
            #[must_use]
            pub const fn purpose(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }

            /// Names a number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

call_ids! {
    /// Versions, limits and features of the partition.
    Version = 0x10;
    /// Whether a call exists.
    Features = 0x11;
    /// What waits for the caller.
    Events = 0x12;
    /// Counters of the partition (hypervisor only).
    Stats = 0x13;
    /// The set of grants is frozen until the platform is reset.
    Seal = 0x14;
    /// An owner puts a transaction under the broker's care.
    Offer = 0x20;
    /// An owner takes a grant back.
    Revoke = 0x21;
    /// Owner or peer asks where a grant stands.
    State = 0x22;
    /// An owner joins a local area with another VM's.
    Join = 0x24;
    /// An owner ends its side of a join.
    Part = 0x25;
    /// An owner asks how a join stands.
    Joined = 0x26;
    /// An owner has bytes copied between joined areas.
    Copy = 0x27;
    /// A peer asks for the grants offered to it.
    List = 0x30;
    /// A peer looks at an offer.
    Inspect = 0x31;
    /// A peer takes up what it inspected.
    Accept = 0x32;
    /// A peer declines an offer.
    Reject = 0x33;
    /// A peer lets go after it unmapped.
    Release = 0x34;
    /// The hypervisor names its doorbell.
    HypRegister = 0x40;
    /// The hypervisor fetches work.
    HypPoll = 0x41;
    /// The hypervisor asks leave to map a VM.
    HypMapping = 0x42;
    /// The hypervisor confirms that a VM does not map a handle.
    HypUnmapped = 0x43;
    /// A VM asks the partition to look at its message FIFO.
    BusKick = 0x50;
    /// A VM takes the next interrupt of a secure device that waits for it.
    IrqFetch = 0x58;
    /// A VM has dealt with it.
    IrqComplete = 0x59;
    /// A VM wants no more of a source.
    IrqMask = 0x5a;
    /// A VM wants a source again.
    IrqUnmask = 0x5b;
    /// A VM has a source's device interrupt.
    IrqArm = 0x5c;
    /// A VM asks how a source stands.
    IrqInfo = 0x5d;
    /// The hypervisor says who hears of a source.
    IrqBind = 0x5e;
    /// The digest that the ledger's records lead to.
    LedgerHead = 0x60;
    /// The ledger's records, written into a local area.
    LedgerRead = 0x61;
    /// What security services the caller has.
    VaultState = 0x62;
    /// Random bytes.
    Entropy = 0x64;
    /// A VM's monotonic counter.
    CounterRead = 0x66;
    /// A VM's monotonic counter goes one up.
    CounterIncrement = 0x67;
    /// A request frame for the caller's replay-protected area.
    Rpmb = 0x68;
    /// A key is made in a slot of the caller.
    KeyGenerate = 0x70;
    /// A key of the caller's is sealed in a slot.
    KeyImport = 0x71;
    /// A slot of the caller is emptied.
    KeyDelete = 0x72;
    /// The public half of a signing key.
    KeyPublic = 0x73;
    /// The HMAC of a message.
    KeyMac = 0x74;
    /// Whether a message has this HMAC.
    KeyVerify = 0x75;
    /// The signature of a message.
    KeySign = 0x76;
    /// A text is encrypted in place.
    KeyEncrypt = 0x77;
    /// A text is decrypted in place.
    KeyDecrypt = 0x78;
    /// The caller's watchdog is armed.
    WatchdogStart = 0x7c;
    /// The caller is well.
    WatchdogPing = 0x7d;
    /// The caller's watchdog is disarmed.
    WatchdogStop = 0x7e;
    /// How long until the caller's watchdog fires.
    WatchdogLeft = 0x7f;
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callers {
    /// A VM that policy names. To the hypervisor it says UnknownCaller.
    Vms,
    /// The hypervisor that policy names. To a VM it says NotHypervisor.
    Hypervisor,
    /// Either.
    Both,
}

impl CallId {
    /// Returns who may make the call. For the tables of documents: the broker decides, and a test of its
    /// own holds the two together.
    ///
    /// ```
    /// use causeway_abi::CallId;
    /// use causeway_abi::call::Callers;
    ///
    /// assert_eq!(CallId::HypPoll.callers(), Callers::Hypervisor);
    /// assert_eq!(CallId::Offer.callers(), Callers::Vms);
    /// ```
    #[must_use]
    pub const fn callers(self) -> Callers {
        if matches!(self, Self::Version | Self::Features | Self::Seal) {
            return Callers::Both;
        }
        let hypervisor = matches!(
            self,
            Self::Stats
                | Self::HypRegister
                | Self::HypPoll
                | Self::HypMapping
                | Self::HypUnmapped
                | Self::IrqBind
        );
        if hypervisor { Callers::Hypervisor } else { Callers::Vms }
    }
}

/// A call, checked as far as its frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// x4 = caller's minor version. Returns x4 = major << 16 | minor, x5 = [`crate::features`], x6 = largest
    /// page count of one area, x7 = largest range count of one area.
    Version {
        /// The caller's minor version.
        minor: u16,
    },
    /// x4 = call number. Returns x4 = 1 if it exists, else 0.
    Features {
        /// The number asked for.
        call_number: u8,
    },
    /// Returns x4 = bit 0: offers wait, bit 1: own grants changed, bit 2: bus messages wait, bit 3:
    /// interrupts wait. Reading clears bit 1.
    Events,
    /// x4 = page of counters. Returns four counters. Pages are listed at `causeway_memshare`.
    Stats {
        /// Which four counters.
        page: u8,
    },
    /// For the hypervisor and the VM that policy names. Returns x4 = grants in the frozen set, x5 = how
    /// many of them the partition has yet to hash. The set is frozen with the first call; those that
    /// follow, until x5 is 0, only spread the work.
    Seal,
    /// x4 = handle; x5 = peer (15:0, all ones for none) | kind (23:16) | permission (31:24);
    /// x6 = FF-A tag; x7 = 0. Returns x4 = generation (31:0) | page count (63:32), x5 = fold, x6 = the
    /// handle that names the grant from now on: the same, but for a donation, whose own ends with it.
    Offer {
        /// The handle that FFA_MEM_SHARE, FFA_MEM_LEND or FFA_MEM_DONATE returned.
        handle: MemHandle,
        /// What is offered, and to whom.
        terms: GrantTerms,
        /// The tag of the transaction.
        tag: u64,
    },
    /// x4 = handle. Returns x4 = the grant's new state.
    Revoke {
        /// The grant.
        handle: MemHandle,
    },
    /// x4 = handle. Returns x4 = state, x5 = generation.
    State {
        /// The grant.
        handle: MemHandle,
    },
    /// x4 = handle of a local area of the caller, x5 = [`JoinName`]: peer (15:0) | number (31:16).
    /// Returns x4 = [`crate::JoinState`], x5 = pages of the other area, 0 while waiting.
    Join {
        /// The caller's area.
        handle: MemHandle,
        /// With whom.
        name: JoinName,
    },
    /// x4 = [`JoinName`]. Returns x4 = bytes copied out of the caller's area since it joined, x5 = into
    /// it. The other side waits again.
    Part {
        /// Which join.
        name: JoinName,
    },
    /// x4 = [`JoinName`]. Returns x4 = [`crate::JoinState`], x5 = bytes copied out of the caller's area
    /// since it joined, x6 = into it, x7 = pages of the other area, 0 while waiting.
    Joined {
        /// Which join.
        name: JoinName,
    },
    /// x4 = [`JoinName`] | direction (39:32), x5 = offset in the source, x6 = in the destination,
    /// x7 = bytes. Returns x4 = bytes moved, [`crate::join::COPY_MAX_BYTES`] at most; x5 = bytes copied
    /// out of the caller's area since it joined, x6 = into it.
    Copy {
        /// Which join.
        name: JoinName,
        /// Which way.
        direction: CopyDirection,
        /// Where the bytes are, in the source.
        from_offset: u64,
        /// Where they go, in the destination.
        to_offset: u64,
        /// How many.
        length: u64,
    },
    /// x4 = cursor, 0 to begin. Returns x4 = handle or all ones, x5 = next cursor or 0 at the end.
    List {
        /// Where to go on.
        cursor: u32,
    },
    /// x4 = handle, x5 = index of a range. Returns x4-x6 = [`GrantSummary`], x7 = that range packed.
    Inspect {
        /// The offer.
        handle: MemHandle,
        /// Which range to return.
        range_index: u32,
    },
    /// x4 = handle, x5-x7 = the words of the [`GrantSummary`] that INSPECT returned.
    Accept {
        /// The offer.
        handle: MemHandle,
        /// What the peer believes it accepts.
        seen: GrantSummary,
    },
    /// x4 = handle, x5 = generation.
    Reject {
        /// The offer.
        handle: MemHandle,
        /// Its generation.
        generation: u32,
    },
    /// x4 = handle. Returns x4 = the grant's new state ([`crate::LifeState::Released`], or
    /// [`crate::LifeState::Releasing`] while the hypervisor has not confirmed the unmapping).
    Release {
        /// The grant.
        handle: MemHandle,
    },
    /// x4 = INTID of a non-secure SGI (0-7), x5 = linear core number.
    HypRegister {
        /// The SGI to raise.
        sgi: u8,
        /// The core to raise it on.
        core: u16,
    },
    /// Returns x4 = bitmap of VMs to ring (bit n: VM n), cleared by this read; x5 = handle to unmap
    /// or all ones; x6 = VM to unmap (15:0), whether a VM is to be restarted (16) and which (47:32);
    /// x7 = next deadline in CNTPCT ticks or 0.
    HypPoll,
    /// x4 = handle, x5 = VM. Ok: the VM is recorded as mapping it. Asked before the stage-2 change.
    HypMapping {
        /// The grant.
        handle: MemHandle,
        /// The borrower.
        vm: EndpointId,
    },
    /// x4 = handle, x5 = VM. Said after the stage-2 change and its TLB invalidation.
    HypUnmapped {
        /// The grant.
        handle: MemHandle,
        /// The borrower.
        vm: EndpointId,
    },
    /// Returns x4 = messages taken from the caller's FIFO, x5 = messages waiting for the caller.
    BusKick,
    /// A call about interrupts of secure devices.
    Interrupt(InterruptCall),
    /// x4 = scope, x5 = half. Returns x4 = records made so far, x5-x6 = that half of the digest
    /// (bytes in memory order), x7 = records that were not chained yet: while it is not 0 the digest
    /// is none, and the call is to be made again.
    LedgerHead {
        /// Whose records.
        scope: LedgerScope,
        /// Which half.
        half: DigestHalf,
    },
    /// x4 = handle of a local area of the caller, x5 = scope, x6 = cursor, 0 to begin. Returns
    /// x4 = bytes written at the start of the area, at most one page; x5 = next cursor, or 0 at the
    /// end. What all pages hold together is a dump up to the last LEDGER_HEAD of this scope.
    LedgerRead {
        /// The area.
        handle: MemHandle,
        /// Whose records.
        scope: LedgerScope,
        /// Where to go on.
        cursor: u64,
    },
    /// A call of the security services.
    Vault(VaultCall),
}

impl Call {
    /// Returns the call's number.
    #[must_use]
    pub const fn id(&self) -> CallId {
        match self {
            Self::Version { .. } => CallId::Version,
            Self::Features { .. } => CallId::Features,
            Self::Events => CallId::Events,
            Self::Stats { .. } => CallId::Stats,
            Self::Offer { .. } => CallId::Offer,
            Self::Revoke { .. } => CallId::Revoke,
            Self::State { .. } => CallId::State,
            Self::Join { .. } => CallId::Join,
            Self::Part { .. } => CallId::Part,
            Self::Joined { .. } => CallId::Joined,
            Self::Copy { .. } => CallId::Copy,
            Self::List { .. } => CallId::List,
            Self::Inspect { .. } => CallId::Inspect,
            Self::Accept { .. } => CallId::Accept,
            Self::Reject { .. } => CallId::Reject,
            Self::Release { .. } => CallId::Release,
            Self::HypRegister { .. } => CallId::HypRegister,
            Self::HypPoll => CallId::HypPoll,
            Self::HypMapping { .. } => CallId::HypMapping,
            Self::HypUnmapped { .. } => CallId::HypUnmapped,
            Self::BusKick => CallId::BusKick,
            Self::Interrupt(call) => call.id(),
            Self::Seal => CallId::Seal,
            Self::LedgerHead { .. } => CallId::LedgerHead,
            Self::LedgerRead { .. } => CallId::LedgerRead,
            Self::Vault(call) => call.id(),
        }
    }
}

#[cfg(test)]
mod tests;
