//! Owns the bitmap of GET_DEVICES; never decides which devices a driver sees.

use super::{MsgError, Reader};

/// Most bitmap bytes in GET_DEVICES' answer (104 - 8 - 6).
const BITMAP_MAX: usize = 90;

/// Which devices of a window exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceBitmap {
    /// Number of the first device of the window.
    pub offset: u16,
    /// Where to ask next; 0 at the end.
    pub next_offset: u16,
    count: u16,
    bits: [u8; BITMAP_MAX],
}

impl DeviceBitmap {
    /// Most devices in one answer.
    pub const MAX_COUNT: u16 = 720;

    /// An empty window; `None` if `count` is more than a message carries.
    #[must_use]
    pub fn new(offset: u16, next_offset: u16, count: u16) -> Option<Self> {
        (count <= Self::MAX_COUNT).then_some(Self {
            offset,
            next_offset,
            count,
            bits: [0; BITMAP_MAX],
        })
    }

    /// Returns the number of devices that the window covers.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Notes that a device exists, if it lies in the window.
    pub fn insert(&mut self, dev_num: u16) {
        if let Some(position) = dev_num.checked_sub(self.offset)
            && position < self.count
            && let Some(byte) = self.bits.get_mut(usize::from(position / 8))
        {
            *byte |= 1 << (position % 8);
        }
    }

    /// Reports whether a device exists.
    #[must_use]
    pub fn contains(&self, dev_num: u16) -> bool {
        dev_num.checked_sub(self.offset).is_some_and(|position| {
            position < self.count
                && self
                    .bits
                    .get(usize::from(position / 8))
                    .is_some_and(|byte| byte & (1 << (position % 8)) != 0)
        })
    }

    /// Returns the numbers of the devices that exist, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let end = self.offset.saturating_add(self.count);
        (self.offset..end).filter(|n| self.contains(*n))
    }

    fn used(&self) -> usize {
        usize::from(self.count.div_ceil(8))
    }

    pub(super) fn bits(&self) -> &[u8] {
        self.bits.get(..self.used()).unwrap_or(&self.bits)
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let (offset, next_offset, count) = (r.u16()?, r.u16()?, r.u16()?);
        let mut map = Self::new(offset, next_offset, count).ok_or(MsgError::Value)?;
        let used = map.used();
        let bits = r.bytes(used)?;
        if let Some(place) = map.bits.get_mut(..used) {
            place.copy_from_slice(bits);
        }
        Ok(map)
    }
}
