//! Owns virtio-drivers' `Transport` over virtio-msg; never touches a ring.

use super::health::Health;
use crate::bus::Bus;
use crate::doorbell::{Doorbells, Gathered};
use crate::error::{Error, Rule};
use causeway_ffa::EndpointId;
use causeway_virtio::msg::{
    BlockRange, Body, BusRequest, ConfigBytes, ConfigData, ConfigRange, DeviceInfo, FeatureBlocks,
    FeatureWords, Request, Response, SetVqueue, Vqueue, VqueueFlags,
};
use causeway_virtio::{BusAddr, Features, Status};
use core::cell::RefCell;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error as DriverError, PhysAddr, Result as DriverResult};
use zerocopy::{FromBytes, Immutable, IntoBytes};

mod limit;

pub use limit::Limit;

/// Bytes of configuration space that are kept.
const CONFIG: usize = 256;

/// Reads of the configuration that may see different generations before it counts as broken.
const CONFIG_TRIES: u32 = 8;

/// How a driver tells its device that buffers are available.
#[derive(Clone, Copy, Debug)]
pub enum Kick<'c> {
    /// It rings the VM that serves the device; the partition has no part in it.
    Doorbell(&'c Doorbells<'c>, EndpointId),
    /// It notes that this VM is to be rung; the guest rings when it has made all its requests
    /// ([`Gathered::ring_due`]). Not for drivers whose calls block.
    Gathered(&'c Gathered<'c>),
    /// It sends EVENT_AVAIL: for devices in the partition.
    Message,
}

/// The transport of one device.
///
/// ```
/// use causeway_client::bus::Bus;
/// use causeway_client::doorbell::Doorbells;
/// use causeway_client::error::Error;
/// use causeway_client::guest::{AreaHal, Health, Kick, Link, MsgTransport};
/// use causeway_ffa::EndpointId;
/// use virtio_drivers::device::blk::VirtIOBlk;
///
/// fn capacity<L: Link>(
///     bus: &Bus<'_>,
///     doorbells: &Doorbells<'_>,
///     backend: EndpointId,
///     health: &Health,
/// ) -> Result<u64, Error> {
///     let kick = Kick::Doorbell(doorbells, backend);
///     let transport = MsgTransport::open(bus, 0, kick, health)?;
///     let disk = VirtIOBlk::<AreaHal<L>, _>::new(transport);
///     health.check()?;
///     Ok(disk.map_or(0, |disk| disk.capacity()))
/// }
/// ```
#[derive(Debug)]
pub struct MsgTransport<'b, 'c> {
    bus: &'b Bus<'c>,
    dev_num: u16,
    kick: Kick<'b>,
    health: &'b Health,
    withheld: Features,
    device_type: DeviceType,
    info: DeviceInfo,
    offered: Features,
    config: RefCell<Option<Config>>,
    limit: Option<Limit<'b>>,
    rings: [Option<limit::Rings>; limit::QUEUES],
}

/// A consistent copy of the configuration space.
#[derive(Debug)]
struct Config {
    generation: u32,
    bytes: [u8; CONFIG],
    len: usize,
}

impl<'b, 'c> MsgTransport<'b, 'c> {
    /// Asks the device what it is and resets it.
    ///
    /// # Errors
    /// [`Rule::MessageKind`] if virtio-drivers knows no such device, or what went wrong with a request.
    pub fn open(
        bus: &'b Bus<'c>,
        dev_num: u16,
        kick: Kick<'b>,
        health: &'b Health,
    ) -> Result<Self, Error> {
        let Response::GetDeviceInfo(info) = bus.request(dev_num, Request::GetDeviceInfo)? else {
            return Err(Error::peer(Rule::MessageKind));
        };
        let device_type =
            DeviceType::try_from(info.device_id).map_err(|_| Error::peer(Rule::MessageKind))?;
        let config = RefCell::new(None);
        let (offered, withheld) = (Features::NONE, Features::INDIRECT_DESC);
        Ok(Self {
            bus,
            dev_num,
            kick,
            health,
            withheld,
            device_type,
            info,
            offered,
            config,
            limit: None,
            rings: [None; limit::QUEUES],
        })
    }

    /// Keeps more features of the device from the driver. Without [`Features::EVENT_IDX`], for
    /// example, virtio-drivers kicks only while the device wants to be kicked; with it, it compares
    /// ring indices without wrapping them and kicks a device that is awake.
    #[must_use]
    pub fn without(mut self, features: Features) -> Self {
        self.withheld = self.withheld | features;
        self
    }

    /// Lets the driver use indirect descriptors. virtio-drivers keeps their tables on the heap, so
    /// this is for guests whose heap lies in an area of the pool; elsewhere each table would be moved.
    #[must_use]
    pub fn with_indirect_tables(mut self) -> Self {
        let bit = Features::INDIRECT_DESC.get();
        self.withheld = Features::from_raw(self.withheld.get() & !bit);
        self
    }

