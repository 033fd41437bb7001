//! Owns the reading of descriptors: everything is checked before anything is handed out.
//!
//! Each byte is looked at once. Where that makes the order of checks differ from the order of the
//! fields, a second look names the rule (`broken_rule` in `receivers` and `stream`), and only then.

use super::receivers::{self, Place};
use super::stream::{ConstituentStream, Constituents};
use super::{
    Attributes, DescriptorError, Dialect, Flags, Layout, Receiver, Receivers, Role, Security, UNIT,
};
use crate::bytes::{le16, le32, le64, size};
use crate::{EndpointId, MemHandle, Version};

/// What the header of a transaction says. Source: DEN0077A 1.1, table 10.20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The owner. Whoever vouches for ids must compare it (KB-13).
    pub sender: EndpointId,
    /// Memory attributes.
    pub attributes: Attributes,
    /// Flags.
    pub flags: Flags,
    /// The handle; `None` in a send, and in a response of OP-TEE ([`Dialect::OpTee`]).
    pub handle: Option<MemHandle>,
    /// The sender's tag.
    pub tag: u64,
}

/// A first fragment, checked as far as it goes.
#[derive(Clone, Debug)]
pub struct FirstFragment<'a> {
    role: Role,
    pub(super) dialect: Dialect,
    receivers: Receivers<'a>,
    bytes: &'a [u8],
    /// Where the composite ends and the ranges begin; 0 without a composite.
    begin: u32,
    stream: ConstituentStream,
}

impl<'a> FirstFragment<'a> {
    /// Reads a first fragment of a descriptor of `total_len` bytes. `bytes` is exactly that
    /// fragment, in a private copy.
    ///
    /// # Errors
    /// The first broken rule, in the order: lengths, header, receivers' place, each receiver,
    /// composite, each constituent.
    pub fn parse(
        bytes: &'a [u8],
        total_len: u32,
        version: Version,
        role: Role,
    ) -> Result<Self, DescriptorError> {
        let (layout, dialect) = (Layout::of(version)?, Dialect::Specified);
        if bytes.is_empty() || bytes.len() > size(total_len) {
            return Err(DescriptorError::Lengths);
        }
        let (sender, place) = check_header(bytes, layout, role)?;
        let (receivers, end, composite_offset) = receivers::check(bytes, place, sender, role)?;
        if composite_offset == 0 {
            return without_composite(receivers, bytes, (end, total_len), role);
        }
        let (composite, rest) = split(bytes, end, composite_offset)?;
        let (page_count, range_count) = composite_counts(composite, role)?;
        // 64 bits: 2^32 * 16 plus an offset below 2^32 cannot wrap (KB-01).
        let begin = u64::from(composite_offset).wrapping_add(16);
        if u64::from(range_count).wrapping_mul(16).wrapping_add(begin) != u64::from(total_len) {
            return Err(DescriptorError::TotalLength);
        }
        // As the sum does not exceed a word, its first part did not wrap.
        let begin = composite_offset.wrapping_add(16);
        let stream = ConstituentStream::new(total_len, begin, page_count);
        if rest.is_empty() {
            return Ok(Self { role, dialect, receivers, bytes, begin, stream });
        }
        let mut stream = stream;
        stream.take(rest)?;
        Ok(Self { role, dialect, receivers, bytes, begin, stream })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> Header {
        // Every field was checked where it lies, and is decoded here: the fallbacks never happen.
        let double = |offset| le64(self.bytes, offset).unwrap_or(0);
        let is_vague = self.role == Role::RetrieveResponse && self.dialect == Dialect::OpTee;
        let flags = Flags::from_word(le32(self.bytes, 4).unwrap_or(0));
        Header {
            sender: EndpointId::from_raw(le16(self.bytes, 0).unwrap_or(0)),
            attributes: le16(self.bytes, 2)
                .and_then(Attributes::from_word)
                .unwrap_or(Attributes::UNSPECIFIED),
            flags: if is_vague { Flags { kind: None, ..flags } } else { flags },
            handle: match self.role {
                Role::Send(_) => None,
                Role::RetrieveResponse if is_vague => None,
                Role::RetrieveRequest | Role::RetrieveResponse => MemHandle::new(double(8)),
            },
            tag: double(16),
        }
    }

    /// Returns the announced bytes of the whole descriptor.
    #[must_use]
    pub const fn total_len(&self) -> u32 {
        self.stream.total_len()
    }

    /// Iterates over the receivers.
    #[must_use]
    pub fn receivers(&self) -> Receivers<'a> {
        self.receivers.clone()
    }

    /// Finds a receiver.
    #[must_use]
    pub fn receiver(&self, endpoint: EndpointId) -> Option<Receiver> {
        self.receivers().find(|receiver| receiver.endpoint == endpoint)
    }

    /// Returns the announced number of 4 KiB pages; 0 in a retrieve request without composite.
    #[must_use]
    pub const fn page_count(&self) -> u32 {
        self.stream.page_total()
    }

    /// Returns the announced number of constituents; 0 in a retrieve request without composite.
    #[must_use]
    pub const fn range_count(&self) -> u32 {
        match self.begin {
            0 => 0,
            begin => self.stream.total_len().saturating_sub(begin) / 16,
        }
    }

