//! Owns how address ranges travel in registers: packed, and folded into one word.
//!
//! ```
//! use causeway_abi::{PackedRange, RangeFold};
//! use causeway_ffa::{PageAddr, PageRange};
//!
//! let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 4).unwrap();
//! let packed = PackedRange::pack(range).expect("it fits a word");
//! assert_eq!(PackedRange::unpack(packed.word()), Some(range));
//! // The order counts, and so does every range.
//! assert_ne!(RangeFold::new().with(range), RangeFold::new());
//! ```

use causeway_ffa::{PageAddr, PageRange};

/// A range in one word: page frame number in bits 35:0, page count in bits 63:36.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedRange(u64);

impl PackedRange {
    /// Packs a range; `None` if it has 2^28 pages or more (1 TiB).
    #[must_use]
    pub fn pack(range: PageRange) -> Option<Self> {
        let count = u64::from(range.page_count());
        (count < 1 << 28).then(|| Self((range.start().get() >> 12) | (count << 36)))
    }

    /// Returns the word.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Reads a word; `None` if it is no valid range.
    #[must_use]
    pub fn unpack(word: u64) -> Option<PageRange> {
        let start = PageAddr::new((word & ((1 << 36) - 1)) << 12)?;
        PageRange::new(start, u32::try_from(word >> 36).ok()?)
    }
}

/// Folds the ranges of a grant, in order, into one word (FNV-1a over little-endian words).
///
/// It tells an honest peer that what it accepts is what it inspected. It is no cryptographic
/// digest: both sides compare values that the partition computed, from ranges that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeFold(u64);

impl RangeFold {
    /// The fold of no range.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a range.
    #[must_use]
    pub fn with(self, range: PageRange) -> Self {
        self.word(range.start().get()).word(u64::from(range.page_count()))
    }

    /// Returns the folded word.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        Self((mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl Default for RangeFold {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, pages: u32) -> PageRange {
        PageRange::new(PageAddr::new(start).unwrap(), pages).unwrap()
    }

    #[test]
    fn ranges_survive_packing() {
        for r in [range(0, 1), range(0xffff_ffff_f000, 1), range(0x8000_0000, 131_072)] {
            assert_eq!(PackedRange::unpack(PackedRange::pack(r).unwrap().word()), Some(r));
        }
        assert_eq!(PackedRange::unpack(0), None);
    }

    #[test]
    fn fold_depends_on_order_and_count() {
        let (a, b) = (range(0x1000, 1), range(0x2000, 1));
        let fold = |list: &[PageRange]| list.iter().fold(RangeFold::new(), |f, r| f.with(*r));
        assert_ne!(fold(&[a, b]), fold(&[b, a]));
        assert_ne!(fold(&[a, b]), fold(&[range(0x1000, 2)]));
        assert_ne!(fold(&[a]), fold(&[]));
    }
}
