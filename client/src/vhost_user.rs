//! Owns a device that a vhost-user process serves: what it is told of rings and areas, and when it is
//! no longer believed. Never touches a ring itself, and never trusts the process.
//!
//! Where the platform can hand an area's memory to another process (as a file: [`AreaFiles`]), an
//! existing vhost-user backend serves a brokered ring unchanged. A [`FrontDoor`] is a
//! [`DeviceModel`]: a [`DeviceServer`] answers the driver's control messages with what the process
//! said of itself, checks that each ring lies in the areas, and [`FrontDoor::follow`] passes on what
//! was set up. Rings and buffers are then used by driver and process alone. A bus address is the guest
//! address that the process is told, `area_id << 48 | offset`.
//!
//! # What the process may do
//! It is a program outside, perhaps a broken or hostile one:
//! - Each exchange has a time limit; a bad, late or missing reply is a [`DoorError`] that names the
//!   message, and after the first one nothing is said to the process any more.
//! - It gets the areas that this VM may write and nothing else; a file that it could cut short under
//!   this program is refused.
//! - What it writes into areas is the driver's business, which never trusts its device.
//!
//! What no library can do is to take memory back from a process that keeps a mapping:
//! [`FrontDoor::withdraw`] asks it to, and whoever gave it the file must see to it that the grant is not
//! told to be unmapped before it is (end the process, say).
//!
//! # Examples
//! `cargo run -p causeway-client --features vhost-user --example vhost_user` serves a file by a daemon
//! made of rust-vmm's `vhost-user-backend`, or by the process behind a socket that is named.

mod bell;
mod error;
mod model;
mod wire;

pub use error::{DoorError, Step};

use crate::backend::Backend;
use crate::memory::Window;
use crate::vmm::start_of;
use bell::Bell;
use causeway_ffa::EndpointId;
use causeway_virtio::device::{DeviceModel, DeviceServer, Identity};
use causeway_virtio::queue::QueueConfig;
use causeway_virtio::{AreaId, Features};
use core::fmt;
use core::time::Duration;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::vec::Vec;
use vhost::VringConfigData;
use wire::{Shown, Wire};

/// Most areas that a process is shown: what every backend takes.
pub const MAX_AREAS: usize = 8;
/// Most queues of a device here.
pub const MAX_QUEUES: u16 = 16;
/// Most bytes of a configuration space here.
pub const MAX_CONFIG_BYTES: u32 = 256;

/// The memory of an area as another process can map it.
#[derive(Clone, Copy, Debug)]
pub struct AreaFile<'f> {
    /// The file. If it is a regular one (a memfd), it must be sealed against shrinking.
    pub file: BorrowedFd<'f>,
    /// Where the area begins in it.
    pub offset_bytes: u64,
}

/// The platform's way of giving areas to another process: a mapper that maps files knows them.
pub trait AreaFiles: fmt::Debug + Send + Sync {
    /// Returns the file behind a window that the mapper made; `None` if there is none to give.
    fn file(&self, window: &Window) -> Option<AreaFile<'_>>;
}

/// What the process must serve, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What the device is (vhost-user does not say).
    pub identity: Identity,
    /// Queues that the driver may see.
    pub queue_count: u16,
    /// Bytes of configuration space to fetch; 0 if the device has none.
    pub config_len: u32,
    /// The time limit of each exchange.
    pub patience: Duration,
}

/// One queue.
#[derive(Debug)]
struct Ring {
    bell: Bell,
    /// How it was started.
    running: Option<QueueConfig>,
    /// The driver has reset the device since.
    stale: bool,
}

