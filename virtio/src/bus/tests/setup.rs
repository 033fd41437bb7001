//! What a VM and the bus say to each other by direct messages, and who sees what.

use super::*;
use crate::msg::{EventMethod, VersionRequest, frame_bytes};

#[test]
fn version_answers_ours_to_any_probe() {
    let mut world = World::new();
    let ask =
        VersionRequest::Alp2 { bus_version: 0, transport_revision: 0, ffa_version: 0x0001_0002 };
    let BusResponse::Version(answer) = world.direct_bus(1, BusRequest::Version(ask)) else {
        panic!()
    };
    assert_eq!((answer.bus_version, answer.transport_revision), (0x0001_0000, 1));
    assert_eq!((answer.ffa_version, answer.max_areas), (Some(0x0001_0001), 4));
    assert_eq!(answer.bus_features.get(), 0x41);
    assert_eq!(world.direct_bus(3, BusRequest::Ping { echo: 9 }), BusResponse::Ping { echo: 9 });
}

#[test]
fn fifo_needs_an_own_local_writable_area_of_two_pages() {
    let mut world = World::new();
    assert_eq!(world.fifo_configure(1, 1002, 2), BusResult::Error, "another VM's");
    assert_eq!(world.fifo_configure(1, 77, 2), BusResult::Error, "invented");
    assert_eq!(world.fifo_configure(1, 1001, 3), BusResult::Error, "wrong size");
    world.grant(1, 20, Some(2), 2);
    assert_eq!(world.fifo_configure(1, 20, 2), BusResult::Error, "shared with a peer");
    world.grant(1, 21, None, 1);
    assert_eq!(world.fifo_configure(1, 21, 1), BusResult::Error, "one page");
    let facts = world.grants.0[&(1, 1001)];
    for bad in [GrantFacts { usable: false, ..facts }, GrantFacts { writable: false, ..facts }] {
        world.grants.0.insert((1, 1001), bad);
        assert_eq!(world.fifo_configure(1, 1001, 2), BusResult::Error);
    }
    world.grants.0.insert((1, 1001), facts);
    world.open_fails = true;
    assert_eq!(world.fifo_configure(1, 1001, 2), BusResult::Error, "the image could not map it");
    world.open_fails = false;
    assert_eq!(world.fifo_configure(1, 1001, 2), BusResult::Ok);
    assert_eq!(world.fifo_configure(1, 1001, 2), BusResult::Error, "a second one");
}

#[test]
fn reset_closes_the_fifo_and_frees_the_choice_of_events() {
    let mut world = World::ready();
    let choose = BusRequest::EventConfigure { method: EventMethod::Fifo, notif_id: 0 };
    let chosen = |result| BusResponse::EventConfigure { result };
    assert_eq!(world.direct_bus(1, choose), chosen(BusResult::Ok));
    assert_eq!(world.direct_bus(1, choose), chosen(BusResult::Error), "not twice");
    let done = BusResponse::Reset { result: BusResult::Ok };
    assert_eq!(world.direct_bus(1, BusRequest::Reset), done);
    assert_eq!(world.log, [Effect::CloseFifo { vm: vm(1), handle: handle(1001) }]);
    assert_eq!(world.direct_bus(1, choose), chosen(BusResult::Ok));
    let notify = BusRequest::EventConfigure { method: EventMethod::Notification, notif_id: 0 };
    assert_eq!(world.direct_bus(4, notify), chosen(BusResult::Error), "cannot be had here");
    world.open_fifo(1);
}

#[test]
fn drivers_see_the_devices_of_their_links_only() {
    let mut world = World::ready();
    let ask = |world: &mut World, id, offset, count| {
        let BusResponse::GetDevices(map) =
            world.direct_bus(id, BusRequest::GetDevices { offset, count })
        else {
            panic!()
        };
        (map.iter().collect::<Vec<_>>(), map.next_offset)
    };
    assert_eq!(ask(&mut world, 1, 0, 16), (vec![0], 0));
    assert_eq!(ask(&mut world, 4, 0, 16), (vec![5], 0));
    assert_eq!(ask(&mut world, 4, 0, 5), (vec![], 5), "the window ends before it");
    assert_eq!(ask(&mut world, 4, 5, 5), (vec![5], 0));
    assert_eq!(ask(&mut world, 4, 0, 0xffff), (vec![5], 0), "cut to what a frame holds");
    assert_eq!(ask(&mut world, 4, 0xffff, 0xffff), (vec![], 0));
    assert_eq!(ask(&mut world, 2, 0, 16), (vec![], 0));
    assert_eq!(ask(&mut world, 3, 0, 16), (vec![], 0), "the hostile VM");
    world.announce(DeviceState::Removed);
    assert_eq!(ask(&mut world, 1, 0, 16), (vec![], 0));
}

