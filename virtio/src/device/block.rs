//! Owns the block device (virtio 1.3, 5.2): requests, statuses and counters. Never copies payload:
//! the medium moves sectors straight between itself and the driver's buffers.
//!
//! ```
//! use causeway_virtio::device::block::{Block, Counters, Medium, MediumError, RamDisk, SliceMedium};
//! use causeway_virtio::mem::WordArea;
//! use causeway_virtio::{AreaId, BusAddr};
//! use core::sync::atomic::AtomicU16;
//!
//! let words: Vec<AtomicU16> = (0..512).map(|_| AtomicU16::new(0)).collect();
//! let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
//! let to = BusAddr::new(AreaId::new(1).unwrap(), 0).unwrap();
//! let mut disk = Block::<_, 66>::new(RamDisk::<2048>::new(), *b"a disk of 2048 bytes");
//! assert_eq!(disk.medium().sector_count(), 4);
//! disk.medium_mut().read_into(512, &mem, to, 512)?;
//! // What went through requests: none did.
//! assert_eq!(disk.counters(), Counters::default());
//!
//! let mut file = [7; 1024];
//! let mut medium = SliceMedium::new(&mut file);
//! medium.write_from(0, &mem, to, 512)?;
//! assert_eq!((medium.bytes()[511], medium.bytes()[512]), (0, 7));
//! # Ok::<(), MediumError>(())
//! ```

use super::{Cursor, DeviceModel, Identity, copy_config};
use crate::addr::BusAddr;
use crate::mem::{AreaMap, MemError};
use crate::queue::{Chain, DeviceQueue, QueueError, QueueSize};
use crate::types::{DeviceId, Features};

mod medium;
mod meter;
mod ram;

pub use medium::SliceMedium;
pub use ram::RamDisk;

use core::ops::Range;
use meter::Meter;

/// Bytes in a sector.
pub const SECTOR_BYTES: u64 = 512;

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediumError {
    /// The medium could not do it: the request ends with IOERR.
    Io,
    /// The driver's buffer is refused by the map: the queue ends.
    Mem(MemError),
}

impl From<MemError> for MediumError {
    fn from(error: MemError) -> Self {
        Self::Mem(error)
    }
}

/// What holds the sectors.
///
/// A transfer is the one copy that a block request needs: from the medium into the driver's
/// buffer or back, through the map, with nothing in between. The device has checked that the
/// range lies within the capacity; a transfer may begin and end within a sector, because a
/// driver's buffers may.
pub trait Medium {
    /// Returns the capacity in sectors of 512 bytes.
    fn sector_count(&self) -> u64;

    /// Returns the addresses of the memory that holds the sectors; an empty range if they are not
    /// in memory. What a transfer moves between an area and any other memory is counted as a copy
    /// ([`Counters::copied_bytes`]).
    fn storage(&self) -> Range<usize>;

    /// Moves `len` bytes from byte `at` of the medium to `to`.
    ///
    /// # Errors
    /// [`MediumError`].
    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        to: BusAddr,
        len: u32,
    ) -> Result<(), MediumError>;

    /// Moves `len` bytes from `from` to byte `at` of the medium.
    ///
    /// # Errors
    /// [`MediumError`].
    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        at: u64,
        mem: &M,
        from: BusAddr,
        len: u32,
    ) -> Result<(), MediumError>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// [`MediumError`].
    fn flush(&mut self) -> Result<(), MediumError>;
}

/// What the device has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests completed, whatever their status.
    pub requests: u64,
    /// Payload bytes moved between medium and driver's buffers.
    pub medium_bytes: u64,
    /// Payload bytes that did not go straight between the medium's storage and the driver's buffer:
    /// bytes that the medium moved in areas from or to other memory, and bytes moved twice.
    /// Measured at each access of a transfer, not reported by the medium.
    pub copied_bytes: u64,
}

