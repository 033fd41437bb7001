//! Owns the glue between the bus core and the machine. To be filled when the bus core is there.

use crate::dispatch;
use crate::partition::Partition;
use causeway_abi::{CallId, Frame, Reply, Status};
use causeway_ffa::EndpointId;
use causeway_memshare::{GrantId, Policy};

/// The bus and its FIFOs.
pub(crate) struct BusGlue;

impl BusGlue {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn configure(&mut self, _policy: &Policy) {}

    pub(crate) fn area_lost(&mut self, _grant: GrantId) {}
}

impl Partition {
    pub(crate) fn bus_frame(&mut self, _caller: EndpointId, frame: Frame) -> Frame {
        dispatch::refused_frame(&frame, Status::NoBus)
    }

    pub(crate) fn bus_kick(&mut self, _vm: EndpointId) -> Frame {
        Reply::refused(CallId::BusKick.number(), Status::NoBus).encode()
    }
}
