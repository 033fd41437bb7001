//! Owns what a backend VM with one device does with a message; never decides when it looks for one.

use causeway_client::Error;
use causeway_client::backend::Backend;
use causeway_client::bus::{Bus, Incoming};
use causeway_virtio::device::{DeviceModel, DeviceServer};
use causeway_virtio::msg::{Body, BusRequest};

/// Carries out one message: areas are the backend's business, all else is the device's.
pub(super) fn take<D: DeviceModel, const AREAS: usize, const QUEUES: usize>(
    bus: &Bus<'_>,
    backend: &mut Backend<'_, AREAS>,
    server: &mut DeviceServer<D, QUEUES>,
    incoming: &Incoming,
) -> Result<(), Error> {
    if incoming.message.body == Body::BusRequest(BusRequest::Reset) {
        server.reset();
        backend.answer(incoming);
        return Ok(());
    }
    if let Some(response) = backend.answer(incoming) {
        return bus.respond(incoming, Body::BusResponse(response));
    }
    let memory = backend.memory(incoming.far);
    match server.answer(&memory, &incoming.message) {
        Some(answer) => bus.respond(incoming, answer.body),
        None if is_event(&incoming.message.body) => Ok(()),
        None => bus.refuse(incoming),
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
