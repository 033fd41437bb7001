//! Owns the id from which power messages count; never asks for it.

use causeway_ffa::EndpointId;
use causeway_service::spmc::Ids;
use core::sync::atomic::{AtomicU16, Ordering};

/// The SPMC's id, once it said it; the EL3 SPMC of TF-A says 0x8000 as well.
static SPMC_ID: AtomicU16 = AtomicU16::new(0x8000);

/// Returns the SPMC's id.
pub(crate) fn spmc() -> EndpointId {
    EndpointId::from_raw(SPMC_ID.load(Ordering::Relaxed))
}

/// Keeps what the SPMC said, for every core.
pub(crate) fn keep(ids: Ids) {
    SPMC_ID.store(ids.spmc.get(), Ordering::Relaxed);
}
