//! Which area may be bound, which ring may lie where, and when an id is free again.

use super::*;

#[test]
fn only_a_usable_grant_to_the_backend_of_a_link_is_bound() {
    let mut world = World::ready();
    let refused = |world: &mut World, id: u16, body: Body, why: &str| {
        let before = world.bus.links.clone();
        world.send(id, 0, 1, body);
        let answer = world.read_one(id).body;
        let error =
            Body::BusResponse(BusResponse::AreaShare { area: area(1), result: BusResult::Error });
        assert_eq!(answer, error, "{why}");
        assert_eq!(world.bus.links, before, "{why}");
        assert_eq!(world.read(2), [], "{why}");
    };
    refused(&mut world, 1, share(1, 99, 16), "no such grant");
    world.grant(1, 11, Some(3), 16);
    refused(&mut world, 1, share(1, 11, 16), "no link with that peer");
    refused(&mut world, 1, share(1, 1001, 2), "local, and no local device");
    world.grant(1, 12, Some(2), 16);
    refused(&mut world, 1, share(1, 12, 15), "another page count");
    refused(&mut world, 3, share(1, 12, 16), "not the owner");
    refused(&mut world, 4, share(1, 12, 16), "another driver of the same backend");
    let facts = world.grants.0[&(1, 12)];
    world.grants.0.insert((1, 12), GrantFacts { usable: false, ..facts });
    refused(&mut world, 1, share(1, 12, 16), "not accepted, or being torn down");
    world.grants.0.insert((1, 12), GrantFacts { writable: false, ..facts });
    refused(&mut world, 1, share(1, 12, 16), "more than was granted");
}

#[test]
fn an_id_and_a_grant_are_bound_once() {
    let mut world = World::ready();
    world.share(1, 11);
    world.grant(1, 12, Some(2), 16);
    world.send(1, 0, 1, share(1, 12, 16));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error), "id in use");
    world.send(1, 0, 1, share(2, 11, 16));
    assert_eq!(world.read_one(1).body, shared(2, BusResult::Error), "grant in use");
    for id in 2..=4 {
        world.share(id, 20 + u64::from(id));
    }
    world.grant(1, 30, Some(2), 16);
    world.send(1, 0, 1, share(5, 30, 16));
    assert_eq!(world.read_one(1).body, shared(5, BusResult::Error), "no room left");
}

#[test]
fn two_frontends_use_the_same_id_on_one_backend() {
    let mut world = World::driving();
    world.grant(4, 41, Some(2), 16);
    world.send(4, 0, 1, share(1, 41, 16));
    let (forwarded, far) = world.read(2)[0];
    assert_eq!((forwarded.body, far), (share(1, 41, 16), 4));
    world.send(2, 0, forwarded.token, shared(1, BusResult::Ok));
    assert_eq!(world.read_one(4).body, shared(1, BusResult::Ok));
    world.send(4, 5, 2, Body::Request(Request::SetVqueue(set_vqueue(1))));
    let token = world.read_one(2).token;
    world.send(2, 7, token, Body::Response(Response::SetVqueue));
    assert_eq!(world.read_one(4).body, Body::Response(Response::SetVqueue));
    // The end of one does not touch the other's area or queue.
    world.step(Event::VmGone { vm: vm(4) });
    assert!(world.bus.links[0].as_ref().unwrap().has_ring_in(area(1)));
    assert!(!world.bus.links[1].as_ref().unwrap().has_ring_in(area(1)));
    let reset = world.read(2);
    assert_eq!(
        reset,
        [(Message { dev_num: 0, token: 0, body: Body::BusRequest(BusRequest::Reset) }, 4)]
    );
}

#[test]
fn a_backend_that_declines_leaves_the_id_free() {
    let mut world = World::ready();
    world.grant(1, 11, Some(2), 16);
    world.send(1, 0, 1, share(1, 11, 16));
    let token = world.read_one(2).token;
    world.send(2, 0, token, shared(1, BusResult::Error));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error));
    world.send(1, 0, 2, share(1, 11, 16));
    let token = world.read_one(2).token;
    world.send(2, 0, token, error(0x81));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error));
    world.share(1, 11);
}

