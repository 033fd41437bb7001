//! Owns one grant's record and the names given out for it; never decides a transition.

use causeway_abi::{GrantKind, LifeState, Permission};
use causeway_ffa::{EndpointId, MemHandle};

/// The broker's own name of a grant, for the image and the bus. Dies with the grant: a stale one
/// is answered like one that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId {
    pub(crate) slot: u16,
    pub(crate) generation: u32,
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
    /// Share or lend.
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
