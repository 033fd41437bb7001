//! Owns a peer's way with a grant: list, inspect, accept, retrieve, map, and back; never an owner's.
//!
//! Each step is a type, so that it can't be skipped: [`Offer`] (inspected), [`Accepted`],
//! [`Borrowed`] (mapped). Dropping one undoes what it stands for: an accepted grant is released, a
//! mapped one is unmapped, relinquished and released.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # use causeway_client::{Error, grant::Grant};
//! # use causeway_abi::{GrantKind, GrantTerms, Permission};
//! # use causeway_ffa::EndpointId;
//! # two_vms!(platform, one, two, owner, peer);
//! # let mapper = world::Memory::of(&platform);
//! # let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
//! # let terms = GrantTerms { peer: Some(EndpointId::from_raw(2)), kind, permission };
//! # let grants: Vec<_> = (0..3).map(|_| Grant::offer(&owner, one.pages(2), terms).unwrap()).collect();
//! # let VM_1 = EndpointId::from_raw(1);
//! use causeway_abi::LifeState;
//! use causeway_client::borrow::{Accepted, Borrowed, NotMapped, Offer, Offered, offered};
//!
//! // Three offers of VM 1 wait. What we don't want we decline; the rest may wait.
//! let list: Offered<'_> = offered(&peer);
//! let handles: Vec<_> = list.collect::<Result<_, Error>>()?;
//! let mut pages = 0;
//! let offer = Offer::inspect_with(&peer, handles[0], |range| pages += range.page_count())?;
//! assert_eq!((offer.handle(), offer.summary().owner, pages), (handles[0], VM_1, 2));
//! offer.reject()?;
//!
//! // One is taken up, and let go before it was mapped.
//! let accepted: Accepted<'_> = Offer::inspect(&peer, handles[1])?.accept()?;
//! assert_eq!(accepted.handle(), handles[1]);
//! assert_eq!(accepted.release()?, LifeState::Released);
//!
//! // One is used.
//! let accepted = Offer::inspect(&peer, handles[2])?.accept()?;
//! assert_eq!(accepted.summary().page_count, 2);
//! let borrowed: Borrowed<'_> = match accepted.map(&mapper) {
//!     Ok(borrowed) => borrowed,
//!     // The grant is still accepted, and could be mapped otherwise.
//!     Err(NotMapped { error, accepted: _ }) => return Err(error),
//! };
//! assert!(borrowed.is_writable() && borrowed.handle() == handles[2]);
//! assert_eq!(borrowed.summary().owner, VM_1);
//! borrowed.window().unwrap().write(0, b"hello").unwrap();
//! assert_eq!(borrowed.release()?, LifeState::Released);
//! # Ok::<(), Error>(())
//! ```

use crate::connection::{Connection, RetrieveTerms};
use crate::error::{Error, Rule, unheard};
use crate::grant::transfer;
use crate::memory::{Mapper, Window};
use causeway_abi::{
    Call, GrantSummary, LifeState, NO_HANDLE, PackedRange, Permission, RangeFold, Status,
};
use causeway_ffa::{MemHandle, PageRange};
use core::fmt;

/// Most offers that one look through the list returns: a partition that never ends its list can't
/// keep a caller busy.
const MAX_LISTED: usize = 1024;

/// Looks through the grants that are offered to this VM.
pub fn offered<'c>(connection: &'c Connection<'c>) -> Offered<'c> {
    Offered { connection, cursor: Some(0), left: MAX_LISTED }
}

/// The handles offered to this VM, one LIST call each.
#[derive(Debug)]
pub struct Offered<'c> {
    connection: &'c Connection<'c>,
    cursor: Option<u32>,
    left: usize,
}

impl Offered<'_> {
    fn step(&mut self, cursor: u32) -> Result<Option<MemHandle>, Error> {
        let [handle, next, ..] = self.connection.call(Call::List { cursor })?;
        let next = u32::try_from(next).map_err(|_| Error::partition(Rule::AnswerValues))?;
        self.cursor = (next != 0).then_some(next);
        if handle == NO_HANDLE {
            return Ok(None);
        }
        Ok(MemHandle::new(handle))
    }
}

