//! Findings of a security review of the bus, each with the test that showed it.

use super::*;
use crate::msg::{ConfigEvent, EventMethod, FeatureBlocks, FeatureWords, frame_bytes};

const NEEDS_RESET: u32 = 0x40;

fn features(index: u32, words: &[u32]) -> FeatureBlocks {
    FeatureBlocks { index, words: FeatureWords::collect(words.iter().copied()).unwrap() }
}

/// The state of VM 1's device, as the bus knows it.
fn device(world: &World) -> &link::Device<2> {
    world.bus.links[0].as_ref().unwrap().device(0).unwrap()
}

#[test]
fn features_at_the_last_index_do_not_overflow() {
    let mut world = World::ready();
    let last = Request::SetDriverFeatures(features(u32::MAX, &[0]));
    let answer = world.round_trip(last, Response::SetDriverFeatures);
    assert_eq!(answer.body, Body::Response(Response::SetDriverFeatures));
    let beyond = Request::SetDriverFeatures(features(u32::MAX, &[0, 0]));
    world.send(1, 0, 9, Body::Request(beyond));
    assert_eq!(world.read_one(1).body, error(4), "there is no such block");
    assert_eq!(world.read(2), []);
    assert_eq!(Features::NONE.with_block(u32::MAX, 0), Some(Features::NONE));
}

#[test]
fn a_ring_set_up_while_its_area_is_lost_is_an_error() {
    for answered in [true, false] {
        let mut world = World::ready();
        world.share(1, 11);
        let driver = Status::from_raw(0x0b);
        world.round_trip(Request::SetDeviceStatus(driver), Response::SetDeviceStatus(driver));
        world.send(1, 0, 50, Body::Request(Request::SetVqueue(set_vqueue(1))));
        let token = world.read_one(2).token;
        world.grants.0.remove(&(1, 11));
        world.step(Event::GrantGone { owner: vm(1), handle: handle(11) });
        if answered {
            world.send(2, 7, token, Body::Response(Response::SetVqueue));
        } else {
            world.now += ANSWER_TICKS;
            world.step(Event::Tick);
        }
        assert_eq!(world.read_one(1).body, error(0x0a));
        assert!(device(&world).needs_reset);
        assert_eq!(world.status(), Some(Status::from_raw(0x0b | NEEDS_RESET)));
    }
}

#[test]
fn an_area_lost_while_it_is_shared_is_an_error() {
    let mut world = World::ready();
    world.grant(1, 11, Some(2), 16);
    world.send(1, 0, 1, share(1, 11, 16));
    let token = world.read_one(2).token;
    world.grants.0.remove(&(1, 11));
    world.step(Event::GrantGone { owner: vm(1), handle: handle(11) });
    world.send(2, 0, token, shared(1, BusResult::Ok));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error));
    world.share(1, 12);
}

#[test]
fn features_of_a_ring_cannot_change_under_a_queue() {
    let mut world = World::ready();
    world.share(1, 11);
    let packed = Request::SetDriverFeatures(features(1, &[1 << 2]));
    world.round_trip(packed, Response::SetDriverFeatures);
    // Packed: four bytes each at the very end of the area.
    let set = SetVqueue { driver: at(1, 0xfff8), device: at(1, 0xfffc), ..set_vqueue(1) };
    let answer = world.round_trip(Request::SetVqueue(set), Response::SetVqueue);
    assert_eq!(answer.body, Body::Response(Response::SetVqueue));
    let split = Request::SetDriverFeatures(features(1, &[0]));
    world.send(1, 0, 51, Body::Request(split));
    assert_eq!(world.read_one(1).body, error(4));
    assert_eq!(world.read(2), []);
    world.round_trip(Request::ResetVqueue { index: 0 }, Response::ResetVqueue);
    let answer = world.round_trip(split, Response::SetDriverFeatures);
    assert_eq!(answer.body, Body::Response(Response::SetDriverFeatures));
}

#[test]
fn after_silence_about_features_only_a_reset_goes_on() {
    let mut world = World::ready();
    world.share(1, 11);
    let packed = Request::SetDriverFeatures(features(1, &[1 << 2]));
    world.send(1, 0, 1, Body::Request(packed));
    world.now += ANSWER_TICKS;
    world.step(Event::Tick);
    world.mail.clear();
    world.send(1, 0, 2, Body::Request(Request::SetVqueue(set_vqueue(1))));
    assert_eq!(world.read_one(1).body, error(0x0a), "which layout would the device read?");
    let reset = Request::SetDeviceStatus(Status::RESET);
    world.round_trip(reset, Response::SetDeviceStatus(Status::RESET));
    let answer = world.round_trip(Request::SetVqueue(set_vqueue(1)), Response::SetVqueue);
    assert_eq!(answer.body, Body::Response(Response::SetVqueue));
}

