//! Holds the real partition code to its promises on each SPMC: the life of a grant, donations, deaths,
//! a hostile SPMC, and random steps against the page model. Never looks inside the partition but for
//! counting.

#[path = "platform/donate.rs"]
mod donate;
#[path = "platform/hostile.rs"]
mod hostile;
#[path = "platform/life.rs"]
mod life;
#[path = "platform/random.rs"]
mod random;

use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_fake_spmc::{Guest, Personality, Platform, Setup};
use causeway_ffa::EndpointId;

const PAGES: u32 = 64;

/// A platform with three small VMs, and their programs.
fn boot(personality: Personality) -> (Platform, [Guest; 3]) {
    boot_with(Setup { vm_pages: PAGES, ..Setup::new(personality) })
}

fn boot_with(setup: Setup) -> (Platform, [Guest; 3]) {
    let platform = Platform::boot(&setup);
    let guests = [1, 2, 3].map(|vm| Guest::new(&platform, vm, setup.vm_pages));
    (platform, guests)
}

fn shared_with(peer: Option<&Guest>, permission: Permission) -> GrantTerms {
    GrantTerms { peer: peer.map(Guest::id), kind: GrantKind::Share, permission }
}

fn vm(id: u16) -> EndpointId {
    EndpointId::from_raw(id)
}

const NOTHING: [String; 0] = [];
