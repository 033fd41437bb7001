//! Owns the policy: who may grant what to whom, and how much; never looks at a live grant.

mod build;
mod interrupt;
mod manifest;
mod services;

pub use services::{MAX_OF_A_VM, Services, WatchdogAction, WatchdogRule};

pub use interrupt::{InterruptRule, MAX_HEIRS, MAX_SOURCES, SourceLimit};

use crate::table::List;
use causeway_abi::{GrantKind, Permission};
use causeway_ffa::{EndpointId, PageRange};

/// A walk (`cfg(walk)`, explore.rs) copies, compares and hashes the tables at every step, and Miri takes
/// its time over every entry: there they are as small as what is done with them allows.
const fn room(full: usize, in_miri: usize, in_walk: usize) -> usize {
    if cfg!(walk) {
        in_walk
    } else if cfg!(miri) {
        in_miri
    } else {
        full
    }
}

/// The most VMs that a policy can name.
pub const MAX_VMS: usize = room(8, 5, 5);
/// The most (owner, peer) pairs, the partition counting as a peer.
pub const MAX_PAIRS: usize = room(32, 10, 4);
/// The most RAM windows.
pub const MAX_WINDOWS: usize = room(16, 4, 1);
/// The most links.
pub const MAX_LINKS: usize = room(16, 8, 1);
/// The most rules about copies.
pub const MAX_COPIES: usize = room(16, 4, 1);
/// The most sides of joins, all pairs together.
pub const MAX_JOINS: usize = room(32, 8, 2);
/// VM ids lie below this, so that doorbells fit a bitmap of one word.
pub const VM_ID_LIMIT: u16 = 64;
pub(crate) const VM_IDS: usize = 64;

/// A VM's bit where VMs are a bitmap: bit n for VM n. None for an id that no policy takes.
#[must_use]
pub fn vm_bit(vm: EndpointId) -> u64 {
    1_u64.checked_shl(u32::from(vm.get())).unwrap_or(0)
}

/// No place in a table.
const NOWHERE: u8 = u8::MAX;
/// Where an owner's rule stands for areas of the partition alone.
const NO_PEER: usize = MAX_VMS;

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

/// A share of the partition's resources, reserved for one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Live grants, pending offers included.
    pub grants: u16,
    /// 4 KiB pages in them.
    pub pages: u32,
    /// Address ranges in them.
    pub ranges: u16,
}

/// What one owner may grant to one peer, or to the partition alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PairRule {
    /// Who grants.
    pub owner: EndpointId,
    /// To whom; `None`: a local area.
    pub peer: Option<EndpointId>,
    /// Whether FFA_MEM_SHARE is allowed.
    pub share: bool,
    /// Whether FFA_MEM_LEND is allowed.
    pub lend: bool,
    /// Whether FFA_MEM_DONATE is allowed: to the partition alone.
    pub donate: bool,
    /// The most that borrowers may be permitted.
    pub widest: Permission,
    /// The most pages in one area.
    pub max_area_pages: u32,
    /// What all areas of the pair may use together.
    pub quota: Quota,
}

impl PairRule {
    pub(crate) const fn allows_kind(&self, kind: GrantKind) -> bool {
        match kind {
            GrantKind::Share => self.share,
            GrantKind::Lend => self.lend,
            GrantKind::Donate => self.donate && self.peer.is_none(),
        }
    }

    pub(crate) const fn allows_permission(&self, permission: Permission) -> bool {
        match (permission, self.widest) {
            (Permission::ReadOnly, _) | (Permission::ReadWrite, Permission::ReadWrite) => true,
            (Permission::ReadWrite, Permission::ReadOnly) => false,
        }
    }
}

/// Between whose areas the partition copies, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyRule {
    /// Whose area is read.
    pub from: EndpointId,
    /// Whose area is written.
    pub to: EndpointId,
    /// How many joins each of the two may have with the other; of two rules for one pair the larger.
    pub joins: u8,
}

/// Whether the hypervisor itself refuses a reclaim while a VM holds its retrieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReclaimGuard {
    /// It does not, or nobody promised: only its word, or the VM's destruction, ends a mapping.
    Partition,
    /// The manifest states that it does: a peer's release is enough.
    Hypervisor,
}

