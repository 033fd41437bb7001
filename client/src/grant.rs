//! Owns an owner's grant from sharing to reclaiming; never maps anything and never trusts a peer.
//!
//! A [`Grant`] stands for pages that others may use. It is made by sharing or lending them and
//! offering the transaction to the partition, and it ends by being closed: revoked, let go by the
//! partition, reclaimed. A grant that is dropped does the same without waiting. Pages that can't
//! be reclaimed yet are never given back to the program, since a peer may still write them.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # two_vms!(platform, one, two, owner, peer);
//! # let idle = || ();
//! # let wait = world::Rest::new(&platform, &idle);
//! use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
//! use causeway_client::grant::{Grant, NotClosed, NotGranted};
//! use causeway_client::{Bound, Error};
//!
//! let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
//! let terms = GrantTerms { peer: Some(peer.id()), kind, permission };
//! let grant = match Grant::offer(&owner, one.pages(4), terms) {
//!     Ok(grant) => grant,
//!     // The pages come back with the reason; `None` if the SPMC would not give them back.
//!     Err(NotGranted { error, pages: _ }) => return Err(error),
//! };
//! assert_eq!((grant.page_count(), grant.terms(), grant.state()?), (4, terms, LifeState::Offered));
//! println!("offered as {}, generation {}", grant.handle(), grant.generation());
//! grant.window().expect("shared, not lent").write(0, b"hello").unwrap();
//!
//! // Nobody took it up. A peer that had would have until its deadline to let go.
//! assert_eq!(grant.revoke()?, LifeState::Released);
//! let pages = match grant.close(&wait, Bound::millis(500)) {
//!     Ok(pages) => pages,
//!     // The peer still maps it. Nothing is lost: it may be closed later.
//!     Err(NotClosed { error, grant: _ }) => return Err(error),
//! };
//! assert_eq!(pages.page_count(), 4);
//! # Ok::<(), Error>(())
//! ```

use crate::connection::{Connection, receiver};
use crate::error::{Awaited, Error, Rule, unheard};
use crate::memory::{Pages, Window};
use crate::wait::{Bound, Wait};
use arrayvec::ArrayVec;
use causeway_abi::{Call, GrantKind, GrantTerms, LifeState, RangeFold, Status};
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{MemHandle, Transfer};

/// Pages under the partition's care, as their owner holds them.
///
/// ```
/// use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
/// use causeway_client::connection::Connection;
/// use causeway_client::error::Error;
/// use causeway_client::grant::Grant;
/// use causeway_client::memory::Pages;
/// use causeway_client::wait::{Bound, Wait};
/// use causeway_ffa::EndpointId;
///
/// /// Shares pages with VM 2, waits until it has them, and takes them back.
/// fn lend_a_hand(
///     connection: &Connection<'_>,
///     pages: Pages<'_>,
///     wait: &dyn Wait,
/// ) -> Result<(), Error> {
///     let terms = GrantTerms {
///         peer: Some(EndpointId::from_raw(2)),
///         kind: GrantKind::Share,
///         permission: Permission::ReadWrite,
///     };
///     let grant = Grant::offer(connection, pages, terms).map_err(|refused| refused.error)?;
///     grant.wait_for(&[LifeState::Active], wait, Bound::millis(500))?;
///     grant.window().unwrap().write(0, b"hello").unwrap();
///     let _pages = grant.close(wait, Bound::millis(500)).map_err(|stuck| stuck.error)?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Grant<'c> {
    connection: &'c Connection<'c>,
    handle: MemHandle,
    terms: GrantTerms,
    generation: u32,
    /// `None` once they have been given back.
    pages: Option<Pages<'c>>,
}

/// An offer that came to nothing.
#[derive(Debug)]
pub struct NotGranted<'c> {
    /// Why.
    pub error: Error,
    /// The pages; `None` if they were shared and could not be reclaimed (see
    /// [`Connection::stranded`]).
    pub pages: Option<Pages<'c>>,
}

/// A grant that could not be closed; it is as it was and may be closed later.
#[derive(Debug)]
pub struct NotClosed<'c> {
    /// Why.
    pub error: Error,
    /// The grant.
    pub grant: Grant<'c>,
}

