//! Owns what OP-TEE's SPMC does otherwise than the specification says; never the default.
//!
//! Source: OP-TEE 4.10, core/arch/arm/kernel/spmc_sp_handler.c (`ffa_mem_retrieve`,
//! `create_retrieve_response`). As a request it wants a composite, all zero, at an offset that is
//! not 0; it also reads the eight bytes behind the composite as the wished address.
//! Its response has handle 0 and the kind "share" whatever was sent, announces the whole RX buffer
//! as its length, and leaves stale bytes behind the descriptor.

use super::{DescriptorError, Layout, Role, Transaction, UNIT};
use crate::Version;
use crate::bytes::{le32, size};

/// Whose reading of the specification holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The specification's own.
    #[default]
    Specified,
    /// OP-TEE's, for retrieve requests and responses; sends are as specified.
    OpTee,
}

impl Dialect {
    /// Reports whether a message has a form of its own in this dialect.
    pub(super) fn differs(self, role: Role) -> bool {
        match (self, role) {
            (Self::OpTee, Role::RetrieveRequest | Role::RetrieveResponse) => true,
            (Self::OpTee, Role::Send(_)) | (Self::Specified, _) => false,
        }
    }
}

impl<'a> Transaction<'a> {
    /// Reads a whole descriptor in a dialect. In OP-TEE's, bytes behind a retrieve message are
    /// ignored, and [`super::Header`] says neither handle nor kind of a response: what is written
    /// there means nothing.
    ///
    /// # Errors
    /// As [`Transaction::parse`].
    pub fn parse_in(
        dialect: Dialect,
        bytes: &'a [u8],
        version: Version,
        role: Role,
    ) -> Result<Self, DescriptorError> {
        if !dialect.differs(role) {
            return Self::parse(bytes, version, role);
        }
        let layout = Layout::of(version)?;
        // Where the length cannot be told, the parser names the rule.
        let described = described_len(bytes, layout).and_then(|len| bytes.get(..len));
        let mut whole = Self::parse(described.unwrap_or(bytes), version, role)?;
        whole.first_mut().dialect = dialect;
        Ok(whole)
    }
}

/// Returns the length that the fields describe; nothing of it is checked yet.
fn described_len(bytes: &[u8], layout: Layout) -> Option<usize> {
    let receiver = match layout {
        Layout::Short => layout.header_len(),
        Layout::Long => size(le32(bytes, 32)?),
    };
    let composite = size(le32(bytes, receiver.checked_add(4)?)?);
    if composite == 0 {
        return None;
    }
    let ranges = size(le32(bytes, composite.checked_add(4)?)?);
    ranges.checked_add(1)?.checked_mul(UNIT)?.checked_add(composite)
}
