//! A grant, walked through all its steps: `cargo run -p causeway-client --example grant`.
//!
//! Two virtual machines on a fake platform, with the real partition between them. VM 1 owns pages and
//! grants them to VM 2; each line says what was done, and where the grant stands after it.

#[path = "support/vm.rs"]
mod vm;

use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::borrow::{Offer, offered};
use causeway_client::grant::Grant;
use causeway_client::{Bound, Connection};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use std::error::Error;
use vm::{Memory, Rest, VM_PAGES, Vm};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut |line| println!("{line}"))
}

/// Walks, and says each step.
pub(crate) fn run(say: &mut dyn FnMut(&str)) -> Result<(), Box<dyn Error>> {
    let setup = Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let (one, two) = (Vm::new(&platform, 1), Vm::new(&platform, 2));
    let (conduit_1, conduit_2, mapper) = (one.conduit(), two.conduit(), Memory::of(&platform));
    let owner = Connection::open(&conduit_1, one.mailbox()).map_err(|failed| failed.error)?;
    let peer = Connection::open(&conduit_2, two.mailbox()).map_err(|failed| failed.error)?;
    let limits = owner.service();
    say(&format!(
        "connected to partition {}: areas of up to {} pages in {} ranges",
        owner.partition(),
        limits.max_pages,
        limits.max_ranges
    ));

    let terms = GrantTerms {
        peer: Some(EndpointId::from_raw(2)),
        kind: GrantKind::Share,
        permission: Permission::ReadWrite,
    };
    let grant = Grant::offer(&owner, one.pages(4), terms).map_err(|failed| failed.error)?;
    say(&format!("VM 1 shared 4 pages and offered them: {:?}", grant.state()?));

    let handle = offered(&peer).next().ok_or("no offer")??;
    let offer = Offer::inspect(&peer, handle)?;
    let seen = offer.summary();
    say(&format!("VM 2 inspects: owner {}, {} pages", seen.owner, seen.page_count));
    let accepted = offer.accept()?;
    say(&format!("VM 2 accepts what it inspected: {:?}", grant.state()?));
    let borrowed = accepted.map(&mapper).map_err(|failed| failed.error)?;
    say(&format!("VM 2 retrieves, its hypervisor maps: {:?}", grant.state()?));

    let window = grant.window().ok_or("shared memory has a window")?;
    window.write(0, b"from VM 1").map_err(|_| "inside")?;
    let mut bytes = [0; 9];
    borrowed.window().ok_or("mapped")?.read(0, &mut bytes).map_err(|_| "inside")?;
    say(&format!("VM 2 reads {:?} in place", String::from_utf8_lossy(&bytes)));
    let refused = owner.reclaim(handle).err().ok_or("a reclaim while VM 2 maps")?;
    say(&format!("VM 1 reclaims too early: {refused}"));

    grant.revoke()?;
    say(&format!("VM 1 revokes: {:?}", grant.state()?));
    drop(borrowed);
    say("VM 2 unmaps and lets go: with that the revoked grant ends");
    let idle = || ();
    let back = grant.close(&Rest::new(&platform, &idle), Bound::millis(10));
    let back = back.map_err(|failed| failed.error)?;
    say(&format!("VM 1 has its {} pages back", back.page_count()));
    if !platform.leftovers().is_empty() {
        return Err("something was left behind".into());
    }
    Ok(())
}