/// A device that a vhost-user process serves.
///
/// ```
/// use causeway_client::Connection;
/// use causeway_client::backend::Backend;
/// use causeway_client::doorbell::Doorbells;
/// use causeway_client::error::Party;
/// use causeway_client::memory::Window;
/// use causeway_client::vhost_user::{
///     AreaFile, AreaFiles, DoorError, FrontDoor, Kind, MAX_AREAS, MAX_CONFIG_BYTES, MAX_QUEUES, Step,
/// };
/// use causeway_ffa::EndpointId;
/// use causeway_virtio::device::{DeviceServer, Identity};
/// use causeway_virtio::msg::{Body, Message};
/// use causeway_virtio::{AreaId, DeviceId};
/// use std::os::{fd::AsFd, unix::net::UnixStream};
/// use std::time::Duration;
///
/// /// A platform that maps all it borrows from one sealed file.
/// #[derive(Debug)]
/// struct OneFile {
///     file: std::fs::File,
///     base: usize,
/// }
///
/// impl AreaFiles for OneFile {
///     fn file(&self, window: &Window) -> Option<AreaFile<'_>> {
///         let offset = window.pointer().addr().get().checked_sub(self.base)?;
///         Some(AreaFile { file: self.file.as_fd(), offset_bytes: offset.try_into().ok()? })
///     }
/// }
///
/// const DISK: Kind = Kind {
///     identity: Identity { device: DeviceId::BLOCK, vendor: 0, uuid: [0; 16] },
///     queue_count: 1,
///     config_len: 60,
///     patience: Duration::from_secs(1),
/// };
///
/// fn open<'f>(socket: &str, files: &'f OneFile) -> Result<DeviceServer<FrontDoor<'f>, 1>, DoorError> {
///     let stream = UnixStream::connect(socket).map_err(|_| DoorError::System(Step::Owner))?;
///     assert!(DISK.queue_count <= MAX_QUEUES && DISK.config_len <= MAX_CONFIG_BYTES);
///     Ok(DeviceServer::new(FrontDoor::open(stream, DISK, files)?))
/// }
///
/// /// A message of the driver; what it set up goes on to the process. At most MAX_AREAS areas do.
/// fn answer(
///     server: &mut DeviceServer<FrontDoor<'_>, 1>,
///     areas: &Backend<'_, MAX_AREAS>,
///     driver: EndpointId,
///     message: &Message,
/// ) -> Result<Option<Body>, DoorError> {
///     let answer = server.answer(&areas.memory(driver), message);
///     FrontDoor::follow(server, areas, driver)?;
///     Ok(answer.map(|answer| answer.body))
/// }
///
/// /// One turn of the loop while the ring runs.
/// fn turn(server: &mut DeviceServer<FrontDoor<'_>, 1>, bells: &Doorbells<'_>, driver: EndpointId) {
///     server.model().kick();
///     match server.model_mut().take_used() {
///         Ok(true) => drop(bells.ring(driver)),
///         Ok(false) => {}
///         Err(error) => {
///             assert!(!server.model().is_open() && error.blame() == Party::Peer);
///             if let DoorError::TimedOut(step) | DoorError::Malformed(step) = error {
///                 println!("the process broke off at {}", step.name());
///             }
///             server.fail();
///         }
///     }
/// }
///
/// /// Before an area is unbound.
/// fn goes(
///     server: &mut DeviceServer<FrontDoor<'_>, 1>,
///     area: AreaId,
///     areas: &Backend<'_, MAX_AREAS>,
///     driver: EndpointId,
/// ) -> Result<(), DoorError> {
///     server.model_mut().withdraw(Some(area), areas, driver)
/// }
/// ```
#[derive(Debug)]
pub struct FrontDoor<'f> {
    wire: Wire,
    files: &'f dyn AreaFiles,
    kind: Kind,
    config: Vec<u8>,
    /// What the process offers; the bit of the protocol's own features is in it.
    offered: u64,
    rings: Vec<Ring>,
    shown: Vec<Shown>,
    /// What the driver accepted, until the process knows it.
    news: Option<Features>,
}

