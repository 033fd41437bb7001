//! Owns virtqueues on both sides: what is shared between formats, and the choice of the format.
//! Never touches memory but through an [`AreaMap`], never believes the other side.
//!
//! A hostile other side makes a [`QueueError`], which ends that queue and nothing else: every call
//! after it returns [`QueueError::Failed`] until the queue is set up anew. Each descriptor is
//! copied once and checked after the copy; what the other side writes there later is never seen.
//!
//! The split format exists now. The packed one will be a second variant behind the same types
//! ([`DeviceQueue`], [`DriverQueue`]); until then a configuration with
//! [`Features::RING_PACKED`] is refused.

pub mod chain;
pub mod split;

pub use chain::{Chain, Head, Segment};

use crate::addr::BusAddr;
use crate::mem::{Access, AreaMap, MemError};
use crate::types::Features;
use split::{SplitDevice, SplitDriver};

/// Why a queue cannot go on. [`QueueError::Full`] and [`QueueError::Empty`] change nothing and
/// only the driver side sees them; all others are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueError {
    /// An address of a ring, table or buffer is refused by the map.
    Mem(MemError),
    /// A part of the ring is not aligned as virtio 1.3, 2.7 or 2.8 demands.
    Unaligned,
    /// The ring format that the features ask for is not implemented.
    Format,
    /// The queue is larger than the room for its state.
    Size,
    /// An index moved by more than the queue has entries.
    IndexJump,
    /// A head or a `next` lies outside its table.
    DescriptorIndex,
    /// A chain has more descriptors than the queue has entries: a loop, or too long.
    Loop,
    /// A chain has more descriptors than the device takes.
    TooLong,
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
    /// More buffers were completed than taken.
    Completed,
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

/// Entries of a queue: a power of two from 1 to 32768.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueSize(u16);

impl QueueSize {
    /// Accepts a power of two up to 32768.
    #[must_use]
    pub const fn new(entries: u16) -> Option<Self> {
        if entries.is_power_of_two() { Some(Self(entries)) } else { None }
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

    /// Checks alignment and that the map allows the device side what it needs.
    ///
    /// # Errors
    /// [`QueueError::Unaligned`], [`QueueError::WildAddress`], [`QueueError::Mem`].
    pub fn check<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<(), QueueError> {
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

/// The device side of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceQueue {
    /// Split rings.
    Split(SplitDevice),
}

impl DeviceQueue {
    /// Takes up a queue that the driver has set up, from its beginning.
    ///
    /// # Errors
    /// [`QueueError::Format`], or what [`QueueConfig::check`] finds.
    pub fn new<M: AreaMap + ?Sized>(mem: &M, config: QueueConfig) -> Result<Self, QueueError> {
        if config.features.contains(Features::RING_PACKED) {
            return Err(QueueError::Format);
        }
        SplitDevice::new(mem, config).map(Self::Split)
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &QueueConfig {
        match self {
            Self::Split(queue) => queue.config(),
        }
    }

    /// Takes the next chain into `chain`, copying each descriptor once; `None` if there is none.
    ///
    /// # Errors
    /// What the driver broke; final.
    #[inline]
    pub fn take<M: AreaMap + ?Sized, const N: usize>(
        &mut self,
        mem: &M,
        chain: &mut Chain<N>,
    ) -> Result<Option<Head>, QueueError> {
        match self {
            Self::Split(queue) => queue.take(mem, chain),
        }
    }

    /// Returns a chain to the driver, `written` bytes of it filled from its first writable byte.
    ///
    /// # Errors
    /// [`QueueError::Completed`] for more than was taken; [`QueueError::Mem`].
    #[inline]
    pub fn complete<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        head: Head,
        written: u32,
    ) -> Result<(), QueueError> {
        match self {
            Self::Split(queue) => queue.complete(mem, head, written),
        }
    }

    /// Decides whether the driver must be told of what was completed since the last call. Ask
    /// once after a batch.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    #[inline]
    pub fn should_notify<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        match self {
            Self::Split(queue) => queue.should_notify(mem),
        }
    }

    /// Asks the driver for a kick at its next chain. Returns whether one has come already: then
    /// take it before sleeping.
    ///
    /// # Errors
    /// What the driver broke; final.
    pub fn arm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        match self {
            Self::Split(queue) => queue.arm(mem),
        }
    }

