//! Tests of both layouts: both sides against each other, and every lie that a driver or a device can
//! tell. Against others: tests/rust_vmm.rs, tests/packed_model.rs, and the client library with virtio-drivers.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

// Under Miri an operation takes a tenth of a second: the golden images run there, loops do not.
#[cfg(not(miri))]
mod hostile;
#[cfg(not(miri))]
mod hostile_packed;
mod linux;
#[cfg(not(miri))]
mod order;
#[cfg(not(miri))]
mod prop;

use super::*;
use crate::addr::AreaId;
use crate::mem::WordArea;
use core::sync::atomic::AtomicU16;

const DESC: u64 = 0;
const AVAIL: u64 = 0x100;
const USED: u64 = 0x180;
const DATA: u64 = 0x280;
const TABLES: u64 = 0x400;
const END: u64 = 0x480;

const LAYOUTS: [Features; 2] = [Features::NONE, Features::RING_PACKED];

/// Rings, some data and a table of 8. Small, since Miri looks at all of it at every access.
fn memory() -> Box<[AtomicU16]> {
    Box::new([const { AtomicU16::new(0) }; 0x240])
}

/// Room for long tables, too.
#[cfg(not(miri))]
fn large_memory() -> Box<[AtomicU16]> {
    Box::new([const { AtomicU16::new(0) }; 0x1000])
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn map(words: &[AtomicU16]) -> WordArea<'_> {
    WordArea::new(AreaId::new(1).unwrap(), words)
}

