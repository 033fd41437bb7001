//! `c_services`: an example in C over `causeway.h` uses the security services and an interrupt as an RTOS
//! would. Never makes a call for it but the grant of its area.

use crate::calls::PARTITION;
use crate::check;
use crate::rt::client::{mailbox, take_pages};
use crate::rt::{Boot, c};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::Connection;
use causeway_client::conduit::Hvc;
use causeway_client::grant::Grant;

/// The number of the secure timer in the manifest.
const TIMER: u16 = 0;

/// VM 1.
pub(super) fn run(boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let pages = take_pages(2);
    let address = pages.ranges()[0].start().get();
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    let grant = Grant::offer(&connection, pages, terms).expect("a local area");
    let handle = grant.handle().get();
    let went =
        c::services(&c::Given { vm: boot.vm, partition: PARTITION, handle, address, timer: TIMER });
    let step = |bit: u32| went >> bit & 1 == 1;
    check!("c_services/every_service_is_ready", step(0), "{went:#x}");
    check!("c_services/random_bytes", step(1), "{went:#x}");
    check!("c_services/a_counter_goes_up_by_one", step(2), "{went:#x}");
    check!("c_services/hmac_of_rfc_4231", step(3), "{went:#x}");
    check!("c_services/watchdog_is_armed_and_pinged", step(4), "{went:#x}");
    check!("c_services/timer_events_are_fetched_and_completed", step(5), "{went:#x}");
    check!("c_services/each_wrong_call_has_its_own_status", step(6), "{went:#x}");
}
