//! Owns areas that are mapped when a device first touches them, and the translation that does it.
//! Never accepts a grant and never serves a device.

use super::region::AreaRegion;
use super::{area_of, start_of};
use crate::borrow::{Accepted, Borrowed};
use crate::error::{Error, Rule};
use crate::memory::Mapper;
use causeway_abi::{LifeState, Permission};
use causeway_virtio::AreaId;
use core::fmt;
use core::ops::RangeInclusive;
use std::string::ToString;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::vec::Vec;
use vm_memory::iommu::{Error as IommuError, Iommu, Iotlb, IotlbIterator, IovaRange};
use vm_memory::{GuestAddress, GuestMemoryBackend, IommuMemory, Permissions};

/// A grant that could not be bound: it is given back, accepted as it was.
#[derive(Debug)]
pub struct NotBound<'c> {
    /// Why.
    pub error: Error,
    /// The grant.
    pub accepted: Accepted<'c>,
}

/// Where a grant stands.
#[derive(Debug)]
enum State<'c> {
    /// Nobody has touched it yet.
    Accepted(Accepted<'c>),
    /// It is retrieved and mapped.
    Mapped(Borrowed<'c>),
    /// It could not be, and is let go.
    Failed(Error),
}

struct Slot<'c> {
    area: AreaId,
    permission: Permission,
    len_bytes: u64,
    /// What the device sees, once it is mapped. It goes before the mapping does.
    region: OnceLock<AreaRegion<'c>>,
    state: Mutex<Option<State<'c>>>,
}

/// The accepted grants of one link, by area id. A grant is retrieved and mapped when it is touched.
pub struct LazyAreas<'c> {
    mapper: &'c dyn Mapper,
    slots: Vec<Slot<'c>>,
}

/// A link's memory as rust-vmm sees it: bus addresses, translated by retrieving.
pub type LazyMemory<'l, 'c> = IommuMemory<Shown<'l, 'c>, Translation<'l, 'c>>;

impl<'c> LazyAreas<'c> {
    /// No areas.
    #[must_use]
    pub const fn new(mapper: &'c dyn Mapper) -> Self {
        Self { mapper, slots: Vec::new() }
    }

    /// Binds an area id of the link to an accepted grant. Nothing is retrieved.
    ///
    /// # Errors
    /// [`Rule::AreaIdTaken`].
    pub fn bind(&mut self, area: AreaId, accepted: Accepted<'c>) -> Result<(), NotBound<'c>> {
        if self.slot(area).is_some() {
            return Err(NotBound { error: Error::caller(Rule::AreaIdTaken), accepted });
        }
        let summary = accepted.summary();
        self.slots.push(Slot {
            area,
            permission: summary.permission,
            len_bytes: u64::from(summary.page_count).saturating_mul(4096),
            state: Mutex::new(Some(State::Accepted(accepted))),
            region: OnceLock::new(),
        });
        Ok(())
    }

    /// Lets an area go: unmapped and relinquished if it was mapped, and released. No memory made by
    /// [`LazyAreas::memory`] is left then: it borrows this.
    ///
    /// # Errors
    /// [`Rule::AreaIdUnknown`], or what letting go, or mapping it before, met with.
    pub fn unbind(&mut self, area: AreaId) -> Result<LifeState, Error> {
        let at = self.slots.iter().position(|slot| slot.area == area);
        let at = at.ok_or(Error::caller(Rule::AreaIdUnknown))?;
        let slot = self.slots.remove(at);
        match slot.state.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(State::Accepted(accepted)) => accepted.release(),
            Some(State::Mapped(borrowed)) => borrowed.release(),
            Some(State::Failed(error)) => Err(error),
            None => Err(Error::caller(Rule::AreaIdUnknown)),
        }
    }

    /// Returns how many areas are bound, and how many of them are mapped.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let mapped = self.slots.iter().filter(|slot| slot.region.get().is_some());
        (self.slots.len(), mapped.count())
    }

    /// Returns why an area could not be mapped when a device touched it, if that was so.
    #[must_use]
    pub fn failure(&self, area: AreaId) -> Option<Error> {
        match &*self.slot(area)?.lock() {
            Some(State::Failed(error)) => Some(*error),
            Some(State::Accepted(_) | State::Mapped(_)) | None => None,
        }
    }

    /// Shows the link's memory.
    #[must_use]
    pub fn memory(&self) -> LazyMemory<'_, 'c> {
        let translation = Translation { areas: self, cache: RwLock::new(Iotlb::new()) };
        IommuMemory::new(Shown(self), translation, true, ())
    }

    fn slot(&self, area: AreaId) -> Option<&Slot<'c>> {
        self.slots.iter().find(|slot| slot.area == area)
    }
}

