//! Tests of the routing core, in a world of three VMs: 1 drives, 2 serves, 3 is hostile, 4 drives too.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one variant")]

mod areas;
mod deaths;
mod linux;
mod random;
mod review;
mod routing;
mod setup;

use super::*;
use crate::addr::{AreaId, BusAddr};
use crate::fifo::Slot;
use crate::msg::{
    AreaAttrs, AreaShare, Body, BusFeatures, BusRequest, BusResponse, BusResult, DeviceState,
    Message, Request, Response, SetVqueue, VqueueFlags,
};
use crate::types::{Features, Status};
use std::collections::HashMap;

type TestBus = Bus<4, 4, 2, 4, 2>;

const ANSWER_TICKS: u64 = 100;

fn vm(id: u16) -> EndpointId {
    EndpointId::from_raw(id)
}

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).unwrap()
}

fn area(id: u16) -> AreaId {
    AreaId::new(id).unwrap()
}

#[derive(Clone, Default)]
struct Grants(HashMap<(u16, u64), GrantFacts>);

impl GrantView for Grants {
    fn grant(&self, owner: EndpointId, handle: MemHandle) -> Option<GrantFacts> {
        self.0.get(&(owner.get(), handle.get())).copied()
    }
}

/// The glue, with mailboxes in place of FIFOs.
struct World {
    bus: TestBus,
    grants: Grants,
    now: u64,
    /// What each VM found in its FIFO and has not read: message and trailer.
    mail: HashMap<u16, Vec<(Message, u16)>>,
    /// VMs whose FIFO is full.
    full: Vec<u16>,
    /// Effects other than pushes and replies, in order.
    log: Vec<Effect>,
    open_fails: bool,
    /// Replies to direct messages of fourteen words.
    long_replies: Vec<LongWords>,
}

impl World {
    /// VMs 1-4; VM 1 sees device 7 of VM 2 as 0, VM 4 sees it as 5; nobody has spoken yet.
    fn new() -> Self {
        let config = BusConfig {
            ffa_version: 0x0001_0001,
            features: BusFeatures::DIRECT_RX.with(BusFeatures::FIFO),
            answer_ticks: ANSWER_TICKS,
        };
        let mut bus = TestBus::new(config);
        for id in 1..=4 {
            bus.add_vm(vm(id)).unwrap();
        }
        let link = |driver, driver_dev| LinkPolicy {
            driver: vm(driver),
            backend: Some(vm(2)),
            backend_dev: 7,
            driver_dev,
        };
        bus.add_link(link(1, 0)).unwrap();
        bus.add_link(link(4, 5)).unwrap();
        let mut world = Self {
            bus,
            grants: Grants::default(),
            now: 0,
            mail: HashMap::new(),
            full: vec![],
            log: vec![],
            open_fails: false,
            long_replies: vec![],
        };
        for id in 1..=4_u16 {
            world.grant(id, 1000 + u64::from(id), None, 2);
        }
        world
    }

    /// Everybody has a FIFO, and VM 2 has announced its device.
    fn ready() -> Self {
        let mut world = Self::new();
        for id in 1..=4 {
            world.open_fifo(id);
        }
        world.announce(DeviceState::Added);
        world.mail.clear();
        for id in 1..=4 {
            world.step(Event::Kick { vm: vm(id) });
        }
        world
    }

    fn grant(&mut self, owner: u16, raw: u64, peer: Option<u16>, page_count: u32) {
        let generation = u32::try_from(self.grants.0.len()).unwrap() + 1;
        let facts =
            GrantFacts { peer: peer.map(vm), generation, page_count, writable: true, usable: true };
        self.grants.0.insert((owner, raw), facts);
    }

    fn step(&mut self, event: Event) -> Vec<[u64; 5]> {
        let mut todo = vec![event];
        let mut replies = vec![];
        let mut rounds = 0;
        while let Some(event) = todo.pop() {
            rounds += 1;
            assert!(rounds < 100, "the bus never comes to rest");
            let effects = self.bus.step(self.now, event, &self.grants);
            let unheard = |l: &Link<2, 4, 2>| l.unheard_by_backend | l.unheard_by_driver;
            let links = self.bus.links.iter().flatten();
            assert!(self.bus.told || links.map(unheard).all(|count| count == 0));
            if effects.more() {
                todo.push(Event::Continue);
            } else {
                // A step leaves nothing behind that it could have said: so none is lost where a
                // step that touches nothing skips the settling of debts.
                let mut same = self.bus.clone();
                let rest = same.step(self.now, Event::Continue, &self.grants);
                assert_eq!(rest.iter().count(), 0, "a debt was overlooked: {rest:?}");
            }
            for effect in effects {
                self.carry_out(effect, &mut todo, &mut replies);
            }
        }
        replies
    }

    fn carry_out(&mut self, effect: Effect, todo: &mut Vec<Event>, replies: &mut Vec<[u64; 5]>) {
        match effect {
            Effect::Reply { words } => replies.push(words),
            Effect::LongReply { words } => self.long_replies.push(words),
            Effect::Push { vm, slot } if self.full.contains(&vm.get()) => {
                todo.push(Event::PushFailed { vm, slot });
            }
            Effect::Push { vm, slot } => {
                let message = Message::decode(slot.message_bytes()).unwrap();
                self.mail.entry(vm.get()).or_default().push((message, slot.far().get()));
            }
            Effect::OpenFifo { vm, .. } => {
                let opened = if self.open_fails { Opened::No } else { Opened::Yes };
                todo.push(Event::FifoOpened { vm, opened });
            }
            other @ (Effect::CloseFifo { .. }
            | Effect::ForgetFifo { .. }
            | Effect::Notify { .. }
            | Effect::CallLocal { .. }
            | Effect::AreaInUse { .. }
            | Effect::AreaFree { .. }) => self.log.push(other),
        }
    }

