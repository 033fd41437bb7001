//! Owns the device side's memory: which grants it holds and which area of which driver each is.
//! Never serves a device and never accepts what its policy does not.
//!
//! A backend VM serves several drivers. Each driver numbers its areas by itself, so the table is
//! keyed by (driver, area id), and [`LinkMemory`] shows one driver's areas to a device.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # use causeway_abi::{GrantKind, GrantTerms, Permission};
//! # use causeway_client::{Error, grant::Grant};
//! # two_vms!(platform, one, two, owner, peer);
//! # let mapper = world::Memory::of(&platform);
//! # let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
//! # let terms = GrantTerms { peer: Some(peer.id()), kind, permission };
//! # let offers: Vec<_> = (0..3).map(|_| Grant::offer(&owner, one.pages(1), terms).unwrap()).collect();
//! # let driver = owner.id();
//! use causeway_client::backend::{Admitted, Backend, LinkMemory, Verdict};
//! use causeway_client::bus::Incoming;
//! use causeway_virtio::msg::{AreaAttrs, AreaShare, Body, BusRequest, BusResult, Message};
//! use causeway_virtio::{AreaId, AreaMap, BusAddr};
//!
//! // Three grants of one page each wait; the first two are taken up.
//! let mut areas: Backend<'_, 4> = Backend::new(&peer, &mapper);
//! let mut room = 2;
//! let Admitted { accepted, rejected, .. } = areas.admit(|seen| {
//!     room -= 1;
//!     if seen.owner == driver && room >= 0 { Verdict::Accept } else { Verdict::Reject }
//! })?;
//! assert_eq!((accepted, rejected, areas.held()), (2, 1, 2));
//!
//! // The driver says under which id it knows the first. That is a message of the bus:
//! let attrs = AreaAttrs::SHARED_READ_WRITE;
//! let share = |id, at: usize| AreaShare {
//!     area: AreaId::new(id).unwrap(),
//!     handle: offers[at].handle(),
//!     tag: 0,
//!     page_count: 1,
//!     attrs,
//! };
//! let body = Body::BusRequest(BusRequest::AreaShare(share(7, 0)));
//! let message = Message { dev_num: 0, token: 1, body };
//! assert!(areas.answer(&Incoming { message, far: driver }).is_some());
//! // ... or what a backend without a bus does itself.
//! assert_eq!(areas.bind(driver, &share(8, 1)), BusResult::Ok);
//!
//! // A device reaches the memory by bus addresses.
//! let memory: LinkMemory<'_, '_, 4> = areas.memory(driver);
//! let at = BusAddr::new(AreaId::new(7).unwrap(), 0x10).unwrap();
//! memory.write(at, b"answer").unwrap();
//!
//! // Areas go one by one, with what their owner has revoked, or with the driver.
//! assert_eq!(areas.unbind(driver, AreaId::new(8).unwrap()), BusResult::Ok);
//! assert_eq!(areas.let_go_of_revoked(), 0);
//! assert_eq!(areas.let_go_of(driver), 1);
//! # Ok::<(), Error>(())
//! ```

use crate::borrow::{Borrowed, Offer, offered};
use crate::bus::Incoming;
use crate::connection::Connection;
use crate::error::{Error, Rule, unheard};
use crate::memory::{Mapper, OutOfWindow, Window};
use arrayvec::ArrayVec;
use causeway_abi::{Call, GrantSummary, LifeState, Status};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_virtio::msg::{AreaShare, Body, BusRequest, BusResponse, BusResult};
use causeway_virtio::{Access, AreaId, AreaMap, BusAddr, MemError};

/// Most offers that one look considers.
const LOOK: usize = 64;

/// What a look at the offers brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Offers that were accepted and mapped.
    pub accepted: u32,
    /// Offers that policy rejected.
    pub rejected: u32,
    /// Offers that policy liked but that could not be accepted or mapped.
    pub failed: u32,
    /// Grants that were let go because their owner has revoked them, or they have ended.
    pub revoked: u32,
}

/// The grants that a backend VM holds; at most `AREAS` at a time.
#[derive(Debug)]
pub struct Backend<'c, const AREAS: usize> {
    connection: &'c Connection<'c>,
    mapper: &'c dyn Mapper,
    held: ArrayVec<Held<'c>, AREAS>,
}

#[derive(Debug)]
struct Held<'c> {
    memory: Borrowed<'c>,
    /// The id under which its owner knows it, once it has said so.
    area: Option<AreaId>,
}

impl Held<'_> {
    fn owner(&self) -> EndpointId {
        self.memory.summary().owner
    }
}

