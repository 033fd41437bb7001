//! The order of accesses to rings, under every interleaving and every value that the memory model
//! allows for each (loom). The queues reach memory only through `AreaMap`, so a map made of loom's
//! atomics is all that is needed; leaving one of its orderings or fences out must be found.
//! Not under Miri, which would run loom's runs a thousand times slower.
#![cfg(not(miri))]

use causeway_virtio::queue::{Chain, DeviceQueue, DriverQueue, QueueConfig, QueueSize, Segment};
use causeway_virtio::{Access, AreaMap, BusAddr, Features, MemError};
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
// Not loom's: it only tells what some run has seen.
use std::sync::atomic::AtomicBool;

/// A word of memory as both sides access it: always whole.
enum Cell {
    Two(AtomicU16),
    Four(AtomicU32),
    Eight(AtomicU64),
}

/// What a side leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    /// Its index and flag stores are not releases.
    Release,
    /// Its index and flag loads are not acquires.
    Acquire,
    /// Its full fences are missing.
    Fence,
}

/// One side's view of the memory.
#[derive(Clone)]
struct Map {
    cells: Arc<Vec<(u64, Cell)>>,
    defect: Defect,
}

const DESC: u64 = 0;
const DRIVER: u64 = 0x100;
const DEVICE: u64 = 0x200;
const DATA: u64 = 0x300;
/// A word that orders nothing. Loom tries other orders of two accesses only where the second one's
/// predecessor at the same word is the other thread's; this makes it try "returned, then looked".
const TURN: u64 = DATA + 4;
const SIZE: u16 = 2;

impl Map {
    /// Descriptors, two small areas, two words of payload and [`TURN`], cut as the layout accesses them.
    fn new(packed: bool) -> Self {
        let mut cells = Vec::new();
        let desc: &[u64] = if packed { &[8, 4, 2, 2] } else { &[8, 8] };
        // flags, idx, ring[2], used_event; flags, idx, ring[2] of 8 bytes, avail_event.
        let (driver, device): (&[u64], &[u64]) =
            if packed { (&[2, 2], &[2, 2]) } else { (&[2; 5], &[2, 2, 4, 4, 4, 4, 2]) };
        for (base, sizes) in [
            (DESC, desc),
            (DESC + 16, desc),
            (DRIVER, driver),
            (DEVICE, device),
            (DATA, &[2, 2, 2][..]),
        ] {
            let mut at = base;
            for size in sizes {
                let cell = match size {
                    2 => Cell::Two(AtomicU16::new(0)),
                    4 => Cell::Four(AtomicU32::new(0)),
                    _ => Cell::Eight(AtomicU64::new(0)),
                };
                cells.push((at, cell));
                at += size;
            }
        }
        Self { cells: Arc::new(cells), defect: Defect::None }
    }

    fn with(&self, defect: Defect) -> Self {
        Self { defect, ..self.clone() }
    }

    fn cell(&self, offset: u64) -> &Cell {
        let found = self.cells.iter().find(|(at, _)| *at == offset);
        &found.unwrap_or_else(|| panic!("no word begins at {offset:#x}")).1
    }

    fn two(&self, at: BusAddr) -> &AtomicU16 {
        let Cell::Two(cell) = self.cell(at.offset()) else { panic!("no half-word at {at}") };
        cell
    }

    fn ordering(&self, defect: Defect, ordering: Ordering) -> Ordering {
        if self.defect == defect { Ordering::Relaxed } else { ordering }
    }
}

