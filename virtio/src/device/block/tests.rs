//! Tests of the block device, driven by our own driver side over one area.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

use super::*;
use crate::addr::AreaId;
use crate::device::DeviceServer;
use crate::mem::WordArea;
use crate::msg::{Body, Message, Request, Response, SetVqueue, VqueueFlags};
use crate::queue::{DriverQueue, QueueConfig, Segment, Used};
use crate::types::Status;
use core::sync::atomic::AtomicU16;
use proptest::prelude::*;

const SECTORS: u64 = 64;
const HEADER: u64 = 0x3000;
const STATUS: u64 = 0x3100;
const DATA: u64 = 0x4000;
const ID: [u8; 20] = *b"causeway-test-disk\0\0";

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn segment(offset: u64, len: u32) -> Segment {
    Segment { addr: at(offset), len }
}

fn image() -> Vec<u8> {
    (0..SECTORS * 512).map(|n| u8::try_from((n * 7 + n / 512) % 251).unwrap()).collect()
}

/// A driver and a device that are set up, sharing one area.
struct Bench<'a, D = SliceMedium<'a>> {
    mem: WordArea<'a>,
    server: DeviceServer<Block<D>, 1>,
    driver: DriverQueue<16>,
}

impl<'a> Bench<'a> {
    fn new(words: &'a [AtomicU16], disk: &'a mut [u8]) -> Self {
        Self::with(words, SliceMedium::new(disk))
    }
}

impl<'a, D: Medium> Bench<'a, D> {
    fn with(words: &'a [AtomicU16], medium: D) -> Self {
        let mem = WordArea::new(AreaId::new(1).unwrap(), words);
        let mut server = DeviceServer::new(Block::new(medium, ID));
        let mut ask = |request| {
            let message = Message { dev_num: 0, token: 1, body: Body::Request(request) };
            server.answer(&mem, &message).unwrap().body
        };
        let words = crate::msg::FeatureWords::collect([1 << 9, 1]).unwrap();
        let blocks = crate::msg::FeatureBlocks { index: 0, words };
        let taken = ask(Request::SetDriverFeatures(blocks));
        assert_eq!(taken, Body::Response(Response::SetDriverFeatures));
        ask(Request::SetDeviceStatus(Status::from_raw(0x0b)));
        let (desc, driver, device) = (at(0), at(0x1000), at(0x2000));
        let set =
            SetVqueue { index: 0, flags: VqueueFlags::ENABLE, size: 16, desc, driver, device };
        assert_eq!(ask(Request::SetVqueue(set)), Body::Response(Response::SetVqueue));
        let running = Status::from_raw(0x0f);
        let status = ask(Request::SetDeviceStatus(running));
        assert_eq!(status, Body::Response(Response::SetDeviceStatus(running)));
        let size = QueueSize::new(16).unwrap();
        let features = Features::VERSION_1;
        let config = QueueConfig { size, desc, driver, device, features };
        Self { mem, server, driver: DriverQueue::new(&mem, config).unwrap() }
    }

    fn header(&self, kind: u32, sector: u64) {
        self.mem.write_u32(at(HEADER), kind).unwrap();
        self.mem.write_u32(at(HEADER + 4), 0).unwrap();
        self.mem.write_u64(at(HEADER + 8), sector).unwrap();
    }

    /// Sends one request; returns status byte and written bytes.
    fn request(&mut self, readable: &[Segment], writable: &[Segment]) -> (u8, u32) {
        self.mem.write(at(STATUS), &[0xee]).unwrap();
        let token = self.driver.submit(&self.mem, readable, writable).unwrap();
        let served = self.server.serve(&self.mem, 0, 32);
        assert_eq!((served.requests, served.notify, served.event), (1, true, None));
        let used = self.driver.pop_used(&self.mem).unwrap().unwrap();
        assert_eq!(used.token, token);
        let mut status = [0];
        self.mem.read(at(STATUS), &mut status).unwrap();
        (status[0], used.written)
    }

    fn simple(&mut self, kind: u32, sector: u64, out: &[Segment], into: &[Segment]) -> (u8, u32) {
        self.header(kind, sector);
        let readable: Vec<_> = [segment(HEADER, 16)].iter().chain(out).copied().collect();
        let writable: Vec<_> = into.iter().chain(&[segment(STATUS, 1)]).copied().collect();
        self.request(&readable, &writable)
    }

    fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.mem.read(at(offset), &mut bytes).unwrap();
        bytes
    }
}

fn words() -> Vec<AtomicU16> {
    (0..0x8000).map(|_| AtomicU16::new(0)).collect()
}

#[test]
fn reads_and_writes_move_each_byte_once() {
    let (words, mut disk) = (words(), image());
    let original = disk.clone();
    let mut bench = Bench::new(&words, &mut disk);
    assert_eq!(bench.simple(0, 3, &[], &[segment(DATA, 1024)]), (0, 1025));
    assert_eq!(bench.bytes(DATA, 1024), original[3 * 512..5 * 512]);
    let new = vec![0x5a; 512];
    bench.mem.write(at(DATA), &new).unwrap();
    assert_eq!(bench.simple(1, 63, &[segment(DATA, 512)], &[]), (0, 1));
    assert_eq!(bench.simple(4, 0, &[], &[]), (0, 1));
    assert_eq!(bench.simple(0, 62, &[], &[segment(DATA + 0x800, 1024)]), (0, 1025));
    assert_eq!(bench.bytes(DATA + 0x800, 512), original[62 * 512..63 * 512]);
    assert_eq!(bench.bytes(DATA + 0xa00, 512), new);
    let counters = bench.server.model().counters();
    let expected = Counters { requests: 4, medium_bytes: 1024 + 512 + 1024, copied_bytes: 0 };
    assert_eq!(counters, expected);
}

/// A medium with a bounce buffer: each sector is staged in other memory first.
struct Staged<'a>(SliceMedium<'a>);

impl Medium for Staged<'_> {
    fn sector_count(&self) -> u64 {
        self.0.sector_count()
    }
    fn storage(&self) -> Range<usize> {
        self.0.storage()
    }
    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        to: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        let at = usize::try_from(at).unwrap();
        let stage = self.0.bytes()[at..at + usize::try_from(len).unwrap()].to_vec();
        Ok(mem.write(to, &stage)?)
    }
    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError> {
        // Twice, with nothing between.
        self.0.write_from(at, mem, from, len)?;
        self.0.write_from(at, mem, from, len)
    }
    fn flush(&mut self) -> Result<(), MediumError> {
        Ok(())
    }
}

#[test]
fn a_medium_that_stages_or_moves_twice_cannot_hide_it() {
    let (words, mut disk) = (words(), image());
    let original = disk.clone();
    let medium = Staged(SliceMedium::new(&mut disk));
    let mut bench = Bench::with(&words, medium);
    assert_eq!(bench.simple(0, 3, &[], &[segment(DATA, 1024)]), (0, 1025));
    assert_eq!(bench.bytes(DATA, 1024), original[3 * 512..5 * 512]);
    let staged = Counters { requests: 1, medium_bytes: 1024, copied_bytes: 1024 };
    assert_eq!(bench.server.model().counters(), staged);
    assert_eq!(bench.simple(1, 5, &[segment(DATA, 512)], &[]), (0, 1));
    let twice = Counters { requests: 2, medium_bytes: 1536, copied_bytes: 1024 + 512 };
    assert_eq!(bench.server.model().counters(), twice);
}

#[test]
fn buffers_of_any_shape_are_used_in_place() {
    let (words, mut disk) = (words(), image());
    let original = disk.clone();
    let mut bench = Bench::new(&words, &mut disk);
    // The header in three pieces, the data in odd ones, the status behind the last data byte.
    bench.header(0, 1);
    let readable = [segment(HEADER, 1), segment(HEADER + 1, 0), segment(HEADER + 1, 15)];
    let writable = [segment(DATA, 511), segment(DATA + 0x1000, 1), segment(DATA + 0x2000, 513)];
    bench.driver.submit(&bench.mem, &readable, &writable).unwrap();
    assert_eq!(bench.server.serve(&bench.mem, 0, 1).requests, 1);
    assert_eq!(bench.driver.pop_used(&bench.mem).unwrap().unwrap().written, 1025);
    assert_eq!(bench.bytes(DATA, 511), original[512..1023]);
    assert_eq!(bench.bytes(DATA + 0x1000, 1), original[1023..1024]);
    assert_eq!(bench.bytes(DATA + 0x2000, 512), original[1024..1536]);
    assert_eq!(bench.bytes(DATA + 0x2200, 1), [0]);
}