#[test]
fn removed_and_added_again_needs_a_reset() {
    let mut world = World::driving();
    for _ in 0..8 {
        world.send(2, 7, 0, Body::Request(Request::EventUsed { index: 0 }));
    }
    world.announce(DeviceState::Removed);
    world.announce(DeviceState::Added);
    world.read(1);
    world.step(Event::Kick { vm: vm(1) });
    let told = |body: &dyn Fn(&Body) -> bool, mail: &[(Message, u16)]| {
        mail.iter().any(|(message, _)| body(&message.body))
    };
    let mail = world.read(1);
    let failed = |body: &Body| match body {
        Body::Request(Request::EventConfig(event)) => event.status().contains(Status::NEEDS_RESET),
        _ => false,
    };
    assert!(told(&failed, &mail), "{mail:?}");
    assert!(device(&world).needs_reset);
    // Where the driver has heard of the removal, it is no different.
    world.announce(DeviceState::Removed);
    world.step(Event::Kick { vm: vm(1) });
    world.announce(DeviceState::Added);
    assert!(device(&world).needs_reset);
    let reset = Request::SetDeviceStatus(Status::RESET);
    world.step(Event::Kick { vm: vm(1) });
    world.mail.clear();
    world.round_trip(reset, Response::SetDeviceStatus(Status::RESET));
    assert!(!device(&world).needs_reset);
}

#[test]
fn a_device_that_was_not_in_use_may_come_and_go() {
    let mut world = World::ready();
    world.announce(DeviceState::Removed);
    world.announce(DeviceState::Added);
    assert!(!device(&world).needs_reset);
}

#[test]
fn nothing_is_pushed_to_one_who_polls() {
    let mut world = World::ready();
    let choose = BusRequest::EventConfigure { method: EventMethod::Poll, notif_id: 0 };
    world.direct_bus(1, choose);
    world.share(1, 11);
    let ok = Status::from_raw(0x0f);
    world.round_trip(Request::SetDeviceStatus(ok), Response::SetDeviceStatus(ok));
    let failed = ConfigEvent::of_status(Status::from_raw(0x4f), 1);
    world.send(2, 7, 0, Body::Request(Request::EventConfig(failed)));
    world.send(2, 0, 0, Body::BusRequest(BusRequest::EventAreaRelease { area: area(1) }));
    assert_eq!(world.read(1), []);
    let poll = Message { dev_num: 0, token: 3, body: Body::BusRequest(BusRequest::EventPoll) };
    let event = Message::decode(&frame_bytes(&world.direct(1, &poll))).unwrap();
    let Body::Request(Request::EventConfig(event)) = event.body else { panic!("{event:?}") };
    assert_eq!(event.status().get(), 0x4f, "the release has not swallowed the status");
}

#[test]
fn an_area_release_does_not_swallow_a_status() {
    let mut world = World::driving();
    world.full = vec![1];
    let failed = ConfigEvent::of_status(Status::from_raw(0x4f), 1);
    world.send(2, 7, 0, Body::Request(Request::EventConfig(failed)));
    world.full.clear();
    world.step(Event::Kick { vm: vm(2) });
    let slot = Message {
        dev_num: 0,
        token: 0,
        body: Body::BusRequest(BusRequest::EventAreaRelease { area: area(1) }),
    };
    world.send_far(2, 1, slot);
    world.step(Event::Kick { vm: vm(1) });
    let mail = world.read(1);
    assert!(mail.iter().any(|(m, _)| matches!(m.body, Body::Request(Request::EventConfig(_)))));
}

#[test]
fn a_backend_that_plays_down_the_status_cannot_hide_its_death() {
    let mut world = World::driving();
    let zero = ConfigEvent::of_status(Status::RESET, 0);
    world.send(2, 7, 0, Body::Request(Request::EventConfig(zero)));
    world.read(1);
    world.step(Event::Kick { vm: vm(1) });
    world.step(Event::VmGone { vm: vm(2) });
    let Body::Request(Request::EventConfig(event)) = world.read_one(1).body else { panic!() };
    assert!(event.status().contains(Status::NEEDS_RESET));
    world.open_fifo(2);
    world.announce(DeviceState::Added);
    world.read(1);
    assert!(device(&world).needs_reset);
    assert!(world.status().unwrap().contains(Status::NEEDS_RESET));
    assert_eq!(world.read(2), [], "the new backend is not asked about the old life");
}
