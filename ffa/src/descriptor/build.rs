//! Owns the writing of descriptors, whole or in fragments; never sends one.

use super::{
    Attributes, DescriptorError, Dialect, Flags, Layout, MAX_RECEIVERS, Receiver, Role, Security,
    UNIT,
};
use crate::bytes::Line;
use crate::{EndpointId, MemHandle, PageRange, Transfer, Version};

/// What a descriptor shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec<'a> {
    /// The negotiated version: decides on the header.
    pub version: Version,
    /// The message.
    pub role: Role,
    /// The owner of the memory.
    pub sender: EndpointId,
    /// Memory attributes.
    pub attributes: Attributes,
    /// Flags.
    pub flags: Flags,
    /// The handle; `None` in a send.
    pub handle: Option<MemHandle>,
    /// The sender's tag.
    pub tag: u64,
    /// Receivers; 1 to [`MAX_RECEIVERS`].
    pub receivers: &'a [Receiver],
    /// Address ranges; none in a retrieve request.
    pub ranges: &'a [PageRange],
}

impl<'a> Spec<'a> {
    /// A send. Shared memory is normal, write-back, inner shareable; on lend and donate the
    /// attributes are the borrower's to choose, as the specification asks for one borrower and the
    /// EL3 SPMC takes for several.
    #[must_use]
    pub fn send(
        version: Version,
        kind: Transfer,
        sender: EndpointId,
        tag: u64,
        receivers: &'a [Receiver],
        ranges: &'a [PageRange],
    ) -> Self {
        let attributes = match kind {
            Transfer::Share => Attributes::NORMAL,
            Transfer::Lend | Transfer::Donate => Attributes::UNSPECIFIED,
        };
        Self {
            version,
            role: Role::Send(kind),
            sender,
            attributes,
            flags: Flags::default(),
            handle: None,
            tag,
            receivers,
            ranges,
        }
    }

    /// A retrieve request in the EL3 SPMC's style: no composite, every borrower listed, sender and
    /// tag as in the send, flags 0 (`kind` none) or the expected kind.
    #[must_use]
    pub fn retrieve_request(
        version: Version,
        owner: EndpointId,
        handle: MemHandle,
        kind: Option<Transfer>,
        tag: u64,
        receivers: &'a [Receiver],
    ) -> Self {
        Self {
            version,
            role: Role::RetrieveRequest,
            sender: owner,
            attributes: Attributes::UNSPECIFIED,
            flags: Flags { kind, ..Flags::default() },
            handle: Some(handle),
            tag,
            receivers,
            ranges: &[],
        }
    }

    /// A retrieve response of non-secure normal memory.
    #[must_use]
    pub fn retrieve_response(
        version: Version,
        owner: EndpointId,
        handle: MemHandle,
        kind: Transfer,
        tag: u64,
        receivers: &'a [Receiver],
        ranges: &'a [PageRange],
    ) -> Self {
        Self {
            version,
            role: Role::RetrieveResponse,
            sender: owner,
            attributes: Attributes { security: Security::NonSecure, ..Attributes::NORMAL },
            flags: Flags::of_kind(kind),
            handle: Some(handle),
            tag,
            receivers,
            ranges,
        }
    }
}

/// Writes a checked [`Spec`], in as many fragments as the buffer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Builder<'a> {
    spec: Spec<'a>,
    layout: Layout,
    composite: Option<Tail<'a>>,
    composite_offset: u32,
    total_len: u32,
}

impl<'a> Builder<'a> {
    /// Checks what would make the descriptor one that nobody accepts.
    ///
    /// # Errors
    /// The broken rule; overlaps of ranges are the caller's to exclude.
    pub fn new(spec: Spec<'a>) -> Result<Self, DescriptorError> {
        Self::new_in(Dialect::Specified, spec)
    }

