//! Owns one mapped area as a region of rust-vmm's guest memory. Never maps and never unmaps.
#![expect(unsafe_code, reason = "vm-memory is handed raw memory, as rust-vmm's own regions do")]

use super::start_of;
use crate::backend::Backend;
use crate::memory::Window;
use causeway_ffa::EndpointId;
use causeway_virtio::AreaId;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::vec::Vec;
use vm_memory::guest_memory::Result;
use vm_memory::{
    GuestAddress, GuestMemoryError, GuestMemoryRegion, GuestMemoryRegionBytes,
    GuestRegionCollection, GuestUsize, MemoryRegionAddress, VolatileSlice,
};

/// The areas of one link that are mapped now, read-write.
pub type AreaMemory<'m> = GuestRegionCollection<AreaRegion<'m>>;

/// A mapped area of a link, beginning at `area_id << 48`.
///
/// The region has no permissions of its own: it is made of a writable area, or seen through a
/// translation that has them.
#[derive(Debug)]
pub struct AreaRegion<'m> {
    start: GuestAddress,
    base: NonNull<u8>,
    len_bytes: usize,
    _mapped: PhantomData<&'m Window>,
}

// SAFETY: the region is an address and a length; moving it moves nothing that belongs to a thread.
unsafe impl Send for AreaRegion<'_> {}
// SAFETY: the memory is reached through `VolatileSlice` alone, whose accesses are volatile or atomic
// and make no reference; rust-vmm shares its own regions between threads on the same ground. Whoever
// is on the other side of the area writes it at the same time anyhow.
unsafe impl Sync for AreaRegion<'_> {}

impl<const AREAS: usize> Backend<'_, AREAS> {
    /// Shows the writable areas of one driver as rust-vmm's guest memory. Areas that it may only read
    /// are not in it: vm-memory's regions have no permissions ([`super::LazyAreas`] has).
    #[must_use]
    pub fn regions(&self, driver: EndpointId) -> AreaMemory<'_> {
        let mut shown: Vec<_> = self.writable(driver).collect();
        shown.sort_by_key(|(area, _)| area.get());
        let regions = shown.into_iter().map(|(area, window)| AreaRegion::new(area, window));
        // No regions, or two under one id, which `bind` does not let happen: nothing is shown.
        GuestRegionCollection::from_regions(regions.collect()).unwrap_or_default()
    }
}

impl<'m> AreaRegion<'m> {
    /// Shows a window; as long as it is borrowed it stays mapped.
    fn new(area: AreaId, window: &'m Window) -> Self {
        let (base, len_bytes) = (window.pointer(), window.len_bytes());
        Self { start: start_of(area), base, len_bytes, _mapped: PhantomData }
    }

    /// Shows a window that its holder keeps mapped as long as the region is there.
    pub(super) fn kept(area: AreaId, window: &Window) -> Self {
        let (base, len_bytes) = (window.pointer(), window.len_bytes());
        Self { start: start_of(area), base, len_bytes, _mapped: PhantomData }
    }
}

impl GuestMemoryRegion for AreaRegion<'_> {
    type B = ();

    fn len(&self) -> GuestUsize {
        u64::try_from(self.len_bytes).unwrap_or(0)
    }

    fn start_addr(&self) -> GuestAddress {
        self.start
    }

    fn bitmap(&self) {}

    fn get_host_address(&self, at: MemoryRegionAddress) -> Result<*mut u8> {
        let offset = self.check_address(at).and_then(|at| usize::try_from(at.0).ok());
        let offset = offset.ok_or(GuestMemoryError::InvalidBackendAddress)?;
        Ok(self.base.as_ptr().wrapping_add(offset))
    }

    fn get_slice(&self, at: MemoryRegionAddress, count: usize) -> Result<VolatileSlice<'_>> {
        let offset = usize::try_from(at.0).map_err(|_| GuestMemoryError::InvalidBackendAddress)?;
        let end = offset.checked_add(count).filter(|end| *end <= self.len_bytes);
        end.ok_or(GuestMemoryError::InvalidBackendAddress)?;
        let pointer = self.base.as_ptr().wrapping_add(offset);
        // SAFETY: `offset..offset + count` lies inside the window, whose bytes are mapped
        // (`Window::new` 1) as long as the window is borrowed or kept, which `self` outlives neither,
        // and no Rust reference to them exists (`Window::new` 2). They are writable, too, or the
        // region is reached by a translation that lets nobody ask for writing.
        Ok(unsafe { VolatileSlice::new(pointer, count) })
    }
}

impl GuestMemoryRegionBytes for AreaRegion<'_> {}
