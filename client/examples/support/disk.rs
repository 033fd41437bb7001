//! Owns a backend VM that serves a disk with the project's own device model. Never the other side.

use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::{Bus, Incoming};
use causeway_client::doorbell::Doorbells;
use causeway_client::memory::Mapper;
use causeway_client::{Bound, Connection, Error, Wait};
use causeway_ffa::EndpointId;
use causeway_virtio::device::DeviceServer;
use causeway_virtio::device::block::{Block, SliceMedium};
use causeway_virtio::msg::{Body, BusRequest, DeviceState};

use super::vm::Vm;

/// The front end.
pub(crate) const DRIVER: EndpointId = EndpointId::from_raw(1);

/// A disk in memory, served to VM 1.
pub(crate) struct DiskVm<'c, 'm> {
    connection: &'c Connection<'c>,
    bus: Bus<'c>,
    areas: Backend<'c, 4>,
    disk: DeviceServer<Block<SliceMedium<'m>>, 1>,
}

impl<'c, 'm> DiskVm<'c, 'm> {
    /// Opens the bus and announces device 0.
    pub(crate) fn open(
        vm: &Vm,
        connection: &'c Connection<'c>,
        mapper: &'c dyn Mapper,
        medium: &'m mut [u8],
        wait: &'c dyn Wait,
    ) -> Result<Self, Error> {
        Doorbells::new(connection).bind(DRIVER)?;
        let bus = Bus::open(connection, vm.pages(2), wait, Bound::millis(100));
        let bus = bus.map_err(|failed| failed.error)?;
        bus.announce(0, DeviceState::Added)?;
        let disk = DeviceServer::new(Block::new(SliceMedium::new(medium), [b'd'; 20]));
        Ok(Self { connection, bus, areas: Backend::new(connection, mapper), disk })
    }

    /// Takes up offers, answers messages, serves requests.
    pub(crate) fn turn(&mut self) -> Result<(), Error> {
        self.areas.admit(|seen| match seen.owner {
            DRIVER => Verdict::Accept,
            _ => Verdict::Reject,
        })?;
        while let Some(incoming) = self.bus.receive()? {
            self.answer(&incoming)?;
        }
        let memory = self.areas.memory(DRIVER);
        let served = self.disk.serve(&memory, 0, 64);
        if served.notify {
            Doorbells::new(self.connection).ring(DRIVER)?;
        }
        self.disk.arm(&memory, 0);
        Ok(())
    }

    fn answer(&mut self, incoming: &Incoming) -> Result<(), Error> {
        if incoming.message.body == Body::BusRequest(BusRequest::Reset) {
            self.disk.reset();
        }
        if let Some(response) = self.areas.answer(incoming) {
            return self.bus.respond(incoming, Body::BusResponse(response));
        }
        let memory = self.areas.memory(incoming.far);
        match self.disk.answer(&memory, &incoming.message) {
            Some(answer) => self.bus.respond(incoming, answer.body),
            None if is_request(&incoming.message.body) => self.bus.refuse(incoming),
            None => Ok(()),
        }
    }

    /// Gives the bus back.
    pub(crate) fn close(self) -> Result<(), Error> {
        drop(self.areas);
        self.bus.close().map(|_| ()).map_err(|failed| failed.error)
    }
}

/// Whether somebody waits for an answer.
pub(crate) fn is_request(body: &Body) -> bool {
    match body {
        Body::Request(request) => !request.is_event(),
        Body::BusRequest(BusRequest::Reset | BusRequest::EventDevice { .. }) => false,
        Body::BusRequest(_) => true,
        Body::Response(_) | Body::BusResponse(_) => false,
    }
}
