//! Owns one area of a driver for the driver's whole life, over as many grants as that takes; never
//! decides when.
//!
//! A grant dies with the VM that borrowed it. The driver's pages do not: they are taken back and
//! granted anew to the VM's successor, under the same area id, while the driver keeps its buffers
//! in them. See [`super`] for the order of things after a backend's death.
#![expect(unsafe_code, reason = "a pool asks for a promise about pages, kept here by owning them")]

use super::pool::DmaPool;
use crate::bus::Bus;
use crate::error::{Error, Rule};
use crate::grant::{Grant, NotClosed, NotGranted};
use crate::memory::Pages;
use crate::wait::{Bound, Wait};
use causeway_abi::{GrantTerms, LifeState};
use causeway_ffa::MemHandle;
use causeway_virtio::AreaId;
use core::mem;

/// An area that a driver works in.
///
/// It owns its pages, and shows them to nobody but its pool. So it can promise on its own what
/// [`DmaPool::attach`] asks its caller for.
#[derive(Debug)]
pub struct SharedArea<'c> {
    id: AreaId,
    terms: GrantTerms,
    pool: &'static DmaPool,
    held: Held<'c>,
    attached: Attached,
}

/// Where the pages are.
#[derive(Debug)]
enum Held<'c> {
    /// Granted.
    Grant(Grant<'c>),
    /// Ours alone.
    Pages(Pages<'c>),
    /// Shared once, and not reclaimed: see [`crate::Connection::stranded`].
    Stranded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attached {
    Yes,
    No,
}

impl<'c> SharedArea<'c> {
    /// Takes pages for an area that the device side will know as `id`. Nothing is shared yet.
    ///
    /// The pages must last for ever, because the pool may outlive this value.
    #[must_use]
    pub const fn new(
        pool: &'static DmaPool,
        id: AreaId,
        terms: GrantTerms,
        pages: Pages<'static>,
    ) -> Self {
        Self { id, terms, pool, held: Held::Pages(pages), attached: Attached::No }
    }

    /// Returns the area id.
    #[must_use]
    pub const fn id(&self) -> AreaId {
        self.id
    }

    /// Returns the number of 4 KiB pages; 0 if they are lost.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        match &self.held {
            Held::Grant(grant) => grant.page_count(),
            Held::Pages(pages) => pages.page_count(),
            Held::Stranded => 0,
        }
    }

    /// Returns the handle of the grant, while there is one.
    #[must_use]
    pub const fn handle(&self) -> Option<MemHandle> {
        match &self.held {
            Held::Grant(grant) => Some(grant.handle()),
            Held::Pages(_) | Held::Stranded => None,
        }
    }

    /// Grants the pages, waits until the peer has them, binds the area id, and gives them to the
    /// pool. If they were granted before, to a peer that has died or lost them, that grant is
    /// closed first; buffers in the area stay where they are.
    ///
    /// # Errors
    /// What went wrong. It may be called again: what was begun is undone then.
    pub fn share(&mut self, bus: &Bus<'c>, wait: &dyn Wait, bound: Bound) -> Result<(), Error> {
        self.withdraw(wait, bound)?;
        let Held::Pages(pages) = mem::replace(&mut self.held, Held::Stranded) else {
            return Err(Error::caller(Rule::AreaShape));
        };
        let grant = match Grant::offer(bus.connection(), pages, self.terms) {
            Ok(grant) => grant,
            Err(NotGranted { error, pages }) => {
                self.held = pages.map_or(Held::Stranded, Held::Pages);
                return Err(error);
            }
        };
        let taken = if self.terms.peer.is_some() {
            grant.wait_for(&[LifeState::Active], wait, bound).map(|_| ())
        } else {
            Ok(())
        };
        let done = taken.and_then(|()| bus.share_area(self.id, &grant)).and_then(|()| {
            match self.attached {
                Attached::Yes => self.pool.reattach(self.id, &grant),
                // SAFETY: the pages are this value's and live for ever (`new`); nobody else gets
                // to see them before `take_back` has detached the area, and while they change from
                // one grant to the next they stay mapped here and ours.
                Attached::No => unsafe { self.pool.attach(self.id, &grant) },
            }
        });
        if done.is_ok() {
            self.attached = Attached::Yes;
        }
        self.held = Held::Grant(grant);
        done
    }

    /// Closes the grant if there is one, and keeps the pages. The device side must have let go, or
    /// be dead: while it lives, `bus.unshare_area` comes first.
    ///
    /// # Errors
    /// What went wrong; the grant is as it was.
    pub fn withdraw(&mut self, wait: &dyn Wait, bound: Bound) -> Result<(), Error> {
        match mem::replace(&mut self.held, Held::Stranded) {
            Held::Grant(grant) => match grant.close(wait, bound) {
                Ok(pages) => {
                    self.held = Held::Pages(pages);
                    Ok(())
                }
                Err(NotClosed { error, grant }) => {
                    self.held = Held::Grant(grant);
                    Err(error)
                }
            },
            kept @ (Held::Pages(_) | Held::Stranded) => {
                self.held = kept;
                Ok(())
            }
        }
    }

    /// Takes everything back: unbinds the id, closes the grant, and leaves the pool. No buffer of
    /// the area may be taken any more.
    ///
    /// # Errors
    /// What went wrong ([`Rule::BuffersTaken`] while buffers are); it may be called again.
    pub fn take_back(
        &mut self,
        bus: &Bus<'c>,
        wait: &dyn Wait,
        bound: Bound,
    ) -> Result<Option<Pages<'c>>, Error> {
        if self.attached == Attached::Yes {
            self.pool.detach(self.id).map_err(|_| Error::caller(Rule::BuffersTaken))?;
            self.attached = Attached::No;
        }
        if self.handle().is_some() {
            bus.unshare_area(self.id)?;
        }
        self.withdraw(wait, bound)?;
        match mem::replace(&mut self.held, Held::Stranded) {
            Held::Pages(pages) => Ok(Some(pages)),
            kept @ (Held::Grant(_) | Held::Stranded) => {
                self.held = kept;
                Ok(None)
            }
        }
    }
}
