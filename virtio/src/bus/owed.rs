//! Owns what the bus owes to others after a step: failures, resets, news, notes on areas in use.
//! Bounded by the room in the effects; what does not fit is owed on. Never owes anything twice.

use super::link::{Device, Link, MOST_UNHEARD, Phase, take_bit};
use super::{Bus, Effect, Effects, FifoState, answer};
use crate::fifo::Slot;
use crate::msg::{Body, BusRequest, EventMethod, Message, Request};
use causeway_ffa::EndpointId;

/// A message of the bus itself, which nobody answers to anybody.
fn notice(vm: EndpointId, far: EndpointId, body: Body) -> Effect {
    let message = Message { dev_num: 0, token: 0, body };
    Effect::Push { vm, slot: Slot::new(&message.encode(), far) }
}

impl<const DEVS: usize, const AREAS: usize, const QUEUES: usize> Link<DEVS, AREAS, QUEUES> {
    /// Returns what to tell about the areas in which rings lie, or no longer lie.
    fn settle_areas(&mut self, out: &mut Effects) {
        for slot in 0..AREAS {
            let Some(Some(area)) = self.areas.get(slot) else { continue };
            let area = *area;
            let in_use = self.has_ring_in(area.id) && self.is_held(&area);
            if in_use == area.told_in_use {
                continue;
            }
            if !out.has_room() {
                return;
            }
            let (owner, handle) = (self.driver, area.handle);
            out.push(if in_use {
                Effect::AreaInUse { owner, handle }
            } else {
                Effect::AreaFree { owner, handle }
            });
            if let Some(Some(area)) = self.areas.get_mut(slot) {
                area.told_in_use = in_use;
            }
        }
    }

    /// A closed area is not held any more, whatever its rings.
    fn is_held(&self, area: &super::link::Area) -> bool {
        area.state != super::link::AreaState::Closed
    }
}

impl<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> Bus<VMS, LINKS, DEVS, AREAS, QUEUES>
{
    /// Adds what is owed to the effects of a step.
    pub(super) fn settle(&mut self, out: &mut Effects) {
        for index in 0..LINKS {
            if self.links.get(index).is_none_or(Option::is_none) {
                continue;
            }
            self.settle_failure(index, out);
            self.settle_reset(index, out);
            self.settle_kicks(index, out);
            if let Some(Some(link)) = self.links.get_mut(index) {
                link.settle_areas(out);
            }
        }
        for index in 0..VMS {
            self.settle_events(index, out);
        }
    }

    /// Tells a driver that its request came to nothing. One that asks by direct messages hears of
    /// it when it asks again.
    pub(super) fn settle_failure(&mut self, index: usize, out: &mut Effects) {
        let Some(Some(link)) = self.links.get_mut(index) else { return };
        let Some(flight) = link.flight else { return };
        if flight.phase != Phase::Failed || flight.via.is_direct() || !out.has_room() {
            return;
        }
        link.flight = None;
        let vm = link.driver;
        self.counters.failed = self.counters.failed.saturating_add(1);
        let open = self.vm(vm).is_some_and(|vm| matches!(vm.fifo, FifoState::Open { .. }));
        if open {
            let slot = Slot::new(&answer::failure(&flight).encode(), EndpointId::default());
            out.push(Effect::Push { vm, slot });
        }
    }

    /// Tells a device side that its driver begins anew. Nobody waits for the answer: what follows
    /// in the same FIFO is read after it.
    fn settle_reset(&mut self, index: usize, out: &mut Effects) {
        let Some(Some(link)) = self.links.get(index) else { return };
        if !link.owes_reset || link.unheard_by_backend >= MOST_UNHEARD {
            return;
        }
        let (driver, backend) = (link.driver, link.backend);
        let body = Body::BusRequest(BusRequest::Reset);
        let effect = match backend {
            Some(backend) => {
                let open =
                    self.vm(backend).is_some_and(|vm| matches!(vm.fifo, FifoState::Open { .. }));
                if open && !self.reachable(backend) {
                    return;
                }
                open.then(|| notice(backend, driver, body))
            }
            None => {
                let message = Message { dev_num: 0, token: 0, body }.encode();
                Some(Effect::CallLocal { driver, message })
            }
        };
        if let Some(effect) = effect {
            if !out.has_room() {
                return;
            }
            out.push(effect);
        }
        if let Some(Some(link)) = self.links.get_mut(index) {
            link.owes_reset = false;
            link.told_backend();
        }
        self.told = true;
    }

    /// Passes kicks on, as many as the device side may be sent now; the others wait as bits.
    fn settle_kicks(&mut self, index: usize, out: &mut Effects) {
        let owed = |device: &Device<QUEUES>| device.is_working() && device.owes_avail != 0;
        let Some(Some(link)) = self.links.get(index) else { return };
        if link.owes_reset || !link.devices.iter().flatten().any(owed) {
            return;
        }
        if !link.backend.is_none_or(|backend| self.reachable(backend)) {
            return;
        }
        let Some(Some(link)) = self.links.get_mut(index) else { return };
        for slot in 0..DEVS {
            while link.unheard_by_backend < MOST_UNHEARD {
                let Some(device) = link.device_mut(slot).filter(|device| owed(device)) else {
                    break;
                };
                if !out.has_room() {
                    return;
                }
                let Some(queue) = take_bit(&mut device.owes_avail) else { break };
                let body = Body::Request(Request::EventAvail { index: queue, next_offset: 0 });
                let message = Message { dev_num: device.backend_num, token: 0, body }.encode();
                link.told_backend();
                let driver = link.driver;
                out.push(match link.backend {
                    Some(vm) => Effect::Push { vm, slot: Slot::new(&message, driver) },
                    None => Effect::CallLocal { driver, message },
                });
            }
        }
    }

    /// Raises the notification of a driver that has something to ask for, once until it has asked
    /// for all of it.
    fn settle_notification(&mut self, index: usize, out: &mut Effects) {
        let Some(Some(vm)) = self.vms.get(index) else { return };
        let id = vm.id;
        if vm.notified || !self.owes_event(id) || !out.has_room() {
            return;
        }
        if let Some(Some(vm)) = self.vms.get_mut(index) {
            vm.notified = true;
            out.push(Effect::Notify { vm: id, notif_id: vm.notif_id });
        }
    }

    /// Pushes news to a driver that takes them through its FIFO.
    fn settle_events(&mut self, index: usize, out: &mut Effects) {
        let Some(Some(vm)) = self.vms.get(index) else { return };
        let id = vm.id;
        match vm.events {
            Some(EventMethod::Poll) => return,
            Some(EventMethod::Notification) => return self.settle_notification(index, out),
            Some(EventMethod::Fifo | EventMethod::Indirect) | None => {}
        }
        if !vm.is_reachable() {
            return;
        }
        while out.has_room() {
            let Some(event) = self.next_event(id, MOST_UNHEARD) else { return };
            let slot = Slot::new(&event.encode(), EndpointId::default());
            out.push(Effect::Push { vm: id, slot });
        }
    }
}