    /// A direct message and its one reply.
    fn direct(&mut self, id: u16, message: &Message) -> [u64; 5] {
        let words = message.encode().to_frame().unwrap();
        let replies = self.step(Event::Frame { vm: vm(id), words });
        assert_eq!(replies.len(), 1, "each frame has one reply");
        replies[0]
    }

    fn direct_bus(&mut self, id: u16, request: BusRequest) -> BusResponse {
        let message = Message { dev_num: 0, token: 33, body: Body::BusRequest(request) };
        let words = self.direct(id, &message);
        let reply = Message::decode(&frame_bytes(&words)).unwrap();
        assert_eq!(reply.token, 33);
        match reply.body {
            Body::BusResponse(response) => response,
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) => panic!("{reply:?}"),
        }
    }

    fn open_fifo(&mut self, id: u16) {
        let response = self.fifo_configure(id, 1000 + u64::from(id), 2);
        assert_eq!(response, BusResult::Ok);
    }

    fn fifo_configure(&mut self, id: u16, raw: u64, page_count: u16) -> BusResult {
        let handle = handle(raw);
        let request = BusRequest::FifoConfigure { handle, page_count, driver_notif_id: 0 };
        match self.direct_bus(id, request) {
            BusResponse::FifoConfigure { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn announce(&mut self, state: DeviceState) {
        self.send(2, 0, 0, Body::BusRequest(BusRequest::EventDevice { dev_num: 7, state }));
    }

    /// A VM writes into its FIFO and kicks.
    fn send(&mut self, id: u16, dev_num: u16, token: u16, body: Body) {
        self.send_far(id, 0, Message { dev_num, token, body });
    }

    fn send_far(&mut self, id: u16, far: u16, message: Message) {
        let slot = Slot::new(&message.encode(), vm(far));
        assert_eq!(self.step(Event::Kick { vm: vm(id) }), [[0; 5]; 0]);
        assert_eq!(self.step(Event::FifoMessage { vm: vm(id), slot }), [[0; 5]; 0]);
    }

    /// Takes what a VM has received.
    fn read(&mut self, id: u16) -> Vec<(Message, u16)> {
        self.mail.remove(&id).unwrap_or_default()
    }

    /// Takes the one message that a VM has received.
    fn read_one(&mut self, id: u16) -> Message {
        let mail = self.read(id);
        assert_eq!(mail.len(), 1, "{mail:?}");
        mail[0].0
    }

    /// VM 1 asks, VM 2 answers; returns what VM 1 hears.
    fn round_trip(&mut self, ask: Request, answer: Response) -> Message {
        self.send(1, 0, 50, Body::Request(ask));
        let forwarded = self.read_one(2);
        self.send(2, 7, forwarded.token, Body::Response(answer));
        self.read_one(1)
    }

    /// Makes an area of VM 1 on its link with VM 2, as `id`, of 16 pages.
    fn share(&mut self, id: u16, raw: u64) {
        self.grant(1, raw, Some(2), 16);
        self.send(1, 0, 60, share(id, raw, 16));
        let forwarded = self.read_one(2);
        let body = BusResponse::AreaShare { area: area(id), result: BusResult::Ok };
        self.send(2, 0, forwarded.token, Body::BusResponse(body));
        assert_eq!(self.read_one(1).body, Body::BusResponse(body));
    }

    /// The status that VM 1 hears of its device without anybody's help.
    fn status(&mut self) -> Option<Status> {
        self.send(1, 0, 70, Body::Request(Request::GetDeviceStatus));
        match self.read_one(1).body {
            Body::Response(Response::GetDeviceStatus(status)) => Some(status),
            _ => None,
        }
    }

    /// Brings VM 1's device to DRIVER_OK with a queue in area 1 (grant 11).
    fn driving() -> Self {
        let mut world = Self::ready();
        world.share(1, 11);
        world.round_trip(Request::SetVqueue(set_vqueue(1)), Response::SetVqueue);
        let ok = Status::from_raw(0x0f);
        world.round_trip(Request::SetDeviceStatus(ok), Response::SetDeviceStatus(ok));
        world
    }
}

fn share(id: u16, raw: u64, page_count: u32) -> Body {
    Body::BusRequest(BusRequest::AreaShare(AreaShare {
        area: area(id),
        handle: handle(raw),
        tag: 0,
        page_count,
        attrs: AreaAttrs::SHARED_READ_WRITE,
    }))
}

fn unshare(id: u16) -> Body {
    Body::BusRequest(BusRequest::AreaUnshare { area: area(id) })
}

fn shared(id: u16, result: BusResult) -> Body {
    Body::BusResponse(BusResponse::AreaShare { area: area(id), result })
}

fn unshared(id: u16, result: BusResult) -> Body {
    Body::BusResponse(BusResponse::AreaUnshare { area: area(id), result })
}

fn error(request_id: u16) -> Body {
    Body::BusResponse(BusResponse::Error { original_msg_id: request_id })
}

fn at(id: u16, offset: u64) -> BusAddr {
    BusAddr::new(area(id), offset).unwrap()
}

/// A queue of 256 entries at the start of area `id`.
fn set_vqueue(id: u16) -> SetVqueue {
    SetVqueue {
        index: 0,
        flags: VqueueFlags::ENABLE,
        size: 256,
        desc: at(id, 0),
        driver: at(id, 0x1000),
        device: at(id, 0x2000),
    }
}