#[test]
fn transfers_outside_the_capacity_fail_and_move_nothing() {
    let (words, mut disk) = (words(), image());
    let mut bench = Bench::new(&words, &mut disk);
    let data = [segment(DATA, 1024)];
    for sector in [63, 64, 1 << 55, u64::MAX] {
        assert_eq!(bench.simple(0, sector, &[], &data), (1, 1), "{sector}");
        assert_eq!(bench.simple(1, sector, &data, &[]), (1, 1), "{sector}");
    }
    assert_eq!(bench.simple(0, 0, &[], &[segment(DATA, 100)]), (1, 1), "no whole sector");
    assert_eq!(bench.simple(1, 0, &[segment(DATA, 513)], &[]), (1, 1));
    assert_eq!(bench.server.model().counters().medium_bytes, 0);
    assert_eq!(bench.bytes(DATA, 1024), [0; 1024]);
    assert_eq!(disk, image());
}

#[test]
fn other_requests() {
    let (words, mut disk) = (words(), image());
    let mut bench = Bench::new(&words, &mut disk);
    assert_eq!(bench.simple(8, 0, &[], &[segment(DATA, 20)]), (0, 21));
    assert_eq!(bench.bytes(DATA, 20), ID);
    assert_eq!(bench.simple(8, 0, &[], &[segment(DATA + 32, 5)]), (0, 6));
    assert_eq!(bench.bytes(DATA + 32, 6), b"cause\0");
    assert_eq!(bench.simple(11, 0, &[segment(DATA, 16)], &[]), (2, 1), "discard is unsupported");
    assert_eq!(bench.simple(u32::MAX, 0, &[], &[]), (2, 1));
    bench.header(0, 0);
    let short = bench.request(&[segment(HEADER, 15)], &[segment(STATUS, 1)]);
    assert_eq!(short, (1, 1), "half a header");
}

#[test]
fn wild_buffers_end_the_queue_and_ask_for_a_reset() {
    let (words, mut disk) = (words(), image());
    let original = disk.clone();
    for (readable, writable) in [
        (vec![segment(HEADER, 16)], vec![segment(0x1_0000 - 8, 512), segment(STATUS, 1)]),
        (vec![segment(HEADER, 16)], vec![Segment { addr: BusAddr::from_raw(7 << 48), len: 513 }]),
        (vec![segment(0x1_0000 - 8, 16)], vec![segment(STATUS, 1)]),
        (vec![segment(HEADER, 16)], vec![]),
    ] {
        let mut bench = Bench::new(&words, &mut disk);
        bench.header(0, 0);
        bench.driver.submit(&bench.mem, &readable, &writable).unwrap();
        let served = bench.server.serve(&bench.mem, 0, 32);
        let event = served.event.unwrap();
        assert_eq!(event.status(), Status::from_raw(0x4f));
        assert_eq!(bench.server.status(), Status::from_raw(0x4f));
        bench.header(0, 0);
        let good = [segment(DATA, 512), segment(STATUS, 1)];
        bench.driver.submit(&bench.mem, &[segment(HEADER, 16)], &good).unwrap();
        assert_eq!(bench.server.serve(&bench.mem, 0, 32).requests, 0, "only a reset goes on");
        bench.server.reset();
        assert!(bench.server.status().is_reset());
    }
    assert_eq!(disk, original);
}

