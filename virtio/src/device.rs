//! Owns what all devices have in common: the model that a device author writes, and the server
//! that answers virtio-msg messages with it. Never routes a message, never waits.
//!
//! # How to write a device
//! Implement [`DeviceModel`]: say what the device is, which features and queues it has, and what
//! to do with the chains of a queue. [`rng`] is the smallest example (one queue, no
//! configuration), [`block`] the next. Then give the model to a [`DeviceServer`] per link, pass it
//! each message of that link, and call [`DeviceServer::serve`] when a queue is kicked:
//!
//! ```
//! # use causeway_virtio::device::{DeviceServer, rng::{EntropySource, NoEntropy, Rng}};
//! # use causeway_virtio::msg::{Body, Message, Request, Response};
//! # use causeway_virtio::{AreaId, mem::WordArea, DeviceId};
//! # use core::sync::atomic::AtomicU16;
//! struct Counter(u8);
//! impl EntropySource for Counter {
//!     fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
//!         into.fill_with(|| { self.0 = self.0.wrapping_add(1); self.0 });
//!         Ok(())
//!     }
//! }
//! let words: Vec<AtomicU16> = (0..4096).map(|_| AtomicU16::new(0)).collect();
//! let areas = WordArea::new(AreaId::new(1).unwrap(), &words);
//! let mut server: DeviceServer<_, 1> = DeviceServer::new(Rng::new(Counter(0)));
//! let ask = Message { dev_num: 0, token: 5, body: Body::Request(Request::GetDeviceInfo) };
//! let answer = server.answer(&areas, &ask).unwrap();
//! let Body::Response(Response::GetDeviceInfo(info)) = answer.body else { panic!() };
//! assert_eq!((answer.token, info.device_id), (5, DeviceId::ENTROPY.get()));
//! ```
//!
//! # A device of one's own
//! ```
//! use causeway_virtio::device::{
//!     Applied, Cursor, DeviceModel, DeviceServer, Identity, Run, Served, copy_config,
//! };
//! use causeway_virtio::mem::{AreaMap, WordArea};
//! use causeway_virtio::queue::{Chain, DeviceQueue, QueueError, QueueSize, Segment};
//! use causeway_virtio::{AreaId, BusAddr, DeviceId};
//! use core::sync::atomic::AtomicU16;
//!
//! /// Fills every buffer with one byte, which the driver sets in the configuration space.
//! struct Paint(u8);
//!
//! impl DeviceModel for Paint {
//!     fn identity(&self) -> Identity {
//!         Identity { device: DeviceId::from_raw(0xff), vendor: 0, uuid: [0; 16] }
//!     }
//!     fn config_len(&self) -> u32 {
//!         1
//!     }
//!     fn read_config(&self, _offset: u32, into: &mut [u8]) {
//!         into.fill(self.0);
//!     }
//!     fn write_config(&mut self, _offset: u32, from: &[u8]) -> Applied {
//!         let [colour] = from else { return Applied::No };
//!         self.0 = *colour;
//!         Applied::Yes
//!     }
//!     fn queue_count(&self) -> u16 {
//!         1
//!     }
//!     fn max_queue_size(&self, _index: u16) -> QueueSize {
//!         QueueSize::new(8).unwrap()
//!     }
//!     fn serve<M: AreaMap + ?Sized>(
//!         &mut self, mem: &M, _index: u16, queue: &mut DeviceQueue, budget: u32,
//!     ) -> Result<u32, QueueError> {
//!         let mut chain = Chain::<4>::new();
//!         for done in 0..budget {
//!             let Some(head) = queue.take(mem, &mut chain)? else { return Ok(done) };
//!             let written = Cursor::new(chain.writable()).write(mem, &[self.0; 64])?;
//!             queue.complete(mem, head, written as u32)?;
//!         }
//!         Ok(budget)
//!     }
//! }
//!
//! let words: Vec<AtomicU16> = (0..64).map(|_| AtomicU16::new(0)).collect();
//! let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
//! let mut server: DeviceServer<_, 1> = DeviceServer::new(Paint(3));
//! assert_eq!(server.model_mut().write_config(0, &[5]), Applied::Yes);
//! // No driver has set a queue up: nothing to do, nobody to tell.
//! let served: Served = server.serve(&mem, 0, 8);
//! assert_eq!((served.requests, served.notify), (0, false));
//!
//! // A cursor goes through the buffers of a chain, whose bounds are nobody's concern.
//! let at = BusAddr::new(AreaId::new(1).unwrap(), 0).unwrap();
//! let buffers = [Segment { addr: at, len: 4 }, Segment { addr: at, len: 8 }];
//! let mut cursor = Cursor::new(&buffers);
//! cursor.skip(2);
//! assert_eq!(cursor.run(u64::MAX), Some(Run { at: at.checked_add(2).unwrap(), len: 2 }));
//!
//! // What a driver reads of a configuration space, from an offset on.
//! let mut read = [0; 2];
//! copy_config(&[1, 2, 3], 1, &mut read);
//! assert_eq!(read, [2, 3]);
//! ```
//!
//! # Several devices of several drivers
//! A partition gives its devices to a [`Host`]; see there. Its devices may be of several kinds:
//!
//! ```
//! use causeway_ffa::EndpointId;
//! use causeway_virtio::device::block::{Block, RamDisk};
//! use causeway_virtio::device::console::{Console, Size, Terminal};
//! use causeway_virtio::device::rng::{EntropySource, NoEntropy, Rng};
//! use causeway_virtio::device::rpmb::{Frame, Limits, Protected};
//! use causeway_virtio::device::{AnyDevice, Host, HostFull, News, Progress, Taken};
//! use causeway_virtio::mem::WordArea;
//! use causeway_virtio::msg::{Body, Message, Request};
//! use causeway_virtio::AreaId;
//! use core::sync::atomic::AtomicU16;
//!
//! struct Nothing;
//! impl EntropySource for Nothing {
//!     fn fill(&mut self, _into: &mut [u8]) -> Result<(), NoEntropy> {
//!         Err(NoEntropy)
//!     }
//! }
//! impl Terminal for Nothing {
//!     fn write(&mut self, _bytes: &[u8]) {}
//! }
//! impl Protected for Nothing {
//!     fn limits(&self) -> Limits {
//!         Limits { capacity: 1, max_write_blocks: 1, max_read_blocks: 1 }
//!     }
//!     fn request(&mut self, _request: &Frame, _room: usize, _answer: &mut dyn FnMut(&Frame)) {}
//! }
//! type Device = AnyDevice<Nothing, Nothing, RamDisk<4096>, Nothing>;
//!
//! let driver = EndpointId::from_raw(1);
//! let mut host = Host::<Device, 3, 2>::new();
//! host.add(driver, 1, AnyDevice::Rng(Rng::new(Nothing)))?;
//! let size = Size { columns: 80, rows: 25 };
//! host.add(driver, 2, AnyDevice::Console(Console::new(Nothing, size)))?;
//! host.add(driver, 3, AnyDevice::Block(Block::new(RamDisk::new(), [0; 20])))?;
//! let another = AnyDevice::Rng(Rng::new(Nothing));
//! assert!(host.add(driver, 4, another).is_err());
//!
//! let words: Vec<AtomicU16> = (0..64).map(|_| AtomicU16::new(0)).collect();
//! let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
//! let ask = Message { dev_num: 3, token: 1, body: Body::Request(Request::GetDeviceInfo) };
//! assert!(matches!(host.take(&mem, driver, &ask), Taken::Answer(_)));
//! let mut told: Vec<News> = Vec::new();
//! let progress = host.work(&mem, driver, 8, |news| told.push(news));
//! assert!(matches!(progress, Progress::Done) && told.is_empty());
//! # Ok::<(), HostFull>(())
//! ```

