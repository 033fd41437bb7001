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
//! The memory comes from areas, and a transport from the bus:
//!
//! ```
//! use causeway_abi::GrantTerms;
//! use causeway_client::bus::Bus;
//! use causeway_client::grant::Grant;
//! use causeway_client::guest::{
//!     Bounce, DmaBuffer, DmaPool, Health, Kick, Limit, Link, MsgTransport, NetPort, POOL_AREAS,
//!     POOL_PAGES, PoolBusy, PoolStats, SharedArea,
//! };
//! use causeway_client::memory::Pages;
//! use causeway_client::{Bound, Error, Wait};
//! use causeway_virtio::{AreaId, Features};
//!
//! const SOON: Bound = Bound::millis(500);
//!
//! /// An area for as long as the driver lives, over the deaths of its peer.
//! fn area<'c>(
//!     pool: &'static DmaPool,
//!     pages: Pages<'static>,
//!     terms: GrantTerms,
//!     bus: &Bus<'c>,
//!     wait: &dyn Wait,
//! ) -> Result<Option<Pages<'c>>, Error> {
//!     let mut area: SharedArea<'c> = SharedArea::new(pool, AreaId::new(1).unwrap(), terms, pages);
//!     area.share(bus, wait, SOON)?;
//!     println!("area {} has {} pages, {:?}", area.id().get(), area.page_count(), area.handle());
//!     // ... the driver works; its peer dies, and is there again:
//!     area.withdraw(wait, SOON)?;
//!     pool.forget_moved();
//!     area.share(bus, wait, SOON)?;
//!     area.take_back(bus, wait, SOON)
//! }
//!
//! /// The same by hand, for a grant that the guest keeps itself.
//! fn by_hand(pool: &'static DmaPool, id: AreaId, grant: &Grant<'_>) -> Result<(), Error> {
//!     // SAFETY: the grant outlives its stay in the pool, and only the pool's users touch the pages.
//!     unsafe { pool.attach(id, grant) }?;
//!     pool.reattach(id, grant)?;
//!     let left: Result<(), PoolBusy> = pool.detach(id);
//!     assert!(left.is_ok() && POOL_AREAS == 8 && POOL_PAGES == 32_768);
//!     Ok(())
//! }
//!
//! /// Payload in place.
//! fn payload(pool: &'static DmaPool) -> Option<u64> {
//!     pool.set_bounce(Bounce::Refuse);
//!     let mut buffer: DmaBuffer<'static> = pool.take(1)?;
//!     buffer.write(0, b"request").ok()?;
//!     let mut back = [0; 7];
//!     buffer.read(0, &mut back).ok()?;
//!     buffer.visit(7, |bytes| println!("{bytes:?}")).ok()?;
//!     assert_eq!((buffer.len_bytes(), buffer.raw().len()), (4096, 4096));
//!     // SAFETY: no request is under way.
//!     let slice = unsafe { buffer.slice_mut() };
//!     slice.fill(0);
//!     let address = buffer.bus_address().get();
//!     // SAFETY: as above. For a driver that keeps its buffers for ever.
//!     let _kept: &'static mut [u8] = unsafe { buffer.leak() };
//!     let PoolStats { copied_bytes, bounced: 0, .. } = pool.stats() else { return None };
//!     assert_eq!(copied_bytes, 14);
//!     Some(address)
//! }
//!
//! /// A transport for a driver whose calls block, as entropy's.
//! fn bounded<'b, 'c>(
//!     bus: &'b Bus<'c>,
//!     kick: Kick<'b>,
//!     health: &'b Health,
//!     pool: &'static DmaPool,
//!     wait: &'b dyn Wait,
//! ) -> Result<MsgTransport<'b, 'c>, Error> {
//!     let transport = MsgTransport::open(bus, 0, kick, health)?;
//!     println!("a device of kind {}", transport.info().device_id);
//!     let limit = Limit { pool, wait, bound: SOON, queue: 0 };
//!     let transport = transport.without(Features::EVENT_IDX).with_indirect_tables();
//!     if let Some(failure) = health.failure() {
//!         return Err(failure);
//!     }
//!     Ok(transport.with_limit(limit))
//! }
//!
//! /// A network card that sleeps between frames.
//! fn sleepy<L: Link>(port: &mut NetPort<'_, '_, L, 16>) -> Result<(), Error> {
//!     port.enable_interrupts();
//!     if port.has_frame() {
//!         port.disable_interrupts();
//!     }
//!     port.take_events();
//!     println!("{:x?}", port.mac());
//!     port.health().check()
//! }
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
