//! Two systems under the same random traffic: one with our device side, one with rust-vmm's, both with our
//! driver side. What the device sees, what comes back, who is to be told, and every byte of the rings must
//! be the same. Chains are completed in any order, and the rings gone round many times.

use super::traffic::{Act, act};
use super::{AREA, Areas, at, foreign_device, memory};
use causeway_virtio::Features;
use causeway_virtio::queue::{
    Chain, DeviceQueue, DriverQueue, Head, QueueConfig, QueueError, QueueSize, Segment,
};
use proptest::prelude::*;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const SIZE: u16 = 8;
const RINGS_BYTES: usize = 0x300;
const TABLES: u64 = AREA + 0x1000;
const DATA: u64 = AREA + 0x4000;

/// One of the two systems.
struct System<D> {
    memory: GuestMemoryMmap,
    driver: DriverQueue<8>,
    device: D,
}

impl<D> System<D> {
    fn new(config: QueueConfig, device: impl FnOnce(&GuestMemoryMmap, &QueueConfig) -> D) -> Self {
        let memory = memory(AREA);
        let driver = DriverQueue::new(&Areas(&memory), config).unwrap();
        let device = device(&memory, &config);
        Self { memory, driver, device }
    }

    /// Has the driver do something.
    fn drive<R>(&mut self, act: impl Fn(&mut DriverQueue<8>, &Areas<'_>) -> R) -> R {
        act(&mut self.driver, &Areas(&self.memory))
    }

    fn rings(&self) -> [u8; RINGS_BYTES] {
        let mut bytes = [0; RINGS_BYTES];
        self.memory.read_slice(&mut bytes, GuestAddress(AREA)).unwrap();
        bytes
    }
}

struct Both {
    features: Features,
    ours: System<DeviceQueue>,
    theirs: System<Queue>,
    /// What both devices hold: our right to complete it, and the bytes it has room for.
    held: Vec<(Head, u32)>,
    number: u64,
    came_back: u32,
}

impl Both {
    fn new(features: Features) -> Self {
        let config = QueueConfig {
            size: QueueSize::new(SIZE).unwrap(),
            desc: at(AREA),
            driver: at(AREA + 0x100),
            device: at(AREA + 0x200),
            features,
        };
        let ours = |memory: &GuestMemoryMmap, config: &QueueConfig| {
            DeviceQueue::new(&Areas(memory), *config).unwrap()
        };
        let (ours, theirs) = (System::new(config, ours), System::new(config, foreign_device));
        Self { features, ours, theirs, held: Vec::new(), number: 0, came_back: 0 }
    }

    fn has(&self, feature: Features) -> bool {
        self.features.contains(feature)
    }

    /// Has both drivers do the same, and hands over what came of it.
    fn drive<R: PartialEq + std::fmt::Debug>(
        &mut self,
        act: impl Fn(&mut DriverQueue<8>, &Areas<'_>) -> R,
    ) -> R {
        let (ours, theirs) = (self.ours.drive(&act), self.theirs.drive(&act));
        assert_eq!(ours, theirs);
        ours
    }

    fn offer(&mut self, readable: usize, writable: usize, indirect: bool) {
        let unique = self.number % 32;
        self.number += 1;
        let make = |count: usize, base: u64| -> Vec<_> {
            (0..u64::try_from(count).unwrap())
                .map(|n| Segment { addr: at(DATA + base + 64 * unique + 8 * n), len: 8 })
                .collect()
        };
        let (r, w) = (make(readable, 0), make(writable, 0x1000));
        let table =
            (indirect && self.has(Features::INDIRECT_DESC)).then(|| at(TABLES + 128 * unique));
        let offered = self.drive(|driver, mem| match table {
            Some(table) => driver.submit_indirect(mem, table, &r, &w),
            None => driver.submit(mem, &r, &w),
        });
        assert!(matches!(offered, Ok(_) | Err(QueueError::Full | QueueError::Empty)));
    }

    fn take(&mut self) -> bool {
        let mut chain = Chain::<8>::new();
        let ours = self.ours.device.take(&Areas(&self.ours.memory), &mut chain).unwrap();
        let theirs = self.theirs.device.pop_descriptor_chain(&self.theirs.memory);
        assert_eq!(ours.is_some(), theirs.is_some());
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            assert!(chain.segments().is_empty());
            return false;
        };
        assert_eq!(ours.index(), theirs.head_index());
        let seen: Vec<_> = theirs.map(|d| (d.addr().0, d.len(), d.is_write_only())).collect();
        let readable = chain.readable().iter().map(|s| (s.addr.get(), s.len, false));
        let writable = chain.writable().iter().map(|s| (s.addr.get(), s.len, true));
        assert_eq!(readable.chain(writable).collect::<Vec<_>>(), seen);
        self.held.push((ours, u32::try_from(chain.writable_bytes()).unwrap()));
        true
    }

