//! Owns the state of one link: its devices, its areas, its one request in flight. Never talks to
//! anybody.

use super::{Channel, LinkPolicy, SetupError};
use crate::addr::{AreaId, BusAddr};
use crate::msg::{Body, DeviceInfo, DeviceState, Header, Message, Request};
use crate::queue::QueueSize;
use crate::types::{Features, Status};
use causeway_ffa::{EndpointId, MemHandle};

/// Whether a device can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Never announced, or removed in order.
    Absent,
    /// Announced by a living backend.
    Present,
    /// Its backend is gone.
    Lost,
}

/// Where a queue's rings lie, from SET_VQUEUE until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rings {
    pub(super) size: QueueSize,
    pub(super) desc: BusAddr,
    pub(super) driver: BusAddr,
    pub(super) device: BusAddr,
    pub(super) enabled: bool,
}

/// A device as the driver of this link sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device<const QUEUES: usize> {
    pub(super) driver_num: u16,
    pub(super) backend_num: u16,
    pub(super) presence: Presence,
    /// Cached: what the device is, once asked.
    pub(super) info: Option<DeviceInfo>,
    /// Cached: the feature blocks offered, once asked (bit n: block n is known).
    pub(super) offered: Features,
    pub(super) offered_blocks: u8,
    /// Features that the driver has set.
    pub(super) accepted: Features,
    /// Cached: the last status known.
    pub(super) status: Status,
    /// Status bits that the driver has asked for since its last reset. What a backend reports does
    /// not change them, so that no backend can talk away that its device was in use.
    pub(super) asked: Status,
    /// The device failed, its backend died, or it was withdrawn in use: only a reset goes on.
    pub(super) needs_reset: bool,
    pub(super) rings: [Option<Rings>; QUEUES],
    /// The driver has to hear of this.
    pub(super) owes_news: Option<DeviceState>,
    /// The driver has to hear of the status.
    pub(super) owes_status: bool,
    /// The generation in the device's last EVENT_CONFIG.
    pub(super) generation: u32,
    /// The driver has to hear of used buffers in these queues (bit n: queue n).
    pub(super) owes_used: u32,
    /// The device has to hear of available buffers in these queues.
    pub(super) owes_avail: u32,
}

/// Most messages that one side of a link is sent before it gives a sign of life (BUS_KICK). So no
/// link fills the FIFO of a VM that has others, however often its other side asks, resets or rings.
pub(super) const MOST_UNHEARD: u8 = 4;

/// Takes the lowest set bit.
pub(super) fn take_bit(bits: &mut u32) -> Option<u32> {
    let index = (*bits != 0).then(|| bits.trailing_zeros())?;
    *bits &= bits.wrapping_sub(1);
    Some(index)
}

impl<const QUEUES: usize> Device<QUEUES> {
    /// Forgets what the driver did.
    pub(super) fn reset(&mut self) {
        self.accepted = Features::NONE;
        self.status = Status::RESET;
        self.asked = Status::RESET;
        self.needs_reset = false;
        self.rings = [None; QUEUES];
        self.owes_status = false;
        self.owes_used = 0;
        self.owes_avail = 0;
    }

    /// Reports whether kicks make sense.
    pub(super) fn is_working(&self) -> bool {
        self.presence == Presence::Present && !self.needs_reset
    }

    /// What GET_DEVICE_STATUS says without asking anybody.
    pub(super) fn known_status(&self) -> Status {
        if self.needs_reset || self.presence == Presence::Lost {
            self.status | Status::NEEDS_RESET
        } else {
            self.status
        }
    }

    /// Reports whether the driver has begun to use the device.
    pub(super) fn is_in_use(&self) -> bool {
        !self.asked.is_reset() || self.has_rings()
    }

    /// Reports whether a queue was set up and not reset.
    pub(super) fn has_rings(&self) -> bool {
        self.rings.iter().any(Option::is_some)
    }

    /// The device failed under a driver that may use it: only a reset goes on.
    pub(super) fn broke(&mut self) {
        if self.is_in_use() {
            self.needs_reset = true;
            self.owes_status = self.asked.contains(Status::DRIVER_OK);
        }
    }

    /// The backend has withdrawn the device. A driver that used it must reset it should it return,
    /// whether or not it hears of the time between.
    pub(super) fn withdraw(&mut self) {
        self.broke();
        self.presence = Presence::Absent;
        self.rings = [None; QUEUES];
        self.owes_status = false;
        self.owes_used = 0;
        self.owes_avail = 0;
        self.owes_news = Some(DeviceState::Removed);
    }

    /// The backend has announced the device.
    pub(super) fn announce(&mut self) {
        if self.presence == Presence::Absent {
            self.owes_status = self.needs_reset && self.asked.contains(Status::DRIVER_OK);
        }
        self.presence = Presence::Present;
        self.owes_news = Some(DeviceState::Added);
    }
}

