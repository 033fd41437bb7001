//! Owns the way of an answer back to the driver: it must be the answer to what was asked, of the
//! one who was asked. Never lets a token of the device side through.

use super::link::{AreaState, Device, Flight, Link, Phase, Presence};
use super::{Bus, Channel, Effect, Effects};
use crate::fifo::Slot;
use crate::msg::{
    BlockRange, Body, BusRequest, BusResponse, BusResult, Encoded, FeatureBlocks, FeatureWords,
    Message, Request, Response,
};
use crate::types::Status;
use causeway_ffa::EndpointId;

/// Reports whether `answer` is an answer to `ask`: same message, same object, no more than asked
/// for. The sizes of all parts were checked when it was decoded.
fn answers(ask: &Body, answer: &Body) -> bool {
    match (ask, answer) {
        (Body::Request(ask), Body::Response(answer)) => device_answers(ask, answer),
        (
            Body::BusRequest(BusRequest::AreaShare(ask)),
            Body::BusResponse(BusResponse::AreaShare { area, .. }),
        ) => ask.area == *area,
        (
            Body::BusRequest(BusRequest::AreaUnshare { area: asked }),
            Body::BusResponse(BusResponse::AreaUnshare { area, .. }),
        ) => asked == area,
        (_, _) => false,
    }
}

fn device_answers(ask: &Request, answer: &Response) -> bool {
    match (ask, answer) {
        (Request::GetDeviceInfo, Response::GetDeviceInfo(_))
        | (Request::SetDriverFeatures(_), Response::SetDriverFeatures)
        | (Request::GetDeviceStatus, Response::GetDeviceStatus(_))
        | (Request::SetDeviceStatus(_), Response::SetDeviceStatus(_))
        | (Request::SetVqueue(_), Response::SetVqueue)
        | (Request::ResetVqueue { .. }, Response::ResetVqueue) => true,
        (Request::GetDeviceFeatures(ask), Response::GetDeviceFeatures(got)) => {
            ask.index == got.index && got.words.count() <= ask.count
        }
        (Request::GetConfig(ask), Response::GetConfig(got)) => {
            ask.offset == got.offset && got.data.len_bytes() <= ask.len
        }
        (Request::SetConfig(ask), Response::SetConfig(got)) => {
            ask.offset == got.offset && got.data.len_bytes() <= ask.data.len_bytes()
        }
        (Request::GetVqueue { index }, Response::GetVqueue(got)) => *index == got.index,
        (Request::GetShm { shmid }, Response::GetShm(got)) => *shmid == got.shmid,
        (_, _) => false,
    }
}

impl<const QUEUES: usize> Device<QUEUES> {
    /// Answers GET_DEVICE_FEATURES from what was asked before; `None` for blocks never seen.
    pub(super) fn known_features(&self, range: BlockRange) -> Option<FeatureBlocks> {
        let end = range.index.checked_add(range.count)?;
        if usize::try_from(range.count).ok()? > FeatureWords::MAX {
            return None;
        }
        let known = |index: u32| index > 1 || self.offered_blocks & (1 << index) != 0;
        if !(range.index..end).all(known) {
            return None;
        }
        let words = FeatureWords::collect((range.index..end).map(|i| self.offered.block(i)))?;
        Some(FeatureBlocks { index: range.index, words })
    }

    fn note_features(&mut self, blocks: &FeatureBlocks) {
        for (word, index) in blocks.words.as_slice().iter().zip(blocks.index..2) {
            self.offered = self.offered.with_block(index, *word).unwrap_or(self.offered);
            self.offered_blocks |= 1 << index;
        }
    }

    /// Keeps what an answer tells about the device.
    fn note(&mut self, ask: &Request, answer: &Response) {
        match (ask, answer) {
            (_, Response::GetDeviceInfo(info)) => self.info = Some(*info),
            (_, Response::GetDeviceFeatures(blocks)) => self.note_features(blocks),
            (Request::SetDriverFeatures(blocks), Response::SetDriverFeatures) => {
                let indices = blocks.index..=u32::MAX;
                for (word, index) in blocks.words.as_slice().iter().zip(indices) {
                    self.accepted = self.accepted.with_block(index, *word).unwrap_or(self.accepted);
                }
            }
            (_, Response::GetConfig(config) | Response::SetConfig(config)) => {
                self.generation = config.generation;
            }
            (_, Response::GetDeviceStatus(status)) => self.status = *status,
            (Request::SetDeviceStatus(wanted), Response::SetDeviceStatus(status)) => {
                if wanted.is_reset() && status.is_reset() {
                    self.reset();
                }
                self.status = *status;
            }
            (_, _) => {}
        }
        if self.status.contains(Status::NEEDS_RESET) {
            self.needs_reset = true;
        }
    }
}

