//! Owns what every driver side checks before it offers a chain, and the memory of what is in flight.
//! Never touches shared memory.

use super::chain::{MOST_BYTES, total};
use super::{QueueError, Segment, Token};

/// What the driver side knows of one descriptor (split) or buffer id (packed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The next one of its chain, or of the free list.
    pub(super) next: u16,
    /// Ring entries that the chain of this name fills; 0 if none in flight has the name.
    pub(super) len: u16,
    /// Bytes that the device may write to that chain.
    pub(super) room: u32,
}

impl Entry {
    pub(super) const NONE: Self = Self { next: 0, len: 0, room: 0 };

    /// Makes a free list of the first `size` entries that goes round in their order.
    pub(super) fn ring<const N: usize>(size: u16) -> [Self; N] {
        let mut entries = [Self::NONE; N];
        for (entry, next) in entries.iter_mut().zip((1..size).chain([0])) {
            entry.next = next;
        }
        entries
    }
}

/// A chain that was looked over before it is offered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Its descriptors.
    pub(super) count: u16,
    /// Bytes that the device may write.
    pub(super) room: u32,
}

impl Offer {
    /// Checks what can be refused without harm.
    pub(super) fn new(
        readable: &[Segment],
        writable: &[Segment],
        most: u16,
    ) -> Result<Self, QueueError> {
        let count = readable.len().saturating_add(writable.len());
        let count = u16::try_from(count).ok().filter(|count| *count <= most);
        let count = count.ok_or(QueueError::TooLong)?;
        if count == 0 {
            return Err(QueueError::Empty);
        }
        let fits = |s: &Segment| s.addr.holds(u64::from(s.len));
        if !readable.iter().chain(writable).all(fits) {
            return Err(QueueError::WildAddress);
        }
        let writable_bytes = total(writable);
        if total(readable).saturating_add(writable_bytes) > MOST_BYTES {
            return Err(QueueError::ChainBytes);
        }
        // 2^32 itself is more than a used length can say.
        Ok(Self { count, room: u32::try_from(writable_bytes).unwrap_or(u32::MAX) })
    }
}

/// With IN_ORDER one used entry may stand for several chains: the last of them and what the device
/// says of it. Those before it count as filled wholly (virtio 1.3, 2.7.9 and 2.8.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) last: Token,
    pub(super) written: u32,
}
