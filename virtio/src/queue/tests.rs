//! Tests of the split queue: both sides against each other, and every lie that a driver or a device
//! can tell. Against a foreign implementation: tests/rust_vmm.rs.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

use super::*;
use crate::addr::AreaId;
use crate::mem::WordArea;
use core::sync::atomic::AtomicU16;
use proptest::prelude::*;

const DESC: u64 = 0;
const AVAIL: u64 = 0x400;
const USED: u64 = 0x800;
const DATA: u64 = 0x2000;

fn memory() -> Vec<AtomicU16> {
    (0..0x8000).map(|_| AtomicU16::new(0)).collect()
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn map(words: &[AtomicU16]) -> WordArea<'_> {
    WordArea::new(AreaId::new(1).unwrap(), words)
}

fn config(size: u16, features: Features) -> QueueConfig {
    let size = QueueSize::new(size).unwrap();
    QueueConfig { size, desc: at(DESC), driver: at(AVAIL), device: at(USED), features }
}

fn pair(mem: &WordArea<'_>, size: u16, features: Features) -> (DriverQueue<16>, DeviceQueue) {
    let config = config(size, features);
    (DriverQueue::new(mem, config).unwrap(), DeviceQueue::new(mem, config).unwrap())
}

fn segment(offset: u64, len: u32) -> Segment {
    Segment { addr: at(DATA + offset), len }
}

/// Writes a descriptor as a driver without scruples does.
fn desc(mem: &WordArea<'_>, index: u64, addr: u64, len: u32, flags: u16, next: u16) {
    let base = DESC + 16 * index;
    mem.write_u64(at(base), addr).unwrap();
    mem.write_u32(at(base + 8), len).unwrap();
    mem.write_u16(at(base + 12), flags).unwrap();
    mem.write_u16(at(base + 14), next).unwrap();
}

/// Offers `head` in an otherwise empty queue and takes it.
fn offered<const N: usize>(
    mem: &WordArea<'_>,
    features: Features,
    head: u16,
    chain: &mut Chain<N>,
) -> Result<Option<Head>, QueueError> {
    let mut queue = DeviceQueue::new(mem, config(8, features)).unwrap();
    mem.write_u16(at(AVAIL + 4), head).unwrap();
    mem.write_u16(at(AVAIL + 2), 1).unwrap();
    let result = queue.take(mem, chain);
    if result.is_err() {
        assert_eq!(queue.take(mem, chain), Err(QueueError::Failed), "an error is final");
    }
    result
}

#[test]
fn chains_travel_and_come_back() {
    let words = memory();
    let mem = map(&words);
    // The second run takes the 16-bit indices round once.
    for (features, rounds) in [(Features::NONE, 100), (Features::EVENT_IDX, 66_000)] {
        let (mut driver, mut device) = pair(&mem, 8, features);
        let mut chain = Chain::<8>::new();
        for round in 0..rounds {
            let (r, w) = ([segment(0, 16)], [segment(64, 512), segment(1024, 1)]);
            let token = driver.submit(&mem, &r, &w).unwrap();
            let head = device.take(&mem, &mut chain).unwrap().unwrap();
            assert_eq!((chain.readable(), chain.writable()), (&r[..], &w[..]));
            assert_eq!(device.take(&mem, &mut Chain::<8>::new()), Ok(None));
            device.complete(&mem, head, round % 513).unwrap();
            let used = driver.pop_used(&mem).unwrap().unwrap();
            assert_eq!(used, Used { token, written: round % 513 });
            assert_eq!(driver.pop_used(&mem), Ok(None));
        }
    }
}

#[test]
fn completion_order_is_free() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 8, Features::NONE);
    let tokens: Vec<_> =
        (0..8).map(|n| driver.submit(&mem, &[segment(n, 1)], &[]).unwrap()).collect();
    assert_eq!(driver.submit(&mem, &[segment(0, 1)], &[]), Err(QueueError::Full));
    assert_eq!(driver.submit(&mem, &[], &[]), Err(QueueError::Empty));
    let mut chain = Chain::<2>::new();
    let mut heads: Vec<_> =
        (0..8).map(|_| device.take(&mem, &mut chain).unwrap().unwrap()).collect();
    assert_eq!((driver.in_flight(), device.in_flight()), (8, 8));
    while let Some(head) = heads.pop() {
        device.complete(&mem, head, 0).unwrap();
    }
    for token in tokens.iter().rev() {
        assert_eq!(driver.pop_used(&mem).unwrap().unwrap().token, *token);
    }
    assert_eq!((driver.in_flight(), device.in_flight()), (0, 0));
}

