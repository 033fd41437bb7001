//! Owns how queues and devices see memory: copies in and out at bus addresses; never a reference.
//!
//! What a user of this crate supplies is an [`AreaMap`]. [`WordArea`] is one for tests:
//!
//! ```
//! use causeway_virtio::mem::{Access, AreaMap, MemError, Walked, WordArea};
//! use causeway_virtio::{AreaId, BusAddr};
//! use core::sync::atomic::AtomicU16;
//!
//! let words: Vec<AtomicU16> = (0..32).map(|_| AtomicU16::new(0)).collect();
//! let id = AreaId::new(1).unwrap();
//! let area = WordArea::new(id, &words);
//! let at = BusAddr::new(id, 16).unwrap();
//! area.write_u64(at, 5)?;
//! assert_eq!(area.read_u64(at), Ok(5));
//! assert_eq!(area.read_only().check(at, 8, Access::Write), Err(MemError::Permission));
//! assert_eq!(area.check(at, 49, Access::Read), Err(MemError::Outside));
//!
//! // Three records of 16 bytes: the second one, then one that the table does not have.
//! let mut seen = Vec::new();
//! let walked = area.walk_records(BusAddr::new(id, 0).unwrap(), 3, 1, |record| {
//!     seen.push(record[0]);
//!     Some(3)
//! });
//! assert_eq!((walked, seen), (Ok(Walked::BeyondTable), vec![5]));
//! # Ok::<(), MemError>(())
//! ```

use crate::addr::BusAddr;
use core::sync::atomic::{Ordering, fence};

mod words;

pub use words::WordArea;

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read.
    Read,
    /// Write.
    Write,
}

/// Why an access is refused. It is always the fault of whoever supplied the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemError {
    /// Part of the range lies in no mapped area, or beyond the area's end.
    Outside,
    /// The area does not allow this access.
    Permission,
    /// A ring index does not lie at an even address.
    Unaligned,
}

/// How a walk through a table ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walked {
    /// Where the visitor ended it.
    ToEnd,
    /// At a record that the table does not have: it was not read.
    BeyondTable,
}

/// The areas of one link: the only way in which this crate touches shared memory.
///
/// The other side may change any byte at any time, so an implementor copies with volatile or
/// atomic accesses and never hands out references. All methods take `&self`, because writing to
/// shared memory changes nothing that Rust owns. A range is allowed as a whole or not at all: a
/// refused `write` has written nothing.
///
/// The queues order their accesses by these methods alone, so a map of another kind of atomics shows
/// whether the order holds: tests/loom.rs runs both sides on loom's, and leaves each one out in turn.
pub trait AreaMap {
    /// Reports whether all of `[at, at + len)` is mapped and allows `access`.
    ///
    /// # Errors
    /// The rule that is broken.
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError>;

    /// Copies bytes out of the area. Each byte is read once.
    ///
    /// # Errors
    /// The rule that is broken; `into` is then unspecified.
    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError>;

    /// Copies bytes into the area. Each byte is written once.
    ///
    /// # Errors
    /// The rule that is broken; nothing was written.
    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError>;

    /// Reads a little-endian ring index; what the other side wrote before it is seen after it.
    ///
    /// # Errors
    /// The rule that is broken; [`MemError::Unaligned`] for an odd address.
    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError>;

    /// Writes a little-endian ring index; what was written before it is seen with it.
    ///
    /// # Errors
    /// The rule that is broken; [`MemError::Unaligned`] for an odd address.
    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError>;

    /// Writes eight bytes, at a multiple of eight, of which the last two hand the other six over: whoever
    /// sees those two sees the six, and everything that was written before.
    ///
    /// Provided, by two accesses. An implementor whose words of eight bytes are written whole does it by one.
    ///
    /// # Errors
    /// As [`AreaMap::write`]; [`MemError::Unaligned`] for an odd address.
    #[inline]
    fn store_handover(&self, at: BusAddr, bytes: [u8; 8]) -> Result<(), MemError> {
        let last = at.checked_add(6).ok_or(MemError::Outside)?;
        let [rest @ .., h0, h1] = &bytes;
        self.write(at, rest)?;
        self.store_release_u16(last, u16::from_le_bytes([*h0, *h1]))
    }

