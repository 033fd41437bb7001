//! Owns the virtio life of one device on one link: status, features, queues. Turns messages into
//! calls of the model; never sends anything by itself.

use super::{Applied, DeviceModel};
use crate::mem::AreaMap;
use crate::msg::{
    BlockRange, Body, ConfigBytes, ConfigData, ConfigEvent, ConfigRange, DeviceInfo, FeatureBlocks,
    FeatureWords, Message, Request, Response, SetVqueue, Shm, Vqueue, VqueueFlags,
};
use crate::queue::{DeviceQueue, QueueConfig, QueueError, QueueSize};
use crate::types::{Features, Status};

/// What the server offers beside the model's own features.
const TRANSPORT_FEATURES: Features = Features::from_raw(
    Features::VERSION_1.get()
        | Features::ACCESS_PLATFORM.get()
        | Features::INDIRECT_DESC.get()
        | Features::EVENT_IDX.get()
        | Features::RING_PACKED.get()
        | Features::IN_ORDER.get()
        | Features::RING_RESET.get(),
);

/// What came of serving a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Served {
    /// Requests completed.
    pub requests: u32,
    /// Whether the driver must be told of them.
    pub notify: bool,
    /// An event to send to the driver: the device has failed.
    pub event: Option<ConfigEvent>,
}

impl Served {
    const NOTHING: Self = Self { requests: 0, notify: false, event: None };
}

/// How one queue was set up.
#[derive(Clone, Debug)]
struct Slot {
    settings: Vqueue,
    queue: Option<DeviceQueue>,
}

/// One device as one driver sees it, with at most `QUEUES` queues.
///
/// One server serves one link. A device that several drivers use has one server per link.
#[derive(Debug)]
pub struct DeviceServer<D, const QUEUES: usize> {
    model: D,
    status: Status,
    features: Features,
    generation: u32,
    slots: [Slot; QUEUES],
}

impl<D: DeviceModel, const QUEUES: usize> DeviceServer<D, QUEUES> {
    /// Wraps a model; the device is reset.
    pub fn new(model: D) -> Self {
        let slots = core::array::from_fn(|_| Slot { settings: Vqueue::default(), queue: None });
        Self { model, status: Status::RESET, features: Features::NONE, generation: 0, slots }
    }

    /// Returns the model.
    pub const fn model(&self) -> &D {
        &self.model
    }

    /// Returns the model.
    pub const fn model_mut(&mut self) -> &mut D {
        &mut self.model
    }

    /// Returns the device status.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns what the device offers.
    pub fn offered(&self) -> Features {
        let rings = TRANSPORT_FEATURES.get() & self.model.ring_features().get();
        self.model.features() | Features::from_raw(rings)
    }

    /// Resets the device: its queues are gone. Also for a driver that died.
    pub fn reset(&mut self) {
        self.status = Status::RESET;
        self.features = Features::NONE;
        for slot in &mut self.slots {
            *slot = Slot { settings: Vqueue::default(), queue: None };
        }
        self.model.reset();
    }

    /// Returns how a queue was set up, once it may be served: the driver is ready and the queue is
    /// enabled. For models whose queues somebody else serves.
    #[must_use]
    pub fn queue_config(&self, index: u16) -> Option<QueueConfig> {
        if !self.status.contains(Status::DRIVER_OK) || self.status.contains(Status::NEEDS_RESET) {
            return None;
        }
        let slot = self.slots.get(usize::from(index)).filter(|slot| slot.queue.is_some())?;
        let Vqueue { cur_size, desc, driver, device, .. } = slot.settings;
        let size = QueueSize::from_wire(cur_size)?;
        Some(QueueConfig { size, desc, driver, device, features: self.features })
    }

    /// Notes that the configuration space changed; returns the event for the driver.
    pub fn config_changed(&mut self) -> Option<ConfigEvent> {
        self.generation = self.generation.wrapping_add(1);
        self.status
            .contains(Status::DRIVER_OK)
            .then(|| ConfigEvent::of_status(self.status, self.generation))
    }

    /// Answers a request with its device number and token. `None` for events, answers, and
    /// requests that are malformed or not possible now: virtio-msg has no reply for these, and
    /// the bus reports the failure ([`Message::error_for`]).
    pub fn answer<M: AreaMap + ?Sized>(&mut self, mem: &M, message: &Message) -> Option<Message> {
        let Body::Request(request) = &message.body else { return None };
        let response = self.respond(mem, request)?;
        Some(Message { body: Body::Response(response), ..*message })
    }

