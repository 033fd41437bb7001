//! Owns how a link's areas look to rust-vmm: as guest memory whose addresses are bus addresses. Never
//! serves a device.
//!
//! A bus address is `area_id << 48 | offset`, so area 7 is a region that begins at `7 << 48`, and each
//! link has one memory map of its own: a ring that a driver laid out with bus addresses is read by
//! rust-vmm's `virtio_queue::Queue` without a change. Two ways lead there:
//!
//! - [`Backend::regions`](crate::backend::Backend::regions) shows the areas that are mapped now as a
//!   [`AreaMemory`]. While it lives, the borrow checker keeps the backend from unmapping any of them.
//! - [`LazyAreas`] maps an area when a device first touches it: its [`LazyAreas::memory`] is a
//!   [`vm_memory::IommuMemory`] whose translation retrieves the grant. Read-only areas are seen there
//!   as what they are.
//!
//! Both are [`vm_memory::GuestMemory`], so that a device written for that trait runs on either.

mod lazy;
mod region;

pub use lazy::{LazyAreas, LazyMemory, NotBound};
pub use region::{AreaMemory, AreaRegion};

use causeway_virtio::AreaId;
use vm_memory::GuestAddress;

/// Returns the first address of an area.
#[must_use]
pub fn start_of(area: AreaId) -> GuestAddress {
    GuestAddress(u64::from(area.get()) << 48)
}

/// Returns the area in which an address lies; `None` for what no area id can name.
#[must_use]
pub fn area_of(address: GuestAddress) -> Option<AreaId> {
    u16::try_from(address.0 >> 48).ok().and_then(AreaId::new)
}
