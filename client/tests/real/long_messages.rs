//! virtio-msg in messages of fourteen words (FFA_MSG_SEND_DIRECT_REQ2), without a message FIFO: a VM
//! drives the real partition's entropy device.
//!
//! **Against a fake**: the SPMC is the Hafnium personality of `fake-spmc`; no real SPMC that we run has
//! these messages. The partition's side (service, broker, bus, codec, device) is the real one, but for
//! the FF-A version: it negotiates 1.1, and says so in VERSION.

use super::world::DRIVER;
use causeway_abi::{GrantKind, GrantTerms, Permission, SERVICE_UUID, Status};
use causeway_fake_spmc::platform::{Setup, standard_policy};
use causeway_fake_spmc::{Guest, Machine, Personality, Platform, layout};
use causeway_ffa::call::DirectMessage2;
use causeway_ffa::{Answer, Call, Uuid, Version};
use causeway_memshare::policy::{Link, Services};
use causeway_virtio::msg::dialect::{DEVICE_ROLE_UUID, DRIVER_ROLE_UUID, VersionRequest};
use causeway_virtio::msg::{
    AreaAttrs, AreaShare, Body, BusRequest, BusResponse, BusResult, EventMethod, FeatureBlocks,
    FeatureWords, Message, Request, Response, SetVqueue, VqueueFlags, long_frame_bytes,
};
use causeway_virtio::queue::{DriverQueue, QueueConfig, QueueSize, Segment};
use causeway_virtio::{Access, AreaId, AreaMap, BusAddr, DeviceId, Features, MemError, types};

const ENTROPY: u16 = 5;
const PAGES: u32 = 8;

/// The driver's view of its one area, at `start` of its RAM.
struct Area<'m> {
    machine: &'m Machine,
    start: u64,
}

impl Area<'_> {
    fn place(&self, at: BusAddr, len: u64) -> Result<u64, MemError> {
        let end = at.offset().checked_add(len).ok_or(MemError::Outside)?;
        let inside = at.area() == AreaId::new(1) && end <= u64::from(PAGES) * 4096;
        if inside { Ok(self.start + at.offset()) } else { Err(MemError::Outside) }
    }
}

impl AreaMap for Area<'_> {
    fn check(&self, at: BusAddr, len: u64, _: Access) -> Result<(), MemError> {
        self.place(at, len).map(|_| ())
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        let place = self.place(at, u64::try_from(into.len()).unwrap())?;
        if self.machine.read(DRIVER, place, into) { Ok(()) } else { Err(MemError::Outside) }
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        let place = self.place(at, u64::try_from(from.len()).unwrap())?;
        if self.machine.write(DRIVER, place, from) { Ok(()) } else { Err(MemError::Outside) }
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.write(at, &value.to_le_bytes())
    }
}

fn boot() -> Platform {
    let mut setup = Setup::new(Personality::HAFNIUM);
    let mut policy = standard_policy(setup.vm_count, setup.vm_pages);
    let services = Services { entropy_bytes_per_second: 4096, ..Services::NONE };
    policy.set_services(DRIVER, services).expect("services");
    let backend_device = u16::try_from(DeviceId::ENTROPY.get()).unwrap();
    let link = Link { driver: DRIVER, backend: None, backend_device, driver_device: ENTROPY };
    policy.add_link(link).expect("room for the link");
    setup.policy = Some(policy);
    Platform::boot(&setup)
}

fn send(platform: &Platform, uuid: [u8; 16], words: [u64; 14]) -> [u64; 14] {
    let uuid = Uuid::from_bytes(uuid);
    let message = DirectMessage2 { sender: DRIVER, receiver: layout::PARTITION, uuid, words };
    let mut regs = Call::DirectReq2(message).encode();
    platform.call(DRIVER.get(), &mut regs);
    match Answer::decode(&regs, Version::V1_2) {
        Ok(Answer::DirectResp2(answer)) => answer.words,
        other => panic!("{other:?}"),
    }
}

fn exchange(platform: &Platform, dev_num: u16, body: Body) -> Body {
    let ask = Message { dev_num, token: 77, body };
    let reply = send(platform, DEVICE_ROLE_UUID, ask.encode().to_long_frame());
    let answer = Message::decode(&long_frame_bytes(&reply)).unwrap();
    let polled = body == Body::BusRequest(BusRequest::EventPoll);
    assert!(answer.token == 77 || polled, "{answer:?}");
    answer.body
}

fn bus(platform: &Platform, request: BusRequest) -> BusResponse {
    match exchange(platform, 0, Body::BusRequest(request)) {
        Body::BusResponse(response) => response,
        other @ (Body::Request(_) | Body::Response(_) | Body::BusRequest(_)) => panic!("{other:?}"),
    }
}

