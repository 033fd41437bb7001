//! Our queues against rust-vmm's virtio-queue on rust-vmm memory: a foreign implementation of both
//! sides. Never tests us against ourselves. Not under Miri, which has no mmap,
//! nor on Windows: rust-vmm's queue needs file descriptors.
#![cfg(not(any(miri, windows)))]

#[path = "rust_vmm/lock_step.rs"]
mod lock_step;
#[path = "support/traffic.rs"]
mod traffic;

use causeway_virtio::queue::{Chain, DeviceQueue, DriverQueue, QueueConfig, QueueSize, Segment};
use causeway_virtio::{Access, AreaMap, BusAddr, Features, MemError};
use proptest::prelude::*;
use std::sync::atomic::Ordering;
use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::{RawDescriptor, split::Descriptor};
use virtio_queue::mock::MockSplitQueue;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// rust-vmm memory as our map. Regions begin at `area_id << 48`, so bus addresses need no change.
struct Areas<'a>(&'a GuestMemoryMmap);

fn guest(at: BusAddr) -> GuestAddress {
    GuestAddress(at.get())
}

impl AreaMap for Areas<'_> {
    fn check(&self, at: BusAddr, len: u64, _access: Access) -> Result<(), MemError> {
        let len = usize::try_from(len).map_err(|_| MemError::Outside)?;
        let inside = GuestMemoryBackend::check_range(self.0, guest(at), len);
        if inside { Ok(()) } else { Err(MemError::Outside) }
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        self.0.read_slice(into, guest(at)).map_err(|_| MemError::Outside)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        self.0.write_slice(from, guest(at)).map_err(|_| MemError::Outside)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let raw = self.0.load(guest(at), Ordering::Acquire).map_err(|_| MemError::Outside)?;
        Ok(u16::from_le(raw))
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.0.store(value.to_le(), guest(at), Ordering::Release).map_err(|_| MemError::Outside)
    }
}

const AREA: u64 = 1 << 48;

fn memory(start: u64) -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(start), 0x10_0000)]).unwrap()
}

fn at(raw: u64) -> BusAddr {
    BusAddr::from_raw(raw)
}

#[test]
fn our_device_side_takes_what_a_rust_vmm_driver_lays_out() {
    let memory = memory(0);
    let areas = Areas(&memory);
    let driver = MockSplitQueue::new(&memory, 16);
    let config = QueueConfig {
        size: QueueSize::new(16).unwrap(),
        desc: at(driver.desc_table_addr().0),
        driver: at(driver.avail_addr().0),
        device: at(driver.used_addr().0),
        features: Features::NONE,
    };
    let mut device = DeviceQueue::new(&areas, config).unwrap();
    let next = u16::try_from(VRING_DESC_F_NEXT).unwrap();
    let write = u16::try_from(VRING_DESC_F_WRITE).unwrap();
    let descriptors = [
        RawDescriptor::from(Descriptor::new(0x8000, 16, next, 1)),
        RawDescriptor::from(Descriptor::new(0x9000, 512, next | write, 2)),
        RawDescriptor::from(Descriptor::new(0xa000, 1, write, 0)),
        RawDescriptor::from(Descriptor::new(0xb000, 7, 0, 0)),
    ];
    driver.add_desc_chains(&descriptors, 0).unwrap();
    let mut chain = Chain::<8>::new();
    let head = device.take(&areas, &mut chain).unwrap().unwrap();
    assert_eq!(chain.readable(), [Segment { addr: at(0x8000), len: 16 }]);
    let writable = [Segment { addr: at(0x9000), len: 512 }, Segment { addr: at(0xa000), len: 1 }];
    assert_eq!(chain.writable(), writable);
    device.complete(&areas, head, 513).unwrap();
    let head = device.take(&areas, &mut chain).unwrap().unwrap();
    assert_eq!(chain.readable(), [Segment { addr: at(0xb000), len: 7 }]);
    device.complete(&areas, head, 0).unwrap();
    assert_eq!(device.take(&areas, &mut chain), Ok(None));
    assert_eq!(u16::from_le(driver.used().idx().load()), 2);
    let first = driver.used().ring().ref_at(0).unwrap().load();
    assert_eq!((first.id(), first.len()), (0, 513));
    let second = driver.used().ring().ref_at(1).unwrap().load();
    assert_eq!((second.id(), second.len()), (3, 0));
}

