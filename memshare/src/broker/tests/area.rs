//! Holds what the bus and the image ask: names, uses, addresses.

use super::*;
use crate::event::{Event, MapFailed};
use crate::lab::Outcome;
use crate::{Action, GrantView};

fn vm(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

/// A local area of VM 3: pages 0x110 and 0x104-0x106.
fn local() -> (Small, GrantView) {
    let mut lab = lab();
    lab.send(7, 3, terms(None), &[pages(0x110, 1), pages(0x104, 3)]);
    lab.granted(3, offer(7, terms(None)));
    let view = lab.broker.resolve(vm(3), None, handle(7)).unwrap();
    (lab, view)
}

#[test]
fn an_area_is_found_by_owner_device_side_and_handle() {
    let (lab, view) = local();
    assert_eq!((view.page_count, view.range_count, view.use_count), (4, 2, 0));
    assert_eq!(lab.broker.view(view.id), Some(view));
    let none = Err(Status::NoSuchGrant);
    assert_eq!(lab.broker.resolve(vm(1), None, handle(7)), none);
    assert_eq!(lab.broker.resolve(vm(3), Some(vm(2)), handle(7)), none);
    assert_eq!(lab.broker.resolve(vm(3), None, handle(8)), none);
    let lab = Small::offered(7);
    assert_eq!(lab.broker.resolve(vm(1), Some(vm(2)), handle(7)), Err(Status::WrongState));
    let mut lab = Small::active(7);
    assert!(lab.broker.resolve(vm(1), Some(vm(2)), handle(7)).is_ok());
    assert_eq!(lab.broker.resolve(vm(2), Some(vm(1)), handle(7)), none, "the peer owns nothing");
    lab.granted(1, revoke(7));
    assert_eq!(lab.broker.resolve(vm(1), Some(vm(2)), handle(7)), Err(Status::WrongState));
}

#[test]
fn addresses_stay_inside_and_within_the_permission() {
    let (lab, view) = local();
    let (ro, rw) = (Permission::ReadOnly, Permission::ReadWrite);
    let at = |offset, len| lab.broker.translate(view.id, offset, len, rw);
    assert_eq!(at(0, 16), Some((0x11_0000, 16)));
    assert_eq!(at(4000, 200), Some((0x11_0fa0, 96)), "cut where the range ends");
    assert_eq!(at(4096, 3 * 4096), Some((0x10_4000, 3 * 4096)));
    assert_eq!(at(4 * 4096 - 1, 1), Some((0x10_6fff, 1)));
    for (offset, len) in [
        (0, 0),
        (0, 4 * 4096 + 1),
        (4 * 4096, 1),
        (4 * 4096 - 1, 2),
        (u64::MAX, 1),
        (1, u64::MAX),
        (u64::MAX, u64::MAX),
    ] {
        assert_eq!(at(offset, len), None, "{offset:#x} {len:#x}");
        assert!(!lab.broker.permits(view.id, offset, len, ro));
    }
    let mut lab = super::lab();
    let read_only = GrantTerms { permission: ro, ..terms(None) };
    lab.send(9, 3, read_only, &[pages(0x120, 1)]);
    lab.granted(3, offer(9, read_only));
    let id = lab.broker.resolve(vm(3), None, handle(9)).unwrap().id;
    assert!(lab.broker.permits(id, 0, 1, ro) && !lab.broker.permits(id, 0, 1, rw));
}

#[test]
fn no_address_of_a_grant_that_is_offered_or_on_its_way_out() {
    let mut lab = Small::offered(7);
    let id = lab.broker.owned(vm(1), handle(7)).unwrap().id;
    let inside = |lab: &Small| lab.broker.permits(id, 0, 1, Permission::ReadOnly);
    assert!(!inside(&lab));
    let seen = lab.summary(2, 7);
    lab.granted(2, Call::Accept { handle: handle(7), seen });
    assert!(inside(&lab));
    lab.granted(0, mapping(7, 2));
    assert!(inside(&lab));
    lab.granted(1, revoke(7));
    assert!(!inside(&lab));
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.broker.ranges(id).count(), 0);
}

