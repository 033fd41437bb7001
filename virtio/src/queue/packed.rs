//! Owns where things lie in packed rings (virtio 1.3, 2.8): slots, laps and event suppression; never
//! decides what to do with them.
//!
//! Chosen by [`Features::RING_PACKED`], behind the types of both layouts:
//!
//! ```
//! use causeway_virtio::queue::packed::{PackedDevice, PackedDriver};
//! use causeway_virtio::queue::{DeviceQueue, DriverQueue};
//!
//! fn is_packed(driver: &DriverQueue<8>, device: &DeviceQueue) -> bool {
//!     let packed: (Option<&PackedDriver<8>>, Option<&PackedDevice>) = (
//!         if let DriverQueue::Packed(queue) = driver { Some(queue) } else { None },
//!         if let DeviceQueue::Packed(queue) = device { Some(queue) } else { None },
//!     );
//!     packed.0.is_some() && packed.1.is_some()
//! }
//! ```

mod device;
mod driver;

pub use device::PackedDevice;
pub use driver::PackedDriver;

use super::desc::{DESC_BYTES, passes, up};
use super::{QueueConfig, QueueError};
use crate::addr::BusAddr;
use crate::mem::AreaMap;
use crate::types::Features;

/// Flag of a descriptor: the driver's lap at which it was made available.
const AVAIL: u16 = 1 << 7;
/// Flag of a descriptor: the device's lap at which it was used.
const USED: u16 = 1 << 15;

/// Event suppression: tell me always.
const EVENT_ENABLE: u16 = 0;
/// Event suppression: tell me nothing.
const EVENT_DISABLE: u16 = 1;
/// Event suppression: tell me when this descriptor is passed.
const EVENT_DESC: u16 = 2;
/// The bits of event flags that mean something.
const EVENT_MASK: u16 = 3;
/// The lap in an event's offset.
const EVENT_LAP: u16 = 1 << 15;

/// A place in the ring and the lap in which it is. Both sides begin at slot 0 in lap "true".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    slot: u16,
    lap: bool,
}

impl Position {
    const START: Self = Self { slot: 0, lap: true };

    /// Moves on by at most `size` slots.
    #[inline]
    const fn after(self, slots: u16, size: u16) -> Self {
        // No wrap: the slot is at most 32767 and the step at most 32768.
        let slot = self.slot.wrapping_add(slots);
        if slot >= size {
            Self { slot: slot.wrapping_sub(size), lap: !self.lap }
        } else {
            Self { slot, lap: self.lap }
        }
    }

    /// Whether flags say that the slot was made available in this lap and not used.
    #[inline]
    const fn is_available(self, flags: u16) -> bool {
        (flags & AVAIL != 0) == self.lap && (flags & USED != 0) != self.lap
    }

    /// Whether flags say that the slot was used in this lap.
    #[inline]
    const fn is_used(self, flags: u16) -> bool {
        (flags & AVAIL != 0) == self.lap && (flags & USED != 0) == self.lap
    }

    /// The flags of a descriptor made available here.
    #[inline]
    const fn available(self) -> u16 {
        if self.lap { AVAIL } else { USED }
    }

    /// The flags of a descriptor used here.
    #[inline]
    const fn used(self) -> u16 {
        if self.lap { AVAIL | USED } else { 0 }
    }

    /// How an event names this place.
    #[inline]
    const fn event(self) -> u16 {
        if self.lap { self.slot | EVENT_LAP } else { self.slot }
    }
}

/// The addresses in a queue whose parts were checked to fit their areas, so that nothing wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    config: QueueConfig,
}

impl Places {
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
    fn desc(&self, slot: u16) -> BusAddr {
        up(self.config.desc, u64::from(slot).wrapping_mul(DESC_BYTES))
    }

    /// The second half of a descriptor: length, buffer id, and the flags, which hand it over.
    #[inline]
    fn handover(&self, slot: u16) -> BusAddr {
        up(self.desc(slot), 8)
    }

    /// The flags of a descriptor.
    #[inline]
    fn flags(&self, slot: u16) -> BusAddr {
        up(self.desc(slot), 14)
    }

    /// Asks at `area` to be told when `at` is passed, or always without the event index.
    fn arm<M: AreaMap + ?Sized>(
        &self,
        mem: &M,
        area: BusAddr,
        at: Position,
    ) -> Result<(), QueueError> {
        if self.event_index() {
            mem.write_u16(area, at.event())?;
            mem.store_release_u16(up(area, 2), EVENT_DESC)?;
        } else {
            mem.store_release_u16(up(area, 2), EVENT_ENABLE)?;
        }
        mem.full_fence();
        Ok(())
    }

    fn disarm<M: AreaMap + ?Sized>(&self, mem: &M, area: BusAddr) -> Result<(), QueueError> {
        Ok(mem.store_release_u16(up(area, 2), EVENT_DISABLE)?)
    }

    /// Whether the other side, which asks at `area`, wants to be told that the last `since` slots up
    /// to `now` changed hands.
    #[inline(always)]
    fn wants<M: AreaMap + ?Sized>(
        &self,
        mem: &M,
        area: BusAddr,
        now: Position,
        since: u16,
    ) -> Result<bool, QueueError> {
        mem.full_fence();
        match mem.load_acquire_u16(up(area, 2))? & EVENT_MASK {
            EVENT_DISABLE => Ok(false),
            EVENT_DESC if self.event_index() => {
                let event = mem.read_u16(area)?;
                let slot = event & !EVENT_LAP;
                let same_lap = (event & EVENT_LAP != 0) == now.lap;
                let slot = if same_lap { slot } else { slot.wrapping_sub(self.size()) };
                let old = now.slot.wrapping_sub(since);
                Ok(since >= self.size() || passes(slot, now.slot, old))
            }
            _ => Ok(true),
        }
    }
}