    /// Returns the stream that takes the next fragments, and the ranges of this one.
    #[must_use]
    pub fn stream(&self) -> (ConstituentStream, Constituents<'a>) {
        (self.stream.clone(), self.ranges())
    }

    /// Returns the ranges of this fragment.
    pub(super) fn ranges(&self) -> Constituents<'a> {
        let ranges = self.bytes.get(size(self.begin)..).filter(|_| self.begin != 0);
        Constituents::checked(ranges.map_or(&[], |ranges| ranges.as_chunks().0))
    }

    /// Returns the stream behind this fragment.
    pub(super) const fn after(&self) -> &ConstituentStream {
        &self.stream
    }

    /// Returns the bytes of header and receivers: what a relayer passes on as it is.
    pub(super) fn prefix(&self) -> Option<&'a [u8]> {
        self.bytes.get(..size(self.begin).checked_sub(UNIT)?)
    }
}

/// Checks the header; returns the sender and where the receivers lie.
/// Source: DEN0077A 1.1, table 10.20; 1.0, table 5.19.
fn check_header(
    bytes: &[u8],
    layout: Layout,
    role: Role,
) -> Result<(EndpointId, Place), DescriptorError> {
    let truncated = DescriptorError::HeaderTruncated;
    let (fixed, rest) = bytes.split_first_chunk::<32>().ok_or(truncated)?;
    let (Some(sender), Some(attributes), Some(flags), Some(handle), Some(size), Some(count)) = (
        le16(fixed, 0),
        le16(fixed, 2),
        le32(fixed, 4),
        le64(fixed, 8),
        le32(fixed, 24),
        le32(fixed, 28),
    ) else {
        return Err(truncated);
    };
    // The layouts differ in the attributes' width, and in what names size and offset.
    let (header_len, offset, size, reserved) = match layout {
        Layout::Short => (32, 32, 16, size | u32::from(attributes & 0xff00)),
        Layout::Long => {
            let rest = rest.first_chunk::<16>().ok_or(truncated)?;
            let (Some(offset), Some(a), Some(b), Some(c)) =
                (le32(rest, 0), le32(rest, 4), le32(rest, 8), le32(rest, 12))
            else {
                return Err(truncated);
            };
            (48, offset, size, a | b | c)
        }
    };
    if reserved != 0 {
        return Err(DescriptorError::HeaderReserved);
    }
    let attributes = Attributes::from_word(attributes).ok_or(DescriptorError::Attributes)?;
    if attributes.security == Security::NonSecure && role != Role::RetrieveResponse {
        return Err(DescriptorError::SecurityBit);
    }
    Flags::check_word(flags, role)?;
    let is_good_handle = match role {
        Role::Send(_) => handle == 0,
        Role::RetrieveRequest | Role::RetrieveResponse => MemHandle::new(handle).is_some(),
    };
    if !is_good_handle {
        return Err(DescriptorError::Handle);
    }
    Ok((EndpointId::from_raw(sender), Place::find(header_len, offset, size, count)?))
}

/// Ends a descriptor that has no composite: a retrieve request only.
fn without_composite<'a>(
    receivers: Receivers<'a>,
    bytes: &'a [u8],
    (end, total_len): (usize, u32),
    role: Role,
) -> Result<FirstFragment<'a>, DescriptorError> {
    match role {
        Role::Send(_) | Role::RetrieveResponse => return Err(DescriptorError::NoComposite),
        Role::RetrieveRequest if size(total_len) != end => {
            return Err(DescriptorError::TotalLength);
        }
        Role::RetrieveRequest => {}
    }
    let stream = ConstituentStream::new(total_len, total_len, 0);
    Ok(FirstFragment { role, dialect: Dialect::Specified, receivers, bytes, begin: 0, stream })
}

/// Cuts the bytes at the composite, whose offset is not 0 (KB-04).
fn split(
    bytes: &[u8],
    receivers_end: usize,
    offset: u32,
) -> Result<(&[u8; UNIT], &[u8]), DescriptorError> {
    let offset = size(offset);
    if !offset.is_multiple_of(UNIT) {
        return Err(DescriptorError::CompositeUnaligned);
    }
    if offset < receivers_end {
        return Err(DescriptorError::CompositeOverlaps);
    }
    let truncated = DescriptorError::CompositeTruncated;
    let behind = bytes.get(offset..).ok_or(truncated)?;
    behind.split_first_chunk::<UNIT>().ok_or(truncated)
}

/// Reads the counts of pages and ranges (KB-06).
fn composite_counts(fixed: &[u8; UNIT], role: Role) -> Result<(u32, u32), DescriptorError> {
    let (Some(pages), Some(ranges), Some(reserved)) =
        (le32(fixed, 0), le32(fixed, 4), le64(fixed, 8))
    else {
        return Err(DescriptorError::CompositeTruncated);
    };
    if reserved != 0 {
        return Err(DescriptorError::CompositeReserved);
    }
    // A retrieve request may carry a zeroed composite: OP-TEE asks for one.
    let is_empty = pages == 0 && ranges == 0;
    if (pages == 0 || ranges == 0) && !(is_empty && role == Role::RetrieveRequest) {
        return Err(DescriptorError::NoPages);
    }
    Ok((pages, ranges))
}
