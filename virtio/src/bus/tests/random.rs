//! Any sequence of events, honest or not: no panic, one reply a frame, no link reaches another.

use super::*;
use crate::msg::{BlockRange, ConfigBytes, ConfigData, ConfigRange, FeatureBlocks, FeatureWords};
use proptest::prelude::*;

/// Bytes that are often a message, with small numbers in all fields.
fn message_bytes() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![2_u8..0x0d, 0x40_u8..0x43, 0x80_u8..0x88, Just(0xc0)];
    let payload = proptest::collection::vec(
        prop_oneof![4 => Just(0_u8), 2 => 1_u8..3, 2 => 0_u8..16, 2 => Just(0xff)],
        44,
    );
    let size = prop_oneof![Just(8_u8), Just(10), Just(12), Just(16), Just(20), Just(34), Just(48)];
    (0_u8..4, id, 0_u8..9, 0_u8..12, size, payload).prop_map(
        |(kind, id, dev_num, token, size, payload)| {
            let mut bytes = vec![kind, id, dev_num, 0, token, 0, size, 0];
            bytes.extend(payload);
            bytes
        },
    )
}

#[derive(Clone, Debug)]
enum Act {
    Frame(u16, Vec<u8>),
    Fifo(u16, Vec<u8>),
    Open(u16),
    Share(u16, u16),
    Queue(u16),
    Extreme(u16, u8, u32),
    Answer,
    Gone(u16),
    GrantGone(u16),
    Broken(u16),
    Full(u16),
    Empty,
    Tick,
}

fn act() -> impl Strategy<Value = Act> {
    let id = 1_u16..5;
    prop_oneof![
        2 => (id.clone(), message_bytes()).prop_map(|(id, bytes)| Act::Frame(id, bytes)),
        4 => (id.clone(), message_bytes()).prop_map(|(id, bytes)| Act::Fifo(id, bytes)),
        2 => id.clone().prop_map(Act::Open),
        2 => (id.clone(), 1_u16..4).prop_map(|(id, area)| Act::Share(id, area)),
        2 => id.clone().prop_map(Act::Queue),
        4 => (id.clone(), 0_u8..9, prop_oneof![0_u32..3, u32::MAX - 2..=u32::MAX])
            .prop_map(|(id, kind, value)| Act::Extreme(id, kind, value)),
        6 => Just(Act::Answer),
        1 => id.clone().prop_map(Act::Gone),
        2 => (11_u16..15).prop_map(Act::GrantGone),
        2 => id.clone().prop_map(Act::Broken),
        2 => id.prop_map(Act::Full),
        2 => Just(Act::Empty),
        2 => Just(Act::Tick),
    ]
}

/// A well-formed request with a number that is at one end of its range.
fn extreme(kind: u8, value: u32) -> Request {
    let words = FeatureWords::collect([value, 1]).unwrap();
    let data = ConfigBytes::new(&[1]).unwrap();
    match kind {
        0 => Request::GetDeviceFeatures(BlockRange { index: value, count: 2 }),
        1 => Request::GetDeviceFeatures(BlockRange { index: 1, count: value }),
        2 => Request::SetDriverFeatures(FeatureBlocks { index: value, words }),
        3 => Request::SetConfig(ConfigData { generation: value, offset: value, data }),
        4 => Request::GetConfig(ConfigRange { offset: value, len: value }),
        5 => Request::SetVqueue(SetVqueue { index: value, size: value, ..set_vqueue(1) }),
        6 => Request::ResetVqueue { index: value },
        7 => Request::EventAvail { index: value, next_offset: value },
        _ => Request::EventUsed { index: value },
    }
}

/// VM 2 answers everything that it finds, as an obliging backend.
fn oblige(world: &mut World) {
    for (ask, _) in world.read(2) {
        let answer = match ask.body {
            Body::Request(Request::SetVqueue(_)) => Body::Response(Response::SetVqueue),
            Body::Request(Request::ResetVqueue { .. }) => Body::Response(Response::ResetVqueue),
            Body::Request(Request::SetDriverFeatures(_)) => {
                Body::Response(Response::SetDriverFeatures)
            }
            Body::Request(Request::GetDeviceFeatures(range)) => {
                let count = range.count.min(2);
                let words = FeatureWords::collect((0..count).map(|_| u32::MAX)).unwrap();
                let blocks = FeatureBlocks { index: range.index, words };
                Body::Response(Response::GetDeviceFeatures(blocks))
            }
            Body::Request(Request::SetConfig(config)) => {
                Body::Response(Response::SetConfig(config))
            }
            Body::Request(Request::SetDeviceStatus(status)) => {
                Body::Response(Response::SetDeviceStatus(status))
            }
            Body::Request(Request::GetDeviceStatus) => {
                Body::Response(Response::GetDeviceStatus(Status::DRIVER_OK))
            }
            Body::BusRequest(BusRequest::AreaShare(share)) => {
                shared(share.area.get(), BusResult::Ok)
            }
            Body::BusRequest(BusRequest::AreaUnshare { area }) => {
                unshared(area.get(), BusResult::Ok)
            }
            _ => continue,
        };
        let dev_num = if matches!(answer, Body::Response(_)) { 7 } else { 0 };
        world.send(2, dev_num, ask.token, answer);
    }
}

