//! Owns a table of devices, each with the driver that it serves: who gets a message, which queues
//! have work. Never moves a message or a doorbell by itself.
//!
//! The same table serves the partition's own devices and those of a backend VM. Its owner hands it
//! each message of a driver ([`Host::take`]) and lets it work a bounded while ([`Host::work`]):
//!
//! ```
//! # use causeway_ffa::EndpointId;
//! # use causeway_virtio::device::{Host, News, Progress, Taken};
//! # use causeway_virtio::device::rng::{EntropySource, NoEntropy, Rng};
//! # use causeway_virtio::mem::AreaMap;
//! # use causeway_virtio::msg::Message;
//! # struct Zero;
//! # impl EntropySource for Zero {
//! #     fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> { into.fill(0); Ok(()) }
//! # }
//! # type Devices = Host<Rng<Zero>, 4, 2>;
//! /// Chains of one queue that are served before somebody else has a turn.
//! const BUDGET: u32 = 32;
//!
//! fn message(
//!     devices: &mut Devices,
//!     areas: &impl AreaMap, // those of this driver
//!     driver: EndpointId,
//!     message: &Message,
//!     mut send: impl FnMut(Message),
//! ) -> Progress {
//!     match devices.take(areas, driver, message) {
//!         Taken::Answer(answer) => send(answer),
//!         // Map the grant, or unmap it, and answer with `Host::answer_area`.
//!         Taken::Share(_) | Taken::Unshare(_) => {}
//!         Taken::Reset => {} // unmap all that this driver has given; nobody waits for an answer
//!         Taken::Work | Taken::Nothing => {}
//!     }
//!     devices.work(areas, driver, BUDGET, |news| send(news.message()))
//! }
//! ```

use super::{DeviceModel, DeviceServer};
use crate::addr::AreaId;
use crate::mem::AreaMap;
use crate::msg::{
    AreaShare, Body, BusRequest, BusResponse, BusResult, ConfigEvent, Header, Message, Request,
};
use causeway_ffa::EndpointId;

/// The table is full, or a driver has a device of this number already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostFull;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// Send this back. What the device does not do is answered with ERROR.
    Answer(Message),
    /// AREA_SHARE: map it for this driver, then send [`Host::answer_area`].
    Share(AreaShare),
    /// AREA_UNSHARE: unmap it, then send [`Host::answer_area`].
    Unshare(AreaId),
    /// The driver is gone or begins anew, and its devices have been reset: unmap what it gave.
    /// Nobody waits for an answer.
    Reset,
    /// A queue was kicked: [`Host::work`] has something to do.
    Work,
    /// Nothing to do.
    Nothing,
}

/// What a driver has to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Buffers of a queue have been used, and the driver wants to know.
    Used {
        /// The device.
        dev_num: u16,
        /// The queue.
        index: u16,
    },
    /// The device failed.
    Config {
        /// The device.
        dev_num: u16,
        /// What happened.
        event: ConfigEvent,
    },
}

impl News {
    /// Returns the event that says so. Where doorbells reach the driver, the first kind needs none.
    #[must_use]
    pub fn message(&self) -> Message {
        let (dev_num, request) = match *self {
            Self::Used { dev_num, index } => {
                (dev_num, Request::EventUsed { index: u32::from(index) })
            }
            Self::Config { dev_num, event } => (dev_num, Request::EventConfig(event)),
        };
        Message { dev_num, token: 0, body: Body::Request(request) }
    }
}

/// Whether work is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "work that is left must be called for again: the driver does not kick twice"]
pub enum Progress {
    /// Every queue is empty and asks for a kick.
    Done,
    /// The budget is used up.
    More,
}

/// One device and its driver.
#[derive(Debug)]
struct Seat<D, const QUEUES: usize> {
    driver: EndpointId,
    dev_num: u16,
    server: DeviceServer<D, QUEUES>,
    /// There may be work.
    kicked: bool,
}

/// Up to `DEVICES` devices with up to `QUEUES` queues each.
#[derive(Debug)]
pub struct Host<D, const DEVICES: usize, const QUEUES: usize> {
    seats: [Option<Seat<D, QUEUES>>; DEVICES],
    /// The seat that is looked at first for work that was left over.
    turn: usize,
}

