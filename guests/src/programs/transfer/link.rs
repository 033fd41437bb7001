//! Owns VM 1's areas of the link: granted to the partition and the backend, bound to their ids,
//! given to the pool; and all of it back. Never uses them.

use super::disk::SLOTS;
use super::{BOUND, DEVICE, POOL};
use crate::rt::client::{Clock, take_pages};
use alloc::vec::Vec;
use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::bus::Bus;
use causeway_client::grant::Grant;
use causeway_client::{Connection, Error};
use causeway_virtio::AreaId;

/// Pages of the first area: rings, and a page for each request's header.
const RING_PAGES: u32 = 16;

/// The areas.
pub(super) struct Areas<'c> {
    held: Vec<(AreaId, Grant<'c>)>,
}

impl<'c> Areas<'c> {
    /// Grants an area for the rings and one for each request in flight, `pages` pages each, waits
    /// until the backend has accepted them, and binds their ids.
    ///
    /// # Errors
    /// The first failure; what was granted until then goes with this VM.
    pub(super) fn grant(
        connection: &'c Connection<'c>,
        bus: &Bus<'c>,
        pages: u32,
    ) -> Result<Self, Error> {
        let terms = GrantTerms {
            peer: Some(DEVICE),
            kind: GrantKind::Share,
            permission: Permission::ReadWrite,
        };
        let mut held = Vec::new();
        for (number, count) in (1..).zip([RING_PAGES].into_iter().chain([pages; SLOTS])) {
            let grant = Grant::offer(connection, take_pages(count), terms)
                .map_err(|refused| refused.error)?;
            grant.wait_for(&[LifeState::Active], &Clock, BOUND)?;
            let area = AreaId::new(number).expect("ids begin at 1");
            bus.share_area(area, &grant)?;
            // SAFETY: the grant is closed by `take_back` only, after the pool has let go of the
            // area; until then nothing but the pool touches its pages, which `take_pages` gave
            // out once.
            unsafe { POOL.attach(area, &grant) }?;
            held.push((area, grant));
        }
        Ok(Self { held })
    }

    /// Returns how many areas there are.
    pub(super) fn count(&self) -> usize {
        self.held.len()
    }

    /// Returns the pages of all areas.
    pub(super) fn page_count(&self) -> u64 {
        self.held.iter().map(|(_, grant)| grant.page_count()).sum()
    }

    /// Unbinds, closes and reclaims every area, the last one first.
    ///
    /// # Errors
    /// The first failure, as text: whoever reads it cannot mend it.
    pub(super) fn take_back(mut self, bus: &Bus<'c>) -> Result<(), &'static str> {
        while let Some((area, grant)) = self.held.pop() {
            POOL.detach(area).map_err(|_| "pool busy")?;
            bus.unshare_area(area).map_err(|_| "unshare")?;
            grant.close(&Clock, BOUND).map_err(|_| "close")?;
        }
        Ok(())
    }
}
