//! Owns a descriptor chain after it was copied and checked; never reads memory.

use super::QueueError;
use crate::addr::BusAddr;

/// Most bytes of a whole chain (virtio 1.3, 2.7.5.2 and 2.8.13.1: no longer than 2^32 bytes).
pub(super) const MOST_BYTES: u64 = 1 << 32;

/// One buffer of a chain. It fits into its area's address space; whether memory stands behind it
/// shows when it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Segment {
    /// First byte.
    pub addr: BusAddr,
    /// Bytes.
    pub len: u32,
}

/// The right to complete one chain, once. Made by taking the chain.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a chain that is never completed is lost to the driver"]
pub struct Head {
    id: u16,
    /// Ring slots that the chain fills (packed), or 1.
    slots: u16,
    /// Where in the order of chains it was taken: what completing in order goes by.
    position: u16,
}

impl Head {
    #[inline]
    pub(crate) const fn new(id: u16, slots: u16, position: u16) -> Self {
        Self { id, slots, position }
    }

    /// Returns what the driver calls the chain: the index of its first descriptor in split rings,
    /// its buffer id in packed ones.
    #[must_use]
    pub const fn index(&self) -> u16 {
        self.id
    }

    pub(crate) const fn slots(&self) -> u16 {
        self.slots
    }

    pub(crate) const fn position(&self) -> u16 {
        self.position
    }
}

/// Room for a chain of up to `N` buffers, used again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<const N: usize> {
    segments: [Segment; N],
    readable: usize,
    count: usize,
    bytes: u64,
}

impl<const N: usize> Chain<N> {
    /// Makes an empty chain.
    #[must_use]
    pub const fn new() -> Self {
        let none = Segment { addr: BusAddr::from_raw(0), len: 0 };
        Self { segments: [none; N], readable: 0, count: 0, bytes: 0 }
    }

    /// Returns the buffers that the device reads, in order.
    #[must_use]
    #[inline]
    pub fn readable(&self) -> &[Segment] {
        self.segments.get(..self.readable).unwrap_or(&[])
    }

    /// Returns the buffers that the device writes, in order.
    #[must_use]
    #[inline]
    pub fn writable(&self) -> &[Segment] {
        self.segments.get(self.readable..self.count).unwrap_or(&[])
    }

    /// Returns the bytes that the device may read.
    #[must_use]
    pub fn readable_bytes(&self) -> u64 {
        total(self.readable())
    }

    /// Returns the bytes that the device may write.
    #[must_use]
    pub fn writable_bytes(&self) -> u64 {
        total(self.writable())
    }

    #[inline]
    pub(super) const fn clear(&mut self) {
        self.readable = 0;
        self.count = 0;
        self.bytes = 0;
    }

    #[inline]
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Appends a buffer, readable ones first.
    #[inline]
    pub(super) fn push(&mut self, segment: Segment, writable: bool) -> Result<(), QueueError> {
        let place = self.segments.get_mut(self.count).ok_or(QueueError::TooLong)?;
        // At most N lengths of 32 bits: no wrap before the check below.
        let bytes = self.bytes.wrapping_add(u64::from(segment.len));
        if bytes > MOST_BYTES {
            return Err(QueueError::ChainBytes);
        }
        if !writable {
            if self.readable != self.count {
                return Err(QueueError::Order);
            }
            self.readable = self.readable.wrapping_add(1);
        }
        *place = segment;
        self.bytes = bytes;
        self.count = self.count.wrapping_add(1);
        Ok(())
    }
}

impl<const N: usize> Default for Chain<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Sums lengths up; what does not fit 64 bits is as long as can be said.
pub(super) fn total(segments: &[Segment]) -> u64 {
    segments.iter().fold(0, |sum, s| sum.saturating_add(u64::from(s.len)))
}