fn foreign_device(memory: &GuestMemoryMmap, config: &QueueConfig) -> Queue {
    let mut queue = Queue::new(config.size.get()).unwrap();
    let halves = |at: BusAddr| {
        let [a, b, c, d, e, f, g, h] = at.get().to_le_bytes();
        (Some(u32::from_le_bytes([a, b, c, d])), Some(u32::from_le_bytes([e, f, g, h])))
    };
    let (low, high) = halves(config.desc);
    queue.set_desc_table_address(low, high);
    let (low, high) = halves(config.driver);
    queue.set_avail_ring_address(low, high);
    let (low, high) = halves(config.device);
    queue.set_used_ring_address(low, high);
    queue.set_size(config.size.get());
    queue.set_event_idx(config.features.contains(Features::EVENT_IDX));
    queue.set_ready(true);
    assert!(queue.is_valid(memory));
    queue
}

/// Serves one block request as a rust-vmm device does: header, payload, status.
fn serve_block(device: &mut Queue, memory: &GuestMemoryMmap, disk: &mut [u8]) -> bool {
    let Some(chain) = device.pop_descriptor_chain(memory) else { return false };
    let head = chain.head_index();
    let buffers: Vec<_> = chain.collect();
    let (header, status) = (buffers.first().unwrap(), buffers.last().unwrap());
    let kind: u32 = memory.read_obj(header.addr()).unwrap();
    let sector: u64 = memory.read_obj(GuestAddress(header.addr().0 + 8)).unwrap();
    let mut at = usize::try_from(sector).unwrap() * 512;
    let mut written = 1;
    for buffer in &buffers[1..buffers.len() - 1] {
        let piece = &mut disk[at..at + usize::try_from(buffer.len()).unwrap()];
        at += piece.len();
        if kind == 0 {
            memory.write_slice(piece, buffer.addr()).unwrap();
            written += buffer.len();
        } else {
            memory.read_slice(piece, buffer.addr()).unwrap();
        }
    }
    memory.write_obj(0_u8, status.addr()).unwrap();
    device.add_used(memory, head, written).unwrap();
    true
}

