//! Owns the tables of live grants and their ranges, and the look-ups into them; never decides
//! whether a grant may be made or changed.
//!
//! Handles are found by binary search, so are pages: `by_page` lists the ranges of all grants in
//! the order of their addresses, and they are disjoint. A pair's ranges beyond the first of each
//! grant lie without gaps in the arena that its quota reserves, in the order of the offers.

mod extent;

use crate::grant::{Extent, Grant, GrantId, Party, Stage};
use crate::policy::{MAX_PAIRS, MAX_VMS, Policy};
use crate::table::{Bits, Blank, List};
use causeway_ffa::{MemHandle, PageRange};

/// One range of one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PageKey {
    slot: u16,
    ordinal: u16,
}

impl Blank for PageKey {
    const BLANK: Self = Self { slot: 0, ordinal: 0 };
}

/// A range after the first of its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rest {
    range: PageRange,
    /// Pages of the grant before this range.
    pages_before: u32,
    /// Whose it is; staged ranges have no slot yet.
    slot: Option<u16>,
}

/// A pair's part of the table of ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Arena {
    base: u16,
    room: u16,
    used: u16,
}

/// What a pair uses of its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Usage {
    pub(crate) grants: u16,
    pub(crate) pages: u32,
    pub(crate) ranges: u16,
}

/// The tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Store<const G: usize, const R: usize, const W: usize> {
    slots: [Option<Grant>; G],
    generations: [u32; G],
    free: Bits<W>,
    by_handle: List<u16, G>,
    by_page: List<PageKey, R>,
    /// Only filled within one insertion.
    scratch: [PageKey; R],
    rest: [Option<Rest>; R],
    arenas: [Arena; MAX_PAIRS],
    usage: [Usage; MAX_PAIRS],
    owned: [Bits<W>; MAX_VMS],
    borrowed: [Bits<W>; MAX_VMS],
    /// Offers that wait for this VM.
    offered: [Bits<W>; MAX_VMS],
    /// Grants that are releasing or awaiting their unmapping.
    closing: Bits<W>,
}

impl<const G: usize, const R: usize, const W: usize> Store<G, R, W> {
    const SIZES_FIT: () = assert!(
        G <= W * 64 && G <= 0xffff && R <= 0xffff,
        "slots and ranges are named by 16 bits, and WORDS must be GRANTS.div_ceil(64)"
    );

    pub(crate) const fn new() -> Self {
        let () = Self::SIZES_FIT;
        Self {
            slots: [None; G],
            generations: [0; G],
            free: Bits::new(),
            by_handle: List::new(),
            by_page: List::new(),
            scratch: [PageKey::BLANK; R],
            rest: [None; R],
            arenas: [Arena { base: 0, room: 0, used: 0 }; MAX_PAIRS],
            usage: [Usage { grants: 0, pages: 0, ranges: 0 }; MAX_PAIRS],
            owned: [Bits::new(); MAX_VMS],
            borrowed: [Bits::new(); MAX_VMS],
            offered: [Bits::new(); MAX_VMS],
            closing: Bits::new(),
        }
    }

    /// Divides an empty store among the pairs. The policy was checked against `G` and `R`.
    pub(crate) fn reserve(&mut self, policy: &Policy) {
        for slot in 0..u16::try_from(G).unwrap_or(u16::MAX) {
            self.free.set(slot);
        }
        let mut base = 0_u16;
        for (arena, pair) in self.arenas.iter_mut().zip(policy.pairs()) {
            *arena = Arena { base, room: pair.quota.ranges, used: 0 };
            base = base.saturating_add(pair.quota.ranges);
        }
    }

    pub(crate) fn usage(&self, pair: u8) -> Usage {
        self.usage.get(usize::from(pair)).copied().unwrap_or_default()
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        !self.free.is_empty()
    }

    pub(crate) fn grant(&self, slot: u16) -> Option<&Grant> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// Changes a grant's mutable part; keeps the sets that depend on its stage.
    pub(crate) fn update(&mut self, slot: u16, change: impl FnOnce(&mut Grant)) {
        let Some(Some(grant)) = self.slots.get_mut(usize::from(slot)) else { return };
        change(grant);
        let (stage, peer) = (grant.stage, grant.peer);
        self.file(slot, stage, peer);
    }

