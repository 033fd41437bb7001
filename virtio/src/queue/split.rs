//! Owns where things lie in split rings (virtio 1.3, 2.7); never decides what to do with them.

mod device;
mod driver;

pub use device::SplitDevice;
pub use driver::SplitDriver;

use super::QueueConfig;
use crate::addr::BusAddr;
use crate::types::Features;

/// Bytes of a descriptor.
const DESC_BYTES: u64 = 16;
/// `flags` of a descriptor: another one follows.
const NEXT: u16 = 1;
/// `flags` of a descriptor: the device writes this buffer.
const WRITE: u16 = 2;
/// `flags` of a descriptor: the buffer is a table of descriptors.
const INDIRECT: u16 = 4;
/// `flags` of a ring: the owner wants no notification.
const NO_NOTIFY: u16 = 1;

/// One descriptor, copied.
#[derive(Clone, Copy, Debug)]
struct Desc {
    addr: BusAddr,
    len: u32,
    flags: u16,
    next: u16,
}

impl Desc {
    #[inline]
    const fn from_bytes(b: [u8; 16]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = b;
        Self {
            addr: BusAddr::from_raw(u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        }
    }

    #[inline]
    const fn to_bytes(self) -> [u8; 16] {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = self.addr.get().to_le_bytes();
        let [l0, l1, l2, l3] = self.len.to_le_bytes();
        let ([f0, f1], [n0, n1]) = (self.flags.to_le_bytes(), self.next.to_le_bytes());
        [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1]
    }
}

/// The addresses in a queue whose parts were checked to fit their areas, so that nothing wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    config: QueueConfig,
    mask: u16,
}

/// Adds to an address inside a part that was checked as a whole.
#[inline]
const fn up(base: BusAddr, bytes: u64) -> BusAddr {
    BusAddr::from_raw(base.get().wrapping_add(bytes))
}

impl Places {
    const fn new(config: QueueConfig) -> Self {
        Self { config, mask: config.size.get().wrapping_sub(1) }
    }

    #[inline]
    const fn size(&self) -> u16 {
        self.config.size.get()
    }

    #[inline]
    const fn event_index(&self) -> bool {
        self.config.features.contains(Features::EVENT_IDX)
    }

    #[inline]
    const fn indirect(&self) -> bool {
        self.config.features.contains(Features::INDIRECT_DESC)
    }

    #[inline]
    fn desc(&self, index: u16) -> BusAddr {
        up(self.config.desc, u64::from(index).wrapping_mul(DESC_BYTES))
    }

    #[inline]
    const fn avail_flags(&self) -> BusAddr {
        self.config.driver
    }

    #[inline]
    const fn avail_index(&self) -> BusAddr {
        up(self.config.driver, 2)
    }

    #[inline]
    fn avail_entry(&self, index: u16) -> BusAddr {
        up(self.config.driver, u64::from(index & self.mask).wrapping_mul(2).wrapping_add(4))
    }

    /// Written by the driver: the used index at which it wants an interrupt.
    #[inline]
    fn used_event(&self) -> BusAddr {
        up(self.config.driver, u64::from(self.size()).wrapping_mul(2).wrapping_add(4))
    }

    #[inline]
    const fn used_flags(&self) -> BusAddr {
        self.config.device
    }

    #[inline]
    const fn used_index(&self) -> BusAddr {
        up(self.config.device, 2)
    }

    #[inline]
    fn used_entry(&self, index: u16) -> BusAddr {
        up(self.config.device, u64::from(index & self.mask).wrapping_mul(8).wrapping_add(4))
    }

    /// Written by the device: the available index at which it wants a kick.
    #[inline]
    fn avail_event(&self) -> BusAddr {
        up(self.config.device, u64::from(self.size()).wrapping_mul(8).wrapping_add(4))
    }
}

/// Whether moving an index from `old` to `new` passes the point at which the other side asked to
/// be told (virtio 1.3, 2.7.7.1 and 2.7.10).
#[inline]
const fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