impl<const DEVS: usize, const AREAS: usize, const QUEUES: usize> Link<DEVS, AREAS, QUEUES> {
    /// Carries out what a checked answer means for the link. Returns false if the request came to
    /// nothing all the same, because an area that it needs was lost meanwhile.
    fn note(&mut self, flight: &Flight, answer: &Body) -> bool {
        match (&flight.ask.body, answer) {
            (Body::Request(ask), Body::Response(response)) => {
                let Some(index) = flight.device else { return true };
                match ask {
                    Request::SetVqueue(set) => {
                        let rings = self.merged(index, set);
                        self.set_rings(index, set.index, rings);
                        self.fail_devices_in_closed_areas();
                        return self.device(index).is_some_and(|device| !device.needs_reset);
                    }
                    Request::ResetVqueue { index: queue } => self.set_rings(index, *queue, None),
                    Request::GetDeviceInfo
                    | Request::GetDeviceFeatures(_)
                    | Request::SetDriverFeatures(_)
                    | Request::GetConfig(_)
                    | Request::SetConfig(_)
                    | Request::GetDeviceStatus
                    | Request::SetDeviceStatus(_)
                    | Request::GetVqueue { .. }
                    | Request::GetShm { .. }
                    | Request::EventConfig(_)
                    | Request::EventAvail { .. }
                    | Request::EventUsed { .. } => {}
                }
                if let Some(device) = self.device_mut(index) {
                    device.note(ask, response);
                }
            }
            (_, Body::BusResponse(BusResponse::AreaShare { area, result })) => match result {
                BusResult::Ok => {
                    self.set_area(*area, AreaState::Bound);
                    return self.area(*area).is_some_and(|a| a.state == AreaState::Bound);
                }
                BusResult::Error | BusResult::Busy => self.forget_area(*area),
            },
            (_, Body::BusResponse(BusResponse::AreaUnshare { area, result })) => match result {
                BusResult::Ok => self.close_area(*area),
                BusResult::Error | BusResult::Busy => self.set_area(*area, AreaState::Bound),
            },
            (_, _) => {}
        }
        true
    }

    /// Moves an area on, unless its grant has ended meanwhile.
    fn set_area(&mut self, id: crate::addr::AreaId, state: AreaState) {
        if let Some(area) = self.area_mut(id)
            && area.state != AreaState::Closed
        {
            area.state = state;
        }
    }

    /// Lets an area go. Its id waits for the end of the grant.
    pub(super) fn close_area(&mut self, id: crate::addr::AreaId) {
        if let Some(area) = self.area_mut(id) {
            area.state = AreaState::Closed;
        }
    }

    /// Forgets an area that the device side never took.
    pub(super) fn forget_area(&mut self, id: crate::addr::AreaId) {
        for area in &mut self.areas {
            if area.is_some_and(|a| a.id == id) {
                *area = None;
            }
        }
    }

    /// The device side did not carry out the request and says so.
    fn declined(&mut self, flight: &Flight) {
        match &flight.ask.body {
            Body::BusRequest(BusRequest::AreaShare(share)) => self.forget_area(share.area),
            Body::BusRequest(BusRequest::AreaUnshare { area }) => {
                self.set_area(*area, AreaState::Bound);
            }
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {}
        }
    }
}