    /// Tells the driver that no kick is needed while the device works. A hint.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        match self {
            Self::Split(queue) => queue.disarm(mem),
        }
    }

    /// Returns how many chains were taken and not completed.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        match self {
            Self::Split(queue) => queue.in_flight(),
        }
    }

    /// Ends the queue: every later call fails. For a device that finds a request impossible.
    pub const fn fail(&mut self) {
        match self {
            Self::Split(queue) => queue.fail(),
        }
    }
}

/// Names a chain that the driver side has in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub(crate) u16);

impl Token {
    /// Returns a small number, below the queue's size, that no other chain in flight has.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A chain that came back to the driver side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Used {
    /// Which.
    pub token: Token,
    /// Bytes that the device says it wrote; never more than the chain has room for.
    pub written: u32,
}

/// The driver side of a queue with room for `N` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverQueue<const N: usize> {
    /// Split rings.
    Split(SplitDriver<N>),
}

impl<const N: usize> DriverQueue<N> {
    /// Sets up empty rings in memory.
    ///
    /// # Errors
    /// [`QueueError::Format`], [`QueueError::Size`], or what [`QueueConfig::check`] finds.
    pub fn new<M: AreaMap + ?Sized>(mem: &M, config: QueueConfig) -> Result<Self, QueueError> {
        if config.features.contains(Features::RING_PACKED) {
            return Err(QueueError::Format);
        }
        SplitDriver::new(mem, config).map(Self::Split)
    }

    /// Offers a chain to the device.
    ///
    /// # Errors
    /// [`QueueError::Full`] and [`QueueError::Empty`] change nothing.
    pub fn submit<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        readable: &[Segment],
        writable: &[Segment],
    ) -> Result<Token, QueueError> {
        match self {
            Self::Split(queue) => queue.submit(mem, readable, writable),
        }
    }

    /// Offers a chain whose descriptors lie in `table` (16 bytes each), as one entry of the queue.
    ///
    /// # Errors
    /// [`QueueError::Indirect`] if it was not negotiated; else as [`DriverQueue::submit`].
    pub fn submit_indirect<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        table: BusAddr,
        readable: &[Segment],
        writable: &[Segment],
    ) -> Result<Token, QueueError> {
        match self {
            Self::Split(queue) => queue.submit_indirect(mem, table, readable, writable),
        }
    }

    /// Takes the next chain that the device returned; `None` if there is none.
    ///
    /// # Errors
    /// What the device broke; final.
    pub fn pop_used<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<Option<Used>, QueueError> {
        match self {
            Self::Split(queue) => queue.pop_used(mem),
        }
    }

    /// Decides whether the device must be told of what was offered since the last call. Ask once
    /// after a batch.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn should_kick<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        match self {
            Self::Split(queue) => queue.should_kick(mem),
        }
    }

    /// Asks for an interrupt when `count` more chains are back (1 without the event index).
    /// Returns whether one is back already.
    ///
    /// # Errors
    /// What the device broke; final.
    pub fn arm<M: AreaMap + ?Sized>(&mut self, mem: &M, count: u16) -> Result<bool, QueueError> {
        match self {
            Self::Split(queue) => queue.arm(mem, count),
        }
    }

    /// Tells the device that no interrupt is needed. A hint.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        match self {
            Self::Split(queue) => queue.disarm(mem),
        }
    }

    /// Returns how many chains the device has.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        match self {
            Self::Split(queue) => queue.in_flight(),
        }
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
