//! Owns the fuzz target of both ring layouts with every feature: a device side and a driver side of a
//! packed ring, the same calls on a split ring beside it, and a third hand that writes the packed one's
//! memory. Honest sides lose nothing and a device sees no difference between the layouts; with the third
//! hand: no panic, no loop, bounded chains, errors that are final.
#![no_main]

use arbitrary::{Result, Unstructured};
use causeway_virtio::mem::WordArea;
use causeway_virtio::queue::{
    Chain, DeviceQueue, DriverQueue, Head, QueueConfig, QueueError, QueueSize, Segment, Token,
};
use causeway_virtio::{AreaId, AreaMap, BusAddr, Features};
use core::sync::atomic::AtomicU16;
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;

const DRIVER: u64 = 0x100;
const DEVICE: u64 = 0x140;
const TABLES: u64 = 0x200;
const BYTES: u64 = 0x800;

fn at(offset: u64) -> BusAddr {
    AreaId::new(1).and_then(|area| BusAddr::new(area, offset)).expect("an address")
}

/// Both sides of one queue, and what is on its way while everybody is honest.
struct Line<'a> {
    memory: WordArea<'a>,
    driver: DriverQueue<16>,
    device: DeviceQueue,
    offered: VecDeque<(Token, Vec<Segment>)>,
    taken: VecDeque<(Head, Token, u32)>,
    returned: VecDeque<(Token, u32)>,
    tables: u64,
}

impl<'a> Line<'a> {
    fn new(words: &'a [AtomicU16], features: Features, entries: u16) -> Self {
        let memory = WordArea::new(AreaId::new(1).expect("not 0"), words);
        let size = QueueSize::for_packed(entries).expect("small");
        let (desc, driver, device) = (at(0), at(DRIVER), at(DEVICE));
        let config = QueueConfig { size, desc, driver, device, features };
        let driver = DriverQueue::new(&memory, config).expect("good rings");
        let device = DeviceQueue::new(&memory, config).expect("good rings");
        let (offered, taken, returned) = Default::default();
        Self { memory, driver, device, offered, taken, returned, tables: 0 }
    }

    fn submit(
        &mut self,
        r: &[Segment],
        w: &[Segment],
        indirect: bool,
    ) -> core::result::Result<(), QueueError> {
        let token = if indirect {
            // One of its own for each chain that the device has not taken: 16 at most.
            let table = at(TABLES + 96 * self.tables);
            let token = self.driver.submit_indirect(&self.memory, table, r, w)?;
            self.tables = (self.tables + 1) % 16;
            token
        } else {
            self.driver.submit(&self.memory, r, w)?
        };
        self.offered.push_back((token, r.iter().chain(w).copied().collect()));
        Ok(())
    }

    /// Returns the chain's buffers, if there was a chain.
    fn take(&mut self, is_honest: bool) -> core::result::Result<Option<Vec<Segment>>, QueueError> {
        let mut chain = Chain::<8>::new();
        let Some(head) = self.device.take(&self.memory, &mut chain)? else {
            assert!(!is_honest || self.offered.is_empty());
            return Ok(None);
        };
        let segments = chain.segments().to_vec();
        assert_eq!([chain.readable(), chain.writable()].concat(), segments);
        assert!(segments.iter().all(|one| one.addr.holds(u64::from(one.len))));
        let room = u32::try_from(chain.writable_bytes()).unwrap_or(u32::MAX);
        let offered = self.offered.pop_front();
        if let (true, Some((_, buffers))) = (is_honest, &offered) {
            assert_eq!(segments, *buffers);
        }
        if let Some((token, _)) = offered {
            self.taken.push_back((head, token, room));
        }
        Ok(Some(segments))
    }

    fn complete(&mut self, which: usize, written: u32) -> core::result::Result<(), QueueError> {
        let in_order = self.device.config().features.contains(Features::IN_ORDER);
        let which = if in_order { 0 } else { which % self.taken.len().max(1) };
        let Some((head, token, room)) = self.taken.remove(which) else { return Ok(()) };
        self.returned.push_back((token, written.min(room)));
        self.device.complete(&self.memory, head, written.min(room))
    }

    fn pop(&mut self, is_honest: bool) -> core::result::Result<(), QueueError> {
        let used = self.driver.pop_used(&self.memory)?.map(|used| (used.token, used.written));
        let expected = self.returned.pop_front();
        assert!(!is_honest || used == expected, "{used:?} {expected:?}");
        Ok(())
    }

    fn tell(&mut self) -> core::result::Result<(), QueueError> {
        self.driver.should_kick(&self.memory)?;
        self.device.should_notify(&self.memory)?;
        self.device.arm(&self.memory)?;
        self.driver.arm(&self.memory, 3).map(|_| ())
    }
}

fn segments(input: &mut Unstructured<'_>, base: u64) -> Result<Vec<Segment>> {
    let count = input.int_in_range(0..=3u8)?;
    let mut one = || Ok(Segment { addr: at(base + u64::from(input.arbitrary::<u8>()?)), len: 8 });
    (0..count).map(|_| one()).collect()
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let memory = || (0..BYTES / 2).map(|_| AtomicU16::new(0)).collect::<Vec<_>>();
    let (packed_words, split_words) = (memory(), memory());
    let mut features = Features::NONE;
    for feature in [Features::EVENT_IDX, Features::INDIRECT_DESC, Features::IN_ORDER] {
        if input.arbitrary()? {
            features = features | feature;
        }
    }
    // Any size will do for a packed ring; the split one beside it needs a power of two.
    let entries = input.int_in_range(1..=16u16)?;
    let mut packed = Line::new(&packed_words, features | Features::RING_PACKED, entries);
    let mut split = Line::new(&split_words, features, entries.next_power_of_two());
    let twins = entries.is_power_of_two();
    let mut is_honest = true;
    while !input.is_empty() {
        let result = match input.int_in_range(0..=8u8)? {
            0..=2 => {
                let (r, w) = (segments(input, 0x400)?, segments(input, 0x600)?);
                let indirect = input.arbitrary()? && features.contains(Features::INDIRECT_DESC);
                let result = packed.submit(&r, &w, indirect);
                if twins && is_honest {
                    assert_eq!(split.submit(&r, &w, indirect), result);
                }
                match result {
                    // More buffers than the ring has entries are refused, and nothing changes.
                    Err(QueueError::TooLong) if entries < 6 => Ok(()),
                    other => other,
                }
            }
            3 | 4 => {
                let seen = packed.take(is_honest);
                if twins && is_honest {
                    assert_eq!(split.take(true), seen);
                }
                seen.map(|_| ())
            }
            5 => {
                let (which, written) =
                    (usize::from(input.arbitrary::<u8>()?), input.int_in_range(0..=40)?);
                if twins && is_honest {
                    split.complete(which, written).expect("honest sides");
                }
                packed.complete(which, written)
            }
            6 => {
                if twins && is_honest {
                    split.pop(true).expect("honest sides");
                }
                packed.pop(is_honest)
            }
            7 => packed.tell(),
            _ => {
                is_honest = false;
                let offset = u64::from(input.int_in_range(0..=0x14fu16)?);
                packed.memory.write(at(offset), &[input.arbitrary()?]).expect("it is inside");
                Ok(())
            }
        };
        let is_usual = matches!(result, Ok(()) | Err(QueueError::Full | QueueError::Empty));
        assert!(!is_honest || is_usual, "{result:?}");
        assert!(packed.device.in_flight() <= entries && packed.driver.in_flight() <= entries);
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Running out of input is the usual end.
    let (Ok(()) | Err(_)) = run(&mut Unstructured::new(bytes));
});
