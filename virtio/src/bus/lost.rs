//! Owns what happens when somebody is lost: a VM, a grant, a FIFO, a message that had no room.
//! Never waits for anybody.

use super::event::bit;
use super::link::{AreaState, Presence};
use super::{Bus, Channel, Effect, Effects, FifoState, Touched};
use crate::fifo::Slot;
use crate::msg::{Body, BusRequest, DeviceState, Message, Request};
use causeway_ffa::{EndpointId, MemHandle};

impl<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> Bus<VMS, LINKS, DEVS, AREAS, QUEUES>
{
    /// Takes a VM's FIFO out of use; returns its area if it had one.
    fn take_fifo(&mut self, id: EndpointId) -> Option<MemHandle> {
        let vm = self.vm_mut(id)?;
        vm.stalled = false;
        match core::mem::replace(&mut vm.fifo, FifoState::Closed) {
            FifoState::Closed => None,
            FifoState::Opening { handle, .. } | FifoState::Open { handle } => Some(handle),
        }
    }

    /// Closes a VM's FIFO. A VM without FIFO serves no device, so its devices are lost; its own
    /// links as driver stay, for when it opens another one.
    pub(super) fn close_fifo(&mut self, vm: EndpointId, out: &mut Effects) {
        if let Some(handle) = self.take_fifo(vm) {
            out.push(Effect::CloseFifo { vm, handle });
        }
        self.lose_backend(vm);
    }

    fn lose_backend(&mut self, vm: EndpointId) {
        for link in self.links.iter_mut().flatten().filter(|link| link.backend == Some(vm)) {
            link.lose_backend();
        }
    }

    fn restart_driver(&mut self, vm: EndpointId) {
        for link in self.links.iter_mut().flatten().filter(|link| link.driver == vm) {
            link.restart();
        }
    }

    /// RESET: the VM begins anew, as driver and as backend. Its FIFO is closed unless it is how
    /// the answer must travel.
    pub(super) fn restart_vm(&mut self, vm: EndpointId, channel: Channel, out: &mut Effects) {
        match channel {
            Channel::Direct | Channel::LongDirect => self.close_fifo(vm, out),
            Channel::Fifo => self.lose_backend(vm),
        }
        if let Some(vm) = self.vm_mut(vm) {
            vm.events = None;
            vm.notified = false;
        }
        self.restart_driver(vm);
    }

    pub(super) fn vm_gone(&mut self, vm: EndpointId, out: &mut Effects) {
        self.close_fifo(vm, out);
        if let Some(vm) = self.vm_mut(vm) {
            vm.events = None;
            vm.notified = false;
        }
        self.restart_driver(vm);
    }

    /// A grant has ended: a FIFO in it is gone, areas in it are closed, and a device whose rings
    /// lie in it has failed.
    pub(super) fn grant_gone(
        &mut self,
        owner: EndpointId,
        handle: MemHandle,
        out: &mut Effects,
    ) -> Touched {
        let mut touched = Touched::No;
        let holds_fifo = self.vm(owner).is_some_and(|vm| match vm.fifo {
            FifoState::Closed => false,
            FifoState::Opening { handle: h, .. } | FifoState::Open { handle: h } => h == handle,
        });
        if holds_fifo && self.take_fifo(owner).is_some() {
            out.push(Effect::ForgetFifo { vm: owner });
            self.lose_backend(owner);
            touched = Touched::Yes;
        }
        for link in self.links.iter_mut().flatten().filter(|link| link.driver == owner) {
            let mut lost = false;
            for area in link.areas.iter_mut().flatten().filter(|area| area.handle == handle) {
                area.state = AreaState::Closed;
                area.told_in_use = false;
                lost = true;
            }
            if lost {
                link.fail_devices_in_closed_areas();
                touched = Touched::Yes;
            }
        }
        touched
    }

    /// A push found the VM's FIFO full. It gets nothing more on our own account until it looks.
    /// What we owed is owed again; a request that it did not get comes to nothing.
    pub(super) fn push_failed(&mut self, vm: EndpointId, slot: &Slot) {
        if let Some(vm) = self.vm_mut(vm) {
            vm.stalled = true;
        }
        let Ok(message) = Message::decode(slot.message_bytes()) else { return };
        match &message.body {
            Body::BusRequest(BusRequest::Reset) => {
                for link in self.links.iter_mut().flatten() {
                    link.owes_reset |= link.is_between(slot.far(), Some(vm));
                }
            }
            Body::BusRequest(BusRequest::EventDevice { dev_num, .. }) => {
                self.owe(vm, *dev_num, |device| {
                    // What is true now, which may be newer than what had no room.
                    let present = device.presence == Presence::Present;
                    let news = if present { DeviceState::Added } else { DeviceState::Removed };
                    device.owes_news = Some(news);
                });
            }
            Body::Request(Request::EventConfig(_)) => {
                self.owe(vm, message.dev_num, |device| device.owes_status = true);
            }
            Body::Request(Request::EventUsed { index }) => {
                self.owe(vm, message.dev_num, |device| device.owes_used |= bit(*index));
            }
            Body::Request(Request::EventAvail { index, .. }) => {
                let links = self.links.iter_mut().flatten();
                for link in links.filter(|link| link.is_between(slot.far(), Some(vm))) {
                    let device = link.device_of_backend(message.dev_num);
                    if let Some(device) = device.and_then(|at| link.device_mut(at)) {
                        device.owes_avail |= bit(*index);
                    }
                }
            }
            Body::Request(_) | Body::BusRequest(_) if message.token != 0 => {
                self.fail_token(Some(vm), message.token);
            }
            Body::Request(_) | Body::BusRequest(_) | Body::Response(_) | Body::BusResponse(_) => {
                self.drop_message();
            }
        }
    }

    fn owe(
        &mut self,
        driver: EndpointId,
        dev_num: u16,
        note: impl FnOnce(&mut super::link::Device<QUEUES>),
    ) {
        let links = self.links.iter_mut().flatten().filter(|link| link.driver == driver);
        let mut devices = links.flat_map(|link| link.devices.iter_mut().flatten());
        if let Some(device) = devices.find(|device| device.driver_num == dev_num) {
            note(device);
        }
    }
}
