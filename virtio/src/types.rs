//! Owns virtio's small vocabulary: device ids, status bits and feature bits; decides nothing.
//!
//! ```
//! use causeway_virtio::{DeviceId, Features, Status};
//!
//! let rings = Features::VERSION_1 | Features::EVENT_IDX;
//! assert!(rings.contains(Features::EVENT_IDX) && !rings.contains(Features::RING_PACKED));
//! // As messages carry them: blocks of 32 bits.
//! assert_eq!((rings.block(0), rings.block(1)), (1 << 29, 1));
//! assert_eq!(DeviceId::from_raw(2), DeviceId::BLOCK);
//! assert!(Status::from_raw(0).is_reset());
//! ```

use core::ops::{BitAnd, BitOr};

/// What kind of device it is. Source: virtio 1.3, section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(u32);

impl DeviceId {
    /// Network card.
    pub const NET: Self = Self(1);
    /// Block device.
    pub const BLOCK: Self = Self(2);
    /// Console.
    pub const CONSOLE: Self = Self(3);
    /// Entropy source.
    pub const ENTROPY: Self = Self(4);
    /// Socket.
    pub const SOCKET: Self = Self(19);
    /// Replay-protected memory block.
    pub const RPMB: Self = Self(28);
    /// System control and management interface.
    pub const SCMI: Self = Self(32);

    /// Wraps a number; the list of devices is open.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The device status field. Source: virtio 1.3, 2.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status(u32);

impl Status {
    /// No bit set: the device is reset.
    pub const RESET: Self = Self(0);
    /// The driver has noticed the device.
    pub const ACKNOWLEDGE: Self = Self(1);
    /// The driver knows how to drive it.
    pub const DRIVER: Self = Self(2);
    /// The driver is set up.
    pub const DRIVER_OK: Self = Self(4);
    /// Feature negotiation is complete.
    pub const FEATURES_OK: Self = Self(8);
    /// The device has failed and can only be reset.
    pub const NEEDS_RESET: Self = Self(0x40);
    /// The driver has given up.
    pub const FAILED: Self = Self(0x80);

    /// Wraps the wire value; unknown bits are kept.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the wire value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Reports whether all bits of `bits` are set.
    #[must_use]
    pub const fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Reports whether no bit is set.
    #[must_use]
    pub const fn is_reset(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Status {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Feature bits 0-63. Source: virtio 1.3, section 6 and the devices' own bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features(u64);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every bit.
    pub const ALL: Self = Self(u64::MAX);
    /// VIRTIO_F_INDIRECT_DESC (28).
    pub const INDIRECT_DESC: Self = Self(1 << 28);
    /// VIRTIO_F_EVENT_IDX (29).
    pub const EVENT_IDX: Self = Self(1 << 29);
    /// VIRTIO_F_VERSION_1 (32).
    pub const VERSION_1: Self = Self(1 << 32);
    /// VIRTIO_F_ACCESS_PLATFORM (33): addresses are the bus's, not physical ones.
    pub const ACCESS_PLATFORM: Self = Self(1 << 33);
    /// VIRTIO_F_RING_PACKED (34).
    pub const RING_PACKED: Self = Self(1 << 34);
    /// VIRTIO_F_IN_ORDER (35).
    pub const IN_ORDER: Self = Self(1 << 35);
    /// VIRTIO_F_RING_RESET (40).
    pub const RING_RESET: Self = Self(1 << 40);
    /// VIRTIO_BLK_F_SIZE_MAX (1).
    pub const BLK_SIZE_MAX: Self = Self(1 << 1);
    /// VIRTIO_BLK_F_SEG_MAX (2).
    pub const BLK_SEG_MAX: Self = Self(1 << 2);
    /// VIRTIO_BLK_F_RO (5).
    pub const BLK_RO: Self = Self(1 << 5);
    /// VIRTIO_BLK_F_BLK_SIZE (6).
    pub const BLK_BLK_SIZE: Self = Self(1 << 6);
    /// VIRTIO_BLK_F_FLUSH (9).
    pub const BLK_FLUSH: Self = Self(1 << 9);
    /// VIRTIO_NET_F_MAC (5).
    pub const NET_MAC: Self = Self(1 << 5);
    /// VIRTIO_NET_F_STATUS (16).
    pub const NET_STATUS: Self = Self(1 << 16);
    /// VIRTIO_CONSOLE_F_SIZE (0).
    pub const CONSOLE_SIZE: Self = Self(1);
    /// VIRTIO_CONSOLE_F_EMERG_WRITE (2).
    pub const CONSOLE_EMERG_WRITE: Self = Self(1 << 2);

    /// Wraps the 64 bits.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the 64 bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reports whether all bits of `bits` are set.
    #[must_use]
    pub const fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Returns block `index` of 32 bits; blocks beyond the second are zero.
    #[must_use]
    pub fn block(self, index: u32) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.0.to_le_bytes();
        match index {
            0 => u32::from_le_bytes([a, b, c, d]),
            1 => u32::from_le_bytes([e, f, g, h]),
            _ => 0,
        }
    }

    /// Replaces block `index`; `None` if `bits` has bits in a block that does not exist.
    #[must_use]
    pub fn with_block(self, index: u32, bits: u32) -> Option<Self> {
        match index {
            0 => Some(Self((self.0 & !0xffff_ffff) | u64::from(bits))),
            1 => Some(Self((self.0 & 0xffff_ffff) | (u64::from(bits) << 32))),
            _ => (bits == 0).then_some(self),
        }
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Features {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_blocks_are_little_end_first() {
        let features = Features::VERSION_1 | Features::BLK_FLUSH;
        assert_eq!((features.block(0), features.block(1), features.block(2)), (0x200, 1, 0));
        let rebuilt = Features::NONE.with_block(0, 0x200).and_then(|f| f.with_block(1, 1));
        assert_eq!(rebuilt, Some(features));
        assert_eq!(features.with_block(2, 1), None);
        assert_eq!(features.with_block(2, 0), Some(features));
    }
}