impl Counters {
    /// Counts a run of `needed` bytes that the medium has moved.
    const fn count(&mut self, needed: u64, copied: u64) {
        self.medium_bytes = self.medium_bytes.saturating_add(needed);
        self.copied_bytes = self.copied_bytes.saturating_add(copied);
    }
}

/// Bytes of a request's header: le32 type, reserved; le64 sector.
const HEADER_BYTES: usize = 16;
/// Bytes of the configuration space as far as it means anything here (up to `write_zeroes`).
const CONFIG_BYTES: usize = 60;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;

/// The last byte of each request. Source: virtio 1.3, 5.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    IoErr,
    Unsupported,
}

impl Verdict {
    const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::IoErr => 1,
            Self::Unsupported => 2,
        }
    }
}

/// A block device over a medium. `SEGMENTS` bounds the buffers of one request: two of them are the
/// header and the status.
#[derive(Debug)]
pub struct Block<D, const SEGMENTS: usize = 66> {
    medium: D,
    id: [u8; 20],
    chain: Chain<SEGMENTS>,
    counters: Counters,
}

impl<D: Medium, const SEGMENTS: usize> Block<D, SEGMENTS> {
    /// Makes a device. `id` is what GET_ID returns: ASCII, padded with zeros.
    pub const fn new(medium: D, id: [u8; 20]) -> Self {
        let counters = Counters { requests: 0, medium_bytes: 0, copied_bytes: 0 };
        Self { medium, id, chain: Chain::new(), counters }
    }

    /// Returns what was done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the medium.
    pub const fn medium(&self) -> &D {
        &self.medium
    }

    /// Returns the medium.
    pub const fn medium_mut(&mut self) -> &mut D {
        &mut self.medium
    }

    fn config(&self) -> [u8; CONFIG_BYTES] {
        let mut config = [0; CONFIG_BYTES];
        let seg_max = u32::try_from(SEGMENTS.saturating_sub(2)).unwrap_or(u32::MAX);
        let capacity = self.medium.sector_count().to_le_bytes();
        put(&mut config, 0, &capacity);
        put(&mut config, 12, &seg_max.to_le_bytes());
        put(&mut config, 20, &512_u32.to_le_bytes());
        config
    }

    /// Carries out the request in `self.chain`; returns the bytes written to the driver.
    #[inline]
    fn request<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<u32, QueueError> {
        let room = self.chain.writable_bytes();
        let data_room = room.checked_sub(1).ok_or(QueueError::Request)?;
        let mut header = [0; HEADER_BYTES];
        let mut readable = Cursor::new(self.chain.readable());
        let whole = readable.read(mem, &mut header)? == HEADER_BYTES;
        let [t0, t1, t2, t3, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7] = header;
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let kind = u32::from_le_bytes([t0, t1, t2, t3]);
        let (verdict, data) =
            if whole { self.carry_out(mem, kind, sector, data_room)? } else { (Verdict::IoErr, 0) };
        let mut status = Cursor::new(self.chain.writable());
        status.skip(data_room);
        status.write(mem, &[verdict.code()])?;
        self.counters.requests = self.counters.requests.saturating_add(1);
        Ok(u32::try_from(data.saturating_add(1)).unwrap_or(u32::MAX))
    }

