//! Owns the message FIFO in shared memory: its layout and its indices. Never trusts the other side,
//! never interprets a message.
//!
//! Two rings lie one after the other in [`FIFO_BYTES`] bytes of an area: the first carries messages
//! from the driver side (a VM) to the device side (the partition), the second the other way. Layout
//! of the headers: ALP2's `virtio_msg_ffa_fifo_hdr`; sizes of the Linux proof of concept.
//!
//! The trailer of a slot is our own profile: bytes 112-113 hold the little-endian endpoint id of
//! the far side of the link, written by the partition for what it forwards to a backend, because a
//! backend serves several drivers on one FIFO. Everywhere else it is zero.
//!
//! ```
//! use causeway_ffa::EndpointId;
//! use causeway_virtio::fifo::{self, Fifo, FifoError, FifoMemory, OutOfFifo, Side, Slot};
//! use causeway_virtio::mem::WordArea;
//! use causeway_virtio::msg::{Body, Message, Request};
//! use core::sync::atomic::AtomicU16;
//!
//! let words: Vec<AtomicU16> = (0..4096).map(|_| AtomicU16::new(0)).collect();
//! let memory = WordArea::flat(&words);
//! assert_eq!(FifoMemory::read(&memory, 1 << 20, &mut [0]), Err(OutOfFifo));
//! fifo::format(&memory)?;
//! let mut driver = Fifo::attach(&memory, Side::Driver)?;
//! let mut device = Fifo::attach(&memory, Side::Device)?;
//!
//! let ask = Message { dev_num: 0, token: 1, body: Body::Request(Request::GetDeviceInfo) };
//! driver.push(&memory, &Slot::new(&ask.encode(), EndpointId::from_raw(2)))?;
//! let slot = device.pop(&memory)?.expect("a message");
//! assert_eq!(Message::decode(slot.message_bytes()), Ok(ask));
//! assert_eq!(device.pop(&memory), Ok(None));
//! # Ok::<(), FifoError>(())
//! ```

use crate::msg::Encoded;
use causeway_ffa::EndpointId;

/// Bytes of both rings.
pub const FIFO_BYTES: usize = 8064;

/// 4 KiB pages that hold a FIFO.
pub const FIFO_PAGES: u16 = 2;

/// Bytes of one slot (`message_size` in the header).
pub const SLOT_BYTES: usize = 128;

/// Slots of one ring; one of them always stays empty.
pub const DEPTH: u16 = 30;

/// Bytes of a slot that may belong to the message.
pub const SLOT_MESSAGE_BYTES: usize = 112;

const MAGIC: [u8; 8] = *b"VFFAFIFO";
const HEADER_BYTES: usize = 0xc0;
const FIXED_BYTES: usize = 0x20;
const READ_INDEX: usize = 0x40;
const WRITE_INDEX: usize = 0x80;
const RING_BYTES: usize = 4032;

/// An offset beyond the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutOfFifo;

/// The memory of one FIFO, at least [`FIFO_BYTES`] long; offsets count from its first byte.
///
/// The other side may change any byte at any time: an implementor copies with volatile or atomic
/// accesses and never hands out references.
pub trait FifoMemory {
    /// Returns the number of bytes.
    fn len_bytes(&self) -> usize;

    /// Copies bytes out, each read once.
    ///
    /// # Errors
    /// [`OutOfFifo`] if the range is not wholly inside.
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo>;

    /// Copies bytes in, each written once.
    ///
    /// # Errors
    /// [`OutOfFifo`] if the range is not wholly inside.
    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo>;

    /// Reads the fixed part of a header as four little-endian words, each read once and in no
    /// particular order. `offset` is a multiple of 8. An implementor with word loads answers in
    /// them: every use of the FIFO begins here.
    ///
    /// # Errors
    /// [`OutOfFifo`] if it is not wholly inside.
    fn load_header(&self, offset: usize) -> Result<[u64; 4], OutOfFifo> {
        let mut bytes = [0; FIXED_BYTES];
        self.read(offset, &mut bytes)?;
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Ok(words)
    }