fn device(platform: &Platform, request: Request) -> Response {
    match exchange(platform, ENTROPY, Body::Request(request)) {
        Body::Response(response) => response,
        other @ (Body::Request(_) | Body::BusRequest(_) | Body::BusResponse(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_device_is_driven_in_messages_of_fourteen_words_alone() {
    let platform = boot();
    let guest = Guest::new(&platform, DRIVER.get(), 256);
    let probe =
        VersionRequest::Alp2 { bus_version: 0, transport_revision: 0, ffa_version: 0x0001_0002 };
    let BusResponse::Version(version) = bus(&platform, BusRequest::Version(probe)) else {
        panic!()
    };
    assert_eq!(version.bus_version, 0x0001_0000);
    let events = BusRequest::EventConfigure { method: EventMethod::Poll, notif_id: 0 };
    assert_eq!(bus(&platform, events), BusResponse::EventConfigure { result: BusResult::Ok });
    let ask = BusRequest::GetDevices { offset: 0, count: 255 };
    let BusResponse::GetDevices(map) = bus(&platform, ask) else { panic!() };
    assert!(map.contains(ENTROPY));
    let Response::GetDeviceInfo(info) = device(&platform, Request::GetDeviceInfo) else { panic!() };
    assert_eq!(info.device_id, DeviceId::ENTROPY.get());

    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    let pages = guest.pages(0, PAGES);
    let handle = guest.grant(GrantTerms { peer: None, kind, permission }, &[pages]).unwrap();
    let area = AreaId::new(1).unwrap();
    let attrs = AreaAttrs::SHARED_READ_WRITE;
    let share = AreaShare { area, handle, tag: 0, page_count: PAGES, attrs };
    let shared = BusResponse::AreaShare { area, result: BusResult::Ok };
    assert_eq!(bus(&platform, BusRequest::AreaShare(share)), shared);

    let features = Features::VERSION_1 | Features::ACCESS_PLATFORM;
    let words = FeatureWords::collect([features.block(0), features.block(1)]).unwrap();
    let status = |raw| Request::SetDeviceStatus(types::Status::from_raw(raw));
    device(&platform, status(0));
    device(&platform, Request::SetDriverFeatures(FeatureBlocks { index: 0, words }));
    device(&platform, status(0x0b));
    let at = |offset| BusAddr::new(area, offset).unwrap();
    let (desc, driver, device_ring) = (at(0), at(0x1000), at(0x2000));
    let flags = VqueueFlags::ENABLE;
    let set = SetVqueue { index: 0, flags, size: 8, desc, driver, device: device_ring };
    assert_eq!(device(&platform, Request::SetVqueue(set)), Response::SetVqueue);
    let ok = types::Status::from_raw(0x0f);
    assert_eq!(device(&platform, status(0x0f)), Response::SetDeviceStatus(ok));

    let memory = Area { machine: platform.machine(), start: pages.start().get() };
    let size = QueueSize::new(8).unwrap();
    let config = QueueConfig { size, desc, driver, device: device_ring, features };
    let mut queue = DriverQueue::<8>::new(&memory, config).unwrap();
    queue.submit(&memory, &[], &[Segment { addr: at(0x3000), len: 64 }]).unwrap();
    let kick = Request::EventAvail { index: 0, next_offset: 0 };
    let ack = exchange(&platform, ENTROPY, Body::Request(kick));
    assert_eq!(ack, Body::BusResponse(BusResponse::EventAck));
    let event = exchange(&platform, 0, Body::BusRequest(BusRequest::EventPoll));
    assert_eq!(event, Body::Request(Request::EventUsed { index: 0 }));
    assert_eq!(queue.pop_used(&memory).unwrap().unwrap().written, 64);
    let mut random = [0; 64];
    memory.read(at(0x3000), &mut random).unwrap();
    assert_ne!(random, [0; 64]);

    device(&platform, status(0));
    let gone = BusResponse::AreaUnshare { area, result: BusResult::Ok };
    assert_eq!(bus(&platform, BusRequest::AreaUnshare { area }), gone);
    bus(&platform, BusRequest::Reset);
    assert!(platform.kill(DRIVER.get()));
    let none: [String; 0] = [];
    assert_eq!(platform.leftovers(), none);
}

#[test]
fn the_service_answers_in_fourteen_words_and_another_role_is_nobody() {
    let platform = boot();
    let _guest = Guest::new(&platform, DRIVER.get(), 256);
    let frame = causeway_abi::Call::Version { minor: 0 }.encode();
    let long = |[a, b, c, d, e]: [u64; 5]| [a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let reply = send(&platform, SERVICE_UUID, long(frame));
    assert_eq!(reply, long(platform.frame(DRIVER.get(), frame).unwrap()));
    let ping =
        Message { dev_num: 0, token: 3, body: Body::BusRequest(BusRequest::Ping { echo: 9 }) };
    let words = ping.encode().to_long_frame();
    let [refused, id, ..] = send(&platform, DRIVER_ROLE_UUID, words);
    assert_eq!((refused.to_le_bytes()[1], id), (0x87, 3), "ERROR: we have no driver role");
    let status = (send(&platform, [7; 16], long(frame))[0] >> 16) & 0xff;
    assert_eq!(status, u64::from(Status::BadArgument.code()));
}
