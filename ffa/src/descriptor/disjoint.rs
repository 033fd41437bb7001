//! Owns the check that no page is described twice (KB-06); never compares two transactions.
//!
//! ```
//! use causeway_ffa::descriptor::{DescriptorError, disjoint};
//! use causeway_ffa::{PageAddr, PageRange};
//!
//! let range = |address, pages| PageRange::new(PageAddr::new(address).unwrap(), pages).unwrap();
//! let mut ranges = [range(0x9000, 2), range(0x1000, 2)];
//! assert_eq!(disjoint::check(ranges.iter().copied()), Ok(()));
//! assert_eq!(disjoint::sort_and_check(&mut ranges), Ok(()));
//! let twice = [range(0x1000, 2), range(0x2000, 1)];
//! assert_eq!(disjoint::check(twice.iter().copied()), Err(DescriptorError::Overlap));
//! ```

use super::DescriptorError;
use crate::PageRange;

/// Unsorted ranges that are compared pair by pair; more need scratch space or ascending order.
/// One 4 KiB buffer holds at most 252, so whatever comes unfragmented is always checked.
pub const PAIRWISE_MAX: usize = 256;

/// Checks ranges in any order: in one pass where they ascend, else pair by pair up to
/// [`PAIRWISE_MAX`] ranges (at most 32,640 comparisons).
///
/// # Errors
/// [`DescriptorError::Overlap`], or [`DescriptorError::TooManyUnsorted`].
pub fn check(ranges: impl Iterator<Item = PageRange> + Clone) -> Result<(), DescriptorError> {
    if ascending(ranges.clone()) {
        return Ok(());
    }
    let mut rest = ranges;
    let mut count: usize = 0;
    while let Some(range) = rest.next() {
        count = count.saturating_add(1);
        if count > PAIRWISE_MAX {
            return Err(DescriptorError::TooManyUnsorted);
        }
        if rest.clone().take(PAIRWISE_MAX).any(|other| other.overlaps(range)) {
            return Err(DescriptorError::Overlap);
        }
    }
    Ok(())
}

/// Sorts the ranges by address and checks that no two have a page in common: n log n.
///
/// # Errors
/// [`DescriptorError::Overlap`]; the ranges are sorted all the same.
pub fn sort_and_check(ranges: &mut [PageRange]) -> Result<(), DescriptorError> {
    ranges.sort_unstable_by_key(|range| range.start());
    if ascending(ranges.iter().copied()) { Ok(()) } else { Err(DescriptorError::Overlap) }
}

/// Reports whether each range begins at or behind the end of the one before.
fn ascending(ranges: impl Iterator<Item = PageRange>) -> bool {
    let mut end = 0;
    for range in ranges {
        if range.start().get() < end {
            return false;
        }
        end = range.end();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PageAddr;

    fn range(page: u64, count: u32) -> PageRange {
        PageRange::new(PageAddr::new(page << 12).unwrap(), count).unwrap()
    }

    fn both(ranges: &[PageRange]) -> Result<(), DescriptorError> {
        let direct = check(ranges.iter().copied());
        let mut copy = ranges.to_vec();
        assert_eq!(sort_and_check(&mut copy), direct, "{ranges:?}");
        direct
    }

    #[test]
    fn kb_06_an_overlap_is_found_in_any_order() {
        let (a, b, c) = (range(1, 4), range(5, 1), range(4, 1));
        assert_eq!(both(&[a, b]), Ok(()));
        assert_eq!(both(&[b, a]), Ok(()));
        for list in [[a, b, c], [b, c, a], [c, b, a], [a, c, b]] {
            assert_eq!(both(&list), Err(DescriptorError::Overlap));
        }
        assert_eq!(both(&[a, a]), Err(DescriptorError::Overlap));
    }

    #[test]
    #[cfg_attr(miri, ignore = "hundreds of thousands of steps, none of them unsafe")]
    fn the_pairwise_check_is_bounded() {
        let mut many: Vec<PageRange> = (0..256).map(|p| range(p << 1, 1)).collect();
        many.reverse();
        assert_eq!(both(&many), Ok(()));
        many.push(range(0x10_0000, 1));
        assert_eq!(check(many.iter().copied()), Err(DescriptorError::TooManyUnsorted));
        assert_eq!(sort_and_check(&mut many), Ok(()));
        assert_eq!(check(many.iter().copied()), Ok(()), "in order, any number is checked");
    }
}