#[test]
fn answers_about_another_area_are_wrong() {
    let mut world = World::ready();
    world.grant(1, 11, Some(2), 16);
    world.send(1, 0, 1, share(1, 11, 16));
    let token = world.read_one(2).token;
    world.send(2, 0, token, shared(2, BusResult::Ok));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error));
}

/// SET_VQUEUE with `set` is refused, and nobody hears of it.
fn refused(world: &mut World, set: SetVqueue, why: &str) {
    let before = world.bus.links.clone();
    world.send(1, 0, 9, Body::Request(Request::SetVqueue(set)));
    assert_eq!(world.read_one(1).body, error(0x0a), "{why}");
    assert_eq!(world.read(2), [], "{why}");
    assert_eq!(world.bus.links, before, "{why}");
}

#[test]
fn rings_must_lie_inside_granted_areas_of_the_link() {
    let mut world = World::ready();
    world.share(1, 11);
    let good = set_vqueue(1);
    let end = 16 * 4096;
    refused(&mut world, set_vqueue(2), "no such area");
    refused(&mut world, SetVqueue { desc: BusAddr::from_raw(0), ..good }, "area 0");
    refused(&mut world, SetVqueue { desc: at(1, end - 4080), ..good }, "table ends outside");
    refused(&mut world, SetVqueue { driver: at(1, end - 516), ..good }, "available ring");
    refused(&mut world, SetVqueue { device: at(1, end - 2052), ..good }, "used ring");
    refused(&mut world, SetVqueue { device: at(1, (1 << 48) - 16), ..good }, "far outside");
    refused(&mut world, SetVqueue { desc: at(1, 8), ..good }, "unaligned");
    refused(&mut world, SetVqueue { size: 255, ..good }, "no power of two");
    refused(&mut world, SetVqueue { size: 0, ..good }, "no size");
    refused(&mut world, SetVqueue { size: 0x1_0000, ..good }, "too large");
    refused(&mut world, SetVqueue { index: 2, ..good }, "more queues than there is room for");
    refused(&mut world, SetVqueue { index: u32::MAX, ..good }, "absurd");
    let ignore = VqueueFlags::new(0x3d).unwrap();
    refused(&mut world, SetVqueue { flags: ignore, ..good }, "nothing there to keep");
    let last = SetVqueue { driver: at(1, end - 518), ..good };
    let answer = world.round_trip(Request::SetVqueue(last), Response::SetVqueue);
    assert_eq!(answer.body, Body::Response(Response::SetVqueue));
    assert_eq!(world.log, [Effect::AreaInUse { owner: vm(1), handle: handle(11) }]);
}

#[test]
fn used_rings_need_write_permission_and_live_grants() {
    let mut world = World::ready();
    world.share(1, 11);
    world.grant(1, 12, Some(2), 16);
    let Body::BusRequest(BusRequest::AreaShare(ask)) = share(2, 12, 16) else { panic!() };
    let ask = AreaShare { attrs: AreaAttrs::SHARED_READ_ONLY, ..ask };
    world.send(1, 0, 1, Body::BusRequest(BusRequest::AreaShare(ask)));
    let token = world.read_one(2).token;
    world.send(2, 0, token, shared(2, BusResult::Ok));
    world.mail.clear();
    let good = set_vqueue(1);
    refused(&mut world, SetVqueue { device: at(2, 0), ..good }, "the device writes there");
    let split = SetVqueue { desc: at(2, 0), driver: at(2, 0x1000), ..good };
    assert_eq!(
        world.round_trip(Request::SetVqueue(split), Response::SetVqueue).body,
        Body::Response(Response::SetVqueue)
    );
    let facts = world.grants.0[&(1, 11)];
    world.grants.0.insert((1, 11), GrantFacts { usable: false, ..facts });
    refused(&mut world, SetVqueue { index: 1, ..good }, "the grant is being torn down");
    world.grants.0.insert((1, 11), GrantFacts { generation: 99, ..facts });
    refused(&mut world, SetVqueue { index: 1, ..good }, "a later grant of the same handle");
}

