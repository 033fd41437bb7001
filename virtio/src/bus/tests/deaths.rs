//! What the living see when a VM, a grant or a FIFO is lost.

use super::*;
use crate::msg::{ConfigEvent, DeviceInfo};

const NEEDS_RESET: u32 = 0x40;

#[test]
fn status_after_the_backends_death_says_needs_reset_at_once() {
    let mut world = World::driving();
    let info = DeviceInfo {
        device_id: 2,
        vendor_id: 0,
        uuid: [0; 16],
        num_feature_blocks: 2,
        config_size: 60,
        max_virtqueues: 1,
        admin_vq_start: 0,
        admin_vq_count: 0,
    };
    world.round_trip(Request::GetDeviceInfo, Response::GetDeviceInfo(info));
    world.send(1, 0, 90, Body::Request(Request::GetDeviceStatus));
    world.step(Event::VmGone { vm: vm(2) });
    let mail = world.read(1);
    let event = ConfigEvent::of_status(Status::from_raw(0x0f | NEEDS_RESET), 0);
    assert_eq!(mail.len(), 2);
    assert_eq!((mail[0].0.body, mail[0].0.token), (error(7), 90), "the request in flight");
    assert_eq!(mail[1].0.body, Body::Request(Request::EventConfig(event)), "the event");
    assert_eq!(world.status(), Some(Status::from_raw(0x0f | NEEDS_RESET)));
    world.send(1, 0, 91, Body::Request(Request::GetDeviceInfo));
    assert_eq!(world.read_one(1).body, Body::Response(Response::GetDeviceInfo(info)), "cached");
    world.send(1, 0, 92, Body::Request(Request::SetDeviceStatus(Status::RESET)));
    let Body::Response(Response::SetDeviceStatus(status)) = world.read_one(1).body else {
        panic!()
    };
    assert!(status.contains(Status::NEEDS_RESET), "a dead device is not reset");
    world.send(1, 0, 93, Body::Request(Request::SetVqueue(set_vqueue(1))));
    assert_eq!(world.read_one(1).body, error(0x0a));
    let closed = Effect::CloseFifo { vm: vm(2), handle: handle(1002) };
    assert!(world.log.contains(&closed));
}

#[test]
fn a_restarted_backend_is_used_again_after_a_reset() {
    let mut world = World::driving();
    world.step(Event::VmGone { vm: vm(2) });
    world.grants.0.remove(&(1, 11));
    world.step(Event::GrantGone { owner: vm(1), handle: handle(11) });
    world.mail.clear();
    world.open_fifo(2);
    world.announce(DeviceState::Added);
    let added = BusRequest::EventDevice { dev_num: 0, state: DeviceState::Added };
    assert_eq!(world.read_one(1).body, Body::BusRequest(added));
    assert_eq!(world.status(), Some(Status::from_raw(0x0f | NEEDS_RESET)), "not yet reset");
    assert_eq!(world.read(2), [], "the new backend is not asked about the old life");
    let reset = Request::SetDeviceStatus(Status::RESET);
    world.round_trip(reset, Response::SetDeviceStatus(Status::RESET));
    world.share(1, 12);
    let answer = world.round_trip(Request::SetVqueue(set_vqueue(1)), Response::SetVqueue);
    assert_eq!(answer.body, Body::Response(Response::SetVqueue));
}

#[test]
fn unshare_after_the_backends_death_is_answered_at_once() {
    let mut world = World::driving();
    world.step(Event::VmGone { vm: vm(2) });
    world.mail.clear();
    world.send(1, 0, 1, unshare(1));
    assert_eq!(world.read_one(1).body, unshared(1, BusResult::Ok));
}

#[test]
fn a_drivers_death_is_told_to_its_backend_once() {
    let mut world = World::driving();
    world.send(1, 0, 1, Body::Request(Request::GetDeviceStatus));
    let token = world.read_one(2).token;
    world.log.clear();
    world.step(Event::VmGone { vm: vm(1) });
    let mail = world.read(2);
    assert_eq!(mail.len(), 1);
    assert_eq!((mail[0].0.body, mail[0].1), (Body::BusRequest(BusRequest::Reset), 1));
    assert!(world.log.contains(&Effect::AreaFree { owner: vm(1), handle: handle(11) }));
    world.send(2, 7, token, Body::Response(Response::GetDeviceStatus(Status::DRIVER)));
    assert_eq!(world.read(1), [], "nobody hears the late answer");
    world.step(Event::VmGone { vm: vm(1) });
    assert_eq!(world.read(2).len(), 1, "areas are still closed, so it may be told again");
    // A new life of VM 1 starts with a reset device and may use the id when the grant is gone.
    world.grants.0.remove(&(1, 11));
    world.open_fifo(1);
    world.share(1, 12);
    assert_eq!(
        world.round_trip(Request::GetDeviceStatus, Response::GetDeviceStatus(Status::RESET)).body,
        Body::Response(Response::GetDeviceStatus(Status::RESET))
    );
}