impl<'c, const AREAS: usize> Backend<'c, AREAS> {
    /// Starts with nothing held.
    #[must_use]
    pub const fn new(connection: &'c Connection<'c>, mapper: &'c dyn Mapper) -> Self {
        Self { connection, mapper, held: ArrayVec::new_const() }
    }

    /// Returns how many grants are held.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held.len()
    }

    /// What to do when the partition rings. Lets go of what its owner has revoked: a device whose
    /// queue lay there must be reset ([`Admitted::revoked`]).
    ///
    /// Then looks through up to 64 offers: what `policy` likes is accepted, retrieved and mapped, the rest
    /// is rejected. An offer that fails on the way does not keep the others waiting.
    ///
    /// # Errors
    /// What went wrong with the list itself.
    pub fn admit(
        &mut self,
        mut policy: impl FnMut(&GrantSummary) -> Verdict,
    ) -> Result<Admitted, Error> {
        let revoked = u32::try_from(self.let_go_of_revoked()).unwrap_or(u32::MAX);
        let mut outcome = Admitted { revoked, ..Admitted::default() };
        // The list is read before anything on it changes.
        let mut offers = ArrayVec::<MemHandle, LOOK>::new();
        for handle in offered(self.connection).take(LOOK) {
            offers.push(handle?);
        }
        for handle in offers {
            if self.held.iter().any(|held| held.memory.handle() == handle) {
                continue;
            }
            let count = match self.consider(handle, &mut policy) {
                Ok(Verdict::Accept) => &mut outcome.accepted,
                Ok(Verdict::Reject) => &mut outcome.rejected,
                Err(_) => &mut outcome.failed,
            };
            *count = count.saturating_add(1);
        }
        Ok(outcome)
    }

    fn consider(
        &mut self,
        handle: MemHandle,
        policy: &mut impl FnMut(&GrantSummary) -> Verdict,
    ) -> Result<Verdict, Error> {
        let offer = Offer::inspect(self.connection, handle)?;
        let verdict = if self.held.is_full() { Verdict::Reject } else { policy(&offer.summary()) };
        match verdict {
            Verdict::Accept => {
                let mapped = offer.accept()?.map(self.mapper).map_err(|failed| failed.error)?;
                let held = Held { memory: mapped, area: None };
                self.held.try_push(held).map_err(|_| Error::caller(Rule::NoRoom))?;
            }
            Verdict::Reject => offer.reject()?,
        }
        Ok(verdict)
    }

    /// Answers the bus requests that concern memory. `None` for everything else.
    ///
    /// A `BusRequest::Reset` says that the driver VM has died or has reset its bus: its areas are
    /// let go here, nothing is answered, and the caller resets the devices that it serves for it.
    pub fn answer(&mut self, incoming: &Incoming) -> Option<BusResponse> {
        let Body::BusRequest(request) = incoming.message.body else { return None };
        match request {
            BusRequest::AreaShare(share) => {
                let result = self.bind(incoming.far, &share);
                Some(BusResponse::AreaShare { area: share.area, result })
            }
            BusRequest::AreaUnshare { area } => {
                let result = self.unbind(incoming.far, area);
                Some(BusResponse::AreaUnshare { area, result })
            }
            BusRequest::Reset => {
                self.let_go_of(incoming.far);
                None
            }
            BusRequest::GetDevices { .. }
            | BusRequest::Ping { .. }
            | BusRequest::EventDevice { .. }
            | BusRequest::Version(_)
            | BusRequest::EventPoll
            | BusRequest::EventConfigure { .. }
            | BusRequest::FifoConfigure { .. }
            | BusRequest::EventAreaRelease { .. } => None,
        }
    }

    /// Notes under which id `driver` knows a grant that is held.
    pub fn bind(&mut self, driver: EndpointId, share: &AreaShare) -> BusResult {
        if self.position(driver, share.area).is_some() {
            return BusResult::Error;
        }
        let found = self.held.iter_mut().find(|held| {
            held.owner() == driver
                && held.memory.handle() == share.handle
                && held.memory.summary().page_count == share.page_count
        });
        match found {
            Some(held) if held.area.is_none() => {
                held.area = Some(share.area);
                BusResult::Ok
            }
            Some(_) | None => BusResult::Error,
        }
    }

    /// Unmaps and releases the grant behind an area id. The answer goes out after that.
    pub fn unbind(&mut self, driver: EndpointId, area: AreaId) -> BusResult {
        let Some(held) = self.position(driver, area).and_then(|at| self.held.pop_at(at)) else {
            return BusResult::Error;
        };
        match held.memory.release() {
            Ok(_) => BusResult::Ok,
            Err(_) => BusResult::Error,
        }
    }

    /// Lets go of every grant that its owner has revoked or that has ended; returns how many.
    pub fn let_go_of_revoked(&mut self) -> usize {
        let before = self.held.len();
        let connection = self.connection;
        self.held.retain(|held| {
            let handle = held.memory.handle();
            match connection.call(Call::State { handle }).map(|[state, ..]| u8::try_from(state)) {
                Ok(Ok(code)) => match LifeState::from_code(code) {
                    Some(LifeState::Offered | LifeState::Accepted | LifeState::Active) => true,
                    Some(
                        LifeState::Releasing
                        | LifeState::AwaitingUnmap
                        | LifeState::Released
                        | LifeState::Kept,
                    ) => false,
                    None => true,
                },
                Err(Error::Refused { status: Status::NoSuchGrant, .. }) => false,
                Ok(Err(_)) | Err(_) => true,
            }
        });
        before.saturating_sub(self.held.len())
    }

    /// Lets go of everything that `driver` granted: its end, or its reset.
    pub fn let_go_of(&mut self, driver: EndpointId) -> usize {
        let before = self.held.len();
        self.held.retain(|held| held.owner() != driver);
        before.saturating_sub(self.held.len())
    }

    /// Shows the areas of one driver.
    #[must_use]
    pub const fn memory(&self, driver: EndpointId) -> LinkMemory<'_, 'c, AREAS> {
        LinkMemory { backend: self, driver }
    }

    /// The areas of one driver that this VM may write, by their ids.
    #[cfg(feature = "vmm")]
    pub(crate) fn writable(&self, driver: EndpointId) -> impl Iterator<Item = (AreaId, &Window)> {
        let mine = self.held.iter().filter(move |held| held.owner() == driver);
        let writable = mine.filter(|held| held.memory.is_writable());
        writable.filter_map(|held| Some((held.area?, held.memory.window()?)))
    }

    fn position(&self, driver: EndpointId, area: AreaId) -> Option<usize> {
        self.held.iter().position(|held| held.owner() == driver && held.area == Some(area))
    }
}

