//! Owns one grant's record and the names given out for it; never decides a transition.

use causeway_abi::{GrantKind, LifeState, Permission};
use causeway_ffa::{EndpointId, MemHandle, PageRange};

/// The broker's own name of a grant, for the image and the bus. Dies with the grant: a stale one
/// is answered like one that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId {
    pub(crate) slot: u16,
    pub(crate) generation: u32,
}

impl GrantId {
    /// Its place in the broker's table, below the number of grants that fit. Another grant may have it
    /// later.
    #[must_use]
    pub const fn place(self) -> u16 {
        self.slot
    }
}

/// What the image and the bus may know about a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantView {
    /// Its name.
    pub id: GrantId,
    /// The SPMC's handle.
    pub handle: MemHandle,
    /// Who owns the pages.
    pub owner: EndpointId,
    /// The other VM; `None` for a local area.
    pub peer: Option<EndpointId>,
    /// Tells two grants of one handle apart: counts the offers of this owner to this peer, so that
    /// it says nothing about others. What OFFER, INSPECT and STATE show.
    pub generation: u32,
    /// Share, lend or donate.
    pub kind: GrantKind,
    /// What borrowers may do.
    pub permission: Permission,
    /// Where it stands.
    pub state: LifeState,
    /// Pages of 4 KiB.
    pub page_count: u32,
    /// Ranges that they lie in.
    pub range_count: u32,
    /// FIFOs, queues and bindings that use it.
    pub use_count: u16,
}

/// Where a grant stands. [`LifeState::Released`] has no stage: the record is gone by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Offered,
    Accepted,
    Active,
    Releasing {
        deadline: u64,
    },
    AwaitingUnmap {
        ask_at: u64,
    },
    /// Donated, and the giver is gone: its pages are the partition's for good.
    Kept,
}

/// Whether, as far as the hypervisor told, the peer maps the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mapping {
    Absent,
    Present,
}

/// A VM in one of its lives: its place in the policy, and which life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Party {
    pub(crate) vm: u8,
    pub(crate) incarnation: u32,
}

/// A live grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grant {
    pub(crate) handle: MemHandle,
    pub(crate) owner: Party,
    /// `None` for a local area.
    pub(crate) peer: Option<Party>,
    /// The rule in the policy whose share it is charged to.
    pub(crate) pair: u8,
    pub(crate) kind: GrantKind,
    pub(crate) permission: Permission,
    pub(crate) stage: Stage,
    pub(crate) mapping: Mapping,
    pub(crate) use_count: u16,
    /// Of the slot, for [`GrantId`]: never shown to a VM, for others use the slot as well.
    pub(crate) generation: u32,
    /// The generation that is shown: counts the pair's offers.
    pub(crate) serial: u32,
    /// While it is an offer: its number among those that wait for the peer.
    pub(crate) offer: u16,
    pub(crate) extent: Extent,
}

/// Which pages, in the owner's order. The first range lies here, the others in the pair's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    pub(crate) first: PageRange,
    /// Place of the second range in the table of ranges.
    pub(crate) rest_at: u16,
    pub(crate) range_count: u16,
    pub(crate) page_count: u32,
    /// [`causeway_abi::RangeFold`] over all ranges.
    pub(crate) fold: u64,
}

impl Grant {
    pub(crate) const fn life(&self) -> LifeState {
        match self.stage {
            Stage::Offered => LifeState::Offered,
            Stage::Accepted => LifeState::Accepted,
            Stage::Active => LifeState::Active,
            Stage::Releasing { .. } => LifeState::Releasing,
            Stage::AwaitingUnmap { .. } => LifeState::AwaitingUnmap,
            Stage::Kept => LifeState::Kept,
        }
    }

    /// Whether rings in it may run.
    pub(crate) const fn is_usable(&self) -> bool {
        match self.stage {
            Stage::Accepted | Stage::Active => true,
            Stage::Offered
            | Stage::Releasing { .. }
            | Stage::AwaitingUnmap { .. }
            | Stage::Kept => false,
        }
    }
}
