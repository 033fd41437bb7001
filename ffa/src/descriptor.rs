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
pub use exact::{EXACT_REQUEST_BYTES, ExactPages, ExactRetrieve};
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
