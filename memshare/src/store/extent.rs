//! Owns how a grant's ranges get into the tables and out again; never decides whether they may.

use super::{Arena, Rest, Store};
use crate::grant::{Extent, Grant};
use crate::shelf::Place;
use causeway_abi::RangeFold;
use causeway_ffa::{PAGE_SIZE, PageRange};

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

impl Staged {
    /// No range.
    pub(crate) const NONE: Self =
        Self { extent: None, malformed: false, range_count: 0, page_count: 0 };

    /// One range.
    #[inline(always)]
    pub(crate) fn of_one(extent: Extent) -> Self {
        let page_count = u64::from(extent.page_count);
        Self { extent: Some(extent), malformed: false, range_count: 1, page_count }
    }
}

impl<const G: usize, const R: usize, const W: usize> Store<G, R, W> {
    /// The extent of one range. Nothing is staged for it: the grant's record holds all of it.
    #[inline(always)]
    pub(crate) fn extent_of_one(&self, pair: u8, range: PageRange) -> Option<Extent> {
        let Arena { base, used, .. } = self.arenas.get(usize::from(pair))?;
        Some(Extent {
            first: range,
            rest_at: base.wrapping_add(*used),
            range_count: 1,
            page_count: range.page_count(),
            fold: RangeFold::new().with(range).get(),
        })
    }

    /// Copies ranges, once, behind what the pair's arena holds, and their keys into `scratch`.
    /// [`Store::unstage`] takes them back.
    #[inline(always)]
    pub(crate) fn stage<I: Iterator<Item = Option<PageRange>> + ?Sized>(
        &mut self,
        pair: u8,
        ranges: &mut I,
    ) -> Staged {
        let Some(first) = ranges.next() else { return Staged::NONE };
        let Some(first) = first else { return Staged { malformed: true, ..Staged::NONE } };
        let Some(extent) = self.extent_of_one(pair, first) else { return Staged::NONE };
        let staged = Staged::of_one(extent);
        match ranges.next() {
            None => staged,
            Some(second) => self.stage_others(pair, staged, second, ranges),
        }
    }

    /// Stages what follows the first range.
    #[inline(never)]
    fn stage_others<I: Iterator<Item = Option<PageRange>> + ?Sized>(
        &mut self,
        pair: u8,
        mut staged: Staged,
        second: Option<PageRange>,
        ranges: &mut I,
    ) -> Staged {
        let (Some(arena), Some(mut extent)) =
            (self.arenas.get(usize::from(pair)).copied(), staged.extent)
        else {
            return staged;
        };
        let end = usize::from(arena.base).saturating_add(usize::from(arena.room));
        if let Some(place) = self.scratch.first_mut() {
            *place = key(extent.first);
        }
        let places = self.rest.get_mut(usize::from(extent.rest_at)..end).unwrap_or_default();
        let mut places = places.iter_mut().zip(self.scratch.iter_mut().skip(1));
        let mut fold = RangeFold::new().with(extent.first);
        let (mut page_count, mut range_count) = (staged.page_count, staged.range_count);
        let mut next = Some(second);
        while let Some(range) = next {
            let Some(range) = range else {
                staged.malformed = true;
                break;
            };
            fold = fold.with(range);
            if let Some((place, key_place)) = places.next() {
                let pages_before = u32::try_from(page_count).unwrap_or(u32::MAX);
                *place = Some(Rest { range, pages_before, slot: None });
                *key_place = key(range);
            }
            range_count = range_count.saturating_add(1);
            page_count = page_count.saturating_add(u64::from(range.page_count()));
            next = ranges.next();
        }
        extent.range_count = u16::try_from(range_count).unwrap_or(u16::MAX);
        extent.page_count = u32::try_from(page_count).unwrap_or(u32::MAX);
        extent.fold = fold.get();
        staged.extent = Some(extent);
        (staged.range_count, staged.page_count) = (range_count, page_count);
        staged
    }

    /// Forgets what was staged.
    pub(crate) fn unstage(&mut self, pair: u8) {
        let Some(Arena { base, room, used }) = self.arenas.get(usize::from(pair)).copied() else {
            return;
        };
        let begin = usize::from(base).saturating_add(usize::from(used));
        let end = usize::from(base).saturating_add(usize::from(room));
        let mut count = 1_usize;
        for place in self.rest.get_mut(begin..end).unwrap_or_default() {
            if place.take().is_none() {
                break;
            }
            count = count.saturating_add(1);
        }
        self.blank_scratch(count);
    }

