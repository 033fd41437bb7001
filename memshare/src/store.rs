//! Owns the tables of live grants and their ranges, and the look-ups into them; never decides
//! whether a grant may be made or changed.
//!
//! Pages are found by binary search: `by_page` lists the ranges of all grants, packed, in the order of
//! their addresses, and they are disjoint. Handles are found in buckets (see `names`). A pair's ranges beyond the first
//! of each grant lie without gaps in the arena that its quota reserves, in the order of the offers.

mod extent;
mod names;

pub(crate) use extent::Staged;

use crate::grant::{Extent, Grant, GrantId, Party, Stage};
use crate::policy::{MAX_PAIRS, MAX_VMS, Policy};
use crate::shelf::{Place, Shelf};
use crate::table::Bits;
#[cfg(any(test, feature = "explore"))]
use causeway_abi::GrantKind;
use causeway_ffa::{MemHandle, PageRange};
use names::Names;

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

/// How many grants are in each stage: what STATS shows without a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tally {
    pub(crate) offered: u16,
    pub(crate) accepted: u16,
    pub(crate) active: u16,
    pub(crate) closing: u16,
    pub(crate) kept: u16,
}

impl Tally {
    const fn place(&mut self, stage: Stage) -> &mut u16 {
        match stage {
            Stage::Offered => &mut self.offered,
            Stage::Accepted => &mut self.accepted,
            Stage::Active => &mut self.active,
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. } => &mut self.closing,
            Stage::Kept => &mut self.kept,
        }
    }

    #[inline(always)]
    const fn move_from_to(&mut self, from: Option<Stage>, to: Option<Stage>) {
        if let Some(stage) = from {
            let place = self.place(stage);
            *place = place.saturating_sub(1);
        }
        if let Some(stage) = to {
            let place = self.place(stage);
            // There are fewer grants than 16 bits count.
            *place = place.wrapping_add(1);
        }
    }
}

/// A slot with its pages and numbers, which no grant has yet.
#[derive(Debug)]
#[must_use]
pub(crate) struct Opened {
    slot: u16,
    generation: u32,
    pub(crate) serial: u32,
}