#[test]
fn coming_and_going_is_told_to_each_driver_under_its_number() {
    let mut world = World::ready();
    world.announce(DeviceState::Added);
    assert_eq!(world.read(1), [], "nothing new");
    world.announce(DeviceState::Removed);
    let news = |dev_num, state| Body::BusRequest(BusRequest::EventDevice { dev_num, state });
    assert_eq!(world.read_one(1).body, news(0, DeviceState::Removed));
    assert_eq!(world.read_one(4).body, news(5, DeviceState::Removed));
    assert_eq!(world.read(3), []);
    // Nobody but the backend of the link may announce, and only what policy names.
    for id in [1, 3, 4] {
        let state = DeviceState::Added;
        world.send(id, 0, 0, Body::BusRequest(BusRequest::EventDevice { dev_num: 7, state }));
    }
    let state = DeviceState::Added;
    world.send(2, 0, 0, Body::BusRequest(BusRequest::EventDevice { dev_num: 8, state }));
    assert_eq!((world.read(1), world.read(4)), (vec![], vec![]));
    assert!(!world.bus.is_present(vm(1), 0));
}

#[test]
fn events_can_be_polled_for() {
    let mut world = World::new();
    world.open_fifo(2);
    let choose = BusRequest::EventConfigure { method: EventMethod::Poll, notif_id: 0 };
    world.direct_bus(1, choose);
    world.open_fifo(1);
    assert_eq!(world.direct_bus(1, BusRequest::EventPoll), BusResponse::EventPoll);
    world.announce(DeviceState::Added);
    assert_eq!(world.read(1), [], "not pushed to one who polls");
    let poll = Message { dev_num: 0, token: 3, body: Body::BusRequest(BusRequest::EventPoll) };
    let event = Message::decode(&frame_bytes(&world.direct(1, &poll))).unwrap();
    let added = BusRequest::EventDevice { dev_num: 0, state: DeviceState::Added };
    assert_eq!(event.body, Body::BusRequest(added));
    assert_eq!(world.direct_bus(1, BusRequest::EventPoll), BusResponse::EventPoll);
}

#[test]
fn frames_without_meaning_are_answered_with_an_error() {
    let mut world = World::ready();
    let frames = [
        [0, 0, 0, 0, 0],
        [u64::MAX; 5],
        [0x0008_0001_0000_0d00, 0, 0, 0, 0],
        [0x0008_0001_0000_0201, 0, 0, 0, 0],
        [0x0008_0001_0000_8403, 0, 0, 0, 0],
        [0x0068_0001_0000_0200, 0, 0, 0, 0],
    ];
    let before = world.bus.clone();
    for words in frames {
        let reply = world.step(Event::Frame { vm: vm(1), words });
        let message = Message::decode(&frame_bytes(&reply[0])).unwrap();
        assert!(matches!(message.body, Body::BusResponse(BusResponse::Error { .. })), "{words:x?}");
    }
    let reply = world.step(Event::Frame { vm: vm(99), words: [0x0008_0001_0000_8402, 0, 0, 0, 0] });
    assert_eq!(Message::decode(&frame_bytes(&reply[0])).unwrap().body, error(0x84), "no such VM");
    assert_eq!((world.bus.links.clone(), world.bus.vms.clone()), (before.links, before.vms));
}

