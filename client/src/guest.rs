//! Owns what virtio-drivers needs to run unmodified on brokered memory; never a driver's logic.
//!
//! virtio-drivers takes two things from its platform:
//!
//! - a `Transport`: [`MsgTransport`] speaks virtio-msg over the [`Bus`](crate::bus::Bus);
//! - a `Hal`, whose functions have no `self`. Here each link has a marker type that names its
//!   [`DmaPool`], a `static` which the guest declares, and [`AreaHal`] goes by that type. Two links
//!   have two types and two pools, so no memory of one driver is ever shown to another's device.
//!
//! ```
//! use causeway_client::guest::{AreaHal, DmaPool, Link};
//!
//! static DISK_MEMORY: DmaPool = DmaPool::new();
//!
//! /// The link to the VM that serves our disk.
//! struct Disk;
//!
//! impl Link for Disk {
//!     fn pool() -> &'static DmaPool {
//!         &DISK_MEMORY
//!     }
//! }
//!
//! /// What `VirtIOBlk` takes: `VirtIOBlk::<DiskHal, _>::new(transport)`.
//! type DiskHal = AreaHal<Disk>;
//! ```
//!
//! virtio-drivers' blocking calls spin until the device answers, for ever if it is gone: use the
//! `_nb` calls and wait with a [`Bound`](crate::Bound), and lend slices of a [`DmaBuffer`] anew
//! after each wait. Where a driver has no other calls (entropy, console output), give the transport
//! a [`Limit`].
//!
//! # When the backend dies
//! The driver sees DEVICE_NEEDS_RESET, as virtio defines it, in [`Health::failure`], at the latest
//! when the partition's time for an answer is up. Another backend may take its place, and the same
//! areas and buffers serve on:
//!
//! 1. drop the driver (it resets its queues and gives their memory back), and call
//!    [`DmaPool::forget_moved`]; keep the [`DmaBuffer`]s of what was in flight;
//! 2. wait for the device: [`Bus::wait_for_device`](crate::bus::Bus::wait_for_device); bind the
//!    doorbell of the new VM;
//! 3. [`SharedArea::share`] each area again;
//! 4. open a new [`MsgTransport`] with a new [`Health`], which resets the device, and make a new
//!    driver of it;
//! 5. submit again what was in flight, writes too: nobody knows what became of them.
//!
//! The trait functions of virtio-drivers can't return errors in some places (setting a queue up,
//! sharing a buffer). What goes wrong there is kept in a [`Health`] that the guest looks at, and
//! in the pool's [`PoolStats`].

mod area;
mod bitmap;
mod buffer;
mod hal;
mod health;
mod net;
mod pool;
#[cfg(test)]
mod tests;
mod transport;

pub use area::SharedArea;
pub use buffer::DmaBuffer;
pub use hal::{AreaHal, Link};
pub use health::Health;
pub use net::NetPort;
pub use pool::{Bounce, DmaPool, POOL_AREAS, POOL_PAGES, PoolBusy, PoolStats};
pub use transport::{Kick, Limit, MsgTransport};
