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
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # use causeway_abi::{GrantKind, GrantTerms, Permission};
//! # use causeway_client::backend::{Backend, Verdict};
//! # use causeway_client::{Error, grant::Grant};
//! # use causeway_virtio::msg::{AreaAttrs, AreaShare};
//! # two_vms!(platform, one, two, owner, peer);
//! # let mapper = world::Memory::of(&platform);
//! # let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
//! # let terms = GrantTerms { peer: Some(peer.id()), kind, permission };
//! # let (first, second) = (Grant::offer(&owner, one.pages(1), terms).unwrap(), Grant::offer(&owner, one.pages(1), terms).unwrap());
//! use causeway_client::borrow::Offer;
//! use causeway_client::vmm::{
//!     AreaMemory, AreaRegion, LazyAreas, LazyMemory, NotBound, Shown, Translation, area_of, start_of,
//! };
//! use causeway_virtio::AreaId;
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, IommuMemory};
//!
//! let area = AreaId::new(7).unwrap();
//! assert_eq!((start_of(area), area_of(GuestAddress(7 << 48 | 5))), (GuestAddress(7 << 48), Some(area)));
//!
//! // Areas that are mapped when they are touched.
//! let mut lazy = LazyAreas::new(&mapper);
//! let accepted = Offer::inspect(&peer, first.handle())?.accept()?;
//! lazy.bind(area, accepted).map_err(|NotBound { error, accepted: _ }| error)?;
//! assert_eq!(lazy.counts(), (1, 0));
//! {
//!     let memory: LazyMemory<'_, '_> = lazy.memory();
//!     let memory: IommuMemory<Shown<'_, '_>, Translation<'_, '_>> = memory;
//!     memory.write_slice(b"hello", GuestAddress(7 << 48)).unwrap();
//!     assert!(memory.write_slice(b"hello", GuestAddress(8 << 48)).is_err());
//! }
//! assert_eq!((lazy.counts(), lazy.failure(area)), ((1, 1), None));
//! lazy.unbind(area)?;
//!
//! // Or what a backend has mapped already.
//! let mut areas: Backend<'_, 4> = Backend::new(&peer, &mapper);
//! areas.admit(|_| Verdict::Accept)?;
//! # let attrs = AreaAttrs::SHARED_READ_WRITE;
//! # areas.bind(owner.id(), &AreaShare { area, handle: second.handle(), tag: 0, page_count: 1, attrs });
//! let memory: AreaMemory<'_> = areas.regions(owner.id());
//! let region: Option<&AreaRegion<'_>> = memory.iter().next();
//! assert!(region.is_some());
//! memory.write_slice(b"hello", GuestAddress(7 << 48)).unwrap();
//! # Ok::<(), Error>(())
//! ```

mod lazy;
mod region;

pub use lazy::{LazyAreas, LazyMemory, NotBound, Shown, Translation};
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
