//! Owns the fuzz target of virtqueues: a device side and a driver side on memory that a third hand
//! writes. No panic, no loop, bounded chains; honest sides understand each other.
#![no_main]

use arbitrary::{Result, Unstructured};
use causeway_virtio::mem::WordArea;
use causeway_virtio::queue::{
    Chain, DeviceQueue, DriverQueue, QueueConfig, QueueError, QueueSize, Segment,
};
use causeway_virtio::{AreaId, AreaMap, BusAddr, Features};
use core::sync::atomic::AtomicU16;
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;

const DESC: u64 = 0;
const AVAIL: u64 = 0x200;
const USED: u64 = 0x300;
const TABLE: u64 = 0x400;
const BYTES: u64 = 0x800;

fn at(offset: u64) -> BusAddr {
    AreaId::new(1).and_then(|area| BusAddr::new(area, offset)).expect("an address")
}

fn segment(input: &mut Unstructured<'_>) -> Result<Segment> {
    let addr = at(TABLE + u64::from(input.arbitrary::<u8>()?));
    Ok(Segment { addr, len: u32::from(input.int_in_range(1..=64u8)?) })
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let words: Vec<AtomicU16> = (0..BYTES / 2).map(|_| AtomicU16::new(0)).collect();
    let memory = WordArea::new(AreaId::new(1).expect("not 0"), &words);
    let size = QueueSize::new(1 << input.int_in_range(0..=4u8)?).expect("a power of two");
    let mut features = Features::NONE;
    for feature in [Features::EVENT_IDX, Features::INDIRECT_DESC, Features::RING_PACKED, Features::IN_ORDER] {
        if input.arbitrary()? {
            features = features | feature;
        }
    }
    let config =
        QueueConfig { size, desc: at(DESC), driver: at(AVAIL), device: at(USED), features };
    let mut driver = DriverQueue::<16>::new(&memory, config).expect("good rings");
    let mut device = DeviceQueue::new(&memory, config).expect("good rings");
    let mut chain = Chain::<8>::new();
    let in_order = features.contains(Features::IN_ORDER);
    let mut taken = VecDeque::new();
    let (mut is_honest, mut tables) = (true, 0);
    while !input.is_empty() {
        let result = match input.int_in_range(0..=8)? {
            0 | 1 => {
                let (a, b) = ([segment(input)?], [segment(input)?]);
                match driver.submit(&memory, &a, &b) {
                    // A chain of two does not go into a queue of one entry.
                    Err(QueueError::TooLong) if size.get() < 2 => Ok(()),
                    result => result.map(|_| ()),
                }
            }
            2 => {
                let (a, b) = ([segment(input)?], [segment(input)?]);
                // A table of its own for each chain that the device has not taken: 16 at most.
                let table = at(TABLE + 32 * tables);
                match driver.submit_indirect(&memory, table, &a, &b) {
                    // A table of two does not go into a queue of one entry.
                    Err(QueueError::TooLong) if size.get() < 2 => Ok(()),
                    result => result.map(|_| tables = (tables + 1) % 24),
                }
            }
            3 | 4 => device.take(&memory, &mut chain).map(|head| {
                if let Some(head) = head {
                    assert!(chain.readable().len() + chain.writable().len() <= 8);
                    taken.push_back((head, chain.writable_bytes()));
                }
            }),
            5 => match if in_order { taken.pop_front() } else { taken.pop_back() } {
                Some((head, room)) => {
                    let written = u32::try_from(room.min(64)).expect("small");
                    device.complete(&memory, head, written)
                }
                None => Ok(()),
            },
            6 => driver.pop_used(&memory).map(|_| ()),
            7 => {
                let told = device.should_notify(&memory).and_then(|_| device.arm(&memory));
                told.and_then(|_| driver.should_kick(&memory)).map(|_| ())
            }
            _ => {
                is_honest = false;
                let offset = u64::from(input.int_in_range(0..=0x47fu16)?);
                let byte: u8 = input.arbitrary()?;
                memory.write(at(offset), &[byte]).expect("it is inside");
                Ok(())
            }
        };
        let is_usual = matches!(
            result,
            Ok(()) | Err(QueueError::Full | QueueError::Empty | QueueError::Indirect)
        );
        assert!(!is_honest || is_usual, "{result:?}");
        assert!(device.in_flight() <= size.get() && driver.in_flight() <= 16);
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Running out of input is the usual end.
    let (Ok(()) | Err(_)) = run(&mut Unstructured::new(bytes));
});