impl<'c> Slot<'c> {
    fn lock(&self) -> MutexGuard<'_, Option<State<'c>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Retrieves and maps the grant, if that is not done yet.
    fn mapped(&self, mapper: &'c dyn Mapper) -> Result<(), Error> {
        let mut state = self.lock();
        let next = match state.take() {
            Some(State::Accepted(accepted)) => match accepted.map(mapper) {
                Ok(borrowed) => State::Mapped(borrowed),
                // What could not be mapped is released when this is dropped.
                Err(not_mapped) => State::Failed(not_mapped.error),
            },
            Some(other) => other,
            None => return Err(Error::caller(Rule::AreaIdUnknown)),
        };
        let result = match &next {
            State::Mapped(borrowed) => {
                let window = borrowed.window().ok_or(Error::caller(Rule::Mappable))?;
                self.region.get_or_init(|| AreaRegion::kept(self.area, window));
                Ok(())
            }
            State::Failed(error) => Err(*error),
            State::Accepted(_) => Ok(()),
        };
        *state = Some(next);
        result
    }

    const fn permissions(&self) -> Permissions {
        match self.permission {
            Permission::ReadOnly => Permissions::Read,
            Permission::ReadWrite => Permissions::ReadWrite,
        }
    }
}

impl fmt::Debug for LazyAreas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bound, mapped) = self.counts();
        write!(f, "LazyAreas({bound} bound, {mapped} mapped)")
    }
}

/// The areas that are mapped by now, as rust-vmm's physical memory.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'l, 'c>(&'l LazyAreas<'c>);

impl<'c> GuestMemoryBackend for Shown<'_, 'c> {
    type R = AreaRegion<'c>;

    fn find_region(&self, address: GuestAddress) -> Option<&AreaRegion<'c>> {
        let region = self.0.slot(area_of(address)?)?.region.get()?;
        let inside: RangeInclusive<u64> = first(region)..=last(region);
        inside.contains(&address.0).then_some(region)
    }

    fn iter(&self) -> impl Iterator<Item = &AreaRegion<'c>> {
        self.0.slots.iter().filter_map(|slot| slot.region.get())
    }
}

fn first(region: &AreaRegion<'_>) -> u64 {
    vm_memory::GuestMemoryRegion::start_addr(region).0
}

fn last(region: &AreaRegion<'_>) -> u64 {
    vm_memory::GuestMemoryRegion::last_addr(region).0
}

/// The translation of bus addresses: each to itself, once its area is mapped.
#[derive(Debug)]
pub struct Translation<'l, 'c> {
    areas: &'l LazyAreas<'c>,
    cache: RwLock<Iotlb>,
}

impl Translation<'_, '_> {
    /// Maps the area of an address and remembers it.
    fn resolve(&self, range: &IovaRange) -> Result<(), IommuError> {
        let refused = |reason: &str| IommuError::CannotResolve {
            iova_range: range.clone(),
            reason: reason.to_string(),
        };
        let slot = area_of(range.base).and_then(|area| self.areas.slot(area));
        let slot = slot.ok_or_else(|| refused("no area of the link"))?;
        slot.mapped(self.areas.mapper).map_err(|error| refused(&error.to_string()))?;
        let start = start_of(slot.area);
        let len_bytes = usize::try_from(slot.len_bytes).map_err(|_| refused("too long"))?;
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.set_mapping(start, start, len_bytes, slot.permissions())
    }

    fn look(
        &self,
        iova: GuestAddress,
        length: usize,
        access: Permissions,
    ) -> Result<IotlbIterator<RwLockReadGuard<'_, Iotlb>>, Vec<IovaRange>> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        Iotlb::lookup(cache, iova, length, access)
            .map_err(|fails| fails.misses.into_iter().chain(fails.access_fails).collect())
    }
}

impl<'l> Iommu for Translation<'l, '_> {
    type IotlbGuard<'a>
        = RwLockReadGuard<'a, Iotlb>
    where
        Self: 'a;

    fn translate(
        &self,
        iova: GuestAddress,
        length: usize,
        access: Permissions,
    ) -> Result<IotlbIterator<Self::IotlbGuard<'_>>, IommuError> {
        let cannot = |base, length, reason: &str| IommuError::CannotResolve {
            iova_range: IovaRange { base, length },
            reason: reason.to_string(),
        };
        // A range that wraps cannot be asked for: the cache would add without a check.
        let wraps = u64::try_from(length).ok().and_then(|len| iova.0.checked_add(len)).is_none();
        if wraps {
            return Err(cannot(iova, length, "beyond the address space"));
        }
        let missing = match self.look(iova, length, access) {
            Ok(found) => return Ok(found),
            Err(missing) => missing,
        };
        for range in missing {
            self.resolve(&range)?;
        }
        self.look(iova, length, access).map_err(|missing| {
            let part = missing.into_iter().next();
            let part = part.unwrap_or(IovaRange { base: iova, length });
            cannot(part.base, part.length, "outside the area, or not permitted")
        })
    }
}

#[cfg(test)]
mod tests;
