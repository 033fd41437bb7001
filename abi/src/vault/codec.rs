//! Owns how the calls of the security services lie in a frame; never decides whether one is allowed.

use super::{ENTROPY_MAX_BYTES, KeyPurpose, Keyed, KeyedText, VaultCall};
use crate::Status;
use crate::words::{handle, narrow, one, two, zero};

/// The two halves of a word, the lower one first.
fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

fn whole((low, high): (u32, u32)) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Slot (7:0) and purpose (15:8); the rest is reserved.
fn slot_and_purpose(word: u64) -> Result<(u8, KeyPurpose), Status> {
    let [slot, purpose, ..] = word.to_le_bytes();
    Ok((slot, KeyPurpose::from_code(purpose).ok_or(Status::BadArgument)?))
}

/// Handle; slot (7:0), length (47:32) and associated bytes (63:48); offset and another place.
fn keyed(args: [u64; 4]) -> Result<(Keyed, u16, u32), Status> {
    let [area, what, places, d] = args;
    let [slot, r0, r1, r2, l0, l1, a0, a1] = what.to_le_bytes();
    zero(&[d, u64::from(r0), u64::from(r1), u64::from(r2)])?;
    let (offset, other) = halves(places);
    let length = u16::from_le_bytes([l0, l1]);
    let message = Keyed { handle: handle(area)?, slot, offset, length };
    Ok((message, u16::from_le_bytes([a0, a1]), other))
}

/// Without associated bytes.
fn message(args: [u64; 4]) -> Result<(Keyed, u32), Status> {
    let [_, what, ..] = args;
    zero(&[what >> 48])?;
    keyed(args).map(|(message, _, other)| (message, other))
}

fn text(args: [u64; 4]) -> Result<KeyedText, Status> {
    let (text, associated, proof) = keyed(args)?;
    Ok(KeyedText { text, associated, proof })
}

fn encode_keyed(message: &Keyed, associated: u16, other: u32) -> [u64; 4] {
    let lengths = u64::from(message.length) << 32 | u64::from(associated) << 48;
    let what = u64::from(message.slot) | lengths;
    [message.handle.get(), what, whole((message.offset, other)), 0]
}

/// Reading the arguments of each call.
pub(crate) mod decode {
    use super::{ENTROPY_MAX_BYTES, Status, VaultCall};
    use super::{halves, handle, message, narrow, one, slot_and_purpose, text, two, zero};

    pub(crate) fn state(args: [u64; 4]) -> Result<VaultCall, Status> {
        zero(&args).and(Ok(VaultCall::State))
    }

    pub(crate) fn entropy(args: [u64; 4]) -> Result<VaultCall, Status> {
        let count = narrow(one(args)?)?;
        if count == 0 || count > ENTROPY_MAX_BYTES {
            return Err(Status::BadArgument);
        }
        Ok(VaultCall::Entropy { count })
    }

    pub(crate) fn counter_read(args: [u64; 4]) -> Result<VaultCall, Status> {
        Ok(VaultCall::CounterRead { number: narrow(one(args)?)? })
    }

    pub(crate) fn counter_increment(args: [u64; 4]) -> Result<VaultCall, Status> {
        Ok(VaultCall::CounterIncrement { number: narrow(one(args)?)? })
    }

    pub(crate) fn rpmb([area, places, room, rest]: [u64; 4]) -> Result<VaultCall, Status> {
        zero(&[rest])?;
        let (request, answers) = halves(places);
        let (handle, room) = (handle(area)?, narrow(room)?);
        Ok(VaultCall::Rpmb { handle, request, answers, room })
    }

    pub(crate) fn key_generate(args: [u64; 4]) -> Result<VaultCall, Status> {
        let what = one(args)?;
        zero(&[what >> 16])?;
        let (slot, purpose) = slot_and_purpose(what)?;
        Ok(VaultCall::KeyGenerate { slot, purpose })
    }

    pub(crate) fn key_import([area, what, offset, rest]: [u64; 4]) -> Result<VaultCall, Status> {
        zero(&[what >> 16, rest])?;
        let (handle, offset) = (handle(area)?, narrow(offset)?);
        let (slot, purpose) = slot_and_purpose(what)?;
        Ok(VaultCall::KeyImport { handle, slot, purpose, offset })
    }