    /// Reads a little-endian index; what the other side wrote before it is seen after it.
    ///
    /// # Errors
    /// [`OutOfFifo`] if it is not wholly inside.
    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo>;

    /// Writes a little-endian index; what was written before it is seen with it.
    ///
    /// # Errors
    /// [`OutOfFifo`] if it is not wholly inside.
    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo>;
}

impl<M: FifoMemory + ?Sized> FifoMemory for &M {
    fn len_bytes(&self) -> usize {
        (**self).len_bytes()
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        (**self).read(offset, into)
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        (**self).write(offset, from)
    }

    fn load_header(&self, offset: usize) -> Result<[u64; 4], OutOfFifo> {
        (**self).load_header(offset)
    }

    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        (**self).load_acquire_u16(offset)
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        (**self).store_release_u16(offset, value)
    }
}

/// Why a FIFO cannot be used. All but [`FifoError::Full`] are the other side's fault and final:
/// the connection is closed until it is configured anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FifoError {
    /// No free slot; nothing changed.
    Full,
    /// The memory is shorter than [`FIFO_BYTES`].
    TooSmall,
    /// A header is not, or no longer, the one of this layout.
    Header,
    /// An index lies outside the ring, moved where it could not, or our own was overwritten.
    Index,
    /// An earlier error closed this FIFO.
    Closed,
}

/// One slot: a message with its trailer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slot([u8; SLOT_BYTES]);

impl Slot {
    /// Packs a message. `far` is the endpoint on the far side of the link, 0 where none is told.
    #[must_use]
    pub fn new(message: &Encoded, far: EndpointId) -> Self {
        let mut bytes = [0; SLOT_BYTES];
        for (place, byte) in bytes.iter_mut().zip(message.bytes()) {
            *place = *byte;
        }
        if let Some(place) = bytes.get_mut(SLOT_MESSAGE_BYTES..SLOT_MESSAGE_BYTES.saturating_add(2))
        {
            place.copy_from_slice(&far.get().to_le_bytes());
        }
        Self(bytes)
    }

    /// Wraps the bytes of a slot.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SLOT_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns all bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SLOT_BYTES] {
        &self.0
    }

    /// Returns the bytes that may belong to the message; its header says how many do.
    #[must_use]
    pub fn message_bytes(&self) -> &[u8] {
        self.0.get(..SLOT_MESSAGE_BYTES).unwrap_or(&self.0)
    }

    /// Returns the endpoint in the trailer.
    #[must_use]
    pub fn far(&self) -> EndpointId {
        let trailer = self.0.get(SLOT_MESSAGE_BYTES..).and_then(|t| t.first_chunk::<2>());
        EndpointId::from_raw(trailer.map_or(0, |b| u16::from_le_bytes(*b)))
    }
}

impl core::fmt::Debug for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Slot").field("header", &self.0.first_chunk::<8>()).finish_non_exhaustive()
    }
}

/// Which end of the FIFO we are. A VM is the driver side of its FIFO even if it serves devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The side that made the FIFO: sends on the first ring.
    Driver,
    /// The partition: sends on the second ring.
    Device,
}

/// One ring as one side sees it. Its own index is kept here and only published in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ring {
    base: usize,
    next_offset: u64,
    read: u16,
    write: u16,
}

/// Both rings, from one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    send: Ring,
    receive: Ring,
    failed: bool,
}

/// Writes both headers and empties both rings: done once by the VM, before FIFO_CONFIGURE.
///
/// # Errors
/// [`FifoError::TooSmall`].
pub fn format<M: FifoMemory + ?Sized>(mem: &M) -> Result<(), FifoError> {
    if mem.len_bytes() < FIFO_BYTES {
        return Err(FifoError::TooSmall);
    }
    for (base, next_offset) in LAYOUT {
        let zeroes = [0; HEADER_BYTES];
        mem.write(base, &zeroes).map_err(|_| FifoError::TooSmall)?;
        let mut header = [0; FIXED_BYTES];
        for (chunk, word) in header.as_chunks_mut::<8>().0.iter_mut().zip(fixed_header(next_offset))
        {
            *chunk = word.to_le_bytes();
        }
        mem.write(base, &header).map_err(|_| FifoError::TooSmall)?;
    }
    Ok(())
}

