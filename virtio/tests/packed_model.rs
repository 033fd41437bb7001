//! Our packed rings against a driver and a device of a second make, written from the standard's text alone
//! (virtio 1.3, 2.8): no crate that we know of has packed rings (virtio-queue 0.18 and virtio-drivers 0.13
//! have none). Never tests us against ourselves. Not under Miri, where an operation takes too long.
#![cfg(not(miri))]

#[path = "packed_model/spec.rs"]
mod spec;
#[path = "support/traffic.rs"]
mod traffic;

use causeway_virtio::mem::WordArea;
use causeway_virtio::queue::{
    Chain, DeviceQueue, DriverQueue, Head, QueueConfig, QueueError, QueueSize, Segment,
};
use causeway_virtio::{AreaId, BusAddr, Features};
use proptest::prelude::*;
use spec::{Buffer, Raw, SpecDevice, SpecDriver, Taken};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU16;
use traffic::{Act, act};

const TABLES: u64 = 0x400;
const DATA: u64 = 0x2000;
const WORDS: usize = 0xa00;

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

/// Memory with an empty ring.
fn memory() -> Vec<AtomicU16> {
    (0..WORDS).map(|_| AtomicU16::new(0)).collect()
}

fn area(words: &[AtomicU16]) -> WordArea<'_> {
    WordArea::new(AreaId::new(1).unwrap(), words)
}

/// A driver side of either make.
trait Driver {
    /// Offers a chain; `None` if there is no room for it.
    fn offer(&mut self, words: &[AtomicU16], buffers: &[Buffer], table: Option<u64>)
    -> Option<u16>;
    /// What came back: its name, and the bytes that were written.
    fn pop(&mut self, words: &[AtomicU16]) -> Option<(u16, u32)>;
    fn kick(&mut self, words: &[AtomicU16]) -> bool;
    fn arm(&mut self, words: &[AtomicU16], count: u16) -> bool;
    fn disarm(&mut self, words: &[AtomicU16]);
}

impl Driver for DriverQueue<16> {
    fn offer(
        &mut self,
        words: &[AtomicU16],
        buffers: &[Buffer],
        table: Option<u64>,
    ) -> Option<u16> {
        let segments = |is_writable| -> Vec<Segment> {
            let those = buffers.iter().filter(|buffer| buffer.is_writable == is_writable);
            those
                .map(|buffer| Segment { addr: BusAddr::from_raw(buffer.addr), len: buffer.len })
                .collect()
        };
        let (readable, writable) = (segments(false), segments(true));
        let offered = match table {
            Some(table) => {
                let table = BusAddr::from_raw(table);
                self.submit_indirect(&area(words), table, &readable, &writable)
            }
            None => self.submit(&area(words), &readable, &writable),
        };
        match offered {
            Ok(token) => Some(token.get()),
            Err(error) => {
                assert!(matches!(error, QueueError::Full | QueueError::TooLong), "{error:?}");
                None
            }
        }
    }

    fn pop(&mut self, words: &[AtomicU16]) -> Option<(u16, u32)> {
        let used = self.pop_used(&area(words)).unwrap()?;
        Some((used.token.get(), used.written))
    }

    fn kick(&mut self, words: &[AtomicU16]) -> bool {
        self.should_kick(&area(words)).unwrap()
    }

    fn arm(&mut self, words: &[AtomicU16], count: u16) -> bool {
        DriverQueue::arm(self, &area(words), count).unwrap()
    }

    fn disarm(&mut self, words: &[AtomicU16]) {
        DriverQueue::disarm(self, &area(words)).unwrap();
    }
}

impl Driver for SpecDriver {
    fn offer(
        &mut self,
        words: &[AtomicU16],
        buffers: &[Buffer],
        table: Option<u64>,
    ) -> Option<u16> {
        SpecDriver::offer(self, Raw(words), buffers, table)
    }

    fn pop(&mut self, words: &[AtomicU16]) -> Option<(u16, u32)> {
        SpecDriver::pop(self, Raw(words))
    }