impl<'f> FrontDoor<'f> {
    /// Makes the acquaintance of the process at the other end of a socket.
    ///
    /// # Errors
    /// [`DoorError::Lacks`] if it cannot serve such a device, and whatever it did wrong.
    pub fn open(
        stream: UnixStream,
        kind: Kind,
        files: &'f dyn AreaFiles,
    ) -> Result<Self, DoorError> {
        if kind.queue_count == 0 || kind.queue_count > MAX_QUEUES {
            return Err(DoorError::Lacks("1 to 16 queues"));
        }
        if kind.config_len > MAX_CONFIG_BYTES {
            return Err(DoorError::Lacks("a configuration space of at most 256 bytes"));
        }
        let mut wire = Wire::new(stream, kind.queue_count, kind.patience)?;
        let met = wire.meet(kind.queue_count, kind.config_len)?;
        if met.offered & Features::VERSION_1.get() == 0 {
            return Err(DoorError::Lacks("VIRTIO_F_VERSION_1"));
        }
        let mut rings = Vec::new();
        for _ in 0..kind.queue_count.min(met.queues) {
            rings.push(Ring { bell: Bell::new()?, running: None, stale: false });
        }
        let (config, offered) = (met.config, met.offered);
        Ok(Self { wire, files, kind, config, offered, rings, shown: Vec::new(), news: None })
    }

    /// Brings the process up to date: to be called after each message that the server has answered,
    /// and after areas came or went. Starts and stops rings, and shows the areas of `driver`.
    ///
    /// # Errors
    /// What went wrong. The device needs a reset then, which can only be had with a new door: the server's
    /// status says so, and [`DeviceServer::fail`] returns the event for the driver.
    pub fn follow<const QUEUES: usize, const AREAS: usize>(
        server: &mut DeviceServer<Self, QUEUES>,
        areas: &Backend<'_, AREAS>,
        driver: EndpointId,
    ) -> Result<(), DoorError> {
        let mut wanted = Vec::new();
        for index in 0..server.model().queue_count() {
            wanted.push(server.queue_config(index));
        }
        let followed = server.model_mut().update(&wanted, areas, driver);
        if followed.is_err() {
            // Whoever wants to send the event asks `fail` for it once more.
            let _: causeway_virtio::msg::ConfigEvent = server.fail();
        }
        followed
    }

    fn update<const AREAS: usize>(
        &mut self,
        wanted: &[Option<QueueConfig>],
        areas: &Backend<'_, AREAS>,
        driver: EndpointId,
    ) -> Result<(), DoorError> {
        let is_used = wanted.iter().any(Option::is_some);
        if !self.is_open() {
            self.forget();
            return if is_used { Err(DoorError::Over) } else { Ok(()) };
        }
        self.stop_others(wanted)?;
        if let Some(features) = self.news.take() {
            self.wire.features(self.accepted(features))?;
        }
        if is_used || !self.shown.is_empty() {
            self.show(areas, driver)?;
        }
        for (index, config) in (0u16..).zip(wanted) {
            if let Some(config) = config {
                self.start(index, *config)?;
            }
        }
        Ok(())
    }

    /// The connection is gone: nothing runs and nothing is shown.
    fn forget(&mut self) {
        self.rings.iter_mut().for_each(|ring| (ring.running, ring.stale) = (None, false));
        self.shown.clear();
        self.news = None;
    }

    /// What the process is told that the driver accepted.
    const fn accepted(&self, features: Features) -> u64 {
        (features.get() & !Features::ACCESS_PLATFORM.get() | wire::PROTOCOL_BIT) & self.offered
    }

    /// Stops every ring that is not wanted as it runs.
    fn stop_others(&mut self, wanted: &[Option<QueueConfig>]) -> Result<(), DoorError> {
        for ((index, ring), wanted) in (0u16..).zip(&mut self.rings).zip(wanted) {
            if ring.running.is_some() && (ring.stale || ring.running != *wanted) {
                self.wire.stop(index, self.offered)?;
                (ring.running, ring.stale) = (None, false);
            }
            ring.stale = false;
        }
        Ok(())
    }