impl AreaMap for Map {
    fn check(&self, _: BusAddr, _: u64, _: Access) -> Result<(), MemError> {
        Ok(())
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        let (mut rest, mut offset) = (into, at.offset());
        while !rest.is_empty() {
            let (value, len) = match self.cell(offset) {
                Cell::Two(cell) => (u64::from(cell.load(Ordering::Relaxed)), 2),
                Cell::Four(cell) => (u64::from(cell.load(Ordering::Relaxed)), 4),
                Cell::Eight(cell) => (cell.load(Ordering::Relaxed), 8),
            };
            let (word, after) = rest.split_at_mut(len);
            word.copy_from_slice(&value.to_le_bytes()[..len]);
            rest = after;
            offset += u64::try_from(len).unwrap();
        }
        Ok(())
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        let (mut rest, mut offset) = (from, at.offset());
        while !rest.is_empty() {
            let len = match self.cell(offset) {
                Cell::Two(cell) => {
                    cell.store(
                        u16::from_le_bytes(rest[..2].try_into().unwrap()),
                        Ordering::Relaxed,
                    );
                    2
                }
                Cell::Four(cell) => {
                    cell.store(
                        u32::from_le_bytes(rest[..4].try_into().unwrap()),
                        Ordering::Relaxed,
                    );
                    4
                }
                Cell::Eight(cell) => {
                    cell.store(
                        u64::from_le_bytes(rest[..8].try_into().unwrap()),
                        Ordering::Relaxed,
                    );
                    8
                }
            };
            rest = &rest[len..];
            offset += u64::try_from(len).unwrap();
        }
        Ok(())
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        Ok(self.two(at).load(self.ordering(Defect::Acquire, Ordering::Acquire)))
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.two(at).store(value, self.ordering(Defect::Release, Ordering::Release));
        Ok(())
    }

    fn read_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        Ok(self.two(at).load(Ordering::Relaxed))
    }

    fn write_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.two(at).store(value, Ordering::Relaxed);
        Ok(())
    }

    fn write_u32(&self, at: BusAddr, value: u32) -> Result<(), MemError> {
        let [a, b, c, d] = value.to_le_bytes();
        self.write_u16(at, u16::from_le_bytes([a, b]))?;
        let next = at.checked_add(2).ok_or(MemError::Outside)?;
        self.write_u16(next, u16::from_le_bytes([c, d]))
    }

    fn full_fence(&self) {
        if self.defect != Defect::Fence {
            fence(Ordering::SeqCst);
        }
    }
}

fn at(offset: u64) -> BusAddr {
    BusAddr::from_raw(offset)
}

type Driver = DriverQueue<2>;

/// Both sides, after one request has gone through, so that nothing is as it was at the start.
fn sides(features: Features) -> (Map, Driver, DeviceQueue) {
    let map = Map::new(features.contains(Features::RING_PACKED));
    let config = QueueConfig {
        size: QueueSize::new(SIZE).unwrap(),
        desc: at(DESC),
        driver: at(DRIVER),
        device: at(DEVICE),
        features,
    };
    let mut driver = Driver::new(&map, config).unwrap();
    let mut device = DeviceQueue::new(&map, config).unwrap();
    driver.disarm(&map).unwrap();
    device.disarm(&map).unwrap();
    submit(&map, &mut driver);
    driver.should_kick(&map).unwrap();
    let head = device.take(&map, &mut Chain::<1>::new()).unwrap().unwrap();
    device.complete(&map, head, 0).unwrap();
    device.should_notify(&map).unwrap();
    driver.pop_used(&map).unwrap().unwrap();
    (map, driver, device)
}

fn submit(map: &Map, driver: &mut Driver) {
    driver.submit(map, &[], &[Segment { addr: at(DATA), len: 4 }]).unwrap();
}