#[test]
fn indirect_tables_are_walked() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 4, Features::INDIRECT_DESC);
    let r = [segment(0, 16)];
    let w = [segment(16, 1), segment(32, 2), segment(64, 3)];
    let mut chain = Chain::<8>::new();
    for _ in 0..10 {
        let token = driver.submit_indirect(&mem, at(0x1000), &r, &w).unwrap();
        assert_eq!(driver.in_flight(), 1);
        let head = device.take(&mem, &mut chain).unwrap().unwrap();
        assert_eq!((chain.readable(), chain.writable()), (&r[..], &w[..]));
        device.complete(&mem, head, 6).unwrap();
        assert_eq!(driver.pop_used(&mem).unwrap(), Some(Used { token, written: 6 }));
    }
    let (mut plain, _) = pair(&mem, 4, Features::NONE);
    assert_eq!(plain.submit_indirect(&mem, at(0x1000), &r, &w), Err(QueueError::Indirect));
}

#[test]
fn notifications_follow_the_flags() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 8, Features::NONE);
    let mut chain = Chain::<2>::new();
    assert_eq!(driver.should_kick(&mem), Ok(false), "nothing was offered");
    driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
    assert_eq!(driver.should_kick(&mem), Ok(true));
    device.disarm(&mem).unwrap();
    driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
    assert_eq!(driver.should_kick(&mem), Ok(false));
    assert_eq!(device.arm(&mem), Ok(true), "work came before the device slept");
    let head = device.take(&mem, &mut chain).unwrap().unwrap();
    device.complete(&mem, head, 0).unwrap();
    assert_eq!(device.should_notify(&mem), Ok(true));
    assert_eq!(device.should_notify(&mem), Ok(false), "told once");
    driver.disarm(&mem).unwrap();
    let head = device.take(&mem, &mut chain).unwrap().unwrap();
    device.complete(&mem, head, 0).unwrap();
    assert_eq!(device.should_notify(&mem), Ok(false));
    assert_eq!(driver.arm(&mem, 1), Ok(true), "a chain is back already");
    assert_eq!(device.arm(&mem), Ok(false));
}

#[test]
fn event_index_asks_for_one_notification_in_a_batch() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 16, Features::EVENT_IDX);
    let mut chain = Chain::<2>::new();
    let mut interrupts = 0;
    let mut kicks = 0;
    for _ in 0..4200 {
        for _ in 0..16 {
            driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
            kicks += u32::from(driver.should_kick(&mem).unwrap());
        }
        assert_eq!(driver.arm(&mem, 16), Ok(false));
        for _ in 0..16 {
            let head = device.take(&mem, &mut chain).unwrap().unwrap();
            device.complete(&mem, head, 0).unwrap();
            interrupts += u32::from(device.should_notify(&mem).unwrap());
        }
        assert_eq!(device.arm(&mem), Ok(false));
        while driver.pop_used(&mem).unwrap().is_some() {}
    }
    assert_eq!((kicks, interrupts), (4200, 4200));
}

#[test]
fn looping_chains_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    desc(&mem, 0, at(DATA).get(), 1, 1, 1);
    desc(&mem, 1, at(DATA).get(), 1, 1, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), Err(QueueError::Loop));
    desc(&mem, 2, at(DATA).get(), 1, 1, 2);
    assert_eq!(offered(&mem, Features::NONE, 2, &mut chain), Err(QueueError::Loop));
    // A loop in an indirect table, whose table is longer than the queue.
    desc(&mem, 0, at(0x1000).get(), 16 * 100, 4, 0);
    mem.write_u64(at(0x1000), at(DATA).get()).unwrap();
    mem.write_u16(at(0x100c), 1).unwrap();
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), Err(QueueError::Loop));
}

#[test]
fn chains_longer_than_the_room_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    for index in 0..4 {
        desc(
            &mem,
            index,
            at(DATA).get(),
            1,
            u16::from(index < 3),
            u16::try_from(index + 1).unwrap(),
        );
    }
    assert!(offered(&mem, Features::NONE, 0, &mut Chain::<4>::new()).unwrap().is_some());
    let short = offered(&mem, Features::NONE, 0, &mut Chain::<3>::new());
    assert_eq!(short, Err(QueueError::TooLong));
}

