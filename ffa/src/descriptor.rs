//! Owns memory transaction descriptors: bytes in, checked views out, and back. Never looks at
//! shared memory: every slice here is a private copy (KB-10).
//!
//! A descriptor is a header, an array of receivers ("endpoint memory access descriptors") and, but
//! for retrieve requests, a composite: the page total followed by address ranges ("constituents").
//!
//! | structure | 1.0 | 1.1 and later |
//! | --- | --- | --- |
//! | header | 32 bytes, receivers follow at once | 48 bytes, names size and offset of the receivers |
//! | receiver | 16 bytes | 16 bytes, or 32 (new in 1.2); both are read, 16 is written |
//! | composite | 16 bytes | 16 bytes |
//! | constituent | 16 bytes | 16 bytes |
//!
//! Source: DEN0077A 1.1, tables 10.13 (composite), 10.14 (constituent), 10.15 and 10.16 (receiver),
//! 10.20 (header), 10.21 to 10.23 (flags); DEN0140 1.2, table 1.16 (32-byte receiver).
//!
//! A descriptor that does not fit a buffer comes in fragments. The first must hold everything up
//! to the composite; constituents are never split. [`Transaction::parse`] reads a whole one,
//! [`FirstFragment::parse`] a first fragment, whose [`ConstituentStream`] takes the others.
//!
//! VM 1 shares five pages with a partition and VM 2; the receiving side reads them:
//!
//! ```
//! use causeway_ffa::descriptor::{
//!     Access, Attributes, Borrowers, Builder, Constituents, DataAccess, DescriptorError, Flags, Header, InstructionAccess,
//!     Receiver, Receivers, Retrieval, Role, Spec, Transaction,
//! };
//! use causeway_ffa::{EndpointId, PageAddr, PageRange, Transfer, Version};
//!
//! let id = EndpointId::from_raw;
//! let range = |address, pages| PageRange::new(PageAddr::new(address).unwrap(), pages).unwrap();
//! let receivers = [Receiver::read_write(id(0x8001)), Receiver::read_only(id(2))];
//! let ranges = [range(0x8000_0000, 4), range(0x9000_0000, 1)];
//! let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 7, &receivers, &ranges);
//! let mut buffer = [0; 4096];
//! let len = Builder::new(spec)?.write(0, &mut buffer)?;
//!
//! let whole = Transaction::parse(&buffer[..len], Version::V1_1, Role::Send(Transfer::Share))?;
//! let header: Header = whole.header();
//! assert_eq!((header.sender, header.tag, header.attributes), (id(1), 7, Attributes::NORMAL));
//! let named: Receivers<'_> = whole.receivers();
//! assert_eq!(named.len(), 2);
//! let second = whole.receiver(id(2)).unwrap();
//! let access = Access { data: DataAccess::ReadOnly, instruction: InstructionAccess::NotSpecified };
//! assert_eq!((second.access, second.retrieval), (access, Retrieval::Own));
//! let pages: Constituents<'_> = whole.ranges();
//! assert!(pages.eq(ranges));
//! assert_eq!(Flags::of_kind(Transfer::Share).borrowers, Borrowers::All);
//! // One byte less, and it is not what was announced.
//! let short = Transaction::parse(&buffer[..len - 16], Version::V1_1, Role::Send(Transfer::Share));
//! assert!(short.is_err());
//! # Ok::<(), DescriptorError>(())
//! ```
//!
//! Memory attributes are checked encodings:
//!
//! ```
//! use causeway_ffa::descriptor::{Attributes, Cacheability, Device, MemoryType, Security, Shareability};
//!
//! let normal = MemoryType::Normal(Cacheability::WriteBack, Shareability::Inner);
//! assert_eq!(Attributes::NORMAL, Attributes { memory: normal, security: Security::Clear });
//! let device = Attributes { memory: MemoryType::Device(Device::NGnRE), security: Security::NonSecure };
//! assert_eq!(Attributes::from_word(device.word()), Some(device));
//! ```
//!
//! A descriptor that comes in fragments, and a hypervisor that puts physical addresses into one:
//!
//! ```
//! use causeway_ffa::descriptor::{
//!     Builder, ConstituentStream, DescriptorError, FirstFragment, Receiver, Rewrite, Role, Spec, Transaction,
//!     rewrite_in_place,
//! };
//! use causeway_ffa::{EndpointId, PageAddr, PageRange, Transfer, Version};
//!
//! let range = |address, pages| PageRange::new(PageAddr::new(address).unwrap(), pages).unwrap();
//! let receivers = [Receiver::read_write(EndpointId::from_raw(0x8001))];
//! let ranges: Vec<PageRange> = (0..8).map(|n| range(0x8000_0000 + 0x2000 * n, 1)).collect();
//! let role = Role::Send(Transfer::Share);
//! let spec = Spec::send(Version::V1_1, Transfer::Share, EndpointId::from_raw(1), 0, &receivers, &ranges);
//! let builder = Builder::new(spec)?;
//! let (mut first, mut second) = ([0; 128], [0; 128]);
//! let sent = builder.write(0, &mut first)?;
//! let next = u32::try_from(sent).unwrap();
//! let more = builder.write(next, &mut second)?;
//!
//! let fragment = FirstFragment::parse(&first[..sent], builder.total_len(), Version::V1_1, role)?;
//! let (stream, here) = fragment.stream();
//! let mut stream: ConstituentStream = stream;
//! let mut seen: Vec<PageRange> = here.collect();
//! seen.extend(stream.feed(next, &second[..more])?);
//! stream.finish()?;
//! assert_eq!(seen, ranges);
//!
//! let mut buffer = [0; 4096];
//! let len = builder.write(0, &mut buffer)?;
//! let physical = [range(0x4000_0000, 8)];
//! let whole = FirstFragment::parse(&buffer[..len], builder.total_len(), Version::V1_1, role)?;
//! assert!(Rewrite::new(&whole, &physical)?.total_len() < builder.total_len());
//! let len = rewrite_in_place(&mut buffer, len, Version::V1_1, role, &physical)?;
//! assert!(Transaction::parse(&buffer[..len], Version::V1_1, role)?.ranges().eq(physical));
//! # Ok::<(), DescriptorError>(())
//! ```
//!
//! The short way through a retrieve, whose response is known but for its pages:
//!
//! ```
//! use causeway_ffa::descriptor::{
//!     Builder, DataAccess, DescriptorError, Dialect, ExactPages, ExactRequest, ExactRetrieve, Receiver, Role, Spec,
//!     Transaction,
//! };
//! use causeway_ffa::{EndpointId, MemHandle, PageAddr, PageRange, Transfer, Version};
//!
//! let (owner, own) = (EndpointId::from_raw(1), EndpointId::from_raw(0x8001));
//! let handle = MemHandle::new(0x42).unwrap();
//! let (kind, access) = (Transfer::Share, DataAccess::ReadWrite);
//! let exact = ExactRetrieve { owner, handle, tag: 0, kind, access, own, peer: None };
//! let request: ExactRequest = exact.request();
//! assert!(Transaction::parse(request.bytes(), Version::V1_1, Role::RetrieveRequest).is_ok());
//!
//! // What the SPMC answers.
//! let receivers = [Receiver::new(own, access)];
//! let ranges = [PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 2).unwrap()];
//! let spec = Spec::retrieve_response(Version::V1_1, owner, handle, kind, 0, &receivers, &ranges);
//! let mut response = [0; 256];
//! let len = Builder::new_in(Dialect::Specified, spec)?.write(0, &mut response)?;
//! let pages: Option<ExactPages<'_>> = request.pages(&response[..len]);
//! assert!(pages.unwrap().eq(ranges.map(Some)));
//! # Ok::<(), DescriptorError>(())
//! ```

