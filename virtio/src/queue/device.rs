//! Owns the device side of a virtqueue as a device sees it: whatever the layout.

use super::packed::PackedDevice;
use super::split::SplitDevice;
use super::{Chain, Head, QueueConfig, QueueError};
use crate::mem::AreaMap;
use crate::types::Features;

/// The device side of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceQueue {
    /// Split rings.
    Split(SplitDevice),
    /// A packed ring.
    Packed(PackedDevice),
}

impl DeviceQueue {
    /// Takes up a queue that the driver has set up, from its beginning.
    ///
    /// # Errors
    /// What [`QueueConfig::check`] finds.
    pub fn new<M: AreaMap + ?Sized>(mem: &M, config: QueueConfig) -> Result<Self, QueueError> {
        if config.features.contains(Features::RING_PACKED) {
            PackedDevice::new(mem, config).map(Self::Packed)
        } else {
            SplitDevice::new(mem, config).map(Self::Split)
        }
    }

    /// Begins anew after a queue reset, an error included. No [`Head`] from before may be
    /// completed after it.
    ///
    /// # Errors
    /// What [`QueueConfig::check`] finds; the queue is then as it was.
    pub fn reset<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        *self = Self::new(mem, *self.config())?;
        Ok(())
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &QueueConfig {
        match self {
            Self::Split(queue) => queue.config(),
            Self::Packed(queue) => queue.config(),
        }
    }

    /// Takes the next chain into `chain`, copying each descriptor once; `None` if there is none.
    ///
    /// # Errors
    /// What the driver broke; final.
    #[inline(always)]
    pub fn take<M: AreaMap + ?Sized, const N: usize>(
        &mut self,
        mem: &M,
        chain: &mut Chain<N>,
    ) -> Result<Option<Head>, QueueError> {
        match self {
            Self::Split(queue) => queue.take(mem, chain),
            Self::Packed(queue) => queue.take(mem, chain),
        }
    }

    /// Returns a chain to the driver, `written` bytes of it filled from its first writable byte. With
    /// IN_ORDER in the order in which chains were taken, else in any.
    ///
    /// # Errors
    /// [`QueueError::Completed`] for more than was taken; [`QueueError::OutOfOrder`];
    /// [`QueueError::Mem`]. Final.
    #[inline(always)]
    pub fn complete<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        head: Head,
        written: u32,
    ) -> Result<(), QueueError> {
        match self {
            Self::Split(queue) => queue.complete(mem, head, written),
            Self::Packed(queue) => queue.complete(mem, head, written),
        }
    }

    /// Decides whether the driver must be told of what was completed since the last call. Ask
    /// once after a batch.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    #[inline(always)]
    pub fn should_notify<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        match self {
            Self::Split(queue) => queue.should_notify(mem),
            Self::Packed(queue) => queue.should_notify(mem),
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
            Self::Packed(queue) => queue.arm(mem),
        }
    }

    /// Tells the driver that no kick is needed while the device works. A hint.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        match self {
            Self::Split(queue) => queue.disarm(mem),
            Self::Packed(queue) => queue.disarm(mem),
        }
    }

    /// Returns how many chains were taken and not completed.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        match self {
            Self::Split(queue) => queue.in_flight(),
            Self::Packed(queue) => queue.in_flight(),
        }
    }

    /// Ends the queue: every later call fails. For a device that finds a request impossible.
    pub const fn fail(&mut self) {
        match self {
            Self::Split(queue) => queue.fail(),
            Self::Packed(queue) => queue.fail(),
        }
    }
}
