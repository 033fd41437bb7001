//! Owns the fake partition's bus: VM 1 drives what VM 2 serves; messages go over as they are.

use super::alias;
use super::memory::FakeMemory;
use crate::memory::Window;
use causeway_ffa::{EndpointId, PageRange};
use causeway_virtio::fifo::{FIFO_PAGES, Fifo, Side, Slot};
use causeway_virtio::msg::{
    Body, BusFeatures, BusRequest, BusResponse, BusResult, DeviceBitmap, DeviceState, Message,
    VersionResponse, dialect, frame_bytes,
};

struct FakeFifo {
    vm: u16,
    window: Window,
    fifo: Fifo,
}

#[derive(Default)]
pub(crate) struct FakeBus {
    fifos: Vec<FakeFifo>,
    devices: Vec<u16>,
    rings: u64,
    /// Messages that the fake swallows: a backend that is gone.
    pub(crate) swallow: bool,
}

const DRIVER: u16 = 1;
const BACKEND: u16 = 2;

impl FakeBus {
    pub(super) fn take_ring(&mut self, vm: u16) -> bool {
        let rung = self.rings & (1 << vm) != 0;
        self.rings &= !(1 << vm);
        rung
    }

    pub(crate) fn open_fifos(&self) -> usize {
        self.fifos.len()
    }

    pub(super) fn frame(&mut self, vm: u16, words: [u64; 5], memory: &FakeMemory) -> [u64; 5] {
        let message = Message::decode(&frame_bytes(&words)).unwrap();
        let Body::BusRequest(request) = message.body else { panic!("not in a frame: {message:?}") };
        let response = match request {
            BusRequest::Version(asked) => BusResponse::Version(VersionResponse {
                bus_version: dialect::BUS_VERSION,
                transport_revision: dialect::TRANSPORT_REVISION,
                ffa_version: asked.dialect().tells_ffa_version().then_some(0x0001_0001),
                feature_bits: 0,
                bus_features: BusFeatures::FIFO,
                max_areas: 16,
            }),
            BusRequest::FifoConfigure { handle, page_count, .. } => {
                assert_eq!(page_count, FIFO_PAGES);
                let range: PageRange = memory.ranges(handle).unwrap()[0];
                let window = alias(range);
                let fifo = Fifo::attach(&window, Side::Device).unwrap();
                self.fifos.push(FakeFifo { vm, window, fifo });
                BusResponse::FifoConfigure { result: BusResult::Ok, device_notif_id: 0 }
            }
            BusRequest::Reset => {
                self.fifos.retain(|fifo| fifo.vm != vm);
                BusResponse::Reset { result: BusResult::Ok }
            }
            other => panic!("not in a frame: {other:?}"),
        };
        let answer = Message { body: Body::BusResponse(response), ..message };
        answer.encode().to_frame().unwrap()
    }

    fn push(&mut self, vm: u16, message: &Message, far: u16) {
        let Some(to) = self.fifos.iter_mut().find(|fifo| fifo.vm == vm) else { return };
        let slot = Slot::new(&message.encode(), EndpointId::from_raw(far));
        to.fifo.push(&to.window, &slot).unwrap();
        self.rings |= 1 << vm;
    }

    pub(crate) fn push_raw(&mut self, vm: u16, slot: &Slot) {
        let to = self.fifos.iter_mut().find(|fifo| fifo.vm == vm).unwrap();
        to.fifo.push(&to.window, slot).unwrap();
    }

    pub(super) fn kick(&mut self, vm: u16) -> u64 {
        let mut taken = 0;
        loop {
            let from = self.fifos.iter_mut().find(|fifo| fifo.vm == vm);
            let Some(slot) = from.and_then(|f| f.fifo.pop(&f.window).unwrap()) else {
                return taken;
            };
            taken += 1;
            let message = Message::decode(slot.message_bytes()).unwrap();
            self.route(vm, &message);
        }
    }

    fn route(&mut self, vm: u16, message: &Message) {
        if self.swallow {
            return;
        }
        match message.body {
            Body::BusRequest(BusRequest::GetDevices { offset, .. }) => {
                let mut map = DeviceBitmap::new(offset, 0, 8).unwrap();
                self.devices.iter().for_each(|dev_num| map.insert(*dev_num));
                let body = Body::BusResponse(BusResponse::GetDevices(map));
                self.push(vm, &Message { body, ..*message }, 0);
            }
            Body::BusRequest(BusRequest::EventDevice { dev_num, state }) => match state {
                DeviceState::Added => self.devices.push(dev_num),
                DeviceState::Removed => self.devices.retain(|known| *known != dev_num),
            },
            Body::BusRequest(_) | Body::Request(_) if vm == DRIVER => {
                self.push(BACKEND, message, DRIVER);
            }
            Body::BusRequest(_) | Body::Request(_) | Body::BusResponse(_) | Body::Response(_) => {
                self.push(DRIVER, message, 0);
            }
        }
    }
}