impl<'c> Grant<'c> {
    /// Shares or lends `pages` to the partition and the peer, and offers the transaction.
    ///
    /// # Errors
    /// [`NotGranted`]; whatever was done is undone, and the pages come back if that worked.
    pub fn offer(
        connection: &'c Connection<'c>,
        pages: Pages<'c>,
        terms: GrantTerms,
    ) -> Result<Self, NotGranted<'c>> {
        let mut receivers = ArrayVec::<Receiver, 2>::new();
        receivers.push(receiver(connection.partition(), terms.permission));
        receivers.extend(terms.peer.map(|peer| receiver(peer, terms.permission)));
        let kind = transfer(terms.kind);
        let handle = match connection.send_memory(kind, &receivers, pages.ranges(), 0) {
            Ok(handle) => handle,
            Err(error) => return Err(NotGranted { error, pages: Some(pages) }),
        };
        let answer = connection.call(Call::Offer { handle, terms, tag: 0 });
        match answer.and_then(|results| checked(results, &pages)) {
            Ok(generation) => {
                Ok(Self { connection, handle, terms, generation, pages: Some(pages) })
            }
            Err(error) => {
                // If the offer was accepted after all (a broken answer), it must be revoked first.
                unheard(connection.call(Call::Revoke { handle }));
                let pages = match connection.reclaim(handle) {
                    Ok(()) => Some(pages),
                    Err(_) => {
                        connection.strand(handle);
                        None
                    }
                };
                Err(NotGranted { error, pages })
            }
        }
    }

    /// Returns the transaction's handle.
    #[must_use]
    pub const fn handle(&self) -> MemHandle {
        self.handle
    }

    /// Returns what was offered.
    #[must_use]
    pub const fn terms(&self) -> GrantTerms {
        self.terms
    }

    /// Returns the number that tells this grant from an earlier one with the same handle.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the number of 4 KiB pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.pages.as_ref().map_or(0, Pages::page_count)
    }

    /// Returns the window through which the owner reaches the pages; `None` while they are lent,
    /// since an access would then fault.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        match self.terms.kind {
            GrantKind::Share => self.pages.as_ref().map(Pages::window),
            GrantKind::Lend | GrantKind::Donate => None,
        }
    }

    /// Asks the partition where the grant stands.
    ///
    /// # Errors
    /// What went wrong with the call, or [`Rule::AnswerValues`].
    pub fn state(&self) -> Result<LifeState, Error> {
        let [state, generation, ..] = self.connection.call(Call::State { handle: self.handle })?;
        if generation != u64::from(self.generation) {
            return Err(Error::partition(Rule::AnswerValues));
        }
        life_state(state)
    }

    /// Waits until the grant is in one of `states`. A grant that the partition has forgotten counts
    /// as [`LifeState::Released`].
    ///
    /// # Errors
    /// [`Error::TimedOut`], or what went wrong with a call.
    pub fn wait_for(
        &self,
        states: &[LifeState],
        wait: &dyn Wait,
        bound: Bound,
    ) -> Result<LifeState, Error> {
        let found = bound.until(wait, || {
            let state = match self.state() {
                Err(Error::Refused { status: Status::NoSuchGrant, .. })
                    if states.contains(&LifeState::Released) =>
                {
                    LifeState::Released
                }
                other => other?,
            };
            Ok(states.contains(&state).then_some(state))
        })?;
        found.ok_or(Error::TimedOut(Awaited::GrantState))
    }

    /// Takes the offer or the grant back. The peer may map it until it lets go or its time is up.
    ///
    /// # Errors
    /// What went wrong with the call.
    pub fn revoke(&self) -> Result<LifeState, Error> {
        let [state, ..] = self.connection.call(Call::Revoke { handle: self.handle })?;
        life_state(state)
    }

    /// Revokes, waits until the partition has let go, reclaims, and gives the pages back.
    ///
    /// # Errors
    /// [`NotClosed`] with the grant: nothing is lost, and it may be closed later.
    pub fn close(mut self, wait: &dyn Wait, bound: Bound) -> Result<Pages<'c>, NotClosed<'c>> {
        let done = self.let_go(wait, bound).and_then(|()| self.connection.reclaim(self.handle));
        if let Err(error) = done {
            return Err(NotClosed { error, grant: self });
        }
        match self.pages.take() {
            Some(pages) => Ok(pages),
            // Not reached: the pages leave a grant only here, which consumes it.
            None => Err(NotClosed { error: Error::caller(Rule::AreaShape), grant: self }),
        }
    }

    /// Gets the partition to let go; returns when it has.
    fn let_go(&self, wait: &dyn Wait, bound: Bound) -> Result<(), Error> {
        let released = |answer: Result<LifeState, Error>| match answer {
            Ok(LifeState::Released) => Ok(Some(())),
            Ok(
                LifeState::Offered
                | LifeState::Accepted
                | LifeState::Active
                | LifeState::Releasing
                | LifeState::AwaitingUnmap
                | LifeState::Kept,
            ) => Ok(None),
            // The partition forgets a grant after it has let go.
            Err(Error::Refused { status: Status::NoSuchGrant, .. }) => Ok(Some(())),
            Err(error) => Err(error),
        };
        if released(self.revoke())?.is_some() {
            return Ok(());
        }
        bound.until(wait, || released(self.state()))?.ok_or(Error::TimedOut(Awaited::GrantState))
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if self.pages.is_none() {
            return;
        }
        unheard(self.revoke());
        if self.connection.reclaim(self.handle).is_err() {
            self.connection.strand(self.handle);
        }
    }
}

/// Holds the results of OFFER against what was offered; returns the generation.
fn checked([counts, fold, ..]: [u64; 4], pages: &Pages<'_>) -> Result<u32, Error> {
    let [g0, g1, g2, g3, c0, c1, c2, c3] = counts.to_le_bytes();
    let page_count = u32::from_le_bytes([c0, c1, c2, c3]);
    // The fold is over the addresses that the partition sees, which a hypervisor may have
    // translated: only its presence can be checked here.
    let empty = RangeFold::new().get();
    if u64::from(page_count) != pages.page_count() || fold == empty {
        return Err(Error::partition(Rule::AnswerValues));
    }
    Ok(u32::from_le_bytes([g0, g1, g2, g3]))
}

fn life_state(word: u64) -> Result<LifeState, Error> {
    u8::try_from(word)
        .ok()
        .and_then(LifeState::from_code)
        .ok_or(Error::partition(Rule::AnswerValues))
}

/// Names the FF-A transaction of a kind.
pub(crate) const fn transfer(kind: GrantKind) -> Transfer {
    match kind {
        GrantKind::Share => Transfer::Share,
        GrantKind::Lend => Transfer::Lend,
        GrantKind::Donate => Transfer::Donate,
    }
}

#[cfg(test)]
mod tests;
