//! Owns the constituents of a transaction, fragment after fragment; never keeps them.

use super::{DescriptorError, UNIT};
use crate::bytes::{le32, le64};
use crate::{PageAddr, PageRange};

/// Reads one constituent. Source: DEN0077A 1.1, table 10.14: address, page count, reserved.
fn constituent(bytes: &[u8]) -> Result<PageRange, DescriptorError> {
    let (Some(address), Some(count), Some(reserved)) =
        (le64(bytes, 0), le32(bytes, 8), le32(bytes, 12))
    else {
        return Err(DescriptorError::ConstituentSplit);
    };
    if reserved != 0 {
        return Err(DescriptorError::ConstituentReserved);
    }
    let start = PageAddr::new(address).ok_or(DescriptorError::Address)?;
    PageRange::new(start, count).ok_or(DescriptorError::Range)
}

/// The checked constituents of one fragment.
#[derive(Clone, Debug)]
pub struct Constituents<'a> {
    bytes: &'a [u8],
}

impl<'a> Constituents<'a> {
    /// No constituents.
    pub(crate) const EMPTY: Self = Self { bytes: &[] };

    /// Wraps bytes that [`ConstituentStream::feed`] has checked.
    const fn checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

impl Iterator for Constituents<'_> {
    type Item = PageRange;

    fn next(&mut self) -> Option<PageRange> {
        let (first, rest) = self.bytes.split_at_checked(UNIT)?;
        self.bytes = rest;
        constituent(first).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bytes.len() / UNIT;
        (left, Some(left))
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
    highest_end: u64,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Mixed,
}

impl ConstituentStream {
    /// Starts at `next_offset`, the end of the composite.
    pub(crate) const fn new(total_len: u32, next_offset: u32, page_total: u32) -> Self {
        let order = Order::Ascending;
        Self { total_len, next_offset, page_total, pages_seen: 0, highest_end: 0, order }
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
    pub fn is_ascending(&self) -> bool {
        self.order == Order::Ascending
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
        if !fragment.len().is_multiple_of(UNIT) {
            return Err(DescriptorError::ConstituentSplit);
        }
        let next_offset = u32::try_from(fragment.len())
            .ok()
            .and_then(|len| offset.checked_add(len))
            .filter(|end| *end <= self.total_len)
            .ok_or(DescriptorError::FragmentExcess)?;
        let mut next = Self { next_offset, ..self.clone() };
        for bytes in fragment.chunks_exact(UNIT) {
            next.count(constituent(bytes)?)?;
        }
        if next.is_complete() && next.pages_seen != next.page_total {
            return Err(DescriptorError::PageTotal);
        }
        *self = next;
        Ok(Constituents::checked(fragment))
    }

    fn count(&mut self, range: PageRange) -> Result<(), DescriptorError> {
        self.pages_seen = self
            .pages_seen
            .checked_add(range.page_count())
            .filter(|pages| *pages <= self.page_total)
            .ok_or(DescriptorError::PageTotal)?;
        if range.start().get() < self.highest_end {
            self.order = Order::Mixed;
        }
        self.highest_end = self.highest_end.max(range.end());
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`DescriptorError::Incomplete`] if anything is missing.
    pub fn finish(self) -> Result<(), DescriptorError> {
        if self.is_complete() { Ok(()) } else { Err(DescriptorError::Incomplete) }
    }
}