mod access;
mod build;
mod dialect;
pub mod disjoint;
mod error;
mod exact;
mod parse;
mod receivers;
mod rewrite;
mod stream;
mod transaction;

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "test data; a wrong sum fails the test"
)]
mod tests;

pub use access::{
    Access, Attributes, Borrowers, Cacheability, DataAccess, Device, Flags, InstructionAccess,
    MemoryType, Receiver, Retrieval, Security, Shareability,
};
pub use build::{Builder, Spec};
pub use dialect::Dialect;
pub use error::DescriptorError;
pub use exact::{ExactPages, ExactRequest, ExactRetrieve};
pub use parse::{FirstFragment, Header};
pub use receivers::Receivers;
pub use rewrite::{Rewrite, rewrite_in_place};
pub use stream::{ConstituentStream, Constituents};
pub use transaction::Transaction;

use crate::{Transfer, Version};

/// Receivers in one transaction that we read or write; the specification sets no limit.
pub const MAX_RECEIVERS: usize = 16;

/// Bytes of a composite, of a constituent, of a short receiver; the unit of every structure.
pub(crate) const UNIT: usize = 16;

/// Which message a descriptor belongs to: its fields have rules of their own in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// FFA_MEM_SHARE, FFA_MEM_LEND, FFA_MEM_DONATE.
    Send(Transfer),
    /// FFA_MEM_RETRIEVE_REQ.
    RetrieveRequest,
    /// FFA_MEM_RETRIEVE_RESP.
    RetrieveResponse,
}

/// The two layouts of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 32 bytes.
    Short,
    /// 48 bytes.
    Long,
}

impl Layout {
    pub(crate) fn of(version: Version) -> Result<Self, DescriptorError> {
        match version.major() {
            1 if version == Version::V1_0 => Ok(Self::Short),
            1 => Ok(Self::Long),
            _ => Err(DescriptorError::UnsupportedVersion),
        }
    }

    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Short => 32,
            Self::Long => 48,
        }
    }
}
