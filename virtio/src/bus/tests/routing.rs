//! How requests find their device and answers their driver.

use super::*;
use crate::msg::{BlockRange, ConfigBytes, ConfigData, ConfigRange, Vqueue, frame_bytes};

#[test]
fn requests_go_on_under_our_token_and_answers_under_the_drivers() {
    let mut world = World::ready();
    world.send(1, 0, 0xabcd, Body::Request(Request::GetDeviceStatus));
    let mail = world.read(2);
    let (forwarded, far) = mail[0];
    assert_eq!((mail.len(), far, forwarded.dev_num), (1, 1, 7));
    assert_ne!(forwarded.token, 0xabcd);
    let status = Response::GetDeviceStatus(Status::ACKNOWLEDGE);
    world.send(2, 7, forwarded.token, Body::Response(status));
    let answer = world.read_one(1);
    assert_eq!((answer.token, answer.dev_num), (0xabcd, 0));
    assert_eq!(answer.body, Body::Response(status));
    assert_eq!((world.read(2), world.read(4), world.read(3)), (vec![], vec![], vec![]));
}

#[test]
fn two_drivers_of_one_backend_are_kept_apart() {
    let mut world = World::ready();
    world.send(1, 0, 5, Body::Request(Request::GetDeviceStatus));
    world.send(4, 5, 5, Body::Request(Request::GetDeviceStatus));
    let mail = world.read(2);
    assert_eq!((mail[0].1, mail[1].1), (1, 4));
    assert_ne!(mail[0].0.token, mail[1].0.token);
    let second = Response::GetDeviceStatus(Status::DRIVER);
    world.send(2, 7, mail[1].0.token, Body::Response(second));
    assert_eq!(world.read_one(4).body, Body::Response(second));
    assert_eq!(world.read(1), []);
}

#[test]
fn devices_of_others_do_not_exist() {
    let mut world = World::ready();
    for (id, dev_num) in [(1, 5), (1, 7), (3, 0), (3, 5), (3, 7), (2, 7), (4, 0)] {
        world.send(id, dev_num, 9, Body::Request(Request::GetDeviceStatus));
        let answer = world.read_one(id);
        assert_eq!((answer.body, answer.token, answer.dev_num), (error(7), 9, dev_num));
        world.mail.clear();
    }
    assert_eq!(world.bus.counters().forwarded, 0);
}

#[test]
fn wrong_answers_end_the_request_with_an_error() {
    let ask = Request::GetConfig(ConfigRange { offset: 8, len: 4 });
    let config = |offset, data: &[u8]| {
        let data = ConfigBytes::new(data).unwrap();
        Response::GetConfig(ConfigData { generation: 0, offset, data })
    };
    let wrong = [
        (7, config(8, &[1; 5])),
        (7, config(9, &[1; 4])),
        (8, config(8, &[1; 4])),
        (7, Response::GetDeviceStatus(Status::RESET)),
        (7, Response::GetVqueue(Vqueue::default())),
    ];
    for (dev_num, answer) in wrong {
        let mut world = World::ready();
        world.send(1, 0, 9, Body::Request(ask));
        let token = world.read_one(2).token;
        world.send(2, dev_num, token, Body::Response(answer));
        assert_eq!(world.read_one(1).body, error(5), "{answer:?}");
        world.send(2, 7, token, Body::Response(config(8, &[1; 4])));
        assert_eq!(world.read(1), [], "the right answer comes too late");
    }
    let mut world = World::ready();
    let right = config(8, &[1, 2, 3, 4]);
    assert_eq!(world.round_trip(ask, right).body, Body::Response(right));
}

#[test]
fn answers_of_others_and_unasked_ones_are_dropped() {
    let mut world = World::ready();
    world.send(1, 0, 9, Body::Request(Request::GetDeviceStatus));
    let token = world.read_one(2).token;
    let answer = Body::Response(Response::GetDeviceStatus(Status::DRIVER_OK));
    for id in [1, 3, 4] {
        world.send(id, 7, token, answer);
    }
    for wrong in [0, token.wrapping_add(1), 9] {
        world.send(2, 7, wrong, answer);
    }
    assert_eq!(world.read(1), []);
    world.send(2, 7, token, answer);
    assert_eq!(world.read_one(1).body, answer);
    world.send(2, 7, token, answer);
    assert_eq!(world.read(1), [], "answered once");
}

#[test]
fn malformed_answer_ends_the_request() {
    let mut world = World::ready();
    world.send(1, 0, 9, Body::Request(Request::GetDeviceStatus));
    let token = world.read_one(2).token;
    let status = Response::GetDeviceStatus(Status::DRIVER_OK);
    let good = Message { dev_num: 7, token, body: Body::Response(status) };
    let mut bytes = *Slot::new(&good.encode(), vm(0)).as_bytes();
    bytes[6] = 11; // msg_size
    world.step(Event::FifoMessage { vm: vm(2), slot: Slot::from_bytes(bytes) });
    assert_eq!(world.read_one(1).body, error(7));
}