#[test]
fn indices_outside_their_table_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let outside = Err(QueueError::DescriptorIndex);
    assert_eq!(offered(&mem, Features::NONE, 8, &mut chain), outside);
    assert_eq!(offered(&mem, Features::NONE, 0xffff, &mut chain), outside);
    desc(&mem, 0, at(DATA).get(), 1, 1, 8);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), outside);
    desc(&mem, 0, at(0x1000).get(), 16, 4, 0);
    mem.write_u64(at(0x1000), at(DATA).get()).unwrap();
    mem.write_u16(at(0x100c), 1).unwrap();
    mem.write_u16(at(0x100e), 1).unwrap();
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), outside);
}

#[test]
fn wild_addresses_and_wrapping_lengths_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let wild = Err(QueueError::WildAddress);
    desc(&mem, 0, at((1 << 48) - 1).get(), 2, 0, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), wild);
    desc(&mem, 0, u64::MAX, u32::MAX, 0, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), wild);
    desc(&mem, 0, u64::MAX, 16, 4, 0);
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), wild);
    // An indirect table in no area: the map refuses it.
    desc(&mem, 0, 0x7777_0000_0000_0000, 16, 4, 0);
    let outside = Err(QueueError::Mem(MemError::Outside));
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), outside);
}

#[test]
fn indirect_rules_are_enforced() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let broken = Err(QueueError::Indirect);
    desc(&mem, 0, at(0x1000).get(), 16, 4, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), broken, "not negotiated");
    desc(&mem, 0, at(0x1000).get(), 16, 4 | 1, 1);
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), broken, "chained");
    for len in [0, 15, 17] {
        desc(&mem, 0, at(0x1000).get(), len, 4, 0);
        assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), broken, "{len}");
    }
    desc(&mem, 0, at(0x1000).get(), 16, 4, 0);
    mem.write_u16(at(0x100c), 4).unwrap();
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), broken, "nested");
}

#[test]
fn readable_after_writable_ends_the_queue() {
    let words = memory();
    let mem = map(&words);
    desc(&mem, 0, at(DATA).get(), 1, 1 | 2, 1);
    desc(&mem, 1, at(DATA).get(), 1, 0, 0);
    let mut chain = Chain::<8>::new();
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), Err(QueueError::Order));
}

#[test]
fn available_index_cannot_jump_or_go_back() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<8>::new();
    for index in [9, 0x8000, 0xffff] {
        let mut queue = DeviceQueue::new(&mem, config(8, Features::NONE)).unwrap();
        mem.write_u16(at(AVAIL + 2), index).unwrap();
        assert_eq!(queue.take(&mem, &mut chain), Err(QueueError::IndexJump), "{index}");
    }
    // Three taken and not completed: only five more can be there.
    desc(&mem, 0, at(DATA).get(), 1, 0, 0);
    mem.write_u16(at(AVAIL + 2), 3).unwrap();
    let mut queue = DeviceQueue::new(&mem, config(8, Features::NONE)).unwrap();
    for _ in 0..3 {
        drop(queue.take(&mem, &mut chain).unwrap().unwrap());
    }
    for index in [2, 9] {
        let mut queue = queue.clone();
        mem.write_u16(at(AVAIL + 2), index).unwrap();
        assert_eq!(queue.take(&mem, &mut chain), Err(QueueError::IndexJump), "{index}");
        assert_eq!(queue.arm(&mem), Err(QueueError::Failed));
    }
}

#[test]
fn descriptors_changed_after_the_walk_are_not_seen() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<8>::new();
    desc(&mem, 0, at(DATA).get(), 16, 0, 0);
    assert!(offered(&mem, Features::NONE, 0, &mut chain).unwrap().is_some());
    desc(&mem, 0, 0x7777_0000_0000_0000, u32::MAX, 3, 0);
    assert_eq!(chain.readable(), [segment(0, 16)]);
}

#[test]
fn more_completions_than_chains_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut queue = DeviceQueue::new(&mem, config(8, Features::NONE)).unwrap();
    assert_eq!(queue.complete(&mem, Head::new(0), 0), Err(QueueError::Completed));
}

