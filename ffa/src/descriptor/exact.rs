//! Owns the short way through a retrieve: the request as a borrower writes it, and the test whether
//! the response is word for word the one that it hopes for. Never says what is wrong with another:
//! that is [`FirstFragment::parse`](super::FirstFragment::parse)'s, which takes ten times as long.
//!
//! FF-A 1.1 only (DEN0077A 1.1: table 10.20, memory region descriptor; 10.16, 16-byte endpoint
//! entry; 10.13, composite; 10.14, constituent).

use super::stream::constituent;
use super::{DataAccess, UNIT};
use crate::{EndpointId, MemHandle, PageRange, Transfer};

/// Borrowers of one transaction here.
const MOST: usize = 2;
/// Bytes of the header, and of each entry.
const HEADER: u64 = 48;
const ENTRY: u64 = 16;

/// Bytes of a request with [`MOST`] borrowers.
pub const EXACT_REQUEST_BYTES: usize = 80;

/// Attributes of normal, write-back, inner-shareable memory that is non-secure, and of memory of
/// which only that is said.
const NORMAL: u64 = 0x6f;
const UNSPECIFIED: u64 = 0x40;
/// "Not executable" in the permissions; a lender may say it or leave it open.
const NOT_EXECUTABLE: u64 = 4;

/// A retrieve of which everything is known but the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactRetrieve {
    /// The owner of the memory.
    pub owner: EndpointId,
    /// The transaction.
    pub handle: MemHandle,
    /// Its tag.
    pub tag: u64,
    /// Its kind.
    pub kind: Transfer,
    /// What each borrower may do with the data.
    pub access: DataAccess,
    /// The borrower that asks.
    pub own: EndpointId,
    /// The other one.
    pub peer: Option<EndpointId>,
}

impl ExactRetrieve {
    /// Writes the request of FF-A 1.1: every borrower listed, no composite, the kind in the flags.
    /// Returns its length; `None` if it does not fit.
    #[inline]
    #[must_use]
    pub fn write_request(&self, out: &mut [u8]) -> Option<usize> {
        let permission = self.data() | NOT_EXECUTABLE;
        let entry = |id: EndpointId| line(u64::from(id.get()) | permission << 16, 0).to_le_bytes();
        let [a, b, c] = self.header(0).map(u128::to_le_bytes);
        let own = entry(self.own);
        let len = self.entries_end();
        let units = out.get_mut(..len)?.as_chunks_mut::<UNIT>().0;
        match self.peer {
            None => *units.first_chunk_mut()? = [a, b, c, own],
            Some(peer) => *units.first_chunk_mut()? = [a, b, c, own, entry(peer)],
        }
        Some(len)
    }

    /// The pages of a whole response, if all else in it is what was asked for: borrowers in either
    /// order, each entry pointing to the composite behind the last. `None`: it may be as good, or
    /// not; `parse` tells.
    #[must_use]
    pub fn pages<'a>(&self, response: &'a [u8]) -> Option<ExactPages<'a>> {
        if self.peer == Some(self.own) {
            return None;
        }
        let (units, []) = response.as_chunks::<UNIT>() else { return None };
        let (header, rest) = units.split_first_chunk::<3>()?;
        let attributes = match self.kind {
            Transfer::Share => NORMAL,
            Transfer::Lend | Transfer::Donate => {
                let [[_, _, attributes, ..], ..] = header;
                if u64::from(*attributes) == NORMAL { NORMAL } else { UNSPECIFIED }
            }
        };
        let [a, b, c] = self.header(attributes);
        let [x, y, z] = header;
        if read(x) != a || read(y) != b || read(z) != c {
            return None;
        }
        let rest = match self.peer {
            None => {
                let (own, rest) = rest.split_first()?;
                self.is_entry(own, self.own).then_some(rest)?
            }
            Some(peer) => {
                let ([one, other], rest) = rest.split_first_chunk::<MOST>()?;
                let listed = self.is_entry(one, self.own) && self.is_entry(other, peer)
                    || self.is_entry(one, peer) && self.is_entry(other, self.own);
                listed.then_some(rest)?
            }
        };
        let (composite, units) = rest.split_first()?;
        let [p0, p1, p2, p3, c0, c1, c2, c3, reserved @ ..] = *composite;
        let count = u32::from_le_bytes([c0, c1, c2, c3]);
        if u64::from_le_bytes(reserved) != 0 || usize::try_from(count) != Ok(units.len()) {
            return None;
        }
        let page_count = u32::from_le_bytes([p0, p1, p2, p3]);
        Some(ExactPages { page_count, units: units.iter() })
    }

    /// The header of request and response: table 10.20 up to the entries.
    fn header(&self, attributes: u64) -> [u128; 3] {
        // The kind: bits 4:3 of the flags.
        let kind = match self.kind {
            Transfer::Share => 1_u64,
            Transfer::Lend => 2,
            Transfer::Donate => 3,
        };
        let owner = u64::from(self.owner.get());
        let count = if self.peer.is_some() { 2_u64 } else { 1 };
        [
            line(owner | attributes << 16 | kind << 35, self.handle.get()),
            line(self.tag, ENTRY | count << 32),
            line(HEADER, 0),
        ]
    }

    fn is_entry(&self, unit: &[u8; UNIT], id: EndpointId) -> bool {
        let offset = u64::try_from(self.entries_end()).unwrap_or(u64::MAX);
        let least = u64::from(id.get()) | self.data() << 16 | offset << 32;
        let found = read(unit);
        found == line(least, 0) || found == line(least | NOT_EXECUTABLE << 16, 0)
    }

    /// Where the entries end: the composite begins there.
    const fn entries_end(&self) -> usize {
        if self.peer.is_some() { EXACT_REQUEST_BYTES } else { EXACT_REQUEST_BYTES - UNIT }
    }

    const fn data(&self) -> u64 {
        match self.access {
            DataAccess::NotSpecified => 0,
            DataAccess::ReadOnly => 1,
            DataAccess::ReadWrite => 2,
        }
    }
}

const fn line(low: u64, high: u64) -> u128 {
    #[expect(
        clippy::as_conversions,
        reason = "u128::from is not const; u64 to u128 keeps the value"
    )]
    let (low, high) = (low as u128, high as u128);
    low | high << 64
}

const fn read(unit: &[u8; UNIT]) -> u128 {
    u128::from_le_bytes(*unit)
}

/// The pages of an exact response: each constituent as it is, `None` for one that breaks a rule.
#[derive(Clone, Debug)]
pub struct ExactPages<'a> {
    page_count: u32,
    units: core::slice::Iter<'a, [u8; UNIT]>,
}

impl ExactPages<'_> {
    /// The total that the composite names; whether the constituents come to it is the caller's to
    /// see.
    #[must_use]
    pub const fn page_count(&self) -> u32 {
        self.page_count
    }
}

impl Iterator for ExactPages<'_> {
    type Item = Option<PageRange>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some(constituent(self.units.next()?).ok())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.units.size_hint()
    }
}
