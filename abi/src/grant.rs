//! Owns the words that describe a grant: kind, permission, state, terms, summary; never a call.
//!
//! ```
//! use causeway_abi::{Call, GrantKind, GrantSummary, GrantTerms, LifeState, Permission, RangeFold};
//! use causeway_ffa::{EndpointId, MemHandle};
//!
//! let (owner, peer) = (EndpointId::from_raw(1), EndpointId::from_raw(2));
//! let (kind, permission) = (GrantKind::Share, Permission::ReadOnly);
//! let terms = GrantTerms { peer: Some(peer), kind, permission };
//! let offer = Call::Offer { handle: MemHandle::new(7).unwrap(), terms, tag: 0 };
//! assert_eq!(Call::decode(&offer.encode()), Ok(offer));
//!
//! // What INSPECT answers is what ACCEPT gives back, word for word.
//! let (generation, page_count, range_count, fold) = (1, 4, 1, RangeFold::new().get());
//! let seen = GrantSummary { owner, permission, kind, generation, page_count, range_count, fold };
//! assert_eq!(GrantSummary::from_words(seen.words()), Some(seen));
//! assert_eq!(LifeState::from_code(LifeState::Active.code()), Some(LifeState::Active));
//! ```

use causeway_ffa::EndpointId;

/// What the owner keeps while the grant lives. Source: DEN0077A, FFA_MEM_SHARE, _LEND, _DONATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantKind {
    /// Owner and borrowers use the memory together.
    Share,
    /// The owner loses access until it reclaims.
    Lend,
    /// The owner loses the memory for good. To the partition only: FF-A knows one receiver here.
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
    /// Donated by a VM that is no more: the pages are the partition's and serve nothing.
    Kept,
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
            Self::Kept => 7,
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
            7 => Some(Self::Kept),
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

fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}
