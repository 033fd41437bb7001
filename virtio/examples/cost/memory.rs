//! Owns the memory under the measured queues: rust-vmm's, reached in two ways. Never measures.

use causeway_virtio::mem::Walked;
use causeway_virtio::{Access, AreaMap, BusAddr, MemError};
use std::sync::atomic::Ordering;
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileMemory, VolatileSlice,
};

fn outside<E>(_: E) -> MemError {
    MemError::Outside
}

/// The areas of one link by id, as a backend holds them: checked and resolved once, when they were
/// shared. Each access finds its area, checks bounds and permission, and copies with rust-vmm's
/// volatile accesses. An area that is not there has no byte, one that is read-only none to write.
pub(crate) struct Link<'a> {
    readable: [VolatileSlice<'a, ()>; 8],
    writable: [VolatileSlice<'a, ()>; 8],
}

impl<'a> Link<'a> {
    /// Every region of `memory` is an area that begins at its bus address.
    pub(crate) fn new(memory: &'a GuestMemoryMmap) -> Self {
        let area = |id: u64| {
            let mut slices = memory.get_slices(GuestAddress(id << 48), super::table::AREA_BYTES);
            slices.next().expect("a region").expect("mapped")
        };
        let none = area(1).subslice(0, 0).expect("nothing");
        let areas = [none, area(1), area(2), area(3), area(4), none, none, none];
        Self { readable: areas, writable: areas }
    }

    #[inline]
    fn find<'s>(
        areas: &'s [VolatileSlice<'a, ()>; 8],
        at: BusAddr,
    ) -> Result<(&'s VolatileSlice<'a, ()>, usize), MemError> {
        let id = usize::try_from(at.get() >> 48).map_err(outside)?;
        let area = areas.get(id).ok_or(MemError::Outside)?;
        Ok((area, usize::try_from(at.offset()).map_err(outside)?))
    }

    #[inline]
    fn to_read(&self, at: BusAddr) -> Result<(&VolatileSlice<'a, ()>, usize), MemError> {
        Self::find(&self.readable, at)
    }

    #[inline]
    fn to_write(&self, at: BusAddr) -> Result<(&VolatileSlice<'a, ()>, usize), MemError> {
        Self::find(&self.writable, at)
    }
}

impl AreaMap for Link<'_> {
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError> {
        let (bytes, offset) = match access {
            Access::Read => self.to_read(at)?,
            Access::Write => self.to_write(at)?,
        };
        let end = offset.checked_add(usize::try_from(len).map_err(outside)?);
        if end.is_some_and(|end| end <= bytes.len()) { Ok(()) } else { Err(MemError::Outside) }
    }

    #[inline]
    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        let (bytes, offset) = self.to_read(at)?;
        // The sizes that rings have are one or two plain loads; anything else is a loop.
        if let Ok(desc) = <&mut [u8; 16]>::try_from(&mut *into) {
            *desc = bytes.get_ref::<u128>(offset).map_err(outside)?.load().to_ne_bytes();
        } else if let Ok(element) = <&mut [u8; 8]>::try_from(&mut *into) {
            *element = bytes.get_ref::<u64>(offset).map_err(outside)?.load().to_ne_bytes();
        } else {
            bytes.read_slice(into, offset).map_err(outside)?;
        }
        Ok(())
    }

    #[inline]
    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        let (bytes, offset) = self.to_write(at)?;
        if let Ok(desc) = <&[u8; 16]>::try_from(from) {
            bytes.get_ref::<u128>(offset).map_err(outside)?.store(u128::from_ne_bytes(*desc));
        } else if let Ok(element) = <&[u8; 8]>::try_from(from) {
            bytes.get_ref::<u64>(offset).map_err(outside)?.store(u64::from_ne_bytes(*element));
        } else {
            bytes.write_slice(from, offset).map_err(outside)?;
        }
        Ok(())
    }

    #[inline(always)]
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
        let (bytes, offset) = self.to_read(table)?;
        let len = usize::try_from(entries).map_err(outside)?.saturating_mul(16);
        let records = bytes.subslice(offset, len).map_err(outside)?;
        let mut next = Some(first);
        while let Some(index) = next {
            let at = usize::try_from(index).map_err(outside)?.saturating_mul(16);
            let Ok(record) = records.get_ref::<u128>(at) else { return Ok(Walked::BeyondTable) };
            next = visit(record.load().to_ne_bytes());
        }
        Ok(Walked::ToEnd)
    }

    #[inline]
    fn store_handover(&self, at: BusAddr, from: [u8; 8]) -> Result<(), MemError> {
        let (bytes, offset) = self.to_write(at)?;
        bytes.store(u64::from_ne_bytes(from), offset, Ordering::Release).map_err(outside)
    }

    #[inline]
    fn read_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let (bytes, offset) = self.to_read(at)?;
        bytes.load(offset, Ordering::Relaxed).map(u16::from_le).map_err(outside)
    }

    #[inline]
    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let (bytes, offset) = self.to_read(at)?;
        bytes.load(offset, Ordering::Acquire).map(u16::from_le).map_err(outside)
    }

    #[inline]
    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        let (bytes, offset) = self.to_write(at)?;
        bytes.store(value.to_le(), offset, Ordering::Release).map_err(outside)
    }
}

/// rust-vmm's `GuestMemory` as a map: every access searches the regions, as rust-vmm's own queue does.
pub(crate) struct Guest<'a>(pub(crate) &'a GuestMemoryMmap);

fn guest(at: BusAddr) -> GuestAddress {
    GuestAddress(at.get())
}

impl AreaMap for Guest<'_> {
    fn check(&self, at: BusAddr, len: u64, _access: Access) -> Result<(), MemError> {
        let len = usize::try_from(len).map_err(outside)?;
        let inside = GuestMemoryBackend::check_range(self.0, guest(at), len);
        if inside { Ok(()) } else { Err(MemError::Outside) }
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        self.0.read_slice(into, guest(at)).map_err(outside)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        self.0.write_slice(from, guest(at)).map_err(outside)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let raw = self.0.load(guest(at), Ordering::Acquire).map_err(outside)?;
        Ok(u16::from_le(raw))
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.0.store(value.to_le(), guest(at), Ordering::Release).map_err(outside)
    }
}
