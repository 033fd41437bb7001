//! A hostile message FIFO: bad indices, an overwritten header, messages that no driver sends.
//! Never expects more than that the partition closes the connection or answers ERROR.

use super::super::fifo::{self, FifoPages};
use super::Attacker;
use crate::calls;
use crate::cases::{self, Layer, Outcome};
use crate::prng::Prng;
use crate::rt::access;
use causeway_abi::Call;
use causeway_virtio::fifo::{Fifo, FifoError, SLOT_BYTES, Side, Slot};
use causeway_virtio::msg::{BusResult, Header, Kind};

/// Offset of the first ring's write index (FIFO layout of virtio-msg over FF-A).
const WRITE_INDEX: u64 = 0x80;

/// Messages of the hostile FIFO; all of them must find room, or the partition did not look.
const MESSAGES: u32 = 400;

impl Attacker {
    pub(super) fn bus(&self) {
        assert!(fifo::greet(), "the bus answers VERSION");
        let pages = FifoPages::grant(&self.mailbox);
        assert_eq!(pages.configure(), Ok(BusResult::Ok), "FIFO_CONFIGURE");
        self.used_area(pages.handle);
        access::write_u16(pages.address + WRITE_INDEX, 999);
        self.call(&cases::FIFO_INDEX, calls::partition(&Call::BusKick));

        restart(&pages);
        access::write_u64(pages.address, 0);
        self.call(&cases::FIFO_HEADER, calls::partition(&Call::BusKick));

        restart(&pages);
        let (sent, answers) = hostile_messages(&pages, self.foreign);
        let refused = sent == MESSAGES && answers.is_some_and(|a| (1..=sent).contains(&a));
        let back = pages.take_down();
        let status = if refused { "Refused" } else { "NotRefused" };
        let met = Outcome { layer: Layer::All, status };
        self.report(&cases::FIFO_MESSAGES, met, back && self.is_unchanged());
    }
}

/// Sets a broken connection up again.
fn restart(pages: &FifoPages) {
    assert_eq!(fifo::reset(), Ok(BusResult::Ok), "RESET");
    assert!(fifo::greet(), "the bus answers VERSION");
    pages.format();
    assert_eq!(pages.configure(), Ok(BusResult::Ok), "FIFO_CONFIGURE");
}

/// Sends hundreds of messages, each wrong in its way; returns how many were sent and how many
/// answers came, or `None` if an answer was anything but an ERROR or a plain bus answer.
fn hostile_messages(pages: &FifoPages, foreign: u64) -> (u32, Option<u32>) {
    let mut ring = Fifo::attach(pages, Side::Driver).expect("a fresh FIFO");
    let mut prng = Prng::new(0x5107);
    let (mut sent, mut answers, mut good) = (0, 0, true);
    for round in 0..MESSAGES {
        let slot = Slot::from_bytes(hostile_slot(&mut prng, round, foreign));
        match ring.push(pages, &slot) {
            Ok(()) => sent += 1,
            Err(FifoError::Full) => {}
            Err(_) => good = false,
        }
        if round % 8 == 7 {
            // The partition may close the connection over a message; then it must say so.
            good &= calls::partition(&Call::BusKick).is_ok();
            while let Ok(Some(answer)) = ring.pop(pages) {
                answers += 1;
                good &= is_harmless(&answer);
            }
        }
    }
    (sent, good.then_some(answers))
}

/// One slot: a message id of the protocol or of none, sizes and fields of all sorts, half the time
/// with VM 1's handle where a handle stands, and a far endpoint that only the partition may write.
fn hostile_slot(prng: &mut Prng, round: u32, foreign: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    for chunk in bytes.chunks_mut(8) {
        let word = prng.nasty().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    let [id, ..] = prng.below(256).to_le_bytes();
    let [kind, ..] = prng.below(5).to_le_bytes();
    let [size, ..] = prng.below(120).to_le_bytes();
    bytes[0] = kind;
    bytes[1] = if round.is_multiple_of(3) { id } else { known_id(round) };
    if kind >= 2 && !round.is_multiple_of(5) {
        bytes[2..4].fill(0);
    }
    // RESET would end the connection as it should; that is no hostile message.
    if bytes[1] == 0x83 {
        bytes[1] = 0x81;
    }
    bytes[6] = if round.is_multiple_of(4) { size } else { known_size(bytes[1]) };
    bytes[7] = 0;
    if round.is_multiple_of(2) {
        bytes[10..18].copy_from_slice(&foreign.to_le_bytes());
    }
    bytes[112..114].copy_from_slice(&1_u16.to_le_bytes());
    bytes
}

/// The ids of the protocol in turn.
fn known_id(round: u32) -> u8 {
    const IDS: [u8; 24] = [
        0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x40, 0x41, 0x42, 0x80,
        0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0xc0, 0x01, 0x00,
    ];
    let index = usize::try_from(round % 24).unwrap_or(0);
    IDS[index]
}

/// The size of the request with an id, so that its fields are reached.
const fn known_size(id: u8) -> u8 {
    match id {
        0x03 | 0x05 | 0x40 => 16,
        0x08 | 0x09 | 0x0b | 0x0c | 0x42 | 0x85 => 12,
        0x04 | 0x80 | 0x86 => 20,
        0x06 => 24,
        0x0a => 48,
        0x41 => 16,
        0x81 => 34,
        0x82 | 0x87 | 0xc0 => 10,
        _ => 8,
    }
}

/// The devices that the policy gives to this VM: the partition's own entropy device, where the CPU has
/// one, and console.
const OWN_DEVICES: [u16; 2] = [0, 1];

/// An answer may be a bus answer or an ERROR, or come from a device of this VM's own. That of another
/// device would come from somebody else's link, and a bus request would be somebody else's traffic.
fn is_harmless(answer: &Slot) -> bool {
    let Ok(header) = Header::decode(answer.message_bytes()) else { return false };
    let own = OWN_DEVICES.contains(&header.dev_num);
    let kind = match header.kind {
        Kind::BusResponse => true,
        Kind::Response => own,
        Kind::Request => own && header.is_event(),
        Kind::BusRequest => false,
    };
    kind && answer.far().get() == 0
}
