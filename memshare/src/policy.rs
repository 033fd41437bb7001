//! Owns the policy: who may grant what to whom, and how much; never looks at a live grant.

use causeway_abi::{GrantKind, Permission};
use causeway_ffa::{EndpointId, PageRange};

/// The most VMs that a policy can name.
pub const MAX_VMS: usize = 8;
/// The most (owner, peer) pairs, the partition counting as a peer.
pub const MAX_PAIRS: usize = 32;
/// The most RAM windows.
pub const MAX_WINDOWS: usize = 16;
/// The most links.
pub const MAX_LINKS: usize = 16;

/// What a driver VM may see of a backend VM's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// The driver side.
    pub driver: EndpointId,
    /// The device side; `None`: a device of the partition.
    pub backend: Option<EndpointId>,
    /// The device number on the backend's own bus.
    pub backend_device: u16,
    /// The device number that the driver sees.
    pub driver_device: u16,
}

/// Why a policy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyError {
    /// The blob is no flattened device tree, or is damaged.
    BadTree,
    /// A property is missing, or has another shape than docs/policy.md says. Names it.
    BadProperty(&'static str),
    /// More entries than the tables hold. Names the kind.
    TooMany(&'static str),
    /// An id, a pair or a window occurs twice.
    Duplicate(&'static str),
    /// A pair or link names a VM that the policy does not describe.
    UnknownVm(EndpointId),
    /// Quotas reserve more than there is. Names the resource.
    OverCommitted(&'static str),
    /// Pairs of VMs need a hypervisor that says what it maps, or one that guards reclaim itself.
    NoHypervisor,
}

/// The policy in force. Deny by default: [`Policy::new`] knows nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    hypervisor: Option<EndpointId>,
}

impl Policy {
    /// The policy that refuses everything.
    #[must_use]
    pub const fn new() -> Self {
        Self { hypervisor: None }
    }

    /// Reads the `causeway-policy` node of a partition manifest (docs/policy.md has the grammar).
    ///
    /// # Errors
    /// See [`PolicyError`]; nothing is taken from a manifest with an error.
    pub fn from_manifest(dtb: &[u8]) -> Result<Self, PolicyError> {
        let _ = dtb;
        Err(PolicyError::BadTree)
    }

    /// The hypervisor's id, if this hypervisor speaks for VMs.
    #[must_use]
    pub const fn hypervisor(&self) -> Option<EndpointId> {
        self.hypervisor
    }

    /// Which driver sees which backend's device.
    pub fn links(&self) -> impl Iterator<Item = Link> + '_ {
        core::iter::empty()
    }

    /// The VMs that the policy describes.
    pub fn vms(&self) -> impl Iterator<Item = EndpointId> + '_ {
        core::iter::empty()
    }

    /// The RAM windows, sorted, without neighbours that touch.
    pub fn windows(&self) -> impl Iterator<Item = PageRange> + '_ {
        core::iter::empty()
    }

    /// Whether the policy has a rule for this pair that allows kind and permission.
    #[must_use]
    pub fn allows(
        &self,
        owner: EndpointId,
        peer: Option<EndpointId>,
        kind: GrantKind,
        permission: Permission,
    ) -> bool {
        let _ = (owner, peer, kind, permission);
        false
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}