#[test]
fn our_block_driver_reads_and_writes_a_rust_vmm_disk() {
    use causeway_virtio::driver::block::{Block, Geometry};
    let memory = memory(AREA);
    let areas = Areas(&memory);
    let features = Features::VERSION_1 | Features::EVENT_IDX | Features::INDIRECT_DESC;
    let config = QueueConfig {
        size: QueueSize::new(32).unwrap(),
        desc: at(AREA),
        driver: at(AREA + 0x400),
        device: at(AREA + 0x800),
        features,
    };
    let mut disk: Vec<u8> = (0..256 * 512_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut space = [0; Geometry::CONFIG_BYTES];
    space[..8].copy_from_slice(&256_u64.to_le_bytes());
    let geometry = Geometry::from_config(&space, features);
    let mut block = Block::<32>::new(&areas, config, at(AREA + 0x1000), geometry).unwrap();
    let mut device = foreign_device(&memory, &config);
    let buffer = |number: u64| Segment { addr: at(AREA + 0x4000 + 1024 * number), len: 1024 };
    let (mut kicks, mut interrupts) = (0, 0);
    // Every second kibibyte is turned round: read, changed, written back.
    for batch in 0..4_u64 {
        for number in 0..32 {
            block.read(&areas, 2 * (32 * batch + number), &[buffer(number)]).unwrap();
        }
        kicks += u32::from(block.must_kick(&areas).unwrap());
        assert!(!block.arm(&areas, 32).unwrap());
        while serve_block(&mut device, &memory, &mut disk) {
            interrupts += u32::from(device.needs_notification(&memory).unwrap());
        }
        assert!(!device.enable_notification(&memory).unwrap());
        while let Some(done) = block.poll(&areas).unwrap() {
            assert!(done.outcome.is_ok() && done.written == 1025);
        }
        for number in (0..32).step_by(2) {
            let mut bytes = [0; 1024];
            areas.read(buffer(number).addr, &mut bytes).unwrap();
            areas.write(buffer(number).addr, &bytes.map(|byte| !byte)).unwrap();
            block.write(&areas, 2 * (32 * batch + number), &[buffer(number)]).unwrap();
        }
        kicks += u32::from(block.must_kick(&areas).unwrap());
        while serve_block(&mut device, &memory, &mut disk) {}
        assert!(!device.enable_notification(&memory).unwrap());
        while let Some(done) = block.poll(&areas).unwrap() {
            assert!(done.outcome.is_ok() && done.written == 1);
        }
    }
    for (number, byte) in (0_u32..).zip(&disk) {
        let original = number.to_le_bytes()[1];
        let turned = (number / 1024).is_multiple_of(2);
        assert_eq!(*byte, if turned { !original } else { original }, "{number}");
    }
    assert_eq!((kicks, interrupts), (8, 4), "192 requests");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random traffic of our driver arrives at rust-vmm's device unchanged, in area 1 of the bus's
    /// address space, and comes back; both sides agree on whom to tell.
    #[test]
    fn our_driver_side_works_with_a_rust_vmm_device(
        requests in proptest::collection::vec((0_usize..4, 1_usize..4, any::<bool>(), any::<bool>()), 1..200),
        event_index in any::<bool>(),
    ) {
        let memory = memory(AREA);
        let areas = Areas(&memory);
        let events = if event_index { Features::EVENT_IDX } else { Features::NONE };
        let config = QueueConfig {
            size: QueueSize::new(16).unwrap(),
            desc: at(AREA),
            driver: at(AREA + 0x400),
            device: at(AREA + 0x800),
            features: events | Features::INDIRECT_DESC,
        };
        let mut driver = DriverQueue::<16>::new(&areas, config).unwrap();
        let mut device = foreign_device(&memory, &config);
        let mut waiting = Vec::new();
        for (number, (readable, writable, indirect, drain)) in requests.into_iter().enumerate() {
            let unique = u64::try_from(number % 32).unwrap();
            let make = |count: usize, base: u64| -> Vec<_> {
                (0..u64::try_from(count).unwrap())
                    .map(|n| Segment { addr: at(AREA + base + 64 * unique + 8 * n), len: 8 })
                    .collect()
            };
            let (r, w) = (make(readable, 0x4000), make(writable, 0x8000));
            let table = at(AREA + 0x2000 + 128 * unique);
            let result = if indirect {
                driver.submit_indirect(&areas, table, &r, &w)
            } else {
                driver.submit(&areas, &r, &w)
            };
            if let Ok(token) = result {
                waiting.push((token, r, w));
            }
            if drain || result.is_err() {
                for (token, r, w) in waiting.drain(..) {
                    let chain = device.pop_descriptor_chain(&memory).unwrap();
                    let head = chain.head_index();
                    let got: Vec<_> = chain
                        .map(|d| (d.addr().0, d.len(), d.is_write_only()))
                        .collect();
                    let sent: Vec<_> = r.iter().map(|s| (s.addr.get(), s.len, false))
                        .chain(w.iter().map(|s| (s.addr.get(), s.len, true)))
                        .collect();
                    prop_assert_eq!(got, sent);
                    device.add_used(&memory, head, 8).unwrap();
                    prop_assert!(device.needs_notification(&memory).is_ok());
                    let used = driver.pop_used(&areas).unwrap().unwrap();
                    prop_assert_eq!((used.token, used.written), (token, 8));
                }
                prop_assert!(!driver.arm(&areas, 1).unwrap());
            }
        }
    }

    /// Both device sides, ours and rust-vmm's, see the same chains in the same rings.
    #[test]
    fn both_device_sides_see_the_same(
        shapes in proptest::collection::vec((0_usize..3, 1_usize..3, any::<bool>()), 1..8),
    ) {
        let memory = memory(AREA);
        let areas = Areas(&memory);
        let config = QueueConfig {
            size: QueueSize::new(64).unwrap(),
            desc: at(AREA),
            driver: at(AREA + 0x400),
            device: at(AREA + 0x800),
            features: Features::INDIRECT_DESC,
        };
        let mut driver = DriverQueue::<64>::new(&areas, config).unwrap();
        for (number, (readable, writable, indirect)) in shapes.iter().enumerate() {
            let place = AREA + 0x4000 + 256 * u64::try_from(number).unwrap();
            let r = vec![Segment { addr: at(place), len: 8 }; *readable];
            let w = vec![Segment { addr: at(place + 128), len: 8 }; *writable];
            if *indirect {
                let table = at(AREA + 0x2000 + 128 * u64::try_from(number).unwrap());
                driver.submit_indirect(&areas, table, &r, &w).unwrap();
            } else {
                driver.submit(&areas, &r, &w).unwrap();
            }
        }
        let mut ours = DeviceQueue::new(&areas, config).unwrap();
        let mut theirs = foreign_device(&memory, &config);
        let mut chain = Chain::<8>::new();
        for _ in &shapes {
            let head = ours.take(&areas, &mut chain).unwrap().unwrap();
            let foreign = theirs.pop_descriptor_chain(&memory).unwrap();
            prop_assert_eq!(head.index(), foreign.head_index());
            let seen: Vec<_> = foreign.map(|d| (d.addr().0, d.len(), d.is_write_only())).collect();
            let mine: Vec<_> = chain.readable().iter().map(|s| (s.addr.get(), s.len, false))
                .chain(chain.writable().iter().map(|s| (s.addr.get(), s.len, true)))
                .collect();
            prop_assert_eq!(mine, seen);
        }
        prop_assert_eq!(ours.take(&areas, &mut chain), Ok(None));
        prop_assert!(theirs.pop_descriptor_chain(&memory).is_none());
    }
}