    fn complete(&mut self, which: usize, written: u32) {
        if self.held.is_empty() {
            return;
        }
        let in_order = self.has(Features::IN_ORDER);
        let which = if in_order { 0 } else { which % self.held.len() };
        let (head, room) = self.held.remove(which);
        let (index, written) = (head.index(), written.min(room));
        self.ours.device.complete(&Areas(&self.ours.memory), head, written).unwrap();
        self.theirs.device.add_used(&self.theirs.memory, index, written).unwrap();
    }

    fn run(&mut self, act: Act) {
        let (ours, theirs) = (&mut self.ours, &mut self.theirs);
        match act {
            Act::Offer { readable, writable, indirect } => {
                self.offer(readable, writable, indirect);
            }
            Act::Kick => {
                let _same = self.drive(|driver, mem| driver.should_kick(mem).unwrap());
            }
            Act::Take => {
                let _was_one = self.take();
            }
            Act::Complete { which, written } => self.complete(which, written),
            Act::Notify => {
                let decided = ours.device.should_notify(&Areas(&ours.memory)).unwrap();
                let foreign = theirs.device.needs_notification(&theirs.memory).unwrap();
                // Without the event index rust-vmm always tells, whatever the driver's flag says.
                if self.has(Features::EVENT_IDX) {
                    assert_eq!(decided, foreign);
                }
            }
            Act::Pop => {
                let back = self.drive(|driver, mem| driver.pop_used(mem).unwrap());
                self.came_back += u32::from(back.is_some());
            }
            Act::ArmDevice => {
                let waits = ours.device.arm(&Areas(&ours.memory)).unwrap();
                assert_eq!(waits, theirs.device.enable_notification(&theirs.memory).unwrap());
            }
            Act::DisarmDevice => {
                ours.device.disarm(&Areas(&ours.memory)).unwrap();
                theirs.device.disable_notification(&theirs.memory).unwrap();
            }
            Act::ArmDriver { count } => {
                let _same = self.drive(|driver, mem| driver.arm(mem, count).unwrap());
            }
            Act::DisarmDriver => self.drive(|driver, mem| driver.disarm(mem).unwrap()),
        }
    }

    fn compare(&self, after: &dyn std::fmt::Debug) {
        assert_eq!(self.ours.rings(), self.theirs.rings(), "after {after:?}");
    }

    /// Everything that is on its way comes back.
    fn finish(&mut self) {
        while self.take() {}
        while !self.held.is_empty() {
            self.complete(0, 1);
        }
        while self.drive(|driver, mem| driver.pop_used(mem).unwrap()).is_some() {}
        assert_eq!((self.ours.driver.in_flight(), self.ours.device.in_flight()), (0, 0));
        self.compare(&"the end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn our_device_side_and_rust_vmms_do_the_same_under_random_traffic(
        events in any::<bool>(),
        indirect in any::<bool>(),
        in_order in any::<bool>(),
        acts in proptest::collection::vec(act(), 1..500),
    ) {
        let bit = |is_on, feature| if is_on { feature } else { Features::NONE };
        let features = bit(events, Features::EVENT_IDX)
            | bit(indirect, Features::INDIRECT_DESC)
            | bit(in_order, Features::IN_ORDER);
        let mut both = Both::new(features);
        for act in acts {
            both.run(act);
            both.compare(&act);
        }
        both.finish();
    }
}

/// More than 65,536 requests: the indices wrap, as well as the rings.
#[test]
fn both_device_sides_do_the_same_when_the_indices_wrap() {
    const REQUESTS: u32 = 66_000;
    let mut both = Both::new(Features::EVENT_IDX | Features::INDIRECT_DESC);
    for number in 0..REQUESTS / 2 {
        for indirect in [false, number.is_multiple_of(3)] {
            both.run(Act::Offer { readable: 1, writable: 2, indirect });
        }
        both.run(Act::Kick);
        both.run(Act::Take);
        both.run(Act::Take);
        // The second one first.
        both.run(Act::Complete { which: 1, written: 9 });
        both.run(Act::Complete { which: 0, written: 16 });
        both.run(Act::Notify);
        both.run(Act::Pop);
        both.run(Act::Pop);
        if number.is_multiple_of(5) {
            both.run(Act::ArmDevice);
            both.run(Act::ArmDriver { count: 2 });
            both.compare(&number);
        }
    }
    assert_eq!(both.came_back, REQUESTS);
    both.finish();
}