/// Where each ring begins, and what its `next_offset` says.
const LAYOUT: [(usize, u64); 2] = [(0, 4032), (RING_BYTES, 0)];

/// The part of a header that never changes, as little-endian words: magic; version 0 and reserved;
/// message size (128) and depth (30); offset of the next ring.
const fn fixed_header(next_offset: u64) -> [u64; 4] {
    [u64::from_le_bytes(MAGIC), 0, 0x001e_0080, next_offset]
}

/// Returns how far `to` is ahead of `from` on the circle of slots.
const fn ahead(from: u16, to: u16) -> u16 {
    if to >= from { to.saturating_sub(from) } else { to.saturating_add(DEPTH).saturating_sub(from) }
}

const fn next(index: u16) -> u16 {
    let up = index.saturating_add(1);
    if up >= DEPTH { 0 } else { up }
}

fn outside(_: OutOfFifo) -> FifoError {
    FifoError::TooSmall
}

impl Ring {
    fn attach<M: FifoMemory + ?Sized>(
        mem: &M,
        (base, next_offset): (usize, u64),
    ) -> Result<Self, FifoError> {
        let index = |at: usize| mem.load_acquire_u16(base.saturating_add(at)).map_err(outside);
        let ring = Self { base, next_offset, read: index(READ_INDEX)?, write: index(WRITE_INDEX)? };
        ring.check_header(mem)?;
        if ring.read >= DEPTH || ring.write >= DEPTH {
            return Err(FifoError::Index);
        }
        Ok(ring)
    }

    fn check_header<M: FifoMemory + ?Sized>(&self, mem: &M) -> Result<(), FifoError> {
        let [magic, version, shape, next] = mem.load_header(self.base).map_err(outside)?;
        let [want_magic, want_version, want_shape, want_next] = fixed_header(self.next_offset);
        // One comparison of four words, where a `memcmp` would go byte by byte on the target.
        let differs = (magic ^ want_magic)
            | (version ^ want_version)
            | (shape ^ want_shape)
            | (next ^ want_next);
        if differs == 0 { Ok(()) } else { Err(FifoError::Header) }
    }

    fn load<M: FifoMemory + ?Sized>(&self, mem: &M, at: usize) -> Result<u16, FifoError> {
        let index = mem.load_acquire_u16(self.base.saturating_add(at)).map_err(outside)?;
        if index < DEPTH { Ok(index) } else { Err(FifoError::Index) }
    }

    fn slot(&self, index: u16) -> usize {
        let start = self.base.saturating_add(HEADER_BYTES);
        start.saturating_add(usize::from(index).saturating_mul(SLOT_BYTES))
    }

    /// Checks the header and our own index, and that the reader moved only over what we wrote.
    fn refresh_as_writer<M: FifoMemory + ?Sized>(&mut self, mem: &M) -> Result<(), FifoError> {
        self.check_header(mem)?;
        let read = self.load(mem, READ_INDEX)?;
        if self.load(mem, WRITE_INDEX)? != self.write
            || ahead(self.read, read) > ahead(self.read, self.write)
        {
            return Err(FifoError::Index);
        }
        self.read = read;
        Ok(())
    }

    /// Checks the header and our own index, and that the writer moved only over free slots.
    fn refresh_as_reader<M: FifoMemory + ?Sized>(&mut self, mem: &M) -> Result<(), FifoError> {
        self.check_header(mem)?;
        let write = self.load(mem, WRITE_INDEX)?;
        let unread = ahead(self.read, self.write);
        if self.load(mem, READ_INDEX)? != self.read || ahead(self.read, write) < unread {
            return Err(FifoError::Index);
        }
        self.write = write;
        Ok(())
    }

