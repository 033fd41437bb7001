//! Owns the network device (virtio 1.3, 5.1) with one pair of queues and no offloads; never knows what
//! is on the other end of its wire.
//!
//! A frame is copied once on its way: from the driver's buffer into [`Frame`], or from the wire's
//! frame into the driver's buffer. Nobody looks at shared memory again after that.
//!
//! ```
//! use causeway_virtio::device::net::{Cable, Counters, Faults, Frame, Lane, LaneCounts, Net, Wire};
//!
//! // Every frame to the far end is doubled.
//! let mut slots = [[Frame::BLANK; 4], [Frame::BLANK; 4]];
//! let [to_driver, to_far] = &mut slots;
//! let faults = Faults { seed: 1, twice: 1, ..Faults::NONE };
//! let cable = Cable::new(Lane::new(to_driver, Faults::NONE), Lane::new(to_far, faults));
//! let mut card = Net::new(cable, [2, 0, 0, 0, 0, 1]);
//!
//! let frame = Frame::new(&[9; 60]).expect("no longer than a frame may be");
//! card.wire_mut().send(&frame);
//! assert_eq!(card.wire().far_waiting().map(Frame::bytes), Some(&[9; 60][..]));
//! let counts: LaneCounts = card.wire().to_far().counts();
//! assert_eq!((counts.frames, counts.doubled), (1, 1));
//! // Nothing of it went through the card's queues.
//! assert_eq!(card.counters(), Counters::default());
//! ```

use super::{Cursor, DeviceModel, Identity, copy_config};
use crate::mem::AreaMap;
use crate::queue::{Chain, DeviceQueue, QueueError, QueueSize};
use crate::types::{DeviceId, Features};

mod cable;
mod frame;

pub use cable::{Cable, Faults, Lane, LaneCounts};
pub use frame::{FRAME_BYTES, Frame, SHORTEST_FRAME_BYTES};

/// The receive queue: the driver's empty buffers, for frames that come in.
pub const RECEIVE: u16 = 0;
/// The transmit queue: the frames that the driver sends.
pub const TRANSMIT: u16 = 1;

/// Bytes of the header in front of each frame. Source: virtio 1.3, 5.1.6 (`virtio_net_hdr`): u8
/// flags, gso_type; le16 hdr_len, gso_size, csum_start, csum_offset, num_buffers.
pub const HEADER_BYTES: usize = 12;
/// Bytes that a receive buffer must have room for: a driver without offloads takes whole frames.
pub const RECEIVE_BYTES: usize = HEADER_BYTES.saturating_add(FRAME_BYTES);

/// What the device writes in front of a frame: nothing is offloaded, and it fills one buffer
/// (5.1.6.4.1: `num_buffers` is 1 without MRG_RXBUF).
const RECEIVED: [u8; HEADER_BYTES] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

/// What is on the other end.
pub trait Wire {
    /// Reports whether there is room for a frame of the driver; its frames wait in its queue until
    /// there is.
    fn has_room(&self) -> bool {
        true
    }

    /// Takes a frame of the driver. Its bytes are the driver's and may be anything.
    fn send(&mut self, frame: &Frame);

    /// Returns the next frame for the driver, which stays until [`Wire::taken`].
    fn waiting(&self) -> Option<&Frame>;

    /// Drops the frame that [`Wire::waiting`] shows: the driver has it.
    fn taken(&mut self);

    /// Drops all frames for the driver: it is gone, or begins anew.
    fn cut(&mut self) {}
}

/// What the device has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that the driver sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames that the driver received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
}

/// Buffers of one frame that are looked at.
const SEGMENTS: usize = 8;
/// Bytes of the configuration space: the address, and le16 status.
const CONFIG_BYTES: u32 = 8;
/// VIRTIO_NET_S_LINK_UP.
const LINK_UP: u8 = 1;

/// A network card.
#[derive(Debug)]
pub struct Net<W> {
    wire: W,
    mac: [u8; 6],
    chain: Chain<SEGMENTS>,
    frame: Frame,
    counters: Counters,
}

