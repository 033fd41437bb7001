//! Owns the way of a driver's request to its device side: who may ask what, and under which token
//! it goes on. Never believes an answer (that is answer.rs).

use super::area::AreaPlace;
use super::link::{AreaState, Flight, MOST_UNHEARD, Phase, Presence};
use super::local::verdict;
use super::{Bus, Channel, Effect, Effects, FifoState, GrantView};
use crate::addr::AreaId;
use crate::fifo::Slot;
use crate::msg::dialect::{Dialect, is_tokenless_version, tokenless_version_answer};
use crate::msg::{
    AreaShare, Body, BusRequest, BusResponse, BusResult, Header, Message, Request, Response,
};
use causeway_ffa::EndpointId;

/// A request of a driver on its way.
#[derive(Clone, Copy)]
struct Asked {
    now: u64,
    vm: EndpointId,
    channel: Channel,
    header: Header,
    message: Message,
}

/// What is to be done with a request for a device.
enum Course {
    Forward,
    Answer(Response),
    Refuse,
}

impl<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> Bus<VMS, LINKS, DEVS, AREAS, QUEUES>
{
    /// Takes a direct message: 40 or 112 bytes, as `channel` says.
    pub(super) fn frame<G: GrantView + ?Sized>(
        &mut self,
        now: u64,
        vm: EndpointId,
        channel: Channel,
        bytes: &[u8],
        grants: &G,
        out: &mut Effects,
    ) {
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(_) => return self.no_header(vm, channel, bytes, out),
        };
        let message = match Message::decode(bytes) {
            Ok(message) if self.vm(vm).is_some() => message,
            Ok(_) | Err(_) => return self.refuse(vm, channel, &header, out),
        };
        let is_event = match &message.body {
            Body::Request(request) => request.is_event(),
            Body::BusRequest(request) => request.is_event(),
            Body::Response(_) | Body::BusResponse(_) => {
                return self.refuse(vm, channel, &header, out);
            }
        };
        if is_event {
            let body = Body::BusResponse(BusResponse::EventAck);
            self.event(vm, EndpointId::default(), &message, out);
            let ack = Message { dev_num: 0, token: header.token, body };
            return self.respond(vm, channel, &ack, out);
        }
        let asked = Asked { now, vm, channel, header, message };
        if !self.asked_again(&asked, out) {
            self.request(&asked, grants, out);
        }
    }

    /// Answers a direct message without a header of ours: VERSION of a driver that knows no tokens
    /// in its own layout, anything else with ERROR.
    fn no_header(&mut self, vm: EndpointId, channel: Channel, bytes: &[u8], out: &mut Effects) {
        if is_tokenless_version(bytes) && self.vm(vm).is_some() {
            let answer = tokenless_version_answer(&self.config.version(Dialect::Rfc2025, AREAS));
            return self.respond_raw(channel, &answer, out);
        }
        let msg_id = bytes.get(1).copied().unwrap_or(0);
        let kind = crate::msg::Kind::BusRequest;
        let header = Header { kind, msg_id, dev_num: 0, token: 0, msg_size: 0 };
        self.refuse(vm, channel, &header, out);
    }

    pub(super) fn fifo_message<G: GrantView + ?Sized>(
        &mut self,
        now: u64,
        vm: EndpointId,
        slot: &Slot,
        grants: &G,
        out: &mut Effects,
    ) {
        let open = self.vm(vm).is_some_and(|vm| matches!(vm.fifo, FifoState::Open { .. }));
        let bytes = slot.message_bytes();
        let (true, Ok(header)) = (open, Header::decode(bytes)) else {
            return self.drop_message();
        };
        let Ok(message) = Message::decode(bytes) else {
            return self.malformed(vm, &header, out);
        };
        let is_event = match &message.body {
            Body::Request(request) => request.is_event(),
            Body::BusRequest(request) => request.is_event(),
            Body::Response(_) | Body::BusResponse(_) => {
                return self.answer_of_device(Some(vm), None, &message, out);
            }
        };
        if is_event {
            return self.event(vm, slot.far(), &message, out);
        }
        let asked = Asked { now, vm, channel: Channel::Fifo, header, message };
        self.request(&asked, grants, out);
    }

    /// A request that makes no sense is refused by its header; an answer ends what it answers.
    fn malformed(&mut self, vm: EndpointId, header: &Header, out: &mut Effects) {
        use crate::msg::Kind;
        match header.kind {
            Kind::Request | Kind::BusRequest if !header.is_event() => {
                self.refuse(vm, Channel::Fifo, header, out);
            }
            Kind::Request | Kind::BusRequest => self.drop_message(),
            Kind::Response | Kind::BusResponse => self.fail_token(Some(vm), header.token),
        }
    }

    fn request<G: GrantView + ?Sized>(&mut self, asked: &Asked, grants: &G, out: &mut Effects) {
        match &asked.message.body {
            Body::Request(request) => self.device_request(asked, request, grants, out),
            Body::BusRequest(BusRequest::AreaShare(share)) => {
                self.share(asked, share, grants, out);
            }
            Body::BusRequest(BusRequest::AreaUnshare { area }) => self.unshare(asked, *area, out),
            Body::BusRequest(request) => {
                let Asked { vm, channel, header, .. } = asked;
                if self.answer_locally(*vm, *channel, header, request, grants, out).is_none() {
                    self.refuse(*vm, *channel, header, out);
                }
            }
            Body::Response(_) | Body::BusResponse(_) => self.drop_message(),
        }
    }

    fn device_request<G: GrantView + ?Sized>(
        &mut self,
        asked: &Asked,
        request: &Request,
        grants: &G,
        out: &mut Effects,
    ) {
        let Some((link, device)) = self.find_device(asked.vm, asked.message.dev_num) else {
            return self.refuse(asked.vm, asked.channel, &asked.header, out);
        };
        match self.course(link, device, request, grants) {
            Course::Forward => {
                if matches!(request, Request::SetDeviceStatus(status) if status.is_reset()) {
                    self.supersede(link, device, out);
                }
                self.forward(asked, link, Some(device), out);
            }
            Course::Answer(response) => {
                let message = Message { body: Body::Response(response), ..asked.message };
                self.respond(asked.vm, asked.channel, &message, out);
            }
            Course::Refuse => self.refuse(asked.vm, asked.channel, &asked.header, out),
        }
    }

    /// Finds a device by the number that its driver uses.
    pub(super) fn find_device(&self, driver: EndpointId, number: u16) -> Option<(usize, usize)> {
        self.links.iter().enumerate().find_map(|(index, link)| {
            let link = link.as_ref().filter(|link| link.driver == driver)?;
            let device = link.device_of_driver(number)?;
            Some((index, device))
                .filter(|_| link.device(device).is_some_and(|d| d.presence != Presence::Absent))
        })
    }

    /// Decides what becomes of a request for a device.
    fn course<G: GrantView + ?Sized>(
        &self,
        link: usize,
        index: usize,
        request: &Request,
        grants: &G,
    ) -> Course {
        let Some(link) = self.links.get(link).and_then(Option::as_ref) else {
            return Course::Refuse;
        };
        let Some(device) = link.device(index) else { return Course::Refuse };
        if device.presence == Presence::Lost {
            return Self::course_without_backend(device, request);
        }
        let reset = matches!(request, Request::SetDeviceStatus(status) if status.is_reset());
        match request {
            Request::GetDeviceStatus if device.needs_reset => {
                Course::Answer(Response::GetDeviceStatus(device.known_status()))
            }
            Request::SetDeviceStatus(_) if device.needs_reset && !reset => {
                Course::Answer(Response::SetDeviceStatus(device.known_status()))
            }
            Request::SetVqueue(_)
            | Request::SetDriverFeatures(_)
            | Request::SetConfig(_)
            | Request::ResetVqueue { .. }
                if device.needs_reset =>
            {
                Course::Refuse
            }
            // The format of a ring that was checked does not change under it.
            Request::SetDriverFeatures(blocks) if device.has_rings() || !blocks.is_in_range() => {
                Course::Refuse
            }
            Request::SetVqueue(set) => match link.merged(index, set) {
                Some(rings) if link.rings_are_granted(index, &rings, grants) => Course::Forward,
                Some(_) | None => Course::Refuse,
            },
            Request::GetDeviceInfo
            | Request::GetDeviceFeatures(_)
            | Request::SetDriverFeatures(_)
            | Request::GetConfig(_)
            | Request::SetConfig(_)
            | Request::GetDeviceStatus
            | Request::SetDeviceStatus(_)
            | Request::GetVqueue { .. }
            | Request::ResetVqueue { .. }
            | Request::GetShm { .. } => Course::Forward,
            Request::EventConfig(_) | Request::EventAvail { .. } | Request::EventUsed { .. } => {
                Course::Refuse
            }
        }
    }

    /// The backend is dead: what is known is answered at once, the rest is an error.
    fn course_without_backend(device: &super::link::Device<QUEUES>, request: &Request) -> Course {
        match request {
            Request::GetDeviceInfo => match device.info {
                Some(info) => Course::Answer(Response::GetDeviceInfo(info)),
                None => Course::Refuse,
            },
            Request::GetDeviceFeatures(range) => match device.known_features(*range) {
                Some(blocks) => Course::Answer(Response::GetDeviceFeatures(blocks)),
                None => Course::Refuse,
            },
            Request::GetDeviceStatus => {
                Course::Answer(Response::GetDeviceStatus(device.known_status()))
            }
            Request::SetDeviceStatus(_) => {
                Course::Answer(Response::SetDeviceStatus(device.known_status()))
            }
            Request::SetDriverFeatures(_)
            | Request::GetConfig(_)
            | Request::SetConfig(_)
            | Request::GetVqueue { .. }
            | Request::SetVqueue(_)
            | Request::ResetVqueue { .. }
            | Request::GetShm { .. }
            | Request::EventConfig(_)
            | Request::EventAvail { .. }
            | Request::EventUsed { .. } => Course::Refuse,
        }
    }

    /// Passes a request on under the bus's own token, or refuses it.
    fn forward(&mut self, asked: &Asked, index: usize, device: Option<usize>, out: &mut Effects) {
        match self.send(asked, index, device) {
            Some(effect) => {
                out.push(effect);
                // A device of the partition answers before this step's effects have ended.
                let local = self.links.get(index).and_then(Option::as_ref);
                if local.is_some_and(|link| link.backend.is_some()) {
                    Self::not_ready(asked.channel, out);
                }
            }
            None => self.refuse(asked.vm, asked.channel, &asked.header, out),
        }
    }

    /// A device is reset while it has a request of its driver: that request comes to nothing, its
    /// driver hears so, and should an answer come, its token means nothing any more.
    fn supersede(&mut self, index: usize, device: usize, out: &mut Effects) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(flight) = link.flight else { return };
        if flight.phase != Phase::Sent || flight.device != Some(device) {
            return;
        }
        link.fail_flight();
        if flight.via.is_direct() {
            // Whoever asks directly hears of it by asking again, and asks for something else now.
            link.flight = None;
        } else {
            self.settle_failure(index, out);
        }
    }

    /// Stores the request and returns the message for the device side; `None` if the link is busy
    /// or the device side out of reach: then nothing changed.
    fn send(&mut self, asked: &Asked, index: usize, device: Option<usize>) -> Option<Effect> {
        if !self.is_free(index) {
            return None;
        }
        let token = self.new_token();
        let deadline = asked.now.saturating_add(self.config.answer_ticks);
        let link = self.links.get_mut(index)?.as_mut()?;
        let dev_num = match device {
            Some(device) => link.device(device)?.backend_num,
            None => 0,
        };
        let message = Message { dev_num, token, body: asked.message.body }.encode();
        link.flight = Some(Flight {
            token,
            ask: asked.message,
            header: asked.header,
            device,
            via: asked.channel,
            deadline,
            phase: Phase::Sent,
        });
        if let Body::Request(Request::SetDeviceStatus(status)) = &asked.message.body
            && let Some(device) = device.and_then(|at| link.device_mut(at))
        {
            device.asked = device.asked | *status;
        }
        link.told_backend();
        self.counters.forwarded = self.counters.forwarded.saturating_add(1);
        Some(match link.backend {
            Some(vm) => Effect::Push { vm, slot: Slot::new(&message, link.driver) },
            None => Effect::CallLocal { driver: link.driver, message },
        })
    }

    /// Reports whether a link can take a request: none in flight, and the device side can be told.
    fn is_free(&self, index: usize) -> bool {
        let Some(link) = self.links.get(index).and_then(Option::as_ref) else { return false };
        let reachable = link.backend.is_none_or(|backend| self.reachable(backend));
        let heard = link.unheard_by_backend < MOST_UNHEARD;
        // An answer that nobody fetched makes way for the next request of its link.
        let unfetched = |flight: &Flight| flight.via.is_direct() && flight.phase != Phase::Sent;
        let idle = link.flight.as_ref().is_none_or(unfetched);
        idle && !link.owes_reset && reachable && heard
    }

    /// Makes a token that no request in flight has; never 0, so that an event's is none.
    fn new_token(&mut self) -> u16 {
        let mut token = self.last_token;
        for _ in 0..=LINKS {
            token = token.checked_add(1).unwrap_or(1);
            let used = |flight: &Flight| flight.token == token;
            if !self.links.iter().flatten().any(|l| l.flight.as_ref().is_some_and(used)) {
                break;
            }
        }
        self.last_token = token;
        token
    }

    fn share<G: GrantView + ?Sized>(
        &mut self,
        asked: &Asked,
        share: &AreaShare,
        grants: &G,
        out: &mut Effects,
    ) {
        let answer = |result| BusResponse::AreaShare { area: share.area, result };
        let Some(place) = self.place_for_area(asked.vm, share, grants) else {
            return self.answer_bus(asked, answer(BusResult::Error), out);
        };
        let AreaPlace { link, slot, area } = place;
        if !self.is_free(link) {
            return self.answer_bus(asked, answer(BusResult::Busy), out);
        }
        // An id that waited on another link for the end of its grant is of this link from now on.
        for other in self.links.iter_mut().flatten().filter(|other| other.driver == asked.vm) {
            other.forget_area(area.id);
        }
        if let Some(link) = self.links.get_mut(link).and_then(Option::as_mut)
            && let Some(entry) = link.areas.get_mut(slot)
        {
            *entry = Some(area);
        }
        self.forward(asked, link, None, out);
    }

    fn unshare(&mut self, asked: &Asked, id: AreaId, out: &mut Effects) {
        let answer = |result| BusResponse::AreaUnshare { area: id, result };
        let found = self.link_of_area(asked.vm, id);
        let link = found.and_then(|index| self.links.get(index)).and_then(Option::as_ref);
        let known = found.zip(link.and_then(|link| link.area(id)));
        let (Some((index, area)), Some(link)) = (known, link) else {
            return self.answer_bus(asked, answer(BusResult::Error), out);
        };
        let gone = link.backend.is_some_and(|backend| {
            !self.vm(backend).is_some_and(|vm| matches!(vm.fifo, FifoState::Open { .. }))
        });
        if area.state == AreaState::Closed || gone {
            let done = area.state == AreaState::Closed || link.flight.is_none();
            if done && let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
                link.close_area(id);
            }
            return self.answer_bus(asked, answer(verdict(done)), out);
        }
        if area.state != AreaState::Bound || link.has_ring_in(id) || !self.is_free(index) {
            return self.answer_bus(asked, answer(BusResult::Busy), out);
        }
        if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut)
            && let Some(area) = link.area_mut(id)
        {
            area.state = AreaState::Unbinding;
        }
        self.forward(asked, index, None, out);
    }

    fn answer_bus(&mut self, asked: &Asked, response: BusResponse, out: &mut Effects) {
        let body = Body::BusResponse(response);
        let message = Message { dev_num: 0, token: asked.header.token, body };
        self.respond(asked.vm, asked.channel, &message, out);
    }

    /// A direct message that was answered "not ready" comes again: it gets what there is. False if
    /// this one was not asked before.
    fn asked_again(&mut self, asked: &Asked, out: &mut Effects) -> bool {
        let same = |flight: &Flight| flight.via.is_direct() && flight.ask == asked.message;
        let mine = |link: &&mut super::Link<DEVS, AREAS, QUEUES>| {
            link.driver == asked.vm && link.flight.as_ref().is_some_and(same)
        };
        let Some(link) = self.links.iter_mut().flatten().find(mine) else { return false };
        let Some(flight) = link.flight else { return false };
        match flight.phase {
            Phase::Sent => Self::not_ready(asked.channel, out),
            Phase::Answered(message) => {
                link.flight = None;
                self.respond(asked.vm, asked.channel, &message, out);
            }
            Phase::Failed => {
                link.flight = None;
                self.refuse(asked.vm, asked.channel, &asked.header, out);
            }
        }
        true
    }
}