    fn kick(&mut self, words: &[AtomicU16]) -> bool {
        SpecDriver::kick(self, Raw(words))
    }

    fn arm(&mut self, words: &[AtomicU16], _count: u16) -> bool {
        SpecDriver::arm(self, Raw(words))
    }

    fn disarm(&mut self, words: &[AtomicU16]) {
        SpecDriver::disarm(self, Raw(words));
    }
}

/// Two systems whose drivers are of one make: ours is the device in the first, the standard's in the
/// second. Whatever is seen, said or written in one is so in the other.
struct Both<D> {
    features: Features,
    words: [Vec<AtomicU16>; 2],
    drivers: [D; 2],
    ours: DeviceQueue,
    theirs: SpecDevice,
    offered: VecDeque<(u16, Vec<Buffer>)>,
    held: Vec<(Head, Taken, u32)>,
    completed: VecDeque<(u16, u32)>,
    number: u64,
}

impl<D: Driver> Both<D> {
    fn new(size: u16, features: Features, driver: impl Fn(&[AtomicU16], QueueConfig) -> D) -> Self {
        let config = QueueConfig {
            size: QueueSize::for_packed(size).unwrap(),
            desc: at(0),
            driver: at(spec::DRIVER_EVENT),
            device: at(spec::DEVICE_EVENT),
            features: features | Features::RING_PACKED,
        };
        let words = [memory(), memory()];
        let drivers = [driver(&words[0], config), driver(&words[1], config)];
        let ours = DeviceQueue::new(&area(&words[0]), config).unwrap();
        let theirs = SpecDevice::new(size, features.contains(Features::EVENT_IDX));
        let (offered, held, completed) = Default::default();
        Self { features, words, drivers, ours, theirs, offered, held, completed, number: 0 }
    }

    /// Has both drivers do the same.
    fn drive<R: PartialEq + std::fmt::Debug>(
        &mut self,
        act: impl Fn(&mut D, &[AtomicU16]) -> R,
    ) -> R {
        let [first, second] = &mut self.drivers;
        let (ours, theirs) = (act(first, &self.words[0]), act(second, &self.words[1]));
        assert_eq!(ours, theirs);
        ours
    }

    fn offer(&mut self, readable: usize, writable: usize, indirect: bool) {
        if readable + writable == 0 {
            return;
        }
        let unique = self.number % 32;
        self.number += 1;
        let buffers: Vec<Buffer> = (0_u64..)
            .zip((0..readable + writable).map(|n| n >= readable))
            .map(|(n, is_writable)| Buffer {
                addr: at(DATA + 64 * unique + 8 * n).get(),
                len: 8,
                is_writable,
            })
            .collect();
        let indirect = indirect && self.features.contains(Features::INDIRECT_DESC);
        let table = indirect.then(|| at(TABLES + 128 * unique).get());
        if let Some(name) = self.drive(|driver, words| driver.offer(words, &buffers, table)) {
            self.offered.push_back((name, buffers));
        }
    }

    fn take(&mut self) -> bool {
        let mut chain = Chain::<8>::new();
        let ours = self.ours.take(&area(&self.words[0]), &mut chain).unwrap();
        let theirs = self.theirs.take(Raw(&self.words[1]));
        let (Some((name, buffers)), Some(head), Some(taken)) =
            (self.offered.front(), &ours, &theirs)
        else {
            assert!(self.offered.is_empty() && ours.is_none() && theirs.is_none());
            return false;
        };
        assert_eq!((head.index(), taken.id), (*name, *name));
        assert_eq!(taken.buffers, *buffers);
        let buffer = |segment: &Segment, is_writable| Buffer {
            addr: segment.addr.get(),
            len: segment.len,
            is_writable,
        };
        let readable = chain.readable().iter().map(|segment| buffer(segment, false));
        let writable = chain.writable().iter().map(|segment| buffer(segment, true));
        assert_eq!(readable.chain(writable).collect::<Vec<_>>(), *buffers);
        let room = u32::try_from(chain.writable_bytes()).unwrap();
        self.held.push((ours.unwrap(), theirs.unwrap(), room));
        self.offered.pop_front();
        true
    }