fn config(size: u16, features: Features) -> QueueConfig {
    let size = QueueSize::for_packed(size).unwrap();
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
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn chains_travel_and_come_back() {
    let words = memory();
    let mem = map(&words);
    // The last runs take the 16-bit indices round once.
    let many = 66_000;
    let sizes = [(Features::NONE, 8, 100), (Features::EVENT_IDX, 8, many)];
    for (events, size, rounds) in sizes.into_iter().chain([(Features::NONE, 7, 100)]) {
        for layout in LAYOUTS {
            if layout == Features::NONE && size == 7 {
                continue;
            }
            let (mut driver, mut device) = pair(&mem, size, events | layout);
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
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn completion_order_is_free() {
    let words = memory();
    let mem = map(&words);
    for layout in LAYOUTS {
        let (mut driver, mut device) = pair(&mem, 8, layout);
        let mut chain = Chain::<2>::new();
        // Several laps, so that the free list was shuffled.
        for _ in 0..4 {
            let tokens: Vec<_> =
                (0..8).map(|n| driver.submit(&mem, &[segment(n, 1)], &[]).unwrap()).collect();
            assert_eq!(driver.submit(&mem, &[segment(0, 1)], &[]), Err(QueueError::Full));
            assert_eq!(driver.submit(&mem, &[], &[]), Err(QueueError::Empty));
            let mut heads: Vec<_> = (0..8)
                .map(|n| {
                    let head = device.take(&mem, &mut chain).unwrap().unwrap();
                    assert_eq!(chain.readable(), [segment(n, 1)]);
                    head
                })
                .collect();
            assert_eq!(device.take(&mem, &mut chain), Ok(None));
            assert_eq!((driver.in_flight(), device.in_flight()), (8, 8));
            heads.swap(1, 5);
            while let Some(head) = heads.pop() {
                device.complete(&mem, head, 0).unwrap();
            }
            let mut back: Vec<_> =
                (0..8).map(|_| driver.pop_used(&mem).unwrap().unwrap().token).collect();
            back.reverse();
            back.swap(1, 5);
            assert_eq!(back, tokens);
            assert_eq!((driver.in_flight(), device.in_flight()), (0, 0));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn indirect_tables_are_walked() {
    let words = memory();
    let mem = map(&words);
    for layout in LAYOUTS {
        let (mut driver, mut device) = pair(&mem, 4, layout | Features::INDIRECT_DESC);
        let r = [segment(0, 16)];
        let w = [segment(16, 1), segment(32, 2), segment(64, 3)];
        let mut chain = Chain::<8>::new();
        for _ in 0..10 {
            let token = driver.submit_indirect(&mem, at(TABLES), &r, &w).unwrap();
            assert_eq!(driver.in_flight(), 1);
            let head = device.take(&mem, &mut chain).unwrap().unwrap();
            assert_eq!((chain.readable(), chain.writable()), (&r[..], &w[..]));
            device.complete(&mem, head, 6).unwrap();
            assert_eq!(driver.pop_used(&mem).unwrap(), Some(Used { token, written: 6 }));
        }
        let (mut plain, _) = pair(&mem, 4, layout);
        assert_eq!(plain.submit_indirect(&mem, at(TABLES), &r, &w), Err(QueueError::Indirect));
    }
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn notifications_follow_the_flags() {
    let words = memory();
    let mem = map(&words);
    for layout in LAYOUTS {
        let (mut driver, mut device) = pair(&mem, 8, layout);
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
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn event_index_asks_for_one_notification_in_a_batch() {
    let words = memory();
    let mem = map(&words);
    // Chains of three take the packed events across the ring's end at every place.
    for (layout, per_chain) in
        [(Features::NONE, 1), (Features::RING_PACKED, 1), (Features::RING_PACKED, 3)]
    {
        let (mut driver, mut device) = pair(&mem, 16, layout | Features::EVENT_IDX);
        let mut chain = Chain::<4>::new();
        let mut interrupts = 0;
        let mut kicks = 0;
        let buffers = vec![segment(0, 1); per_chain];
        let batch = 16 / u16::try_from(per_chain).unwrap();
        let batches = 4200;
        assert_eq!(device.arm(&mem), Ok(false));
        for _ in 0..batches {
            for _ in 0..batch {
                driver.submit(&mem, &buffers, &[]).unwrap();
                kicks += u32::from(driver.should_kick(&mem).unwrap());
            }
            assert_eq!(driver.arm(&mem, batch), Ok(false));
            for _ in 0..batch {
                let head = device.take(&mem, &mut chain).unwrap().unwrap();
                device.complete(&mem, head, 0).unwrap();
                interrupts += u32::from(device.should_notify(&mem).unwrap());
            }
            assert_eq!(device.arm(&mem), Ok(false));
            while driver.pop_used(&mem).unwrap().is_some() {}
        }
        assert_eq!((kicks, interrupts), (batches, batches));
    }
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn an_interrupt_asked_for_comes_whatever_the_lengths_of_chains() {
    let words = memory();
    let mem = map(&words);
    for layout in LAYOUTS {
        for count in 1..=9 {
            let (mut driver, mut device) = pair(&mem, 16, layout | Features::EVENT_IDX);
            let mut chain = Chain::<8>::new();
            for lens in [[1, 5, 1, 1], [5, 1, 1, 1], [1, 1, 1, 5], [3, 3, 3, 3], [1, 1, 1, 1]] {
                for len in lens {
                    driver.submit(&mem, &vec![segment(0, 1); len], &[]).unwrap();
                }
                assert_eq!(driver.arm(&mem, count), Ok(false));
                let mut told = false;
                for _ in lens {
                    let head = device.take(&mem, &mut chain).unwrap().unwrap();
                    device.complete(&mem, head, 0).unwrap();
                    told |= device.should_notify(&mem).unwrap();
                }
                assert!(told, "{layout:?} {count} {lens:?}");
                while driver.pop_used(&mem).unwrap().is_some() {}
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn rings_must_be_aligned_mapped_and_permitted() {
    let words = memory();
    let mem = map(&words);
    let new = |config| DeviceQueue::new(&mem, config).map(|_| ());
    for layout in LAYOUTS {
        let good = config(8, layout);
        assert_eq!(new(good), Ok(()));
        for config in [
            QueueConfig { desc: at(8), ..good },
            QueueConfig { driver: at(1), ..good },
            QueueConfig { device: at(2), ..good },
        ] {
            assert_eq!(new(config), Err(QueueError::Unaligned));
        }
        for config in [
            QueueConfig { desc: at(END - 64), ..good },
            QueueConfig { driver: at(END), ..good },
            QueueConfig { device: at(END), ..good },
            QueueConfig { desc: BusAddr::from_raw(0), ..good },
        ] {
            assert_eq!(new(config), Err(QueueError::Mem(MemError::Outside)));
        }
        let last = QueueConfig { desc: at((1 << 48) - 16), ..good };
        assert_eq!(new(last), Err(QueueError::WildAddress));
        let read_only = DeviceQueue::new(&mem.read_only(), good).map(|_| ());
        assert_eq!(read_only, Err(QueueError::Mem(MemError::Permission)));
        assert_eq!(DriverQueue::<4>::new(&mem, good), Err(QueueError::Size));
    }
    let split = config(8, Features::NONE);
    for config in [
        QueueConfig { driver: at(END - 16), ..split },
        QueueConfig { device: at(END - 64), ..split },
    ] {
        assert_eq!(new(config), Err(QueueError::Mem(MemError::Outside)));
    }
    assert_eq!(new(config(7, Features::NONE)), Err(QueueError::Size));
    assert_eq!(new(config(7, Features::RING_PACKED)), Ok(()));
    assert_eq!((QueueSize::new(0), QueueSize::new(3)), (None, None));
    assert_eq!((QueueSize::for_packed(0), QueueSize::for_packed(0x8001)), (None, None));
    assert_eq!(QueueSize::from_wire(0x1_0008), None);
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn a_reset_queue_begins_anew() {
    let words = memory();
    let mem = map(&words);
    for layout in LAYOUTS {
        let (mut driver, mut device) = pair(&mem, 8, layout);
        let mut chain = Chain::<2>::new();
        for _ in 0..3 {
            // Something in flight on both sides, a device that failed, and a driver that gave up.
            for n in 0..5 {
                driver.submit(&mem, &[segment(n, 1)], &[]).unwrap();
            }
            drop(device.take(&mem, &mut chain).unwrap().unwrap());
            device.fail();
            driver.fail();
            assert_eq!(device.take(&mem, &mut chain), Err(QueueError::Failed));
            assert_eq!(driver.pop_used(&mem), Err(QueueError::Failed));
            driver.reset(&mem).unwrap();
            device.reset(&mem).unwrap();
            assert_eq!((driver.in_flight(), device.in_flight()), (0, 0));
            assert_eq!(device.take(&mem, &mut chain), Ok(None), "what was offered is forgotten");
            assert_eq!(driver.pop_used(&mem), Ok(None));
            let token = driver.submit(&mem, &[segment(7, 1)], &[]).unwrap();
            let head = device.take(&mem, &mut chain).unwrap().unwrap();
            assert_eq!(chain.readable(), [segment(7, 1)]);
            device.complete(&mem, head, 0).unwrap();
            assert_eq!(driver.pop_used(&mem), Ok(Some(Used { token, written: 0 })));
        }
        let before = device.clone();
        assert!(device.reset(&mem.read_only()).is_err());
        assert_eq!(device, before, "a refused reset changes nothing");
    }
}

#[test]
fn a_refused_offer_changes_nothing() {
    let words = memory();
    let mem = map(&words);
    for layout in LAYOUTS {
        let (mut driver, _) = pair(&mem, 8, layout | Features::INDIRECT_DESC);
        driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
        let before = driver.clone();
        let wild = Segment { addr: at((1 << 48) - 1), len: 2 };
        let huge = [Segment { addr: at(0), len: u32::MAX }; 2];
        assert_eq!(driver.submit(&mem, &[wild], &[]), Err(QueueError::WildAddress));
        assert_eq!(driver.submit(&mem, &huge, &[]), Err(QueueError::ChainBytes));
        assert_eq!(driver.submit(&mem, &[segment(0, 1); 9], &[]), Err(QueueError::TooLong));
        assert_eq!(driver.submit(&mem, &[segment(0, 1); 8], &[]), Err(QueueError::Full));
        let table = at((1 << 48) - 16);
        let two = [segment(0, 1); 2];
        assert_eq!(driver.submit_indirect(&mem, table, &two, &[]), Err(QueueError::WildAddress));
        assert_eq!(driver, before);
    }
}

#[test]
fn states_are_as_small_as_documented() {
    // docs/queue-cost.md
    assert!(size_of::<DeviceQueue>() <= 64, "{}", size_of::<DeviceQueue>());
    let driver = size_of::<DriverQueue<64>>();
    assert!(driver <= 96 + 8 * 64, "{driver}");
    assert_eq!(size_of::<DriverQueue<128>>() - driver, 8 * 64, "8 bytes an entry");
    assert!(size_of::<Chain<66>>() <= 16 + 16 * 66, "{}", size_of::<Chain<66>>());
    assert_eq!(size_of::<Head>(), 8);
}

#[test]
#[cfg_attr(miri, ignore = "loops too long for Miri")]
fn two_threads_see_payload_with_its_index() {
    let words = memory();
    let requests = 3000;
    for layout in LAYOUTS {
        let features = layout | Features::EVENT_IDX;
        let mem = map(&words);
        let (mut driver, mut device) = pair(&mem, 16, features);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mem = map(&words);
                let mut chain = Chain::<2>::new();
                for expected in 0..requests {
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
            while received < requests {
                let place = u64::from(sent % 16) * 8;
                let (r, w) = ([segment(place, 4)], [segment(0x100 + place, 4)]);
                if sent < requests && driver.in_flight() < 8 {
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
                std::thread::yield_now();
            }
        });
    }
}
