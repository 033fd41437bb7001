//! Owns VM 1's areas of the link: granted to the partition and the backend, bound to their ids,
//! given to the pool; and all of it back. Never uses them.

use super::disk::SLOTS;
use super::{BOUND, DEVICE, POOL};
use crate::rt::client::{Clock, take_pages};
use alloc::vec::Vec;
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::Error;
use causeway_client::bus::Bus;
use causeway_client::guest::SharedArea;
use causeway_virtio::AreaId;

/// Pages of the first area: rings, a page for each request's header, one for the tables of
/// descriptors, and some for what is moved.
const RING_PAGES: u32 = 32;

/// The areas.
pub(super) struct Areas<'c> {
    held: Vec<SharedArea<'c>>,
    /// Grants that were made, over all lives of the backend.
    grants: usize,
}

impl<'c> Areas<'c> {
    /// Grants an area for the rings and one for all requests in flight, `pages` pages each, waits
    /// until the backend has accepted them, and binds their ids.
    ///
    /// # Errors
    /// The first failure; what was granted until then goes with this VM.
    pub(super) fn grant(bus: &Bus<'c>, pages: u32) -> Result<Self, Error> {
        let terms = GrantTerms {
            peer: Some(DEVICE),
            kind: GrantKind::Share,
            permission: Permission::ReadWrite,
        };
        let area = |(number, count)| {
            let id = AreaId::new(number).expect("ids begin at 1");
            SharedArea::new(&POOL, id, terms, take_pages(count))
        };
        let slots = u32::try_from(SLOTS).unwrap_or(u32::MAX);
        let counts = [RING_PAGES, pages.saturating_mul(slots)];
        let mut areas = Self { held: (1..).zip(counts).map(area).collect(), grants: 0 };
        areas.share(bus)?;
        Ok(areas)
    }

    /// Grants every area, for the first time or anew: the same pages under the same ids, to the VM
    /// that serves the device now.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn share(&mut self, bus: &Bus<'c>) -> Result<(), Error> {
        for area in &mut self.held {
            area.share(bus, &Clock, BOUND)?;
            self.grants += 1;
        }
        Ok(())
    }

    /// Returns how many grants were made.
    pub(super) const fn grants(&self) -> usize {
        self.grants
    }

    /// Returns the pages of all areas.
    pub(super) fn page_count(&self) -> u64 {
        self.held.iter().map(SharedArea::page_count).sum()
    }

    /// Unbinds, closes and reclaims every area, the last one first.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn take_back(mut self, bus: &Bus<'c>) -> Result<(), Error> {
        while let Some(mut area) = self.held.pop() {
            area.take_back(bus, &Clock, BOUND)?;
        }
        Ok(())
    }
}
