//! Owns how a grant's ranges get into the tables and out again; never decides whether they may.

use super::{Arena, PageKey, Rest, Store};
use crate::grant::{Extent, Grant};
use crate::table::Blank;
use causeway_abi::RangeFold;
use causeway_ffa::{PAGE_SIZE, PageRange};

/// Below this many ranges a grant leaves `by_page` one by one, else in one pass.
const FEW: u16 = 8;

/// Ranges that lie in a pair's arena but belong to no grant yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged {
    /// `None` if there was no valid range.
    pub(crate) extent: Option<Extent>,
    /// Whether a range was not valid.
    pub(crate) malformed: bool,
    /// How many there were, also beyond the room.
    pub(crate) range_count: u64,
    /// Pages in all of them.
    pub(crate) page_count: u64,
}

impl<const G: usize, const R: usize, const W: usize> Store<G, R, W> {
    /// Copies ranges, once, behind what the pair's arena holds. [`Store::unstage`] takes them back.
    pub(crate) fn stage(
        &mut self,
        pair: u8,
        ranges: &mut dyn Iterator<Item = Option<PageRange>>,
    ) -> Staged {
        let mut staged = Staged { extent: None, malformed: false, range_count: 0, page_count: 0 };
        let Some(arena) = self.arenas.get(usize::from(pair)).copied() else { return staged };
        let mut first = None;
        let mut fold = RangeFold::new();
        let end = usize::from(arena.base).saturating_add(usize::from(arena.room));
        let rest_at = arena.base.saturating_add(arena.used);
        let mut at = usize::from(rest_at);
        for range in ranges {
            let Some(range) = range else {
                staged.malformed = true;
                break;
            };
            fold = fold.with(range);
            if first.is_none() {
                first = Some(range);
            } else {
                let pages_before = u32::try_from(staged.page_count).unwrap_or(u32::MAX);
                if let Some(place) = self.rest.get_mut(at).filter(|_| at < end) {
                    *place = Some(Rest { range, pages_before, slot: None });
                    at = at.saturating_add(1);
                }
            }
            staged.range_count = staged.range_count.saturating_add(1);
            staged.page_count = staged.page_count.saturating_add(u64::from(range.page_count()));
        }
        staged.extent = first.map(|first| Extent {
            first,
            rest_at,
            range_count: u16::try_from(staged.range_count).unwrap_or(u16::MAX),
            page_count: u32::try_from(staged.page_count).unwrap_or(u32::MAX),
            fold: fold.get(),
        });
        staged
    }

    /// Blanks what was staged.
    pub(crate) fn unstage(&mut self, pair: u8) {
        let Some(arena) = self.arenas.get(usize::from(pair)).copied() else { return };
        let from = usize::from(arena.base).saturating_add(usize::from(arena.used));
        let to = usize::from(arena.base).saturating_add(usize::from(arena.room));
        for place in self.rest.get_mut(from..to).unwrap_or_default() {
            if place.is_none() {
                break;
            }
            *place = None;
        }
    }

    /// Whether two of the ranges have a page in common, or one with a live grant.
    pub(crate) fn overlaps(&mut self, extent: &Extent) -> bool {
        let count = usize::from(extent.range_count);
        self.sort_into_scratch(0, extent);
        let mut last_end = 0;
        let mut overlaps = false;
        for at in 0..count {
            let Some(key) = self.scratch.get(at).copied() else { break };
            let Some(range) = self.range(extent, u32::from(key.ordinal)) else { break };
            overlaps |= range.start().get() < last_end || self.meets_live(range);
            last_end = range.end();
        }
        self.blank_scratch(count);
        overlaps
    }

    fn meets_live(&self, range: PageRange) -> bool {
        let keys = self.by_page.as_slice();
        let place = keys.partition_point(|k| self.start_of(*k) < range.end());
        let before = place.checked_sub(1).and_then(|at| keys.get(at));
        before.and_then(|k| self.range_of(*k)).is_some_and(|r| r.overlaps(range))
    }

    fn range_of(&self, key: PageKey) -> Option<PageRange> {
        self.range(&self.grant(key.slot)?.extent, u32::from(key.ordinal))
    }

    pub(super) fn start_of(&self, key: PageKey) -> u64 {
        self.range_of(key).map_or(0, |r| r.start().get())
    }

    /// Writes the keys of an extent's ranges into `scratch`, by address.
    fn sort_into_scratch(&mut self, slot: u16, extent: &Extent) {
        let count = usize::from(extent.range_count);
        let Self { scratch, rest, .. } = self;
        let keys = scratch.get_mut(..count).unwrap_or_default();
        for (key, ordinal) in keys.iter_mut().zip(0_u16..) {
            *key = PageKey { slot, ordinal };
        }
        if count > 1 {
            keys.sort_unstable_by_key(|key| start_in(rest, extent, key.ordinal));
        }
    }

    fn blank_scratch(&mut self, count: usize) {
        self.scratch.get_mut(..count).unwrap_or_default().fill(PageKey::BLANK);
    }

