//! Owns a driver of the replay-protected memory device (virtio 1.3, 5.12), as small as it can be: one queue,
//! one request at a time, in one area. Never makes or checks a frame.

use super::frames::Frame;
use crate::rt::client::{Clock, take_pages};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::error::{Party, Rule};
use causeway_client::grant::Grant;
use causeway_client::memory::OwnAreas;
use causeway_client::security::FRAME_BYTES;
use causeway_client::{Bound, Error};
use causeway_virtio::mem::AreaMap;
use causeway_virtio::msg::Request;
use causeway_virtio::queue::{DriverQueue, QueueConfig, QueueSize, Segment};
use causeway_virtio::types::Features;
use causeway_virtio::{AreaId, BusAddr};

/// How long anybody waits for an answer.
pub(super) const BOUND: Bound = Bound::millis(20_000);
const AREA: u16 = 1;
/// Where the parts of the queue lie, the requests and the answers.
const PARTS: [u64; 3] = [0, 0x400, 0x800];
const REQUESTS: u64 = 0x1000;
const ANSWERS: u64 = 0x2000;
const FRAME_LEN: u32 = 512;

fn at(offset: u64) -> BusAddr {
    BusAddr::new(area(), offset).expect("inside an area's address space")
}

fn area() -> AreaId {
    AreaId::new(AREA).expect("numbers begin at 1")
}

/// Gives the partition's devices an area.
pub(super) fn grant<'c>(bus: &Bus<'c>) -> Result<Grant<'c>, Error> {
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    let grant = Grant::offer(bus.connection(), take_pages(3), terms);
    let grant = grant.map_err(|refused| refused.error)?;
    bus.share_area(area(), &grant)?;
    Ok(grant)
}

/// Takes it back.
pub(super) fn take_back<'c>(bus: &Bus<'c>, grant: Grant<'c>) -> Result<(), Error> {
    bus.unshare_area(area())?;
    grant.close(&Clock, BOUND).map_err(|failed| failed.error)?;
    Ok(())
}

/// The device at work.
pub(super) struct Device<'b, 'c, 'g> {
    bus: &'b Bus<'c>,
    number: u16,
    areas: OwnAreas<'g, 1>,
    queue: DriverQueue<8>,
    /// Capacity in units of 128 KiB, most blocks of a write and of a read.
    pub(super) limits: [u8; 3],
}

impl<'b, 'c, 'g> Device<'b, 'c, 'g> {
    /// Sets the device up.
    pub(super) fn open(bus: &'b Bus<'c>, number: u16, grant: &'g Grant<'c>) -> Result<Self, Error> {
        let window = grant.window().ok_or(BROKEN)?;
        let areas = OwnAreas::new([(area(), window)]);
        let features = bus.begin_device(number, Features::NONE)?;
        let limits = bus.device_config(number)?;
        let [desc, driver, device] = PARTS.map(at);
        let size = QueueSize::new(8).ok_or(BROKEN)?;
        let config = QueueConfig { size, desc, driver, device, features };
        let queue = DriverQueue::new(&areas, config).map_err(|_| BROKEN)?;
        bus.set_queue(number, 0, &config)?;
        bus.start_device(number)?;
        Ok(Self { bus, number, areas, queue, limits })
    }

    /// Sends frames in one chain, and waits for their one answer.
    pub(super) fn ask(&mut self, requests: &[&Frame]) -> Option<Frame> {
        let segment = |offset| Segment { addr: at(offset), len: FRAME_LEN };
        let mut readable = [segment(REQUESTS), segment(REQUESTS + u64::from(FRAME_LEN))];
        let readable = readable.get_mut(..requests.len())?;
        for (request, place) in requests.iter().zip(readable.iter()) {
            self.areas.write(place.addr, *request).ok()?;
        }
        self.queue.submit(&self.areas, readable, &[segment(ANSWERS)]).ok()?;
        self.bus.event(self.number, Request::EventAvail { index: 0, next_offset: 0 }).ok()?;
        let written: Result<Option<u32>, Error> = BOUND.until(&Clock, || {
            // The device's event says no more than the queue does.
            let _told = self.bus.device_event(self.number)?;
            let used = self.queue.pop_used(&self.areas).map_err(|_| BROKEN)?;
            Ok(used.map(|used| used.written))
        });
        let mut answer = [0; FRAME_BYTES];
        self.areas.read(at(ANSWERS), &mut answer).ok()?;
        (written == Ok(Some(FRAME_LEN))).then_some(answer)
    }

    /// Resets it.
    pub(super) fn close(self) -> Result<(), Error> {
        self.bus.end_device(self.number)
    }
}

/// What cannot be: the area is too small, or a ring is spoilt.
const BROKEN: Error = Error::Broken { by: Party::Caller, rule: Rule::AreaShape };