impl Iterator for Offered<'_> {
    type Item = Result<MemHandle, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // A page of the list may be empty and yet not the last.
        while let (Some(cursor), Some(left)) = (self.cursor.take(), self.left.checked_sub(1)) {
            self.left = left;
            match self.step(cursor) {
                Ok(Some(handle)) => return Some(Ok(handle)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

/// An offer that this VM has inspected, every range of it.
#[derive(Debug)]
pub struct Offer<'c> {
    connection: &'c Connection<'c>,
    handle: MemHandle,
    seen: GrantSummary,
}

impl<'c> Offer<'c> {
    /// Reads the summary and every range, and checks that they agree.
    ///
    /// # Errors
    /// The partition's refusal, or [`Rule::InspectedRanges`].
    pub fn inspect(connection: &'c Connection<'c>, handle: MemHandle) -> Result<Self, Error> {
        Self::inspect_with(connection, handle, |_| ())
    }

    /// As [`Offer::inspect`], and shows each range (physical addresses) to `see`.
    ///
    /// # Errors
    /// As [`Offer::inspect`].
    pub fn inspect_with(
        connection: &'c Connection<'c>,
        handle: MemHandle,
        mut see: impl FnMut(PageRange),
    ) -> Result<Self, Error> {
        let (seen, mut range) = look(connection, handle, 0)?;
        let mut fold = RangeFold::new();
        let mut pages = 0u32;
        for index in 1..=seen.range_count {
            fold = fold.with(range);
            pages = pages
                .checked_add(range.page_count())
                .ok_or(Error::partition(Rule::InspectedRanges))?;
            see(range);
            if index < seen.range_count {
                let (again, next) = look(connection, handle, index)?;
                if again != seen {
                    return Err(Error::partition(Rule::InspectedRanges));
                }
                range = next;
            }
        }
        if fold.get() != seen.fold || pages != seen.page_count {
            return Err(Error::partition(Rule::InspectedRanges));
        }
        Ok(Self { connection, handle, seen })
    }

    /// Returns the handle.
    #[must_use]
    pub const fn handle(&self) -> MemHandle {
        self.handle
    }

    /// Returns what would be accepted.
    #[must_use]
    pub const fn summary(&self) -> GrantSummary {
        self.seen
    }

    /// Declines the offer.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn reject(self) -> Result<(), Error> {
        let generation = self.seen.generation;
        self.connection.call(Call::Reject { handle: self.handle, generation }).map(|_| ())
    }

    /// Takes up exactly what was inspected.
    ///
    /// # Errors
    /// The partition's refusal; [`causeway_abi::Status::TermsChanged`] if the offer is not what it was.
    pub fn accept(self) -> Result<Accepted<'c>, Error> {
        let Self { connection, handle, seen } = self;
        let accepted = connection.call(Call::Accept { handle, seen });
        if let Err(Error::Broken { .. }) = accepted {
            // The partition may have taken it as accepted.
            unheard(release(connection, handle));
        }
        accepted.map(|_| Accepted { connection, handle, seen, held: true })
    }
}

/// One INSPECT call.
fn look(
    connection: &Connection<'_>,
    handle: MemHandle,
    range_index: u32,
) -> Result<(GrantSummary, PageRange), Error> {
    let [a, b, c, range] = connection.call(Call::Inspect { handle, range_index })?;
    let bad = Error::partition(Rule::AnswerValues);
    let seen = GrantSummary::from_words([a, b, c]).ok_or(bad)?;
    Ok((seen, PackedRange::unpack(range).ok_or(bad)?))
}

/// A grant that this VM has accepted and not yet mapped. It is released on drop.
#[derive(Debug)]
pub struct Accepted<'c> {
    connection: &'c Connection<'c>,
    handle: MemHandle,
    seen: GrantSummary,
    held: bool,
}

/// A grant that could not be mapped; it is still accepted.
#[derive(Debug)]
pub struct NotMapped<'c> {
    /// Why.
    pub error: Error,
    /// The grant.
    pub accepted: Accepted<'c>,
}

impl<'c> Accepted<'c> {
    /// Returns the handle.
    #[must_use]
    pub const fn handle(&self) -> MemHandle {
        self.handle
    }