    /// Returns what the device said about itself.
    #[must_use]
    pub const fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Makes a request unless the device has failed; a failure is noted.
    fn ask(&self, request: Request) -> Option<Response> {
        if !self.health.is_well() {
            return None;
        }
        match self.bus.request(self.dev_num, request) {
            Ok(response) => Some(response),
            Err(error) => {
                self.health.note(error);
                None
            }
        }
    }

    /// Notes that the device answered something that does not fit.
    fn unfit<T>(&self, rule: Rule) -> Option<T> {
        self.health.note(Error::peer(rule));
        None
    }

    fn queue(&self, queue: u16) -> Option<Vqueue> {
        let index = u32::from(queue);
        if let Response::GetVqueue(answer) = self.ask(Request::GetVqueue { index })?
            && answer.index == index
        {
            return Some(answer);
        }
        self.unfit(Rule::MessageKind)
    }

    fn feature_word(&self, index: u32) -> Option<u32> {
        if index >= self.info.num_feature_blocks {
            return Some(0);
        }
        let range = BlockRange { index, count: 1 };
        if let Response::GetDeviceFeatures(blocks) = self.ask(Request::GetDeviceFeatures(range))?
            && blocks.index == index
            && let [word] = blocks.words.as_slice()
        {
            return Some(*word);
        }
        self.unfit(Rule::MessageKind)
    }

    /// Reads a part of the configuration space, at most what one message carries.
    fn config_part(&self, offset: u32, len: u32) -> Option<ConfigData> {
        let range = ConfigRange { offset, len };
        if let Response::GetConfig(data) = self.ask(Request::GetConfig(range))?
            && data.offset == offset
            && data.data.len_bytes() == len
        {
            return Some(data);
        }
        self.unfit(Rule::MessageKind)
    }

    /// Reads the whole configuration space, all parts of one generation.
    fn fetch_config(&self) -> Option<Config> {
        let size = usize::try_from(self.info.config_size).ok()?.min(CONFIG);
        for _ in 0..CONFIG_TRIES {
            let mut config = Config { generation: 0, bytes: [0; CONFIG], len: size };
            let mut consistent = true;
            let mut at = 0usize;
            let room = config.bytes.get_mut(..size)?;
            for chunk in room.chunks_mut(ConfigBytes::MAX) {
                let len = u32::try_from(chunk.len()).ok()?;
                let data = self.config_part(u32::try_from(at).ok()?, len)?;
                chunk.copy_from_slice(data.data.as_slice());
                consistent &= at == 0 || data.generation == config.generation;
                config.generation = data.generation;
                at = at.saturating_add(chunk.len());
            }
            if consistent {
                return Some(config);
            }
        }
        self.unfit(Rule::ConfigGeneration)
    }

    /// Runs `read` on the kept configuration space, which is fetched first if need be.
    fn with_config<T>(&self, read: impl FnOnce(&Config) -> T) -> Option<T> {
        let mut kept = self.config.borrow_mut();
        if kept.is_none() {
            *kept = self.fetch_config();
        }
        kept.as_ref().map(read)
    }

    /// Takes the device's events; reports whether the configuration changed.
    fn take_events(&self) -> bool {
        let mut changed = false;
        loop {
            match self.bus.device_event(self.dev_num) {
                Ok(Some(event)) => changed |= self.take_event(&event.message.body),
                Ok(None) => return changed,
                Err(error) => {
                    self.health.note(error);
                    return changed;
                }
            }
        }
    }

    /// Drops what the device said before it was reset: that it needed just this, for example.
    fn forget_events(&self) {
        loop {
            match self.bus.device_event(self.dev_num) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => return self.health.note(error),
            }
        }
    }

    /// Takes one event; reports whether the configuration changed.
    fn take_event(&self, body: &Body) -> bool {
        match body {
            Body::Request(Request::EventConfig(event)) => {
                self.config.replace(None);
                if event.status().contains(Status::NEEDS_RESET) {
                    self.health.note(Error::peer(Rule::DeviceNeedsReset));
                }
                true
            }
            Body::BusRequest(BusRequest::EventDevice { .. }) => {
                self.health.note(Error::peer(Rule::DeviceRemoved));
                true
            }
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
                false
            }
        }
    }

    /// Whole bytes `offset..offset + len` of the configuration must exist.
    fn config_range(&self, offset: usize, len: usize) -> DriverResult<()> {
        let size = usize::try_from(self.info.config_size).map_err(|_| DriverError::InvalidParam)?;
        if size == 0 {
            return Err(DriverError::ConfigSpaceMissing);
        }
        match offset.checked_add(len) {
            Some(end) if end <= size.min(CONFIG) => Ok(()),
            Some(_) | None => Err(DriverError::ConfigSpaceTooSmall),
        }
    }
}

