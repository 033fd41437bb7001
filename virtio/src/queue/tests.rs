//! Tests of the split queue: both sides against each other, and every lie that a driver or a device
//! can tell. Against a foreign implementation: tests/rust_vmm.rs.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

mod hostile;

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
