//! Holds the bus to its rules against the fake partition: answers, bounds, nothing left behind.

use super::*;
use crate::memory::Mapper;
use crate::testing::{FakeWait, FakeWorld, Fault, PARTITION};
use causeway_abi::Permission;
use causeway_fake_spmc::{PageModel, layout, range};
use causeway_virtio::AreaId;
use causeway_virtio::fifo::{Fifo, Side};
use causeway_virtio::msg::{BusResult, DeviceInfo, Response};

const SOON: Bound = Bound::millis(50);

fn info() -> Response {
    Response::GetDeviceInfo(DeviceInfo {
        device_id: 2,
        vendor_id: 0,
        uuid: [0; 16],
        num_feature_blocks: 2,
        config_size: 8,
        max_virtqueues: 1,
        admin_vq_start: 0,
        admin_vq_count: 0,
    })
}

/// Writes a slot into VM 1's FIFO as the partition would: the two pages behind VM 1's buffers.
fn push_raw(world: &FakeWorld, slot: &Slot) {
    let first = layout::vm_ram(1, 1).start().get();
    let fifo = range(first.saturating_add(2 * 4096), 2);
    let window = world.mapper().map(&[fifo], Permission::ReadWrite).unwrap();
    Fifo::attach(&window, Side::Device).unwrap().push(&window, slot).unwrap();
}

/// Adds device 5, and takes the news of it.
fn add_device(driving: &Bus<'_>, serving: &Bus<'_>) {
    serving.announce(5, DeviceState::Added).unwrap();
    assert_eq!(driving.devices().unwrap().as_slice(), [5]);
    while driving.receive().unwrap().is_some() {}
}

/// A driver's bus and a backend's, which answers each request while the driver waits.
fn with_two_sides(
    answer: impl Fn(&Bus<'_>, &Incoming),
    test: impl FnOnce(&Bus<'_>, &Bus<'_>, &FakeWorld),
) {
    let world = FakeWorld::new();
    let (conduit1, conduit2) = (world.vm(1), world.vm(2));
    let driver = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let backend = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let idle = FakeWait::idle();
    let serving = Bus::open(&backend, world.pages(2, 2), &idle, SOON).unwrap();
    let wait = FakeWait::new(|| {
        while let Some(incoming) = serving.receive().unwrap() {
            answer(&serving, &incoming);
        }
    });
    let driving = Bus::open(&driver, world.pages(1, 2), &wait, SOON).unwrap();
    test(&driving, &serving, &world);
    driving.close().unwrap();
    drop(wait);
    serving.close().unwrap();
    world.assert_clean("both buses closed");
}

#[test]
fn an_announced_device_is_found_and_answers() {
    let answer = |bus: &Bus<'_>, incoming: &Incoming| {
        assert_eq!(incoming.far.get(), 1);
        bus.respond(incoming, Body::Response(info())).unwrap();
    };
    with_two_sides(answer, |driving, serving, _| {
        assert_eq!(driving.devices().unwrap().as_slice(), [0_u16; 0]);
        serving.announce(5, DeviceState::Added).unwrap();
        assert_eq!(driving.devices().unwrap().as_slice(), [5]);
        assert_eq!(driving.request(5, Request::GetDeviceInfo), Ok(info()));
        assert_eq!(driving.max_areas(), 16);
        serving.announce(5, DeviceState::Removed).unwrap();
        assert_eq!(driving.devices().unwrap().as_slice(), [0_u16; 0]);
    });
}

#[test]
fn a_refused_request_names_its_message() {
    let answer = |bus: &Bus<'_>, incoming: &Incoming| bus.refuse(incoming).unwrap();
    with_two_sides(answer, |driving, serving, _| {
        add_device(driving, serving);
        let refused = driving.request(5, Request::GetDeviceInfo);
        assert_eq!(refused, Err(Error::BusError { msg_id: 2 }));
    });
}

/// The partition lets no such answer through; the bus does not rely on it.
#[test]
fn an_answer_of_another_kind_is_the_devices_fault() {
    let other_area = |world: &FakeWorld, token| {
        let (area, result) = (AreaId::new(9).unwrap(), BusResult::Ok);
        let body = Body::BusResponse(BusResponse::AreaUnshare { area, result });
        let message = Message { dev_num: 0, token, body };
        push_raw(world, &Slot::new(&message.encode(), EndpointId::default()));
    };
    with_two_sides(
        |_, _| (),
        |driving, _, world| {
            other_area(world, 1);
            let odd = driving.request(5, Request::GetDeviceInfo);
            assert_eq!(odd, Err(Error::peer(Rule::MessageKind)));
        },
    );
    // The right kind, but about another area.
    with_two_sides(
        |_, _| (),
        |driving, _, world| {
            other_area(world, 1);
            let other = driving.unshare_area(AreaId::new(8).unwrap());
            assert_eq!(other, Err(Error::partition(Rule::MessageKind)));
        },
    );
}

#[test]
fn silence_ends_at_the_bound_and_a_late_answer_is_dropped() {
    let late: SpinMutex<Option<Incoming>> = SpinMutex::new(None);
    let answer = |_: &Bus<'_>, incoming: &Incoming| *late.lock() = Some(*incoming);
    with_two_sides(answer, |driving, serving, _| {
        add_device(driving, serving);
        let silent = driving.request(5, Request::GetDeviceInfo);
        assert_eq!(silent, Err(Error::TimedOut(Awaited::BusAnswer)));
        let incoming = late.lock().take().unwrap();
        serving.respond(&incoming, Body::Response(info())).unwrap();
        assert_eq!(driving.devices().unwrap().as_slice(), [5]);
        assert_eq!(driving.dropped(), 1);
    });
}

