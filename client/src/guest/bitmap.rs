//! Owns which pages of a pool are taken; never knows where they lie.

use super::pool::POOL_PAGES;

/// Pages in each word.
const BITS: usize = 64;

/// Words for all pages.
const WORDS: usize = POOL_PAGES / BITS;

/// One bit a page.
#[derive(Debug)]
pub(super) struct PageMap {
    words: [u64; WORDS],
}

impl PageMap {
    pub(super) const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    fn is_taken(&self, page: usize) -> bool {
        let bit = page.checked_rem(BITS).unwrap_or(0);
        self.words.get(page / BITS).is_none_or(|word| word & (1 << bit) != 0)
    }

    fn set(&mut self, page: usize, taken: bool) {
        let bit = 1 << (page.checked_rem(BITS).unwrap_or(0));
        if let Some(word) = self.words.get_mut(page / BITS) {
            *word = if taken { *word | bit } else { *word & !bit };
        }
    }

    /// Takes the first run of `count` free pages in `first..end`; returns its first page.
    pub(super) fn take(&mut self, first: usize, end: usize, count: usize) -> Option<usize> {
        if count == 0 {
            return None;
        }
        let mut start = first;
        let mut page = first;
        while page < end {
            if self.is_taken(page) {
                start = page.checked_add(1)?;
            } else if page.checked_sub(start)?.checked_add(1)? == count {
                self.mark(start, count, true);
                return Some(start);
            }
            page = page.checked_add(1)?;
        }
        None
    }

    /// Marks a run of pages.
    pub(super) fn mark(&mut self, first: usize, count: usize, taken: bool) {
        for page in first..first.saturating_add(count) {
            self.set(page, taken);
        }
    }

    /// Reports whether all pages of a run are taken (`true`), or all are free (`false`).
    pub(super) fn all(&self, first: usize, count: usize, taken: bool) -> bool {
        (first..first.saturating_add(count)).all(|page| self.is_taken(page) == taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_never_overlap_and_freed_pages_are_found_again() {
        let mut map = PageMap::new();
        assert_eq!(map.take(10, 20, 4), Some(10));
        assert_eq!(map.take(10, 20, 6), Some(14));
        assert_eq!(map.take(10, 20, 1), None);
        map.mark(12, 3, false);
        assert_eq!(map.take(10, 20, 4), None);
        assert_eq!(map.take(10, 20, 3), Some(12));
        assert!(map.all(10, 10, true) && map.all(20, 5, false));
    }

    #[test]
    fn no_run_leaves_the_map() {
        let mut map = PageMap::new();
        assert_eq!(map.take(POOL_PAGES - 1, POOL_PAGES + 9, 2), None);
        assert_eq!(map.take(0, 5, 0), None);
        assert_eq!(map.take(POOL_PAGES - 1, POOL_PAGES + 9, 1), Some(POOL_PAGES - 1));
    }
}