#[test]
fn a_local_area_is_mapped_while_it_is_used() {
    let (mut lab, view) = local();
    assert_eq!(lab.begin_use(view.id).map(|v| v.use_count), Ok(1));
    assert_eq!(lab.mapped.len(), 1);
    assert_eq!(lab.begin_use(view.id).map(|v| v.use_count), Ok(2));
    lab.refused(3, revoke(7), Status::InUse);
    assert_eq!(lab.end_use(view.id).map(|v| v.use_count), Ok(1));
    assert_eq!(lab.mapped.len(), 1);
    lab.refused(3, revoke(7), Status::InUse);
    assert_eq!(lab.end_use(view.id).map(|v| v.use_count), Ok(0));
    assert!(lab.mapped.is_empty());
    assert_eq!(lab.end_use(view.id), Err(Status::WrongState));
    assert_eq!(lab.granted(3, revoke(7))[0], RELEASED);
    assert_eq!(lab.begin_use(view.id), Err(Status::NoSuchGrant));
    assert_eq!(lab.end_use(view.id), Err(Status::NoSuchGrant));
    assert!(lab.records.iter().any(|r| r.action == Action::UseEnded));
}

#[test]
fn a_failed_mapping_counts_as_no_use() {
    let (mut lab, view) = local();
    lab.faults.mmu = Some(MapFailed);
    let before = lab.broker.clone();
    assert_eq!(lab.begin_use(view.id), Err(Status::NoRoom));
    assert!(lab.broker == before);
    lab.faults.mmu = None;
    lab.begin_use(view.id).unwrap();
    lab.faults.mmu = Some(MapFailed);
    assert_eq!(lab.end_use(view.id), Err(Status::NoRoom));
    assert_eq!(lab.broker.view(view.id).map(|v| v.use_count), Some(1), "still mapped");
}

#[test]
fn a_dead_owners_area_is_taken_from_the_bus_unmapped_and_let_go() {
    let (mut lab, view) = local();
    lab.begin_use(view.id).unwrap();
    lab.begin_use(view.id).unwrap();
    assert_eq!(lab.destroyed(3), crate::VmVerdict::Done);
    assert_eq!(lab.lost, [view.id]);
    assert!(lab.mapped.is_empty());
    assert_eq!(lab.locks(7), 0);
}

#[test]
fn an_area_of_a_remote_device_is_never_mapped_here() {
    let mut lab = Small::active(7);
    let id = lab.broker.resolve(vm(1), Some(vm(2)), handle(7)).unwrap().id;
    assert_eq!(lab.begin_use(id).map(|v| v.use_count), Ok(1));
    assert!(lab.mapped.is_empty());
    lab.granted(1, revoke(7));
    assert_eq!(lab.lost, [id], "the ring is dead at once");
    assert_eq!(lab.begin_use(id), Err(Status::WrongState));
    lab.granted(0, unmapped(7, 2));
    assert_eq!(lab.lost.len(), 1);
}

#[test]
fn a_bound_area_that_nobody_maps_is_lost_with_its_grant() {
    let mut lab = Small::accepted(7);
    let id = lab.broker.resolve(vm(1), Some(vm(2)), handle(7)).unwrap().id;
    lab.begin_use(id).unwrap();
    assert_eq!(lab.granted(2, release(7))[0], RELEASED);
    assert_eq!(lab.lost, [id]);
}

#[test]
fn waiting_messages_show_until_the_next_kick() {
    let mut lab = lab();
    lab.granted(0, Call::HypRegister { sgi: 0, core: 0 });
    assert_eq!(lab.drive(Event::BusWaiting { vm: vm(2), by: None }), Outcome::Idle);
    assert_eq!(lab.rings, 1);
    assert_eq!(lab.granted(0, Call::HypPoll)[0], 1 << 2);
    assert_eq!(lab.events(2), 4);
    assert_eq!(lab.events(2), 4);
    lab.granted(2, Call::BusKick);
    assert_eq!(lab.events(2), 0);
    assert_eq!(lab.drive(Event::BusWaiting { vm: vm(9), by: None }), Outcome::Idle);
    assert_eq!(lab.rings, 1);
}

#[test]
fn a_caller_of_the_bus_must_live() {
    let mut lab = lab();
    assert_eq!(lab.broker.check_caller(vm(1)), Ok(()));
    for id in [0, 9, 0x8001] {
        assert_eq!(lab.broker.check_caller(vm(id)), Err(Status::UnknownCaller));
    }
    lab.destroyed(1);
    assert_eq!(lab.broker.check_caller(vm(1)), Err(Status::UnknownCaller));
    lab.refused(1, Call::BusKick, Status::UnknownCaller);
}