impl<D, const DEVICES: usize, const QUEUES: usize> Host<D, DEVICES, QUEUES> {
    /// Makes an empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self { seats: [const { None }; DEVICES], turn: 0 }
    }
}

impl<D, const DEVICES: usize, const QUEUES: usize> Default for Host<D, DEVICES, QUEUES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: DeviceModel, const DEVICES: usize, const QUEUES: usize> Host<D, DEVICES, QUEUES> {
    /// Gives `driver` a device under the number by which messages will name it.
    ///
    /// # Errors
    /// [`HostFull`].
    pub fn add(&mut self, driver: EndpointId, dev_num: u16, model: D) -> Result<(), HostFull> {
        if self.device(driver, dev_num).is_some() {
            return Err(HostFull);
        }
        let place = self.seats.iter_mut().find(|seat| seat.is_none()).ok_or(HostFull)?;
        let server = DeviceServer::new(model);
        *place = Some(Seat { driver, dev_num, server, kicked: false });
        Ok(())
    }

    /// Returns a device.
    #[must_use]
    pub fn device(&self, driver: EndpointId, dev_num: u16) -> Option<&DeviceServer<D, QUEUES>> {
        let mut seats = self.seats.iter().flatten();
        seats.find(|seat| seat.is(driver, dev_num)).map(|seat| &seat.server)
    }

    /// Returns a device, for what its owner does to it from outside. It is worked next time.
    pub fn device_mut(
        &mut self,
        driver: EndpointId,
        dev_num: u16,
    ) -> Option<&mut DeviceServer<D, QUEUES>> {
        let seat = self.seat(driver, dev_num)?;
        seat.kicked = true;
        Some(&mut seat.server)
    }

    fn seat(&mut self, driver: EndpointId, dev_num: u16) -> Option<&mut Seat<D, QUEUES>> {
        self.seats.iter_mut().flatten().find(|seat| seat.is(driver, dev_num))
    }

