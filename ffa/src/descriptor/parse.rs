//! Owns the reading of descriptors: everything is checked before anything is handed out.

use super::stream::{ConstituentStream, Constituents};
use super::{
    Access, Attributes, DataAccess, DescriptorError, Flags, InstructionAccess, Layout,
    MAX_RECEIVERS, Receiver, Retrieval, Role, Security, UNIT,
};
use crate::bytes::{array, le16, le32, le64, size};
use crate::{EndpointId, MemHandle, Transfer, Version};

/// What the header of a transaction says. Source: DEN0077A 1.1, table 10.20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The owner. Whoever vouches for ids must compare it (KB-13).
    pub sender: EndpointId,
    /// Memory attributes.
    pub attributes: Attributes,
    /// Flags.
    pub flags: Flags,
    /// The handle; `None` in a send.
    pub handle: Option<MemHandle>,
    /// The sender's tag.
    pub tag: u64,
}

/// Where the receivers lie.
#[derive(Clone, Copy, Debug)]
struct Array {
    offset: usize,
    stride: usize,
    count: usize,
    end: usize,
}

/// Where the composite lies, and what it announces.
#[derive(Clone, Copy, Debug)]
struct Composite {
    offset: usize,
    page_count: u32,
    range_count: u32,
}

/// The checked receivers of a descriptor.
#[derive(Clone, Debug)]
pub struct Receivers<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl Iterator for Receivers<'_> {
    type Item = Receiver;

    fn next(&mut self) -> Option<Receiver> {
        let (first, rest) = self.bytes.split_at_checked(self.stride)?;
        self.bytes = rest;
        receiver(first).ok().map(|(receiver, _)| receiver)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bytes.len().checked_div(self.stride).unwrap_or(0);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Receivers<'_> {}

/// A first fragment, checked as far as it goes.
#[derive(Clone, Debug)]
pub struct FirstFragment<'a> {
    bytes: &'a [u8],
    total_len: u32,
    header: Header,
    array: Array,
    composite: Option<Composite>,
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
        let layout = Layout::of(version)?;
        if bytes.is_empty() || bytes.len() > size(total_len) {
            return Err(DescriptorError::Lengths);
        }
        let header = header(bytes, layout, role)?;
        let array = receiver_array(bytes, layout)?;
        let composite_offset = check_receivers(bytes, &array, header.sender, role)?;
        let composite = composite(bytes, &array, composite_offset, total_len, role)?;
        let (stream, _) = first_stream(bytes, total_len, &array, composite.as_ref())?;
        Ok(Self { bytes, total_len, header, array, composite, stream })
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the announced bytes of the whole descriptor.
    #[must_use]
    pub const fn total_len(&self) -> u32 {
        self.total_len
    }

    /// Iterates over the receivers.
    #[must_use]
    pub fn receivers(&self) -> Receivers<'a> {
        let bytes = self.bytes.get(self.array.offset..self.array.end).unwrap_or(&[]);
        Receivers { bytes, stride: self.array.stride }
    }

    /// Finds a receiver.
    #[must_use]
    pub fn receiver(&self, endpoint: EndpointId) -> Option<Receiver> {
        self.receivers().find(|receiver| receiver.endpoint == endpoint)
    }

    /// Returns the announced number of 4 KiB pages; 0 in a retrieve request without composite.
    #[must_use]
    pub fn page_count(&self) -> u32 {
        self.composite.map_or(0, |composite| composite.page_count)
    }

    /// Returns the announced number of constituents; 0 in a retrieve request without composite.
    #[must_use]
    pub fn range_count(&self) -> u32 {
        self.composite.map_or(0, |composite| composite.range_count)
    }

    /// Returns the stream that takes the next fragments, and the ranges of this one.
    #[must_use]
    pub fn stream(&self) -> (ConstituentStream, Constituents<'a>) {
        let fresh = first_stream(self.bytes, self.total_len, &self.array, self.composite.as_ref());
        fresh.unwrap_or_else(|_| (self.stream.clone(), Constituents::EMPTY))
    }

    /// Returns the stream behind this fragment.
    pub(super) const fn after(&self) -> &ConstituentStream {
        &self.stream
    }

    /// Returns the bytes of header and receivers: what a relayer passes on as it is.
    pub(super) fn prefix(&self) -> Option<&'a [u8]> {
        self.bytes.get(..self.composite?.offset)
    }
}

