//! Owns the range records of all transactions, as linked lists in one table. Never interprets one.

use super::MAX_RANGES;
use causeway_ffa::{PAGE_SIZE, PageAddr, PageRange};

/// End of a list.
const NONE: u16 = u16::MAX;

/// One range and the next one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    first_page: u64,
    page_count: u32,
    next: u16,
}

/// The ranges of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RangeList {
    head: u16,
    len: u16,
}

impl RangeList {
    /// No range.
    pub(super) const EMPTY: Self = Self { head: NONE, len: 0 };

    /// How many ranges.
    pub(super) fn len(&self) -> u32 {
        u32::from(self.len)
    }
}

/// All records; the free ones form a list of their own.
#[derive(Clone, Debug)]
pub(super) struct RangePool {
    records: [Record; MAX_RANGES],
    free: u16,
    /// Records from here on were never used and are in no list.
    fresh: u16,
}

impl RangePool {
    pub(super) const fn new() -> Self {
        let unused = Record { first_page: 0, page_count: 0, next: NONE };
        Self { records: [unused; MAX_RANGES], free: NONE, fresh: 0 }
    }

    /// Stores ranges in their order; `None`, with nothing stored, where there is no room for all.
    pub(super) fn store(&mut self, ranges: impl Iterator<Item = PageRange>) -> Option<RangeList> {
        let mut list = RangeList::EMPTY;
        let mut last = NONE;
        for range in ranges {
            let Some(index) = self.unused() else {
                self.free(list);
                return None;
            };
            self.records[usize::from(index)] = Record {
                first_page: range.start().get() / PAGE_SIZE,
                page_count: range.page_count(),
                next: NONE,
            };
            match self.records.get_mut(usize::from(last)) {
                Some(before) => before.next = index,
                None => list.head = index,
            }
            last = index;
            list.len += 1;
        }
        Some(list)
    }

    /// Gives the records of a list back.
    pub(super) fn free(&mut self, list: RangeList) {
        let mut index = list.head;
        while let Some(record) = self.records.get_mut(usize::from(index)) {
            let next = record.next;
            record.next = self.free;
            self.free = index;
            index = next;
        }
    }

    /// Iterates over a list.
    pub(super) fn iter(&self, list: RangeList) -> impl Iterator<Item = PageRange> + Clone {
        let mut index = list.head;
        (0..list.len).map_while(move |_| {
            let record = self.records.get(usize::from(index))?;
            index = record.next;
            PageRange::new(PageAddr::new(record.first_page * PAGE_SIZE)?, record.page_count)
        })
    }

    fn unused(&mut self) -> Option<u16> {
        if let Some(record) = self.records.get(usize::from(self.free)) {
            let index = self.free;
            self.free = record.next;
            return Some(index);
        }
        let index = self.fresh;
        (usize::from(index) < MAX_RANGES).then(|| {
            self.fresh += 1;
            index
        })
    }
}
