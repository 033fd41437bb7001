//! A hypervisor that unmaps but never says so (`confirm_unmaps=never`): VM 2's grant to VM 3 waits
//! for a word that never comes. All else goes on, and VM 3's destruction frees it.

use super::{audit, control};
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::records::{Dump, Told};
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::hvc::vendor;
use crate::rt::{Boot, access, pages, signal, time};
use causeway_abi::{GrantKind, GrantTerms, LedgerScope, LifeState, Permission, Status};
use causeway_client::conduit::Hvc;
use causeway_client::grant::Grant;
use causeway_client::{Bound, Connection};

const OWNER: u16 = 2;
const PEER: u16 = 3;
const SEED: u64 = 0x0c0f;
/// More than the partition's deadline and all that is done meanwhile.
const MILLIS: u64 = 60_000;
/// More than `unmap-deadline-ms` of the manifest.
const DEADLINE_MILLIS: u64 = 10_000;

/// VM 1: the controller and auditor.
pub(super) fn controller(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    begin(PEER, Life::First);
    begin(OWNER, Life::First);
    let stuck = signal::receive_within(OWNER, MILLIS);
    // One grant waits, one is used.
    let charges = control::audit(OWNER).expect("an audit");
    let of_two = (charges.shares, charges.grants, charges.charged_pages, charges.charged_ranges);
    check!("unconfirmed/charges_stay_with_the_pair", of_two == (2, 2, 2, 2), "{charges:?}");
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    let local = Grant::offer(&connection, take_pages(1), terms).map_err(|refused| refused.error);
    let served = local.is_ok_and(|grant| grant.close(&Clock, Bound::NONE).is_ok());
    check!("unconfirmed/partition_serves_on", served);
    let read = audit::dump(&reader, LedgerScope::All).expect("the whole ledger");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let state = dump.last_state(OWNER, stuck);
    let unmapped = dump.count(|r| r.handle == stuck && r.told == Told::Unmapped);
    let waits = state == Some(LifeState::AwaitingUnmap.code()) && unmapped == 0;
    check!("unconfirmed/ledger_says_awaiting_unmap", waits, "{state:?} {unmapped}");

    // A peer that is destroyed maps nothing: that is the hypervisor's word as well.
    assert_eq!(control::kill(PEER), 0, "VM 3 is down");
    signal::send_within(OWNER, 1, MILLIS);
    assert_eq!(signal::receive_within(OWNER, MILLIS), 1, "VM 2 has its pages back");
    check!(
        "unconfirmed/peers_destruction_frees_everything",
        control::owes_nothing(OWNER),
        "{:?}",
        control::audit(OWNER)
    );

    // The owner's end waits for the same word.
    assert_eq!(control::restart(PEER), 0, "VM 3 runs anew");
    begin(PEER, Life::Second);
    signal::send_within(OWNER, 1, MILLIS);
    assert_eq!(signal::receive_within(PEER, MILLIS), 1, "VM 3 mapped and let go");
    let early = time::wait_until(DEADLINE_MILLIS / 4, || {
        control::once(vendor::KILL, OWNER) != control::UNDER_WAY
    });
    let charges = control::audit(OWNER).unwrap_or_default();
    let peer = control::kill(PEER);
    let owner = control::kill(OWNER);
    check!(
        "unconfirmed/dying_owner_waits",
        !early && (charges.grants, charges.shares) == (1, 1) && (peer, owner) == (0, 0),
        "{early} {charges:?} {peer:#x} {owner:#x}"
    );
    let runs = (control::restart(OWNER), control::restart(PEER)) == (0, 0);
    let clean = control::owes_nothing(OWNER) && control::owes_nothing(PEER);
    check!("unconfirmed/new_lives_owe_nothing", runs && clean, "{runs} {clean}");
    owner_dies_awaiting();
    audit::print(&audit::dump(&reader, LedgerScope::All).expect("the whole ledger"));
    begin(OWNER, Life::Last);
    begin(PEER, Life::Last);
}

/// The deadline is over and nobody has confirmed when the owner is killed: its end waits still, for
/// nothing but the peer's.
fn owner_dies_awaiting() {
    begin(PEER, Life::Third);
    begin(OWNER, Life::Third);
    let waiting = signal::receive_within(OWNER, MILLIS) == 1;
    let early = time::wait_until(DEADLINE_MILLIS / 10, || {
        control::once(vendor::KILL, OWNER) != control::UNDER_WAY
    });
    let charges = control::audit(OWNER).unwrap_or_default();
    let down = (control::kill(PEER), control::kill(OWNER)) == (0, 0);
    let anew = (control::restart(OWNER), control::restart(PEER)) == (0, 0);
    let clean = control::owes_nothing(OWNER) && control::owes_nothing(PEER);
    let held = waiting && !early && (charges.grants, charges.shares) == (1, 1);
    check!(
        "unconfirmed/owner_dies_awaiting_unmap",
        held && down && anew && clean,
        "{waiting} {early} {charges:?} {down} {anew} {clean}"
    );
}

/// What a VM does in this life.
enum Life {
    First,
    /// VM 3: maps one grant and lets go of it.
    Second,
    /// The same, and VM 2 takes it back and waits.
    Third,
    /// Nothing.
    Last,
}

fn begin(vm: u16, life: Life) {
    let word = match life {
        Life::First => 1,
        Life::Second => 2,
        Life::Third => 3,
        Life::Last => 4,
    };
    signal::send_within(vm, word, MILLIS);
}

