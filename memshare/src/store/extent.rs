//! Owns how a grant's ranges get into the tables and out again; never decides whether they may.

use super::{Arena, Rest, Store};
use crate::grant::{Extent, Grant};
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
        if extent.range_count == 1 {
            return self.meets_live(key(extent.first));
        }
        let count = self.sort_into_scratch(extent);
        let mut last_end = 0;
        let mut overlaps = false;
        for key in self.scratch.get(..count).unwrap_or_default() {
            overlaps |= start_of(*key) < last_end || self.meets_live(*key);
            last_end = end_of(*key);
        }
        self.blank_scratch(count);
        overlaps
    }

    fn meets_live(&self, new: u64) -> bool {
        let keys = self.by_page.as_slice();
        let end = end_of(new);
        let place = keys.partition_point(|k| start_of(*k) < end);
        let before = place.checked_sub(1).and_then(|at| keys.get(at));
        before.is_some_and(|k| end_of(*k) > start_of(new))
    }

    /// Writes the keys of an extent's ranges into `scratch`, by address; returns how many.
    fn sort_into_scratch(&mut self, extent: &Extent) -> usize {
        let Self { scratch, rest, .. } = self;
        let more = usize::from(extent.range_count.saturating_sub(1));
        let from = usize::from(extent.rest_at);
        let others = rest.get(from..from.saturating_add(more)).unwrap_or_default();
        let ranges = others.iter().flatten().map(|r| r.range);
        let mut count = 0_usize;
        for (place, range) in scratch.iter_mut().zip(core::iter::once(extent.first).chain(ranges)) {
            *place = key(range);
            count = count.saturating_add(1);
        }
        let keys = scratch.get_mut(..count).unwrap_or_default();
        if !keys.is_sorted() {
            keys.sort_unstable();
        }
        count
    }

    fn blank_scratch(&mut self, count: usize) {
        self.scratch.get_mut(..count).unwrap_or_default().fill(0);
    }

    /// Enters the ranges of a grant-to-be into `by_page`; `false` if they do not fit.
    pub(super) fn file_pages(&mut self, extent: &Extent) -> bool {
        if extent.range_count == 1 {
            let key = key(extent.first);
            let place = self.by_page.as_slice().partition_point(|k| *k < key);
            return self.by_page.insert(place, key);
        }
        let count = self.sort_into_scratch(extent);
        let Self { by_page, scratch, .. } = self;
        let new = scratch.get(..count).unwrap_or_default();
        let fits = count == usize::from(extent.range_count) && by_page.merge(new, |a, b| a < b);
        self.blank_scratch(count);
        fits
    }

    /// Takes the ranges of a grant out of `by_page`.
    pub(super) fn unfile_pages(&mut self, extent: &Extent) {
        if extent.range_count > FEW {
            let count = self.sort_into_scratch(extent);
            let Self { by_page, scratch, .. } = self;
            // Both lists are in order, so that one pass finds them all.
            let mut gone = scratch.get(..count).unwrap_or_default().iter().peekable();
            by_page.retain(|k| gone.next_if_eq(&k).is_none());
            self.blank_scratch(count);
            return;
        }
        for ordinal in 0..extent.range_count {
            let Some(range) = self.range(extent, u32::from(ordinal)) else { continue };
            if let Ok(place) = self.by_page.as_slice().binary_search(&key(range)) {
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

/// A range in one word that sorts by its address: page frame in bits 63:28, pages in 27:0. The
/// broker takes no area of 2^28 pages, and no address has more than 48 bits.
fn key(range: PageRange) -> u64 {
    let pages = u64::from(range.page_count()) & COUNT;
    ((range.start().get() / PAGE_SIZE) << COUNT_BITS) | pages
}

/// The page frame at which a key's range begins.
const fn start_of(key: u64) -> u64 {
    key >> COUNT_BITS
}

/// The page frame behind a key's range.
const fn end_of(key: u64) -> u64 {
    (key >> COUNT_BITS).saturating_add(key & COUNT)
}

const COUNT_BITS: u32 = 28;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