    fn push<M: FifoMemory + ?Sized>(&mut self, mem: &M, slot: &Slot) -> Result<(), FifoError> {
        self.refresh_as_writer(mem)?;
        let after = next(self.write);
        if after == self.read {
            return Err(FifoError::Full);
        }
        mem.write(self.slot(self.write), slot.as_bytes()).map_err(outside)?;
        let at = self.base.saturating_add(WRITE_INDEX);
        mem.store_release_u16(at, after).map_err(outside)?;
        self.write = after;
        Ok(())
    }

    fn pop<M: FifoMemory + ?Sized>(&mut self, mem: &M) -> Result<Option<Slot>, FifoError> {
        self.refresh_as_reader(mem)?;
        if self.read == self.write {
            return Ok(None);
        }
        let mut bytes = [0; SLOT_BYTES];
        mem.read(self.slot(self.read), &mut bytes).map_err(outside)?;
        let after = next(self.read);
        let at = self.base.saturating_add(READ_INDEX);
        mem.store_release_u16(at, after).map_err(outside)?;
        self.read = after;
        Ok(Some(Slot(bytes)))
    }
}

impl Fifo {
    /// Takes up one end of a formatted FIFO. Our own ring must be empty.
    ///
    /// # Errors
    /// [`FifoError::TooSmall`], [`FifoError::Header`], [`FifoError::Index`].
    pub fn attach<M: FifoMemory + ?Sized>(mem: &M, side: Side) -> Result<Self, FifoError> {
        if mem.len_bytes() < FIFO_BYTES {
            return Err(FifoError::TooSmall);
        }
        let [first, second] = LAYOUT;
        let (send, receive) = match side {
            Side::Driver => (first, second),
            Side::Device => (second, first),
        };
        let (send, receive) = (Ring::attach(mem, send)?, Ring::attach(mem, receive)?);
        if send.read != send.write {
            return Err(FifoError::Index);
        }
        Ok(Self { send, receive, failed: false })
    }

    /// Appends a slot for the other side.
    ///
    /// # Errors
    /// [`FifoError::Full`] changes nothing; every other error closes this end.
    pub fn push<M: FifoMemory + ?Sized>(&mut self, mem: &M, slot: &Slot) -> Result<(), FifoError> {
        if self.failed {
            return Err(FifoError::Closed);
        }
        let result = self.send.push(mem, slot);
        self.failed = !matches!(result, Ok(()) | Err(FifoError::Full));
        result
    }

    /// Takes the next slot of the other side, copied once; `None` if there is none.
    ///
    /// The caller bounds its loop: the other side can write as fast as we read.
    ///
    /// # Errors
    /// Every error closes this end.
    pub fn pop<M: FifoMemory + ?Sized>(&mut self, mem: &M) -> Result<Option<Slot>, FifoError> {
        if self.failed {
            return Err(FifoError::Closed);
        }
        let result = self.receive.pop(mem);
        self.failed = result.is_err();
        result
    }

    /// Reports whether an error closed this end.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.failed
    }

    /// Looks how many slots the other side has not taken yet.
    ///
    /// # Errors
    /// Every error closes this end.
    pub fn refresh_unsent<M: FifoMemory + ?Sized>(&mut self, mem: &M) -> Result<u16, FifoError> {
        if self.failed {
            return Err(FifoError::Closed);
        }
        // What was all taken when we last looked can't be untaken.
        if self.unsent() == 0 {
            return Ok(0);
        }
        let result = self.send.refresh_as_writer(mem);
        self.failed = result.is_err();
        result.map(|()| self.unsent())
    }

    /// Returns how many slots the other side has not taken yet, as last seen.
    #[must_use]
    pub const fn unsent(&self) -> u16 {
        ahead(self.send.read, self.send.write)
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