    /// Returns the verdict and the payload bytes written to the driver.
    #[inline]
    fn carry_out<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        kind: u32,
        sector: u64,
        data_room: u64,
    ) -> Result<(Verdict, u64), QueueError> {
        match kind {
            TYPE_IN => {
                let Some(at) = self.place(sector, data_room) else {
                    return Ok((Verdict::IoErr, 0));
                };
                let verdict = self.read(mem, at, data_room)?;
                Ok((verdict, if verdict == Verdict::Ok { data_room } else { 0 }))
            }
            TYPE_OUT => {
                let header = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
                let len = self.chain.readable_bytes().saturating_sub(header);
                let Some(at) = self.place(sector, len) else {
                    return Ok((Verdict::IoErr, 0));
                };
                Ok((self.write(mem, at, len)?, 0))
            }
            TYPE_FLUSH => Ok((settle(self.medium.flush())?, 0)),
            TYPE_GET_ID => {
                let mut cursor = Cursor::new(self.chain.writable());
                let len = usize::try_from(data_room).unwrap_or(usize::MAX).min(self.id.len());
                let written = cursor.write(mem, self.id.get(..len).unwrap_or(&[]))?;
                Ok((Verdict::Ok, u64::try_from(written).unwrap_or(0)))
            }
            _ => Ok((Verdict::Unsupported, 0)),
        }
    }

    /// Returns the first byte of a transfer; `None` unless it is whole sectors within the capacity.
    #[inline]
    fn place(&self, sector: u64, len: u64) -> Option<u64> {
        let capacity = self.medium.sector_count();
        let end = sector.checked_add(len / SECTOR_BYTES)?;
        let inside = end <= capacity && len.is_multiple_of(SECTOR_BYTES);
        if inside { sector.checked_mul(SECTOR_BYTES) } else { None }
    }

    fn read<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        at: u64,
        len: u64,
    ) -> Result<Verdict, QueueError> {
        let mut runs = Cursor::new(self.chain.writable());
        let (mut at, mut left) = (at, len);
        while let Some(run) = runs.run(left) {
            let meter = Meter::new(mem, self.medium.storage());
            let verdict = settle(self.medium.read_into(at, &meter, run.at, run.len))?;
            if verdict != Verdict::Ok {
                return Ok(verdict);
            }
            let moved = u64::from(run.len);
            self.counters.count(moved, meter.copied(moved));
            at = at.saturating_add(moved);
            left = left.saturating_sub(moved);
        }
        Ok(Verdict::Ok)
    }

    fn write<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        at: u64,
        len: u64,
    ) -> Result<Verdict, QueueError> {
        let mut runs = Cursor::new(self.chain.readable());
        runs.skip(u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX));
        let (mut at, mut left) = (at, len);
        while let Some(run) = runs.run(left) {
            let meter = Meter::new(mem, self.medium.storage());
            let verdict = settle(self.medium.write_from(at, &meter, run.at, run.len))?;
            if verdict != Verdict::Ok {
                return Ok(verdict);
            }
            let moved = u64::from(run.len);
            self.counters.count(moved, meter.copied(moved));
            at = at.saturating_add(moved);
            left = left.saturating_sub(moved);
        }
        Ok(Verdict::Ok)
    }
}

/// Turns a medium's failure into a verdict, a map's refusal into the end of the queue.
fn settle(result: Result<(), MediumError>) -> Result<Verdict, QueueError> {
    match result {
        Ok(()) => Ok(Verdict::Ok),
        Err(MediumError::Io) => Ok(Verdict::IoErr),
        Err(MediumError::Mem(error)) => Err(QueueError::Mem(error)),
    }
}

fn put(config: &mut [u8; CONFIG_BYTES], offset: usize, bytes: &[u8]) {
    if let Some(place) = config.get_mut(offset..offset.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

impl<D: Medium, const SEGMENTS: usize> DeviceModel for Block<D, SEGMENTS> {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::BLOCK, vendor: 0, uuid: [0; 16] }
    }

    fn features(&self) -> Features {
        Features::BLK_FLUSH | Features::BLK_SEG_MAX | Features::BLK_BLK_SIZE
    }

    fn config_len(&self) -> u32 {
        u32::try_from(CONFIG_BYTES).unwrap_or(0)
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let config = self.config();
        copy_config(&config, offset, into);
    }

    fn queue_count(&self) -> u16 {
        1
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        const { QueueSize::new(256).unwrap() }
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        _index: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError> {
        let mut served: u32 = 0;
        while served < budget {
            let Some(head) = queue.take(mem, &mut self.chain)? else { break };
            let written = self.request(mem)?;
            queue.complete(mem, head, written)?;
            served = served.saturating_add(1);
        }
        Ok(served)
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
