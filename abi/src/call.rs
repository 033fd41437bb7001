//! Owns the calls and how each lies in a frame; never decides whether a call is allowed.

use crate::frame::{Frame, pack};
use crate::ledger::{DigestHalf, LedgerScope};
use crate::{Status, VERSION_MAJOR};
use causeway_ffa::{EndpointId, MemHandle};

/// What the owner keeps while the grant lives. Source: DEN0077A, FFA_MEM_SHARE, _LEND, _DONATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantKind {
    /// Owner and borrowers use the memory together.
    Share,
    /// The owner loses access until it reclaims.
    Lend,
    /// The owner loses the memory for good.
    Donate,
}

impl GrantKind {
    /// Returns the wire value (also the virtio-msg `attrs` bits 1:0).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Share => 0,
            Self::Lend => 1,
            Self::Donate => 2,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Share),
            1 => Some(Self::Lend),
            2 => Some(Self::Donate),
            _ => None,
        }
    }
}

/// What the borrowers may do with the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

impl Permission {
    /// Returns the wire value (the FF-A data access permission: 1 RO, 2 RW).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::ReadOnly => 1,
            Self::ReadWrite => 2,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ReadOnly),
            2 => Some(Self::ReadWrite),
            _ => None,
        }
    }
}

/// Where a grant stands, as its owner, its peer and the ledger see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LifeState {
    /// Retrieved and locked by the partition; the peer has not decided.
    Offered,
    /// The peer accepted; it may be mapped.
    Accepted,
    /// The hypervisor said that it maps the peer (or: a local area is usable).
    Active,
    /// Release or revoke under way: the peer may still map.
    Releasing,
    /// The deadline passed; the hypervisor was asked to unmap the peer.
    AwaitingUnmap,
    /// The partition let go; the owner may reclaim. The name is about to be forgotten.
    Released,
}

impl LifeState {
    /// Returns the wire value.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Offered => 1,
            Self::Accepted => 2,
            Self::Active => 3,
            Self::Releasing => 4,
            Self::AwaitingUnmap => 5,
            Self::Released => 6,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Offered),
            2 => Some(Self::Accepted),
            3 => Some(Self::Active),
            4 => Some(Self::Releasing),
            5 => Some(Self::AwaitingUnmap),
            6 => Some(Self::Released),
            _ => None,
        }
    }
}

/// What an owner offers. `peer` is `None` for an area that only the partition borrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantTerms {
    /// The other VM, or none.
    pub peer: Option<EndpointId>,
    /// Share, lend or donate.
    pub kind: GrantKind,
    /// What the borrowers may do.
    pub permission: Permission,
}

/// What INSPECT returns and ACCEPT repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantSummary {
    /// The VM that owns the pages.
    pub owner: EndpointId,
    /// What the peer may do.
    pub permission: Permission,
    /// Share, lend or donate.
    pub kind: GrantKind,
    /// Tells two grants of one handle apart.
    pub generation: u32,
    /// 4 KiB pages in the area.
    pub page_count: u32,
    /// Address ranges in the area.
    pub range_count: u32,
    /// [`crate::RangeFold`] over all ranges.
    pub fold: u64,
}

impl GrantSummary {
    /// Packs into the first three result words of INSPECT.
    #[must_use]
    pub fn words(&self) -> [u64; 3] {
        [
            u64::from(self.owner.get())
                | (u64::from(self.permission.code()) << 16)
                | (u64::from(self.kind.code()) << 24)
                | (u64::from(self.generation) << 32),
            u64::from(self.page_count) | (u64::from(self.range_count) << 32),
            self.fold,
        ]
    }

    /// Reads the three words; `None` if a field has no meaning.
    #[must_use]
    pub fn from_words(words: [u64; 3]) -> Option<Self> {
        let [who, counts, fold] = words;
        let (low, generation) = halves(who);
        let [o0, o1, permission, kind] = low.to_le_bytes();
        let (page_count, range_count) = halves(counts);
        Some(Self {
            owner: EndpointId::from_raw(u16::from_le_bytes([o0, o1])),
            permission: Permission::from_code(permission)?,
            kind: GrantKind::from_code(kind)?,
            generation,
            page_count,
            range_count,
            fold,
        })
    }
}

