//! Tests of the network card: golden bytes, frames in pieces, hostile chains, the cable's mishaps.

use super::*;
use crate::addr::{AreaId, BusAddr};
use crate::device::DeviceServer;
use crate::mem::WordArea;
use crate::queue::{DriverQueue, QueueConfig, Segment};
use core::sync::atomic::AtomicU16;
use proptest::prelude::*;
use std::collections::VecDeque;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A wire with a script.
#[derive(Default)]
struct Script {
    incoming: VecDeque<Frame>,
    sent: Vec<Vec<u8>>,
    full: bool,
}

impl Wire for Script {
    fn has_room(&self) -> bool {
        !self.full
    }

    fn send(&mut self, frame: &Frame) {
        self.sent.push(frame.bytes().to_vec());
    }

    fn waiting(&self) -> Option<&Frame> {
        self.incoming.front()
    }

    fn taken(&mut self) {
        self.incoming.pop_front();
    }

    fn cut(&mut self) {
        self.incoming.clear();
    }
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn piece(offset: u64, len: u32) -> Segment {
    Segment { addr: at(offset), len }
}

fn words() -> Vec<AtomicU16> {
    (0..0x4000).map(|_| AtomicU16::new(0)).collect()
}

/// A card, its queue, and the driver's side of it. Buffers may lie from 0x3000 on.
struct Bench<'a> {
    mem: WordArea<'a>,
    driver: DriverQueue<8>,
    queue: DeviceQueue,
    card: Net<Script>,
}

impl<'a> Bench<'a> {
    fn new(words: &'a [AtomicU16]) -> Self {
        let mem = WordArea::new(AreaId::new(1).unwrap(), words);
        let config = QueueConfig {
            size: QueueSize::new(8).unwrap(),
            desc: at(0),
            driver: at(0x1000),
            device: at(0x2000),
            features: Features::NONE,
        };
        Self {
            mem,
            driver: DriverQueue::new(&mem, config).unwrap(),
            queue: DeviceQueue::new(&mem, config).unwrap(),
            card: Net::new(Script::default(), MAC),
        }
    }

    fn serve(&mut self, index: u16) -> Result<u32, QueueError> {
        self.card.serve(&self.mem, index, &mut self.queue, 8)
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.mem.read(at(offset), &mut bytes).unwrap();
        bytes
    }
}

fn frame(len: usize, first: u8) -> Frame {
    let mut bytes = vec![0x55; len];
    bytes[0] = first;
    Frame::new(&bytes).unwrap()
}

#[test]
fn configuration_is_the_one_of_the_standard() {
    // virtio 1.3, 5.1.4: u8 mac[6], le16 status; bit 0 of status is LINK_UP.
    let card = Net::new(Script::default(), MAC);
    let mut config = [0xff; 8];
    card.read_config(0, &mut config);
    assert_eq!(config, [2, 0, 0, 0, 0, 1, 1, 0]);
    let mut status = [0xff; 2];
    card.read_config(6, &mut status);
    assert_eq!(status, [1, 0]);
    assert_eq!(card.identity().device.get(), 1);
    // 5.1.3: VIRTIO_NET_F_MAC is bit 5, VIRTIO_NET_F_STATUS bit 16.
    assert_eq!(card.features().get(), 0x1_0020);
}