fn header(bytes: &[u8], layout: Layout, role: Role) -> Result<Header, DescriptorError> {
    let truncated = DescriptorError::HeaderTruncated;
    let fixed = bytes.get(..layout.header_len()).ok_or(truncated)?;
    let (attributes, reserved) = match layout {
        Layout::Short => {
            let [attributes, reserved] = array(fixed, 2).ok_or(truncated)?;
            let tail = le32(fixed, 24).ok_or(truncated)?;
            (u16::from(attributes), u64::from(reserved) | u64::from(tail))
        }
        Layout::Long => {
            let (low, high) =
                (le32(fixed, 36).ok_or(truncated)?, le64(fixed, 40).ok_or(truncated)?);
            (le16(fixed, 2).ok_or(truncated)?, u64::from(low) | high)
        }
    };
    if reserved != 0 {
        return Err(DescriptorError::HeaderReserved);
    }
    let attributes = Attributes::from_word(attributes).ok_or(DescriptorError::Attributes)?;
    if attributes.security == Security::NonSecure && role != Role::RetrieveResponse {
        return Err(DescriptorError::SecurityBit);
    }
    let flags = Flags::from_word(le32(fixed, 4).ok_or(truncated)?, role)?;
    let handle = match (role, le64(fixed, 8).ok_or(truncated)?) {
        (Role::Send(_), 0) => None,
        (Role::Send(_), _) => return Err(DescriptorError::Handle),
        (Role::RetrieveRequest | Role::RetrieveResponse, raw) => {
            Some(MemHandle::new(raw).ok_or(DescriptorError::Handle)?)
        }
    };
    Ok(Header {
        sender: EndpointId::from_raw(le16(fixed, 0).ok_or(truncated)?),
        attributes,
        flags,
        handle,
        tag: le64(fixed, 16).ok_or(truncated)?,
    })
}

/// Finds the receivers (KB-03, KB-04, KB-05).
fn receiver_array(bytes: &[u8], layout: Layout) -> Result<Array, DescriptorError> {
    let truncated = DescriptorError::HeaderTruncated;
    let count = size(le32(bytes, 28).ok_or(truncated)?);
    if count == 0 {
        return Err(DescriptorError::NoReceiver);
    }
    if count > MAX_RECEIVERS {
        return Err(DescriptorError::TooManyReceivers);
    }
    let (offset, stride) = match layout {
        Layout::Short => (layout.header_len(), UNIT),
        Layout::Long => {
            (size(le32(bytes, 32).ok_or(truncated)?), size(le32(bytes, 24).ok_or(truncated)?))
        }
    };
    if stride != UNIT && stride != 32 {
        return Err(DescriptorError::ReceiverSize);
    }
    if offset < layout.header_len() || !offset.is_multiple_of(UNIT) {
        return Err(DescriptorError::ReceiverOffset);
    }
    let end = count
        .checked_mul(stride)
        .and_then(|len| offset.checked_add(len))
        .filter(|end| *end <= bytes.len())
        .ok_or(DescriptorError::ReceiversTruncated)?;
    Ok(Array { offset, stride, count, end })
}

/// Reads one receiver and its composite offset.
fn receiver(bytes: &[u8]) -> Result<(Receiver, usize), DescriptorError> {
    let truncated = DescriptorError::ReceiversTruncated;
    let [access, flags] = array(bytes, 2).ok_or(truncated)?;
    let (impdef, reserved) = match bytes.len() {
        UNIT => ([0; 16], le64(bytes, 8)),
        _ => (array(bytes, 8).ok_or(truncated)?, le64(bytes, 24)),
    };
    let retrieval = match flags {
        0 => Retrieval::Own,
        1 => Retrieval::NonRetrieval,
        _ => return Err(DescriptorError::ReceiverReserved),
    };
    if reserved.ok_or(truncated)? != 0 {
        return Err(DescriptorError::ReceiverReserved);
    }
    let receiver = Receiver {
        endpoint: EndpointId::from_raw(le16(bytes, 0).ok_or(truncated)?),
        access: Access::from_byte(access).ok_or(DescriptorError::Permission)?,
        retrieval,
        impdef,
    };
    Ok((receiver, size(le32(bytes, 4).ok_or(truncated)?)))
}