    fn complete(&mut self, which: usize, written: u32) {
        if self.held.is_empty() {
            return;
        }
        let in_order = self.features.contains(Features::IN_ORDER);
        let which = if in_order { 0 } else { which % self.held.len() };
        let (head, taken, room) = self.held.remove(which);
        let written = written.min(room);
        self.completed.push_back((taken.id, written));
        self.ours.complete(&area(&self.words[0]), head, written).unwrap();
        self.theirs.complete(Raw(&self.words[1]), &taken, written);
    }

    fn notify(&mut self) {
        let decided = self.ours.should_notify(&area(&self.words[0])).unwrap();
        let spec = self.theirs.notify(Raw(&self.words[1]));
        // A whole ring or more since the last decision: ours tells, which is always allowed.
        assert_eq!(decided, spec.must || spec.may);
    }

    fn run(&mut self, act: Act) {
        match act {
            Act::Offer { readable, writable, indirect } => {
                self.offer(readable, writable, indirect);
            }
            Act::Kick => {
                let _same = self.drive(D::kick);
            }
            Act::Take => {
                let _was_one = self.take();
            }
            Act::Complete { which, written } => self.complete(which, written),
            Act::Notify => self.notify(),
            Act::Pop => {
                assert_eq!(self.drive(D::pop), self.completed.pop_front());
            }
            Act::ArmDevice => {
                let waits = self.ours.arm(&area(&self.words[0])).unwrap();
                assert_eq!(waits, self.theirs.arm(Raw(&self.words[1])));
                assert_eq!(waits, !self.offered.is_empty());
            }
            Act::DisarmDevice => {
                self.ours.disarm(&area(&self.words[0])).unwrap();
                self.theirs.disarm(Raw(&self.words[1]));
            }
            Act::ArmDriver { count } => {
                let waits = self.drive(|driver, words| driver.arm(words, count));
                assert_eq!(waits, !self.completed.is_empty());
            }
            Act::DisarmDriver => self.drive(D::disarm),
        }
    }

    fn compare(&self, after: &dyn std::fmt::Debug) {
        let [ours, theirs] = &self.words;
        assert!(Raw(ours).same(Raw(theirs)), "memory differs after {after:?}");
    }

    /// Everything that is on its way comes back.
    fn finish(&mut self) {
        while self.take() {}
        while !self.held.is_empty() {
            self.complete(0, 1);
        }
        while !self.completed.is_empty() {
            self.run(Act::Pop);
        }
        self.run(Act::Pop);
        assert_eq!(self.ours.in_flight(), 0);
        self.compare(&"the end");
    }

    fn whole(mut self, acts: Vec<Act>) {
        for act in acts {
            self.run(act);
            self.compare(&act);
        }
        self.finish();
    }
}

fn features() -> impl Strategy<Value = Features> {
    let bit = |feature: Features| {
        any::<bool>().prop_map(move |is_on| if is_on { feature } else { Features::NONE })
    };
    let all = (bit(Features::EVENT_IDX), bit(Features::INDIRECT_DESC), bit(Features::IN_ORDER));
    all.prop_map(|(a, b, c)| a | b | c)
}

fn our_driver(words: &[AtomicU16], config: QueueConfig) -> DriverQueue<16> {
    DriverQueue::new(&area(words), config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Our driver, with either device.
    #[test]
    fn our_driver_and_the_standards_device_understand_each_other(
        size in 1_u16..17,
        features in features(),
        acts in proptest::collection::vec(act(), 1..500),
    ) {
        Both::new(size, features, our_driver).whole(acts);
    }

    /// The standard's driver, with either device.
    #[test]
    fn the_standards_driver_and_our_device_understand_each_other(
        size in 1_u16..17,
        features in features(),
        acts in proptest::collection::vec(act(), 1..500),
    ) {
        let events = features.contains(Features::EVENT_IDX);
        Both::new(size, features, |_, _| SpecDriver::new(size, events)).whole(acts);
    }
}