#[test]
fn a_received_frame_has_the_header_of_the_standard_in_front() {
    // virtio 1.3, 5.1.6: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers.
    let words = words();
    let mut bench = Bench::new(&words);
    bench.driver.submit(&bench.mem, &[], &[piece(0x3000, 1526)]).unwrap();
    // In pieces, the first one within the header.
    let pieces = [piece(0x4000, 5), piece(0x4010, 20), piece(0x4040, 1501)];
    bench.driver.submit(&bench.mem, &[], &pieces).unwrap();
    assert_eq!(bench.serve(RECEIVE), Ok(0), "nothing to receive");
    bench.card.wire_mut().incoming.extend([frame(60, 1), frame(1514, 2), frame(60, 3)]);
    assert_eq!(bench.serve(RECEIVE), Ok(2));
    let used: Vec<_> = core::iter::from_fn(|| bench.driver.pop_used(&bench.mem).unwrap()).collect();
    assert_eq!(used.iter().map(|used| used.written).collect::<Vec<_>>(), [72, 1526]);
    let header = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(bench.read(0x3000, 14), [&header[..], &[1, 0x55]].concat());
    assert_eq!(bench.read(0x3048, 1), [0], "no byte behind the frame");
    let whole = [bench.read(0x4000, 5), bench.read(0x4010, 20), bench.read(0x4040, 1501)].concat();
    assert_eq!((&whole[..12], whole[12], &whole[13..]), (&header[..], 2, &[0x55; 1513][..]));
    assert!(bench.card.wants(RECEIVE), "the third frame has no buffer yet");
    let counters = Counters { received: 2, received_bytes: 1574, ..Counters::default() };
    assert_eq!(bench.card.counters(), counters);
}

#[test]
fn a_frame_in_pieces_is_sent_whole_and_waits_for_room_on_the_wire() {
    let words = words();
    let mut bench = Bench::new(&words);
    bench.mem.write(at(0x300c), &[7; 1514]).unwrap();
    // Header and frame in one buffer, then cut within the header.
    bench.driver.submit(&bench.mem, &[piece(0x3000, 26)], &[]).unwrap();
    let pieces = [piece(0x3000, 3), piece(0x3003, 20), piece(0x3017, 1503)];
    bench.driver.submit(&bench.mem, &pieces, &[]).unwrap();
    bench.card.wire_mut().full = true;
    assert_eq!(bench.serve(TRANSMIT), Ok(0));
    bench.card.wire_mut().full = false;
    assert_eq!(bench.serve(TRANSMIT), Ok(2));
    assert_eq!(bench.card.wire().sent, [vec![7; 14], vec![7; 1514]]);
    assert_eq!(bench.driver.pop_used(&bench.mem).unwrap().unwrap().written, 0);
    let counters = Counters { sent: 2, sent_bytes: 1528, ..Counters::default() };
    assert_eq!(bench.card.counters(), counters);
}

#[test]
fn a_hostile_frame_ends_its_queue_and_sends_nothing() {
    let short = QueueError::Request;
    let wild = QueueError::Mem(crate::mem::MemError::Outside);
    let out = |segments: &[Segment]| (segments.to_vec(), vec![]);
    let cases = [
        ("no header", out(&[piece(0x3000, 11)]), short),
        ("a header alone", out(&[piece(0x3000, 12)]), short),
        ("shorter than Ethernet's header", out(&[piece(0x3000, 25)]), short),
        ("longer than a frame", out(&[piece(0x3000, 1527)]), short),
        ("nearly 4 GiB", out(&[piece(0x3000, u32::MAX)]), short),
        ("a buffer to write into", (vec![piece(0x3000, 60)], vec![piece(0x4000, 60)]), short),
        ("nothing to read", (vec![], vec![piece(0x4000, 60)]), short),
        ("flags", out(&[piece(0x3800, 60)]), short),
        ("segmentation", out(&[piece(0x3900, 60)]), short),
        ("past the end of the area", out(&[piece(0x7fe0, 60)]), wild),
        ("another area", out(&[Segment { addr: BusAddr::from_raw(2 << 48), len: 60 }]), wild),
        (
            "a header that is nowhere",
            out(&[Segment { addr: BusAddr::from_raw(0), len: 12 }, piece(0x3000, 60)]),
            wild,
        ),
    ];
    for (what, (readable, writable), error) in cases {
        let words = words();
        let mut bench = Bench::new(&words);
        bench.mem.write(at(0x3800), &[1, 0]).unwrap();
        bench.mem.write(at(0x3900), &[0, 1]).unwrap();
        bench.driver.submit(&bench.mem, &readable, &writable).unwrap();
        assert_eq!(bench.serve(TRANSMIT), Err(error), "{what}");
        assert!(bench.card.wire().sent.is_empty(), "{what}");
        assert_eq!(bench.card.counters(), Counters::default(), "{what}");
    }
}

