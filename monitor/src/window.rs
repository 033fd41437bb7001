//! Owns which parts of a VM's window hold borrowed memory; never maps one.

use crate::layout::{WINDOW_BYTES, WINDOW_IPA};
use causeway_ffa::PAGE_SIZE;

/// Most borrowed transactions in one window.
pub const MAX_SPANS: usize = 512;

/// A part of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    base: u64,
    len_bytes: u64,
}

/// The window of one VM: spans in ascending order, first fit.
#[derive(Clone, Debug)]
pub struct Window {
    spans: [Span; MAX_SPANS],
    count: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    /// An empty window.
    #[must_use]
    pub const fn new() -> Self {
        Self { spans: [Span { base: 0, len_bytes: 0 }; MAX_SPANS], count: 0 }
    }

    /// Takes room for `page_count` pages; returns its guest-physical address, or `None` where
    /// there is no gap that is long enough or no span left.
    pub fn take(&mut self, page_count: u32) -> Option<u64> {
        let len_bytes = u64::from(page_count) * PAGE_SIZE;
        if self.count == MAX_SPANS || len_bytes == 0 {
            return None;
        }
        let mut base = WINDOW_IPA;
        let mut index = self.count;
        for (at, span) in self.spans[..self.count].iter().enumerate() {
            if span.base - base >= len_bytes {
                index = at;
                break;
            }
            base = span.base + span.len_bytes;
        }
        if WINDOW_IPA + WINDOW_BYTES - base < len_bytes {
            return None;
        }
        self.spans.copy_within(index..self.count, index + 1);
        self.spans[index] = Span { base, len_bytes };
        self.count += 1;
        Some(base)
    }

    /// Gives room back that [`Window::take`] returned.
    pub fn give_back(&mut self, base: u64) {
        let found = self.spans[..self.count].iter().position(|span| span.base == base);
        if let Some(index) = found {
            self.spans.copy_within(index + 1..self.count, index);
            self.count -= 1;
        }
    }

    /// Reports whether nothing is borrowed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_never_overlap_and_gaps_are_filled() {
        let mut window = Window::new();
        let a = window.take(2).unwrap();
        let b = window.take(1).unwrap();
        let c = window.take(3).unwrap();
        assert_eq!([a, b, c], [WINDOW_IPA, WINDOW_IPA + 0x2000, WINDOW_IPA + 0x3000]);
        window.give_back(a);
        assert_eq!(window.take(3), Some(WINDOW_IPA + 0x6000));
        assert_eq!(window.take(1), Some(WINDOW_IPA));
        assert_eq!(window.take(1), Some(WINDOW_IPA + 0x1000));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut window = Window::new();
        let pages = (WINDOW_BYTES / PAGE_SIZE) as u32;
        assert_eq!(window.take(0), None);
        assert_eq!(window.take(pages + 1), None);
        assert_eq!(window.take(u32::MAX), None);
        assert_eq!(window.take(pages), Some(WINDOW_IPA));
        assert_eq!(window.take(1), None);
        window.give_back(WINDOW_IPA);
        assert!(window.is_empty());
    }

    #[test]
    fn spans_are_bounded_and_unknown_ones_are_not_given_back() {
        let mut window = Window::new();
        for _ in 0..MAX_SPANS {
            assert!(window.take(1).is_some());
        }
        assert_eq!(window.take(1), None);
        window.give_back(0x1234_5000);
        assert_eq!(window.take(1), None);
        window.give_back(WINDOW_IPA + 0x5000);
        assert_eq!(window.take(1), Some(WINDOW_IPA + 0x5000));
    }
}
