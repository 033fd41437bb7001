//! Owns the constituents of a transaction, fragment after fragment; never keeps them.

use super::{DescriptorError, UNIT};
use crate::bytes::le64;
use crate::{PageAddr, PageRange};

/// A constituent as it is written.
type Unit = [u8; UNIT];

/// Address; page count with the reserved word above it.
fn words(unit: &Unit) -> (u64, u64) {
    (le64(unit, 0).unwrap_or(u64::MAX), le64(unit, 8).unwrap_or(u64::MAX))
}

/// Reads one constituent. Source: DEN0077A 1.1, table 10.14: address, page count, reserved.
pub(super) fn constituent(unit: &Unit) -> Result<PageRange, DescriptorError> {
    let (address, tail) = words(unit);
    let count = u32::try_from(tail).map_err(|_| DescriptorError::ConstituentReserved)?;
    let start = PageAddr::new(address).ok_or(DescriptorError::Address)?;
    PageRange::new(start, count).ok_or(DescriptorError::Range)
}

/// The checked constituents of one fragment.
#[derive(Clone, Debug)]
pub struct Constituents<'a> {
    units: core::slice::Iter<'a, Unit>,
}

impl<'a> Constituents<'a> {
    /// Wraps what [`ConstituentStream`] has checked.
    pub(super) fn checked(units: &'a [Unit]) -> Self {
        Self { units: units.iter() }
    }
}

impl Iterator for Constituents<'_> {
    type Item = PageRange;

    fn next(&mut self) -> Option<PageRange> {
        constituent(self.units.next()?).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.units.size_hint()
    }
}

impl ExactSizeIterator for Constituents<'_> {}

/// What was announced and what has arrived. A fragment that breaks a rule changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstituentStream {
    total_len: u32,
    next_offset: u32,
    page_total: u32,
    pages_seen: u32,
    /// Where the last range ended, while they ascend; else [`MIXED`].
    last_end: u64,
}

/// Nothing begins at or behind this end: once mixed, always mixed.
const MIXED: u64 = u64::MAX;

impl ConstituentStream {
    /// Starts at `next_offset`, the end of the composite.
    pub(crate) const fn new(total_len: u32, next_offset: u32, page_total: u32) -> Self {
        Self { total_len, next_offset, page_total, pages_seen: 0, last_end: 0 }
    }

    /// Returns the announced bytes of the whole descriptor.
    #[must_use]
    pub const fn total_len(&self) -> u32 {
        self.total_len
    }

    /// Returns the announced number of 4 KiB pages.
    #[must_use]
    pub const fn page_total(&self) -> u32 {
        self.page_total
    }

    /// Returns the offset at which the next fragment must begin: what FFA_MEM_FRAG_RX names.
    #[must_use]
    pub const fn next_offset(&self) -> u32 {
        self.next_offset
    }

    /// Returns the bytes that have not arrived.
    #[must_use]
    pub const fn missing(&self) -> u32 {
        self.total_len.saturating_sub(self.next_offset)
    }

    /// Reports whether everything has arrived.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.next_offset == self.total_len
    }

    /// Reports whether all ranges so far came in ascending order without overlap: then no two of
    /// them have a page in common. Otherwise sort them: [`super::disjoint::sort_and_check`].
    #[must_use]
    pub const fn is_ascending(&self) -> bool {
        self.last_end != MIXED
    }

    /// Takes the fragment that begins at `offset`: checks all of it, then counts it and hands out
    /// its ranges.
    ///
    /// # Errors
    /// The first rule that is broken (KB-01, KB-02, KB-06); the stream is as it was.
    pub fn feed<'b>(
        &mut self,
        offset: u32,
        fragment: &'b [u8],
    ) -> Result<Constituents<'b>, DescriptorError> {
        if offset != self.next_offset {
            return Err(DescriptorError::FragmentOffset);
        }
        if self.is_complete() {
            return Err(DescriptorError::FragmentExcess);
        }
        if fragment.is_empty() {
            return Err(DescriptorError::Lengths);
        }
        self.take(fragment).map(Constituents::checked)
    }

    /// Takes a fragment that begins at the right offset.
    pub(super) fn take<'b>(&mut self, fragment: &'b [u8]) -> Result<&'b [Unit], DescriptorError> {
        let (units, []) = fragment.as_chunks::<UNIT>() else {
            return Err(DescriptorError::ConstituentSplit);
        };
        let next_offset = u32::try_from(fragment.len())
            .ok()
            .and_then(|len| self.next_offset.checked_add(len))
            .filter(|end| *end <= self.total_len)
            .ok_or(DescriptorError::FragmentExcess)?;
        let Some(next) = self.counted(units, next_offset) else {
            return Err(self.broken_rule(units));
        };
        if next.is_complete() && next.pages_seen != next.page_total {
            return Err(DescriptorError::PageTotal);
        }
        *self = next;
        Ok(units)
    }

    /// Looks at every constituent once, without a branch in the loop: bits that must not be set are
    /// gathered, and judged at the end. `None` where a rule is broken.
    fn counted(&self, units: &[Unit], next_offset: u32) -> Option<Self> {
        let (mut pages, mut last_end) = (u64::from(self.pages_seen), self.last_end);
        let (mut addresses, mut ends, mut tails) = (0, 0, 0);
        let mut is_mixed = false;
        for unit in units {
            let (address, tail) = words(unit);
            // Nothing here wraps unless `addresses` or `tails` shows that a rule is broken.
            let end = address.wrapping_add(tail << 12);
            addresses |= address;
            ends |= end.wrapping_sub(1);
            // Sets upper bits for a reserved word that is not zero, and for no pages (KB-06).
            tails |= tail | tail.wrapping_sub(1);
            pages = pages.wrapping_add(tail);
            is_mixed |= address < last_end; // MIXED stays mixed: addresses are below 2^48
            last_end = end;
        }
        let is_good = PageAddr::all_valid(addresses) && ends < PageAddr::LIMIT && tails >> 32 == 0;
        // Below 2^28 units of less than 2^32 pages each: the sum did not wrap either (KB-01).
        let pages_seen = u32::try_from(pages).ok().filter(|seen| *seen <= self.page_total);
        let last_end = if is_mixed { MIXED } else { last_end };
        pages_seen.filter(|_| is_good).map(|pages_seen| Self {
            next_offset,
            pages_seen,
            last_end,
            ..*self
        })
    }

    /// Names the first rule that [`ConstituentStream::counted`] found broken.
    #[cold]
    fn broken_rule(&self, units: &[Unit]) -> DescriptorError {
        let mut pages = self.pages_seen;
        for unit in units {
            let range = match constituent(unit) {
                Ok(range) => range,
                Err(error) => return error,
            };
            match pages.checked_add(range.page_count()) {
                Some(sum) if sum <= self.page_total => pages = sum,
                Some(_) | None => return DescriptorError::PageTotal,
            }
        }
        DescriptorError::PageTotal
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`DescriptorError::Incomplete`] if anything is missing.
    pub fn finish(self) -> Result<(), DescriptorError> {
        if self.is_complete() { Ok(()) } else { Err(DescriptorError::Incomplete) }
    }
}