    /// The same in a dialect: for OP-TEE, a retrieve request ends in a composite and a constituent, both
    /// all zero (see [`Dialect`]).
    ///
    /// # Errors
    /// As [`Builder::new`].
    pub fn new_in(dialect: Dialect, spec: Spec<'a>) -> Result<Self, DescriptorError> {
        let layout = Layout::of(spec.version)?;
        check_receivers(&spec)?;
        match (spec.role, spec.handle) {
            (Role::Send(_), None) | (Role::RetrieveRequest | Role::RetrieveResponse, Some(_)) => {}
            (Role::Send(_), Some(_)) | (Role::RetrieveRequest | Role::RetrieveResponse, None) => {
                return Err(DescriptorError::Handle);
            }
        }
        // Reserved or contradicting flags never leave.
        Flags::check_word(spec.flags.word(), spec.role)?;
        let prefix = spec
            .receivers
            .len()
            .checked_mul(UNIT)
            .and_then(|len| len.checked_mul(entry_lines(spec.version)))
            .and_then(|len| len.checked_add(layout.header_len()))
            .and_then(|len| u32::try_from(len).ok())
            .ok_or(DescriptorError::TotalLength)?;
        let (composite, composite_offset, total_len) = if spec.role == Role::RetrieveRequest {
            if !spec.ranges.is_empty() {
                return Err(DescriptorError::TotalLength);
            }
            match dialect {
                Dialect::Specified => (None, 0, prefix),
                Dialect::OpTee => (None, prefix, prefix.saturating_add(32)),
            }
        } else {
            let tail = Tail::new(spec.ranges)?;
            (Some(tail), prefix, tail.total_len(prefix)?)
        };
        Ok(Self { spec, layout, composite, composite_offset, total_len })
    }

    /// Returns the bytes of the whole descriptor.
    #[must_use]
    pub const fn total_len(&self) -> u32 {
        self.total_len
    }

    /// Returns the number of 4 KiB pages described.
    #[must_use]
    pub fn page_count(&self) -> u32 {
        self.composite.map_or(0, |tail| tail.page_count)
    }

    /// Writes the fragment that begins at `offset` and returns its length; it fills `out` up to a
    /// multiple of 16. The first fragment begins at 0 and must hold everything up to the composite.
    ///
    /// # Errors
    /// [`DescriptorError::FragmentOffset`] for an offset that no fragment begins at;
    /// [`DescriptorError::NoRoom`] for a buffer that is too small.
    pub fn write(&self, offset: u32, out: &mut [u8]) -> Result<usize, DescriptorError> {
        let first_needs = match self.composite {
            Some(_) => self.composite_offset.saturating_add(16),
            None => self.total_len,
        };
        write_lines(offset, first_needs, self.total_len, out, |line| self.line(line))
    }

    /// Returns the 16 bytes with the given index.
    fn line(&self, index: usize) -> [u8; 16] {
        let header_lines = self.layout.header_len() / UNIT;
        if index < header_lines {
            return self.header_line(index);
        }
        let index = index.saturating_sub(header_lines);
        let lines = entry_lines(self.spec.version);
        let at = if lines > 1 { index >> 1 } else { index };
        if let Some(receiver) = self.spec.receivers.get(at) {
            let is_second = lines > 1 && !index.is_multiple_of(2);
            return match is_second {
                true => second_receiver_line(receiver),
                false => receiver_line(receiver, self.composite_offset, self.spec.version),
            };
        }
        let before = self.spec.receivers.len().saturating_mul(lines);
        self.composite.map_or([0; 16], |tail| tail.line(index.saturating_sub(before)))
    }

    fn header_line(&self, index: usize) -> [u8; 16] {
        let spec = &self.spec;
        let count = u32::try_from(spec.receivers.len()).unwrap_or(0);
        let line = Line::default();
        match (index, self.layout) {
            (0, _) => line
                .put(0, &spec.sender.get().to_le_bytes())
                .put(2, &spec.attributes.word().to_le_bytes())
                .put(4, &spec.flags.word().to_le_bytes())
                .put(8, &spec.handle.map_or(0, MemHandle::get).to_le_bytes()),
            (1, Layout::Short) => {
                line.put(0, &spec.tag.to_le_bytes()).put(12, &count.to_le_bytes())
            }
            (1, Layout::Long) => line
                .put(0, &spec.tag.to_le_bytes())
                .put(8, &if entry_lines(spec.version) > 1 { 32u32 } else { 16 }.to_le_bytes())
                .put(12, &count.to_le_bytes()),
            (_, Layout::Short) => line,
            (_, Layout::Long) => line.put(0, &48u32.to_le_bytes()),
        }
        .get()
    }
}

fn check_receivers(spec: &Spec<'_>) -> Result<(), DescriptorError> {
    if spec.receivers.is_empty() {
        return Err(DescriptorError::NoReceiver);
    }
    if spec.receivers.len() > MAX_RECEIVERS {
        return Err(DescriptorError::TooManyReceivers);
    }
    if spec.role == Role::Send(Transfer::Donate) && spec.receivers.len() != 1 {
        return Err(DescriptorError::DonateReceivers);
    }
    for (index, receiver) in spec.receivers.iter().enumerate() {
        if receiver.endpoint == spec.sender {
            return Err(DescriptorError::SenderReceives);
        }
        let before = spec.receivers.iter().take(index);
        if before.clone().any(|other| other.endpoint == receiver.endpoint) {
            return Err(DescriptorError::DuplicateReceiver);
        }
    }
    Ok(())
}

