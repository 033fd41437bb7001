//! Tests of the meter on frames made by hand, and of the far end of a cable.
#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

use super::*;
use causeway_virtio::device::net::{Faults, Lane, Wire};

/// An Ethernet frame with an IPv4 packet with a TCP segment. Checksums are nobody's business here.
fn tcp(seq: u32, len: usize, flags: u8) -> Frame {
    let mut bytes = vec![0; 54 + len];
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    bytes[14] = 0x45;
    let total = u16::try_from(40 + len).unwrap();
    bytes[16..18].copy_from_slice(&total.to_be_bytes());
    bytes[23] = 6;
    bytes[38..42].copy_from_slice(&seq.to_be_bytes());
    bytes[46] = 0x50;
    bytes[47] = flags;
    Frame::new(&bytes).unwrap()
}

const SYN: u8 = 2;
const ACK: u8 = 0x10;

#[test]
fn segments_sent_again_are_counted_across_the_wrap_of_sequence_numbers() {
    let mut meter = Meter::default();
    let top = u32::MAX - 50;
    for (seq, len, flags) in [(top - 1, 0, SYN), (top, 0, ACK), (top, 100, ACK), (49, 10, ACK)] {
        meter.count_sent(&tcp(seq, len, flags));
    }
    assert_eq!((meter.segments, meter.retransmits), (2, 0));
    meter.count_sent(&tcp(top, 100, ACK));
    meter.count_sent(&tcp(55, 100, ACK));
    assert_eq!((meter.segments, meter.retransmits), (4, 2));
    // A new connection has other numbers.
    meter.count_sent(&tcp(7, 0, SYN));
    meter.count_sent(&tcp(8, 5, ACK));
    assert_eq!((meter.segments, meter.retransmits), (5, 2));
}

#[test]
fn what_is_no_tcp_is_counted_as_a_frame_alone() {
    let mut meter = Meter::default();
    let mut udp = tcp(0, 8, ACK).bytes().to_vec();
    udp[23] = 17;
    let mut arp = udp.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut cut = tcp(0, 8, ACK).bytes().to_vec();
    cut[16..18].copy_from_slice(&[0xff, 0xff]);
    for bytes in [udp, arp, cut, vec![0; 14]] {
        meter.count_sent(&Frame::new(&bytes).unwrap());
    }
    let bytes = 3 * 62 + 14;
    assert_eq!(meter, Meter { sent: 4, sent_bytes: bytes, ..Meter::default() });
}

#[test]
fn the_far_end_of_a_cable_receives_what_the_card_sends_and_the_other_way_round() {
    let (mut down, mut up) = ([Frame::BLANK, Frame::BLANK], [Frame::BLANK]);
    let lane = |slots| Lane::new(slots, Faults::NONE);
    let mut cable = Cable::new(lane(&mut down), Lane::new(&mut up, Faults::NONE));
    let mut meter = Meter::default();
    cable.send(&tcp(1, 3, ACK));
    let mut far = FarEnd::of(&mut cable);
    let mut phy = Phy::new(&mut far, &mut meter);
    let (received, room) = phy.receive(Instant::ZERO).unwrap();
    phy::RxToken::consume(received, |bytes| assert_eq!(bytes, tcp(1, 3, ACK).bytes()));
    phy::TxToken::consume(room, 20, |bytes| bytes.fill(9));
    assert!(phy.receive(Instant::ZERO).is_none());
    phy::TxToken::consume(phy.transmit(Instant::ZERO).unwrap(), 30, |bytes| bytes.fill(8));
    assert!(phy.transmit(Instant::ZERO).is_none(), "the lane has two slots");
    assert_eq!(cable.waiting().unwrap().bytes(), [9; 20]);
    // While there is no room for an answer, nothing comes in.
    cable.send(&tcp(1, 3, ACK));
    assert!(Phy::new(&mut FarEnd::of(&mut cable), &mut meter).receive(Instant::ZERO).is_none());
    cable.taken();
    assert!(Phy::new(&mut FarEnd::of(&mut cable), &mut meter).receive(Instant::ZERO).is_some());
    assert_eq!((meter.received, meter.sent, meter.sent_bytes), (2, 2, 50));
}
