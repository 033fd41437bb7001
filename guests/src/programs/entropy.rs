//! Entropy by hypercall: random bytes in registers where the processor has a source, a status and no
//! device where it has none, nothing for a VM to which policy gives nothing.

use crate::calls::{self, Met};
use crate::rt::Boot;
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::{check, say};
use causeway_abi::vault::services;
use causeway_abi::{Call, Status, VaultCall};
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::security::Security;
use causeway_client::{Bound, Connection, Error};

/// The numbers that the manifest gives to the partition's devices of VM 1.
const RNG: u16 = 1;
const CONSOLE: u16 = 2;
const DISK: u16 = 3;

/// Bytes that VM 1 asks for, in all: far below what its rate allows in a second.
const BYTES: usize = 4096;

/// VM 1, on a machine that has a source.
pub(super) fn caller(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let security = Security::of(&connection);
    let offered = security.services().map(|bits| bits & services::ENTROPY != 0);
    check!("entropy/offered", offered == Ok(true), "{offered:?}");
    let mut bytes = [0; BYTES];
    let filled = security.entropy(&mut bytes);
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(byte)] = true;
    }
    let kinds = seen.iter().filter(|seen| **seen).count();
    let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    let bits = 8 * u32::try_from(BYTES).unwrap_or(0);
    // A fair source misses these once in far more runs than anybody makes.
    let fair = filled.is_ok() && kinds > 240 && ones.abs_diff(bits / 2) < bits / 50;
    check!("entropy/bytes_look_fair", fair, "{filled:?} {kinds} kinds, {ones} ones of {bits}");
    check!("entropy/the_rate_ends_it", spend() == Some(Status::QuotaRate), "{:?}", spend());
    say!("RESULT job=entropy bytes={BYTES} kinds={kinds} ones={ones}");
}

/// Asks until the partition refuses: the rate is 32 KiB a second, and a second is longer than that.
fn spend() -> Option<Status> {
    for _ in 0..4000 {
        match calls::partition(&Call::Vault(VaultCall::Entropy { count: 24 })) {
            Ok(_) => {}
            Err(Met::Status(status)) => return Some(status),
            Err(_) => return None,
        }
    }
    None
}

/// VM 1, on a machine that has none.
pub(super) fn without(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let security = Security::of(&connection);
    let offered = security.services().map(|bits| bits & services::ENTROPY != 0);
    check!("entropy_none/not_offered", offered == Ok(false), "{offered:?}");
    let mut bytes = [0; 8];
    let met = security.entropy(&mut bytes);
    let told = matches!(met, Err(Error::Refused { status: Status::NoEntropySource, .. }));
    check!("entropy_none/says_that_there_is_none", told && bytes == [0; 8], "{met:?} {bytes:?}");
    let bus = Bus::open(&connection, take_pages(2), &Clock, Bound::millis(20_000)).expect("bus");
    let devices = bus.devices().expect("devices");
    let others = [CONSOLE, DISK].iter().all(|other| devices.contains(other));
    check!("entropy_none/no_device", others && !devices.contains(&RNG), "{devices:?}");
    bus.close().expect("the bus's pages");
}

/// VM 3, to which policy gives entropy and nothing else.
pub(super) fn other(_boot: &Boot) {
    let met = calls::partition(&Call::Vault(VaultCall::Entropy { count: 24 }));
    check!("entropy/vm3_has_its_own", met.is_ok(), "{met:?}");
    let met = calls::partition(&Call::Vault(VaultCall::WatchdogPing));
    let refused = met == Err(Met::Status(Status::PolicyService));
    check!("entropy/nothing_else_for_vm3", refused, "{met:?}");
}