#[test]
fn backend_can_decline() {
    let mut world = World::ready();
    world.send(1, 0, 9, Body::Request(Request::GetShm { shmid: 1 }));
    let token = world.read_one(2).token;
    world.send(2, 7, token, error(0x0c));
    let answer = world.read_one(1);
    assert_eq!((answer.body, answer.token), (error(0x0c), 9));
}

#[test]
fn one_request_at_a_time_per_link() {
    let mut world = World::ready();
    world.send(1, 0, 1, Body::Request(Request::GetDeviceStatus));
    world.send(1, 0, 2, Body::Request(Request::GetDeviceInfo));
    let refused = world.read_one(1);
    assert_eq!((refused.body, refused.token), (error(2), 2));
    world.grant(1, 11, Some(2), 16);
    world.send(1, 0, 3, share(1, 11, 16));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Busy));
    assert_eq!(world.read(2).len(), 1);
    world.send(4, 5, 4, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.read(2).len(), 1, "another link is not held up");
}

#[test]
fn silence_ends_in_an_error_at_the_deadline() {
    let mut world = World::ready();
    world.now = 1000;
    world.send(1, 0, 1, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.bus.next_deadline(), Some(1000 + ANSWER_TICKS));
    world.now = 1000 + ANSWER_TICKS - 1;
    world.step(Event::Tick);
    assert_eq!(world.read(1), []);
    world.now += 1;
    world.step(Event::Tick);
    assert_eq!(world.read_one(1).body, error(7));
    assert_eq!(world.bus.next_deadline(), None);
    let late = world.read_one(2).token;
    world.send(2, 7, late, Body::Response(Response::GetDeviceStatus(Status::RESET)));
    assert_eq!(world.read(1), [], "too late");
    world.round_trip(Request::GetDeviceStatus, Response::GetDeviceStatus(Status::RESET));
}

#[test]
fn full_fifo_of_the_backend_is_an_error_and_no_harm() {
    let mut world = World::ready();
    world.full = vec![2];
    world.send(1, 0, 1, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.read_one(1).body, error(7));
    world.send(1, 0, 2, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.read_one(1).body, error(7), "stalled until it looks");
    world.full.clear();
    world.step(Event::Kick { vm: vm(2) });
    world.round_trip(Request::GetDeviceStatus, Response::GetDeviceStatus(Status::RESET));
}

#[test]
fn news_for_a_full_fifo_is_kept() {
    let mut world = World::ready();
    world.full = vec![1];
    world.announce(DeviceState::Removed);
    assert_eq!(world.read(4).len(), 1);
    world.full.clear();
    world.step(Event::Tick);
    assert_eq!(world.read(1), [], "it has not looked");
    world.step(Event::Kick { vm: vm(1) });
    let gone = BusRequest::EventDevice { dev_num: 0, state: DeviceState::Removed };
    assert_eq!(world.read_one(1).body, Body::BusRequest(gone));
}

#[test]
fn direct_requests_are_pending_until_asked_again() {
    let mut world = World::ready();
    let ask = Message { dev_num: 0, token: 8, body: Body::Request(Request::GetDeviceStatus) };
    assert_eq!(world.direct(1, &ask), [0; 5]);
    assert_eq!(world.direct(1, &ask), [0; 5]);
    let mail = world.read(2);
    assert_eq!(mail.len(), 1, "forwarded once");
    let answer = Body::Response(Response::GetDeviceStatus(Status::DRIVER));
    world.send(2, 7, mail[0].0.token, answer);
    let reply = Message::decode(&frame_bytes(&world.direct(1, &ask))).unwrap();
    assert_eq!((reply.body, reply.token, reply.dev_num), (answer, 8, 0));
    assert_eq!(world.read(1), []);
    // Too long for five words, and a time-out: errors.
    let info =
        Message { dev_num: 0, token: 9, body: Body::Request(Request::GetVqueue { index: 0 }) };
    assert_eq!(world.direct(1, &info), [0; 5]);
    let token = world.read_one(2).token;
    world.send(2, 7, token, Body::Response(Response::GetVqueue(Vqueue::default())));
    let reply = Message::decode(&frame_bytes(&world.direct(1, &info))).unwrap();
    assert_eq!(reply.body, error(9));
    assert_eq!(world.direct(1, &ask), [0; 5]);
    world.now += ANSWER_TICKS;
    world.step(Event::Tick);
    let reply = Message::decode(&frame_bytes(&world.direct(1, &ask))).unwrap();
    assert_eq!(reply.body, error(7));
}

