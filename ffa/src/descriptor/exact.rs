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
    /// The request of FF-A 1.1: every borrower listed, no composite, the kind in the flags. For ourselves no
    /// permission in particular is asked for: the response says which one was sent. The peer is given the
    /// one that is expected, since not every response shows the peer. A response is compared with it
    /// afterwards.
    #[inline(always)]
    #[must_use]
    pub fn request(&self) -> ExactRequest {
        let data = match self.access {
            DataAccess::NotSpecified => 0,
            DataAccess::ReadOnly => 1,
            DataAccess::ReadWrite => 2,
        };
        // The kind: bits 4:3 of the flags.
        let kind = match self.kind {
            Transfer::Share => 1_u64,
            Transfer::Lend => 2,
            Transfer::Donate => 3,
        };
        let owner = u64::from(self.owner.get());
        let count = if self.peer.is_some() { 2_u64 } else { 1 };
        // DEN0140, instruction access in FFA_MEM_RETRIEVE_REQ: a borrower leaves it open for a share and
        // where others borrow too, and says it where it is the only one that borrows.
        let execution = match (self.kind, self.peer) {
            (Transfer::Lend | Transfer::Donate, None) => NOT_EXECUTABLE,
            (Transfer::Share, _) | (Transfer::Lend | Transfer::Donate, Some(_)) => 0,
        };
        let entry = |id: EndpointId, data: u64| {
            line(u64::from(id.get()) | (data | execution) << 16, 0).to_le_bytes()
        };
        let units = [
            line(owner | kind << KIND_SHIFT, self.handle.get()).to_le_bytes(),
            line(self.tag, ENTRY | count << 32).to_le_bytes(),
            line(HEADER, 0).to_le_bytes(),
            entry(self.own, 0),
            entry(self.peer.unwrap_or(self.own), data),
        ];
        ExactRequest { units, expected: data << 16, has_peer: self.peer.is_some() }
    }
}

/// Where the kind of a transaction stands in the first word of a descriptor.
const KIND_SHIFT: u32 = 35;

/// A request, as it was sent. It begins with its bytes, so that they are copied by large words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct ExactRequest {
    /// Three of the header, one for each borrower. The last one is sent where there is a peer.
    units: [[u8; UNIT]; 5],
    /// What the response adds to our own entry: the permission that is expected, where it stands there.
    expected: u64,
    has_peer: bool,
}

impl ExactRequest {
    /// Its bytes, aligned to 16.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let [without_peer @ .., _] = &self.units;
        if self.has_peer { self.units.as_flattened() } else { without_peer.as_flattened() }
    }

    /// The pages of a whole response, if all else in it is what was asked for: borrowers in either
    /// order, each entry pointing to the composite behind the last. `None`: it may be as good, or
    /// not; `parse` tells.
    #[inline(always)]
    #[must_use]
    pub fn pages<'a>(&self, response: &'a [u8]) -> Option<ExactPages<'a>> {
        let (units, []) = response.as_chunks::<UNIT>() else { return None };
        let ([x, y, z], rest) = units.split_first_chunk::<3>()?;
        let [a, b, c, own, peer] = &self.units;
        // What the response adds to the first line of the request: how the memory is cached. Who lends
        // may leave it open.
        let [_, _, _, _, flags, ..] = *a;
        let told = read(x) ^ read(a);
        let lent = u64::from(flags) << 32 != 1 << KIND_SHIFT;
        let good = told == line(NORMAL << 16, 0) || lent && told == line(UNSPECIFIED << 16, 0);
        if !good || read(y) != read(b) || read(z) != read(c) {
            return None;
        }
        let rest = if self.has_peer {
            let ([one, other], rest) = rest.split_first_chunk::<MOST>()?;
            let (ours, theirs) = (TWO_END << 32 | self.expected, TWO_END << 32);
            let listed = is_entry(one, own, ours) && is_entry(other, peer, theirs)
                || is_entry(one, peer, theirs) && is_entry(other, own, ours);
            // The same id twice.
            if !listed || own.first_chunk::<2>() == peer.first_chunk::<2>() {
                return None;
            }
            rest
        } else {
            let (one, rest) = rest.split_first()?;
            is_entry(one, own, ONE_END << 32 | self.expected).then_some(rest)?
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
}

/// Where the entries of one and of two borrowers end: the composite begins there.
const ONE_END: u64 = HEADER + ENTRY;
const TWO_END: u64 = ONE_END + ENTRY;

/// Whether an entry of a response is the one that was asked for, with what the response adds: where the
/// composite begins, and a permission. It may say or leave open that nobody executes.
#[inline(always)]
const fn is_entry(found: &[u8; UNIT], asked: &[u8; UNIT], added: u64) -> bool {
    let differs = read(found) ^ read(asked) ^ line(added, 0);
    differs & !line(NOT_EXECUTABLE << 16, 0) == 0
}

#[inline(always)]
const fn line(low: u64, high: u64) -> u128 {
    #[expect(
        clippy::as_conversions,
        reason = "u128::from is not const; u64 to u128 keeps the value"
    )]
    let (low, high) = (low as u128, high as u128);
    low | high << 64
}

#[inline(always)]
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

    /// The range, if there is one only and it breaks no rule: nearly always.
    #[inline(always)]
    #[must_use]
    pub fn only(&self) -> Option<PageRange> {
        let [unit] = self.units.as_slice() else { return None };
        constituent(unit).ok()
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