    /// Returns what was accepted.
    #[must_use]
    pub const fn summary(&self) -> GrantSummary {
        self.seen
    }

    /// Retrieves the memory through the hypervisor and maps it.
    ///
    /// # Errors
    /// [`NotMapped`]: what was retrieved has been relinquished.
    pub fn map(self, mapper: &'c dyn Mapper) -> Result<Borrowed<'c>, NotMapped<'c>> {
        match self.try_map(mapper) {
            Ok(window) => {
                let window = Some(window);
                Ok(Borrowed { window, retrieved: true, mapper, accepted: self })
            }
            Err(error) => Err(NotMapped { error, accepted: self }),
        }
    }

    /// Lets go of the grant.
    ///
    /// # Errors
    /// The partition's refusal. It has then been asked twice.
    pub fn release(mut self) -> Result<LifeState, Error> {
        let state = release(self.connection, self.handle)?;
        self.held = false;
        Ok(state)
    }

    fn try_map(&self, mapper: &dyn Mapper) -> Result<Window, Error> {
        let ranges = self.connection.retrieve(&RetrieveTerms {
            owner: self.seen.owner,
            handle: self.handle,
            kind: transfer(self.seen.kind),
            permission: self.seen.permission,
            tag: 0,
        })?;
        let pages =
            ranges.iter().fold(0u64, |sum, r| sum.saturating_add(u64::from(r.page_count())));
        let mapped = if pages == u64::from(self.seen.page_count) {
            mapper.map(&ranges, self.seen.permission).ok_or(Error::caller(Rule::Mappable))
        } else {
            Err(Error::hypervisor(Rule::RetrieveResponse))
        };
        mapped.inspect_err(|_| unheard(self.connection.relinquish(self.handle)))
    }
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        if self.held {
            unheard(release(self.connection, self.handle));
        }
    }
}

fn release(connection: &Connection<'_>, handle: MemHandle) -> Result<LifeState, Error> {
    let [state, ..] = connection.call(Call::Release { handle })?;
    let state = u8::try_from(state).ok().and_then(LifeState::from_code);
    state.ok_or(Error::partition(Rule::AnswerValues))
}

/// Memory of another VM that this VM has mapped. It is given back on drop.
pub struct Borrowed<'c> {
    /// `None` once it is unmapped.
    window: Option<Window>,
    /// The hypervisor maps it for this VM.
    retrieved: bool,
    mapper: &'c dyn Mapper,
    accepted: Accepted<'c>,
}

impl Borrowed<'_> {
    /// Returns the handle.
    #[must_use]
    pub const fn handle(&self) -> MemHandle {
        self.accepted.handle
    }

    /// Returns what was accepted.
    #[must_use]
    pub const fn summary(&self) -> GrantSummary {
        self.accepted.seen
    }

    /// Returns the window on the memory.
    #[must_use]
    pub const fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// Reports whether this VM may write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.accepted.seen.permission == Permission::ReadWrite
    }

    /// Unmaps, relinquishes and releases. [`LifeState::Releasing`] says that the hypervisor has
    /// not yet confirmed the unmapping; nothing is left to do for this VM either way. A grant that its
    /// owner had revoked ends with the unmapping, and is [`LifeState::Released`] then.
    ///
    /// # Errors
    /// The first refusal. The step that failed has then been tried twice, and the next ones too.
    pub fn release(mut self) -> Result<LifeState, Error> {
        self.unmap()?;
        let state = match release(self.accepted.connection, self.accepted.handle) {
            Err(Error::Refused { status: Status::NoSuchGrant, .. }) => LifeState::Released,
            other => other?,
        };
        self.accepted.held = false;
        Ok(state)
    }

    fn unmap(&mut self) -> Result<(), Error> {
        if let Some(window) = self.window.take() {
            self.mapper.unmap(window);
        }
        if self.retrieved {
            self.accepted.connection.relinquish(self.accepted.handle)?;
            self.retrieved = false;
        }
        Ok(())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // `accepted` is dropped after this and releases the grant.
        unheard(self.unmap());
    }
}

impl fmt::Debug for Borrowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Borrowed({}, {:?})", self.handle(), self.window)
    }
}