#[test]
fn a_malformed_answer_is_the_devices_fault_and_other_garbage_is_dropped() {
    with_two_sides(
        |_, _| (),
        |driving, _, world| {
            let garbage = Slot::from_bytes([0xff; 128]);
            push_raw(world, &garbage);
            assert_eq!((driving.receive(), driving.dropped()), (Ok(None), 1));
            // A response to the next token whose size does not fit its message.
            let mut bytes = [0; 128];
            bytes[..8].copy_from_slice(&[1, 2, 5, 0, 1, 0, 9, 0]);
            push_raw(world, &Slot::from_bytes(bytes));
            let malformed = driving.request(5, Request::GetDeviceInfo);
            assert_eq!(malformed, Err(Error::peer(Rule::MessageForm)));
        },
    );
}

#[test]
fn events_that_come_while_an_answer_is_awaited_are_kept() {
    let answer = |bus: &Bus<'_>, incoming: &Incoming| {
        bus.event(5, Request::EventUsed { index: 0 }).unwrap();
        bus.respond(incoming, Body::Response(info())).unwrap();
    };
    with_two_sides(answer, |driving, serving, _| {
        add_device(driving, serving);
        assert_eq!(driving.request(5, Request::GetDeviceInfo), Ok(info()));
        assert_eq!(driving.device_event(6), Ok(None));
        let event = driving.device_event(5).unwrap().unwrap();
        assert_eq!(event.message.body, Body::Request(Request::EventUsed { index: 0 }));
        assert_eq!(driving.device_event(5), Ok(None));
    });
}

#[test]
fn whoever_only_takes_events_kicks_now_and_then() {
    with_two_sides(
        |_, _| (),
        |driving, serving, world| {
            add_device(driving, serving);
            for index in 0..6 {
                serving.event(5, Request::EventUsed { index }).unwrap();
            }
            let calls = world.calls();
            for _ in 0..6 {
                assert!(driving.receive().unwrap().is_some());
            }
            assert_eq!(world.calls() - calls, 2);
            // Nothing comes, nothing is kicked.
            assert_eq!(driving.receive(), Ok(None));
            assert_eq!(world.calls() - calls, 2);
        },
    );
}

#[test]
fn a_fifo_that_is_too_small_is_refused_before_anything_is_shared() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let wait = FakeWait::idle();
    let calls = world.calls();
    let refused = Bus::open(&connection, world.pages(1, 1), &wait, SOON).unwrap_err();
    assert_eq!(refused.error, Error::caller(Rule::TooSmall));
    assert_eq!((refused.pages.unwrap().page_count(), world.calls()), (1, calls));
}

/// Opens, uses and closes a bus.
fn whole_life(world: &FakeWorld) -> Result<(), Error> {
    let conduit = world.vm(1);
    let (mailbox, fifo) = (world.mailbox(1), world.pages(1, 2));
    let connection = Connection::open(&conduit, mailbox).map_err(|f| f.error)?;
    let wait = FakeWait::idle();
    let lived =
        Bus::open(&connection, fifo, &wait, Bound::NONE).map_err(|f| f.error).and_then(|bus| {
            bus.devices()?;
            bus.close().map(|_| ()).map_err(|f| f.error)
        });
    world.stop_failing();
    assert_eq!(connection.sweep(), 0, "{lived:?}");
    lived
}

#[test]
fn a_dropped_bus_gives_its_fifo_up() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let wait = FakeWait::idle();
    drop(Bus::open(&connection, world.pages(1, 2), &wait, SOON).unwrap());
    world.assert_clean("dropped");
    let mapped = |pages: &mut PageModel| pages.mapped_pages(PARTITION);
    assert_eq!(world.platform().machine().pages(mapped), 0, "no FIFO is open");
}

#[test]
fn whichever_step_of_a_bus_fails_nothing_stays_behind() {
    let world = FakeWorld::new();
    assert_eq!(whole_life(&world), Ok(()));
    let mut failures = 0;
    for fault in [Fault::Refused, Fault::LostAnswer] {
        for skip in 0..world.calls() {
            let world = FakeWorld::new();
            world.fail_after(skip, fault);
            failures += u32::from(whole_life(&world).is_err());
            world.assert_clean(&format!("{fault:?} at call {skip}"));
        }
    }
    assert!(failures >= 18, "{failures}");
}

/// The partition holds a device's events down to a bit for each queue; the bus does not rely on it.
#[test]
fn a_device_that_sends_events_cannot_shut_the_driver_out_of_its_bus() {
    let answer = |bus: &Bus<'_>, incoming: &Incoming| {
        bus.respond(incoming, Body::Response(info())).unwrap();
    };
    with_two_sides(answer, |driving, serving, _| {
        add_device(driving, serving);
        for turn in 0..40 {
            // The same two events each time, and one that is new each time.
            for index in [0, 1, 100 + turn] {
                let body = Body::Request(Request::EventUsed { index });
                let message = Message { dev_num: 5, token: 0, body };
                driving.state.lock().keep(Incoming { message, far: EndpointId::default() });
            }
            assert_eq!(driving.request(5, Request::GetDeviceInfo), Ok(info()), "turn {turn}");
        }
        // Two that are always the same, thirty of the others; ten found no room.
        assert_eq!(driving.dropped(), 10);
        let mut kept = 0;
        while driving.device_event(5).unwrap().is_some() {
            kept += 1;
        }
        assert_eq!(kept, INBOX);
    });
}
