//! Owns a descriptor chain after it was copied and checked; never reads memory.

use super::QueueError;
use super::desc::{Desc, WRITE};
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
///
/// One word: the driver's name of the chain (16 bits), the ring slots that it fills (packed; 1 in split
/// rings), and where in the order of chains it was taken, which completing in order goes by.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a chain that is never completed is lost to the driver"]
pub struct Head(u64);

impl Head {
    #[inline]
    pub(crate) fn new(id: u16, slots: u16, position: u16) -> Self {
        Self(u64::from(id) | u64::from(slots) << 16 | u64::from(position) << 32)
    }

    /// Returns what the driver calls the chain: the index of its first descriptor in split rings,
    /// its buffer id in packed ones.
    #[must_use]
    #[inline]
    pub const fn index(&self) -> u16 {
        let [a, b, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    #[inline]
    pub(crate) const fn slots(&self) -> u16 {
        let [_, _, a, b, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    #[inline]
    pub(crate) const fn position(&self) -> u16 {
        let [_, _, _, _, a, b, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([a, b])
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

    /// Returns all buffers, readable ones first.
    #[must_use]
    #[inline]
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or(&[])
    }

    #[inline]
    pub(super) const fn clear(&mut self) {
        self.readable = 0;
        self.count = 0;
    }

    /// Makes room for buffers after those of `done`, so that there are at most `limit`.
    #[inline(always)]
    pub(super) fn fill(&mut self, done: Progress, limit: usize) -> Filling<'_> {
        let most = limit.min(N);
        Filling { places: self.segments.get_mut(..most).unwrap_or(&mut []), limit, done }
    }

    /// Shows the buffers that were put in.
    #[inline]
    pub(super) fn show(&mut self, done: Progress) -> Result<(), QueueError> {
        if done.bytes > MOST_BYTES {
            return Err(QueueError::ChainBytes);
        }
        self.readable = done.count.wrapping_sub(done.writable);
        self.count = done.count;
        Ok(())
    }
}

/// What is known of a chain of which so much was copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    count: usize,
    writable: usize,
    /// At most 2^32 lengths of 32 bits: no wrap.
    bytes: u64,
}

impl Progress {
    pub(super) const NOTHING: Self = Self { count: 0, writable: 0, bytes: 0 };

    pub(super) const fn count(self) -> usize {
        self.count
    }
}

/// A chain that is being copied. Nobody sees it before it is whole.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    places: &'a mut [Segment],
    /// Buffers that the ring or table allows.
    limit: usize,
    done: Progress,
}

impl Filling<'_> {
    /// Checks the buffer that a descriptor names and appends it, readable ones first.
    #[inline(always)]
    pub(super) fn push(&mut self, desc: Desc, flags: u16) -> Result<(), QueueError> {
        let Some(place) = self.places.get_mut(self.done.count) else { return Err(self.short()) };
        if !desc.addr.holds_buffer(desc.len) {
            return Err(QueueError::WildAddress);
        }
        if flags & WRITE != 0 {
            self.done.writable = self.done.writable.wrapping_add(1);
        } else if self.done.writable != 0 {
            return Err(QueueError::Order);
        }
        self.done.bytes = self.done.bytes.wrapping_add(u64::from(desc.len));
        *place = Segment { addr: desc.addr, len: desc.len };
        self.done.count = self.done.count.wrapping_add(1);
        Ok(())
    }

    /// Says what it means if there is no place for one more.
    #[cold]
    const fn short(&self) -> QueueError {
        if self.limit == self.places.len() { QueueError::Loop } else { QueueError::TooLong }
    }

    /// Ends the copying.
    #[inline(always)]
    pub(super) const fn done(self) -> Progress {
        self.done
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
