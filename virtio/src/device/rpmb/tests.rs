//! Tests of the device's own part: configuration, frames in pieces, chains that are no request.

use super::*;
use crate::addr::{AreaId, BusAddr};
use crate::mem::WordArea;
use crate::queue::{DriverQueue, QueueConfig, Segment};
use crate::types::Features;
use core::sync::atomic::AtomicU16;

/// Answers each frame with as many copies of it as its first byte says, whatever the room.
#[derive(Default)]
struct Echo {
    asked: Vec<(u8, usize)>,
}

impl Protected for Echo {
    fn limits(&self) -> Limits {
        Limits { capacity: 1, max_write_blocks: 2, max_read_blocks: 16 }
    }

    fn request(&mut self, request: &Frame, room: usize, answer: &mut dyn FnMut(&Frame)) {
        self.asked.push((request[0], room));
        for _ in 0..request[0] {
            answer(request);
        }
    }
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn segment(offset: u64, len: u32) -> Segment {
    Segment { addr: at(offset), len }
}

struct World<'a> {
    mem: WordArea<'a>,
    driver: DriverQueue<8>,
    queue: DeviceQueue,
    device: Rpmb<Echo>,
}

fn world(words: &[AtomicU16]) -> World<'_> {
    let mem = WordArea::new(AreaId::new(1).unwrap(), words);
    let config = QueueConfig {
        size: QueueSize::new(8).unwrap(),
        desc: at(0),
        driver: at(0x400),
        device: at(0x800),
        features: Features::NONE,
    };
    let driver = DriverQueue::new(&mem, config).unwrap();
    let queue = DeviceQueue::new(&mem, config).unwrap();
    World { mem, driver, queue, device: Rpmb::new(Echo::default()) }
}

impl World<'_> {
    fn run(&mut self, readable: &[Segment], writable: &[Segment]) -> Result<u32, QueueError> {
        self.driver.submit(&self.mem, readable, writable).unwrap();
        self.device.serve(&self.mem, 0, &mut self.queue, 4)?;
        Ok(self.driver.pop_used(&self.mem).unwrap().unwrap().written)
    }
}

fn words() -> Vec<AtomicU16> {
    (0..0x4000).map(|_| AtomicU16::new(0)).collect()
}

#[test]
fn configuration_is_the_one_of_the_standard() {
    // virtio 1.3, 5.12.4: u8 capacity, u8 max_wr_cnt, u8 max_rd_cnt.
    let device = Rpmb::new(Echo::default());
    assert_eq!((device.identity().device.get(), device.config_len()), (28, 3));
    let (mut all, mut last) = ([9; 3], [9; 1]);
    device.read_config(0, &mut all);
    device.read_config(2, &mut last);
    assert_eq!((all, last), ([1, 2, 16], [16]));
}

#[test]
fn frames_in_pieces_are_joined_and_answers_fill_the_room_in_order() {
    let words = words();
    let mut world = world(&words);
    for (n, offset) in [(1, 0x2000), (2, 0x2200)] {
        world.mem.write(at(offset), &[n; 512]).unwrap();
    }
    // Two requests in three buffers, three answers in two.
    let readable = [segment(0x2000, 100), segment(0x2064, 412), segment(0x2200, 512)];
    let writable = [segment(0x3000, 700), segment(0x4000, 1000)];
    assert_eq!(world.run(&readable, &writable), Ok(3 * 512));
    assert_eq!(world.device.memory.asked, [(1, 3), (2, 2)]);
    let (mut first, mut rest) = (vec![0; 700], vec![0; 1000]);
    world.mem.read(at(0x3000), &mut first).unwrap();
    world.mem.read(at(0x4000), &mut rest).unwrap();
    let all = [first, rest].concat();
    assert!(all[..512].iter().all(|b| *b == 1) && all[512..1536].iter().all(|b| *b == 2));
    assert!(all[1536..].iter().all(|b| *b == 0), "half a frame is no room");
}

#[test]
fn a_memory_that_answers_too_much_is_stopped_at_the_room() {
    let words = words();
    let mut world = world(&words);
    world.mem.write(at(0x2000), &[7; 512]).unwrap();
    assert_eq!(world.run(&[segment(0x2000, 512)], &[segment(0x3000, 1024)]), Ok(1024));
    assert_eq!(world.run(&[segment(0x2000, 512)], &[]), Ok(0));
    assert_eq!(world.device.memory.asked, [(7, 2), (7, 0)]);
}

#[test]
fn a_chain_that_is_no_frame_or_too_many_ends_the_queue() {
    for len in [0, 1, 511, 513, 5 * 512] {
        let words = words();
        let mut world = world(&words);
        let none = [segment(0x2000, len)];
        let readable: &[Segment] = if len == 0 { &[] } else { &none };
        let met = world.run(readable, &[segment(0x3000, 512)]);
        assert_eq!(met, Err(QueueError::Request), "{len}");
        assert!(world.device.memory.asked.is_empty());
    }
    let words = words();
    let mut world = world(&words);
    assert_eq!(world.run(&[segment(0x2000, 4 * 512)], &[]), Ok(0));
    assert_eq!(world.device.memory.asked.len(), 4);
}
