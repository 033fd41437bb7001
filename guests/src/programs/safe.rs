//! What the secure world keeps for a VM: counters, replay-protected memory, sealed keys, a watchdog, and
//! the workload that has its power cut. Never holds what it expects in the partition's code.

mod device;
pub(super) mod figures;
mod frames;
pub(super) mod keys;
pub(super) mod powercut;
pub(super) mod refused;
pub(super) mod rpmb;
pub(super) mod watchdog;

use crate::rt::client::mailbox;
use crate::rt::time;
use causeway_abi::Status;
use causeway_abi::vault::services;
use causeway_client::conduit::Hvc;
use causeway_client::security::Security;
use causeway_client::{Connection, Error};

/// How long the cores of the machine may take to be started.
const MILLIS: u64 = 20_000;

/// Opens a connection that lasts as long as the VM.
fn connect() -> &'static Connection<'static> {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    alloc::boxed::Box::leak(alloc::boxed::Box::new(connection))
}

/// Waits until the flash may be written: every core of the machine has been seen.
fn until_ready(security: Security<'_>) -> bool {
    time::wait_until(MILLIS, || {
        security.services().is_ok_and(|bits| bits & services::FLASH_READY != 0)
    })
}

/// The status with which a call was refused.
fn status_of<T>(result: &Result<T, Error>) -> Option<Status> {
    match result {
        Err(Error::Refused { status, .. }) => Some(*status),
        Ok(_)
        | Err(
            Error::Ffa { .. }
            | Error::BusError { .. }
            | Error::BusRefused(_)
            | Error::Broken { .. }
            | Error::TimedOut(_),
        ) => None,
    }
}