#[test]
fn a_drivers_reset_tells_the_backend_before_anything_else() {
    let mut world = World::driving();
    world.full = vec![2];
    world.direct_bus(1, BusRequest::Reset);
    world.open_fifo(1);
    world.send(1, 0, 1, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.read_one(1).body, error(7), "the backend has not heard of the reset");
    world.full.clear();
    world.step(Event::Kick { vm: vm(2) });
    world.send(1, 0, 2, Body::Request(Request::GetDeviceStatus));
    let bodies: Vec<_> = world.read(2).into_iter().map(|(m, _)| m.body).collect();
    let reset = Body::BusRequest(BusRequest::Reset);
    assert_eq!(bodies, [reset, Body::Request(Request::GetDeviceStatus)]);
}

#[test]
fn a_lost_grant_with_rings_breaks_the_device() {
    let mut world = World::driving();
    world.log.clear();
    world.grants.0.remove(&(1, 11));
    world.step(Event::GrantGone { owner: vm(1), handle: handle(11) });
    let event = ConfigEvent::of_status(Status::from_raw(0x0f | NEEDS_RESET), 0);
    assert_eq!(world.read_one(1).body, Body::Request(Request::EventConfig(event)));
    assert_eq!(world.status(), Some(Status::from_raw(0x0f | NEEDS_RESET)));
    assert_eq!(world.log, [], "its uses are gone already");
}

#[test]
fn a_lost_fifo_area_closes_the_fifo_without_a_word() {
    let mut world = World::ready();
    world.grants.0.remove(&(2, 1002));
    world.step(Event::GrantGone { owner: vm(2), handle: handle(1002) });
    assert_eq!(world.log, [Effect::ForgetFifo { vm: vm(2) }]);
    assert!(!world.bus.is_present(vm(1), 0));
    world.step(Event::GrantGone { owner: vm(1), handle: handle(5) });
    assert_eq!(world.log.len(), 1, "a grant without meaning for the bus");
}

#[test]
fn a_broken_fifo_ends_its_vm_as_backend_and_nobody_else() {
    let mut world = World::driving();
    world.step(Event::FifoBroken { vm: vm(3) });
    assert_eq!(world.log.last(), Some(&Effect::CloseFifo { vm: vm(3), handle: handle(1003) }));
    let ok = Response::GetDeviceStatus(Status::from_raw(0x0f));
    world.round_trip(Request::GetDeviceStatus, ok);
    world.step(Event::FifoBroken { vm: vm(2) });
    world.mail.clear();
    assert_eq!(world.status(), Some(Status::from_raw(0x0f | NEEDS_RESET)));
    world.step(Event::FifoBroken { vm: vm(2) });
    let closings = world.log.iter().filter(|e| matches!(e, Effect::CloseFifo { .. })).count();
    assert_eq!(closings, 2, "closed once each");
}

#[test]
fn removal_ends_the_request_in_flight() {
    let mut world = World::ready();
    world.send(1, 0, 1, Body::Request(Request::GetDeviceStatus));
    world.announce(DeviceState::Removed);
    let mail = world.read(1);
    assert!(mail.iter().any(|(m, _)| m.body == error(7)), "{mail:?}");
    assert!(mail.len() == 2, "and the news");
    world.send(1, 0, 2, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.read_one(1).body, error(7), "no such device any more");
}

#[test]
fn devices_of_the_partition_answer_on_the_same_paths() {
    let mut world = World::ready();
    let policy = LinkPolicy { driver: vm(1), backend: None, backend_dev: 3, driver_dev: 9 };
    world.bus.add_link(policy).unwrap();
    world.send(1, 9, 44, Body::Request(Request::GetDeviceStatus));
    let Some(Effect::CallLocal { driver, message }) = world.log.pop() else { panic!() };
    let asked = Message::decode(message.bytes()).unwrap();
    assert_eq!((driver, asked.dev_num), (vm(1), 3));
    let body = Body::Response(Response::GetDeviceStatus(Status::DRIVER));
    let answer = Message { dev_num: 3, token: asked.token, body };
    for id in [1, 2, 3] {
        world.send(id, 3, asked.token, body);
    }
    assert_eq!(world.read(1), [], "nobody speaks for the partition");
    world.step(Event::LocalMessage { driver: vm(1), message: answer.encode() });
    assert_eq!(world.read_one(1), Message { dev_num: 9, token: 44, body });
}