#[test]
fn lying_devices_end_the_driver_side() {
    let words = memory();
    let mem = map(&words);
    let lie = |index: u16, id: u32, written: u32| {
        let (mut driver, _) = pair(&mem, 8, Features::NONE);
        let token = driver.submit(&mem, &[segment(0, 1)], &[segment(8, 4)]).unwrap();
        assert_eq!(token.get(), 0);
        mem.write_u32(at(USED + 4), id).unwrap();
        mem.write_u32(at(USED + 8), written).unwrap();
        mem.write_u16(at(USED + 2), index).unwrap();
        let result = driver.pop_used(&mem);
        if result.is_err() {
            assert_eq!(driver.submit(&mem, &[segment(0, 1)], &[]), Err(QueueError::Failed));
        }
        result.map(|used| used.map(|u| u.written))
    };
    assert_eq!(lie(1, 0, 4), Ok(Some(4)));
    assert_eq!(lie(1, 0, 5), Err(QueueError::Used), "more than there is room for");
    assert_eq!(lie(1, 1, 0), Err(QueueError::Used), "not a head");
    assert_eq!(lie(1, 8, 0), Err(QueueError::Used), "outside");
    assert_eq!(lie(1, 0x1_0000, 0), Err(QueueError::Used), "the upper half counts");
    assert_eq!(lie(2, 0, 0), Err(QueueError::IndexJump));
    assert_eq!(lie(0xffff, 0, 0), Err(QueueError::IndexJump));
}

#[test]
fn rings_must_be_aligned_mapped_and_permitted() {
    let words = memory();
    let mem = map(&words);
    let good = config(8, Features::NONE);
    let new = |config| DeviceQueue::new(&mem, config).map(|_| ());
    assert_eq!(new(good), Ok(()));
    for config in [
        QueueConfig { desc: at(8), ..good },
        QueueConfig { driver: at(1), ..good },
        QueueConfig { device: at(2), ..good },
    ] {
        assert_eq!(new(config), Err(QueueError::Unaligned));
    }
    let end = 0x1_0000;
    for config in [
        QueueConfig { desc: at(end - 64), ..good },
        QueueConfig { driver: at(end - 16), ..good },
        QueueConfig { device: at(end - 64), ..good },
        QueueConfig { desc: BusAddr::from_raw(0), ..good },
    ] {
        assert_eq!(new(config), Err(QueueError::Mem(MemError::Outside)));
    }
    let last = QueueConfig { desc: at((1 << 48) - 16), ..good };
    assert_eq!(new(last), Err(QueueError::WildAddress));
    let read_only = DeviceQueue::new(&mem.read_only(), good).map(|_| ());
    assert_eq!(read_only, Err(QueueError::Mem(MemError::Permission)));
    let packed = QueueConfig { features: Features::RING_PACKED, ..good };
    assert_eq!(new(packed), Err(QueueError::Format));
    assert_eq!(DriverQueue::<4>::new(&mem, good), Err(QueueError::Size));
    assert_eq!((QueueSize::new(0), QueueSize::new(3)), (None, None));
    assert_eq!(QueueSize::from_wire(0x1_0008), None);
}

