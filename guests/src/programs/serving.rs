//! Owns the loop of a backend VM that serves one device to VM 1: offers, messages, doorbells. Never knows
//! what the device is; never calls the partition while the driver is at work and nothing rang.

use crate::rt::{signal, time};
use crate::say;
use causeway_client::Error;
use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::{Bus, Incoming};
use causeway_client::doorbell::{Doorbells, bit_of};
use causeway_ffa::EndpointId;
use causeway_virtio::device::{DeviceModel, DeviceServer, Served};
use causeway_virtio::msg::{Body, BusRequest, Request};
use causeway_virtio::types::Status;

/// VM 1, the driver.
const DRIVER: EndpointId = EndpointId::from_raw(1);
/// How long this VM waits for anything to happen.
const IDLE_MILLIS: u64 = 30_000;

/// One device and its driver.
pub(super) struct Serving<'b, 'c, D, const QUEUES: usize> {
    bus: &'b Bus<'c>,
    doorbells: &'b Doorbells<'c>,
    backend: Backend<'c, 4>,
    server: DeviceServer<D, QUEUES>,
    /// The device's number on this VM's side of the link.
    number: u16,
    /// Whether the driver has bound an area.
    used: bool,
}

impl<'b, 'c, D: DeviceModel, const QUEUES: usize> Serving<'b, 'c, D, QUEUES> {
    /// Serves a device that has been announced under this number.
    pub(super) fn new(
        bus: &'b Bus<'c>,
        doorbells: &'b Doorbells<'c>,
        backend: Backend<'c, 4>,
        model: D,
        number: u16,
    ) -> Self {
        let server = DeviceServer::new(model);
        Self { bus, doorbells, backend, server, number, used: false }
    }

    /// Returns the device.
    pub(super) fn model(&self) -> &D {
        self.server.model()
    }

    /// Returns the device.
    pub(super) fn model_mut(&mut self) -> &mut D {
        self.server.model_mut()
    }

    /// Returns how often the driver was rung.
    pub(super) fn ring_count(&self) -> u64 {
        self.doorbells.ring_count()
    }

    /// Serves until the driver has unbound its last area, or nothing happened for too long. `turn`
    /// serves the queues and tells whether there was anything, or may be.
    pub(super) fn until_left(
        &mut self,
        mut turn: impl FnMut(&mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut last = time::now_micros();
        while !self.used || self.backend.held() > 0 {
            signal::fetch();
            let mut busy = signal::take_from_vms(bit_of(DRIVER)) != 0;
            // LIST is a call of the partition: only when it rang, or nothing is at work yet.
            if signal::take_from_partition() || !self.server.status().contains(Status::DRIVER_OK) {
                let admitted = self.backend.admit(|seen| {
                    if seen.owner == DRIVER { Verdict::Accept } else { Verdict::Reject }
                })?;
                busy |= admitted.accepted > 0;
            }
            while let Some(incoming) = self.bus.receive()? {
                self.take(&incoming)?;
                self.used |= self.backend.held() > 0;
                busy = true;
            }
            busy |= turn(self)?;
            let now = time::now_micros();
            if busy {
                last = now;
            } else if now.saturating_sub(last) > IDLE_MILLIS * 1000 {
                say!("nothing happened for {IDLE_MILLIS} ms");
                return Ok(());
            } else {
                time::rest();
            }
        }
        Ok(())
    }

    /// Carries out one message: areas are the backend's business, all else is the device's.
    fn take(&mut self, incoming: &Incoming) -> Result<(), Error> {
        if incoming.message.body == Body::BusRequest(BusRequest::Reset) {
            self.server.reset();
            self.backend.answer(incoming);
            return Ok(());
        }
        if let Some(response) = self.backend.answer(incoming) {
            return self.bus.respond(incoming, Body::BusResponse(response));
        }
        let memory = self.backend.memory(incoming.far);
        match self.server.answer(&memory, &incoming.message) {
            Some(answer) => self.bus.respond(incoming, answer.body),
            None if is_event(&incoming.message.body) => Ok(()),
            None => self.bus.refuse(incoming),
        }
    }

    /// Serves up to `budget` chains of a queue; a failure of the device is told to the driver. Where
    /// the result says so, [`Serving::ring`] is to be called before the next rest.
    pub(super) fn serve(&mut self, index: u16, budget: u32) -> Result<Served, Error> {
        let memory = self.backend.memory(DRIVER);
        let served = self.server.serve(&memory, index, budget);
        if let Some(event) = served.event {
            self.bus.event_to(self.number, DRIVER, Request::EventConfig(event))?;
        }
        Ok(served)
    }

    /// Rings the driver. One that has died takes no doorbell; the bus will say so.
    pub(super) fn ring(&self) {
        if let Err(error) = self.doorbells.ring(DRIVER) {
            say!("NOTE doorbell refused: {error}");
        }
    }

    /// Asks for a kick of a queue; true if there is something already that the device wants.
    pub(super) fn arm(&mut self, index: u16) -> bool {
        let memory = self.backend.memory(DRIVER);
        self.server.arm(&memory, index) && self.server.model().wants(index)
    }

    /// Tells the driver that a queue needs no kick now.
    pub(super) fn disarm(&mut self, index: u16) {
        let memory = self.backend.memory(DRIVER);
        self.server.disarm(&memory, index);
    }
}

/// Reports whether nobody waits for an answer.
pub(super) fn is_event(body: &Body) -> bool {
    match body {
        Body::Request(request) => request.is_event(),
        Body::BusRequest(BusRequest::EventDevice { .. } | BusRequest::EventAreaRelease { .. }) => {
            true
        }
        Body::BusRequest(_) => false,
        Body::Response(_) | Body::BusResponse(_) => true,
    }
}
