//! Owns the messages that the bus answers itself: versions, devices, events, FIFO, reset. Never
//! forwards.

use super::link::{MOST_UNHEARD, Presence};
use super::{Bus, BusConfig, Channel, Effect, Effects, FifoState, GrantView, Opened};
use crate::fifo::{FIFO_PAGES, Slot};
use crate::msg::dialect::{BUS_VERSION, Dialect, TRANSPORT_REVISION};
use crate::msg::{
    Body, BusFeatures, BusRequest, BusResponse, BusResult, DeviceBitmap, DeviceState, EventMethod,
    Header, Message, VersionResponse,
};
use causeway_ffa::{EndpointId, MemHandle};

/// Devices in a GET_DEVICES answer that fits x3-x7: 40 bytes less header and three fields.
const DIRECT_DEVICES: u16 = 208;

/// A verdict as a boolean condition decides it.
pub(super) const fn verdict(ok: bool) -> BusResult {
    if ok { BusResult::Ok } else { BusResult::Error }
}

impl BusConfig {
    pub(super) fn version(&self, dialect: Dialect, max_areas: usize) -> VersionResponse {
        VersionResponse {
            bus_version: BUS_VERSION,
            transport_revision: TRANSPORT_REVISION,
            ffa_version: dialect.tells_ffa_version().then_some(self.ffa_version),
            feature_bits: 0,
            bus_features: self.features,
            max_areas: u16::try_from(max_areas).unwrap_or(u16::MAX),
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
    /// Sends an answer the way the request came.
    pub(super) fn respond(
        &mut self,
        vm: EndpointId,
        channel: Channel,
        message: &Message,
        out: &mut Effects,
    ) {
        let encoded = message.encode();
        match channel {
            Channel::Fifo => {
                out.push(Effect::Push { vm, slot: Slot::new(&encoded, EndpointId::default()) });
            }
            Channel::Direct => {
                // What does not fit into x3-x7 is an error to who asks for it there.
                let too_long = || {
                    let header = Header::decode(encoded.bytes()).ok()?;
                    Message::error_for(&header).encode().to_frame()
                };
                let words = encoded.to_frame().or_else(too_long).unwrap_or([0; 5]);
                out.push(Effect::Reply { words });
            }
            Channel::LongDirect => {
                out.push(Effect::LongReply { words: encoded.to_long_frame() });
            }
        }
    }

    /// Sends bytes as they are in the answer to a direct message; there are at most 40.
    pub(super) fn respond_raw(&mut self, channel: Channel, bytes: &[u8; 24], out: &mut Effects) {
        let mut long = [0; 14];
        for (word, chunk) in long.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let [a, b, c, ..] = long;
        match channel {
            Channel::Direct => out.push(Effect::Reply { words: [a, b, c, 0, 0] }),
            Channel::LongDirect => out.push(Effect::LongReply { words: long }),
            Channel::Fifo => {}
        }
    }

    /// Tells a VM that its direct message has no answer yet.
    pub(super) fn not_ready(channel: Channel, out: &mut Effects) {
        match channel {
            Channel::Direct => out.push(Effect::Reply { words: [0; 5] }),
            Channel::LongDirect => out.push(Effect::LongReply { words: [0; 14] }),
            Channel::Fifo => {}
        }
    }

    /// Sends the bus's report that a request was not carried out.
    pub(super) fn refuse(
        &mut self,
        vm: EndpointId,
        channel: Channel,
        header: &Header,
        out: &mut Effects,
    ) {
        self.counters.failed = self.counters.failed.saturating_add(1);
        self.respond(vm, channel, &Message::error_for(header), out);
    }

    /// Answers what needs no device. Returns `None` for requests that are routed.
    pub(super) fn answer_locally<G: GrantView + ?Sized>(
        &mut self,
        vm: EndpointId,
        channel: Channel,
        header: &Header,
        request: &BusRequest,
        grants: &G,
        out: &mut Effects,
    ) -> Option<()> {
        let response = match request {
            BusRequest::Version(asked) => {
                BusResponse::Version(self.config.version(asked.dialect(), AREAS))
            }
            BusRequest::Ping { echo } => BusResponse::Ping { echo: *echo },
            BusRequest::GetDevices { offset, count } => {
                BusResponse::GetDevices(self.visible(vm, channel, *offset, *count)?)
            }
            BusRequest::EventPoll => {
                // Asking is a sign of life.
                self.unstall(vm);
                self.poll(vm, channel, header.token, out);
                return Some(());
            }
            BusRequest::EventConfigure { method, notif_id } => {
                let result = self.configure_events(vm, *method, *notif_id);
                BusResponse::EventConfigure { result }
            }
            BusRequest::Reset => {
                self.restart_vm(vm, channel, out);
                BusResponse::Reset { result: BusResult::Ok }
            }
            BusRequest::FifoConfigure { handle, page_count, .. } => {
                if self.may_open(vm, channel, *handle, *page_count, grants) {
                    self.begin_open(vm, *handle, *page_count, (header, channel), out);
                    return Some(());
                }
                BusResponse::FifoConfigure { result: BusResult::Error, device_notif_id: 0 }
            }
            BusRequest::EventDevice { .. }
            | BusRequest::AreaShare(_)
            | BusRequest::AreaUnshare { .. }
            | BusRequest::EventAreaRelease { .. } => return None,
        };
        let body = Body::BusResponse(response);
        self.respond(vm, channel, &Message { dev_num: 0, token: header.token, body }, out);
        Some(())
    }

    /// Which devices a driver sees in a window of numbers.
    fn visible(
        &self,
        driver: EndpointId,
        channel: Channel,
        offset: u16,
        count: u16,
    ) -> Option<DeviceBitmap> {
        let most = match channel {
            Channel::Direct => DIRECT_DEVICES,
            Channel::LongDirect | Channel::Fifo => DeviceBitmap::MAX_COUNT,
        };
        let count = count.min(most).min(u16::MAX.saturating_sub(offset));
        let end = offset.saturating_add(count);
        let numbers = || {
            let links = self.links.iter().flatten().filter(move |link| link.driver == driver);
            let devices = links.flat_map(|link| link.devices.iter().flatten());
            devices.filter(|d| d.presence != Presence::Absent).map(|d| d.driver_num)
        };
        let next_offset = if count > 0 && numbers().any(|n| n >= end) { end } else { 0 };
        let mut map = DeviceBitmap::new(offset, next_offset, count)?;
        for number in numbers() {
            map.insert(number);
        }
        Some(map)
    }

    /// EVENT_POLL: the next event itself, or an answer without one.
    fn poll(&mut self, vm: EndpointId, channel: Channel, token: u16, out: &mut Effects) {
        let event = self.next_event(vm, MOST_UNHEARD);
        if event.is_none()
            && let Some(vm) = self.vm_mut(vm)
        {
            vm.notified = false;
        }
        let none = Message { dev_num: 0, token, body: Body::BusResponse(BusResponse::EventPoll) };
        self.respond(vm, channel, &event.unwrap_or(none), out);
    }

    /// Events are asked for, with a notification before it where those exist, or come through the
    /// FIFO. A second choice without RESET is an error.
    fn configure_events(
        &mut self,
        vm: EndpointId,
        method: EventMethod,
        notif_id: u16,
    ) -> BusResult {
        let known = match method {
            EventMethod::Poll | EventMethod::Fifo => true,
            EventMethod::Notification => self.config.features.contains(BusFeatures::NOTIF_TX),
            EventMethod::Indirect => false,
        };
        match self.vm_mut(vm) {
            Some(vm) if known && vm.events.is_none() => {
                vm.events = Some(method);
                vm.notif_id = notif_id;
                vm.notified = false;
                BusResult::Ok
            }
            Some(_) | None => BusResult::Error,
        }
    }

    fn may_open<G: GrantView + ?Sized>(
        &self,
        vm: EndpointId,
        channel: Channel,
        handle: MemHandle,
        page_count: u16,
        grants: &G,
    ) -> bool {
        let closed = self.vm(vm).is_some_and(|vm| vm.fifo == FifoState::Closed);
        let suits = grants.grant(vm, handle).is_some_and(|facts| {
            facts.usable
                && facts.writable
                && facts.peer.is_none()
                && facts.page_count == u32::from(page_count)
        });
        channel.is_direct() && closed && suits && page_count >= FIFO_PAGES
    }

    fn begin_open(
        &mut self,
        vm: EndpointId,
        handle: MemHandle,
        page_count: u16,
        (asked, via): (&Header, Channel),
        out: &mut Effects,
    ) {
        if let Some(state) = self.vm_mut(vm) {
            state.fifo = FifoState::Opening { handle, asked: *asked, via };
            out.push(Effect::OpenFifo { vm, handle, page_count });
        }
    }

    /// The image has tried to open the FIFO: the direct message is answered now.
    pub(super) fn fifo_opened(&mut self, vm: EndpointId, opened: Opened, out: &mut Effects) {
        let Some(state) = self.vm_mut(vm) else { return };
        let FifoState::Opening { handle, asked, via } = state.fifo else { return };
        state.fifo = match opened {
            Opened::Yes => FifoState::Open { handle },
            Opened::No => FifoState::Closed,
        };
        self.unstall(vm);
        let result = verdict(opened == Opened::Yes);
        let body = Body::BusResponse(BusResponse::FifoConfigure { result, device_notif_id: 0 });
        let message = Message { dev_num: 0, token: asked.token, body };
        self.respond(vm, via, &message, out);
    }

    /// A backend announces or withdraws a device: every link that policy gives it hears of it.
    pub(super) fn device_news(
        &mut self,
        backend: Option<EndpointId>,
        number: u16,
        state: DeviceState,
    ) -> bool {
        let mut known = false;
        for link in self.links.iter_mut().flatten().filter(|link| link.backend == backend) {
            let Some(index) = link.device_of_backend(number) else { continue };
            known = true;
            if state == DeviceState::Removed
                && link.flight.is_some_and(|flight| flight.device == Some(index))
            {
                link.fail_flight();
            }
            let Some(device) = link.device_mut(index) else { continue };
            match state {
                DeviceState::Added if device.presence != Presence::Present => device.announce(),
                DeviceState::Removed if device.presence != Presence::Absent => device.withdraw(),
                DeviceState::Added | DeviceState::Removed => {}
            }
        }
        known
    }
}
