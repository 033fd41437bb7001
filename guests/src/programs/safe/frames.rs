//! Owns RPMB frames as their owner makes and checks them, from the definitions (JESD84-B51, 6.6.22) and
//! nothing of the partition's: byte offsets, big-endian numbers, HMAC-SHA256 over bytes 228 to 511.

use causeway_client::security::{FRAME_BYTES, RpmbArea};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A frame.
pub(super) type Frame = [u8; FRAME_BYTES];

/// The key of this VM's area.
pub(super) const KEY: [u8; 32] = *b"VM 1 keeps this RPMB key itself!";
/// Results (bits 6:0).
pub(super) const OK: u16 = 0;
pub(super) const GENERAL: u16 = 1;
pub(super) const NOT_AUTHENTIC: u16 = 2;
pub(super) const COUNTER: u16 = 3;
pub(super) const NO_KEY: u16 = 7;

const NONCE: [u8; 16] = *b"a nonce of VM 1.";

fn empty(kind: u16) -> Frame {
    let mut frame = [0; FRAME_BYTES];
    frame[510..512].copy_from_slice(&kind.to_be_bytes());
    frame
}

fn mac(frame: &Frame) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("any length is a key");
    mac.update(&frame[228..512]);
    mac.finalize().into_bytes().into()
}

/// Programs a key.
pub(super) fn program(key: &[u8; 32]) -> Frame {
    let mut frame = empty(1);
    frame[196..228].copy_from_slice(key);
    frame
}

/// Reads the write counter.
pub(super) fn read_counter() -> Frame {
    let mut frame = empty(2);
    frame[484..500].copy_from_slice(&NONCE);
    frame
}

/// Writes one block.
pub(super) fn write(counter: u32, address: u16, data: &[u8; 256]) -> Frame {
    let mut frame = empty(3);
    frame[228..484].copy_from_slice(data);
    frame[500..504].copy_from_slice(&counter.to_be_bytes());
    frame[504..506].copy_from_slice(&address.to_be_bytes());
    frame[506..508].copy_from_slice(&1_u16.to_be_bytes());
    let mac = mac(&frame);
    frame[196..228].copy_from_slice(&mac);
    frame
}

/// Reads one block.
pub(super) fn read(address: u16) -> Frame {
    let mut frame = empty(4);
    frame[484..500].copy_from_slice(&NONCE);
    frame[504..506].copy_from_slice(&address.to_be_bytes());
    frame[506..508].copy_from_slice(&1_u16.to_be_bytes());
    frame
}

/// Reads the result of the last programming or writing.
pub(super) fn read_result() -> Frame {
    empty(5)
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The result field.
    pub(super) result: u16,
    /// The write counter.
    pub(super) counter: u32,
    /// Whether its MAC and nonce are right.
    pub(super) authentic: bool,
    /// The block.
    pub(super) data: [u8; 256],
}

/// Reads an answer.
pub(super) fn answer(frame: &Frame) -> Answer {
    let mut data = [0; 256];
    data.copy_from_slice(&frame[228..484]);
    let [a, b, c, d] = [frame[500], frame[501], frame[502], frame[503]];
    Answer {
        result: u16::from_be_bytes([frame[508], frame[509]]),
        counter: u32::from_be_bytes([a, b, c, d]),
        authentic: frame[196..228] == mac(frame) && frame[484..500] == NONCE,
        data,
    }
}

/// Sends a request that has one answer.
pub(super) fn ask(area: &RpmbArea<'_>, request: &Frame) -> Option<Answer> {
    let mut answers = [[0; FRAME_BYTES]];
    match area.request(request, &mut answers) {
        Ok(1) => Some(answer(&answers[0])),
        Ok(_) | Err(_) => None,
    }
}

/// Sends a request whose outcome a result read fetches.
pub(super) fn order(area: &RpmbArea<'_>, request: &Frame) -> Option<Answer> {
    area.request(request, &mut []).ok()?;
    ask(area, &read_result())
}
