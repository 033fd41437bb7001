//! What the newest Linux driver enforces (reference, "What the newest Linux driver enforces"), one
//! test each, in messages of fourteen words (FFA_MSG_SEND_DIRECT_REQ2).
//!
//! **Against a fake**: no SPMC is here, and no Linux. The driver's side is written after the list; the
//! bus, the codec and the device are the real ones.

use super::*;
use crate::addr::AreaId;
use crate::device::rng::{EntropySource, NoEntropy, Rng};
use crate::device::{Host, Progress, Taken};
use crate::mem::WordArea;
use crate::msg::{
    BlockRange, EventMethod, FeatureBlocks, FeatureWords, VersionRequest, long_frame_bytes,
};
use crate::queue::{DriverQueue, QueueConfig, QueueSize, Segment};
use core::sync::atomic::AtomicU16;

struct Sevens;

impl EntropySource for Sevens {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        into.fill(7);
        Ok(())
    }
}

/// A partition of FF-A 1.2 with an entropy device of its own for VM 1, as device 0.
struct Partition<'a> {
    bus: Bus<2, 2, 1, 4, 1>,
    devices: Host<Rng<Sevens>, 1, 1>,
    memory: WordArea<'a>,
    grants: Grants,
    /// What happened, in order.
    log: Vec<&'static str>,
    token: u16,
}

const ENTROPY: u16 = 4;

fn words() -> Vec<AtomicU16> {
    (0..0x4000).map(|_| AtomicU16::new(0)).collect()
}

impl<'a> Partition<'a> {
    fn new(words: &'a [AtomicU16]) -> Self {
        let mut bus = Bus::new(BusConfig {
            ffa_version: 0x0001_0002,
            features: BusFeatures::DIRECT_RX.with(BusFeatures::DIRECT_TX),
            answer_ticks: ANSWER_TICKS,
        });
        bus.add_vm(vm(1)).unwrap();
        let link = LinkPolicy { driver: vm(1), backend: None, backend_dev: ENTROPY, driver_dev: 0 };
        bus.add_link(link).unwrap();
        let mut devices = Host::new();
        devices.add(vm(1), ENTROPY, Rng::new(Sevens)).unwrap();
        let memory = WordArea::new(AreaId::new(1).unwrap(), words);
        let mut grants = Grants::default();
        let facts =
            GrantFacts { peer: None, generation: 1, page_count: 8, writable: true, usable: true };
        grants.0.insert((1, 11), facts);
        Self { bus, devices, memory, grants, log: vec![], token: 100 }
    }

