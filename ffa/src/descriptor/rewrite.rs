//! Owns the replacement of address ranges in someone else's descriptor: a hypervisor passes on a
//! VM's header and receivers as they were checked, with physical instead of intermediate physical
//! ranges. Never translates an address.

use super::build::{Tail, write_lines};
use super::{DescriptorError, FirstFragment, Role, Transaction, UNIT};
use crate::bytes::array;
use crate::{PageRange, Version};

/// A checked descriptor with other ranges, to be written whole or in fragments.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<'a> {
    prefix: &'a [u8],
    tail: Tail<'a>,
    prefix_len: u32,
    total_len: u32,
}

impl<'a> Rewrite<'a> {
    /// Puts `ranges` in the place of those that `first` announces. Their number may differ, their
    /// pages must not.
    ///
    /// # Errors
    /// [`DescriptorError::PageTotal`] where the pages differ; [`DescriptorError::NoComposite`]
    /// where there is none to replace; [`DescriptorError::TotalLength`] beyond 4 GiB.
    pub fn new(
        first: &FirstFragment<'a>,
        ranges: &'a [PageRange],
    ) -> Result<Self, DescriptorError> {
        let prefix = first.prefix().ok_or(DescriptorError::NoComposite)?;
        let tail = Tail::new(ranges)?;
        if tail.page_count != first.page_count() {
            return Err(DescriptorError::PageTotal);
        }
        let prefix_len = u32::try_from(prefix.len()).map_err(|_| DescriptorError::TotalLength)?;
        let total_len = tail.total_len(prefix_len)?;
        Ok(Self { prefix, tail, prefix_len, total_len })
    }

    /// Returns the bytes of the whole descriptor.
    #[must_use]
    pub const fn total_len(&self) -> u32 {
        self.total_len
    }

    /// Writes the fragment that begins at `offset`, as [`super::Builder::write`] does.
    ///
    /// # Errors
    /// As [`super::Builder::write`].
    pub fn write(&self, offset: u32, out: &mut [u8]) -> Result<usize, DescriptorError> {
        let first_needs = self.prefix_len.saturating_add(16);
        write_lines(offset, first_needs, self.total_len, out, |index| self.line(index))
    }

    fn line(&self, index: usize) -> [u8; 16] {
        let prefix_lines = self.prefix.len() / UNIT;
        match index.checked_sub(prefix_lines) {
            Some(tail_index) => self.tail.line(tail_index),
            None => array(self.prefix, index.saturating_mul(UNIT)).unwrap_or([0; 16]),
        }
    }
}

/// Replaces the ranges of the whole descriptor in `buffer[..len]`; returns the new length.
///
/// # Errors
/// As [`Transaction::parse`] and [`Rewrite::new`]; [`DescriptorError::NoRoom`] where `buffer` is
/// too short. The buffer is then as it was.
pub fn rewrite_in_place(
    buffer: &mut [u8],
    len: usize,
    version: Version,
    role: Role,
    ranges: &[PageRange],
) -> Result<usize, DescriptorError> {
    let bytes = buffer.get(..len).ok_or(DescriptorError::Lengths)?;
    let (prefix_len, total) = {
        let whole = Transaction::parse(bytes, version, role)?;
        let rewrite = Rewrite::new(whole.first(), ranges)?;
        (rewrite.prefix.len(), rewrite.total_len)
    };
    let tail = Tail::new(ranges)?;
    let total = usize::try_from(total).map_err(|_| DescriptorError::NoRoom)?;
    let room = buffer.get_mut(prefix_len..total).ok_or(DescriptorError::NoRoom)?;
    for (index, chunk) in room.chunks_exact_mut(UNIT).enumerate() {
        chunk.copy_from_slice(&tail.line(index));
    }
    Ok(total)
}