#[test]
fn queue_events_pass_in_both_directions() {
    let mut world = World::ready();
    let kick = Body::Request(Request::EventAvail { index: 0, next_offset: 0 });
    world.send(4, 5, 0, kick);
    let (message, far) = world.read(2)[0];
    assert_eq!((message.body, message.dev_num, far), (kick, 7, 4));
    let used = Body::Request(Request::EventUsed { index: 0 });
    world.send_far(2, 4, Message { dev_num: 7, token: 0, body: used });
    assert_eq!(world.read_one(4), Message { dev_num: 5, token: 0, body: used });
    assert_eq!(world.read(1), []);
    // A VM that serves nobody reaches nobody.
    world.send_far(3, 4, Message { dev_num: 7, token: 0, body: used });
    world.send_far(2, 3, Message { dev_num: 7, token: 0, body: used });
    world.send_far(2, 4, Message { dev_num: 8, token: 0, body: used });
    world.send(3, 5, 0, kick);
    assert!(world.mail.is_empty());
}

#[test]
fn cached_features_serve_after_the_backend() {
    let mut world = World::ready();
    let range = BlockRange { index: 0, count: 2 };
    let words = crate::msg::FeatureWords::collect([0x200, 3]).unwrap();
    let blocks = crate::msg::FeatureBlocks { index: 0, words };
    world.round_trip(Request::GetDeviceFeatures(range), Response::GetDeviceFeatures(blocks));
    world.step(Event::VmGone { vm: vm(2) });
    world.mail.clear();
    world.send(1, 0, 1, Body::Request(Request::GetDeviceFeatures(range)));
    let answer = Body::Response(Response::GetDeviceFeatures(blocks));
    assert_eq!(world.read_one(1).body, answer);
    world.send(4, 5, 1, Body::Request(Request::GetDeviceFeatures(range)));
    assert_eq!(world.read_one(4).body, error(3), "this link never asked");
}

#[test]
fn no_driver_fills_the_fifo_of_a_backend_that_others_share() {
    let mut world = World::driving();
    for n in 0..100 {
        world.send(1, 0, 2, Body::Request(Request::EventAvail { index: n % 2, next_offset: 0 }));
        world.send(1, 0, 3, Body::Request(Request::GetDeviceStatus));
        world.direct_bus(1, BusRequest::Reset);
        world.open_fifo(1);
    }
    let flood = world.read(2);
    assert!(flood.len() <= 4, "{} messages wait for the backend", flood.len());
    world.mail.clear();
    world.send(4, 5, 1, Body::Request(Request::GetDeviceStatus));
    let (asked, far) = world.read(2)[0];
    assert_eq!((asked.body, far), (Body::Request(Request::GetDeviceStatus), 4));
    world.step(Event::Kick { vm: vm(2) });
    assert_eq!(world.read_one(2).body, Body::BusRequest(BusRequest::Reset), "what was owed");
    world.round_trip(Request::GetDeviceStatus, Response::GetDeviceStatus(Status::RESET));
}

#[test]
fn no_backend_fills_the_fifo_of_a_driver() {
    let mut world = World::driving();
    let used = |index| Body::Request(Request::EventUsed { index });
    for n in 0..100 {
        world.send_far(2, 1, Message { dev_num: 7, token: 0, body: used(n % 2) });
        world.announce(if n % 2 == 0 { DeviceState::Removed } else { DeviceState::Added });
    }
    assert!(world.read(1).len() <= 4);
    world.step(Event::Kick { vm: vm(1) });
    assert!(!world.read(1).is_empty(), "the last news are not lost");
}

#[test]
fn kicks_for_a_full_fifo_are_kept_and_joined() {
    let mut world = World::driving();
    let kick = |index| Body::Request(Request::EventAvail { index, next_offset: 0 });
    world.full = vec![2];
    for index in [1, 0, 1, 0, 31, 32, 99] {
        world.send(1, 0, 0, kick(index));
    }
    world.full.clear();
    world.step(Event::Kick { vm: vm(2) });
    let bodies: Vec<_> = world.read(2).into_iter().map(|(m, _)| m.body).collect();
    assert_eq!(bodies, [kick(0), kick(1), kick(31)]);
}

