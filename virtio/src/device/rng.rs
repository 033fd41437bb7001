//! Owns the entropy device (virtio 1.3, 5.4), the smallest device there is; never makes entropy itself.
//!
//! Read this file to learn how to write a device: an identity, one queue, and a loop that takes a
//! chain, fills its writable buffers and completes it.
//!
//! ```
//! use causeway_virtio::device::DeviceServer;
//! use causeway_virtio::device::rng::{EntropySource, NoEntropy, Rng};
//!
//! struct Hardware;
//! impl EntropySource for Hardware {
//!     fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
//!         // A source that has nothing now says so, and the request is completed with no byte.
//!         if into.is_empty() { Ok(()) } else { Err(NoEntropy) }
//!     }
//! }
//! let server: DeviceServer<_, 1> = DeviceServer::new(Rng::new(Hardware));
//! assert!(server.status().is_reset());
//! ```

use super::{Cursor, DeviceModel, Identity};
use crate::mem::AreaMap;
use crate::queue::{Chain, DeviceQueue, QueueError, QueueSize};
use crate::types::DeviceId;

/// No entropy can be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

/// Where random bytes come from.
pub trait EntropySource {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`NoEntropy`]; what the buffer holds then is not used.
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy>;

    /// Returns how many bytes it may give now, where somebody limits it. A request is answered with no
    /// more (virtio 1.3, 5.4.6.1: at least one byte, maybe fewer than there is room for); while it is
    /// none, requests wait in their queue. Who limits a source has the device look at its queue again
    /// ([`super::Host::device_mut`]) when there is more: the driver kicks only once.
    fn left(&self) -> u64 {
        u64::MAX
    }
}

/// Buffers of one request that are looked at; a driver uses one.
const SEGMENTS: usize = 8;

/// Most bytes for one request, so that a request is bounded.
const MOST_BYTES: u64 = 4096;

/// An entropy device.
#[derive(Debug)]
pub struct Rng<S> {
    source: S,
    chain: Chain<SEGMENTS>,
}

impl<S: EntropySource> Rng<S> {
    /// Makes a device from a source.
    pub const fn new(source: S) -> Self {
        Self { source, chain: Chain::new() }
    }

    /// Returns the source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Returns the source, for whoever limits it.
    pub const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }
}

impl<S: EntropySource> DeviceModel for Rng<S> {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::ENTROPY, vendor: 0, uuid: [0; 16] }
    }

    fn queue_count(&self) -> u16 {
        1
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        const { QueueSize::new(64).unwrap() }
    }

    fn wants(&self, _index: u16) -> bool {
        self.source.left() > 0
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        _index: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError> {
        let mut served: u32 = 0;
        while served < budget && self.source.left() > 0 {
            let Some(head) = queue.take(mem, &mut self.chain)? else { break };
            let mut room = Cursor::new(self.chain.writable());
            let most = MOST_BYTES.min(self.source.left());
            let mut wanted = self.chain.writable_bytes().min(most);
            let mut written: u32 = 0;
            while let Some(run) = room.run(wanted.min(64)) {
                let mut bytes = [0; 64];
                let len = usize::try_from(run.len).unwrap_or(0);
                let Some(piece) = bytes.get_mut(..len) else { break };
                if self.source.fill(piece).is_err() {
                    break;
                }
                mem.write(run.at, piece)?;
                written = written.saturating_add(run.len);
                wanted = wanted.saturating_sub(u64::from(run.len));
            }
            queue.complete(mem, head, written)?;
            served = served.saturating_add(1);
        }
        Ok(served)
    }
}