/// How far an area id is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AreaState {
    /// AREA_SHARE is with the backend.
    Binding,
    /// The backend has it.
    Bound,
    /// AREA_UNSHARE is with the backend.
    Unbinding,
    /// Let go. The id waits until the grant has ended and every queue of the link is reset.
    Closed,
}

/// An area of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) id: AreaId,
    pub(super) handle: MemHandle,
    pub(super) generation: u32,
    pub(super) page_count: u32,
    pub(super) writable: bool,
    pub(super) state: AreaState,
    /// The last that was said about rings in it: [`Effect::AreaInUse`](super::Effect::AreaInUse).
    pub(super) told_in_use: bool,
}

/// How far the request in flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The device side has it.
    Sent,
    /// It came to nothing; the driver has to hear of it.
    Failed,
    /// The answer waits for the driver to ask again (direct messages only).
    Answered(Message),
}

/// The one request of a link that the device side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    /// The bus's own token.
    pub(super) token: u16,
    /// The driver's message.
    pub(super) ask: Message,
    pub(super) header: Header,
    /// Which of the link's devices; none for messages about areas.
    pub(super) device: Option<usize>,
    pub(super) via: Channel,
    pub(super) deadline: u64,
    pub(super) phase: Phase,
}

/// One driver with one device side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link<const DEVS: usize, const AREAS: usize, const QUEUES: usize> {
    pub(super) driver: EndpointId,
    pub(super) backend: Option<EndpointId>,
    pub(super) devices: [Option<Device<QUEUES>>; DEVS],
    pub(super) areas: [Option<Area>; AREAS],
    pub(super) flight: Option<Flight>,
    /// The device side has to hear that the driver starts anew.
    pub(super) owes_reset: bool,
    /// Messages for the backend since it last gave a sign of life.
    pub(super) unheard_by_backend: u8,
    /// Events for the driver since it last gave a sign of life.
    pub(super) unheard_by_driver: u8,
}

impl<const DEVS: usize, const AREAS: usize, const QUEUES: usize> Link<DEVS, AREAS, QUEUES> {
    pub(super) const fn new(driver: EndpointId, backend: Option<EndpointId>) -> Self {
        Self {
            driver,
            backend,
            devices: [const { None }; DEVS],
            areas: [None; AREAS],
            flight: None,
            owes_reset: false,
            unheard_by_backend: 0,
            unheard_by_driver: 0,
        }
    }

    pub(super) fn is_between(&self, driver: EndpointId, backend: Option<EndpointId>) -> bool {
        self.driver == driver && self.backend == backend
    }

    pub(super) fn add_device(&mut self, policy: LinkPolicy) -> Result<(), SetupError> {
        // A device of the partition is there from the beginning.
        let presence = if policy.backend.is_none() { Presence::Present } else { Presence::Absent };
        let place = self.devices.iter_mut().find(|d| d.is_none()).ok_or(SetupError::NoRoom)?;
        *place = Some(Device {
            driver_num: policy.driver_dev,
            backend_num: policy.backend_dev,
            presence,
            info: None,
            offered: Features::NONE,
            offered_blocks: 0,
            accepted: Features::NONE,
            status: Status::RESET,
            asked: Status::RESET,
            needs_reset: false,
            rings: [None; QUEUES],
            owes_news: None,
            owes_status: false,
            generation: 0,
            owes_used: 0,
            owes_avail: 0,
        });
        Ok(())
    }

    pub(super) fn device_of_driver(&self, number: u16) -> Option<usize> {
        self.devices.iter().position(|d| d.as_ref().is_some_and(|d| d.driver_num == number))
    }

    pub(super) fn device_of_backend(&self, number: u16) -> Option<usize> {
        self.devices.iter().position(|d| d.as_ref().is_some_and(|d| d.backend_num == number))
    }

    pub(super) fn device(&self, index: usize) -> Option<&Device<QUEUES>> {
        self.devices.get(index)?.as_ref()
    }

    pub(super) fn device_mut(&mut self, index: usize) -> Option<&mut Device<QUEUES>> {
        self.devices.get_mut(index)?.as_mut()
    }

    pub(super) fn area_mut(&mut self, id: AreaId) -> Option<&mut Area> {
        self.areas.iter_mut().flatten().find(|area| area.id == id)
    }

    pub(super) fn area(&self, id: AreaId) -> Option<&Area> {
        self.areas.iter().flatten().find(|area| area.id == id)
    }

