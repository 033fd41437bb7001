//! Random traffic, honest and hostile, in every layout and with every feature of rings. Not under Miri:
//! the module's name begins with what its run leaves out.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

fn features() -> impl Strategy<Value = Features> {
    let bit = |feature: Features| {
        any::<bool>().prop_map(move |is_on| if is_on { feature } else { Features::NONE })
    };
    let all = (
        bit(Features::RING_PACKED),
        bit(Features::EVENT_IDX),
        bit(Features::INDIRECT_DESC),
        bit(Features::IN_ORDER),
    );
    all.prop_map(|(a, b, c, d)| a | b | c | d)
}

/// One thing that an honest driver or device does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Submit { readable: usize, writable: usize, indirect: bool },
    Take,
    Complete { which: usize, written: u32 },
    Pop,
    Tell,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0_usize..4, 0_usize..4, any::<bool>())
            .prop_map(|(readable, writable, indirect)| Act::Submit { readable, writable, indirect }),
        3 => Just(Act::Take),
        3 => (0_usize..16, 0_u32..10).prop_map(|(which, written)| Act::Complete { which, written }),
        3 => Just(Act::Pop),
        1 => Just(Act::Tell),
    ]
}

/// Buffers of one request; their addresses tell requests from each other.
type Buffers = (Vec<Segment>, Vec<Segment>);

/// Both sides of one queue and what is known to be on its way.
struct Line<'a> {
    mem: WordArea<'a>,
    driver: DriverQueue<16>,
    device: DeviceQueue,
    features: Features,
    offered: VecDeque<(Token, Buffers)>,
    taken: VecDeque<(Head, Token, u32)>,
    completed: VecDeque<Used>,
    number: u64,
}

impl<'a> Line<'a> {
    fn new(mem: WordArea<'a>, features: Features) -> Self {
        let (driver, device) = pair(&mem, 16, features);
        let (offered, taken, completed) = Default::default();
        Self { mem, driver, device, features, offered, taken, completed, number: 0 }
    }

    fn submit(&mut self, readable: usize, writable: usize, indirect: bool) {
        let unique = self.number % 32;
        let make = |count: usize, base: u64| -> Vec<_> {
            (0..u64::try_from(count).unwrap()).map(|n| segment(base + unique + n, 3)).collect()
        };
        let (r, w) = (make(readable, 0), make(writable, 0x100));
        let indirect = indirect && self.features.contains(Features::INDIRECT_DESC);
        let result = if indirect {
            let table = at(TABLES + 96 * unique);
            self.driver.submit_indirect(&self.mem, table, &r, &w)
        } else {
            self.driver.submit(&self.mem, &r, &w)
        };
        self.number += 1;
        match result {
            Ok(token) => {
                let known = self.offered.iter().map(|(token, _)| token);
                let known = known.chain(self.taken.iter().map(|(_, token, _)| token));
                let known = known.chain(self.completed.iter().map(|used| &used.token));
                assert!(known.into_iter().all(|other| *other != token), "a name in use");
                self.offered.push_back((token, (r, w)));
            }
            Err(QueueError::Empty) => assert_eq!(readable + writable, 0),
            Err(error) => assert_eq!(error, QueueError::Full),
        }
    }

    /// Returns what the device saw.
    fn take(&mut self) -> Option<Buffers> {
        let mut chain = Chain::<8>::new();
        let head = self.device.take(&self.mem, &mut chain).unwrap();
        let (Some(head), Some((token, buffers))) = (head, self.offered.pop_front()) else {
            assert!(self.offered.is_empty());
            return None;
        };
        assert_eq!((chain.readable(), chain.writable()), (&buffers.0[..], &buffers.1[..]));
        let room = u32::try_from(chain.writable_bytes()).unwrap();
        self.taken.push_back((head, token, room));
        Some(buffers)
    }

    fn complete(&mut self, which: usize, written: u32) {
        let in_order = self.features.contains(Features::IN_ORDER);
        let which = if in_order { 0 } else { which % self.taken.len().max(1) };
        let Some((head, token, room)) = self.taken.remove(which) else { return };
        let written = written.min(room);
        self.device.complete(&self.mem, head, written).unwrap();
        self.completed.push_back(Used { token, written });
    }

    fn run(&mut self, act: Act) -> Option<Buffers> {
        match act {
            Act::Submit { readable, writable, indirect } => {
                self.submit(readable, writable, indirect);
            }
            Act::Take => return self.take(),
            Act::Complete { which, written } => self.complete(which, written),
            Act::Pop => {
                assert_eq!(self.driver.pop_used(&self.mem).unwrap(), self.completed.pop_front());
            }
            Act::Tell => {
                self.driver.should_kick(&self.mem).unwrap();
                self.device.should_notify(&self.mem).unwrap();
                assert_eq!(self.device.arm(&self.mem).unwrap(), !self.offered.is_empty());
                assert_eq!(self.driver.arm(&self.mem, 3).unwrap(), !self.completed.is_empty());
            }
        }
        let busy = self.offered.len() + self.taken.len() + self.completed.len();
        assert_eq!(usize::from(self.driver.in_flight()), busy);
        assert_eq!(usize::from(self.device.in_flight()), self.taken.len());
        None
    }
}

