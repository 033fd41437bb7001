//! Owns what all virtqueues have in common: errors, sizes, where a queue lies. Never touches memory
//! but through an [`AreaMap`], never believes the other side.
//!
//! A hostile other side makes a [`QueueError`], which ends that queue and nothing else: every call
//! after it returns [`QueueError::Failed`] until the queue is set up anew. Each descriptor is
//! copied once and checked after the copy; what the other side writes there later is never seen.
//!
//! Both layouts, split and packed (virtio 1.3, 2.7 and 2.8), stand behind the same types,
//! [`DeviceQueue`] and [`DriverQueue`]: which one a queue has is decided by
//! [`Features::RING_PACKED`] when it is set up, and a device or driver never asks. Of the features
//! for rings, indirect descriptors, the event index, completion in order and queue reset are
//! there in both. What each side checks, and what that costs: docs/queue-cost.md.
//!
//! # Sizes
//! A device side is 64 bytes at most in either layout, plus the [`Chain`] that all queues of a device
//! may share. A driver side is 96 bytes at most plus 8 per entry. Both are checked by a test.
//!
//! # A request goes round
//! ```
//! use causeway_virtio::mem::WordArea;
//! use causeway_virtio::queue::{
//!     Chain, DeviceQueue, DriverQueue, Head, QueueConfig, QueueError, QueueSize, RingPart, Segment, Token, Used,
//! };
//! use causeway_virtio::{Access, AreaId, BusAddr, Features};
//! use core::sync::atomic::AtomicU16;
//!
//! let words: Vec<AtomicU16> = (0..2048).map(|_| AtomicU16::new(0)).collect();
//! let id = AreaId::new(1).unwrap();
//! let mem = WordArea::new(id, &words);
//! let at = |offset| BusAddr::new(id, offset).unwrap();
//! for features in [Features::EVENT_IDX, Features::EVENT_IDX | Features::RING_PACKED] {
//!     let size = QueueSize::new(8).expect("a power of two");
//!     let config = QueueConfig { size, desc: at(0), driver: at(0x100), device: at(0x200), features };
//!     let [table, ..]: [RingPart; 3] = config.parts();
//!     assert_eq!((table.at, table.len, table.align), (at(0), 128, 16));
//!     let mut driver = DriverQueue::<8>::new(&mem, config)?;
//!     let mut device = DeviceQueue::new(&mem, config)?;
//!     assert!(!matches!((&driver, &device), (DriverQueue::Split(_), DeviceQueue::Packed(_))));
//!
//!     let (header, data) = (Segment { addr: at(0x400), len: 16 }, Segment { addr: at(0x600), len: 512 });
//!     let token: Token = driver.submit(&mem, &[header], &[data])?;
//!     assert!(driver.should_kick(&mem)?);
//!
//!     let mut chain = Chain::<4>::new();
//!     let head: Head = device.take(&mem, &mut chain)?.expect("a chain");
//!     assert_eq!((chain.readable(), chain.writable()), (&[header][..], &[data][..]));
//!     device.complete(&mem, head, 512)?;
//!     assert!(device.should_notify(&mem)?);
//!
//!     assert_eq!(driver.pop_used(&mem)?, Some(Used { token, written: 512 }));
//!     // A side that broke a rule, or gave up, goes no further.
//!     device.fail();
//!     assert_eq!(device.take(&mem, &mut chain), Err(QueueError::Failed));
//! }
//! # Ok::<(), QueueError>(())
//! ```

pub mod chain;
mod desc;
mod device;
mod driver;
mod ending;
mod flight;
pub mod packed;
pub mod split;

pub use chain::{Chain, Head, Segment};
pub use device::DeviceQueue;
pub use driver::{DriverQueue, Token, Used};

use crate::addr::BusAddr;
use crate::mem::{Access, AreaMap, MemError};
use crate::types::Features;