fn own_life() -> Life {
    match signal::receive_within(1, MILLIS) {
        1 => Life::First,
        2 => Life::Second,
        3 => Life::Third,
        _ => Life::Last,
    }
}

fn give(mailbox: &Mailbox, area: u64) -> u64 {
    pages::fill(area, 1, SEED);
    let handle = mailbox.share(area, 1, &[PARTITION, PEER]).expect("share");
    calls::offer(handle, PEER, GrantKind::Share).expect("offer");
    handle
}

/// VM 2.
pub(super) fn owner(_boot: &Boot) {
    let areas = [pages::take(1), pages::take(1), pages::take(1)];
    let mailbox = Mailbox::open().expect("mailbox");
    match own_life() {
        Life::First => {}
        Life::Third => return revokes_and_waits(&mailbox, areas[0]),
        Life::Second | Life::Last => return,
    }
    let (stuck, used) = (give(&mailbox, areas[0]), give(&mailbox, areas[1]));
    signal::send(PEER, stuck);
    signal::send(PEER, used);
    assert_eq!(signal::receive_within(PEER, MILLIS), 1, "VM 3 let go of one");
    let mut state = calls::state(stuck);
    let came = time::wait_until(DEADLINE_MILLIS, || {
        state = calls::state(stuck);
        state == Ok(LifeState::AwaitingUnmap)
    });
    check!("unconfirmed/owner_sees_awaiting_unmap", came, "{state:?}");
    let reclaimed = calls::reclaim(stuck);
    let again = mailbox.share(areas[0], 1, &[PARTITION, PEER]);
    let revoked = calls::revoke(stuck);
    let locked = reclaimed.is_err() && again.is_err() && revoked != Ok(LifeState::Released);
    check!("unconfirmed/pages_stay_locked", locked, "{reclaimed:?} {again:?} {revoked:?}");
    // Another grant is used on, and a third begins and ends unmapped.
    access::write_u64(areas[1], !SEED);
    signal::send(PEER, 2);
    let seen = signal::receive_within(PEER, MILLIS) == 2;
    let third = give(&mailbox, areas[2]);
    let revoked = calls::revoke(third);
    let ended = revoked == Ok(LifeState::Released) && calls::reclaim(third).is_ok();
    check!("unconfirmed/other_grants_go_on", seen && ended, "{seen} {revoked:?}");

    signal::send_within(1, stuck, MILLIS);
    assert_eq!(signal::receive_within(1, MILLIS), 1, "VM 3 is down");
    let gone = calls::state(stuck) == Err(Met::Status(Status::NoSuchGrant));
    let met = (calls::reclaim(stuck), calls::reclaim(used));
    let free = gone && met.0.is_ok() && met.1.is_ok();
    check!("unconfirmed/reclaim_succeeds_after_the_peers_destruction", free, "{gone} {met:?}");
    signal::send_within(1, 1, MILLIS);
    assert_eq!(signal::receive_within(1, MILLIS), 1, "VM 3 runs anew");
    signal::open();
    signal::send_within(PEER, give(&mailbox, areas[2]), MILLIS);
    // Killed while it waits.
    let _never = signal::receive_within(1, MILLIS);
}

/// VM 2: revokes what VM 3 maps, and sees the deadline pass.
fn revokes_and_waits(mailbox: &Mailbox, area: u64) {
    signal::open();
    let handle = give(mailbox, area);
    signal::send_within(PEER, handle, MILLIS);
    assert_eq!(signal::receive_within(PEER, MILLIS), 1, "VM 3 let go");
    let revoked = calls::revoke(handle) == Ok(LifeState::Releasing);
    let waits =
        time::wait_until(DEADLINE_MILLIS, || calls::state(handle) == Ok(LifeState::AwaitingUnmap));
    signal::send_within(1, if revoked && waits { 1 } else { 2 }, MILLIS);
    // Killed while it waits.
    let _never = signal::receive_within(1, MILLIS);
}

/// VM 3.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    match own_life() {
        Life::First => {
            let (stuck, used) = (signal::receive_within(2, MILLIS), signal::receive(OWNER));
            map(&mailbox, stuck);
            let address = map(&mailbox, used);
            mailbox.relinquish(stuck).expect("relinquish");
            let released = calls::release(stuck);
            let waits = released == Ok(LifeState::Releasing);
            check!("unconfirmed/release_is_not_believed", waits, "{released:?}");
            signal::send(OWNER, 1);
            assert_eq!(signal::receive_within(OWNER, MILLIS), 2, "VM 2 wrote");
            let active = calls::state(used) == Ok(LifeState::Active);
            let seen = active && access::read_u64(address) == !SEED;
            signal::send(OWNER, if seen { 2 } else { 3 });
            // Killed while it maps.
            let _never = signal::receive_within(1, MILLIS);
        }
        Life::Second => {
            let handle = signal::receive_within(OWNER, MILLIS);
            map(&mailbox, handle);
            mailbox.relinquish(handle).expect("relinquish");
            signal::send(1, 1);
            let _never = signal::receive_within(1, MILLIS);
        }
        Life::Third => {
            signal::open();
            let handle = signal::receive_within(OWNER, MILLIS);
            map(&mailbox, handle);
            mailbox.relinquish(handle).expect("relinquish");
            signal::send_within(OWNER, 1, MILLIS);
            let _never = signal::receive_within(1, MILLIS);
        }
        Life::Last => {}
    }
}

fn map(mailbox: &Mailbox, handle: u64) -> u64 {
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(OWNER, handle, &[PARTITION, PEER]).expect("retrieve");
    assert!(pages::holds(address, 1, SEED), "the owner's content");
    address
}