fn explore(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

const LAYOUTS: [Features; 2] = [Features::NONE, Features::RING_PACKED];

/// The device sees descriptor and payload with the index; the driver sees the answer with the used
/// index. `lax` is what each side leaves out.
fn payload(features: Features, lax: (Defect, Defect)) {
    let seen = &*Box::leak(Box::new(AtomicBool::new(false)));
    explore(move || {
        let (map, mut driver, mut device) = sides(features);
        let (ours, theirs) = (map.with(lax.0), map.with(lax.1));
        let device_side = thread::spawn(move || {
            let mut chain = Chain::<1>::new();
            if let Some(head) = device.take(&theirs, &mut chain).unwrap() {
                assert_eq!(chain.writable(), [Segment { addr: at(DATA), len: 4 }]);
                assert_eq!(theirs.read_u16(at(DATA)), Ok(0x5a5a), "payload before index");
                theirs.write_u16(at(DATA + 2), 0xa5a5).unwrap();
                device.complete(&theirs, head, 3).unwrap();
                theirs.write_u16(at(TURN), 1).unwrap();
            }
        });
        ours.write_u16(at(DATA), 0x5a5a).unwrap();
        submit(&ours, &mut driver);
        ours.read_u16(at(TURN)).unwrap();
        if let Some(used) = driver.pop_used(&ours).unwrap() {
            seen.store(true, Ordering::Relaxed);
            assert_eq!(used.written, 3, "element before used index");
            assert_eq!(ours.read_u16(at(DATA + 2)), Ok(0xa5a5), "answer before used index");
        }
        device_side.join().unwrap();
    });
    assert!(seen.load(Ordering::Relaxed), "no run had an answer in time");
}

/// Either the driver rings, or the device sees the chain before it sleeps.
fn kick(features: Features, lax: (Defect, Defect)) {
    explore(move || {
        let (map, mut driver, mut device) = sides(features);
        let (ours, theirs) = (map.with(lax.0), map.with(lax.1));
        let device_side = thread::spawn(move || device.arm(&theirs).unwrap());
        submit(&ours, &mut driver);
        let rings = driver.should_kick(&ours).unwrap();
        let sees = device_side.join().unwrap();
        assert!(rings || sees, "the device sleeps over a chain");
    });
}

/// Either the device rings, or the driver sees the answer before it sleeps.
fn interrupt(features: Features, lax: (Defect, Defect)) {
    explore(move || {
        let (map, mut driver, mut device) = sides(features);
        submit(&map, &mut driver);
        let head = device.take(&map, &mut Chain::<1>::new()).unwrap().unwrap();
        let (ours, theirs) = (map.with(lax.0), map.with(lax.1));
        let device_side = thread::spawn(move || {
            device.complete(&theirs, head, 0).unwrap();
            device.should_notify(&theirs).unwrap()
        });
        let sees = driver.arm(&ours, 1).unwrap();
        let rings = device_side.join().unwrap();
        assert!(rings || sees, "the driver sleeps over an answer");
    });
}

const SOUND: (Defect, Defect) = (Defect::None, Defect::None);

#[test]
fn payload_is_seen_with_its_index() {
    for layout in LAYOUTS {
        payload(layout, SOUND);
    }
}

#[test]
fn no_kick_is_lost() {
    for layout in LAYOUTS {
        for events in [Features::NONE, Features::EVENT_IDX] {
            kick(layout | events, SOUND);
        }
    }
}

#[test]
fn no_interrupt_is_lost() {
    for layout in LAYOUTS {
        for events in [Features::NONE, Features::EVENT_IDX] {
            interrupt(layout | events, SOUND);
        }
    }
}

/// Every barrier is needed: without any one of them, on either side, some run goes wrong.
#[test]
fn a_missing_barrier_is_found() {
    let found = |what: &dyn Fn()| catch_unwind(AssertUnwindSafe(what)).is_err();
    for layout in LAYOUTS {
        for defect in [Defect::Release, Defect::Acquire] {
            for lax in [(defect, Defect::None), (Defect::None, defect)] {
                assert!(found(&|| payload(layout, lax)), "{layout:?}: payload, {lax:?}");
            }
        }
        for events in [Features::NONE, Features::EVENT_IDX] {
            let features = layout | events;
            for lax in [(Defect::Fence, Defect::None), (Defect::None, Defect::Fence)] {
                assert!(found(&|| kick(features, lax)), "{features:?}: kick, {lax:?}");
                assert!(found(&|| interrupt(features, lax)), "{features:?}: interrupt, {lax:?}");
            }
        }
    }
}
