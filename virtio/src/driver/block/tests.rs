//! Tests of the block driver against our own device model, and against devices that lie.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

use super::*;
use crate::addr::AreaId;
use crate::device::DeviceModel;
use crate::device::block::{Block as Model, SliceMedium};
use crate::mem::{MemError, WordArea};
use crate::queue::{Chain, DeviceQueue, QueueSize};
use core::sync::atomic::AtomicU16;

const DEPTH: u16 = 32;
const WORKSPACE: u64 = 0x800;
const DATA: u64 = 0x1800;
const SECTORS: u64 = 256;
const ALL: Features = Features::from_raw(
    Features::VERSION_1.get()
        | Features::INDIRECT_DESC.get()
        | Features::EVENT_IDX.get()
        | Features::BLK_FLUSH.get(),
);
const VARIANTS: [Features; 3] = [
    ALL,
    Features::from_raw(ALL.get() | Features::RING_PACKED.get()),
    Features::from_raw(ALL.get() | Features::RING_PACKED.get() | Features::IN_ORDER.get()),
];

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn memory() -> Box<[AtomicU16]> {
    Box::new([const { AtomicU16::new(0) }; 0x2c00])
}

fn map(words: &[AtomicU16]) -> WordArea<'_> {
    WordArea::new(AreaId::new(1).unwrap(), words)
}

fn config(features: Features) -> QueueConfig {
    let size = QueueSize::new(DEPTH).unwrap();
    QueueConfig { size, desc: at(0), driver: at(0x200), device: at(0x280), features }
}

fn geometry(features: Features) -> Geometry {
    let mut config = [0; Geometry::CONFIG_BYTES];
    config[..8].copy_from_slice(&SECTORS.to_le_bytes());
    Geometry::from_config(&config, features)
}

fn image() -> Vec<u8> {
    (0..SECTORS * 512).map(|n| u8::try_from((n * 7 + n / 512) % 251).unwrap()).collect()
}

/// The payload buffer of a ticket: one sector.
fn buffer(ticket: u16) -> Segment {
    Segment { addr: at(DATA + 512 * u64::from(ticket)), len: 512 }
}

fn sector(mem: &WordArea<'_>, ticket: u16) -> [u8; 512] {
    let mut bytes = [0; 512];
    AreaMap::read(mem, buffer(ticket).addr, &mut bytes).unwrap();
    bytes
}

fn pair(mem: &WordArea<'_>, features: Features) -> (Block<32>, DeviceQueue) {
    let config = config(features);
    let block = Block::new(mem, config, at(WORKSPACE), geometry(features)).unwrap();
    (block, DeviceQueue::new(mem, config).unwrap())
}

/// One doorbell for eight requests or fewer at depth 32, both ways counted together: a device that
/// sleeps when it runs dry, a driver that refills when half is back.
#[test]
fn every_sector_is_read_with_few_doorbells() {
    let sectors = SECTORS;
    for features in VARIANTS {
        let words = memory();
        let mem = map(&words);
        let (mut disk, mut queue) = pair(&mem, features);
        let mut bytes = image();
        let expected = bytes.clone();
        let mut model = Model::<_, 8>::new(SliceMedium::new(&mut bytes), [0; 20]);
        let mut asked = [0_u64; 32];
        let (mut next, mut good, mut doorbells) = (0_u64, 0, 0_u64);
        assert_eq!(queue.arm(&mem), Ok(false));
        while good < sectors {
            while let Some(done) = disk.poll(&mem).unwrap() {
                assert_eq!((done.outcome, done.written), (Outcome::Ok, 513));
                let place = usize::from(done.ticket.get());
                let start = usize::try_from(asked[place] * 512).unwrap();
                assert_eq!(sector(&mem, done.ticket.get()), expected[start..start + 512]);
                good += 1;
            }
            if disk.in_flight() <= DEPTH / 2 {
                while next < sectors
                    && let Some(ticket) = disk.next_ticket()
                {
                    assert_eq!(disk.read(&mem, next, &[buffer(ticket.get())]), Ok(ticket));
                    asked[usize::from(ticket.get())] = next;
                    next += 1;
                }
                doorbells += u64::from(disk.must_kick(&mem).unwrap());
            }
            if disk.in_flight() > 0 && !disk.arm(&mem, disk.in_flight() / 2).unwrap() {
                // The driver sleeps until the device rings it.
                loop {
                    let served = model.serve(&mem, 0, &mut queue, 4).unwrap();
                    assert!(served > 0, "both sleep");
                    let told = queue.should_notify(&mem).unwrap();
                    let more = queue.arm(&mem).unwrap();
                    if told {
                        doorbells += 1;
                        break;
                    }
                    assert!(more, "both sleep");
                }
            }
        }
        assert!(doorbells * 5 < sectors, "{doorbells} doorbells for {sectors} requests");
        assert_eq!(disk.in_flight(), 0);
    }
}

