//! Owns whole descriptors: what a first fragment says, and that no page is described twice.
//! Never reads a field itself.

use super::{
    Constituents, DescriptorError, FirstFragment, Header, Receiver, Receivers, Role, disjoint,
};
use crate::{EndpointId, PageRange, Version};

/// A whole descriptor, checked.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    first: FirstFragment<'a>,
}

impl<'a> Transaction<'a> {
    /// Reads a whole descriptor: `bytes` is exactly the announced total, in a private copy.
    ///
    /// # Errors
    /// As [`FirstFragment::parse`]; [`DescriptorError::Overlap`] where a page is described twice;
    /// [`DescriptorError::TooManyUnsorted`] beyond the bound of [`disjoint::check`].
    pub fn parse(bytes: &'a [u8], version: Version, role: Role) -> Result<Self, DescriptorError> {
        let whole = Self::parse_unordered(bytes, version, role)?;
        if !whole.first.after().is_ascending() {
            disjoint::check(whole.ranges())?;
        }
        Ok(whole)
    }

    /// Reads a whole descriptor of any number of ranges in any order; `scratch` must have room for
    /// all of them and is left with the ranges in ascending order.
    ///
    /// # Errors
    /// As [`Transaction::parse`]; [`DescriptorError::NoRoom`] where `scratch` is too short.
    pub fn parse_with_scratch(
        bytes: &'a [u8],
        version: Version,
        role: Role,
        scratch: &mut [PageRange],
    ) -> Result<Self, DescriptorError> {
        let whole = Self::parse_unordered(bytes, version, role)?;
        let ranges = whole.ranges();
        let room = scratch.get_mut(..ranges.len()).ok_or(DescriptorError::NoRoom)?;
        for (slot, range) in room.iter_mut().zip(ranges) {
            *slot = range;
        }
        disjoint::sort_and_check(room)?;
        Ok(whole)
    }

    fn parse_unordered(
        bytes: &'a [u8],
        version: Version,
        role: Role,
    ) -> Result<Self, DescriptorError> {
        let total_len = u32::try_from(bytes.len()).map_err(|_| DescriptorError::Lengths)?;
        let first = FirstFragment::parse(bytes, total_len, version, role)?;
        if !first.after().is_complete() {
            return Err(DescriptorError::Incomplete);
        }
        Ok(Self { first })
    }

    /// Returns the same as a first fragment that is the only one.
    #[must_use]
    pub const fn first(&self) -> &FirstFragment<'a> {
        &self.first
    }

    pub(super) const fn first_mut(&mut self) -> &mut FirstFragment<'a> {
        &mut self.first
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> Header {
        self.first.header()
    }

    /// Iterates over the receivers.
    #[must_use]
    pub fn receivers(&self) -> Receivers<'a> {
        self.first.receivers()
    }

    /// Finds a receiver.
    #[must_use]
    pub fn receiver(&self, endpoint: EndpointId) -> Option<Receiver> {
        self.first.receiver(endpoint)
    }

    /// Iterates over the address ranges.
    #[must_use]
    pub fn ranges(&self) -> Constituents<'a> {
        self.first.ranges()
    }

    /// Returns the number of 4 KiB pages.
    #[must_use]
    pub fn page_count(&self) -> u32 {
        self.first.page_count()
    }

    /// Returns the number of address ranges.
    #[must_use]
    pub fn range_count(&self) -> u32 {
        self.first.range_count()
    }
}
