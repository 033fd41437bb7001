//! Owns a driver VM of the tests: its FIFO open, one area given to the partition's devices, rings in it.
//! Never a device, and never a judge.

use causeway_abi::{Call as Service, GrantKind, GrantTerms, Permission};
use causeway_fake_spmc::{Guest, Platform};
use causeway_ffa::{EndpointId, MemHandle, PageRange};
use causeway_virtio::fifo::{self, Fifo, FifoMemory, OutOfFifo, Side, Slot};
use causeway_virtio::mem::{Access, AreaMap, MemError};
use causeway_virtio::msg::{
    AreaAttrs, AreaShare, Body, BusRequest, BusResponse, BusResult, Encoded, FeatureBlocks,
    FeatureWords, Message, Request, Response, SetVqueue, VqueueFlags, frame_bytes,
};
use causeway_virtio::queue::{DriverQueue, QueueConfig, QueueSize, Segment};
use causeway_virtio::{AreaId, BusAddr, Features, Status};

/// What an area for the partition alone is granted as.
pub(crate) const LOCAL: GrantTerms =
    GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
/// The id of the area with the rings and buffers.
pub(crate) const AREA: u16 = 7;

/// Pages of a VM as its FIFO and as the area of its rings.
pub(crate) struct Memory<'g> {
    /// Whose.
    pub(crate) guest: &'g Guest,
    /// Which.
    pub(crate) pages: PageRange,
}

impl Memory<'_> {
    fn at(&self, offset: u64, len: usize) -> Option<u64> {
        let end = offset.checked_add(u64::try_from(len).ok()?)?;
        (end <= self.pages.len_bytes()).then(|| self.pages.start().get() + offset)
    }
}

impl FifoMemory for Memory<'_> {
    fn len_bytes(&self) -> usize {
        usize::try_from(self.pages.len_bytes()).unwrap()
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        let at = self.at(u64::try_from(offset).unwrap(), into.len()).ok_or(OutOfFifo)?;
        into.copy_from_slice(&self.guest.read(at, into.len()).ok_or(OutOfFifo)?);
        Ok(())
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        let at = self.at(u64::try_from(offset).unwrap(), from.len()).ok_or(OutOfFifo)?;
        if self.guest.write(at, from) { Ok(()) } else { Err(OutOfFifo) }
    }

    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        let mut bytes = [0; 2];
        FifoMemory::read(self, offset, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        FifoMemory::write(self, offset, &value.to_le_bytes())
    }
}

impl AreaMap for Memory<'_> {
    fn check(&self, at: BusAddr, len: u64, _: Access) -> Result<(), MemError> {
        let len = usize::try_from(len).unwrap();
        let inside = at.area().is_some_and(|area| area.get() == AREA);
        inside.then_some(()).and(self.at(at.offset(), len)).map(|_| ()).ok_or(MemError::Outside)
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        let offset = usize::try_from(at.offset()).unwrap();
        FifoMemory::read(self, offset, into).map_err(|_| MemError::Outside)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        let offset = usize::try_from(at.offset()).unwrap();
        FifoMemory::write(self, offset, from).map_err(|_| MemError::Outside)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let mut bytes = [0; 2];
        AreaMap::read(self, at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        AreaMap::write(self, at, &value.to_le_bytes())
    }
}

/// VM 1 with its FIFO open and one area given to the partition's devices.
pub(crate) struct Driver<'g> {
    guest: &'g Guest,
    ring: Fifo,
    messages: Memory<'g>,
    /// The area of rings and buffers.
    pub(crate) area: Memory<'g>,
    /// Its handle.
    pub(crate) handle: MemHandle,
    token: u16,
}