    /// Looks for the place of a staged extent in `by_page`: `Err` with some place if a page of it
    /// lies in another grant, or twice in this one.
    #[inline(always)]
    pub(crate) fn find_place(&mut self, extent: &Extent) -> Result<Place, Place> {
        if extent.range_count == 1 {
            let new = key(extent.first);
            let (place, before) = self.live_before(end_of(new));
            if before > start_of(new) { Err(place) } else { Ok(place) }
        } else {
            self.find_places(extent)
        }
    }

    #[inline(never)]
    fn find_places(&mut self, extent: &Extent) -> Result<Place, Place> {
        let count = usize::from(extent.range_count);
        let keys = self.scratch.get_mut(..count).unwrap_or_default();
        if !keys.is_sorted() {
            keys.sort_unstable();
        }
        let (mut last_end, mut clear_until) = (0, 0);
        let mut overlaps = false;
        let mut place = self.by_page.place(0);
        for new in self.scratch.get(..count).unwrap_or_default() {
            overlaps |= start_of(*new) < last_end;
            last_end = end_of(*new);
            // Up to where nothing of others begins, one look was enough.
            if last_end > clear_until {
                let (found, before) = self.live_before(last_end);
                overlaps |= before > start_of(*new);
                clear_until = self.by_page.get(found).map_or(u64::MAX, |next| start_of(*next));
                place = found;
            }
        }
        if overlaps { Err(place) } else { Ok(place) }
    }

    /// The place behind the live ranges that begin before page frame `end`, and where the last of
    /// them ends.
    #[inline(always)]
    fn live_before(&self, end: u64) -> (Place, u64) {
        let (place, before) = self.by_page.place_behind(end << COUNT_BITS);
        (place, before.map_or(0, |before| end_of(*before)))
    }

    fn blank_scratch(&mut self, count: usize) {
        self.scratch.get_mut(..count).unwrap_or_default().fill(0);
    }

    /// The ranges of an extent after the first.
    #[inline]
    pub(super) fn rest_of(&self, extent: &Extent) -> &[Option<Rest>] {
        let from = usize::from(extent.rest_at);
        let more = usize::from(extent.range_count.saturating_sub(1));
        self.rest.get(from..from.saturating_add(more)).unwrap_or_default()
    }

    /// Enters the ranges of a grant-to-be, whose place was found, into `by_page`; `false`, and no
    /// change, if they do not fit.
    #[inline(always)]
    pub(super) fn file_pages(&mut self, extent: &Extent, place: Place) -> bool {
        if extent.range_count == 1 {
            return self.by_page.insert(place, key(extent.first));
        }
        self.file_all_pages(extent)
    }

    #[inline(never)]
    fn file_all_pages(&mut self, extent: &Extent) -> bool {
        let count = usize::from(extent.range_count);
        let new = self.scratch.get(..count).unwrap_or_default();
        let fits = new.len() == count && self.by_page.insert_sorted(new);
        if fits {
            self.blank_scratch(count);
        }
        fits
    }

    /// Takes the ranges of a grant out of `by_page`.
    pub(super) fn unfile_pages(&mut self, extent: &Extent) {
        if extent.range_count == 1 {
            if let Some((place, _)) = self.by_page.find(key(extent.first)) {
                self.by_page.remove(place);
            }
            return;
        }
        let Self { scratch, rest, by_page, .. } = self;
        let from = usize::from(extent.rest_at);
        let more = usize::from(extent.range_count.saturating_sub(1));
        let others = rest.get(from..from.saturating_add(more)).unwrap_or_default();
        let Some((first, places)) = scratch.split_first_mut() else { return };
        *first = key(extent.first);
        for (place, other) in places.iter_mut().zip(others) {
            *place = other.map_or(0, |other| key(other.range));
        }
        let keys = scratch.get_mut(..usize::from(extent.range_count)).unwrap_or_default();
        if !keys.is_sorted() {
            keys.sort_unstable();
        }
        by_page.remove_sorted(keys);
        keys.fill(0);
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
