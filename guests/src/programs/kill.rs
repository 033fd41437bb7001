//! Death of a VM: VM 1 has VM 2 killed while VM 2 maps a grant, takes the grant back, and has VM 2
//! started anew. Never kills by anything but the monitor's test call.

use super::control;
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::rt::hvc::{self, vendor};
use crate::rt::{Boot, pages, signal, time};
use causeway_abi::{GrantKind, LifeState, Status};

const SEED: u64 = 0x6b11;
/// How long VM 2 waits for its death, or for the word to let go.
const MILLIS: u64 = 150_000;

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let (area, handle) = grant(&mailbox);
    signal::send(2, 1);
    signal::send(2, handle);
    assert_eq!(signal::receive(2), 1, "VM 2 maps the grant");

    let killed = control::kill(2);
    check!("kill/orderly_kill_is_done", killed == 0, "{killed:#x}");
    let state = calls::state(handle);
    let met = calls::revoke(handle);
    let reclaimed = calls::reclaim(handle);
    check!(
        "kill/dead_peers_grant_is_reclaimed",
        reclaimed.is_ok() && pages::holds(area, 1, SEED),
        "{state:?} {met:?} {reclaimed:?}"
    );
    let early = grant_to_dead(&mailbox);
    let refused = early == Some(Err(Met::Status(Status::PeerNotLive)));
    check!("kill/offer_to_a_dead_vm_is_refused", refused, "{early:?}");

    let restarted = control::restart(2);
    let (_, handle) = grant(&mailbox);
    signal::send(2, 2);
    signal::send(2, handle);
    let mapped = signal::receive(2) == 2;
    check!("kill/restarted_vm_is_started_anew", restarted == 0 && mapped, "{restarted:#x}");
    signal::send(2, 0);
    assert_eq!(signal::receive(2), 3, "VM 2 let go");
    let reclaimed = calls::reclaim(handle);
    check!("kill/new_lifes_grant_is_reclaimed", reclaimed.is_ok(), "{reclaimed:?}");
}

fn grant(mailbox: &Mailbox) -> (u64, u64) {
    let area = pages::take(1);
    pages::fill(area, 1, SEED);
    let handle = mailbox.share(area, 1, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    (area, handle)
}

/// Offers an area to VM 2 while it is dead, and takes it back. `None` if it came to no offer, which
/// is a failure: then the partition was not asked.
fn grant_to_dead(mailbox: &Mailbox) -> Option<Result<[u64; 4], Met>> {
    let area = pages::take(1);
    let handle = mailbox.share(area, 1, &[PARTITION, 2]).ok()?;
    let met = calls::offer(handle, 2, GrantKind::Share);
    calls::reclaim(handle).expect("reclaim");
    Some(met)
}

/// VM 2: in its first life it maps and waits for its death, in its second it lets go as it should.
pub(super) fn peer(_boot: &Boot) {
    let life = signal::receive(1);
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    if life == 1 {
        let [denied, ..] = hvc::call([vendor::KILL, 1, 0, 0, 0, 0, 0, 0]);
        let denied = denied != 0 && denied != control::UNDER_WAY;
        check!("kill/only_vm1_may_kill", denied, "{denied}");
    }
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    assert!(pages::holds(address, 1, SEED), "the owner's content");
    signal::send(1, life);
    // In the first life this word never comes.
    let _end = signal::receive_within(1, MILLIS);
    let active = calls::state(handle) == Ok(LifeState::Active);
    mailbox.relinquish(handle).expect("relinquish");
    calls::release(handle).expect("release");
    check!("kill/second_life_ends_as_it_should", active && life == 2, "life {life}");
    signal::send(1, 3);
}

/// VM 1 of `end_with_vm1`: ends while others still run and map its memory.
pub(super) fn ends_first(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let (_, handle) = grant(&mailbox);
    signal::send(2, handle);
    let mapped = signal::receive(2) == 1;
    check!("end_with_vm1/peer_maps_when_vm1_ends", mapped);
}

/// VM 2 of `end_with_vm1`: never lets go.
pub(super) fn never_ends(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    signal::send(1, 1);
    loop {
        time::rest();
    }
}

/// VM 3 of `end_with_vm1`: never rests.
pub(super) fn spins(_boot: &Boot) {
    loop {
        core::hint::spin_loop();
    }
}
