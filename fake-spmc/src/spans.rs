//! Owns sets of pages with a value each, as runs of addresses; never knows what a value means.

use causeway_ffa::PageRange;
use std::collections::BTreeMap;

/// Disjoint runs of bytes, whole pages, each with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spans<T> {
    runs: BTreeMap<u64, (u64, T)>,
}

impl<T> Default for Spans<T> {
    fn default() -> Self {
        Self { runs: BTreeMap::new() }
    }
}

impl<T: Copy> Spans<T> {
    /// Takes pages out.
    pub(crate) fn remove(&mut self, range: PageRange) {
        let (start, end) = (range.start().get(), range.end());
        let touched: Vec<_> = self.overlapping(range).collect();
        for (from, to, value) in touched {
            self.runs.remove(&from);
            if from < start {
                self.runs.insert(from, (start, value));
            }
            if to > end {
                self.runs.insert(end, (to, value));
            }
        }
    }

    /// Puts pages in; their value replaces what was there.
    pub(crate) fn insert(&mut self, range: PageRange, value: T) {
        self.remove(range);
        self.runs.insert(range.start().get(), (range.end(), value));
    }

    /// The runs that have a page in common with `range`: first byte, first byte after it, value.
    pub(crate) fn overlapping(&self, range: PageRange) -> impl Iterator<Item = (u64, u64, T)> + '_ {
        let (start, end) = (range.start().get(), range.end());
        let before = self.runs.range(..start).next_back();
        let after = self.runs.range(start..end);
        before
            .into_iter()
            .chain(after)
            .map(|(from, (to, value))| (*from, *to, *value))
            .filter(move |(from, to, _)| *from < end && start < *to)
    }

    /// Reports whether every page of `range` is there with a value that `fits`.
    pub(crate) fn covers(&self, range: PageRange, fits: impl Fn(T) -> bool) -> bool {
        let mut at = range.start().get();
        for (from, to, value) in self.overlapping(range) {
            if from > at || !fits(value) {
                return false;
            }
            at = to;
        }
        at >= range.end()
    }

    /// All runs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64, T)> + '_ {
        self.runs.iter().map(|(from, (to, value))| (*from, *to, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::range;

    #[test]
    fn taking_pages_out_of_the_middle_leaves_both_ends() {
        let mut spans = Spans::default();
        spans.insert(range(0x1000, 8), 'a');
        spans.remove(range(0x3000, 2));
        assert_eq!(
            spans.iter().collect::<Vec<_>>(),
            [(0x1000, 0x3000, 'a'), (0x5000, 0x9000, 'a')]
        );
        spans.insert(range(0x3000, 2), 'b');
        assert!(spans.covers(range(0x1000, 8), |_| true));
        assert!(!spans.covers(range(0x1000, 8), |value| value == 'a'));
        assert!(!spans.covers(range(0x8000, 2), |_| true));
        assert_eq!(spans.overlapping(range(0x4000, 2)).count(), 2);
    }
}