macro_rules! call_ids {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)+) => {
        /// The number of a call: byte 0 of word 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum CallId { $($(#[$doc])* $name = $number,)+ }

        impl CallId {
            /// Every call, in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the number.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
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
    /// The digest that the ledger's records lead to.
    LedgerHead = 0x60;
    /// The ledger's records, written into a local area.
    LedgerRead = 0x61;
}

/// A call, checked as far as its frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// x4 = caller's minor version. Returns x4 = major << 16 | minor, x5 = features, x6 = largest
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
    /// Returns x4 = bit 0: offers wait, bit 1: own grants changed, bit 2: bus messages wait. Reading clears bit 1.
    Events,
    /// x4 = page of counters. Returns four counters. Pages are listed at `causeway_memshare`.
    Stats {
        /// Which four counters.
        page: u8,
    },
    /// For the hypervisor and the VM that policy names. Returns x4 = grants in the frozen set.
    Seal,
    /// x4 = handle; x5 = peer (15:0, all ones for none) | kind (23:16) | permission (31:24);
    /// x6 = FF-A tag; x7 = 0. Returns x4 = generation (31:0) | page count (63:32), x5 = fold.
    Offer {
        /// The handle that FFA_MEM_SHARE or FFA_MEM_LEND returned.
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
    /// x4 = handle. Returns x4 = the grant's new state ([`LifeState::Released`], or
    /// [`LifeState::Releasing`] while the hypervisor has not confirmed the unmapping).
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
    /// or all ones; x6 = VM to unmap (15:0); x7 = next deadline in CNTPCT ticks or 0.
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
}

/// The peer field that means "the partition only".
const NO_PEER: u16 = 0xffff;

fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

fn narrow<T: TryFrom<u64>>(word: u64) -> Result<T, Status> {
    T::try_from(word).map_err(|_| Status::BadArgument)
}

fn handle(word: u64) -> Result<MemHandle, Status> {
    MemHandle::new(word).ok_or(Status::NoSuchGrant)
}

fn zero<const N: usize>(words: [u64; N]) -> Result<(), Status> {
    if words.iter().all(|w| *w == 0) { Ok(()) } else { Err(Status::ReservedNotZero) }
}

impl Call {
    /// Reads a frame. Total: every frame is a call or a status.
    ///
    /// # Errors
    /// In this order: [`Status::UnknownCall`], [`Status::BadVersion`], [`Status::ReservedNotZero`]
    /// for the call word; then what the arguments break.
    pub fn decode(frame: &Frame) -> Result<Self, Status> {
        let [word, a, b, c, d] = *frame;
        let [number, part, v0, v1, upper @ ..] = word.to_le_bytes();
        let id = CallId::from_number(number).ok_or(Status::UnknownCall)?;
        if u16::from_le_bytes([v0, v1]) != VERSION_MAJOR {
            return Err(Status::BadVersion);
        }
        if part != 0 || upper != [0; 4] {
            return Err(Status::ReservedNotZero);
        }
        Self::decode_args(id, [a, b, c, d])
    }

    fn decode_args(id: CallId, [a, b, c, d]: [u64; 4]) -> Result<Self, Status> {
        Ok(match id {
            CallId::Version => zero([b, c, d]).and(Ok(Self::Version { minor: narrow(a)? }))?,
            CallId::Features => {
                zero([b, c, d]).and(Ok(Self::Features { call_number: narrow(a)? }))?
            }
            CallId::Events => zero([a, b, c, d]).and(Ok(Self::Events))?,
            CallId::Stats => zero([b, c, d]).and(Ok(Self::Stats { page: narrow(a)? }))?,
            CallId::Offer => {
                zero([d])?;
                Self::Offer { handle: handle(a)?, terms: decode_terms(b)?, tag: c }
            }
            CallId::Revoke => zero([b, c, d]).and(Ok(Self::Revoke { handle: handle(a)? }))?,
            CallId::State => zero([b, c, d]).and(Ok(Self::State { handle: handle(a)? }))?,
            CallId::List => zero([b, c, d]).and(Ok(Self::List { cursor: narrow(a)? }))?,
            CallId::Inspect => {
                zero([c, d])?;
                Self::Inspect { handle: handle(a)?, range_index: narrow(b)? }
            }
            CallId::Accept => Self::Accept {
                handle: handle(a)?,
                seen: GrantSummary::from_words([b, c, d]).ok_or(Status::TermsChanged)?,
            },
            CallId::Reject => {
                zero([c, d])?;
                Self::Reject { handle: handle(a)?, generation: narrow(b)? }
            }
            CallId::Release => zero([b, c, d]).and(Ok(Self::Release { handle: handle(a)? }))?,
            CallId::HypRegister => {
                zero([c, d])?;
                let sgi: u8 = narrow(a)?;
                if sgi > 7 {
                    return Err(Status::BadArgument);
                }
                Self::HypRegister { sgi, core: narrow(b)? }
            }
            CallId::HypPoll => zero([a, b, c, d]).and(Ok(Self::HypPoll))?,
            CallId::HypMapping => {
                zero([c, d])?;
                Self::HypMapping { handle: handle(a)?, vm: EndpointId::from_raw(narrow(b)?) }
            }
            CallId::HypUnmapped => {
                zero([c, d])?;
                Self::HypUnmapped { handle: handle(a)?, vm: EndpointId::from_raw(narrow(b)?) }
            }
            CallId::BusKick => zero([a, b, c, d]).and(Ok(Self::BusKick))?,
            CallId::Seal => zero([a, b, c, d]).and(Ok(Self::Seal))?,
            CallId::LedgerHead => {
                zero([c, d])?;
                let half = DigestHalf::from_code(narrow(b)?).ok_or(Status::BadArgument)?;
                Self::LedgerHead { scope: decode_scope(a)?, half }
            }
            CallId::LedgerRead => {
                zero([d])?;
                Self::LedgerRead { handle: handle(a)?, scope: decode_scope(b)?, cursor: c }
            }
        })
    }

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
            Self::Seal => CallId::Seal,
            Self::LedgerHead { .. } => CallId::LedgerHead,
            Self::LedgerRead { .. } => CallId::LedgerRead,
        }
    }

    /// Packs the call.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let args = match *self {
            Self::Version { minor } => [u64::from(minor), 0, 0, 0],
            Self::Features { call_number } => [u64::from(call_number), 0, 0, 0],
            Self::Stats { page } => [u64::from(page), 0, 0, 0],
            Self::Events | Self::HypPoll | Self::BusKick | Self::Seal => [0; 4],
            Self::LedgerHead { scope, half } => {
                [u64::from(scope.code()), u64::from(half.code()), 0, 0]
            }
            Self::LedgerRead { handle, scope, cursor } => {
                [handle.get(), u64::from(scope.code()), cursor, 0]
            }
            Self::Offer { handle, terms, tag } => [handle.get(), encode_terms(terms), tag, 0],
            Self::Revoke { handle } | Self::State { handle } | Self::Release { handle } => {
                [handle.get(), 0, 0, 0]
            }
            Self::List { cursor } => [u64::from(cursor), 0, 0, 0],
            Self::Inspect { handle, range_index } => [handle.get(), u64::from(range_index), 0, 0],
            Self::Accept { handle, seen } => {
                let [x, y, z] = seen.words();
                [handle.get(), x, y, z]
            }
            Self::Reject { handle, generation } => [handle.get(), u64::from(generation), 0, 0],
            Self::HypRegister { sgi, core } => [u64::from(sgi), u64::from(core), 0, 0],
            Self::HypMapping { handle, vm } | Self::HypUnmapped { handle, vm } => {
                [handle.get(), u64::from(vm.get()), 0, 0]
            }
        };
        pack(self.id().number(), args)
    }
}

fn decode_scope(word: u64) -> Result<LedgerScope, Status> {
    LedgerScope::from_code(narrow(word)?).ok_or(Status::BadArgument)
}

fn encode_terms(terms: GrantTerms) -> u64 {
    let peer = terms.peer.map_or(NO_PEER, EndpointId::get);
    u64::from(peer)
        | (u64::from(terms.kind.code()) << 16)
        | (u64::from(terms.permission.code()) << 24)
}

fn decode_terms(word: u64) -> Result<GrantTerms, Status> {
    let [p0, p1, kind, permission, upper @ ..] = word.to_le_bytes();
    if upper != [0; 4] {
        return Err(Status::ReservedNotZero);
    }
    let peer = u16::from_le_bytes([p0, p1]);
    Ok(GrantTerms {
        peer: (peer != NO_PEER).then_some(EndpointId::from_raw(peer)),
        kind: GrantKind::from_code(kind).ok_or(Status::BadArgument)?,
        permission: Permission::from_code(permission).ok_or(Status::BadArgument)?,
    })
}

#[cfg(test)]
mod tests;