#[test]
fn what_is_written_is_on_the_medium() {
    for features in VARIANTS.into_iter().chain([Features::VERSION_1 | Features::BLK_FLUSH]) {
        let words = memory();
        let mem = map(&words);
        let (mut disk, mut queue) = pair(&mem, features);
        let mut bytes = image();
        let mut model =
            Model::<_, 8>::new(SliceMedium::new(&mut bytes), *b"named-by-its-maker\0\0");
        AreaMap::write(&mem, buffer(0).addr, &[0xa5; 1024]).unwrap();
        let halves = [Segment { len: 512, ..buffer(0) }, Segment { len: 512, ..buffer(1) }];
        disk.write(&mem, 7, &halves).unwrap();
        disk.flush(&mem).unwrap();
        let id = Segment { len: 20, ..buffer(2) };
        let named = disk.read_id(&mem, id).unwrap();
        assert_eq!(model.serve(&mem, 0, &mut queue, 8), Ok(3));
        for _ in 0..3 {
            assert!(disk.poll(&mem).unwrap().unwrap().outcome.is_ok());
        }
        assert_eq!(disk.poll(&mem), Ok(None));
        assert_eq!(named.get(), 2);
        assert_eq!(sector(&mem, 2)[..20], *b"named-by-its-maker\0\0");
        let on_medium = &model.medium().bytes()[7 * 512..9 * 512];
        assert_eq!(on_medium, [0xa5; 1024]);
    }
}

#[test]
fn impossible_requests_are_refused_before_they_are_made() {
    let words = memory();
    let mem = map(&words);
    let (mut disk, _) = pair(&mem, ALL);
    let one = buffer(0);
    let of = |len| Segment { len, ..one };
    assert_eq!(disk.read(&mem, SECTORS, &[one]), Err(BlockError::Capacity));
    assert_eq!(disk.read(&mem, u64::MAX, &[one]), Err(BlockError::Capacity));
    assert_eq!(disk.read(&mem, SECTORS - 1, &[of(1024)]), Err(BlockError::Capacity));
    assert_eq!(disk.read(&mem, 0, &[of(511)]), Err(BlockError::Length));
    assert_eq!(disk.read(&mem, 0, &[]), Err(BlockError::Length));
    assert_eq!(disk.read(&mem, 0, &[one; 5]), Err(BlockError::Buffers));
    assert_eq!(disk.read_id(&mem, of(21)), Err(BlockError::Length));
    let (mut read_only, _) = pair(&mem, Features::VERSION_1 | Features::BLK_RO);
    assert_eq!(read_only.write(&mem, 0, &[one]), Err(BlockError::Unsupported));
    assert_eq!(read_only.flush(&mem), Err(BlockError::Unsupported));
    assert_eq!((disk.in_flight(), read_only.in_flight()), (0, 0));
    for _ in 0..DEPTH {
        disk.read(&mem, 0, &[one]).unwrap();
    }
    assert_eq!(disk.next_ticket(), None);
    assert_eq!(disk.read(&mem, 0, &[one]), Err(BlockError::Queue(QueueError::Full)));
    // Without indirect tables the ring is full sooner, and that is no harm either.
    let (mut direct, _) = pair(&mem, Features::VERSION_1);
    let full = (0..DEPTH).find_map(|_| direct.read(&mem, 0, &[one]).err());
    assert_eq!(full, Some(BlockError::Queue(QueueError::Full)));
    assert_eq!(direct.in_flight(), 10);
}

#[test]
fn limits_count_only_if_negotiated() {
    let mut config = [0; Geometry::CONFIG_BYTES];
    config[0] = 8;
    config[8] = 200;
    config[12] = 2;
    let limits = Features::BLK_SIZE_MAX | Features::BLK_SEG_MAX;
    let (with, without) =
        (Geometry::from_config(&config, limits), Geometry::from_config(&config, Features::NONE));
    assert_eq!((with.most_buffers(), without.most_buffers()), (2, MOST_BUFFERS));
    let buffer = |len| Segment { addr: at(DATA), len };
    assert_eq!(with.check(0, &[buffer(512)]), Err(BlockError::Buffers));
    assert_eq!(without.check(0, &[buffer(512)]), Ok(()));
    config[8] = 0;
    config[12] = 0;
    assert_eq!(Geometry::from_config(&config, limits).check(0, &[buffer(512); 3]), Ok(()));
}