impl<'g> Driver<'g> {
    pub(crate) fn open(platform: &'g Platform, guest: &'g Guest) -> Self {
        let messages = Memory { guest, pages: guest.pages(0, 2) };
        let area = Memory { guest, pages: guest.pages(8, 8) };
        fifo::format(&messages).unwrap();
        let handle = guest.grant(LOCAL, &[messages.pages]).unwrap();
        let configure = BusRequest::FifoConfigure { handle, page_count: 2, driver_notif_id: 0 };
        let asked = Message { dev_num: 0, token: 1, body: Body::BusRequest(configure) };
        let words = platform.frame(guest.id().get(), asked.encode().to_frame().unwrap()).unwrap();
        let answer = Message::decode(&frame_bytes(&words)).unwrap();
        let opened = BusResponse::FifoConfigure { result: BusResult::Ok, device_notif_id: 0 };
        assert_eq!(answer.body, Body::BusResponse(opened));
        let ring = Fifo::attach(&messages, Side::Driver).unwrap();
        let handle = guest.grant(LOCAL, &[guest.pages(8, 3), guest.pages(11, 5)]).unwrap();
        let mut driver = Self { guest, ring, messages, area, handle, token: 1 };
        let share = BusRequest::AreaShare(AreaShare {
            area: AreaId::new(AREA).unwrap(),
            handle,
            tag: 0,
            page_count: 8,
            attrs: AreaAttrs::SHARED_READ_WRITE,
        });
        let result = BusResult::Ok;
        let shared = BusResponse::AreaShare { area: AreaId::new(AREA).unwrap(), result };
        assert_eq!(driver.ask(0, Body::BusRequest(share)), Some(Body::BusResponse(shared)));
        driver
    }

    /// Sends a message of the bus.
    pub(crate) fn send(&mut self, message: &Encoded) {
        self.ring.push(&self.messages, &Slot::new(message, EndpointId::from_raw(0))).unwrap();
        self.guest.ask(Service::BusKick).unwrap();
    }

    /// Takes what has come, if anything has.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        let slot = self.ring.pop(&self.messages).unwrap()?;
        Some(Message::decode(slot.message_bytes()).unwrap())
    }

    /// Sends a request; returns the answer to it.
    pub(crate) fn ask(&mut self, dev_num: u16, body: Body) -> Option<Body> {
        self.token += 1;
        self.send(&Message { dev_num, token: self.token, body }.encode());
        let answer = self.receive()?;
        assert_eq!(answer.token, self.token);
        Some(answer.body)
    }

    /// Sends a request to a device; returns the device's answer.
    pub(crate) fn request(&mut self, dev_num: u16, request: Request) -> Response {
        match self.ask(dev_num, Body::Request(request)) {
            Some(Body::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// Sets a device up with one queue of eight, whose rings begin at `page` of the area.
    pub(crate) fn set_up(&mut self, dev_num: u16, index: u32, page: u64) -> DriverQueue<8> {
        let area = AreaId::new(AREA).unwrap();
        let at = |offset| BusAddr::new(area, page * 4096 + offset).unwrap();
        let features = Features::VERSION_1 | Features::ACCESS_PLATFORM;
        let size = QueueSize::new(8).unwrap();
        let config = QueueConfig { size, desc: at(0), driver: at(512), device: at(1024), features };
        let mut status = Status::ACKNOWLEDGE | Status::DRIVER;
        self.request(dev_num, Request::SetDeviceStatus(status));
        let words = {
            let raw = features.get();
            let half = |shift: u32| u32::try_from(raw >> shift & 0xffff_ffff).unwrap();
            FeatureWords::collect([half(0), half(32)]).unwrap()
        };
        self.request(dev_num, Request::SetDriverFeatures(FeatureBlocks { index: 0, words }));
        status = status | Status::FEATURES_OK;
        self.request(dev_num, Request::SetDeviceStatus(status));
        let queue = DriverQueue::new(&self.area, config).unwrap();
        self.request(
            dev_num,
            Request::SetVqueue(SetVqueue {
                index,
                flags: VqueueFlags::ENABLE,
                size: 8,
                desc: config.desc,
                driver: config.driver,
                device: config.device,
            }),
        );
        self.request(dev_num, Request::SetDeviceStatus(status | Status::DRIVER_OK));
        queue
    }

    /// Offers a chain, kicks the device, and takes what comes back: bytes written.
    pub(crate) fn run(
        &mut self,
        (dev_num, index): (u16, u32),
        queue: &mut DriverQueue<8>,
        readable: &[Segment],
        writable: &[Segment],
    ) -> u32 {
        queue.submit(&self.area, readable, writable).unwrap();
        let body = Body::Request(Request::EventAvail { index, next_offset: 0 });
        self.send(&Message { dev_num, token: 0, body }.encode());
        let told = self.receive().unwrap();
        assert_eq!(told.body, Body::Request(Request::EventUsed { index }));
        queue.pop_used(&self.area).unwrap().unwrap().written
    }

    /// A buffer in the area.
    pub(crate) fn segment(&self, offset: u64, len: u32) -> Segment {
        Segment { addr: BusAddr::new(AreaId::new(AREA).unwrap(), offset).unwrap(), len }
    }
}