    /// Shows the process what this VM may write of the driver's areas, if that has changed.
    fn show<const AREAS: usize>(
        &mut self,
        areas: &Backend<'_, AREAS>,
        driver: EndpointId,
    ) -> Result<(), DoorError> {
        let mut now: Vec<Shown> = areas
            .writable(driver)
            .map(|(area, window)| Shown { area, len_bytes: window.len_bytes() })
            .collect();
        now.sort_by_key(|shown| shown.area.get());
        if now == self.shown {
            return Ok(());
        }
        if now.len() > MAX_AREAS {
            return Err(DoorError::TooManyAreas);
        }
        let mut table = Vec::new();
        for (area, window) in areas.writable(driver) {
            let file = self.files.file(window).ok_or(DoorError::NoFile(area))?;
            wire::check_file(area, &file)?;
            table.push(wire::region(area, window.len_bytes(), &file)?);
        }
        if table.is_empty() {
            // The protocol has no empty table: without areas there is nothing to serve.
            self.wire.hang_up();
            self.forget();
            return Err(DoorError::Over);
        }
        self.wire.table(&table)?;
        self.shown = now;
        Ok(())
    }

    fn start(&mut self, index: u16, config: QueueConfig) -> Result<(), DoorError> {
        let Some(ring) = self.rings.get_mut(usize::from(index)) else { return Ok(()) };
        if ring.running.is_some() {
            return Ok(());
        }
        let rings = VringConfigData {
            queue_max_size: config.size.get(),
            queue_size: config.size.get(),
            flags: 0,
            desc_table_addr: config.desc.get(),
            used_ring_addr: config.device.get(),
            avail_ring_addr: config.driver.get(),
            log_addr: None,
        };
        self.wire.start(index, &rings, &ring.bell, self.offered)?;
        ring.running = Some(config);
        // What the driver made available before it was ready, nobody was told of.
        ring.bell.kick();
        Ok(())
    }

    /// Passes a kick on: the driver's doorbell rang. Kicks that have no meaning do no harm.
    pub fn kick(&self) {
        for ring in self.rings.iter().filter(|ring| ring.running.is_some()) {
            ring.bell.kick();
        }
    }

    /// Reports whether the process has used buffers since the last look: ring the driver then.
    ///
    /// # Errors
    /// [`DoorError::Disconnected`] and others, if the process is gone or talks unasked: call
    /// [`DeviceServer::fail`].
    pub fn take_used(&mut self) -> Result<bool, DoorError> {
        self.wire.is_there()?;
        let mut used = false;
        for ring in &self.rings {
            used |= ring.bell.take_call()?;
        }
        Ok(used)
    }

    /// Stops every ring and asks the process to unmap one area, before it is let go of: when the
    /// driver takes it back, or is gone (`None`: every area, and the connection is ended).
    ///
    /// # Errors
    /// What went wrong; [`DoorError::Over`] where the last area went and the connection with it.
    pub fn withdraw<const AREAS: usize>(
        &mut self,
        area: Option<AreaId>,
        areas: &Backend<'_, AREAS>,
        driver: EndpointId,
    ) -> Result<(), DoorError> {
        if !self.shown.iter().any(|shown| area.is_none_or(|area| shown.area == area)) {
            return Ok(());
        }
        let idle: Vec<Option<QueueConfig>> = self.rings.iter().map(|_| None).collect();
        self.stop_others(&idle)?;
        let mut table = Vec::new();
        for (other, window) in areas.writable(driver) {
            let is_shown = self.shown.iter().any(|shown| shown.area == other);
            if is_shown && area.is_some_and(|area| area != other) {
                let file = self.files.file(window).ok_or(DoorError::NoFile(other))?;
                table.push(wire::region(other, window.len_bytes(), &file)?);
            }
        }
        if table.is_empty() {
            self.wire.hang_up();
            self.forget();
            return Err(DoorError::Over);
        }
        self.wire.table(&table)?;
        self.shown.retain(|shown| Some(shown.area) != area);
        Ok(())
    }

    /// Reports whether the process is still believed.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.wire.is_open()
    }
}