#[test]
fn configuration_events_carry_their_data_or_at_least_the_status() {
    let mut world = World::driving();
    let data = ConfigBytes::new(&[1, 2]).unwrap();
    let config = ConfigData { generation: 6, offset: 0, data };
    let event = crate::msg::ConfigEvent::new(Status::from_raw(0x0f), config).unwrap();
    let body = Body::Request(Request::EventConfig(event));
    world.send_far(2, 1, Message { dev_num: 7, token: 0, body });
    assert_eq!(world.read_one(1).body, body);
    world.full = vec![1];
    world.send_far(2, 1, Message { dev_num: 7, token: 0, body });
    world.full.clear();
    world.step(Event::Kick { vm: vm(1) });
    let Body::Request(Request::EventConfig(event)) = world.read_one(1).body else { panic!() };
    assert_eq!((event.status().get(), event.config().generation), (0x0f, 6));
}

#[test]
fn a_reset_takes_the_place_of_the_request_in_flight() {
    let mut world = World::driving();
    world.send(1, 0, 20, Body::Request(Request::GetDeviceStatus));
    let late = world.read_one(2).token;
    world.send(1, 0, 21, Body::Request(Request::SetDeviceStatus(Status::RESET)));
    let failed = world.read_one(1);
    assert_eq!((failed.body, failed.token), (error(7), 20), "the old request is answered first");
    let reset = world.read_one(2);
    assert_eq!(reset.body, Body::Request(Request::SetDeviceStatus(Status::RESET)));
    // The answer to the old one comes all the same, and means nothing.
    world.send(2, 7, late, Body::Response(Response::GetDeviceStatus(Status::from_raw(0x0f))));
    assert_eq!(world.read(1), []);
    world.send(2, 7, reset.token, Body::Response(Response::SetDeviceStatus(Status::RESET)));
    let done = world.read_one(1);
    assert_eq!(done.token, 21);
    assert_eq!(done.body, Body::Response(Response::SetDeviceStatus(Status::RESET)));
    assert!(!world.bus.links[0].as_ref().unwrap().has_ring_in(area(1)));
}

#[test]
fn a_reset_does_not_take_the_place_of_an_area_in_flight() {
    let mut world = World::ready();
    world.grant(1, 11, Some(2), 16);
    world.send(1, 0, 20, share(1, 11, 16));
    let token = world.read_one(2).token;
    world.send(1, 0, 21, Body::Request(Request::SetDeviceStatus(Status::RESET)));
    assert_eq!(world.read_one(1).body, error(8), "the link is busy");
    world.send(2, 0, token, shared(1, BusResult::Ok));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Ok));
}

#[test]
fn the_generation_of_the_last_answer_is_told_with_a_status() {
    let mut world = World::driving();
    let data = ConfigBytes::new(&[1]).unwrap();
    let config = ConfigData { generation: 77, offset: 0, data };
    let range = ConfigRange { offset: 0, len: 1 };
    world.round_trip(Request::GetConfig(range), Response::GetConfig(config));
    world.step(Event::VmGone { vm: vm(2) });
    let Body::Request(Request::EventConfig(event)) = world.read_one(1).body else { panic!() };
    assert_eq!(event.config().generation, 77);
}

#[test]
fn direct_requests_on_two_links_wait_for_their_answers_side_by_side() {
    let mut world = World::ready();
    let policy = LinkPolicy { driver: vm(1), backend: Some(vm(3)), backend_dev: 1, driver_dev: 6 };
    world.bus.add_link(policy).unwrap();
    let state = DeviceState::Added;
    world.send(3, 0, 0, Body::BusRequest(BusRequest::EventDevice { dev_num: 1, state }));
    let ask =
        |dev_num| Message { dev_num, token: 5, body: Body::Request(Request::GetDeviceStatus) };
    for dev_num in [0, 6] {
        assert_eq!(world.direct(1, &ask(dev_num)), [0; 5]);
    }
    for (backend, dev_num, raw) in [(2, 7, 1), (3, 1, 3)] {
        let token = world.read_one(backend).token;
        let status = Response::GetDeviceStatus(Status::from_raw(raw));
        world.send(backend, dev_num, token, Body::Response(status));
    }
    for (dev_num, raw) in [(6, 3), (0, 1)] {
        let answer = Message::decode(&frame_bytes(&world.direct(1, &ask(dev_num)))).unwrap();
        let status = Response::GetDeviceStatus(Status::from_raw(raw));
        assert_eq!((answer.dev_num, answer.body), (dev_num, Body::Response(status)));
    }
    // An answer that nobody fetches does not keep the link from the next request, however it comes.
    assert_eq!(world.direct(1, &ask(0)), [0; 5]);
    let token = world.read_one(2).token;
    let status = Response::GetDeviceStatus(Status::from_raw(1));
    world.send(2, 7, token, Body::Response(status));
    world.send(1, 0, 9, Body::Request(Request::GetDeviceStatus));
    assert_eq!(world.read_one(2).body, Body::Request(Request::GetDeviceStatus));
}