/// The tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Store<const G: usize, const R: usize, const W: usize> {
    slots: [Option<Grant>; G],
    generations: [u32; G],
    /// How many offers each pair has made: the generation that is shown.
    serials: [u32; MAX_PAIRS],
    free: Bits<W>,
    names: Names<G>,
    /// The ranges as words that sort by address.
    by_page: Shelf<u64, R>,
    /// The same of an area that is offered or removed; blank in between.
    scratch: [u64; R],
    rest: [Option<Rest>; R],
    arenas: [Arena; MAX_PAIRS],
    usage: [Usage; MAX_PAIRS],
    owned: [Bits<W>; MAX_VMS],
    borrowed: [Bits<W>; MAX_VMS],
    /// Numbers of the offers that wait for this VM: each the lowest that was free, so that they say
    /// nothing about grants of others.
    offered: [Bits<W>; MAX_VMS],
    /// The slot behind each such number.
    offers: [[u16; G]; MAX_VMS],
    /// Grants that are releasing or awaiting their unmapping.
    closing: Bits<W>,
    /// How many grants are in each stage, in the order of [`Tally`].
    tally: Tally,
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
            serials: [0; MAX_PAIRS],
            free: Bits::new(),
            names: Names::new(),
            by_page: Shelf::new(),
            scratch: [0; R],
            rest: [None; R],
            arenas: [Arena { base: 0, room: 0, used: 0 }; MAX_PAIRS],
            usage: [Usage { grants: 0, pages: 0, ranges: 0 }; MAX_PAIRS],
            owned: [Bits::new(); MAX_VMS],
            borrowed: [Bits::new(); MAX_VMS],
            offered: [Bits::new(); MAX_VMS],
            offers: [[0; G]; MAX_VMS],
            closing: Bits::new(),
            tally: Tally { offered: 0, accepted: 0, active: 0, closing: 0, kept: 0 },
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

    /// The serial that the pair's next grant will have.
    pub(crate) fn next_serial(&self, pair: u8) -> u32 {
        self.serials.get(usize::from(pair)).map_or(0, |serial| serial.saturating_add(1))
    }

    /// Whether there are a slot and a name for one more grant of this pair.
    pub(crate) fn has_room(&self, pair: u8) -> bool {
        let last = self.serials.get(usize::from(pair)).is_none_or(|serial| *serial == u32::MAX);
        !self.free.is_empty() && !last
    }

    pub(crate) fn grant(&self, slot: u16) -> Option<&Grant> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// Changes a grant's mutable part; keeps the sets that depend on its stage. No change makes an
    /// offer of a grant.
    pub(crate) fn update(&mut self, slot: u16, change: impl FnOnce(&mut Grant)) {
        let Some(Some(grant)) = self.slots.get_mut(usize::from(slot)) else { return };
        let before = grant.stage;
        let was_offered = before == Stage::Offered;
        change(grant);
        let after = grant.stage;
        if before != after {
            self.tally.move_from_to(Some(before), Some(after));
        }
        let Some(Some(grant)) = self.slots.get(usize::from(slot)) else { return };
        let grant = (grant.stage, grant.peer, grant.offer);
        if was_offered && grant.0 != Stage::Offered {
            self.close_offer(grant.1, grant.2);
        }
        match grant.0 {
            Stage::Offered | Stage::Accepted | Stage::Active | Stage::Kept => {
                self.closing.clear(slot);
            }
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. } => self.closing.set(slot),
        }
    }

    /// Gives an offer its number among those that wait for its peer.
    #[inline(always)]
    fn open_offer(&mut self, peer: Option<Party>, slot: u16) -> u16 {
        let at = peer.map_or(MAX_VMS, |p| usize::from(p.vm));
        let (Some(set), Some(slots)) = (self.offered.get_mut(at), self.offers.get_mut(at)) else {
            return 0;
        };
        let number = set.first_absent().unwrap_or(0);
        set.set(number);
        if let Some(place) = slots.get_mut(usize::from(number)) {
            *place = slot;
        }
        number
    }

    fn close_offer(&mut self, peer: Option<Party>, number: u16) {
        let at = peer.map_or(MAX_VMS, |p| usize::from(p.vm));
        if let (Some(set), Some(slots)) = (self.offered.get_mut(at), self.offers.get_mut(at)) {
            set.clear(number);
            if let Some(place) = slots.get_mut(usize::from(number)) {
                *place = 0;
            }
        }
    }

    pub(crate) fn find(&self, handle: MemHandle) -> Option<u16> {
        self.names.find(handle, |slot| self.grant(slot))
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

    pub(crate) fn has_offers(&self, vm: u8) -> bool {
        self.offered.get(usize::from(vm)).is_some_and(|set| !set.is_empty())
    }

    /// The first offer to this VM whose number is not below `number`, and the number of the next.
    pub(crate) fn offer_from(&self, vm: u8, number: u16) -> Option<(&Grant, Option<u16>)> {
        let at = usize::from(vm);
        let set = self.offered.get(at)?;
        let found = set.next_from(number)?;
        let slot = *self.offers.get(at)?.get(usize::from(found))?;
        Some((self.grant(slot)?, found.checked_add(1).and_then(|n| set.next_from(n))))
    }

    pub(crate) const fn closing(&self) -> &Bits<W> {
        &self.closing
    }

    /// Makes a set of the grants that are offered, accepted or active; returns how many they are.
    pub(crate) fn usable_or_offered(&self, set: &mut Bits<W>) -> u16 {
        *set = self.owned.iter().fold(Bits::new(), |all, of_vm| all.union(of_vm));
        for slot in self.closing.iter() {
            set.clear(slot);
        }
        if self.tally.kept > 0 {
            for slot in set.clone().iter() {
                if self.grant(slot).is_none_or(|grant| grant.stage == Stage::Kept) {
                    set.clear(slot);
                }
            }
        }
        let Tally { offered, accepted, active, .. } = self.tally;
        offered.saturating_add(accepted).saturating_add(active)
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Slots of all live grants.
    pub(crate) fn live_slots(&self) -> impl Iterator<Item = u16> + '_ {
        (0_u16..).zip(&self.slots).filter_map(|(slot, grant)| grant.as_ref().map(|_| slot))
    }

    /// Every live grant.
    #[cfg(test)]
    pub(crate) fn live(&self) -> impl Iterator<Item = &Grant> + '_ {
        self.live_slots().filter_map(|slot| self.grant(slot))
    }

    /// Enters the pages of a grant-to-be, whose extent was staged and found to have its place, and names its
    /// slot and its numbers: [`Store::enter`] must follow. `None`, and no change, if there is no room
    /// (which [`Store::has_room`] and the quotas exclude).
    #[inline(always)]
    pub(crate) fn open(&mut self, pair: u8, extent: &Extent, place: Place) -> Option<Opened> {
        let slot = self.free.first()?;
        let generation = self.generations.get(usize::from(slot))?.checked_add(1)?;
        let serial = self.serials.get(usize::from(pair))?.checked_add(1)?;
        if !self.file_pages(extent, place) {
            return None;
        }
        if extent.range_count > 1 {
            self.keep_staged(pair, slot, extent);
        }
        Some(Opened { slot, generation, serial })
    }

    /// Enters a grant whose handle is new where [`Store::open`] opened a place for its pages, and gives it its
    /// names: generation, serial, offer.
    #[inline(always)]
    pub(crate) fn enter(&mut self, opened: Opened, grant: Grant) -> Option<&Grant> {
        let Opened { slot, generation, serial } = opened;
        let at = usize::from(slot);
        let place = self.slots.get_mut(at)?;
        // First to where it stays: whoever holds all of it until the end holds nothing else.
        let grant = &*place.insert(Grant { generation, serial, ..grant });
        let (handle, owner, peer, stage) = (grant.handle, grant.owner, grant.peer, grant.stage);
        let pair = usize::from(grant.pair);
        let Extent { page_count, range_count, .. } = grant.extent;
        if let Some(counter) = self.generations.get_mut(at) {
            *counter = generation;
        }
        if let Some(counter) = self.serials.get_mut(pair) {
            *counter = serial;
        }
        self.names.insert(handle, slot);
        self.free.clear(slot);
        if let Some(set) = self.owned.get_mut(usize::from(owner.vm)) {
            set.set(slot);
        }
        if let Some(set) = peer.and_then(|p| self.borrowed.get_mut(usize::from(p.vm))) {
            set.set(slot);
        }
        // Below the pair's quota, as was checked.
        if let Some(usage) = self.usage.get_mut(pair) {
            usage.grants = usage.grants.wrapping_add(1);
            usage.pages = usage.pages.wrapping_add(page_count);
            usage.ranges = usage.ranges.wrapping_add(range_count);
        }
        self.tally.move_from_to(None, Some(stage));
        if stage == Stage::Offered {
            let number = self.open_offer(peer, slot);
            if let Some(Some(grant)) = self.slots.get_mut(at) {
                grant.offer = number;
            }
        }
        self.grant(slot)
    }

    /// [`Store::open`] and [`Store::enter`], for tests.
    #[cfg(test)]
    pub(crate) fn insert(&mut self, grant: &mut Grant, place: Place) -> Option<GrantId> {
        let opened = self.open(grant.pair, &grant.extent, place)?;
        let id = GrantId { slot: opened.slot, generation: opened.generation };
        *grant = *self.enter(opened, *grant)?;
        Some(id)
    }

    /// Forgets a grant; `None` if there is none.
    #[inline(always)]
    pub(crate) fn remove(&mut self, slot: u16) -> Option<()> {
        let place = self.slots.get_mut(usize::from(slot))?;
        let grant = (*place)?;
        *place = None;
        self.names.remove(grant.handle, slot);
        self.unfile_pages(&grant.extent);
        if grant.extent.range_count > 1 {
            self.drop_rest(grant.pair, &grant.extent);
        }
        // A slot whose generations are used up is retired, so that no name ever comes back.
        if grant.generation != u32::MAX {
            self.free.set(slot);
        }
        match grant.stage {
            Stage::Offered | Stage::Accepted | Stage::Active | Stage::Kept => {}
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. } => self.closing.clear(slot),
        }
        self.tally.move_from_to(Some(grant.stage), None);
        if let Some(set) = self.owned.get_mut(usize::from(grant.owner.vm)) {
            set.clear(slot);
        }
        if let Some(set) = grant.peer.and_then(|p| self.borrowed.get_mut(usize::from(p.vm))) {
            set.clear(slot);
        }
        if grant.stage == Stage::Offered {
            self.close_offer(grant.peer, grant.offer);
        }
        if let Some(usage) = self.usage.get_mut(usize::from(grant.pair)) {
            usage.grants = usage.grants.saturating_sub(1);
            usage.pages = usage.pages.saturating_sub(grant.extent.page_count);
            usage.ranges = usage.ranges.saturating_sub(grant.extent.range_count);
        }
        Some(())
    }

    /// The ranges of an extent after the first, in the owner's order.
    pub(crate) fn rest_ranges(&self, extent: &Extent) -> impl Iterator<Item = PageRange> + '_ {
        self.rest_of(extent).iter().flatten().map(|rest| rest.range)
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

    /// Forgets how often each slot and pair was used, for comparing states: live grants get
    /// generation 1.
    #[cfg(any(test, feature = "explore"))]
    pub(crate) fn forget_generations(&mut self) {
        self.generations = [0; G];
        self.serials = [0; MAX_PAIRS];
        for (grant, generation) in self.slots.iter_mut().zip(&mut self.generations) {
            let Some(grant) = grant else { continue };
            // A donation's name holds its serial, and no later name must be the same.
            let donated = grant.kind == GrantKind::Donate;
            if let Some(serial) = self.serials.get_mut(usize::from(grant.pair)).filter(|_| donated)
            {
                let name = u32::try_from(grant.handle.get() & u64::from(u32::MAX)).unwrap_or(0);
                *serial = name.max(*serial);
            }
            (grant.generation, grant.serial) = (1, 1);
            *generation = 1;
        }
    }
}

/// What is the same in all states of a walk, or blank between two steps, is left out.
#[cfg(any(test, feature = "explore"))]
impl<const G: usize, const R: usize, const W: usize> core::hash::Hash for Store<G, R, W> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.slots, self.generations, self.free, self.rest).hash(state);
        self.by_page.iter().for_each(|key| key.hash(state));
        for (arena, usage) in self.arenas.iter().zip(&self.usage).filter(|(_, u)| u.grants > 0) {
            (arena, usage).hash(state);
        }
        (self.owned, self.borrowed, self.offered, self.offers, self.closing).hash(state);
    }
}

#[cfg(test)]
mod tests;
