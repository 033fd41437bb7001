//! Owns one descriptor of any layout, copied out of shared memory once; never follows it.

use super::{QueueError, Segment};
use crate::addr::BusAddr;
use crate::mem::{AreaMap, Walked};

/// Bytes of a descriptor in both layouts.
pub(super) const DESC_BYTES: u64 = 16;
/// Flag: another descriptor follows.
pub(super) const NEXT: u16 = 1;
/// Flag: the device writes this buffer.
pub(super) const WRITE: u16 = 2;
/// Flag: the buffer is a table of descriptors.
pub(super) const INDIRECT: u16 = 4;

/// One descriptor. Both layouts begin with le64 address and le32 length; the two le16 words after
/// that are flags and next in split rings (virtio 1.3, 2.7.5), buffer id and flags in packed ones
/// (2.8.13).
#[derive(Clone, Copy, Debug)]
pub(super) struct Desc {
    pub(super) addr: BusAddr,
    pub(super) len: u32,
    pub(super) third: u16,
    pub(super) fourth: u16,
}

impl Desc {
    #[inline]
    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, t0, t1, f0, f1] = bytes;
        Self {
            addr: BusAddr::from_raw(u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            third: u16::from_le_bytes([t0, t1]),
            fourth: u16::from_le_bytes([f0, f1]),
        }
    }

    /// Returns what comes after the address.
    #[inline]
    pub(super) const fn second_half(self) -> [u8; 8] {
        let [l0, l1, l2, l3] = self.len.to_le_bytes();
        let ([t0, t1], [f0, f1]) = (self.third.to_le_bytes(), self.fourth.to_le_bytes());
        [l0, l1, l2, l3, t0, t1, f0, f1]
    }

    /// Copies a descriptor, each byte once.
    #[inline(always)]
    pub(super) fn read<M: AreaMap + ?Sized>(mem: &M, at: BusAddr) -> Result<Self, QueueError> {
        let mut bytes = [0; 16];
        mem.read(at, &mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }

    #[inline]
    pub(super) const fn to_bytes(self) -> [u8; 16] {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = self.addr.get().to_le_bytes();
        let [l0, l1, l2, l3] = self.len.to_le_bytes();
        let ([t0, t1], [f0, f1]) = (self.third.to_le_bytes(), self.fourth.to_le_bytes());
        [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, t0, t1, f0, f1]
    }

    /// Returns the entries of the table that this descriptor names. Whether it may name one is
    /// checked before (virtio 1.3, 2.7.5.3.1 and 2.8.7).
    #[inline]
    pub(super) fn table_entries(self) -> Result<u32, QueueError> {
        if self.len == 0 || !self.len.is_multiple_of(16) {
            return Err(QueueError::Indirect);
        }
        if !self.addr.holds(u64::from(self.len)) {
            return Err(QueueError::WildAddress);
        }
        Ok(self.len / 16)
    }
}

/// Walks the descriptors of a table from `first` on. `visit` says which one comes next, if any.
#[inline(always)]
pub(super) fn walk<M: AreaMap + ?Sized>(
    mem: &M,
    (table, entries, first): (BusAddr, u32, u16),
    mut visit: impl FnMut(Desc) -> Result<Option<u16>, QueueError>,
) -> Result<(), QueueError> {
    let mut result = Ok(());
    let walked = mem.walk_records(table, entries, u32::from(first), |record| {
        match visit(Desc::from_bytes(record)) {
            Ok(next) => next.map(u32::from),
            Err(error) => {
                result = Err(error);
                None
            }
        }
    })?;
    match walked {
        Walked::ToEnd => result,
        Walked::BeyondTable => Err(QueueError::DescriptorIndex),
    }
}

/// Adds to an address inside a part that was checked as a whole.
#[inline]
pub(super) const fn up(base: BusAddr, bytes: u64) -> BusAddr {
    BusAddr::from_raw(base.get().wrapping_add(bytes))
}

/// Returns the segments in ring order, each with its WRITE flag or none.
pub(super) fn in_ring_order<'a>(
    readable: &'a [Segment],
    writable: &'a [Segment],
) -> impl Iterator<Item = (&'a Segment, u16)> {
    readable.iter().map(|s| (s, 0)).chain(writable.iter().map(|s| (s, WRITE)))
}

/// Whether moving an index from `old` to `new` passes the point at which the other side asked to
/// be told (virtio 1.3, 2.7.7.1, 2.7.10 and 2.8.10).
#[inline]
pub(super) const fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
