//! Owns the way of events, which have no answer: they go on at once or not at all. Never stores one.

use super::link::{Link, Presence};
use super::{Bus, Effect, Effects};
use crate::fifo::Slot;
use crate::msg::{Body, BusRequest, Message, Request};
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
    /// Events go on at once or not at all: they have no answer.
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
            Body::Request(Request::EventAvail { .. }) => self.event_to_device(vm, message, out),
            Body::Request(_) | Body::BusRequest(_) => {
                self.event_to_driver(Some(vm), far, message, out);
            }
            Body::Response(_) | Body::BusResponse(_) => self.drop_message(),
        }
    }

    fn event_to_device(&mut self, driver: EndpointId, message: &Message, out: &mut Effects) {
        let target = self.find_device(driver, message.dev_num).and_then(|(link, device)| {
            let link = self.links.get(link)?.as_ref()?;
            let device = link.device(device)?;
            let live = device.presence == Presence::Present && !device.needs_reset;
            let reachable = link.backend.is_none_or(|backend| self.reachable(backend));
            (live && reachable && !link.owes_reset).then_some((link.backend, device.backend_num))
        });
        let Some((backend, dev_num)) = target else { return self.drop_message() };
        let message = Message { dev_num, token: 0, body: message.body }.encode();
        out.push(match backend {
            Some(vm) => Effect::Push { vm, slot: Slot::new(&message, driver) },
            None => Effect::CallLocal { driver, message },
        });
    }

    /// An event of a device goes to the driver that the trailer names, or to the first link that
    /// has the device.
    pub(super) fn event_to_driver(
        &mut self,
        backend: Option<EndpointId>,
        far: EndpointId,
        message: &Message,
        out: &mut Effects,
    ) {
        let any = far == EndpointId::default();
        let fits = |link: &Link<DEVS, AREAS, QUEUES>| {
            link.backend == backend && (any || link.driver == far)
        };
        let release = match &message.body {
            Body::BusRequest(BusRequest::EventAreaRelease { area }) => Some(*area),
            Body::BusRequest(_) | Body::Request(_) | Body::Response(_) | Body::BusResponse(_) => {
                None
            }
        };
        let mut target = None;
        for link in self.links.iter_mut().flatten().filter(|link| fits(link)) {
            let driver = link.driver;
            let dev_num = match release {
                Some(area) => link.area(area).map(|_| 0),
                None => link.device_of_backend(message.dev_num).and_then(|index| {
                    let device = link.device_mut(index)?;
                    if let Body::Request(Request::EventConfig(event)) = &message.body {
                        let keep = device.known_status().get() & Status::NEEDS_RESET.get();
                        device.status = event.status();
                        device.needs_reset |=
                            keep != 0 || event.status().contains(Status::NEEDS_RESET);
                    }
                    (device.presence == Presence::Present).then_some(device.driver_num)
                }),
            };
            if let Some(dev_num) = dev_num {
                target = Some((driver, dev_num));
                break;
            }
        }
        match target {
            Some((vm, dev_num)) if self.reachable(vm) => {
                let message = Message { dev_num, token: 0, body: message.body }.encode();
                out.push(Effect::Push { vm, slot: Slot::new(&message, EndpointId::default()) });
            }
            Some(_) | None => self.drop_message(),
        }
    }
}