    pub(crate) fn key_delete(args: [u64; 4]) -> Result<VaultCall, Status> {
        Ok(VaultCall::KeyDelete { slot: narrow(one(args)?)? })
    }

    pub(crate) fn key_public(args: [u64; 4]) -> Result<VaultCall, Status> {
        Ok(VaultCall::KeyPublic { slot: narrow(one(args)?)? })
    }

    pub(crate) fn key_mac(args: [u64; 4]) -> Result<VaultCall, Status> {
        let [_, _, places, _] = args;
        zero(&[places >> 32])?;
        message(args).map(|(message, _)| VaultCall::KeyMac(message))
    }

    pub(crate) fn key_verify(args: [u64; 4]) -> Result<VaultCall, Status> {
        message(args).map(|(message, tag)| VaultCall::KeyVerify { message, tag })
    }

    pub(crate) fn key_sign(args: [u64; 4]) -> Result<VaultCall, Status> {
        message(args).map(|(message, signature)| VaultCall::KeySign { message, signature })
    }

    pub(crate) fn key_encrypt(args: [u64; 4]) -> Result<VaultCall, Status> {
        text(args).map(VaultCall::KeyEncrypt)
    }

    pub(crate) fn key_decrypt(args: [u64; 4]) -> Result<VaultCall, Status> {
        text(args).map(VaultCall::KeyDecrypt)
    }

    pub(crate) fn watchdog_start(args: [u64; 4]) -> Result<VaultCall, Status> {
        let [timeout, warning] = two(args)?;
        let (timeout_ms, warning_ms) = (narrow(timeout)?, narrow(warning)?);
        Ok(VaultCall::WatchdogStart { timeout_ms, warning_ms })
    }

    pub(crate) fn watchdog_ping(args: [u64; 4]) -> Result<VaultCall, Status> {
        zero(&args).and(Ok(VaultCall::WatchdogPing))
    }

    pub(crate) fn watchdog_stop(args: [u64; 4]) -> Result<VaultCall, Status> {
        zero(&args).and(Ok(VaultCall::WatchdogStop))
    }

    pub(crate) fn watchdog_left(args: [u64; 4]) -> Result<VaultCall, Status> {
        zero(&args).and(Ok(VaultCall::WatchdogLeft))
    }
}

impl VaultCall {
    /// Packs the arguments.
    pub(crate) fn args(&self) -> [u64; 4] {
        let purposed =
            |slot: u8, purpose: KeyPurpose| u64::from(slot) | u64::from(purpose.code()) << 8;
        match *self {
            Self::State | Self::WatchdogPing | Self::WatchdogStop | Self::WatchdogLeft => [0; 4],
            Self::Entropy { count } => [u64::from(count), 0, 0, 0],
            Self::CounterRead { number } | Self::CounterIncrement { number } => {
                [u64::from(number), 0, 0, 0]
            }
            Self::Rpmb { handle, request, answers, room } => {
                [handle.get(), whole((request, answers)), u64::from(room), 0]
            }
            Self::KeyGenerate { slot, purpose } => [purposed(slot, purpose), 0, 0, 0],
            Self::KeyImport { handle, slot, purpose, offset } => {
                [handle.get(), purposed(slot, purpose), u64::from(offset), 0]
            }
            Self::KeyDelete { slot } | Self::KeyPublic { slot } => [u64::from(slot), 0, 0, 0],
            Self::KeyMac(message) => encode_keyed(&message, 0, 0),
            Self::KeyVerify { message, tag } => encode_keyed(&message, 0, tag),
            Self::KeySign { message, signature } => encode_keyed(&message, 0, signature),
            Self::KeyEncrypt(it) | Self::KeyDecrypt(it) => {
                encode_keyed(&it.text, it.associated, it.proof)
            }
            Self::WatchdogStart { timeout_ms, warning_ms } => {
                [u64::from(timeout_ms), u64::from(warning_ms), 0, 0]
            }
        }
    }
}