/// Lines of 16 bytes in an endpoint's access descriptor: from 1.2 on it has an implementation-defined
/// field of 16 bytes.
fn entry_lines(version: Version) -> usize {
    if version >= Version::V1_2 { 2 } else { 1 }
}

/// The rest of the implementation-defined field, and reserved bytes. Source: DEN0077A 1.2, table 1.16.
fn second_receiver_line(receiver: &Receiver) -> [u8; 16] {
    let [.., a, b, c, d, e, f, g, h] = receiver.impdef;
    Line::default().put(0, &[a, b, c, d, e, f, g, h]).get()
}

/// Source: DEN0077A 1.1, tables 10.15 and 10.16.
fn receiver_line(receiver: &Receiver, composite_offset: u32, version: Version) -> [u8; 16] {
    let retrieval = match receiver.retrieval {
        super::Retrieval::Own => 0,
        super::Retrieval::NonRetrieval => 1,
    };
    let [a, b, c, d, e, f, g, h, ..] = receiver.impdef;
    Line::default()
        .put(0, &receiver.endpoint.get().to_le_bytes())
        .put(2, &[receiver.access.byte(), retrieval])
        .put(4, &composite_offset.to_le_bytes())
        .put(8, &if entry_lines(version) > 1 { [a, b, c, d, e, f, g, h] } else { [0; 8] })
        .get()
}

/// A composite and its constituents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail<'a> {
    ranges: &'a [PageRange],
    range_count: u32,
    pub(super) page_count: u32,
}

impl<'a> Tail<'a> {
    pub(super) fn new(ranges: &'a [PageRange]) -> Result<Self, DescriptorError> {
        let page_count = ranges
            .iter()
            .try_fold(0u32, |sum, range| sum.checked_add(range.page_count()))
            .ok_or(DescriptorError::PageTotal)?;
        if page_count == 0 {
            return Err(DescriptorError::NoPages);
        }
        let range_count = u32::try_from(ranges.len()).map_err(|_| DescriptorError::TotalLength)?;
        Ok(Self { ranges, range_count, page_count })
    }

    /// Returns the length of a descriptor whose composite begins at `offset`.
    pub(super) fn total_len(&self, offset: u32) -> Result<u32, DescriptorError> {
        self.range_count
            .checked_mul(16)
            .and_then(|len| len.checked_add(16))
            .and_then(|len| len.checked_add(offset))
            .ok_or(DescriptorError::TotalLength)
    }

    /// Returns line 0, the composite, or line n, constituent n - 1.
    pub(super) fn line(&self, index: usize) -> [u8; 16] {
        match index.checked_sub(1) {
            None => Line::default()
                .put(0, &self.page_count.to_le_bytes())
                .put(4, &self.range_count.to_le_bytes())
                .get(),
            Some(index) => self.ranges.get(index).map_or([0; 16], |range| {
                Line::default()
                    .put(0, &range.start().get().to_le_bytes())
                    .put(8, &range.page_count().to_le_bytes())
                    .get()
            }),
        }
    }
}

/// Writes the lines of a fragment.
pub(super) fn write_lines(
    offset: u32,
    first_needs: u32,
    total_len: u32,
    out: &mut [u8],
    line: impl Fn(usize) -> [u8; 16],
) -> Result<usize, DescriptorError> {
    let begin = usize::try_from(offset).map_err(|_| DescriptorError::FragmentOffset)?;
    let at_boundary = offset == 0 || offset >= first_needs;
    if !begin.is_multiple_of(UNIT) || offset >= total_len || !at_boundary {
        return Err(DescriptorError::FragmentOffset);
    }
    let left = usize::try_from(total_len.saturating_sub(offset)).unwrap_or(usize::MAX);
    let needs = if offset == 0 { usize::try_from(first_needs).unwrap_or(usize::MAX) } else { UNIT };
    let mut written: usize = 0;
    if out.len() < needs {
        return Err(DescriptorError::NoRoom);
    }
    for (index, chunk) in (begin / UNIT..).zip(out.chunks_exact_mut(UNIT)) {
        if written >= left {
            break;
        }
        chunk.copy_from_slice(&line(index));
        written = written.saturating_add(UNIT);
    }
    Ok(written)
}