#[test]
fn a_failing_medium_is_an_io_error() {
    /// Fails; and must not be asked for anything beyond its end.
    struct Broken;
    impl Medium for Broken {
        fn storage(&self) -> Range<usize> {
            0..0
        }
        fn sector_count(&self) -> u64 {
            8
        }
        fn read_into<M: AreaMap + ?Sized>(
            &mut self,
            at: u64,
            _: &M,
            _: BusAddr,
            len: u32,
        ) -> Result<(), MediumError> {
            assert!(at + u64::from(len) <= 8 * 512);
            Err(MediumError::Io)
        }
        fn write_from<M: AreaMap + ?Sized>(
            &mut self,
            at: u64,
            _: &M,
            _: BusAddr,
            len: u32,
        ) -> Result<(), MediumError> {
            assert!(at + u64::from(len) <= 8 * 512);
            Err(MediumError::Io)
        }
        fn flush(&mut self) -> Result<(), MediumError> {
            Err(MediumError::Io)
        }
    }
    let words = words();
    let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
    let config = QueueConfig {
        size: QueueSize::new(16).unwrap(),
        desc: at(0),
        driver: at(0x1000),
        device: at(0x2000),
        features: Features::NONE,
    };
    let mut driver = DriverQueue::<16>::new(&mem, config).unwrap();
    let mut queue = DeviceQueue::new(&mem, config).unwrap();
    let mut block: Block<_> = Block::new(Broken, ID);
    for (kind, sector) in [(0, 7), (1, 7), (4, 0), (0, 8), (1, 8), (0, u64::MAX)] {
        mem.write_u32(at(HEADER), kind).unwrap();
        mem.write_u64(at(HEADER + 8), sector).unwrap();
        let (data, status) = (segment(DATA, 512), segment(STATUS, 1));
        let header = segment(HEADER, 16);
        let token = match kind {
            1 => driver.submit(&mem, &[header, data], &[status]),
            _ => driver.submit(&mem, &[header], &[data, status]),
        };
        assert_eq!(block.serve(&mem, 0, &mut queue, 9), Ok(1));
        let used = Used { token: token.unwrap(), written: 1 };
        assert_eq!(driver.pop_used(&mem), Ok(Some(used)));
        let mut status = [0];
        mem.read(at(STATUS), &mut status).unwrap();
        assert_eq!(status, [1]);
    }
}

#[test]
fn budget_bounds_one_visit() {
    let (words, mut disk) = (words(), image());
    let mut bench = Bench::new(&words, &mut disk);
    bench.header(4, 0);
    for _ in 0..5 {
        bench.driver.submit(&bench.mem, &[segment(HEADER, 16)], &[segment(STATUS, 1)]).unwrap();
    }
    assert_eq!(bench.server.serve(&bench.mem, 0, 3).requests, 3);
    assert_eq!(bench.server.serve(&bench.mem, 0, 3).requests, 2);
    assert!(!bench.server.arm(&bench.mem, 0));
}

#[test]
fn configuration_space_tells_the_capacity() {
    let mut disk = image();
    let block: Block<_, 34> = Block::new(SliceMedium::new(&mut disk), ID);
    let mut config = [0; 60];
    block.read_config(0, &mut config);
    assert_eq!(config[..8], SECTORS.to_le_bytes());
    assert_eq!(config[12..16], 32_u32.to_le_bytes(), "seg_max");
    assert_eq!(config[20..24], 512_u32.to_le_bytes(), "blk_size");
    let mut part = [0; 2];
    block.read_config(20, &mut part);
    assert_eq!(part, [0, 2]);
}

proptest! {
    /// Whatever lies in the rings: no panic, the disk beyond a failed request stays as it is, and
    /// the medium never moves more than its size per request.
    #[test]
    fn random_rings_never_panic(
        descs in proptest::collection::vec((0_u64..0x9000, 0_u32..2000, 0_u16..4, 0_u16..16), 16),
        heads in proptest::collection::vec(0_u16..16, 16),
        header in proptest::collection::vec(0_u8..9, 16),
    ) {
        let (words, mut disk) = (words(), image());
        let mut bench = Bench::new(&words, &mut disk);
        for (index, (addr, len, flags, next)) in (0_u64..).zip(descs) {
            bench.mem.write_u64(at(16 * index), at(addr).get()).unwrap();
            bench.mem.write_u32(at(16 * index + 8), len).unwrap();
            bench.mem.write_u16(at(16 * index + 12), flags).unwrap();
            bench.mem.write_u16(at(16 * index + 14), next).unwrap();
        }
        bench.mem.write(at(HEADER), &header).unwrap();
        for (index, head) in (0_u64..).zip(&heads) {
            bench.mem.write_u16(at(0x1004 + 2 * index), *head).unwrap();
        }
        bench.mem.write_u16(at(0x1002), 16).unwrap();
        let served = bench.server.serve(&bench.mem, 0, 1000);
        prop_assert!(served.requests <= 16);
        let moved = bench.server.model().counters().medium_bytes;
        prop_assert!(moved <= 17 * SECTORS * 512);
    }
}
