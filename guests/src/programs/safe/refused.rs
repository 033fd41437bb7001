//! `flash_unseen`: one core of the machine was never started. The partition says so and leaves the flash
//! in read-array mode, from which that core still executes.

use super::{connect, status_of};
use crate::check;
use crate::rt::{Boot, time};
use causeway_abi::Status;
use causeway_abi::vault::services;
use causeway_client::security::Security;

/// VM 1.
pub(in crate::programs) fn caller(_boot: &Boot) {
    let security = Security::of(connect());
    // Long enough for every core that will ever start.
    let end = time::now_micros() + 500_000;
    while time::now_micros() < end {
        time::rest();
    }
    let bits = security.services().unwrap_or(0);
    let told = bits & services::COUNTERS != 0 && bits & services::FLASH_READY == 0;
    check!("flash_unseen/there_is_a_store_and_it_is_not_ready", told, "{bits:#x}");
    let met = security.increment(0);
    let refused = status_of(&met) == Some(Status::CoresNotSeen);
    check!("flash_unseen/no_command_before_every_core_was_seen", refused, "{met:?}");
}