    fn respond<M: AreaMap + ?Sized>(&mut self, mem: &M, request: &Request) -> Option<Response> {
        match request {
            Request::GetDeviceInfo => Some(Response::GetDeviceInfo(self.info())),
            Request::GetDeviceFeatures(range) => {
                self.feature_blocks(*range).map(Response::GetDeviceFeatures)
            }
            Request::SetDriverFeatures(blocks) => {
                self.set_features(blocks).map(|()| Response::SetDriverFeatures)
            }
            Request::GetConfig(range) => self.read_config(*range).map(Response::GetConfig),
            Request::SetConfig(config) => self.write_config(config).map(Response::SetConfig),
            Request::GetDeviceStatus => Some(Response::GetDeviceStatus(self.status)),
            Request::SetDeviceStatus(status) => {
                self.set_status(*status);
                Some(Response::SetDeviceStatus(self.status))
            }
            Request::GetVqueue { index } => Some(Response::GetVqueue(self.vqueue(*index))),
            Request::SetVqueue(set) => self.set_vqueue(mem, set).map(|()| Response::SetVqueue),
            Request::ResetVqueue { index } => {
                let slot = self.slot_mut(*index)?;
                *slot = Slot { settings: Vqueue::default(), queue: None };
                Some(Response::ResetVqueue)
            }
            Request::GetShm { shmid } => {
                Some(Response::GetShm(Shm { shmid: *shmid, len: 0, address: 0 }))
            }
            Request::EventConfig(_) | Request::EventAvail { .. } | Request::EventUsed { .. } => {
                None
            }
        }
    }

    fn info(&self) -> DeviceInfo {
        let identity = self.model.identity();
        DeviceInfo {
            device_id: identity.device.get(),
            vendor_id: identity.vendor,
            uuid: identity.uuid,
            num_feature_blocks: 2,
            config_size: self.model.config_len(),
            max_virtqueues: self.queue_count(),
            admin_vq_start: 0,
            admin_vq_count: 0,
        }
    }

    fn queue_count(&self) -> u32 {
        let room = u32::try_from(QUEUES).unwrap_or(u32::MAX);
        u32::from(self.model.queue_count()).min(room)
    }

    fn feature_blocks(&self, range: BlockRange) -> Option<FeatureBlocks> {
        let end = range.index.checked_add(range.count)?;
        if usize::try_from(range.count).ok()? > FeatureWords::MAX {
            return None;
        }
        let offered = self.offered();
        let words = FeatureWords::collect((range.index..end).map(|i| offered.block(i)))?;
        Some(FeatureBlocks { index: range.index, words })
    }

    fn set_features(&mut self, blocks: &FeatureBlocks) -> Option<()> {
        if self.status.contains(Status::FEATURES_OK) {
            return None;
        }
        let mut features = self.features;
        let mut index = blocks.index;
        for word in blocks.words.as_slice() {
            features = features.with_block(index, *word)?;
            index = index.saturating_add(1);
        }
        self.features = features;
        Some(())
    }

    /// Takes a status from the driver. Bits are never cleared but by a reset, FEATURES_OK stays
    /// clear if the features do not suit, and DRIVER_OK without it (virtio 1.3, 2.1 and 3.1).
    fn set_status(&mut self, wanted: Status) {
        if wanted.is_reset() {
            self.reset();
            return;
        }
        let mut next = Status::from_raw(self.status.get() | wanted.get());
        let newly = |bit: Status| next.contains(bit) && !self.status.contains(bit);
        let without = |status: Status, bit: Status| Status::from_raw(status.get() & !bit.get());
        let start = newly(Status::FEATURES_OK);
        if newly(Status::NEEDS_RESET) {
            next = without(next, Status::NEEDS_RESET);
        }
        if start && !self.features_suit() {
            next = without(next, Status::FEATURES_OK);
        }
        if !next.contains(Status::FEATURES_OK) {
            next = without(next, Status::DRIVER_OK);
        }
        if start && next.contains(Status::FEATURES_OK) {
            self.model.start(self.features);
        }
        self.status = next;
    }

    /// ACCESS_PLATFORM is offered but not demanded: drivers that leave their addresses to their
    /// transport (virtio-drivers) do not know it.
    fn features_suit(&self) -> bool {
        self.offered().contains(self.features) && self.features.contains(Features::VERSION_1)
    }

    fn read_config(&self, range: ConfigRange) -> Option<ConfigData> {
        let len = usize::try_from(range.len).ok()?;
        self.config_holds(range.offset, range.len)?;
        let mut bytes = [0; ConfigBytes::MAX];
        let into = bytes.get_mut(..len)?;
        self.model.read_config(range.offset, into);
        let data = ConfigBytes::new(into)?;
        Some(ConfigData { generation: self.generation, offset: range.offset, data })
    }

    fn write_config(&mut self, config: &ConfigData) -> Option<ConfigData> {
        self.config_holds(config.offset, config.data.len_bytes())?;
        let current = config.generation == self.generation;
        let applied = current
            && self.model.write_config(config.offset, config.data.as_slice()) == Applied::Yes;
        let data = if applied { config.data } else { ConfigBytes::EMPTY };
        Some(ConfigData { generation: self.generation, offset: config.offset, data })
    }