impl Transport for MsgTransport<'_, '_> {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn read_device_features(&mut self) -> u64 {
        let words = self.feature_word(0).zip(self.feature_word(1));
        let features = words.and_then(|(low, high)| {
            Features::NONE.with_block(0, low).and_then(|all| all.with_block(1, high))
        });
        let features = features.unwrap_or(Features::NONE).get() & !self.withheld.get();
        self.offered = Features::from_raw(features);
        features
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        // The transport, not the driver, knows that addresses are bus addresses.
        let wanted =
            Features::from_raw(driver_features) | (self.offered & Features::ACCESS_PLATFORM);
        if !wanted.contains(Features::VERSION_1) {
            self.health.note(Error::peer(Rule::VersionOne));
        }
        let Some(words) = FeatureWords::collect([wanted.block(0), wanted.block(1)]) else { return };
        let answer = self.ask(Request::SetDriverFeatures(FeatureBlocks { index: 0, words }));
        if !matches!(answer, Some(Response::SetDriverFeatures) | None) {
            self.unfit::<()>(Rule::MessageKind);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        // 0 makes the driver give up with an error.
        self.queue(queue).map_or(0, |answer| answer.max_size)
    }

    fn notify(&mut self, queue: u16) {
        if !self.health.is_well() {
            return self.await_used(queue);
        }
        let rung = match self.kick {
            Kick::Doorbell(doorbells, peer) => doorbells.ring(peer),
            Kick::Gathered(gathered) => {
                gathered.note();
                Ok(())
            }
            Kick::Message => {
                let event = Request::EventAvail { index: u32::from(queue), next_offset: 0 };
                self.bus.event(self.dev_num, event)
            }
        };
        if let Err(error) = rung {
            self.health.note(error);
        }
        self.await_used(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        match self.ask(Request::GetDeviceStatus) {
            Some(Response::GetDeviceStatus(status)) => DeviceStatus::from_bits_retain(status.get()),
            Some(_) => {
                self.unfit::<()>(Rule::MessageKind);
                DeviceStatus::DEVICE_NEEDS_RESET
            }
            None => DeviceStatus::DEVICE_NEEDS_RESET,
        }
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let wanted = Status::from_raw(status.bits());
        if wanted.is_reset() {
            self.config.replace(None);
        }
        let answer = match self.ask(Request::SetDeviceStatus(wanted)) {
            Some(Response::SetDeviceStatus(answer)) => answer,
            Some(_) => return self.unfit::<()>(Rule::MessageKind).unwrap_or(()),
            None => return,
        };
        if wanted.is_reset() {
            self.forget_events();
        }
        if answer.contains(Status::NEEDS_RESET) {
            self.health.note(Error::peer(Rule::DeviceNeedsReset));
        } else if !answer.contains(wanted) {
            // A device that does not accept the features clears FEATURES_OK (virtio 1.3, 3.1.1).
            self.health.note(Error::peer(Rule::VersionOne));
        }
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {
        // Only legacy devices ask.
    }

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        let set = SetVqueue {
            index: u32::from(queue),
            flags: VqueueFlags::ENABLE,
            size,
            desc: BusAddr::from_raw(descriptors),
            driver: BusAddr::from_raw(driver_area),
            device: BusAddr::from_raw(device_area),
        };
        if let Some(place) = self.rings.get_mut(usize::from(queue)) {
            *place = limit::Rings::of(&set);
        }
        let answer = self.ask(Request::SetVqueue(set));
        if !matches!(answer, Some(Response::SetVqueue) | None) {
            self.unfit::<()>(Rule::MessageKind);
        }
    }

    fn queue_unset(&mut self, queue: u16) {
        // Asked even of a device that has failed: it may still be writing.
        let reset = Request::ResetVqueue { index: u32::from(queue) };
        match self.bus.request(self.dev_num, reset) {
            Ok(Response::ResetVqueue) => {}
            Ok(_) => self.health.note(Error::peer(Rule::MessageKind)),
            Err(error) => self.health.note(error),
        }
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        // "Used" makes the driver give up with an error.
        self.queue(queue).is_none_or(|answer| answer.enabled)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        // A doorbell says nothing but "look": the queue may always have something.
        let changed = self.take_events();
        let queue = InterruptStatus::QUEUE_INTERRUPT;
        if changed { queue | InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT } else { queue }
    }

    fn read_config_generation(&self) -> u32 {
        self.with_config(|config| config.generation).unwrap_or(0)
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> DriverResult<T> {
        self.config_range(offset, size_of::<T>())?;
        let value = self.with_config(|config| {
            let bytes = config.bytes.get(..config.len)?.get(offset..)?;
            T::read_from_prefix(bytes).ok().map(|(value, _)| value)
        });
        value.flatten().ok_or(DriverError::IoError)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> DriverResult<()> {
        self.config_range(offset, size_of::<T>())?;
        let data = ConfigBytes::new(value.as_bytes()).ok_or(DriverError::InvalidParam)?;
        let generation = self.read_config_generation();
        let offset = u32::try_from(offset).map_err(|_| DriverError::InvalidParam)?;
        let answer = self.ask(Request::SetConfig(ConfigData { generation, offset, data }));
        self.config.replace(None);
        match answer {
            Some(Response::SetConfig(written)) if written.data.len_bytes() > 0 => Ok(()),
            Some(_) | None => Err(DriverError::IoError),
        }
    }
}
