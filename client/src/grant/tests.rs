//! Walks grants through their lives with both VMs, and fails every step of them.

#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

use super::*;
use crate::borrow::{Offer, offered};
use crate::error::Party;
use crate::memory::Mapper;
use crate::testing::{FakeWait, FakeWorld, Fault, Memory};
use causeway_abi::{CallId, Permission};
use causeway_ffa::{EndpointId, FfaError, FuncId};

const TERMS: GrantTerms = GrantTerms {
    peer: Some(EndpointId::from_raw(2)),
    kind: GrantKind::Share,
    permission: Permission::ReadWrite,
};

#[test]
fn what_the_owner_writes_the_peer_reads_until_it_lets_go() {
    let world = FakeWorld::new();
    let (conduit1, conduit2, mapper) = (world.vm(1), world.vm(2), world.mapper());
    let owner = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let peer = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let wait = FakeWait::idle();
    let grant = Grant::offer(&owner, world.pages(1, 3), TERMS).unwrap();
    assert_eq!(grant.state(), Ok(LifeState::Offered));
    grant.window().unwrap().write(0x1234, b"shared").unwrap();

    let handles: Result<Vec<_>, _> = offered(&peer).collect();
    assert_eq!(handles, Ok(vec![grant.handle()]));
    let offer = Offer::inspect(&peer, grant.handle()).unwrap();
    assert_eq!((offer.summary().owner.get(), offer.summary().page_count), (1, 3));
    let borrowed = offer.accept().unwrap().map(&mapper).unwrap();
    let mut seen = [0; 6];
    borrowed.window().unwrap().read(0x1234, &mut seen).unwrap();
    assert_eq!(&seen, b"shared");
    assert_eq!(grant.wait_for(&[LifeState::Active], &wait, Bound::NONE), Ok(LifeState::Active));

    // While the peer maps it, the owner gets neither a close nor a reclaim.
    let stuck = grant.close(&wait, Bound::millis(20)).unwrap_err();
    assert_eq!(stuck.error, Error::TimedOut(Awaited::GrantState));
    let denied = Error::Ffa { call: FuncId::MemReclaim, error: FfaError::Denied };
    assert_eq!(owner.reclaim(stuck.grant.handle()), Err(denied));
    assert_eq!(borrowed.release(), Ok(LifeState::Released));
    let back = stuck.grant.close(&wait, Bound::NONE).unwrap();
    assert_eq!(back.page_count(), 3);
    world.assert_clean("after the life of a grant");
}

#[test]
fn a_grant_that_nobody_took_closes_at_once() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let owner = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let grant = Grant::offer(&owner, world.pages(1, 1), TERMS).unwrap();
    assert!(grant.close(&FakeWait::idle(), Bound::NONE).is_ok());
    world.assert_clean("closed unaccepted");
}

#[test]
fn a_dropped_grant_that_is_still_mapped_is_reclaimed_by_a_later_sweep() {
    let world = FakeWorld::new();
    let (conduit1, conduit2, mapper) = (world.vm(1), world.vm(2), world.mapper());
    let owner = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let peer = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let grant = Grant::offer(&owner, world.pages(1, 1), TERMS).unwrap();
    let offer = Offer::inspect(&peer, grant.handle()).unwrap();
    let borrowed = offer.accept().unwrap().map(&mapper).unwrap();
    drop(grant);
    assert_eq!((owner.stranded(), owner.sweep()), (1, 1));
    drop(borrowed);
    assert_eq!(owner.sweep(), 0);
    world.assert_clean("swept");
}

#[test]
fn lent_memory_has_no_window_for_its_owner() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let owner = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let terms = GrantTerms { kind: GrantKind::Lend, ..TERMS };
    let grant = Grant::offer(&owner, world.pages(1, 1), terms).unwrap();
    assert!(grant.window().is_none());
}

#[test]
fn many_ranges_travel_in_fragments_and_come_back_joined() {
    let world = FakeWorld::with_pages(640);
    let (conduit1, conduit2, mapper) = (world.vm(1), world.vm(2), world.mapper());
    let owner = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let peer = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    // 600 constituents of 16 bytes need three fragments of 4 KiB.
    let grant = Grant::offer(&owner, world.scattered(1, 600), TERMS).unwrap();
    let mut ranges = 0;
    let offer = Offer::inspect_with(&peer, grant.handle(), |_| ranges += 1).unwrap();
    assert_eq!((ranges, offer.summary().range_count), (600, 600));
    let borrowed = offer.accept().unwrap().map(&mapper).unwrap();
    grant.window().unwrap().write(599 * 4096, &[7]).unwrap();
    let mut last = [0];
    borrowed.window().unwrap().read(599 * 4096, &mut last).unwrap();
    assert_eq!(last, [7]);
    drop(borrowed);
    drop(grant);
    world.assert_clean("fragments");
}

