//! Owns where things lie in split rings (virtio 1.3, 2.7); never decides what to do with them.
//!
//! Chosen where [`crate::Features::RING_PACKED`] is not, behind the types of both layouts:
//!
//! ```
//! use causeway_virtio::queue::split::{SplitDevice, SplitDriver};
//! use causeway_virtio::queue::{DeviceQueue, DriverQueue};
//!
//! fn device_of(queue: &DeviceQueue) -> Option<&SplitDevice> {
//!     if let DeviceQueue::Split(queue) = queue { Some(queue) } else { None }
//! }
//!
//! fn driver_of(queue: &DriverQueue<8>) -> Option<&SplitDriver<8>> {
//!     if let DriverQueue::Split(queue) = queue { Some(queue) } else { None }
//! }
//! ```

mod device;
mod driver;

pub use device::SplitDevice;
pub use driver::SplitDriver;

use super::QueueConfig;
use super::desc::{DESC_BYTES, up};
use crate::addr::BusAddr;
use crate::types::Features;

/// `flags` of a ring: the owner wants no notification.
const NO_NOTIFY: u16 = 1;

/// The addresses in a queue whose parts were checked to fit their areas, so that nothing wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    config: QueueConfig,
    /// A split ring's size is a power of two: this makes an index of its slots.
    mask: u16,
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
    const fn in_order(&self) -> bool {
        self.config.features.contains(Features::IN_ORDER)
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