/// Checks every receiver, and returns the composite offset that all of them name.
fn check_receivers(
    bytes: &[u8],
    place: &Array,
    sender: EndpointId,
    role: Role,
) -> Result<usize, DescriptorError> {
    if role == Role::Send(Transfer::Donate) && place.count != 1 {
        return Err(DescriptorError::DonateReceivers);
    }
    let all = bytes.get(place.offset..place.end).ok_or(DescriptorError::ReceiversTruncated)?;
    let mut seen = [EndpointId::default(); MAX_RECEIVERS];
    let mut composite = None;
    for (index, one) in all.chunks_exact(place.stride).enumerate() {
        let (receiver, offset) = receiver(one)?;
        check_access(&receiver, role)?;
        if receiver.endpoint == sender {
            return Err(DescriptorError::SenderReceives);
        }
        if seen.iter().take(index).any(|id| *id == receiver.endpoint) {
            return Err(DescriptorError::DuplicateReceiver);
        }
        if let Some(slot) = seen.get_mut(index) {
            *slot = receiver.endpoint;
        }
        if *composite.get_or_insert(offset) != offset {
            return Err(DescriptorError::CompositeDiffers);
        }
    }
    composite.ok_or(DescriptorError::NoReceiver)
}

/// What the message asks of permissions. Source: DEN0077A 1.1, 10.10.2 and 10.10.3.
fn check_access(receiver: &Receiver, role: Role) -> Result<(), DescriptorError> {
    let data = receiver.access.data;
    let stated = data != DataAccess::NotSpecified;
    match role {
        Role::Send(_) if receiver.retrieval != Retrieval::Own => {
            Err(DescriptorError::ReceiverReserved)
        }
        Role::Send(Transfer::Share | Transfer::Lend) if !stated => Err(DescriptorError::Permission),
        Role::Send(Transfer::Donate) if stated => Err(DescriptorError::Permission),
        Role::Send(Transfer::Share)
            if receiver.access.instruction == InstructionAccess::Executable =>
        {
            Err(DescriptorError::ExecutableShare)
        }
        Role::Send(_) | Role::RetrieveRequest | Role::RetrieveResponse => Ok(()),
    }
}

/// Checks place and contents of the composite (KB-04, KB-06), and the announced total.
fn composite(
    bytes: &[u8],
    receivers: &Array,
    offset: usize,
    total_len: u32,
    role: Role,
) -> Result<Option<Composite>, DescriptorError> {
    if offset == 0 {
        return match role {
            Role::RetrieveRequest if size(total_len) == receivers.end => Ok(None),
            Role::RetrieveRequest => Err(DescriptorError::TotalLength),
            Role::Send(_) | Role::RetrieveResponse => Err(DescriptorError::NoComposite),
        };
    }
    if !offset.is_multiple_of(UNIT) {
        return Err(DescriptorError::CompositeUnaligned);
    }
    if offset < receivers.end {
        return Err(DescriptorError::CompositeOverlaps);
    }
    let truncated = DescriptorError::CompositeTruncated;
    let end = offset.checked_add(UNIT).ok_or(truncated)?;
    let fixed = bytes.get(offset..end).ok_or(truncated)?;
    let page_count = le32(fixed, 0).ok_or(truncated)?;
    let range_count = le32(fixed, 4).ok_or(truncated)?;
    if le64(fixed, 8) != Some(0) {
        return Err(DescriptorError::CompositeReserved);
    }
    // A retrieve request may carry a zeroed composite: OP-TEE asks for one.
    let is_empty = page_count == 0 && range_count == 0;
    if (page_count == 0 || range_count == 0) && !(is_empty && role == Role::RetrieveRequest) {
        return Err(DescriptorError::NoPages);
    }
    // 64 bits: 2^32 * 16 plus two offsets below 2^32 cannot wrap (KB-01).
    let described = u64::from(range_count)
        .checked_mul(16)
        .and_then(|len| len.checked_add(u64::try_from(end).ok()?))
        .ok_or(DescriptorError::TotalLength)?;
    if described != u64::from(total_len) {
        return Err(DescriptorError::TotalLength);
    }
    Ok(Some(Composite { offset, page_count, range_count }))
}

/// Opens the stream and feeds it what the first fragment holds.
fn first_stream<'a>(
    bytes: &'a [u8],
    total_len: u32,
    receivers: &Array,
    composite: Option<&Composite>,
) -> Result<(ConstituentStream, Constituents<'a>), DescriptorError> {
    let begin = composite.map_or(Some(receivers.end), |found| found.offset.checked_add(UNIT));
    let begin = begin.ok_or(DescriptorError::CompositeTruncated)?;
    let begin_word = u32::try_from(begin).map_err(|_| DescriptorError::CompositeTruncated)?;
    let pages = composite.map_or(0, |found| found.page_count);
    let mut stream = ConstituentStream::new(total_len, begin_word, pages);
    let rest = bytes.get(begin..).ok_or(DescriptorError::CompositeTruncated)?;
    if rest.is_empty() {
        return Ok((stream, Constituents::EMPTY));
    }
    let ranges = stream.feed(begin_word, rest)?;
    Ok((stream, ranges))
}