#[test]
fn packed_rings_are_measured_as_packed() {
    let mut world = World::ready();
    world.share(1, 11);
    let words = crate::msg::FeatureWords::collect([0, 1 | Features::RING_PACKED.block(1)]).unwrap();
    let blocks = crate::msg::FeatureBlocks { index: 0, words };
    world.round_trip(Request::SetDriverFeatures(blocks), Response::SetDriverFeatures);
    let end = 16 * 4096;
    let packed = SetVqueue {
        desc: at(1, 0),
        driver: at(1, end - 4),
        device: at(1, end - 8),
        ..set_vqueue(1)
    };
    refused(&mut world, SetVqueue { driver: at(1, end - 2), ..packed }, "unaligned for packed");
    world.round_trip(Request::SetVqueue(packed), Response::SetVqueue);
}

#[test]
fn unshare_waits_for_the_queues_and_for_the_backend() {
    let mut world = World::driving();
    world.send(1, 0, 1, unshare(1));
    assert_eq!(world.read_one(1).body, unshared(1, BusResult::Busy), "a ring lies in it");
    world.round_trip(Request::ResetVqueue { index: 0 }, Response::ResetVqueue);
    let area_of = |world: &World| world.log.clone();
    let free = Effect::AreaFree { owner: vm(1), handle: handle(11) };
    assert_eq!(area_of(&world).last(), Some(&free));
    world.send(1, 0, 2, unshare(1));
    assert_eq!(world.read(1), [], "not before the backend has let go");
    let token = world.read_one(2).token;
    world.send(2, 0, token, unshared(1, BusResult::Ok));
    let answer = world.read_one(1);
    assert_eq!((answer.body, answer.token), (unshared(1, BusResult::Ok), 2));
    world.send(1, 0, 3, unshare(1));
    assert_eq!(world.read_one(1).body, unshared(1, BusResult::Ok), "already");
    world.send(1, 0, 3, unshare(2));
    assert_eq!(world.read_one(1).body, unshared(2, BusResult::Error), "never bound");
}

#[test]
fn an_id_is_free_again_when_its_grant_ended_and_every_queue_is_reset() {
    let mut world = World::driving();
    world.share(2, 12);
    world.send(1, 0, 2, unshare(2));
    let token = world.read_one(2).token;
    world.send(2, 0, token, unshared(2, BusResult::Ok));
    world.read_one(1);
    world.grant(1, 13, Some(2), 16);
    let try_again = |world: &mut World| {
        world.send(1, 0, 3, share(2, 13, 16));
        world.read(1).pop().map(|(m, _)| m.body)
    };
    let refused = Some(shared(2, BusResult::Error));
    assert_eq!(try_again(&mut world), refused, "the grant lives");
    world.grants.0.remove(&(1, 12));
    world.step(Event::GrantGone { owner: vm(1), handle: handle(12) });
    assert_eq!(try_again(&mut world), refused, "a queue of the link is set up");
    world.round_trip(Request::ResetVqueue { index: 0 }, Response::ResetVqueue);
    assert_eq!(try_again(&mut world), None, "forwarded");
    assert_eq!(world.read_one(2).body, share(2, 13, 16));
}

#[test]
fn after_a_silent_share_the_id_waits_for_the_end_of_the_grant() {
    let mut world = World::ready();
    world.grant(1, 11, Some(2), 16);
    world.send(1, 0, 1, share(1, 11, 16));
    world.read_one(2);
    world.now += ANSWER_TICKS;
    world.step(Event::Tick);
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error));
    refused(&mut world, set_vqueue(1), "not bound");
    world.send(1, 0, 2, share(1, 11, 16));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error), "it may be mapped");
    world.grants.0.remove(&(1, 11));
    world.share(1, 12);
}

#[test]
fn after_a_silent_set_vqueue_the_rings_count_as_in_use() {
    let mut world = World::ready();
    world.share(1, 11);
    world.send(1, 0, 1, Body::Request(Request::SetVqueue(set_vqueue(1))));
    world.now += ANSWER_TICKS;
    world.step(Event::Tick);
    world.mail.clear();
    world.send(1, 0, 2, unshare(1));
    assert_eq!(world.read_one(1).body, unshared(1, BusResult::Busy));
    let reset = Request::SetDeviceStatus(Status::RESET);
    world.round_trip(reset, Response::SetDeviceStatus(Status::RESET));
    world.send(1, 0, 3, unshare(1));
    assert_eq!(world.read_one(2).body, unshare(1));
}

