//! Owns the replay-protected memory device (virtio 1.3, 5.12): frames in, frames out, one queue. Never
//! knows a key, and never judges a frame: that is whoever keeps the memory ([`Protected`]).
//!
//! A chain holds request frames of 512 bytes in its readable buffers, and room for answer frames in its
//! writable ones. Programming and writing have no answer: a driver puts the frame that reads the result
//! behind them, into the same chain or a later one.
//!
//! ```
//! use causeway_virtio::device::DeviceModel;
//! use causeway_virtio::device::rpmb::{FRAME_BYTES, Frame, Limits, Protected, Rpmb};
//!
//! /// A memory that refuses everything: result 1 (general failure) of a result read.
//! struct Nothing;
//!
//! impl Protected for Nothing {
//!     fn limits(&self) -> Limits {
//!         Limits { capacity: 1, max_write_blocks: 1, max_read_blocks: 16 }
//!     }
//!
//!     fn request(&mut self, _: &Frame, room: usize, answer: &mut dyn FnMut(&Frame)) {
//!         let mut frame = [0; FRAME_BYTES];
//!         (frame[509], frame[510]) = (1, 5);
//!         if room > 0 {
//!             answer(&frame);
//!         }
//!     }
//! }
//!
//! let device = Rpmb::new(Nothing);
//! let mut config = [0; 3];
//! device.read_config(0, &mut config);
//! assert_eq!((device.identity().device.get(), config), (28, [1, 1, 16]));
//! ```

use super::{Cursor, DeviceModel, Identity, copy_config};
use crate::mem::{AreaMap, MemError};
use crate::queue::{Chain, DeviceQueue, QueueError, QueueSize};
use crate::types::DeviceId;

/// Bytes of a frame.
pub const FRAME_BYTES: usize = 512;
/// A frame as it lies in memory.
pub type Frame = [u8; FRAME_BYTES];

/// The configuration space (5.12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much memory there is, in units of 128 KiB.
    pub capacity: u8,
    /// Most blocks of 256 bytes in one write request; 0: any number.
    pub max_write_blocks: u8,
    /// Most blocks in one read request; 0: any number.
    pub max_read_blocks: u8,
}

/// Who keeps the memory.
pub trait Protected {
    /// Returns what the driver may ask for.
    fn limits(&self) -> Limits;

    /// Carries out one request frame, and hands its answer frames to `answer` in order: at most `room`.
    /// What a request breaks is in an answer's result field.
    fn request(&mut self, request: &Frame, room: usize, answer: &mut dyn FnMut(&Frame));
}

/// Request frames of one chain: each may be a write, so that they are few. A driver has use for two.
const MOST_REQUESTS: u64 = 4;
/// Buffers of one chain: each frame may have its own.
const SEGMENTS: usize = 20;
const CONFIG_BYTES: u32 = 3;
const FRAME_LEN: u64 = 512;

/// A replay-protected memory device.
#[derive(Debug)]
pub struct Rpmb<R> {
    memory: R,
    chain: Chain<SEGMENTS>,
}

impl<R: Protected> Rpmb<R> {
    /// Makes a device in front of a memory.
    pub const fn new(memory: R) -> Self {
        Self { memory, chain: Chain::new() }
    }

    /// Serves the chain in `self.chain`; returns the bytes of its answers.
    fn answer<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<u32, QueueError> {
        let Self { memory, chain } = self;
        let asked = chain.readable_bytes();
        let whole = asked.is_multiple_of(FRAME_LEN);
        if !whole || asked == 0 || asked > MOST_REQUESTS * FRAME_LEN {
            return Err(QueueError::Request);
        }
        let mut requests = Cursor::new(chain.readable());
        let mut answers = Cursor::new(chain.writable());
        let mut room = usize::try_from(chain.writable_bytes() / FRAME_LEN).unwrap_or(usize::MAX);
        let mut written: u32 = 0;
        let mut request = [0; FRAME_BYTES];
        while requests.read(mem, &mut request)? == FRAME_BYTES {
            let mut met = Ok(());
            let mut left = room;
            memory.request(&request, room, &mut |frame| {
                // A memory that answers more than it may is stopped here.
                if left > 0 && met.is_ok() {
                    left = left.saturating_sub(1);
                    met = write(mem, &mut answers, frame);
                    written = written.saturating_add(512);
                }
            });
            // It may have carried a key.
            request.fill(0);
            core::hint::black_box(&mut request);
            met?;
            room = left;
        }
        Ok(written)
    }
}

fn write<M: AreaMap + ?Sized>(
    mem: &M,
    answers: &mut Cursor<'_>,
    frame: &Frame,
) -> Result<(), MemError> {
    answers.write(mem, frame).map(|_| ())
}

impl<R: Protected> DeviceModel for Rpmb<R> {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::RPMB, vendor: 0, uuid: [0; 16] }
    }

    fn config_len(&self) -> u32 {
        CONFIG_BYTES
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let Limits { capacity, max_write_blocks, max_read_blocks } = self.memory.limits();
        let config = [capacity, max_write_blocks, max_read_blocks];
        copy_config(&config, offset, into);
    }

    fn queue_count(&self) -> u16 {
        1
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        const { QueueSize::new(64).unwrap() }
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
            let written = self.answer(mem)?;
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
