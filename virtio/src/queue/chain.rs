//! Owns a descriptor chain after it was copied and checked; never reads memory.

use super::QueueError;
use crate::addr::BusAddr;

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
pub struct Head(u16);

impl Head {
    pub(crate) const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Returns the index of the chain's first descriptor.
    #[must_use]
    pub const fn index(&self) -> u16 {
        self.0
    }
}

/// Room for a chain of up to `N` buffers, used again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<const N: usize> {
    segments: [Segment; N],
    readable: usize,
    count: usize,
}

impl<const N: usize> Chain<N> {
    /// Makes an empty chain.
    #[must_use]
    pub const fn new() -> Self {
        let none = Segment { addr: BusAddr::from_raw(0), len: 0 };
        Self { segments: [none; N], readable: 0, count: 0 }
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
    pub(crate) const fn clear(&mut self) {
        self.readable = 0;
        self.count = 0;
    }

    #[inline]
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Appends a buffer, readable ones first.
    #[inline]
    pub(crate) fn push(&mut self, segment: Segment, writable: bool) -> Result<(), QueueError> {
        let place = self.segments.get_mut(self.count).ok_or(QueueError::TooLong)?;
        if !writable {
            if self.readable != self.count {
                return Err(QueueError::Order);
            }
            self.readable = self.readable.wrapping_add(1);
        }
        *place = segment;
        self.count = self.count.wrapping_add(1);
        Ok(())
    }
}

impl<const N: usize> Default for Chain<N> {
    fn default() -> Self {
        Self::new()
    }
}

fn total(segments: &[Segment]) -> u64 {
    segments.iter().fold(0, |sum, s| sum.saturating_add(u64::from(s.len)))
}
