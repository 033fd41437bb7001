//! Owns the 512-byte RPMB frame: where each field lies, and its MAC. Never decides what a request
//! may do. Source: JESD84-B51, 6.6.22.1, table "Data Frame Files for RPMB"; numbers are big-endian.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a frame.
pub const FRAME: usize = 512;
/// Bytes of a block.
pub const BLOCK: usize = 256;

const KEY_MAC: core::ops::Range<usize> = 196..228;
const DATA: core::ops::Range<usize> = 228..484;
const NONCE: core::ops::Range<usize> = 484..500;
const COUNTER: core::ops::Range<usize> = 500..504;
const ADDRESS: core::ops::Range<usize> = 504..506;
const COUNT: core::ops::Range<usize> = 506..508;
const RESULT: core::ops::Range<usize> = 508..510;
const TYPE: core::ops::Range<usize> = 510..512;
/// What the MAC covers.
const PROVEN: core::ops::Range<usize> = 228..512;

/// What a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Program the key, once.
    ProgramKey,
    /// Read the write counter.
    ReadCounter,
    /// Write blocks.
    Write,
    /// Read blocks.
    Read,
    /// Read the result of the last programming or writing.
    ReadResult,
}

impl Request {
    const fn code(self) -> u16 {
        match self {
            Self::ProgramKey => 1,
            Self::ReadCounter => 2,
            Self::Write => 3,
            Self::Read => 4,
            Self::ReadResult => 5,
        }
    }
}

/// The result field. Bit 7: the write counter has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(u16);

#[expect(
    non_upper_case_globals,
    reason = "they read as the variants of an enumeration with a flag"
)]
impl Outcome {
    /// Done.
    pub const Ok: Self = Self(0);
    /// The request makes no sense here.
    pub const GeneralFailure: Self = Self(1);
    /// The MAC does not prove the key.
    pub const AuthenticationFailure: Self = Self(2);
    /// The write counter is not the current one: a replay, or a lost answer.
    pub const CounterFailure: Self = Self(3);
    /// Outside the area.
    pub const AddressFailure: Self = Self(4);
    /// Not written.
    pub const WriteFailure: Self = Self(5);
    /// Not read.
    pub const ReadFailure: Self = Self(6);
    /// No key is programmed yet.
    pub const NoKey: Self = Self(7);

    /// The same, with the mark that the counter has expired.
    #[must_use]
    pub const fn with_expiry(self) -> Self {
        Self(self.0 | 0x80)
    }

    /// The value of the field.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }
}

/// A frame, as it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame(pub [u8; FRAME]);

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the key or the data.
        f.debug_struct("Frame")
            .field("request_or_response", &self.half(&TYPE))
            .field("result", &self.half(&RESULT))
            .field("address", &self.address())
            .field("counter", &self.counter())
            .finish_non_exhaustive()
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self([0; FRAME])
    }
}

// So that who takes a frame in can have it wiped: one that programs a key carries it.
impl zeroize::DefaultIsZeroes for Frame {}

impl Frame {
    /// An answer without contents.
    #[must_use]
    pub fn response(of: Request, outcome: Outcome) -> Self {
        let mut frame = Self::default();
        frame.put(&TYPE, &of.code().saturating_mul(0x100).to_be_bytes());
        frame.put(&RESULT, &outcome.code().to_be_bytes());
        frame
    }

    /// A request without contents, for clients and tests.
    #[must_use]
    pub fn new_request(of: Request) -> Self {
        let mut frame = Self::default();
        frame.put(&TYPE, &of.code().to_be_bytes());
        frame
    }

    /// Names the request. `None`: none of the definitions.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        match self.half(&TYPE) {
            1 => Some(Request::ProgramKey),
            2 => Some(Request::ReadCounter),
            3 => Some(Request::Write),
            4 => Some(Request::Read),
            5 => Some(Request::ReadResult),
            _ => None,
        }
    }

    /// The request or response field, as it stands.
    #[must_use]
    pub fn type_code(&self) -> u16 {
        self.half(&TYPE)
    }

    /// The result field, as it stands.
    #[must_use]
    pub fn result(&self) -> u16 {
        self.half(&RESULT)
    }

    /// The key of a programming request, the MAC of all others.
    #[must_use]
    pub fn key_mac(&self) -> &[u8] {
        self.0.get(KEY_MAC).unwrap_or(&[])
    }

    /// Sets the key or MAC.
    pub fn set_key_mac(&mut self, bytes: &[u8; 32]) {
        self.put(&KEY_MAC, bytes);
    }

    /// The block.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.0.get(DATA).unwrap_or(&[])
    }

    /// Sets the block (256 bytes; others are ignored).
    pub fn set_data(&mut self, bytes: &[u8]) {
        self.put(&DATA, bytes);
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        self.0.get(NONCE).unwrap_or(&[])
    }

    /// Sets the nonce (16 bytes).
    pub fn set_nonce(&mut self, bytes: &[u8]) {
        self.put(&NONCE, bytes);
    }

    /// The write counter.
    #[must_use]
    pub fn counter(&self) -> u32 {
        let bytes = self.0.get(COUNTER).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u32::from_be_bytes(*b))
    }

    /// Sets the write counter.
    pub fn set_counter(&mut self, counter: u32) {
        self.put(&COUNTER, &counter.to_be_bytes());
    }

    /// The address in blocks.
    #[must_use]
    pub fn address(&self) -> u16 {
        self.half(&ADDRESS)
    }

    /// Sets the address.
    pub fn set_address(&mut self, address: u16) {
        self.put(&ADDRESS, &address.to_be_bytes());
    }

    /// The number of blocks.
    #[must_use]
    pub fn block_count(&self) -> u16 {
        self.half(&COUNT)
    }

    /// Sets the number of blocks.
    pub fn set_block_count(&mut self, count: u16) {
        self.put(&COUNT, &count.to_be_bytes());
    }

    fn half(&self, at: &core::ops::Range<usize>) -> u16 {
        let bytes = self.0.get(at.clone()).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u16::from_be_bytes(*b))
    }

    fn put(&mut self, at: &core::ops::Range<usize>, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at.clone()).filter(|f| f.len() == bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
}

fn mac(key: &[u8; 32], frames: &[Frame]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for frame in frames {
        mac.update(frame.0.get(PROVEN)?);
    }
    Some(mac)
}

/// Puts the MAC over all `frames` into the last of them.
pub fn seal(key: &[u8; 32], frames: &mut [Frame]) {
    let Some(mac) = mac(key, frames) else { return };
    if let Some(last) = frames.last_mut() {
        last.put(&KEY_MAC, &mac.finalize().into_bytes());
    }
}

/// Whether the last frame's MAC proves `key` over all `frames`. In constant time.
#[must_use]
pub fn verify(key: &[u8; 32], frames: &[Frame]) -> bool {
    let (Some(mac), Some(last)) = (mac(key, frames), frames.last()) else {
        return false;
    };
    mac.verify_slice(last.key_mac()).is_ok()
}