    /// One FFA_MSG_SEND_DIRECT_REQ2 and its reply.
    fn direct(&mut self, words: LongWords) -> LongWords {
        let mut todo = vec![Event::LongFrame { vm: vm(1), words }];
        let mut replies = vec![];
        while let Some(event) = todo.pop() {
            let effects = self.bus.step(0, event, &self.grants);
            assert!(!effects.more());
            for effect in effects {
                match effect {
                    Effect::LongReply { words } => {
                        self.log.push("answered");
                        replies.push(words);
                    }
                    Effect::CallLocal { driver, message } => {
                        let message = Message::decode(message.bytes()).unwrap();
                        self.local(driver, &message, &mut todo);
                    }
                    Effect::AreaInUse { .. } | Effect::AreaFree { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(replies.len(), 1, "one reply a message");
        replies[0]
    }

    /// The glue of an image to its devices.
    fn local(&mut self, driver: EndpointId, message: &Message, todo: &mut Vec<Event>) {
        let mut tell = |message: Message| {
            todo.insert(0, Event::LocalMessage { driver, message: message.encode() });
        };
        let area = |result| Host::<Rng<Sevens>, 1, 1>::answer_area(message, result).unwrap();
        match self.devices.take(&self.memory, driver, message) {
            Taken::Answer(answer) => tell(answer),
            Taken::Share(_) => {
                self.log.push("mapped");
                tell(area(BusResult::Ok));
            }
            Taken::Unshare(_) => {
                self.log.push("relinquished");
                tell(area(BusResult::Ok));
            }
            Taken::Reset | Taken::Work | Taken::Nothing => {}
        }
        let progress = self.devices.work(&self.memory, driver, 8, |news| tell(news.message()));
        assert_eq!(progress, Progress::Done);
    }

    fn exchange(&mut self, dev_num: u16, body: Body) -> Message {
        self.token += 1;
        let ask = Message { dev_num, token: self.token, body };
        let reply = self.direct(ask.encode().to_long_frame());
        let answer = Message::decode(&long_frame_bytes(&reply)).unwrap();
        assert_eq!(answer.token, self.token);
        answer
    }

    fn bus(&mut self, request: BusRequest) -> BusResponse {
        match self.exchange(0, Body::BusRequest(request)).body {
            Body::BusResponse(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn device(&mut self, request: Request) -> Response {
        match self.exchange(0, Body::Request(request)).body {
            Body::Response(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn configure_events(&mut self, method: EventMethod) -> BusResult {
        match self.bus(BusRequest::EventConfigure { method, notif_id: 0 }) {
            BusResponse::EventConfigure { result } => result,
            other => panic!("{other:?}"),
        }
    }

    /// EVENT_POLL, as raw bytes: the driver looks at them before it decodes.
    fn poll(&mut self) -> [u8; 112] {
        self.token += 1;
        let body = Body::BusRequest(BusRequest::EventPoll);
        let ask = Message { dev_num: 0, token: self.token, body };
        long_frame_bytes(&self.direct(ask.encode().to_long_frame()))
    }
}

#[test]
fn version_is_probed_with_zeros_and_repeated_with_what_was_answered() {
    let words = words();
    let mut partition = Partition::new(&words);
    let mut probe = |bus_version, transport_revision| {
        let ffa_version = 0x0001_0002;
        let ask = VersionRequest::Alp2 { bus_version, transport_revision, ffa_version };
        match partition.bus(BusRequest::Version(ask)) {
            BusResponse::Version(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
    let answer = probe(0, 0);
    assert_eq!((answer.bus_version, answer.transport_revision), (0x0001_0000, 1));
    assert!(answer.ffa_version.unwrap() >= 0x0001_0002, "below FF-A 1.2 it gives up");
    assert_eq!((answer.feature_bits, answer.max_areas), (0, 4));
    assert_eq!(probe(answer.bus_version, answer.transport_revision), answer);
}

#[test]
fn bus_features_hold_direct_messages_both_ways() {
    let words = words();
    let mut partition = Partition::new(&words);
    let ask =
        VersionRequest::Alp2 { bus_version: 0, transport_revision: 0, ffa_version: 0x0001_0002 };
    let BusResponse::Version(answer) = partition.bus(BusRequest::Version(ask)) else { panic!() };
    assert!(answer.bus_features.contains(BusFeatures::DIRECT_RX));
    assert!(answer.bus_features.contains(BusFeatures::DIRECT_TX));
}

#[test]
fn event_configure_succeeds_once_and_again_after_a_reset() {
    let words = words();
    let mut partition = Partition::new(&words);
    assert_eq!(partition.configure_events(EventMethod::Poll), BusResult::Ok);
    assert_eq!(partition.configure_events(EventMethod::Poll), BusResult::Error);
    let reset = partition.bus(BusRequest::Reset);
    assert_eq!(reset, BusResponse::Reset { result: BusResult::Ok });
    assert_eq!(partition.configure_events(EventMethod::Poll), BusResult::Ok);
}

#[test]
fn an_event_is_acknowledged_with_eight_bytes_and_its_token() {
    let words = words();
    let mut partition = Partition::new(&words);
    let request = Request::EventAvail { index: 0, next_offset: 0 };
    let event = Message { dev_num: 0, token: 0x0403, body: Body::Request(request) };
    let reply = long_frame_bytes(&partition.direct(event.encode().to_long_frame()));
    assert_eq!(reply[..8], [3, 0, 0, 0, 3, 4, 8, 0]);
    assert_eq!(reply[8..], [0; 104]);
}

#[test]
fn event_poll_answers_nothing_in_eight_bytes_or_the_event_itself() {
    let words = words();
    let mut partition = Partition::new(&words);
    let empty = partition.poll();
    let [low, high] = partition.token.to_le_bytes();
    assert_eq!(empty[..8], [3, 0x84, 0, 0, low, high, 8, 0]);
    let mut queue = partition.driving();
    queue.submit(&partition.memory, &[], &[Segment { addr: at(1, 0x4000), len: 4 }]).unwrap();
    partition.exchange_event(Request::EventAvail { index: 0, next_offset: 0 });
    let event = partition.poll();
    assert!(matches!(event[0], 0 | 2), "type 0x00 or 0x02");
    let event = Message::decode(&event).unwrap();
    assert_eq!(event.body, Body::Request(Request::EventUsed { index: 0 }));
}

#[test]
fn a_pass_of_64_events_reaches_the_end() {
    let words = words();
    let mut partition = Partition::new(&words);
    let mut queue = partition.driving();
    for n in 0..8 {
        let at = at(1, 0x4000 + 16 * n);
        queue.submit(&partition.memory, &[], &[Segment { addr: at, len: 4 }]).unwrap();
        partition.exchange_event(Request::EventAvail { index: 0, next_offset: 0 });
    }
    let passes = (0..64).position(|_| partition.poll()[0] == 3);
    assert_eq!(passes, Some(1), "eight requests of one queue are one event");
}

#[test]
fn an_all_zero_reply_means_busy_and_the_same_message_fetches_the_answer() {
    // A device of another VM cannot answer at once.
    let mut world = World::ready();
    let ask = Message { dev_num: 0, token: 5, body: Body::Request(Request::GetDeviceStatus) };
    let words = ask.encode().to_long_frame();
    let direct = |world: &mut World| {
        assert_eq!(world.step(Event::LongFrame { vm: vm(1), words }), [[0; 5]; 0]);
        world.long_replies.pop().unwrap()
    };
    assert_eq!(direct(&mut world), [0; 14]);
    assert_eq!(direct(&mut world), [0; 14]);
    let token = world.read_one(2).token;
    world.send(2, 7, token, Body::Response(Response::GetDeviceStatus(Status::DRIVER)));
    let answer = Message::decode(&long_frame_bytes(&direct(&mut world))).unwrap();
    assert_eq!((answer.dev_num, answer.token), (0, 5));
    assert_eq!(answer.body, Body::Response(Response::GetDeviceStatus(Status::DRIVER)));
}

#[test]
fn version_1_and_access_platform_are_offered() {
    let words = words();
    let mut partition = Partition::new(&words);
    let range = BlockRange { index: 1, count: 1 };
    let Response::GetDeviceFeatures(blocks) = partition.device(Request::GetDeviceFeatures(range))
    else {
        panic!()
    };
    let wanted = (Features::VERSION_1 | Features::ACCESS_PLATFORM).block(1);
    assert_eq!(blocks.words.as_slice()[0] & wanted, wanted);
}

#[test]
fn unshare_is_answered_after_the_area_was_relinquished() {
    let words = words();
    let mut partition = Partition::new(&words);
    partition.driving();
    partition.device(Request::ResetVqueue { index: 0 });
    partition.log.clear();
    let area = AreaId::new(1).unwrap();
    let gone = partition.bus(BusRequest::AreaUnshare { area });
    assert_eq!(gone, BusResponse::AreaUnshare { area, result: BusResult::Ok });
    assert_eq!(partition.log, ["relinquished", "answered"], "the driver reclaims at once");
}

#[test]
fn a_busy_unshare_is_tried_again_later() {
    let words = words();
    let mut partition = Partition::new(&words);
    let _queue = partition.driving();
    let area = AreaId::new(1).unwrap();
    let busy = partition.bus(BusRequest::AreaUnshare { area });
    assert_eq!(busy, BusResponse::AreaUnshare { area, result: BusResult::Busy });
    partition.device(Request::SetDeviceStatus(Status::RESET));
    let gone = partition.bus(BusRequest::AreaUnshare { area });
    assert_eq!(gone, BusResponse::AreaUnshare { area, result: BusResult::Ok });
}

impl Partition<'_> {
    /// The driver's way to DRIVER_OK, every message in one direct request; returns its queue.
    fn driving(&mut self) -> DriverQueue<8> {
        assert!(matches!(
            self.bus(BusRequest::GetDevices { offset: 0, count: 255 }),
            BusResponse::GetDevices(map) if map.contains(0)
        ));
        let Response::GetDeviceInfo(info) = self.device(Request::GetDeviceInfo) else { panic!() };
        assert_eq!((info.device_id, info.max_virtqueues), (4, 1));
        self.device(Request::SetDeviceStatus(Status::RESET));
        let features = Features::VERSION_1 | Features::ACCESS_PLATFORM;
        let words = FeatureWords::collect([features.block(0), features.block(1)]).unwrap();
        self.device(Request::SetDriverFeatures(FeatureBlocks { index: 0, words }));
        self.device(Request::SetDeviceStatus(Status::from_raw(0x0b)));
        let Body::BusRequest(ask) = share(1, 11, 8) else { panic!() };
        let area = AreaId::new(1).unwrap();
        let bound = BusResponse::AreaShare { area, result: BusResult::Ok };
        assert_eq!(self.bus(ask), bound);
        let set = SetVqueue { size: 8, ..set_vqueue(1) };
        assert_eq!(self.device(Request::SetVqueue(set)), Response::SetVqueue);
        let Response::GetVqueue(queue) = self.device(Request::GetVqueue { index: 0 }) else {
            panic!()
        };
        assert!(queue.enabled);
        let ok = Status::from_raw(0x0f);
        let done = self.device(Request::SetDeviceStatus(ok));
        assert_eq!(done, Response::SetDeviceStatus(ok));
        let SetVqueue { desc, driver, device, .. } = set;
        let size = QueueSize::new(8).unwrap();
        let config = QueueConfig { size, desc, driver, device, features };
        DriverQueue::new(&self.memory, config).unwrap()
    }

    fn exchange_event(&mut self, event: Request) {
        let ack = self.exchange(0, Body::Request(event));
        assert_eq!(ack.body, Body::BusResponse(BusResponse::EventAck));
    }
}