#[test]
fn an_area_id_is_on_one_link_of_a_driver_at_a_time() {
    // VM 1 also drives a device of VM 3.
    let mut world = World::ready();
    let policy = LinkPolicy { driver: vm(1), backend: Some(vm(3)), backend_dev: 1, driver_dev: 6 };
    world.bus.add_link(policy).unwrap();
    world.share(1, 11);
    world.grant(1, 31, Some(3), 16);
    world.send(1, 0, 1, share(1, 31, 16));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error), "the other link has it");
    assert_eq!(world.read(3), []);
    // Let go, its grant alive: AREA_UNSHARE could still mean either.
    world.send(1, 0, 2, unshare(1));
    let token = world.read_one(2).token;
    world.send(2, 0, token, unshared(1, BusResult::Ok));
    world.read_one(1);
    world.send(1, 0, 3, share(1, 31, 16));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Error), "its grant lives");
    // Its grant ended: the id moves, and means the new link only.
    world.grants.0.remove(&(1, 11));
    world.step(Event::GrantGone { owner: vm(1), handle: handle(11) });
    world.send(1, 0, 4, share(1, 31, 16));
    let token = world.read_one(3).token;
    world.send(3, 0, token, shared(1, BusResult::Ok));
    assert_eq!(world.read_one(1).body, shared(1, BusResult::Ok));
    world.send(1, 0, 5, unshare(1));
    assert_eq!(world.read_one(3).body, unshare(1), "the one that has it now");
    assert_eq!(world.read(2), []);
}

#[test]
fn each_part_of_a_packed_ring_has_its_own_size_and_permission() {
    // virtio 1.3, 2.8: a ring of 16 bytes an entry that both sides write, and two event suppression
    // structures of 4 bytes, the device's written by the device.
    let mut world = World::ready();
    world.share(1, 11);
    world.grant(1, 12, Some(2), 16);
    let Body::BusRequest(BusRequest::AreaShare(ask)) = share(2, 12, 16) else { panic!() };
    let ask = AreaShare { attrs: AreaAttrs::SHARED_READ_ONLY, ..ask };
    world.send(1, 0, 1, Body::BusRequest(BusRequest::AreaShare(ask)));
    let token = world.read_one(2).token;
    world.send(2, 0, token, shared(2, BusResult::Ok));
    world.mail.clear();
    let words = crate::msg::FeatureWords::collect([0, 1 | Features::RING_PACKED.block(1)]).unwrap();
    let blocks = crate::msg::FeatureBlocks { index: 0, words };
    world.round_trip(Request::SetDriverFeatures(blocks), Response::SetDriverFeatures);
    let end = 16 * 4096;
    let good = SetVqueue {
        desc: at(1, end - 256 * 16),
        driver: at(2, end - 4),
        device: at(1, 0),
        ..set_vqueue(1)
    };
    refused(
        &mut world,
        SetVqueue { desc: at(1, end - 256 * 16 + 16), ..good },
        "ring ends outside",
    );
    refused(&mut world, SetVqueue { desc: at(2, 0), ..good }, "the device writes descriptors");
    refused(&mut world, SetVqueue { device: at(2, 0), ..good }, "and its event structure");
    refused(&mut world, SetVqueue { driver: at(2, end), ..good }, "driver's events outside");
    refused(&mut world, SetVqueue { driver: at(3, 0), ..good }, "in no area");
    refused(&mut world, SetVqueue { device: at(1, end), ..good }, "device's events outside");
    refused(&mut world, SetVqueue { device: at(1, 2), ..good }, "unaligned");
    world.round_trip(Request::SetVqueue(good), Response::SetVqueue);
    // As a split ring the same places would not do: the used ring has 2054 bytes.
    let mut split = World::ready();
    split.share(1, 11);
    refused(
        &mut split,
        SetVqueue { driver: at(1, 0x2000), device: at(1, end - 4), ..good },
        "split",
    );
}
