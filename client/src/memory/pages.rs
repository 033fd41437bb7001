//! Owns a set of this program's own pages, as the addresses that it shares and the window through
//! which it reaches them; never shares them by itself.

use super::Window;
use causeway_ffa::{PAGE_SIZE, PageRange};
use core::slice;

/// Pages that this program owns and may grant.
///
/// The ranges are addresses in the caller's own (intermediate physical) address space, in the
/// order in which they lie in the window. A [`crate::grant::Grant`] takes the pages and gives them
/// back when it has reclaimed them.
#[derive(Debug)]
pub struct Pages<'p> {
    ranges: Ranges<'p>,
    window: Window,
}

#[derive(Debug)]
enum Ranges<'p> {
    One(PageRange),
    Many(&'p [PageRange]),
}

impl Pages<'static> {
    /// One range. `None` if the window is not exactly as long as the range.
    #[must_use]
    pub fn contiguous(range: PageRange, window: Window) -> Option<Self> {
        let same = u64::try_from(window.len_bytes()).ok()? == range.len_bytes();
        same.then_some(Self { ranges: Ranges::One(range), window })
    }
}

impl<'p> Pages<'p> {
    /// Several ranges, in the order in which the window shows them. `None` if there is none, or the
    /// window is not exactly as long as all of them together.
    #[must_use]
    pub fn scattered(ranges: &'p [PageRange], window: Window) -> Option<Self> {
        let total = ranges.iter().try_fold(0u64, |sum, r| sum.checked_add(r.len_bytes()))?;
        let same = total > 0 && u64::try_from(window.len_bytes()).ok()? == total;
        same.then_some(Self { ranges: Ranges::Many(ranges), window })
    }

    /// Returns the ranges, in order.
    #[must_use]
    pub const fn ranges(&self) -> &[PageRange] {
        match &self.ranges {
            Ranges::One(range) => slice::from_ref(range),
            Ranges::Many(ranges) => ranges,
        }
    }

    /// Returns the number of 4 KiB pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.len_bytes() / PAGE_SIZE
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.ranges().iter().fold(0, |sum, r| sum.saturating_add(r.len_bytes()))
    }

    /// Returns the window through which this program reaches the pages.
    #[must_use]
    pub const fn window(&self) -> &Window {
        &self.window
    }

    /// Gives the window back: the pages are ordinary memory again.
    #[must_use]
    pub fn into_window(self) -> Window {
        self.window
    }
}
