//! Owns bus addresses and area ids; never knows what memory stands behind them.
//!
//! ```
//! use causeway_virtio::{AreaId, BusAddr};
//!
//! let area = AreaId::new(3).expect("1 to 65534");
//! let at = BusAddr::new(area, 0x40).expect("below 2^48");
//! assert_eq!((at.get(), at.area(), at.offset()), (3 << 48 | 0x40, Some(area), 0x40));
//! // No sum leads into the next area.
//! assert_eq!(at.checked_add(1 << 48), None);
//! ```

use core::fmt;
use core::num::NonZeroU16;

/// Bits of a bus address below the area id.
const OFFSET_BITS: u32 = 48;

/// First offset that no longer fits.
const OFFSET_LIMIT: u64 = 1 << OFFSET_BITS;

/// The number of an area on one link, 1-65535, chosen by the driver side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AreaId(NonZeroU16);

impl AreaId {
    /// Accepts any id but 0.
    #[must_use]
    pub const fn new(raw: u16) -> Option<Self> {
        match NonZeroU16::new(raw) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// Returns the raw id.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

/// An address on the bus: `area_id << 48 | offset` (virtio-msg over FF-A, DEN0153).
///
/// Every value can be written down; whether memory stands behind it is for an
/// [`AreaMap`](crate::mem::AreaMap) to say. Area 0 never has any over FF-A, yet a user of the
/// queues with plain physical addresses may let its map serve it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusAddr(u64);

impl BusAddr {
    /// Builds an address; `None` if the offset has more than 48 bits.
    #[must_use]
    pub fn new(area: AreaId, offset: u64) -> Option<Self> {
        (offset < OFFSET_LIMIT).then(|| Self((u64::from(area.get()) << OFFSET_BITS) | offset))
    }

    /// Reads the wire form.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the wire form.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the area's number; `None` for the unused number 0.
    #[must_use]
    pub fn area(self) -> Option<AreaId> {
        let [.., low, high] = self.0.to_le_bytes();
        AreaId::new(u16::from_le_bytes([low, high]))
    }

    /// Returns the offset in the area.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 & (OFFSET_LIMIT - 1)
    }

    /// Moves `bytes` up; `None` if that leaves the area.
    #[must_use]
    #[inline]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        let Some(offset) = self.offset().checked_add(bytes) else {
            return None;
        };
        if offset < OFFSET_LIMIT {
            Some(Self((self.0 & !(OFFSET_LIMIT - 1)) | offset))
        } else {
            None
        }
    }

    /// Reports whether `len` bytes from here stay inside the area's 48 bits.
    #[must_use]
    #[inline]
    pub const fn holds(self, len: u64) -> bool {
        match self.offset().checked_add(len) {
            Some(end) => end <= OFFSET_LIMIT,
            None => false,
        }
    }
}

impl BusAddr {
    /// [`BusAddr::holds`] for the length of a buffer: what a queue asks for every descriptor. The
    /// offset is moved to the top of the word, so that leaving the area carries.
    #[must_use]
    #[inline(always)]
    pub(crate) fn holds_buffer(self, len: u32) -> bool {
        match (self.0 << 16).checked_add(u64::from(len) << 16) {
            Some(_) => true,
            None => self.ends_with_area(len),
        }
    }

    /// The one sum that may carry.
    #[cold]
    fn ends_with_area(self, len: u32) -> bool {
        self.holds(u64::from(len))
    }
}

impl fmt::Display for BusAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_id_sits_above_bit_48() {
        let at = BusAddr::new(AreaId::new(0x1234).unwrap(), 0x5678).unwrap();
        assert_eq!(at.get(), 0x1234_0000_0000_5678);
        assert_eq!((at.area().map(AreaId::get), at.offset()), (Some(0x1234), 0x5678));
        assert_eq!(BusAddr::from_raw(0x1000).area(), None);
        assert_eq!(AreaId::new(0), None);
    }

    #[test]
    fn moving_never_reaches_the_next_area() {
        let area = AreaId::new(1).unwrap();
        assert_eq!(BusAddr::new(area, 1 << 48), None);
        let last = BusAddr::new(area, (1 << 48) - 1).unwrap();
        assert_eq!(last.checked_add(1), None);
        assert_eq!(last.checked_add(u64::MAX), None);
        assert!(last.holds(1) && !last.holds(2) && !last.holds(u64::MAX));
        let limit = (1_u64 << 48) - (1 << 32);
        for offset in [0, 1, 0x1000, limit - 1, limit, limit + 1, (1 << 48) - 2, (1 << 48) - 1] {
            for len in [0, 1, 2, 0x1000, u32::MAX - 1, u32::MAX] {
                let at = BusAddr::new(area, offset).unwrap();
                assert_eq!(at.holds_buffer(len), at.holds(u64::from(len)), "{at} {len}");
            }
        }
    }
}
