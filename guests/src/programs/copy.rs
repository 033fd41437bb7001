//! The counted copy: VM 1 and VM 2 each grant an area to the partition alone, join them as policy
//! allows, and have bytes copied. VM 3 has a rule one way only. No VM ever maps another's page.

pub(super) mod area;
mod cases;
mod one_way;

pub(super) use one_way::receiver;

use super::{audit, control};
use crate::calls::{self, Mailbox, Met};
use crate::check;
use crate::records::{Dump, Told};
use crate::rt::{Boot, client, signal};
use area::Area;
use causeway_abi::{Call, CopyDirection, JoinName, JoinState, LedgerScope, LifeState, Status};
use causeway_client::Connection;
use causeway_client::conduit::Hvc;
use causeway_ffa::EndpointId;

/// How long a VM waits for another's part: a kill may wait for a deadline.
const MILLIS: u64 = 60_000;
/// Ranges of the two large areas: 17 pages each, and no bound between two ranges in the same place.
const FIRST: &[u32] = &[3, 1, 5, 8];
const SECOND: &[u32] = &[2, 4, 1, 10];
const PAGES: u64 = 17;
/// What the ledger tells of joins (docs/ledger.md).
const TOLD_JOINED: Told = Told::Other(12);
const TOLD_PARTED: Told = Told::Other(13);
const TOLD_COPIED: Told = Told::Other(14);

fn name(peer: u16, number: u16) -> JoinName {
    JoinName { peer: EndpointId::from_raw(peer), number }
}

/// Joins; returns how the join stands, and the pages of the other side.
fn join(area: &Area, name: JoinName) -> Result<(JoinState, u64), Met> {
    let [state, pages, ..] =
        calls::partition(&Call::Join { handle: calls::name(area.handle), name })?;
    Ok((state_of(state)?, pages))
}

fn state_of(word: u64) -> Result<JoinState, Met> {
    u8::try_from(word).ok().and_then(JoinState::from_code).ok_or(Met::Malformed)
}

/// How a join stands, bytes out of one's own area, and bytes into it.
fn joined(name: JoinName) -> Result<(JoinState, u64, u64), Met> {
    let [state, out, into, _] = calls::partition(&Call::Joined { name })?;
    Ok((state_of(state)?, out, into))
}

/// One COPY; returns the bytes that were moved.
fn copy(
    name: JoinName,
    direction: CopyDirection,
    [from_offset, to_offset, length]: [u64; 3],
) -> Result<u64, Met> {
    let call = Call::Copy { name, direction, from_offset, to_offset, length };
    calls::partition(&call).map(|[moved, ..]| moved)
}

const fn refused<T>(status: Status) -> Result<T, Met> {
    Err(Met::Status(status))
}

/// VM 1: leads, kills VM 2 at the end, and reads the ledger.
pub(super) fn leader(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let (first, small) = (Area::share(&mailbox, FIRST), Area::share(&mailbox, &[1]));
    let data = name(2, 7);
    let alone = joined(data) == refused(Status::NotJoined)
        && join(&first, data) == Ok((JoinState::Waiting, 0))
        && copy(data, CopyDirection::ToPeer, [0, 0, 16]) == refused(Status::NotJoined);
    check!("copy/waits_for_the_other_side", alone);
    signal::send_within(2, 1, MILLIS);
    assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 has joined");
    let both = joined(data);
    check!("copy/both_sides_are_joined", both == Ok((JoinState::Joined, 0, 0)), "{both:?}");

    let right = cases::run(1, &first, data);
    check!("copy/pushed_and_pulled_bytes_arrive", right.is_ok(), "{right:?}");
    let counts = joined(data);
    let [out, into] = cases::totals();
    let true_counts = counts == Ok((JoinState::Joined, out, into));
    check!("copy/counts_are_true", true_counts, "{counts:?} not {out} {into}");
    let outside = refuses_outside(data);
    let same = joined(data) == counts;
    check!("copy/outside_is_refused_and_changes_nothing", outside.is_none() && same, "{outside:?}");
    joins_and_quota(&mailbox, &first, &small);
    deaths(&first, data);
    small.take_back();
    ledger(mailbox);
    signal::send_within(2, 3, MILLIS);
}