proptest! {
    /// A driver that writes anything anywhere at any time makes errors of the queue: no panic, no
    /// endless walk, no segment that leaves its area, no chain longer than the queue.
    #[test]
    fn hostile_drivers_never_panic(
        seed in proptest::collection::vec(any::<u8>(), 256),
        writes in proptest::collection::vec((0_u64..0x900, any::<u8>(), 0_u8..5), 1..200),
        event_index in any::<bool>(),
    ) {
        let words = memory();
        let mem = map(&words);
        AreaMap::write(&mem, at(DESC), &seed).unwrap();
        let base = if event_index { Features::EVENT_IDX } else { Features::NONE };
        let config = config(8, base | Features::INDIRECT_DESC);
        let mut queue = DeviceQueue::new(&mem, config).unwrap();
        let mut chain = Chain::<6>::new();
        let mut heads = Vec::new();
        for (place, value, call) in writes {
            AreaMap::write(&mem, at(place), &[value]).unwrap();
            mem.write_u16(at(AVAIL + 2), u16::from(value & 15)).unwrap();
            match call {
                0 | 1 => {
                    if let Ok(Some(head)) = queue.take(&mem, &mut chain) {
                        prop_assert!(queue.in_flight() <= 8);
                        prop_assert!(chain.readable().len() + chain.writable().len() <= 6);
                        let mut all = chain.readable().iter().chain(chain.writable());
                        prop_assert!(all.all(|s| s.addr.holds(u64::from(s.len))));
                        heads.push(head);
                    }
                }
                2 => {
                    if let Some(head) = heads.pop() {
                        let failed = queue.complete(&mem, head, u32::from(value)).is_err();
                        prop_assert!(!failed || queue.take(&mem, &mut chain).is_err());
                    }
                }
                3 => drop(queue.should_notify(&mem)),
                _ => drop(queue.arm(&mem)),
            }
        }
    }

    /// A device that writes anything anywhere makes errors of the driver side.
    #[test]
    fn hostile_devices_never_panic(
        writes in proptest::collection::vec((0_u64..0x900, any::<u8>(), 0_u8..4), 1..200),
    ) {
        let words = memory();
        let mem = map(&words);
        let (mut driver, _) = pair(&mem, 8, Features::EVENT_IDX);
        for (place, value, call) in writes {
            AreaMap::write(&mem, at(place), &[value]).unwrap();
            mem.write_u32(at(USED + 4 + 8 * u64::from(value % 8)), u32::from(value % 9)).unwrap();
            match call {
                0 | 1 => drop(driver.submit(&mem, &[segment(0, 1)], &[segment(8, 4)])),
                2 => {
                    if let Ok(Some(used)) = driver.pop_used(&mem) {
                        prop_assert!(used.written <= 4 && used.token.get() < 8);
                    }
                }
                _ => drop(driver.should_kick(&mem)),
            }
            prop_assert!(driver.in_flight() <= 4);
        }
    }

    /// Random honest traffic arrives unchanged, whatever its shape.
    #[test]
    fn random_traffic_arrives_unchanged(
        requests in proptest::collection::vec((0_usize..4, 0_usize..4, any::<bool>(), any::<bool>()), 1..300),
    ) {
        let words = memory();
        let mem = map(&words);
        let features = Features::EVENT_IDX | Features::INDIRECT_DESC;
        let (mut driver, mut device) = pair(&mem, 16, features);
        let mut chain = Chain::<16>::new();
        let mut waiting = Vec::new();
        for (number, (r, w, indirect, drain)) in requests.into_iter().enumerate() {
            let unique = u64::try_from(number % 64).unwrap();
            let make = |count: usize, base: u64| -> Vec<_> {
                (0..count).map(|n| segment(base + unique + u64::try_from(n).unwrap(), 3)).collect()
            };
            let (readable, writable) = (make(r, 0), make(w, 0x100));
            let table = at(0x1000 + 128 * unique);
            let result = if indirect {
                driver.submit_indirect(&mem, table, &readable, &writable)
            } else {
                driver.submit(&mem, &readable, &writable)
            };
            match result {
                Ok(token) => waiting.push((token, readable, writable)),
                Err(error) => prop_assert!(matches!(error, QueueError::Full | QueueError::Empty)),
            }
            if drain || result == Err(QueueError::Full) {
                for (token, readable, writable) in waiting.drain(..) {
                    let head = device.take(&mem, &mut chain).unwrap().unwrap();
                    prop_assert_eq!(chain.readable(), &readable[..]);
                    prop_assert_eq!(chain.writable(), &writable[..]);
                    device.complete(&mem, head, 0).unwrap();
                    prop_assert_eq!(driver.pop_used(&mem).unwrap().unwrap().token, token);
                }
            }
        }
    }
}

#[test]
fn two_threads_see_payload_with_its_index() {
    let words = memory();
    let features = Features::EVENT_IDX;
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 16, features);
    const REQUESTS: u32 = 3000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mem = map(&words);
            let mut chain = Chain::<2>::new();
            for expected in 0..REQUESTS {
                let head = loop {
                    match device.take(&mem, &mut chain).unwrap() {
                        Some(head) => break head,
                        None => std::thread::yield_now(),
                    }
                };
                let (r, w) = (chain.readable()[0], chain.writable()[0]);
                let value = mem.read_u32(r.addr).unwrap();
                assert_eq!(value, expected, "the payload is seen with the index");
                mem.write_u32(w.addr, !value).unwrap();
                device.complete(&mem, head, 4).unwrap();
            }
        });
        let mut sent = 0_u32;
        let mut received = 0_u32;
        while received < REQUESTS {
            let place = u64::from(sent % 16) * 8;
            let (r, w) = ([segment(place, 4)], [segment(0x100 + place, 4)]);
            if sent < REQUESTS && driver.in_flight() < 8 {
                mem.write_u32(r[0].addr, sent).unwrap();
                driver.submit(&mem, &r, &w).unwrap();
                sent += 1;
            }
            while let Some(used) = driver.pop_used(&mem).unwrap() {
                assert_eq!(used.written, 4);
                let place = u64::from(received % 16) * 8;
                let answer = mem.read_u32(segment(0x100 + place, 4).addr).unwrap();
                assert_eq!(answer, !received);
                received += 1;
            }
        }
    });
}
