//! Owns memory transaction descriptors whose every field can be wrong; never checks one.
//!
//! Honest descriptors come from `causeway-ffa`, which refuses to build a malformed one. The
//! hostile VM needs just those. Layout: DEN0077A 1.1, tables "Memory transaction descriptor",
//! "Endpoint memory access descriptor" and "Composite memory region descriptor".

use alloc::vec;
use alloc::vec::Vec;

/// Normal memory, write-back, inner shareable. Source: DEN0077A 1.1, memory region attributes.
pub const NORMAL_WRITE_BACK: u16 = 0x2f;
/// Data access permission read-only.
pub const READ_ONLY: u8 = 0b01;
/// Data access permission read-write.
pub const READ_WRITE: u8 = 0b10;

const HEADER_LEN: u32 = 48;
const ENDPOINT_LEN: u32 = 16;

/// The fields of a descriptor, as they will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes 0-1.
    pub sender: u16,
    /// Bytes 2-3.
    pub attributes: u16,
    /// Bytes 4-7.
    pub flags: u32,
    /// Bytes 8-15; zero in a send.
    pub handle: u64,
    /// Bytes 16-23.
    pub tag: u64,
    /// Borrower and permission bits.
    pub borrowers: Vec<(u16, u8)>,
    /// Total page count; `None`: the sum of the ranges.
    pub total_pages: Option<u32>,
    /// Address and page count of each range; `None`: no composite part at all (a retrieve).
    pub ranges: Option<Vec<(u64, u32)>>,
}

impl Descriptor {
    /// An honest send of `ranges` by `sender` to `borrowers`, read-write.
    #[must_use]
    pub fn send(sender: u16, borrowers: &[u16], ranges: &[(u64, u32)]) -> Self {
        Self {
            sender,
            attributes: NORMAL_WRITE_BACK,
            flags: 0,
            handle: 0,
            tag: 0,
            borrowers: borrowers.iter().map(|id| (*id, READ_WRITE)).collect(),
            total_pages: None,
            ranges: Some(ranges.to_vec()),
        }
    }

    /// An honest retrieve request for what `owner` gave to `borrowers`.
    #[must_use]
    pub fn retrieve(owner: u16, handle: u64, borrowers: &[u16]) -> Self {
        Self { handle, ranges: None, ..Self::send(owner, borrowers, &[]) }
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.borrowers.len()).unwrap_or(u32::MAX);
        let composite = HEADER_LEN.saturating_add(count.saturating_mul(ENDPOINT_LEN));
        let mut out = vec![];
        out.extend(self.sender.to_le_bytes());
        out.extend(self.attributes.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        out.extend(self.handle.to_le_bytes());
        out.extend(self.tag.to_le_bytes());
        for word in [ENDPOINT_LEN, count, HEADER_LEN, 0, 0, 0] {
            out.extend(word.to_le_bytes());
        }
        let offset = if self.ranges.is_some() { composite } else { 0 };
        for (endpoint, permission) in &self.borrowers {
            out.extend(endpoint.to_le_bytes());
            out.extend([*permission, 0]);
            out.extend(offset.to_le_bytes());
            out.extend([0; 8]);
        }
        if let Some(ranges) = &self.ranges {
            let sum = ranges.iter().fold(0_u32, |sum, (_, pages)| sum.wrapping_add(*pages));
            out.extend(self.total_pages.unwrap_or(sum).to_le_bytes());
            out.extend(u32::try_from(ranges.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend([0; 8]);
            for (address, pages) in ranges {
                out.extend(address.to_le_bytes());
                out.extend(pages.to_le_bytes());
                out.extend([0; 4]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_lies_as_the_specification_says() {
        let bytes = Descriptor::send(1, &[0x8001, 2], &[(0x4200_0000, 3)]).bytes();
        let len = HEADER_LEN + 2 * ENDPOINT_LEN + 16 + 16;
        assert_eq!(u32::try_from(bytes.len()).unwrap(), len);
        assert_eq!(bytes[..4], [1, 0, 0x2f, 0]);
        assert_eq!(bytes[24..36], [16, 0, 0, 0, 2, 0, 0, 0, 48, 0, 0, 0]);
        assert_eq!(bytes[48..56], [0x01, 0x80, 2, 0, 80, 0, 0, 0]);
        assert_eq!(bytes[64..72], [2, 0, 2, 0, 80, 0, 0, 0]);
        assert_eq!(bytes[80..88], [3, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes[96..112], [0, 0, 0, 0x42, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_retrieve_request_has_no_composite_part() {
        let bytes = Descriptor::retrieve(1, 0xffff_ffc0, &[2]).bytes();
        assert_eq!(u32::try_from(bytes.len()).unwrap(), HEADER_LEN + ENDPOINT_LEN);
        assert_eq!(bytes[8..16], 0xffff_ffc0_u64.to_le_bytes());
        assert_eq!(bytes[52..56], [0; 4]);
    }
}