/// Returns the message that tells a driver that its request came to nothing.
pub(super) fn failure(flight: &Flight) -> Message {
    let token = flight.header.token;
    let bus = |response| Message { dev_num: 0, token, body: Body::BusResponse(response) };
    match &flight.ask.body {
        Body::BusRequest(BusRequest::AreaShare(share)) => {
            bus(BusResponse::AreaShare { area: share.area, result: BusResult::Error })
        }
        Body::BusRequest(BusRequest::AreaUnshare { area }) => {
            bus(BusResponse::AreaUnshare { area: *area, result: BusResult::Error })
        }
        Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
            Message::error_for(&flight.header)
        }
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
    fn link_of_token(
        &mut self,
        backend: Option<EndpointId>,
        token: u16,
    ) -> Option<&mut Link<DEVS, AREAS, QUEUES>> {
        let waits = |flight: &Flight| flight.token == token && flight.phase == Phase::Sent;
        self.links
            .iter_mut()
            .flatten()
            .find(|link| link.backend == backend && link.flight.as_ref().is_some_and(waits))
    }

    /// The device side answered a token with something that is no answer.
    pub(super) fn fail_token(&mut self, backend: Option<EndpointId>, token: u16) {
        match self.link_of_token(backend, token) {
            Some(link) => link.fail_flight(),
            None => self.drop_message(),
        }
    }

    /// A device of the partition answers, or has an event.
    pub(super) fn local_message(
        &mut self,
        driver: EndpointId,
        message: &Encoded,
        out: &mut Effects,
    ) {
        let Ok(message) = Message::decode(message.bytes()) else { return self.drop_message() };
        match &message.body {
            Body::Response(_) | Body::BusResponse(_) => {
                self.answer_of_device(None, Some(driver), &message, out);
            }
            Body::BusRequest(BusRequest::EventDevice { dev_num, state }) => {
                if !self.device_news(None, *dev_num, *state) {
                    self.drop_message();
                }
            }
            Body::Request(_) | Body::BusRequest(_) => {
                self.event_to_driver(None, driver, &message, out);
            }
        }
    }

    /// An answer of a device side. Unasked-for and late ones are dropped; one that does not fit
    /// ends its request with an error.
    pub(super) fn answer_of_device(
        &mut self,
        backend: Option<EndpointId>,
        driver: Option<EndpointId>,
        answer: &Message,
        out: &mut Effects,
    ) {
        let Some(link) = self.link_of_token(backend, answer.token) else {
            return self.drop_message();
        };
        let Some(flight) = link.flight else { return };
        let (dev_num, driver_num) = flight
            .device
            .and_then(|index| link.device(index))
            .map_or((0, 0), |device| (device.backend_num, device.driver_num));
        let declines = matches!(
            &answer.body,
            Body::BusResponse(BusResponse::Error { original_msg_id })
                if *original_msg_id == u16::from(flight.header.msg_id)
        );
        let fits = declines || answers(&flight.ask.body, &answer.body);
        if !fits || answer.dev_num != dev_num || driver.is_some_and(|d| d != link.driver) {
            link.fail_flight();
            if let (None, true, vm) = (backend, flight.via.is_direct(), link.driver) {
                link.flight = None;
                self.refuse(vm, flight.via, &flight.header, out);
            }
            return;
        }
        let message = if declines {
            link.declined(&flight);
            failure(&flight)
        } else if !link.note(&flight, &answer.body) {
            failure(&flight)
        } else {
            let dev_num = if flight.device.is_some() { driver_num } else { 0 };
            Message { dev_num, token: flight.header.token, body: answer.body }
        };
        let vm = link.driver;
        match flight.via {
            Channel::Fifo => {
                link.flight = None;
                out.push(Effect::Push {
                    vm,
                    slot: Slot::new(&message.encode(), EndpointId::default()),
                });
            }
            Channel::Direct | Channel::LongDirect if backend.is_none() => {
                // The driver's direct message still waits for its reply.
                link.flight = None;
                self.respond(vm, flight.via, &message, out);
            }
            Channel::Direct | Channel::LongDirect => {
                link.flight = Some(Flight { phase: Phase::Answered(message), ..flight });
            }
        }
        let count = if declines { &mut self.counters.failed } else { &mut self.counters.answered };
        *count = count.saturating_add(1);
    }

    /// Ends the requests whose time is up.
    pub(super) fn expire(&mut self, now: u64) {
        for link in self.links.iter_mut().flatten() {
            if link.deadline().is_some_and(|deadline| deadline <= now) {
                link.fail_flight();
            }
        }
    }

    /// Reports whether a driver's device is there: for tests and figures.
    #[must_use]
    pub fn is_present(&self, driver: EndpointId, dev_num: u16) -> bool {
        self.links.iter().flatten().filter(|link| link.driver == driver).any(|link| {
            let index = link.device_of_driver(dev_num);
            index
                .and_then(|index| link.device(index))
                .is_some_and(|device| device.presence == Presence::Present)
        })
    }
}