mod any;
pub mod block;
pub mod console;
pub mod cursor;
mod host;
pub mod net;
pub mod rng;
pub mod rpmb;
mod server;

pub use any::AnyDevice;
pub use cursor::{Cursor, Run};
pub use host::{Host, HostFull, News, Progress, Taken};
pub use server::{DeviceServer, Served};

use crate::mem::AreaMap;
use crate::queue::{DeviceQueue, QueueError, QueueSize};
use crate::types::{DeviceId, Features};

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Kind of device.
    pub device: DeviceId,
    /// Vendor.
    pub vendor: u32,
    /// Name, or zero.
    pub uuid: [u8; 16],
}

/// Whether a write to the configuration space took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It did.
    Yes,
    /// It did not, and nothing changed.
    No,
}

/// Copies a configuration space, from `offset` on, as [`DeviceModel::read_config`] is asked to. What would lie
/// behind its end stays as it is.
pub fn copy_config(config: &[u8], offset: u32, into: &mut [u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    for (place, byte) in into.iter_mut().zip(config.get(start..).unwrap_or(&[])) {
        *place = *byte;
    }
}

/// A device, without anything of its transport.
pub trait DeviceModel {
    /// Returns what the device is.
    fn identity(&self) -> Identity;

    /// Returns the features of this kind of device. Those of the rings and of the transport are
    /// the server's.
    fn features(&self) -> Features {
        Features::NONE
    }

    /// Returns which features of rings and of the transport the server may offer: all that it knows,
    /// unless the queues are served by somebody else, who knows fewer.
    fn ring_features(&self) -> Features {
        Features::ALL
    }

    /// Returns the bytes of the configuration space.
    fn config_len(&self) -> u32 {
        0
    }

    /// Copies from the configuration space. The server has checked that `offset` and the length of
    /// `into` lie within [`DeviceModel::config_len`].
    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let _: u32 = offset;
        into.fill(0);
    }

    /// Writes to the configuration space; checked as for [`DeviceModel::read_config`].
    fn write_config(&mut self, offset: u32, from: &[u8]) -> Applied {
        let _: (u32, &[u8]) = (offset, from);
        Applied::No
    }

    /// Returns the number of queues.
    fn queue_count(&self) -> u16;

    /// Returns the most entries of a queue.
    fn max_queue_size(&self, index: u16) -> QueueSize;

    /// Learns the negotiated features, each time that the driver has set FEATURES_OK.
    fn start(&mut self, features: Features) {
        let _: Features = features;
    }

    /// Reports whether the device would take a chain of this queue now if there is one. False for
    /// a queue of empty buffers while there is nothing to put into them.
    fn wants(&self, index: u16) -> bool {
        let _: u16 = index;
        true
    }

    /// Serves up to `budget` chains of a queue and returns how many it completed.
    ///
    /// # Errors
    /// What the driver broke: the server then sets DEVICE_NEEDS_RESET.
    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        index: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError>;

    /// Forgets what the driver did.
    fn reset(&mut self) {}
}
