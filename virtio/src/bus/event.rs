//! Owns the way of events. What they say is noted in a bit or a flag and goes on when the receiver
//! has room, so none is lost and none piles up. Never stores a message.

use super::link::{Device, MOST_UNHEARD, Presence, take_bit};
use super::{Bus, Effect, Effects};
use crate::fifo::Slot;
use crate::msg::{Body, BusRequest, ConfigEvent, EventMethod, Message, Request};
use crate::types::Status;
use causeway_ffa::EndpointId;

impl<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> Bus<VMS, LINKS, DEVS, AREAS, QUEUES>
{
    /// Takes an event of a VM, as driver or as device side.
    pub(super) fn event(
        &mut self,
        vm: EndpointId,
        far: EndpointId,
        message: &Message,
        out: &mut Effects,
    ) {
        match &message.body {
            Body::BusRequest(BusRequest::EventDevice { dev_num, state }) => {
                if !self.device_news(Some(vm), *dev_num, *state) {
                    self.drop_message();
                }
            }
            Body::Request(Request::EventAvail { index, .. }) => {
                self.event_to_device(vm, message.dev_num, *index);
            }
            Body::Request(_) | Body::BusRequest(_) => {
                self.event_to_driver(Some(vm), far, message, out);
            }
            Body::Response(_) | Body::BusResponse(_) => self.drop_message(),
        }
    }

    /// Notes a kick. It goes on with what is owed; several for one queue become one.
    fn event_to_device(&mut self, driver: EndpointId, dev_num: u16, index: u32) {
        let found = self.find_device(driver, dev_num);
        let link = found.and_then(|(at, _)| self.links.get_mut(at)).and_then(Option::as_mut);
        let device = link.zip(found).and_then(|(link, (_, at))| link.device_mut(at));
        match device.filter(|device| device.is_working() && bit(index) != 0) {
            Some(device) => device.owes_avail |= bit(index),
            None => self.drop_message(),
        }
    }

    /// An event of a device goes to the driver that the trailer names, or to the first link that
    /// has the device. Used buffers and a changed status are noted and go on with what is owed.
    pub(super) fn event_to_driver(
        &mut self,
        backend: Option<EndpointId>,
        far: EndpointId,
        message: &Message,
        out: &mut Effects,
    ) {
        let any = far == EndpointId::default();
        let mut push = None;
        let mut taken = false;
        for link in self.links.iter_mut().flatten() {
            if link.backend != backend || !(any || link.driver == far) {
                continue;
            }
            let driver = link.driver;
            if let Body::BusRequest(BusRequest::EventAreaRelease { area }) = &message.body {
                push = link.area(*area).map(|_| (driver, None));
            } else {
                let Some(index) = link.device_of_backend(message.dev_num) else { continue };
                let Some(device) = link.device_mut(index) else { continue };
                taken = device.note_event(&message.body);
                if device.owes_data(&message.body) {
                    push = Some((driver, Some(device.driver_num)));
                }
            }
            if push.is_some() || taken {
                break;
            }
        }
        if let Some((driver, dev_num)) = push {
            self.push_event(driver, backend, dev_num, message, out);
        } else if !taken {
            self.drop_message();
        }
    }

    /// Pushes an event that carries more than a bit, if the driver may be sent one now.
    fn push_event(
        &mut self,
        vm: EndpointId,
        backend: Option<EndpointId>,
        dev_num: Option<u16>,
        message: &Message,
        out: &mut Effects,
    ) {
        let reachable = self.reachable(vm) && !self.polls(vm);
        let link = self.links.iter_mut().flatten().find(|link| link.is_between(vm, backend));
        match link {
            Some(link) if reachable && link.unheard_by_driver < MOST_UNHEARD => {
                link.unheard_by_driver = link.unheard_by_driver.saturating_add(1);
                let device = dev_num.and_then(|number| link.device_of_driver(number));
                if let Some(device) = device.and_then(|at| link.device_mut(at)) {
                    device.owes_status = false;
                }
                let dev_num = dev_num.unwrap_or(0);
                let message = Message { dev_num, token: 0, body: message.body }.encode();
                out.push(Effect::Push { vm, slot: Slot::new(&message, EndpointId::default()) });
            }
            Some(_) | None => {}
        }
    }

    /// Reports whether a driver asks for its events itself.
    pub(super) fn polls(&self, id: EndpointId) -> bool {
        self.vm(id).is_some_and(|vm| match vm.events {
            Some(EventMethod::Poll | EventMethod::Notification) => true,
            Some(EventMethod::Fifo | EventMethod::Indirect) | None => false,
        })
    }

    /// Reports whether a driver has something to hear.
    pub(super) fn owes_event(&self, driver: EndpointId) -> bool {
        let links = self.links.iter().flatten().filter(|link| link.driver == driver);
        links.flat_map(|link| link.devices.iter().flatten()).any(Device::owes_event)
    }

    /// Takes the next event that a driver has to hear of, from links whose driver was sent fewer
    /// than `limit` since it last gave a sign of life.
    pub(super) fn next_event(&mut self, driver: EndpointId, limit: u8) -> Option<Message> {
        for link in self.links.iter_mut().flatten() {
            if link.driver != driver || link.unheard_by_driver >= limit {
                continue;
            }
            if let Some(event) = link.devices.iter_mut().flatten().find_map(Device::next_event) {
                link.unheard_by_driver = link.unheard_by_driver.saturating_add(1);
                return Some(event);
            }
        }
        None
    }
}

impl<const QUEUES: usize> Device<QUEUES> {
    /// Notes what an event of the device says; false if it has no meaning here.
    fn note_event(&mut self, body: &Body) -> bool {
        if self.presence != Presence::Present {
            return false;
        }
        match body {
            Body::Request(Request::EventConfig(event)) => {
                let failed = self.known_status().contains(Status::NEEDS_RESET)
                    || event.status().contains(Status::NEEDS_RESET);
                self.status = event.status();
                self.needs_reset |= failed;
                self.generation = event.config().generation;
                self.owes_status = true;
                true
            }
            Body::Request(Request::EventUsed { index }) => {
                self.owes_used |= bit(*index);
                bit(*index) != 0
            }
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
                false
            }
        }
    }

    /// Reports whether an event that was noted carries data that only the message itself holds. If
    /// it cannot be sent on now, the driver hears of the status and reads the rest.
    fn owes_data(&self, body: &Body) -> bool {
        match body {
            Body::Request(Request::EventConfig(event)) => {
                self.owes_status && !event.config().data.as_slice().is_empty()
            }
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
                false
            }
        }
    }

    const fn owes_event(&self) -> bool {
        self.owes_news.is_some() || self.owes_status || self.owes_used != 0
    }

    fn next_event(&mut self) -> Option<Message> {
        let dev_num = self.driver_num;
        if let Some(state) = self.owes_news.take() {
            let body = Body::BusRequest(BusRequest::EventDevice { dev_num, state });
            return Some(Message { dev_num: 0, token: 0, body });
        }
        let request = if core::mem::take(&mut self.owes_status) {
            let event = ConfigEvent::of_status(self.known_status(), self.generation);
            Request::EventConfig(event)
        } else {
            Request::EventUsed { index: take_bit(&mut self.owes_used)? }
        };
        Some(Message { dev_num, token: 0, body: Body::Request(request) })
    }
}

/// The bit that stands for a queue; none for queues that no bit can stand for.
pub(super) fn bit(index: u32) -> u32 {
    1_u32.checked_shl(index).unwrap_or(0)
}