    /// Enters the ranges of a grant-to-be into `by_page`; `false` if they do not fit.
    pub(super) fn file_pages(&mut self, slot: u16, extent: &Extent) -> bool {
        let count = usize::from(extent.range_count);
        if count == 1 {
            let start = extent.first.start().get();
            let keys = self.by_page.as_slice();
            let place = keys.partition_point(|k| self.start_of(*k) < start);
            return self.by_page.insert(place, PageKey { slot, ordinal: 0 });
        }
        self.sort_into_scratch(slot, extent);
        let Self { by_page, scratch, rest, slots, .. } = self;
        let start = |key: &PageKey| {
            let extent = if key.slot == slot {
                Some(extent)
            } else {
                slots.get(usize::from(key.slot)).and_then(Option::as_ref).map(|g| &g.extent)
            };
            extent.map_or(0, |e| start_in(rest, e, key.ordinal))
        };
        let new = scratch.get(..count).unwrap_or_default();
        let fits = new.len() == count && by_page.merge(new, |a, b| start(a) < start(b));
        self.blank_scratch(count);
        fits
    }

    /// Takes the ranges of a grant out of `by_page`.
    pub(super) fn unfile_pages(&mut self, slot: u16, extent: &Extent) {
        if extent.range_count > FEW {
            self.by_page.retain(|k| k.slot != slot);
            return;
        }
        for ordinal in 0..extent.range_count {
            let Some(range) = self.range(extent, u32::from(ordinal)) else { continue };
            let keys = self.by_page.as_slice();
            let place = keys.partition_point(|k| self.start_of(*k) < range.start().get());
            if keys.get(place) == Some(&PageKey { slot, ordinal }) {
                let _key = self.by_page.remove(place);
            }
        }
    }

    /// Gives the staged ranges to the grant in `slot`.
    pub(super) fn keep_staged(&mut self, pair: u8, slot: u16, extent: &Extent) {
        let more = extent.range_count.saturating_sub(1);
        let from = usize::from(extent.rest_at);
        let to = from.saturating_add(usize::from(more));
        for rest in self.rest.get_mut(from..to).unwrap_or_default().iter_mut().flatten() {
            rest.slot = Some(slot);
        }
        if let Some(arena) = self.arenas.get_mut(usize::from(pair)) {
            arena.used = arena.used.saturating_add(more);
        }
    }

    /// Takes a grant's ranges out of its arena and closes the gap.
    pub(super) fn drop_rest(&mut self, pair: u8, extent: &Extent) {
        let more = extent.range_count.saturating_sub(1);
        let Some(arena) = self.arenas.get_mut(usize::from(pair)).filter(|_| more > 0) else {
            return;
        };
        let Arena { base, used, .. } = *arena;
        arena.used = used.saturating_sub(more);
        let end = usize::from(base).saturating_add(usize::from(used));
        let (gap, from) = (usize::from(more), usize::from(extent.rest_at));
        let Some(tail) = self.rest.get_mut(from..end) else { return };
        tail.rotate_left(gap.min(tail.len()));
        let kept = tail.len().saturating_sub(gap);
        for place in tail.get_mut(kept..).unwrap_or_default() {
            *place = None;
        }
        // The first range of each grant behind the gap tells that grant its new place.
        let mut last = None;
        for (at, place) in (extent.rest_at..).zip(tail.get(..kept).unwrap_or_default()) {
            let slot = place.and_then(|r| r.slot);
            if slot != last {
                let entry = slot.and_then(|s| self.slots.get_mut(usize::from(s)));
                if let Some(Some(Grant { extent, .. })) = entry {
                    extent.rest_at = at;
                }
            }
            last = slot;
        }
    }

    /// The physical address of a byte of the extent, and how many bytes follow it without a gap.
    pub(crate) fn locate(&self, extent: &Extent, offset: u64) -> Option<(u64, u64)> {
        let page = u32::try_from(offset / PAGE_SIZE).ok().filter(|p| *p < extent.page_count)?;
        let (range, pages_before) = if page < extent.first.page_count() {
            (extent.first, 0)
        } else {
            let from = usize::from(extent.rest_at);
            let more = usize::from(extent.range_count.saturating_sub(1));
            let rest = self.rest.get(from..from.checked_add(more)?)?;
            let after = rest.partition_point(|r| r.is_some_and(|r| r.pages_before <= page));
            let found = (*rest.get(after.checked_sub(1)?)?)?;
            (found.range, found.pages_before)
        };
        let into = offset.checked_sub(u64::from(pages_before).checked_mul(PAGE_SIZE)?)?;
        let left = range.len_bytes().checked_sub(into).filter(|l| *l > 0)?;
        Some((range.start().get().checked_add(into)?, left))
    }
}

fn start_in(rest: &[Option<Rest>], extent: &Extent, ordinal: u16) -> u64 {
    let Some(after_first) = ordinal.checked_sub(1) else { return extent.first.start().get() };
    let at = usize::from(extent.rest_at).saturating_add(usize::from(after_first));
    rest.get(at).copied().flatten().map_or(0, |r| r.range.start().get())
}