    /// Takes a message of a driver. Bounded: it serves no queue.
    pub fn take<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        driver: EndpointId,
        message: &Message,
    ) -> Taken {
        match &message.body {
            Body::Request(Request::EventAvail { .. }) => match self.seat(driver, message.dev_num) {
                Some(seat) => {
                    seat.kicked = true;
                    Taken::Work
                }
                None => Taken::Nothing,
            },
            Body::Request(request) if request.is_event() => Taken::Nothing,
            Body::Request(_) => {
                let answer = self
                    .seat(driver, message.dev_num)
                    .and_then(|seat| seat.server.answer(mem, message));
                answer.map_or_else(|| refused(message), Taken::Answer)
            }
            Body::BusRequest(BusRequest::AreaShare(share)) => Taken::Share(*share),
            Body::BusRequest(BusRequest::AreaUnshare { area }) => Taken::Unshare(*area),
            Body::BusRequest(BusRequest::Reset) => {
                self.reset(driver);
                Taken::Reset
            }
            Body::BusRequest(request) if request.is_event() => Taken::Nothing,
            Body::BusRequest(_) => refused(message),
            Body::Response(_) | Body::BusResponse(_) => Taken::Nothing,
        }
    }

    /// Returns the answer to AREA_SHARE or AREA_UNSHARE; `None` for any other message.
    #[must_use]
    pub fn answer_area(asked: &Message, result: BusResult) -> Option<Message> {
        let response = match &asked.body {
            Body::BusRequest(BusRequest::AreaShare(share)) => {
                BusResponse::AreaShare { area: share.area, result }
            }
            Body::BusRequest(BusRequest::AreaUnshare { area }) => {
                BusResponse::AreaUnshare { area: *area, result }
            }
            Body::Request(_) | Body::Response(_) | Body::BusRequest(_) | Body::BusResponse(_) => {
                return None;
            }
        };
        Some(Message { dev_num: 0, token: asked.token, body: Body::BusResponse(response) })
    }

    /// Resets all devices of a driver that is gone.
    pub fn reset(&mut self, driver: EndpointId) {
        for seat in self.seats.iter_mut().flatten().filter(|seat| seat.driver == driver) {
            seat.server.reset();
            seat.kicked = false;
        }
    }

    /// To be called when areas of a driver have gone without its asking: devices whose rings lay
    /// there have failed, and `tell` gets the news.
    pub fn lost_areas<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        driver: EndpointId,
        mut tell: impl FnMut(News),
    ) {
        for seat in self.seats.iter_mut().flatten().filter(|seat| seat.driver == driver) {
            if let Some(event) = seat.server.lost_areas(mem) {
                tell(News::Config { dev_num: seat.dev_num, event });
            }
        }
    }

    /// Returns the models of a driver's devices that [`Host::work`] would work now.
    pub fn models_to_work(&mut self, driver: EndpointId) -> impl Iterator<Item = &mut D> {
        let seats = self.seats.iter_mut().flatten();
        let due = seats.filter(move |seat| seat.driver == driver && seat.kicked);
        due.map(|seat| seat.server.model_mut())
    }

    /// Reports whether a driver's device has work that nobody will kick for.
    #[must_use]
    pub fn has_work(&self, driver: EndpointId) -> bool {
        self.seats.iter().flatten().any(|seat| seat.driver == driver && seat.kicked)
    }

    /// Returns a driver whose device has work that nobody will kick for; the first in the table.
    #[must_use]
    pub fn any_work(&self) -> Option<EndpointId> {
        self.seats.iter().flatten().find(|seat| seat.kicked).map(|seat| seat.driver)
    }

    /// Returns the driver that is next to have work done that nobody will kick for. The devices take turns,
    /// so that a driver that never runs out of work keeps nobody waiting.
    pub fn next_work(&mut self) -> Option<EndpointId> {
        let mut seats = (self.turn..DEVICES).chain(0..self.turn);
        let (at, driver) = seats.find_map(|at| {
            let seat = self.seats.get(at)?.as_ref().filter(|seat| seat.kicked)?;
            Some((at, seat.driver))
        })?;
        self.turn = at.saturating_add(1);
        Some(driver)
    }

    /// Makes every device of a driver look at its queues, as a doorbell without a message does.
    pub fn kick(&mut self, driver: EndpointId) {
        for seat in self.seats.iter_mut().flatten().filter(|seat| seat.driver == driver) {
            seat.kicked = true;
        }
    }

    /// Serves the kicked devices of a driver, at most `budget` chains of each queue twice over
    /// (a device may have input for one queue after it served the other).
    pub fn work<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        driver: EndpointId,
        budget: u32,
        mut tell: impl FnMut(News),
    ) -> Progress {
        for seat in self.seats.iter_mut().flatten().filter(|seat| seat.driver == driver) {
            if seat.kicked {
                seat.kicked = seat.work(mem, budget, &mut tell) == Progress::More;
            }
        }
        if self.has_work(driver) { Progress::More } else { Progress::Done }
    }
}

/// ERROR, for what is no request of a device that is there.
fn refused(message: &Message) -> Taken {
    match Header::decode(message.encode().bytes()) {
        Ok(header) => Taken::Answer(Message::error_for(&header)),
        Err(_) => Taken::Nothing,
    }
}

impl<D: DeviceModel, const QUEUES: usize> Seat<D, QUEUES> {
    fn is(&self, driver: EndpointId, dev_num: u16) -> bool {
        self.driver == driver && self.dev_num == dev_num
    }

    fn work<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        budget: u32,
        tell: &mut impl FnMut(News),
    ) -> Progress {
        let queues = self.server.model().queue_count();
        let mut progress = Progress::Done;
        // Serving one queue may give another something to do: one look back.
        let mut looked: u32 = 0;
        for _ in 0..2 {
            for index in 0..queues {
                let bit = 1_u32.checked_shl(u32::from(index)).unwrap_or(0);
                if looked & bit != 0 || !self.server.model().wants(index) {
                    continue;
                }
                looked |= bit;
                if self.work_queue(mem, index, budget, tell) == Progress::More {
                    progress = Progress::More;
                }
            }
        }
        progress
    }

    fn work_queue<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        index: u16,
        budget: u32,
        tell: &mut impl FnMut(News),
    ) -> Progress {
        let served = self.server.serve(mem, index, budget);
        let dev_num = self.dev_num;
        if served.notify {
            tell(News::Used { dev_num, index });
        }
        if let Some(event) = served.event {
            tell(News::Config { dev_num, event });
            return Progress::Done;
        }
        if served.requests >= budget {
            return Progress::More;
        }
        // Ask for a kick; what has come in meanwhile may bring none.
        if self.server.arm(mem, index) && self.server.model().wants(index) {
            Progress::More
        } else {
            Progress::Done
        }
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