fn perform(world: &mut World, act: &Act) {
    match act {
        Act::Frame(id, bytes) => {
            let mut frame = [0; 40];
            frame.copy_from_slice(&bytes[..40]);
            let (chunks, _) = frame.as_chunks::<8>();
            let words = [0, 1, 2, 3, 4].map(|n| u64::from_le_bytes(chunks[n]));
            assert_eq!(world.step(Event::Frame { vm: vm(*id), words }).len(), 1);
        }
        Act::Fifo(id, bytes) => {
            let mut slot = [0; 128];
            slot[..bytes.len()].copy_from_slice(bytes);
            slot[112] = bytes[9];
            let slot = Slot::from_bytes(slot);
            assert!(world.step(Event::FifoMessage { vm: vm(*id), slot }).is_empty());
        }
        Act::Open(id) => drop(world.fifo_configure(*id, 1000 + u64::from(*id), 2)),
        Act::Share(id, area) => {
            let raw = 10 + u64::from(*id);
            world.grant(*id, raw, Some(2), 16);
            world.send(*id, 0, 1, share(*area, raw, 16));
        }
        Act::Queue(id) => {
            let dev_num = if *id == 4 { 5 } else { 0 };
            world.send(*id, dev_num, 1, Body::Request(Request::SetVqueue(set_vqueue(1))));
        }
        Act::Extreme(id, kind, value) => {
            let dev_num = match id {
                2 => 7,
                4 => 5,
                _ => 0,
            };
            world.send(*id, dev_num, 2, Body::Request(extreme(*kind, *value)));
        }
        Act::Answer => oblige(world),
        Act::Gone(id) => drop(world.step(Event::VmGone { vm: vm(*id) })),
        Act::GrantGone(raw) => {
            let owner = raw - 10;
            world.grants.0.remove(&(owner, u64::from(*raw)));
            let handle = handle(u64::from(*raw));
            drop(world.step(Event::GrantGone { owner: vm(owner), handle }));
        }
        Act::Broken(id) => drop(world.step(Event::FifoBroken { vm: vm(*id) })),
        Act::Full(id) => world.full.push(*id),
        Act::Empty => {
            for id in std::mem::take(&mut world.full) {
                world.step(Event::Kick { vm: vm(id) });
            }
        }
        Act::Tick => {
            world.now += 60;
            world.step(Event::Tick);
        }
    }
}

fn check(world: &mut World) {
    // The uses that were told of are balanced: never free before in use, never twice.
    let mut uses: HashMap<(u16, u64), i32> = HashMap::new();
    for effect in &world.log {
        match effect {
            Effect::AreaInUse { owner, handle } => {
                let count = uses.entry((owner.get(), handle.get())).or_default();
                *count += 1;
            }
            Effect::AreaFree { owner, handle } => {
                let count = uses.entry((owner.get(), handle.get())).or_default();
                *count -= 1;
                assert!(*count >= 0, "freed before it was used");
            }
            _ => {}
        }
    }
    // VM 3 has no link: it is told nothing but the bus's own answers.
    for (message, _) in world.read(3) {
        assert!(matches!(message.body, Body::BusResponse(_)), "{message:?}");
    }
    // Requests in flight have tokens of their own.
    let tokens: Vec<_> = world.bus.links.iter().flatten().filter_map(|l| l.flight).collect();
    for (n, flight) in tokens.iter().enumerate() {
        assert_ne!(flight.token, 0);
        assert!(tokens[..n].iter().all(|other| other.token != flight.token));
    }
    // A deadline passes for every request: nobody waits for ever.
    world.now += 10 * ANSWER_TICKS;
    world.step(Event::Tick);
    assert_eq!(world.bus.next_deadline(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_events_breaks_the_bus(acts in proptest::collection::vec(act(), 1..120)) {
        let mut world = World::ready();
        for act in &acts {
            perform(&mut world, act);
        }
        check(&mut world);
    }
}