    /// Orders earlier stores before later loads (virtio 1.3, 2.7.13.4.1: between the index and
    /// the other side's notification suppression).
    #[inline]
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }

    /// Copies records of 16 bytes out of the table of `entries` records at `table`: record `first`, then
    /// whichever `visit` names, until it names none. Each is read once per visit.
    ///
    /// Provided, with a lookup for each record. An implementor whose lookup costs something does it
    /// once.
    ///
    /// # Errors
    /// The rule that is broken by the table as a whole.
    #[inline]
    fn walk_records<V>(
        &self,
        table: BusAddr,
        entries: u32,
        first: u32,
        mut visit: V,
    ) -> Result<Walked, MemError>
    where
        V: FnMut([u8; 16]) -> Option<u32>,
    {
        self.check(table, u64::from(entries).saturating_mul(16), Access::Read)?;
        let mut next = Some(first);
        while let Some(index) = next {
            if index >= entries {
                return Ok(Walked::BeyondTable);
            }
            let mut record = [0; 16];
            let offset = u64::from(index).saturating_mul(16);
            self.read(table.checked_add(offset).ok_or(MemError::Outside)?, &mut record)?;
            next = visit(record);
        }
        Ok(Walked::ToEnd)
    }

    /// Reads a little-endian 16-bit value. At an even address it is one access, so that it is never
    /// half of an old value and half of a new one; no ordering is asked for.
    ///
    /// # Errors
    /// As [`AreaMap::read`].
    #[inline]
    fn read_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        if at.offset().is_multiple_of(2) {
            return self.load_acquire_u16(at);
        }
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Reads a little-endian 32-bit value without ordering.
    ///
    /// # Errors
    /// As [`AreaMap::read`].
    #[inline]
    fn read_u32(&self, at: BusAddr) -> Result<u32, MemError> {
        let mut bytes = [0; 4];
        self.read(at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a little-endian 64-bit value without ordering.
    ///
    /// # Errors
    /// As [`AreaMap::read`].
    #[inline]
    fn read_u64(&self, at: BusAddr) -> Result<u64, MemError> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a little-endian 16-bit value. At an even address it is one access, so that nobody sees
    /// half of it; no ordering is asked for.
    ///
    /// # Errors
    /// As [`AreaMap::write`].
    #[inline]
    fn write_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        if at.offset().is_multiple_of(2) {
            return self.store_release_u16(at, value);
        }
        self.write(at, &value.to_le_bytes())
    }

    /// Writes a little-endian 32-bit value without ordering.
    ///
    /// # Errors
    /// As [`AreaMap::write`].
    #[inline]
    fn write_u32(&self, at: BusAddr, value: u32) -> Result<(), MemError> {
        self.write(at, &value.to_le_bytes())
    }

    /// Writes a little-endian 64-bit value without ordering.
    ///
    /// # Errors
    /// As [`AreaMap::write`].
    #[inline]
    fn write_u64(&self, at: BusAddr, value: u64) -> Result<(), MemError> {
        self.write(at, &value.to_le_bytes())
    }
}

impl<M: AreaMap + ?Sized> AreaMap for &M {
    #[inline]
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError> {
        (**self).check(at, len, access)
    }

    #[inline]
    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        (**self).read(at, into)
    }

    #[inline]
    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        (**self).write(at, from)
    }

    #[inline]
    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        (**self).load_acquire_u16(at)
    }

    #[inline]
    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        (**self).store_release_u16(at, value)
    }

    #[inline]
    fn store_handover(&self, at: BusAddr, bytes: [u8; 8]) -> Result<(), MemError> {
        (**self).store_handover(at, bytes)
    }

    #[inline]
    fn full_fence(&self) {
        (**self).full_fence();
    }

    #[inline]
    fn walk_records<V>(
        &self,
        table: BusAddr,
        entries: u32,
        first: u32,
        visit: V,
    ) -> Result<Walked, MemError>
    where
        V: FnMut([u8; 16]) -> Option<u32>,
    {
        (**self).walk_records(table, entries, first, visit)
    }

    #[inline]
    fn read_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        (**self).read_u16(at)
    }

    #[inline]
    fn read_u32(&self, at: BusAddr) -> Result<u32, MemError> {
        (**self).read_u32(at)
    }

    #[inline]
    fn read_u64(&self, at: BusAddr) -> Result<u64, MemError> {
        (**self).read_u64(at)
    }

    #[inline]
    fn write_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        (**self).write_u16(at, value)
    }

    #[inline]
    fn write_u32(&self, at: BusAddr, value: u32) -> Result<(), MemError> {
        (**self).write_u32(at, value)
    }

    #[inline]
    fn write_u64(&self, at: BusAddr, value: u64) -> Result<(), MemError> {
        (**self).write_u64(at, value)
    }
}