/// What a policy says to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it up.
    Accept,
    /// Decline it.
    Reject,
}

/// The areas of one driver, as a device sees them.
#[derive(Debug)]
pub struct LinkMemory<'b, 'c, const AREAS: usize> {
    backend: &'b Backend<'c, AREAS>,
    driver: EndpointId,
}

fn outside(_: OutOfWindow) -> MemError {
    MemError::Outside
}

impl<const AREAS: usize> LinkMemory<'_, '_, AREAS> {
    fn window(&self, at: BusAddr, access: Access) -> Result<&Window, MemError> {
        let area = at.area();
        let held = self
            .backend
            .held
            .iter()
            .find(|held| area.is_some() && held.area == area && held.owner() == self.driver)
            .ok_or(MemError::Outside)?;
        if access == Access::Write && !held.memory.is_writable() {
            return Err(MemError::Permission);
        }
        held.memory.window().ok_or(MemError::Outside)
    }

    fn index(&self, at: BusAddr, access: Access) -> Result<&Window, MemError> {
        if !at.offset().is_multiple_of(2) {
            return Err(MemError::Unaligned);
        }
        self.window(at, access)
    }
}

impl<const AREAS: usize> AreaMap for LinkMemory<'_, '_, AREAS> {
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError> {
        let window = self.window(at, access)?;
        let size = u64::try_from(window.len_bytes()).map_err(|_| MemError::Outside)?;
        let end = at.offset().checked_add(len).ok_or(MemError::Outside)?;
        if end <= size { Ok(()) } else { Err(MemError::Outside) }
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        self.window(at, Access::Read)?.read(at.offset(), into).map_err(outside)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        self.window(at, Access::Write)?.write(at.offset(), from).map_err(outside)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        self.index(at, Access::Read)?.load_acquire_u16(at.offset()).map_err(outside)
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.index(at, Access::Write)?.store_release_u16(at.offset(), value).map_err(outside)
    }

    fn store_handover(&self, at: BusAddr, bytes: [u8; 8]) -> Result<(), MemError> {
        self.window(at, Access::Write)?.store_release_word(at.offset(), bytes).map_err(outside)
    }
}

impl<const AREAS: usize> Drop for Backend<'_, AREAS> {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            unheard(held.memory.release());
        }
    }
}

#[cfg(test)]
mod tests;
