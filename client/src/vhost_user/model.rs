//! Owns how the process looks as a device model: what it said of itself. Never serves a queue: the
//! process does.

use super::FrontDoor;
use causeway_virtio::device::{DeviceModel, Identity};
use causeway_virtio::queue::{DeviceQueue, QueueError, QueueSize};
use causeway_virtio::{AreaMap, Features};

/// Bits of the kind of device (virtio 1.3, 6): 0-23 and 50-63. Log and protocol bits of vhost-user
/// (26, 30) are none of the driver's.
const DEVICE_BITS: u64 = 0xff_ffff | u64::MAX << 50;
/// Features of rings that a process may have. Packed rings and notification data it is not asked for.
const RING_BITS: u64 = Features::VERSION_1.get()
    | Features::INDIRECT_DESC.get()
    | Features::EVENT_IDX.get()
    | Features::IN_ORDER.get();
/// What is done on this side: the bus's addresses, and stopping a ring.
const OWN_BITS: u64 = Features::ACCESS_PLATFORM.get() | Features::RING_RESET.get();

impl DeviceModel for FrontDoor<'_> {
    fn identity(&self) -> Identity {
        self.kind.identity
    }

    fn features(&self) -> Features {
        Features::from_raw(self.offered & DEVICE_BITS)
    }

    fn ring_features(&self) -> Features {
        Features::from_raw(self.offered & RING_BITS | OWN_BITS)
    }

    fn config_len(&self) -> u32 {
        u32::try_from(self.config.len()).unwrap_or(0)
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (byte, value) in into.iter_mut().zip(self.config.iter().skip(from)) {
            *byte = *value;
        }
    }

    fn queue_count(&self) -> u16 {
        u16::try_from(self.rings.len()).unwrap_or(0)
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        const { QueueSize::new(256).unwrap() }
    }

    fn start(&mut self, features: Features) {
        self.news = Some(features);
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        _memory: &M,
        _index: u16,
        _queue: &mut DeviceQueue,
        _budget: u32,
    ) -> Result<u32, QueueError> {
        Ok(0)
    }

    fn reset(&mut self) {
        for ring in &mut self.rings {
            ring.stale = true;
        }
    }
}