#[test]
fn a_summary_that_its_ranges_do_not_add_up_to_is_the_partitions_fault() {
    let world = FakeWorld::new();
    let (conduit1, conduit2) = (world.vm(1), world.vm(2));
    let owner = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let peer = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let grant = Grant::offer(&owner, world.pages(1, 2), TERMS).unwrap();
    world.falsify(|call, _, results| {
        results[2] ^= 1;
        (call == CallId::Inspect).then_some(Status::Ok)
    });
    let lied = Offer::inspect(&peer, grant.handle()).unwrap_err();
    assert_eq!(lied, Error::partition(Rule::InspectedRanges));
    // What was inspected is another generation of the offer than what is accepted.
    world.falsify(|call, _, results| {
        results[0] ^= 1 << 32;
        (call == CallId::Inspect).then_some(Status::Ok)
    });
    let offer = Offer::inspect(&peer, grant.handle()).unwrap();
    world.stop_failing();
    let changed = offer.accept().unwrap_err();
    let expected = Error::Refused { call: CallId::Accept, status: Status::TermsChanged };
    assert_eq!((changed, changed.blame()), (expected, Party::Partition));
}

#[test]
fn a_third_vm_sees_no_offer_and_gets_the_same_refusal_as_for_an_invented_handle() {
    let world = FakeWorld::new();
    let (conduit1, conduit3) = (world.vm(1), world.vm(3));
    let owner = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let third = Connection::open(&conduit3, world.mailbox(3)).unwrap();
    let grant = Grant::offer(&owner, world.pages(1, 1), TERMS).unwrap();
    assert_eq!(offered(&third).count(), 0);
    let real = Offer::inspect(&third, grant.handle()).unwrap_err();
    let invented = Offer::inspect(&third, MemHandle::new(0xdead).unwrap()).unwrap_err();
    assert_eq!(real, invented);
}

#[derive(Debug)]
struct FakeMapperThatCannot;

impl Mapper for FakeMapperThatCannot {
    fn map(&self, _: &[causeway_ffa::PageRange], _: Permission) -> Option<Window> {
        None
    }
    fn unmap(&self, _: Window) {}
}

#[test]
fn memory_that_cannot_be_mapped_is_relinquished() {
    let world = FakeWorld::new();
    let (conduit1, conduit2) = (world.vm(1), world.vm(2));
    let owner = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let peer = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let grant = Grant::offer(&owner, world.pages(1, 1), TERMS).unwrap();
    let accepted = Offer::inspect(&peer, grant.handle()).unwrap().accept().unwrap();
    let failed = accepted.map(&FakeMapperThatCannot).unwrap_err();
    assert_eq!(failed.error, Error::caller(Rule::Mappable));
    drop(failed);
    assert!(grant.close(&FakeWait::idle(), Bound::NONE).is_ok());
    world.assert_clean("unmappable");
}

/// Both VMs, from opening to closing, with a grant of so many ranges.
fn whole_life(world: &FakeWorld, mapper: &Memory, ranges: u32) -> Result<(), Error> {
    let (conduit1, conduit2) = (world.vm(1), world.vm(2));
    let owner = Connection::open(&conduit1, world.mailbox(1)).map_err(|f| f.error)?;
    let peer = Connection::open(&conduit2, world.mailbox(2)).map_err(|f| f.error)?;
    let lived = one_grant(&owner, &peer, mapper, (world, ranges));
    world.stop_failing();
    owner.sweep();
    assert_eq!(owner.stranded(), 0);
    lived
}

fn one_grant<'c>(
    owner: &'c Connection<'c>,
    peer: &'c Connection<'c>,
    mapper: &'c Memory,
    (world, ranges): (&FakeWorld, u32),
) -> Result<(), Error> {
    let wait = FakeWait::idle();
    let grant = Grant::offer(owner, world.scattered(1, ranges), TERMS).map_err(|f| f.error)?;
    let handle = offered(peer).next().ok_or(Error::TimedOut(Awaited::GrantState))??;
    let accepted = Offer::inspect(peer, handle)?.accept()?;
    let borrowed = accepted.map(mapper).map_err(|f| f.error)?;
    grant.state()?;
    borrowed.release()?;
    grant.close(&wait, Bound::NONE).map(|_| ()).map_err(|f| f.error)
}

/// Fails each call in turn; returns how many of them mattered.
fn fail_each(calls: impl Iterator<Item = usize> + Clone, ranges: u32) -> u32 {
    let mut failures = 0;
    for fault in [Fault::Refused, Fault::LostAnswer] {
        for skip in calls.clone() {
            let world = FakeWorld::with_pages(ranges + 16);
            world.fail_after(skip, fault);
            failures += u32::from(whole_life(&world, &world.mapper(), ranges).is_err());
            world.assert_clean(&format!("{fault:?} at call {skip}, {ranges} ranges"));
        }
    }
    failures
}

fn calls_of_a_life(ranges: u32) -> usize {
    let world = FakeWorld::with_pages(ranges + 16);
    assert_eq!(whole_life(&world, &world.mapper(), ranges), Ok(()));
    world.calls()
}

#[test]
fn whichever_step_of_a_life_fails_nothing_stays_behind() {
    let failures = fail_each(0..calls_of_a_life(3), 3);
    assert!(failures > 30, "{failures}");
}

#[test]
fn whichever_fragment_of_a_life_fails_nothing_stays_behind() {
    // The calls between are 300 INSPECTs, which the other test has failed.
    let calls = calls_of_a_life(300);
    let failures = fail_each((0..20).chain(calls - 16..calls), 300);
    assert!(failures > 30, "{failures}");
}
