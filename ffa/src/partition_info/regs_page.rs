//! Owns the answer to FFA_PARTITION_INFO_GET_REGS: descriptors in registers; never asks for more.

use super::{LEN_V1_1, PartitionInfo, PartitionInfos};
use crate::answer::Success;
use crate::bytes::size;
use crate::call::{DecodeError, Width};
use crate::{FuncId, Version};

/// Bytes of x3-x17.
const ROOM: usize = 120;

/// The descriptors of one answer. Source: DEN0077A 1.2, FFA_PARTITION_INFO_GET_REGS: x2 has the last
/// index of the list in bits 15:0, the index of the last descriptor here in 31:16, the tag of the
/// list's state in 47:32 and the size of a descriptor in 63:48; x3-x17 have the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegsPage {
    bytes: [u8; ROOM],
    stride: u16,
    count: u16,
    next: Option<u16>,
    tag: u16,
}

impl RegsPage {
    /// Reads the answer to a call that asked for the list from `start` on.
    ///
    /// # Errors
    /// [`DecodeError::WrongDirection`] for a 32-bit answer; [`DecodeError::BadField`] where the
    /// indices contradict each other or `start`, or the descriptors do not fit the registers.
    pub fn decode(success: &Success, start: u16) -> Result<Self, DecodeError> {
        if success.width() != Width::Bits64 {
            return Err(DecodeError::WrongDirection(FuncId::Success32));
        }
        let bad = DecodeError::BadField { register: 2 };
        let [a, b, c, d, e, f, g, h] = success.x(2).to_le_bytes();
        let (last, current) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let (tag, stride) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
        let ahead = current.checked_sub(start).filter(|_| current <= last).ok_or(bad)?;
        let count = ahead.checked_add(1).ok_or(bad)?;
        let len = usize::from(count).checked_mul(usize::from(stride)).ok_or(bad)?;
        if usize::from(stride) < LEN_V1_1 || !stride.is_multiple_of(8) || len > ROOM {
            return Err(bad);
        }
        let mut bytes = [0; ROOM];
        for (register, chunk) in (3..).zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&success.x(register).to_le_bytes());
        }
        let next = if current < last { current.checked_add(1) } else { None };
        Ok(Self { bytes, stride, count, next, tag })
    }

    /// Returns the index and the tag to ask with for what follows; `None` at the end of the list.
    #[must_use]
    pub fn next(&self) -> Option<(u16, u16)> {
        self.next.map(|index| (index, self.tag))
    }

    /// Iterates over the descriptors: one to five.
    pub fn iter(&self) -> impl Iterator<Item = PartitionInfo> + '_ {
        let (count, stride) = (u32::from(self.count), u32::from(self.stride));
        let len = size(count.saturating_mul(stride));
        let bytes = self.bytes.get(..len).unwrap_or(&self.bytes);
        let list = PartitionInfos::parse(bytes, count, stride, Version::V1_2);
        list.ok().into_iter().flat_map(|list| list.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EndpointId;

    /// Two descriptors of a list of seven, from index 3 on. DEN0077A 1.2, as above.
    fn answer() -> [u64; 16] {
        let mut args = [0; 16];
        args[0] = 6 | (4 << 16) | (0x55 << 32) | (24 << 48);
        args[1] = 0x8001 | (4 << 16) | (0x101 << 32);
        args[2] = 0x0807_0605_0403_0201;
        args[3] = 0x100f_0e0d_0c0b_0a09;
        args[4] = 0x8002 | (1 << 16);
        args
    }

    fn decode(x2: u64, start: u16) -> Result<RegsPage, DecodeError> {
        let mut args = answer();
        args[0] = x2;
        RegsPage::decode(&Success::double_words(args), start)
    }

    #[test]
    fn descriptors_in_registers_are_read() {
        let page = decode(answer()[0], 3).unwrap();
        let found: Vec<PartitionInfo> = page.iter().collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id, found[0].contexts), (EndpointId::from_raw(0x8001), 4));
        assert_eq!(found[0].properties.word(), 0x101);
        assert_eq!(found[0].uuid.bytes(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(found[1].id, EndpointId::from_raw(0x8002));
        assert_eq!(page.next(), Some((5, 0x55)));
        assert_eq!(decode(4 | (4 << 16) | (24 << 48), 4).unwrap().next(), None);
    }

    #[test]
    fn indices_and_sizes_that_do_not_fit_are_refused() {
        let bad = Err(DecodeError::BadField { register: 2 });
        assert_eq!(decode(answer()[0], 5), bad, "ends before the start");
        assert_eq!(decode(3 | (4 << 16) | (24 << 48), 4), bad, "ends behind the last");
        assert_eq!(decode(6 | (6 << 16) | (24 << 48), 0), bad, "seven do not fit");
        assert_eq!(decode(6 | (6 << 16) | (16 << 48), 6), bad, "too small");
        assert_eq!(decode(6 | (6 << 16) | (28 << 48), 6), bad, "not in registers");
        assert_eq!(decode(u64::MAX, 0), bad);
        assert!(RegsPage::decode(&Success::words([0; 6]), 0).is_err());
    }
}