#[test]
fn a_hostile_receive_buffer_ends_its_queue_and_loses_no_frame() {
    let cases = [
        ("too short for the largest frame", vec![], vec![piece(0x3000, 1525)], QueueError::Request),
        (
            "too short in pieces",
            vec![],
            vec![piece(0x3000, 12), piece(0x3100, 1513)],
            QueueError::Request,
        ),
        (
            "a buffer to read",
            vec![piece(0x3000, 12)],
            vec![piece(0x4000, 1526)],
            QueueError::Request,
        ),
        ("no buffer to write", vec![piece(0x3000, 1526)], vec![], QueueError::Request),
        (
            "past the end of the area",
            vec![],
            vec![piece(0x7ff8, 1526)],
            QueueError::Mem(crate::mem::MemError::Outside),
        ),
    ];
    for (what, readable, writable, error) in cases {
        let words = words();
        let mut bench = Bench::new(&words);
        bench.card.wire_mut().incoming.push_back(frame(60, 9));
        bench.driver.submit(&bench.mem, &readable, &writable).unwrap();
        assert_eq!(bench.serve(RECEIVE), Err(error), "{what}");
        assert_eq!(bench.card.wire().incoming.len(), 1, "{what}");
        assert_eq!(bench.card.counters(), Counters::default(), "{what}");
    }
}

#[test]
fn a_reset_forgets_the_frames_of_the_driver_before() {
    let mut server: DeviceServer<_, 2> = DeviceServer::new(Net::new(Script::default(), MAC));
    server.model_mut().wire_mut().incoming.push_back(frame(60, 1));
    server.reset();
    assert!(!server.model().wants(RECEIVE));
}

#[test]
fn frames_have_the_lengths_of_frames() {
    assert!(Frame::new(&[0; 13]).is_none() && Frame::new(&[0; 1515]).is_none());
    let mut frame = Frame::new(&[4; 1514]).unwrap();
    assert!(frame.room(1515).is_none() && frame.room(0).is_none());
    assert_eq!((frame.bytes(), frame.len_bytes()), (&[4; 1514][..], 1514));
    assert_eq!(Frame::new(&[0; 14]).unwrap().len_bytes(), 14);
}

fn count<T>(of: &[T]) -> u64 {
    u64::try_from(of.len()).unwrap()
}

/// Sends frames that begin with 0, 1, 2... to the driver; returns the first bytes that arrive.
fn arrive(count: u8, slots: usize, faults: Faults) -> (Vec<u8>, LaneCounts) {
    let (mut down, mut up) = (vec![Frame::BLANK; slots], vec![Frame::BLANK; 1]);
    let mut cable = Cable::new(Lane::new(&mut down, faults), Lane::new(&mut up, Faults::NONE));
    (0..count).for_each(|number| cable.far_send(&frame(14, number)));
    let mut arrived = vec![];
    while let Some(frame) = cable.waiting() {
        arrived.push(frame.bytes()[0]);
        cable.taken();
    }
    (arrived, cable.to_driver().counts())
}