    fn config_holds(&self, offset: u32, len: u32) -> Option<()> {
        (offset.checked_add(len)? <= self.model.config_len()).then_some(())
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        if index >= self.queue_count() {
            return None;
        }
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    fn vqueue(&self, index: u32) -> Vqueue {
        let absent = Vqueue { index, ..Vqueue::default() };
        if index >= self.queue_count() {
            return absent;
        }
        let (Ok(at), Ok(number)) = (usize::try_from(index), u16::try_from(index)) else {
            return absent;
        };
        self.slots.get(at).map_or(absent, |slot| Vqueue {
            index,
            max_size: u32::from(self.model.max_queue_size(number).get()),
            ..slot.settings
        })
    }

    /// Applies SET_VQUEUE whole or not at all. An enabled queue must be reset before it changes.
    fn set_vqueue<M: AreaMap + ?Sized>(&mut self, mem: &M, set: &SetVqueue) -> Option<()> {
        let now = self.vqueue(set.index);
        let keep = |bit: VqueueFlags| set.flags.contains(bit);
        let merged = Vqueue {
            index: set.index,
            max_size: 0,
            cur_size: if keep(VqueueFlags::IGNORE_SIZE) { now.cur_size } else { set.size },
            enabled: set.flags.enable().unwrap_or(now.enabled),
            desc: if keep(VqueueFlags::IGNORE_DESC) { now.desc } else { set.desc },
            driver: if keep(VqueueFlags::IGNORE_DRIVER) { now.driver } else { set.driver },
            device: if keep(VqueueFlags::IGNORE_DEVICE) { now.device } else { set.device },
        };
        if now.enabled {
            let same = Vqueue { max_size: now.max_size, ..merged } == now;
            return same.then_some(());
        }
        if merged.cur_size > now.max_size {
            return None;
        }
        let features = self.features;
        let negotiated = self.status.contains(Status::FEATURES_OK);
        let slot = self.slot_mut(set.index)?;
        let queue = if merged.enabled {
            let size = QueueSize::from_wire(merged.cur_size).filter(|_| negotiated)?;
            let (desc, driver, device) = (merged.desc, merged.driver, merged.device);
            let config = QueueConfig { size, desc, driver, device, features };
            Some(DeviceQueue::new(mem, config).ok()?)
        } else {
            None
        };
        *slot = Slot { settings: merged, queue };
        Some(())
    }

    /// Runs `work` on a queue that is in use; an error makes the device need a reset.
    fn with_queue<T>(
        &mut self,
        index: u16,
        work: impl FnOnce(&mut D, &mut DeviceQueue) -> Result<T, QueueError>,
    ) -> Result<Option<T>, ConfigEvent> {
        if !self.status.contains(Status::DRIVER_OK) || self.status.contains(Status::NEEDS_RESET) {
            return Ok(None);
        }
        let slot = self.slots.get_mut(usize::from(index));
        let Some(queue) = slot.and_then(|slot| slot.queue.as_mut()) else { return Ok(None) };
        work(&mut self.model, queue).map(Some).map_err(|_| self.fail())
    }

    /// Marks the device as failed and returns the event that says so.
    pub fn fail(&mut self) -> ConfigEvent {
        self.status = self.status | Status::NEEDS_RESET;
        ConfigEvent::of_status(self.status, self.generation)
    }

    /// To be called when areas of the link have gone: a queue that is enabled and whose rings are no
    /// longer all mapped makes the device need a reset. Returns the event that says so.
    pub fn lost_areas<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Option<ConfigEvent> {
        let features = self.features;
        let lost = self.slots.iter().filter(|slot| slot.queue.is_some()).any(|slot| {
            let Vqueue { cur_size, desc, driver, device, .. } = slot.settings;
            let size = QueueSize::from_wire(cur_size);
            size.is_none_or(|size| {
                let config = QueueConfig { size, desc, driver, device, features };
                DeviceQueue::new(mem, config).is_err()
            })
        });
        lost.then(|| self.fail())
    }

    /// Serves up to `budget` requests of a queue. Nothing happens unless the driver is set up and
    /// the queue enabled.
    pub fn serve<M: AreaMap + ?Sized>(&mut self, mem: &M, index: u16, budget: u32) -> Served {
        let result = self.with_queue(index, |model, queue| {
            let requests = model.serve(mem, index, queue, budget)?;
            Ok(Served { requests, notify: queue.should_notify(mem)?, event: None })
        });
        match result {
            Ok(served) => served.unwrap_or(Served::NOTHING),
            Err(event) => Served { event: Some(event), ..Served::NOTHING },
        }
    }

    /// Asks for a kick before sleeping. Returns whether work has come already; a queue that
    /// fails here has none, and the next [`DeviceServer::status`] says so.
    pub fn arm<M: AreaMap + ?Sized>(&mut self, mem: &M, index: u16) -> bool {
        self.with_queue(index, |_, queue| queue.arm(mem)) == Ok(Some(true))
    }

    /// Tells the driver that no kick is needed while the device is awake.
    pub fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M, index: u16) {
        // A failure shows in the status.
        let (Ok(_) | Err(_)) = self.with_queue(index, |_, queue| queue.disarm(mem));
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
