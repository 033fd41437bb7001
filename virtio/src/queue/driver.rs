//! Owns the driver side of a virtqueue as a driver sees it: whatever the layout.

use super::packed::PackedDriver;
use super::split::SplitDriver;
use super::{QueueConfig, QueueError, Segment};
use crate::addr::BusAddr;
use crate::mem::AreaMap;
use crate::types::Features;

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
    /// A packed ring.
    Packed(PackedDriver<N>),
}

impl<const N: usize> DriverQueue<N> {
    /// Sets up empty rings in memory.
    ///
    /// # Errors
    /// [`QueueError::Size`], or what [`QueueConfig::check`] finds.
    pub fn new<M: AreaMap + ?Sized>(mem: &M, config: QueueConfig) -> Result<Self, QueueError> {
        if config.features.contains(Features::RING_PACKED) {
            PackedDriver::new(mem, config).map(Self::Packed)
        } else {
            SplitDriver::new(mem, config).map(Self::Split)
        }
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &QueueConfig {
        match self {
            Self::Split(queue) => queue.config(),
            Self::Packed(queue) => queue.config(),
        }
    }

    /// Begins anew with empty rings, an error included, and forgets what was in flight. Only once
    /// the device has said that it has reset the queue: until then it may still use the buffers.
    ///
    /// # Errors
    /// What [`QueueConfig::check`] finds; the queue is then as it was.
    pub fn reset<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        *self = Self::new(mem, *self.config())?;
        Ok(())
    }

    /// Offers a chain to the device.
    ///
    /// # Errors
    /// What is wrong with the chain, or [`QueueError::Full`]: nothing changed. [`QueueError::Mem`]
    /// is final.
    pub fn submit<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        readable: &[Segment],
        writable: &[Segment],
    ) -> Result<Token, QueueError> {
        match self {
            Self::Split(queue) => queue.submit(mem, readable, writable),
            Self::Packed(queue) => queue.submit(mem, readable, writable),
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
            Self::Packed(queue) => queue.submit_indirect(mem, table, readable, writable),
        }
    }

    /// Takes the next chain that the device returned; `None` if there is none.
    ///
    /// # Errors
    /// What the device broke; final.
    pub fn pop_used<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<Option<Used>, QueueError> {
        match self {
            Self::Split(queue) => queue.pop_used(mem),
            Self::Packed(queue) => queue.pop_used(mem),
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
            Self::Packed(queue) => queue.should_kick(mem),
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
            Self::Packed(queue) => queue.arm(mem, count),
        }
    }

    /// Tells the device that no interrupt is needed. A hint.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        match self {
            Self::Split(queue) => queue.disarm(mem),
            Self::Packed(queue) => queue.disarm(mem),
        }
    }

    /// Returns how many chains the device has.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        match self {
            Self::Split(queue) => queue.in_flight(),
            Self::Packed(queue) => queue.in_flight(),
        }
    }

    /// Ends the queue: every later call fails. For a driver that finds an answer impossible.
    pub const fn fail(&mut self) {
        match self {
            Self::Split(queue) => queue.fail(),
            Self::Packed(queue) => queue.fail(),
        }
    }
}