#[test]
fn a_good_cable_carries_frames_both_ways_in_order_and_drops_what_it_has_no_room_for() {
    let (arrived, counts) = arrive(9, 8, Faults::NONE);
    assert_eq!(arrived, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((counts.frames, counts.overflowed), (9, 1));
    let (mut down, mut up) = (vec![Frame::BLANK; 1], vec![Frame::BLANK; 2]);
    let lane = |slots| Lane::new(slots, Faults::NONE);
    let mut cable = Cable::new(lane(&mut down), lane(&mut up));
    for round in 0..5 {
        cable.send(&frame(20, round));
        cable.send(&frame(30, round));
        assert!(!cable.has_room() && cable.far_has_room());
        assert_eq!(cable.far_waiting().unwrap().bytes()[0], round);
        cable.far_taken();
        assert_eq!(cable.far_waiting().unwrap().len_bytes(), 30);
        cable.far_taken();
        assert!(cable.far_waiting().is_none());
    }
    cable.far_send(&frame(14, 1));
    cable.cut();
    assert!(cable.waiting().is_none());
}

#[test]
fn each_mishap_does_what_it_says_and_a_seed_repeats_it() {
    let all = |faults| arrive(200, 256, faults);
    let (arrived, counts) = all(Faults { seed: 1, drop: 10, ..Faults::NONE });
    assert_eq!(count(&arrived), 200_u64.wrapping_sub(counts.dropped));
    assert!((5..40).contains(&counts.dropped) && arrived.is_sorted());
    let (arrived, counts) = all(Faults { seed: 1, twice: 10, ..Faults::NONE });
    assert_eq!(count(&arrived), counts.doubled.wrapping_add(200));
    assert!(counts.doubled > 5 && arrived.is_sorted());
    let (mut arrived, counts) = all(Faults { seed: 1, ahead: 10, ..Faults::NONE });
    assert!(counts.overtook > 5 && !arrived.is_sorted());
    arrived.sort();
    assert_eq!(arrived, (0..200).collect::<Vec<u8>>());
    let faults = Faults { seed: 7, drop: 5, twice: 5, ahead: 3 };
    assert_eq!(all(faults), all(faults));
    assert_ne!(all(faults).0, all(Faults { seed: 8, ..faults }).0);
}

proptest! {
    #[test]
    fn whatever_lies_in_the_rings_only_whole_frames_come_out(
        index in 0_u16..2,
        descriptors in prop::collection::vec((0_u64..0x9000, 0_u32..1600, 0_u16..8, 0_u16..9), 8),
        available in prop::collection::vec(0_u16..10, 8),
        offered in 0_u16..10,
    ) {
        let words = words();
        let mut bench = Bench::new(&words);
        for (number, (offset, len, flags, next)) in (0_u64..).zip(descriptors) {
            // virtio 1.3, 2.7.5: le64 addr, le32 len, le16 flags, next.
            let place = at(number.wrapping_mul(16));
            let parts = [&at(offset).get().to_le_bytes()[..], &len.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
            bench.mem.write(place, &parts.concat()).unwrap();
        }
        for (number, head) in (2_u64..).zip(available) {
            bench.mem.write(at(number.wrapping_mul(2).wrapping_add(0x1000)), &head.to_le_bytes()).unwrap();
        }
        bench.mem.write(at(0x1002), &offered.to_le_bytes()).unwrap();
        bench.card.wire_mut().incoming.extend((0..4).map(|number| frame(60, number)));
        let served = bench.serve(index);
        let sent = &bench.card.wire().sent;
        prop_assert!(sent.iter().all(|frame| (14..=1514).contains(&frame.len())));
        if let Ok(served) = served {
            let counters = bench.card.counters();
            prop_assert_eq!(counters.sent.wrapping_add(counters.received), u64::from(served));
        }
    }

    #[test]
    fn no_frame_is_made_up_and_none_is_lost_uncounted(
        seed: u64, drop in 0_u32..5, twice in 0_u32..5, ahead in 0_u32..5, slots in 0_usize..40,
    ) {
        let (arrived, counts) = arrive(60, slots, Faults { seed, drop, twice, ahead });
        let lost = counts.dropped.wrapping_add(counts.overflowed);
        let kept = counts.doubled.wrapping_add(60).wrapping_sub(lost);
        prop_assert_eq!(count(&arrived), kept);
        prop_assert!(arrived.iter().all(|number| *number < 60));
    }
}