#[test]
fn links_that_contradict_each_other_are_refused() {
    let mut world = World::new();
    let policy = LinkPolicy { driver: vm(1), backend: Some(vm(3)), backend_dev: 0, driver_dev: 0 };
    assert_eq!(world.bus.add_link(policy), Err(SetupError::Duplicate), "number taken");
    let unknown = LinkPolicy { driver: vm(9), ..policy };
    assert_eq!(world.bus.add_link(unknown), Err(SetupError::UnknownVm));
    let own = LinkPolicy { backend: Some(vm(1)), driver_dev: 3, ..policy };
    assert_eq!(world.bus.add_link(own), Err(SetupError::Duplicate));
    let same = LinkPolicy { backend: Some(vm(2)), backend_dev: 7, driver_dev: 3, ..policy };
    assert_eq!(world.bus.add_link(same), Err(SetupError::Duplicate), "one device twice");
    let second = LinkPolicy { backend_dev: 8, ..same };
    assert_eq!(world.bus.add_link(second), Ok(()), "two devices on one link");
    let third = LinkPolicy { backend_dev: 9, driver_dev: 4, ..same };
    assert_eq!(world.bus.add_link(third), Err(SetupError::NoRoom));
    assert_eq!(world.bus.add_vm(vm(1)), Err(SetupError::Duplicate));
    assert_eq!(world.bus.add_vm(vm(5)), Err(SetupError::NoRoom));
}

#[test]
fn older_dialects_are_answered_in_their_own_layout() {
    let mut world = World::new();
    let era = VersionRequest::Den0153V1 { bus_version: 0x0001_0000, transport_revision: 1 };
    let BusResponse::Version(answer) = world.direct_bus(1, BusRequest::Version(era)) else {
        panic!()
    };
    assert_eq!((answer.bus_version, answer.ffa_version), (0x0001_0000, None));
    // The RFC without token: six bytes of header, 18 of payload.
    let mut bytes = [0; 40];
    bytes[..10].copy_from_slice(&[2, 0x80, 0, 0, 24, 0, 1, 0, 0, 0]);
    let (chunks, _) = bytes.as_chunks::<8>();
    let words = [0, 1, 2, 3, 4].map(|n| u64::from_le_bytes(chunks[n]));
    let replies = world.step(Event::Frame { vm: vm(1), words });
    let reply = frame_bytes(&replies[0]);
    assert_eq!(reply[..10], [3, 0x80, 0, 0, 24, 0, 0, 0, 1, 0], "not version 1: it gives up");
    assert_eq!(reply[22..24], [4, 0], "areas of a link");
    // A stranger is told nothing.
    let replies = world.step(Event::Frame { vm: vm(99), words });
    let refused = Message::decode(&frame_bytes(&replies[0])).unwrap();
    assert_eq!(refused.body, error(0x80));
}

#[test]
fn a_driver_with_a_notification_is_notified_once_and_asks_for_the_rest() {
    let mut world = World::new();
    let choose = |world: &mut World| {
        let request = BusRequest::EventConfigure { method: EventMethod::Notification, notif_id: 9 };
        match world.direct_bus(1, request) {
            BusResponse::EventConfigure { result } => result,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(choose(&mut world), BusResult::Error, "there are none");
    world.bus.config.features = world.bus.config.features.with(BusFeatures::NOTIF_TX);
    assert_eq!(choose(&mut world), BusResult::Ok);
    world.open_fifo(1);
    world.open_fifo(2);
    let notify = Effect::Notify { vm: vm(1), notif_id: 9 };
    world.announce(DeviceState::Added);
    world.send(2, 7, 0, Body::Request(Request::EventUsed { index: 1 }));
    assert_eq!(world.log, [notify], "once");
    assert_eq!(world.read(1), [], "nothing is pushed");
    let poll = Message { dev_num: 0, token: 5, body: Body::BusRequest(BusRequest::EventPoll) };
    let mut polled = vec![];
    loop {
        let event = Message::decode(&frame_bytes(&world.direct(1, &poll))).unwrap();
        if event.body == Body::BusResponse(BusResponse::EventPoll) {
            break;
        }
        polled.push(event.body);
    }
    assert_eq!(polled.len(), 2);
    world.send(2, 7, 0, Body::Request(Request::EventUsed { index: 1 }));
    assert_eq!(world.log, [notify, notify], "again, after all was asked for");
}
