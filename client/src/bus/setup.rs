//! Owns how the bus is opened and closed; never carries a message of a device.

use super::{Bus, Error, Fifo, Grant, Pages, Rule, State, broken, frame};
use crate::connection::Connection;
use crate::error::unheard;
use crate::grant::NotClosed;
use crate::wait::{Bound, Wait};
use arrayvec::ArrayVec;
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_ffa::Version;
use causeway_virtio::fifo::{self, FIFO_PAGES, Side};
use causeway_virtio::msg::dialect::{BUS_VERSION, TRANSPORT_REVISION};
use causeway_virtio::msg::{BusFeatures, BusRequest, BusResponse, BusResult, VersionRequest};
use spin::mutex::SpinMutex;

/// A bus that could not be opened, or not be closed.
#[derive(Debug)]
pub struct NoBus<'c> {
    /// Why.
    pub error: Error,
    /// The FIFO's pages; `None` if they could not be reclaimed
    /// (see [`Connection::stranded`]).
    pub pages: Option<Pages<'c>>,
}

impl<'c> Bus<'c> {
    /// Grants `pages` (two of them) to the partition as this VM's message FIFO and configures the
    /// bus. `wait` and `bound` also rule every later request.
    ///
    /// # Errors
    /// [`NoBus`]; what was set up has been taken down again.
    pub fn open(
        connection: &'c Connection<'c>,
        pages: Pages<'c>,
        wait: &'c dyn Wait,
        bound: Bound,
    ) -> Result<Self, NoBus<'c>> {
        let prepared = fifo::format(pages.window()).map_err(broken);
        let prepared = prepared.and_then(|()| ask_version(connection));
        let max_areas = match prepared {
            Ok(max_areas) => max_areas,
            Err(error) => return Err(NoBus { error, pages: Some(pages) }),
        };
        let terms =
            GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
        let grant = Grant::offer(connection, pages, terms)
            .map_err(|refused| NoBus { error: refused.error, pages: refused.pages })?;
        match configure(connection, &grant) {
            Ok(fifo) => {
                let inbox = ArrayVec::new();
                let grant = Some(grant);
                let state = State { grant, fifo, token: 0, inbox, unkicked: 0, dropped: 0 };
                Ok(Self { connection, wait, bound, max_areas, state: SpinMutex::new(state) })
            }
            Err(error) => {
                // It may have been configured, and only the answer lost.
                unheard(reset_twice(connection));
                let pages = grant.close(wait, bound).ok();
                Err(NoBus { error, pages })
            }
        }
    }

    /// Takes the bus down and gives the FIFO's pages back. Devices and areas must be gone before.
    ///
    /// # Errors
    /// [`NoBus`]; the bus is gone either way.
    pub fn close(mut self) -> Result<Pages<'c>, NoBus<'c>> {
        let (wait, bound) = (self.wait, self.bound);
        let grant = self.state.get_mut().grant.take();
        let grant = grant.ok_or(NoBus { error: Error::caller(Rule::Fifo), pages: None })?;
        let reset = reset_twice(self.connection);
        match (grant.close(wait, bound), reset) {
            (Ok(pages), Ok(())) => Ok(pages),
            (Ok(pages), Err(error)) => Err(NoBus { error, pages: Some(pages) }),
            (Err(NotClosed { error, .. }), _) => Err(NoBus { error, pages: None }),
        }
    }
}

impl Drop for Bus<'_> {
    fn drop(&mut self) {
        if self.state.get_mut().grant.is_some() {
            // The partition lets go of the FIFO; the grant, dropped next, can then be reclaimed.
            unheard(reset_twice(self.connection));
        }
    }
}

/// Agrees on the bus version; returns how many areas may be bound.
fn ask_version(connection: &Connection<'_>) -> Result<u16, Error> {
    let request = BusRequest::Version(VersionRequest::Alp2 {
        bus_version: BUS_VERSION,
        transport_revision: TRANSPORT_REVISION,
        ffa_version: Version::V1_1.raw(),
    });
    let BusResponse::Version(version) = frame::ask(connection, request)? else {
        return Err(Error::partition(Rule::MessageKind));
    };
    let has_fifo = version.bus_features.get() & BusFeatures::FIFO.get() != 0;
    if version.bus_version != BUS_VERSION || !has_fifo {
        return Err(Error::partition(Rule::InterfaceVersion));
    }
    Ok(version.max_areas)
}

/// Until the partition has let go of the FIFO, its pages stay locked: a RESET that was lost is said
/// again.
fn reset_twice(connection: &Connection<'_>) -> Result<(), Error> {
    reset(connection).or_else(|_| reset(connection))
}

fn reset(connection: &Connection<'_>) -> Result<(), Error> {
    let BusResponse::Reset { result } = frame::ask(connection, BusRequest::Reset)? else {
        return Err(Error::partition(Rule::MessageKind));
    };
    match result {
        BusResult::Ok => Ok(()),
        BusResult::Error | BusResult::Busy => Err(Error::BusRefused(result)),
    }
}

fn configure(connection: &Connection<'_>, grant: &Grant<'_>) -> Result<Fifo, Error> {
    let window = grant.window().ok_or(Error::caller(Rule::Fifo))?;
    let request = BusRequest::FifoConfigure {
        handle: grant.handle(),
        page_count: FIFO_PAGES,
        driver_notif_id: 0,
    };
    let BusResponse::FifoConfigure { result, .. } = frame::ask(connection, request)? else {
        return Err(Error::partition(Rule::MessageKind));
    };
    match result {
        BusResult::Ok => Fifo::attach(window, Side::Driver).map_err(broken),
        BusResult::Error | BusResult::Busy => Err(Error::BusRefused(result)),
    }
}
