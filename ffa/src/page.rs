//! Owns page-granular addresses: once built, always aligned and in range; never a pointer.
//!
//! ```
//! use causeway_ffa::{PAGE_SIZE, PageAddr, PageRange};
//!
//! assert_eq!(PageAddr::new(0x8000_0010), None);
//! let start = PageAddr::new(0x8000_0000).expect("aligned, below 2^48");
//! let range = PageRange::new(start, 4).expect("some pages, below 2^48");
//! assert_eq!((range.len_bytes(), range.end()), (4 * PAGE_SIZE, 0x8000_4000));
//! assert!(range.contains(PageRange::new(start, 1).unwrap()));
//! ```

/// Bytes in an FF-A page; descriptors count in this unit whatever the guest's granule.
pub const PAGE_SIZE: u64 = 4096;

/// First address beyond the architected 48-bit range that we accept.
const LIMIT: u64 = 1 << 48;

/// The first byte of a 4 KiB page in the sender's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageAddr(u64);

impl PageAddr {
    /// Accepts `raw` if it is page aligned and below the 48-bit limit.
    #[must_use]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw.is_multiple_of(PAGE_SIZE) && raw < LIMIT { Some(Self(raw)) } else { None }
    }

    /// First address beyond the range.
    pub(crate) const LIMIT: u64 = LIMIT;

    /// Reports whether every address is valid whose bits were gathered in `bits` by "or".
    pub(crate) const fn all_valid(bits: u64) -> bool {
        Self::new(bits).is_some()
    }

    /// Returns the raw address.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A non-empty run of pages which does not wrap and ends at or below 2^48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRange {
    start: PageAddr,
    page_count: u32,
}

impl PageRange {
    /// Builds a range of `page_count` pages from `start`; `None` if empty or out of range.
    #[must_use]
    pub const fn new(start: PageAddr, page_count: u32) -> Option<Self> {
        #[expect(
            clippy::as_conversions,
            reason = "u64::from is not const; u32 to u64 keeps every value"
        )]
        let Some(len) = (page_count as u64).checked_mul(PAGE_SIZE) else {
            return None;
        };
        let Some(end) = start.0.checked_add(len) else {
            return None;
        };
        if page_count == 0 || end > LIMIT {
            return None;
        }
        Some(Self { start, page_count })
    }

    /// Returns the first page.
    #[must_use]
    pub const fn start(self) -> PageAddr {
        self.start
    }

    /// Returns the number of 4 KiB pages; never 0.
    #[must_use]
    pub const fn page_count(self) -> u32 {
        self.page_count
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len_bytes(self) -> u64 {
        u64::from(self.page_count).saturating_mul(PAGE_SIZE)
    }

    /// Returns the first byte after the range.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start.0.saturating_add(self.len_bytes())
    }

    /// Reports whether the two ranges have a page in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end() && other.start.0 < self.end()
    }

    /// Reports whether `other` lies wholly inside `self`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start.0 <= other.start.0 && other.end() <= self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, pages: u32) -> Option<PageRange> {
        PageRange::new(PageAddr::new(start)?, pages)
    }

    #[test]
    fn empty_unaligned_and_wrapping_ranges_are_refused() {
        assert_eq!(range(0x1000, 0), None);
        assert_eq!(PageAddr::new(0x1001), None);
        assert_eq!(range(LIMIT - PAGE_SIZE, 2), None);
        assert!(range(LIMIT - PAGE_SIZE, 1).is_some());
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let a = range(0x1000, 2).unwrap();
        assert!(!a.overlaps(range(0x3000, 1).unwrap()));
        assert!(a.overlaps(range(0x2000, 1).unwrap()));
        assert!(a.contains(range(0x2000, 1).unwrap()));
        assert!(!a.contains(range(0x2000, 2).unwrap()));
    }
}