proptest! {
    /// Random honest traffic arrives unchanged and comes back, whatever its shape and order.
    #[test]
    fn random_traffic_arrives_unchanged(
        features in features(),
        acts in proptest::collection::vec(act(), 1..400),
    ) {
        let words = large_memory();
        let mut line = Line::new(map(&words), features);
        for act in acts {
            line.run(act);
        }
    }

    /// The layouts differ in nothing that a device can see, as long as neither is full: a split ring
    /// of 16 holds as many descriptors as a packed one.
    #[test]
    fn a_device_does_not_see_the_layout(
        features in features(),
        acts in proptest::collection::vec(act(), 1..200),
    ) {
        let (split, packed) = (large_memory(), large_memory());
        let plain = Features::from_raw(features.get() & !Features::RING_PACKED.get());
        let mut split = Line::new(map(&split), plain);
        let mut packed = Line::new(map(&packed), plain | Features::RING_PACKED);
        for act in acts {
            prop_assert_eq!(split.run(act), packed.run(act));
            prop_assert_eq!(split.offered.len(), packed.offered.len());
        }
    }

    /// With the event index, whoever goes to sleep armed is told of what comes after.
    #[test]
    fn nobody_sleeps_through_what_he_asked_for(
        packed in any::<bool>(),
        batches in proptest::collection::vec((1_usize..5, 1_usize..4, 1_u16..6), 1..100),
    ) {
        let words = large_memory();
        let layout = if packed { Features::RING_PACKED } else { Features::NONE };
        let mut line = Line::new(map(&words), layout | Features::EVENT_IDX);
        prop_assert!(!line.device.arm(&line.mem).unwrap());
        for (requests, len, count) in batches {
            for _ in 0..requests {
                line.submit(len, 0, false);
            }
            prop_assert!(line.driver.should_kick(&line.mem).unwrap(), "the device sleeps");
            prop_assert!(!line.driver.arm(&line.mem, count).unwrap());
            let (mut done, mut told) = (0, false);
            while line.take().is_some() {
                line.complete(0, 0);
                done += 1;
                told |= line.device.should_notify(&line.mem).unwrap();
                // Chains of one length: the interrupt comes when `count` of them are back.
                prop_assert_eq!(told, done >= usize::from(count).min(requests.min(16 / len)));
            }
            prop_assert!(!line.device.arm(&line.mem).unwrap());
            while line.driver.pop_used(&line.mem).unwrap().is_some() {}
            line.completed.clear();
        }
    }

    /// A driver that writes anything anywhere at any time makes errors of the queue: no panic, no
    /// endless walk, no segment that leaves its area, no chain longer than the queue.
    #[test]
    fn hostile_drivers_never_panic(
        seed in proptest::collection::vec(any::<u8>(), 256),
        writes in proptest::collection::vec((0_u64..0x280, any::<u8>(), 0_u8..5), 1..200),
        features in features(),
    ) {
        let words = large_memory();
        let mem = map(&words);
        AreaMap::write(&mem, at(DESC), &seed).unwrap();
        let mut queue = DeviceQueue::new(&mem, config(8, features)).unwrap();
        let mut chain = Chain::<6>::new();
        let mut heads = Vec::new();
        for (place, value, call) in writes {
            AreaMap::write(&mem, at(place), &[value]).unwrap();
            if features.contains(Features::RING_PACKED) {
                // Flags that often hand something over.
                let flags = u16::from(value & 7) | if value & 8 == 0 { 0x80 } else { 0x8000 };
                mem.write_u16(at(DESC + 14 + 16 * u64::from(value >> 5)), flags).unwrap();
            } else {
                mem.write_u16(at(AVAIL + 2), u16::from(value & 15)).unwrap();
            }
            match call {
                0 | 1 => {
                    if let Ok(Some(head)) = queue.take(&mem, &mut chain) {
                        prop_assert!(queue.in_flight() <= 8);
                        prop_assert!(chain.readable().len() + chain.writable().len() <= 6);
                        let mut all = chain.readable().iter().chain(chain.writable());
                        prop_assert!(all.all(|s| s.addr.holds(u64::from(s.len))));
                        prop_assert!(chain.readable_bytes() + chain.writable_bytes() <= 1 << 32);
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
        writes in proptest::collection::vec((0_u64..0x280, any::<u8>(), 0_u8..5), 1..200),
        features in features(),
    ) {
        let words = large_memory();
        let mem = map(&words);
        let (mut driver, _) = pair(&mem, 8, features);
        for (place, value, call) in writes {
            AreaMap::write(&mem, at(place), &[value]).unwrap();
            if features.contains(Features::RING_PACKED) {
                let slot = DESC + 16 * u64::from(value % 8);
                mem.write_u32(at(slot + 8), u32::from(value % 9)).unwrap();
                mem.write_u16(at(slot + 12), u16::from(value >> 5)).unwrap();
                mem.write_u16(at(slot + 14), if value & 8 == 0 { 0x8082 } else { 0 }).unwrap();
            } else {
                let element = USED + 4 + 8 * u64::from(value % 8);
                mem.write_u32(at(element), u32::from(value % 9)).unwrap();
            }
            match call {
                0 | 1 => drop(driver.submit(&mem, &[segment(0, 1)], &[segment(8, 4)])),
                2 | 3 => {
                    if let Ok(Some(used)) = driver.pop_used(&mem) {
                        prop_assert!(used.written <= 4 && used.token.get() < 8);
                    }
                }
                _ => drop(driver.should_kick(&mem).and_then(|_| driver.arm(&mem, 2))),
            }
            prop_assert!(driver.in_flight() <= 4);
        }
    }
}
