//! Owns RPMB frames as their owner makes and checks them, from the definitions (JESD84-B51, 6.6.22) and
//! with HMAC and SHA-256 of their own crates: never with the partition's code.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The key of the areas.
pub(crate) const KEY: [u8; 32] = *b"the host's own RPMB key, 32 byte";

/// A request of this type.
pub(crate) fn frame(kind: u16, fill: impl FnOnce(&mut [u8; 512])) -> [u8; 512] {
    let mut frame = [0; 512];
    frame[510..512].copy_from_slice(&kind.to_be_bytes());
    fill(&mut frame);
    frame
}

/// The MAC over all frames.
pub(crate) fn mac(frames: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    for frame in frames.chunks(512) {
        mac.update(&frame[228..512]);
    }
    mac.finalize().into_bytes().into()
}

/// Writes one block of such bytes.
pub(crate) fn write_frame(counter: u32, address: u16, data: u8) -> [u8; 512] {
    frame(3, |f| {
        f[228..484].fill(data);
        f[500..504].copy_from_slice(&counter.to_be_bytes());
        f[504..506].copy_from_slice(&address.to_be_bytes());
        f[506..508].copy_from_slice(&1_u16.to_be_bytes());
        let mac = mac(&f[..]);
        f[196..228].copy_from_slice(&mac);
    })
}