/// VM 1 is the auditor: what was done is there, on both sides.
fn ledger(mailbox: Mailbox) {
    mailbox.close().expect("the client library maps a pair of its own");
    let connection = Connection::open(&Hvc, client::mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    let read = audit::dump(&reader, LedgerScope::All).expect("the whole ledger");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let count = |vm, told| dump.count(|r| r.subject == vm && r.told == told);
    let of_one = [TOLD_JOINED, TOLD_COPIED, TOLD_PARTED].map(|told| count(1, told));
    let of_two = [TOLD_JOINED, TOLD_COPIED, TOLD_PARTED].map(|told| count(2, told));
    let all = of_one.iter().chain(&of_two).all(|found| *found > 0);
    check!("copy/ledger_tells_of_joins_and_copies", all, "{of_one:?} {of_two:?}");
    audit::print(&read);
}

/// Bytes that do not lie in the areas, or are none.
fn refuses_outside(data: JoinName) -> Option<[u64; 3]> {
    let end = PAGES * 4096;
    let outside = [
        [0, 0, 0],
        [end, 0, 1],
        [0, end, 1],
        [end - 15, 0, 16],
        [0, end - 15, 16],
        [0, 0, end + 1],
        [1, 0, u64::MAX],
        [u64::MAX, 0, 1],
        [0, u64::MAX, 2],
        [u64::MAX, u64::MAX, u64::MAX],
    ];
    let ways = [CopyDirection::ToPeer, CopyDirection::FromPeer];
    outside.into_iter().find(|place| {
        ways.iter().any(|way| copy(data, *way, *place) != refused(Status::OutsideArea))
    })
}

/// An area is in one join, a name stands for one, and two VMs have two joins (manifests/qemu-el3.dts).
/// The second is with an area of VM 2 that was granted read-only.
fn joins_and_quota(mailbox: &Mailbox, first: &Area, small: &Area) {
    let twice = join(first, name(2, 8)) == refused(Status::AlreadyJoined)
        && join(small, name(2, 7)) == refused(Status::AlreadyJoined);
    check!("copy/area_and_name_are_joined_once", twice);
    let second = name(2, 9);
    let state = join(small, second);
    assert_eq!(state, Ok((JoinState::Joined, 1)), "VM 2 waits with a read-only area");
    let into = copy(second, CopyDirection::ToPeer, [0, 0, 16]);
    let out_of = copy(second, CopyDirection::FromPeer, [0, 0, 16]);
    let read_only = into == refused(Status::OutsideArea) && out_of == Ok(16);
    check!("copy/read_only_area_is_no_destination", read_only, "{into:?} {out_of:?}");
    let third = Area::share(mailbox, &[1]);
    let met = join(&third, name(2, 10));
    check!("copy/join_beyond_the_quota_is_refused", met == refused(Status::QuotaGrants), "{met:?}");
    third.take_back();
    let parted = calls::partition(&Call::Part { name: second });
    assert_eq!(parted, Ok([0, 16, 0, 0]), "what was copied in this join");
}

fn deaths(first: &Area, data: JoinName) {
    signal::send_within(2, 2, MILLIS);
    assert_eq!(signal::receive_within(2, MILLIS), 2, "VM 2 and VM 3 are through");
    assert_eq!(control::kill(2), 0, "VM 2 is down");
    let after = joined(data).map(|(state, ..)| state);
    let met = copy(data, CopyDirection::FromPeer, [0, 0, 16]);
    let over = after == Ok(JoinState::Waiting) && met == refused(Status::NotJoined);
    check!("copy/dead_side_ends_the_join", over, "{after:?} {met:?}");
    let met = join(first, name(2, 11));
    check!("copy/join_with_a_dead_vm_is_refused", met == refused(Status::PeerNotLive), "{met:?}");

    assert_eq!(control::restart(2), 0, "VM 2 runs anew");
    signal::send_within(2, 2, MILLIS);
    assert_eq!(signal::receive_within(2, MILLIS), 2, "VM 2 has joined anew");
    // The half was meant for the other life.
    let stale = copy(data, CopyDirection::ToPeer, [0, 0, 16]);
    let anew = join(first, data);
    let moved = copy(data, CopyDirection::ToPeer, [0, 0, 16]);
    let works = stale == refused(Status::NotJoined)
        && anew == Ok((JoinState::Joined, 1))
        && moved == Ok(16);
    check!("copy/new_life_joins_anew", works, "{stale:?} {anew:?} {moved:?}");

    let released = calls::revoke(first.handle) == Ok(LifeState::Released);
    let gone = joined(data) == refused(Status::NotJoined);
    let back = calls::reclaim(first.handle).is_ok();
    signal::send_within(2, 1, MILLIS);
    let other = signal::receive_within(2, MILLIS) == 1;
    let right = released && gone && back && other;
    check!("copy/revoked_area_ends_the_join", right, "{released} {gone} {back} {other}");
}

/// VM 2.
pub(super) fn partner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let data = name(1, 7);
    if signal::receive_within(1, MILLIS) == 2 {
        second_life(&mailbox, data);
        return;
    }
    let second = Area::share(&mailbox, SECOND);
    let state = join(&second, data);
    assert_eq!(state, Ok((JoinState::Joined, PAGES)), "VM 1 waits");
    let read_only = Area::share_read_only(&mailbox);
    assert_eq!(join(&read_only, name(1, 9)), Ok((JoinState::Waiting, 0)), "a second join");
    signal::send(1, 1);
    let right = cases::run(2, &second, data);
    check!("copy/digests_are_equal_and_no_other_byte_is_written", right.is_ok(), "{right:?}");
    assert_eq!(signal::receive_within(1, MILLIS), 2, "VM 1 is through");
    one_way::give(&mailbox);
    signal::send_within(1, 2, MILLIS);
    // Killed while it has joined.
    let _never = signal::receive_within(1, MILLIS);
}

fn second_life(mailbox: &Mailbox, data: JoinName) {
    let old = joined(data);
    check!("copy/old_join_is_nothing_to_a_new_life", old == refused(Status::NotJoined), "{old:?}");
    let area = Area::share(mailbox, &[1]);
    assert_eq!(join(&area, data), Ok((JoinState::Waiting, 0)), "VM 1 is to join anew");
    signal::send_within(1, 2, MILLIS);
    assert_eq!(signal::receive_within(1, MILLIS), 1, "VM 1 has taken its area back");
    let state = joined(data).map(|(state, ..)| state);
    let met = copy(data, CopyDirection::ToPeer, [0, 0, 1]);
    let over = state == Ok(JoinState::Waiting) && met == refused(Status::NotJoined);
    signal::send_within(1, if over { 1 } else { 2 }, MILLIS);
    assert_eq!(signal::receive_within(1, MILLIS), 3, "VM 1 has read the ledger");
    area.take_back();
}