    /// Returns every queue that was set up and not reset.
    pub(super) fn rings(&self) -> impl Iterator<Item = &Rings> + '_ {
        self.devices.iter().flatten().flat_map(|device| device.rings.iter().flatten())
    }

    /// Reports whether a part of a ring lies in the area.
    pub(super) fn has_ring_in(&self, id: AreaId) -> bool {
        self.rings().any(|r| [r.desc, r.driver, r.device].iter().any(|at| at.area() == Some(id)))
    }

    pub(super) const fn deadline(&self) -> Option<u64> {
        match &self.flight {
            Some(Flight { phase: Phase::Sent, deadline, .. }) => Some(*deadline),
            Some(_) | None => None,
        }
    }

    /// Forgets what the driver did on this link; the device side is told. Area ids stay taken
    /// until their grants have ended.
    pub(super) fn restart(&mut self) {
        let touched = self.areas.iter().any(Option::is_some)
            || self.flight.is_some()
            || self.devices.iter().flatten().any(Device::is_in_use);
        self.owes_reset |= touched;
        self.flight = None;
        for device in self.devices.iter_mut().flatten() {
            device.reset();
            device.owes_news = None;
        }
        for area in self.areas.iter_mut().flatten() {
            area.state = AreaState::Closed;
        }
    }

    /// The device side is gone: its answers will not come, its rings are dead.
    pub(super) fn lose_backend(&mut self) {
        self.owes_reset = false;
        self.unheard_by_backend = 0;
        self.fail_flight();
        for device in self.devices.iter_mut().flatten() {
            device.owes_avail = 0;
            if device.presence == Presence::Present {
                device.presence = Presence::Lost;
                device.broke();
            }
            device.rings = [None; QUEUES];
        }
        for area in self.areas.iter_mut().flatten() {
            area.state = AreaState::Closed;
        }
    }

    /// The request in flight comes to nothing. Where the device side may have carried it out
    /// without our knowing, the careful case is assumed.
    pub(super) fn fail_flight(&mut self) {
        let Some(flight) = self.flight.as_mut() else { return };
        if flight.phase != Phase::Sent {
            return;
        }
        flight.phase = Phase::Failed;
        let flight = *flight;
        self.assume_the_worst(&flight);
    }

    fn assume_the_worst(&mut self, flight: &Flight) {
        use crate::msg::BusRequest as Bus;
        match &flight.ask.body {
            // The rings may be in use.
            Body::Request(Request::SetVqueue(set)) => {
                let packed = flight.device.and_then(|at| self.merged(at, set));
                if let (Some(at), Some(rings)) = (flight.device, packed) {
                    self.set_rings(at, set.index, Some(rings));
                    self.fail_devices_in_closed_areas();
                }
            }
            // Nobody knows which ring format the device will read.
            Body::Request(Request::SetDriverFeatures(_)) => {
                if let Some(device) = flight.device.and_then(|at| self.device_mut(at)) {
                    device.needs_reset = true;
                }
            }
            // The area may be mapped: the id stays taken until the grant has ended.
            Body::BusRequest(Bus::AreaShare(share)) => {
                if let Some(area) = self.area_mut(share.area) {
                    area.state = AreaState::Closed;
                }
            }
            // The area may still be mapped: the driver may ask again.
            Body::BusRequest(Bus::AreaUnshare { area }) => {
                if let Some(area) = self.area_mut(*area) {
                    area.state = AreaState::Bound;
                }
            }
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {}
        }
    }

    /// A device whose rings lie in an area that is no longer bound has failed.
    pub(super) fn fail_devices_in_closed_areas(&mut self) {
        let areas = &self.areas;
        let closed = |at: BusAddr| {
            areas
                .iter()
                .flatten()
                .any(|area| at.area() == Some(area.id) && area.state == AreaState::Closed)
        };
        for device in self.devices.iter_mut().flatten() {
            let mut rings = device.rings.iter().flatten();
            if rings.any(|r| [r.desc, r.driver, r.device].into_iter().any(closed)) {
                device.broke();
            }
        }
    }

    /// A VM gave a sign of life: it has seen what it was sent. Returns how much that was.
    pub(super) fn heard(&mut self, vm: EndpointId) -> u8 {
        let mut unheard = 0;
        if self.backend == Some(vm) {
            unheard |= core::mem::take(&mut self.unheard_by_backend);
        }
        if self.driver == vm {
            unheard |= core::mem::take(&mut self.unheard_by_driver);
        }
        unheard
    }

    /// Counts a message for the device side; a device of the partition hears at once.
    pub(super) const fn told_backend(&mut self) {
        if self.backend.is_some() {
            self.unheard_by_backend = self.unheard_by_backend.saturating_add(1);
        }
    }

    pub(super) fn set_rings(&mut self, device: usize, index: u32, rings: Option<Rings>) {
        let queue = usize::try_from(index).ok();
        if let (Some(device), Some(queue)) = (self.device_mut(device), queue)
            && let Some(place) = device.rings.get_mut(queue)
        {
            *place = rings;
        }
    }
}