/// Why a queue refuses a call or cannot go on.
///
/// What a driver side says of a chain that it is asked to offer ([`QueueError::Full`],
/// [`QueueError::Empty`], [`QueueError::TooLong`], [`QueueError::ChainBytes`],
/// [`QueueError::WildAddress`], [`QueueError::Indirect`]) changes nothing. Everything else is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueError {
    /// An address of a ring, table or buffer is refused by the map.
    Mem(MemError),
    /// A part of the ring is not aligned as virtio 1.3, 2.7 or 2.8 demands.
    Unaligned,
    /// The queue is larger than the room for its state, or its size is not one of this layout.
    Size,
    /// An index moved by more than the queue has entries, or more is offered than there are entries.
    IndexJump,
    /// A head or a `next` lies outside its table.
    DescriptorIndex,
    /// A chain has more descriptors than its table or the queue has entries: a loop, or too long.
    Loop,
    /// A chain has more descriptors than the device takes.
    TooLong,
    /// The buffers of a chain have more than 2^32 bytes together.
    ChainBytes,
    /// A buffer does not fit into its area's address space.
    WildAddress,
    /// An indirect descriptor that was not negotiated, is nested, chained or of a wrong length.
    Indirect,
    /// A device-readable descriptor follows a device-writable one.
    Order,
    /// A used element names no chain in flight, or more bytes than that chain has room for.
    Used,
    /// A chain is no request that the device could even answer.
    Request,
    /// The device side was asked to return more than was taken: our own device's mistake.
    Completed,
    /// With IN_ORDER, the device side was asked to return a chain before an older one: our own
    /// device's mistake.
    OutOfOrder,
    /// No free descriptors.
    Full,
    /// A chain without segments.
    Empty,
    /// An earlier error ended this queue.
    Failed,
}

impl From<MemError> for QueueError {
    fn from(error: MemError) -> Self {
        Self::Mem(error)
    }
}

/// Entries of a queue: 1 to 32768, in split rings a power of two (virtio 1.3, 2.7 and 2.8.10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueSize(u16);

impl QueueSize {
    /// Accepts a power of two up to 32768, which suits both layouts.
    #[must_use]
    pub const fn new(entries: u16) -> Option<Self> {
        if entries.is_power_of_two() { Some(Self(entries)) } else { None }
    }

    /// Accepts 1 to 32768. Split rings refuse what is no power of two when they are set up.
    #[must_use]
    pub const fn for_packed(entries: u16) -> Option<Self> {
        if entries != 0 && entries <= 1 << 15 { Some(Self(entries)) } else { None }
    }

    /// Accepts the 32-bit field of a message.
    #[must_use]
    pub fn from_wire(entries: u32) -> Option<Self> {
        u16::try_from(entries).ok().and_then(Self::new)
    }

    /// Returns the number of entries.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Where a queue lies and how it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Entries.
    pub size: QueueSize,
    /// Descriptor table or ring.
    pub desc: BusAddr,
    /// Available ring, or the driver's event suppression.
    pub driver: BusAddr,
    /// Used ring, or the device's event suppression.
    pub device: BusAddr,
    /// The negotiated features; those of the rings matter here.
    pub features: Features,
}

/// One part of a ring, as the device side uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPart {
    /// Its first byte.
    pub at: BusAddr,
    /// Its bytes.
    pub len: u64,
    /// Its alignment.
    pub align: u64,
    /// Whether the device side reads or writes it. The descriptors of a packed ring are written
    /// too, and a device that may write an area may read it.
    pub access: Access,
}

impl QueueConfig {
    /// Returns the parts: descriptors, driver area, device area. Source: virtio 1.3, 2.7 and 2.8.
    #[must_use]
    pub fn parts(&self) -> [RingPart; 3] {
        let size = u64::from(self.size.get());
        let part = |at, len, align, access| RingPart { at, len, align, access };
        let table = size.saturating_mul(16);
        if self.features.contains(Features::RING_PACKED) {
            return [
                part(self.desc, table, 16, Access::Write),
                part(self.driver, 4, 4, Access::Read),
                part(self.device, 4, 4, Access::Write),
            ];
        }
        [
            part(self.desc, table, 16, Access::Read),
            part(self.driver, size.saturating_mul(2).saturating_add(6), 2, Access::Read),
            part(self.device, size.saturating_mul(8).saturating_add(6), 4, Access::Write),
        ]
    }

    /// Checks size, alignment, and that the map allows the device side what it needs.
    ///
    /// # Errors
    /// [`QueueError::Size`], [`QueueError::Unaligned`], [`QueueError::WildAddress`],
    /// [`QueueError::Mem`].
    pub fn check<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<(), QueueError> {
        if !self.features.contains(Features::RING_PACKED) && !self.size.get().is_power_of_two() {
            return Err(QueueError::Size);
        }
        for part in self.parts() {
            if !part.at.offset().is_multiple_of(part.align) {
                return Err(QueueError::Unaligned);
            }
            if !part.at.holds(part.len) {
                return Err(QueueError::WildAddress);
            }
            mem.check(part.at, part.len, part.access)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