impl<W: Wire> Net<W> {
    /// Makes a card that gives its driver this address.
    pub const fn new(wire: W, mac: [u8; 6]) -> Self {
        let counters = Counters { sent: 0, sent_bytes: 0, received: 0, received_bytes: 0 };
        Self { wire, mac, chain: Chain::new(), frame: Frame::BLANK, counters }
    }

    /// Returns what was done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the wire.
    pub const fn wire(&self) -> &W {
        &self.wire
    }

    /// Returns the wire.
    pub const fn wire_mut(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Fills the receive buffer in `self.chain` with the frame that waits; returns the bytes. A
    /// buffer that could not take the largest frame breaks the rule of 5.1.6.3.1 and is no request.
    fn fill<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<u32, QueueError> {
        let wanted = u64::try_from(RECEIVE_BYTES).unwrap_or(u64::MAX);
        if self.chain.writable_bytes() < wanted || !self.chain.readable().is_empty() {
            return Err(QueueError::Request);
        }
        let Some(frame) = self.wire.waiting() else { return Ok(0) };
        let mut room = Cursor::new(self.chain.writable());
        let written = room.write(mem, &RECEIVED)?.saturating_add(room.write(mem, frame.bytes())?);
        let len = frame.len_bytes();
        self.wire.taken();
        self.counters.received = self.counters.received.saturating_add(1);
        self.counters.received_bytes = self.counters.received_bytes.saturating_add(len);
        Ok(u32::try_from(written).unwrap_or(u32::MAX))
    }

    /// Sends the frame in `self.chain`. What has no whole header, asks for an offload, or is no
    /// frame by its length, is no request.
    fn send<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        if !self.chain.writable().is_empty() {
            return Err(QueueError::Request);
        }
        let bytes = usize::try_from(self.chain.readable_bytes()).unwrap_or(usize::MAX);
        let len = bytes.checked_sub(HEADER_BYTES).ok_or(QueueError::Request)?;
        let room = self.frame.room(len).ok_or(QueueError::Request)?;
        let mut header = [0; HEADER_BYTES];
        let mut text = Cursor::new(self.chain.readable());
        text.read(mem, &mut header)?;
        let [flags, gso_type, ..] = header;
        if (flags, gso_type) != (0, 0) {
            return Err(QueueError::Request);
        }
        text.read(mem, room)?;
        self.wire.send(&self.frame);
        self.counters.sent = self.counters.sent.saturating_add(1);
        self.counters.sent_bytes = self.counters.sent_bytes.saturating_add(self.frame.len_bytes());
        Ok(())
    }
}

impl<W: Wire> DeviceModel for Net<W> {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::NET, vendor: 0, uuid: [0; 16] }
    }

    fn features(&self) -> Features {
        Features::NET_MAC | Features::NET_STATUS
    }

    fn config_len(&self) -> u32 {
        CONFIG_BYTES
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let [a, b, c, d, e, f] = self.mac;
        let config = [a, b, c, d, e, f, LINK_UP, 0];
        copy_config(&config, offset, into);
    }

    fn queue_count(&self) -> u16 {
        2
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        const { QueueSize::new(256).unwrap() }
    }

    /// Receive buffers stay until there is a frame, frames to send until the wire has room.
    fn wants(&self, index: u16) -> bool {
        if index == RECEIVE { self.wire.waiting().is_some() } else { self.wire.has_room() }
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        index: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError> {
        let mut served: u32 = 0;
        while served < budget && self.wants(index) {
            let Some(head) = queue.take(mem, &mut self.chain)? else { break };
            let written = if index == RECEIVE {
                self.fill(mem)?
            } else {
                self.send(mem)?;
                0
            };
            queue.complete(mem, head, written)?;
            served = served.saturating_add(1);
        }
        Ok(served)
    }

    fn reset(&mut self) {
        self.wire.cut();
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