#[test]
fn places_are_checked() {
    let words = memory();
    let mem = map(&words);
    let new = |workspace| {
        Block::<32>::new(&mem, config(ALL), workspace, geometry(ALL)).map(|_| ()).unwrap_err()
    };
    assert_eq!(new(at(WORKSPACE + 8)), BlockError::Queue(QueueError::Unaligned));
    assert_eq!(new(at((1 << 48) - 16)), BlockError::Queue(QueueError::WildAddress));
    assert_eq!(new(at(0x5000)), BlockError::Queue(QueueError::Mem(MemError::Outside)));
}

/// What a device may say, and what the driver makes of it.
#[test]
fn a_lying_device_is_told_from_an_honest_one() {
    for features in VARIANTS {
        let words = memory();
        let mem = map(&words);
        let (mut disk, mut queue) = pair(&mem, features);
        let mut chain = Chain::<8>::new();
        for (status, outcome) in [
            (Some(0), Outcome::Ok),
            (Some(1), Outcome::IoError),
            (Some(2), Outcome::Unsupported),
            (Some(3), Outcome::Nonsense(3)),
            (None, Outcome::Nonsense(0xff)),
        ] {
            let ticket = disk.read(&mem, 0, &[buffer(0)]).unwrap();
            let head = queue.take(&mem, &mut chain).unwrap().unwrap();
            if let Some(status) = status {
                let place = chain.writable().last().unwrap().addr;
                AreaMap::write(&mem, place, &[status]).unwrap();
            }
            queue.complete(&mem, head, 0).unwrap();
            let done = disk.poll(&mem).unwrap().unwrap();
            assert_eq!(done, Done { ticket, outcome, written: 0 });
        }
        disk.read(&mem, 0, &[buffer(0)]).unwrap();
        let head = queue.take(&mem, &mut chain).unwrap().unwrap();
        queue.complete(&mem, head, 514).unwrap();
        let error = Err(BlockError::Queue(QueueError::Used));
        assert_eq!(disk.poll(&mem), error, "more than there is room for");
        assert_eq!(disk.poll(&mem), Err(BlockError::Queue(QueueError::Failed)));
        // Another device on the same rings: everything works again.
        disk.reset(&mem).unwrap();
        queue.reset(&mem).unwrap();
        disk.read(&mem, 0, &[buffer(0)]).unwrap();
        let head = queue.take(&mem, &mut chain).unwrap().unwrap();
        queue.complete(&mem, head, 0).unwrap();
        assert!(disk.poll(&mem).unwrap().is_some());
    }
}

/// A device writes anything anywhere while requests come and go: errors or odd outcomes, and never a
/// ticket twice.
#[test]
fn chaos_never_doubles_a_ticket() {
    let rounds = 20_000;
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for features in VARIANTS {
        let words = memory();
        let mem = map(&words);
        let (mut disk, mut queue) = pair(&mem, features);
        let mut known = [false; 32];
        let mut chain = Chain::<8>::new();
        for _ in 0..rounds {
            match random(8) {
                0..=2 => {
                    if let Ok(ticket) = disk.read(&mem, 0, &[buffer(0)]) {
                        assert!(!known[usize::from(ticket.get())]);
                        known[usize::from(ticket.get())] = true;
                    }
                }
                3..=4 => {
                    if let Ok(Some(head)) = queue.take(&mem, &mut chain) {
                        let (Ok(()) | Err(_)) = queue.complete(&mem, head, 0);
                    }
                }
                5..=6 => match disk.poll(&mem) {
                    Ok(Some(done)) => {
                        assert!(core::mem::take(&mut known[usize::from(done.ticket.get())]));
                    }
                    Ok(None) => {}
                    Err(_) => {
                        disk.reset(&mem).unwrap();
                        queue.reset(&mem).unwrap();
                        known = [false; 32];
                    }
                },
                _ => {
                    let value = u8::try_from(random(256)).unwrap();
                    AreaMap::write(&mem, at(random(0x3a0)), &[value]).unwrap();
                }
            }
            let busy = known.iter().filter(|is_known| **is_known).count();
            assert_eq!(usize::from(disk.in_flight()), busy);
        }
    }
}