    /// Puts a grant into the sets that its stage calls for.
    fn file(&mut self, slot: u16, stage: Stage, peer: Option<Party>) {
        let (offered, closing) = match stage {
            Stage::Offered => (true, false),
            Stage::Accepted | Stage::Active => (false, false),
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. } => (false, true),
        };
        put(&mut self.closing, slot, closing);
        if let Some(set) = peer.and_then(|p| self.offered.get_mut(usize::from(p.vm))) {
            put(set, slot, offered);
        }
    }

    pub(crate) fn find(&self, handle: MemHandle) -> Option<u16> {
        let at = self.handle_place(handle).ok()?;
        self.by_handle.as_slice().get(at).copied()
    }

    fn handle_place(&self, handle: MemHandle) -> Result<usize, usize> {
        self.by_handle
            .as_slice()
            .binary_search_by_key(&Some(handle), |slot| self.grant(*slot).map(|g| g.handle))
    }

    pub(crate) fn by_id(&self, id: GrantId) -> Option<&Grant> {
        self.grant(id.slot).filter(|g| g.generation == id.generation)
    }

    /// Slots of the grants that this VM owns or borrows, in any of its lives.
    pub(crate) fn involving(&self, vm: u8) -> Bits<W> {
        let at = usize::from(vm);
        match (self.owned.get(at), self.borrowed.get(at)) {
            (Some(owned), Some(borrowed)) => owned.union(borrowed),
            _ => Bits::new(),
        }
    }

    pub(crate) fn offered_to(&self, vm: u8) -> Option<&Bits<W>> {
        self.offered.get(usize::from(vm))
    }

    pub(crate) const fn closing(&self) -> &Bits<W> {
        &self.closing
    }

    /// Slots of all live grants in the order of their handles.
    pub(crate) fn live_slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.by_handle.as_slice().iter().copied()
    }

    /// Every live grant in the order of its handle.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Grant> + '_ {
        self.live_slots().filter_map(|slot| self.grant(slot))
    }

    /// Enters a grant whose extent was staged and found disjoint. `None`, and no change, if there
    /// is no room (which [`Store::has_free_slot`] and the quotas exclude).
    pub(crate) fn insert(&mut self, mut grant: Grant) -> Option<GrantId> {
        let slot = self.free.next_from(0)?;
        let place = self.handle_place(grant.handle).err()?;
        let generation = self.generations.get(usize::from(slot))?.checked_add(1)?;
        grant.generation = generation;
        if !self.file_pages(slot, &grant.extent) {
            return None;
        }
        self.keep_staged(grant.pair, slot, &grant.extent);
        *self.slots.get_mut(usize::from(slot))? = Some(grant);
        if let Some(counter) = self.generations.get_mut(usize::from(slot)) {
            *counter = generation;
        }
        let _inserted = self.by_handle.insert(place, slot);
        self.free.clear(slot);
        self.file(slot, grant.stage, grant.peer);
        if let Some(set) = self.owned.get_mut(usize::from(grant.owner.vm)) {
            set.set(slot);
        }
        if let Some(set) = grant.peer.and_then(|p| self.borrowed.get_mut(usize::from(p.vm))) {
            set.set(slot);
        }
        if let Some(usage) = self.usage.get_mut(usize::from(grant.pair)) {
            usage.grants = usage.grants.saturating_add(1);
            usage.pages = usage.pages.saturating_add(grant.extent.page_count);
            usage.ranges = usage.ranges.saturating_add(grant.extent.range_count);
        }
        Some(GrantId { slot, generation })
    }

    /// Forgets a grant; returns what it was.
    pub(crate) fn remove(&mut self, slot: u16) -> Option<Grant> {
        let grant = *self.grant(slot)?;
        let place = self.handle_place(grant.handle).ok()?;
        self.unfile_pages(slot, &grant.extent);
        self.drop_rest(grant.pair, &grant.extent);
        let _slot = self.by_handle.remove(place);
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            *entry = None;
        }
        // A slot whose generations are used up is retired, so that no name ever comes back.
        if grant.generation != u32::MAX {
            self.free.set(slot);
        }
        self.closing.clear(slot);
        if let Some(set) = self.owned.get_mut(usize::from(grant.owner.vm)) {
            set.clear(slot);
        }
        if let Some(peer) = grant.peer {
            for sets in [&mut self.borrowed, &mut self.offered] {
                if let Some(set) = sets.get_mut(usize::from(peer.vm)) {
                    set.clear(slot);
                }
            }
        }
        if let Some(usage) = self.usage.get_mut(usize::from(grant.pair)) {
            usage.grants = usage.grants.saturating_sub(1);
            usage.pages = usage.pages.saturating_sub(grant.extent.page_count);
            usage.ranges = usage.ranges.saturating_sub(grant.extent.range_count);
        }
        Some(grant)
    }

    /// The `ordinal`-th range of an extent.
    pub(crate) fn range(&self, extent: &Extent, ordinal: u32) -> Option<PageRange> {
        let Some(after_first) = ordinal.checked_sub(1) else { return Some(extent.first) };
        if ordinal >= u32::from(extent.range_count) {
            return None;
        }
        let at = usize::from(extent.rest_at).checked_add(usize::try_from(after_first).ok()?)?;
        self.rest.get(at)?.map(|r| r.range)
    }

    /// Forgets how often each slot was used, for comparing states: live grants get generation 1.
    #[cfg(any(test, feature = "explore"))]
    pub(crate) fn forget_generations(&mut self) {
        self.generations = [0; G];
        for (grant, generation) in self.slots.iter_mut().zip(&mut self.generations) {
            if let Some(grant) = grant {
                grant.generation = 1;
                *generation = 1;
            }
        }
    }
}

/// What is the same in all states of a walk, or blank between two steps, is left out.
#[cfg(any(test, feature = "explore"))]
impl<const G: usize, const R: usize, const W: usize> core::hash::Hash for Store<G, R, W> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.slots, self.generations, self.free, self.rest).hash(state);
        (self.by_handle.as_slice(), self.by_page.as_slice()).hash(state);
        for (arena, usage) in self.arenas.iter().zip(&self.usage).filter(|(_, u)| u.grants > 0) {
            (arena, usage).hash(state);
        }
        (self.owned, self.borrowed, self.offered, self.closing).hash(state);
    }
}

fn put<const W: usize>(set: &mut Bits<W>, slot: u16, member: bool) {
    if member { set.set(slot) } else { set.clear(slot) }
}

#[cfg(test)]
mod tests;