/// Why a policy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyError {
    /// The blob is no flattened device tree, or is damaged.
    BadTree,
    /// There is no `causeway-policy` node.
    NoPolicy,
    /// A property is missing, or has another shape than docs/policy.md says. Names it.
    BadProperty(&'static str),
    /// A node or property that docs/policy.md does not know: perhaps a misspelt limit.
    Unexpected,
    /// More entries than the tables hold. Names the kind.
    TooMany(&'static str),
    /// An id, a pair, a window or a link occurs twice. Names the kind.
    Duplicate(&'static str),
    /// A pair or link names a VM that the policy does not describe.
    UnknownVm(EndpointId),
    /// A VM's id is not below [`VM_ID_LIMIT`]: there would be no bit for it where VMs are a bitmap.
    IdTooLarge(EndpointId),
    /// Quotas reserve more than there is. Names the resource.
    OverCommitted(&'static str),
    /// Pairs of VMs need a hypervisor that says what it maps, or one that guards reclaim itself.
    NoHypervisor,
}

/// The policy in force. Deny by default: [`Policy::new`] knows nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    hypervisor: Option<EndpointId>,
    guard: ReclaimGuard,
    auditor: Option<EndpointId>,
    sealer: Option<EndpointId>,
    unmap_deadline_ms: u32,
    ring_limit: u16,
    vms: List<EndpointId, MAX_VMS>,
    /// The place of each id in `vms`.
    vm_places: [u8; VM_IDS],
    pairs: List<Option<PairRule>, MAX_PAIRS>,
    /// The place in `pairs` of an owner's rule for each peer, and for none.
    pair_places: [[u8; MAX_VMS + 1]; MAX_VMS],
    windows: List<Option<PageRange>, MAX_WINDOWS>,
    links: List<Option<Link>, MAX_LINKS>,
    copies: List<Option<CopyRule>, MAX_COPIES>,
    services: [Services; MAX_VMS],
    interrupts: List<Option<InterruptRule>, MAX_SOURCES>,
}

impl Policy {
    /// How long a peer may take to let go, unless the manifest says otherwise.
    pub const DEFAULT_UNMAP_DEADLINE_MS: u32 = 2000;

    /// How many doorbells one VM may cause within [`crate::broker::RING_WINDOW_MS`], unless the
    /// manifest says otherwise.
    pub const DEFAULT_RING_LIMIT: u16 = 256;

    /// The policy that refuses everything.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            hypervisor: None,
            guard: ReclaimGuard::Partition,
            auditor: None,
            sealer: None,
            unmap_deadline_ms: Self::DEFAULT_UNMAP_DEADLINE_MS,
            ring_limit: Self::DEFAULT_RING_LIMIT,
            vms: List::new(),
            vm_places: [NOWHERE; VM_IDS],
            pairs: List::new(),
            pair_places: [[NOWHERE; MAX_VMS + 1]; MAX_VMS],
            windows: List::new(),
            links: List::new(),
            copies: List::new(),
            services: services::NOBODY,
            interrupts: List::new(),
        }
    }

    /// The hypervisor's id, if this hypervisor speaks for VMs.
    #[must_use]
    pub const fn hypervisor(&self) -> Option<EndpointId> {
        self.hypervisor
    }

    /// Who keeps an owner from reclaiming what a VM maps.
    #[must_use]
    pub const fn reclaim_guard(&self) -> ReclaimGuard {
        self.guard
    }

    /// The VM that may read the whole ledger.
    #[must_use]
    pub const fn auditor(&self) -> Option<EndpointId> {
        self.auditor
    }

    /// The VM that, like the hypervisor, may freeze the set of grants.
    #[must_use]
    pub const fn sealer(&self) -> Option<EndpointId> {
        self.sealer
    }

    /// How long a peer may take to let go.
    #[must_use]
    pub const fn unmap_deadline_ms(&self) -> u32 {
        self.unmap_deadline_ms
    }

    /// How many doorbells one VM may cause within [`crate::broker::RING_WINDOW_MS`].
    #[must_use]
    pub const fn ring_limit(&self) -> u16 {
        self.ring_limit
    }

    /// Which driver sees which backend's device.
    pub fn links(&self) -> impl Iterator<Item = Link> + '_ {
        self.links.as_slice().iter().copied().flatten()
    }

    /// Between whose areas the partition copies.
    pub fn copies(&self) -> impl Iterator<Item = CopyRule> + '_ {
        self.copies.as_slice().iter().copied().flatten()
    }

    /// Whether bytes may be copied this way.
    #[must_use]
    pub fn may_copy(&self, from: EndpointId, to: EndpointId) -> bool {
        self.copies().any(|c| c.from == from && c.to == to)
    }

    /// How many joins each of these two VMs may have with the other.
    #[must_use]
    pub fn joins_of(&self, a: EndpointId, b: EndpointId) -> u8 {
        let of_both =
            self.copies().filter(|c| (c.from, c.to) == (a, b) || (c.from, c.to) == (b, a));
        of_both.map(|c| c.joins).max().unwrap_or(0)
    }

    /// The VMs that the policy describes.
    pub fn vms(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.vms.as_slice().iter().copied()
    }

    /// What each owner may grant to each peer.
    pub fn pairs(&self) -> impl Iterator<Item = PairRule> + '_ {
        self.pairs.as_slice().iter().copied().flatten()
    }

    /// The RAM windows, sorted, without neighbours that touch.
    pub fn windows(&self) -> impl Iterator<Item = PageRange> + '_ {
        self.windows.as_slice().iter().copied().flatten()
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
        self.pairs().any(|p| {
            p.owner == owner
                && p.peer == peer
                && p.allows_kind(kind)
                && p.allows_permission(permission)
        })
    }

    /// The place of a VM in the broker's tables.
    #[inline]
    pub(crate) fn vm_index(&self, vm: EndpointId) -> Option<u8> {
        self.vm_places.get(usize::from(vm.get())).copied().filter(|place| *place != NOWHERE)
    }

    pub(crate) fn vm_at(&self, index: u8) -> Option<EndpointId> {
        self.vms.as_slice().get(usize::from(index)).copied()
    }

    /// The id at a place that [`Policy::vm_index`] gave.
    #[inline]
    pub(crate) fn id_of(&self, index: u8) -> EndpointId {
        self.vms.place(usize::from(index)).copied().unwrap_or_default()
    }

    /// The place and the rule of a pair, by the places of its VMs.
    #[inline(always)]
    pub(crate) fn pair(&self, owner: u8, peer: Option<u8>) -> Option<(u8, &PairRule)> {
        let peer = peer.map_or(NO_PEER, usize::from);
        let at = *self.pair_places.get(usize::from(owner))?.get(peer)?;
        Some((at, self.pair_at(at)?))
    }

    #[inline]
    pub(crate) fn pair_at(&self, place: u8) -> Option<&PairRule> {
        self.pairs.place(usize::from(place))?.as_ref()
    }

    /// The window in which the whole range lies.
    #[inline(always)]
    pub(crate) fn window_of(&self, range: PageRange) -> Option<PageRange> {
        // A plain loop: the adapters of an iterator cost twice as much.
        for window in self.windows.as_slice() {
            if let Some(window) = window
                && window.contains(range)
            {
                return Some(*window);
            }
        }
        None
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
