//! Owns a VM's end of the virtio-msg bus: its message FIFO, requests and what comes in; never a device's meaning.
//!
//! A VM has one [`Bus`], whatever roles it plays: its drivers send requests on it, and the devices
//! that it serves receive theirs from it. The FIFO lies in an area of two pages that is granted to
//! the partition alone; a BUS_KICK call tells the partition to look, its doorbell tells us.
//!
//! Area ids are chosen by the driver side. This library takes one id for one grant of a VM, over
//! all its links.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! use causeway_client::backend::Backend;
//! use causeway_client::bus::{Bus, DeviceList, Incoming, Kicked, MAX_DEVICES, NoBus};
//! use causeway_client::grant::Grant;
//! use causeway_client::{Bound, Connection, Error, Wait};
//! use causeway_virtio::device::{DeviceModel, DeviceServer};
//! use causeway_virtio::msg::{Body, BusRequest, DeviceState, Request};
//! use causeway_virtio::queue::QueueConfig;
//! use causeway_virtio::{AreaId, Features};
//!
//! /// What a driver says from the beginning to the end. (`guest::MsgTransport` does it for drivers of
//! /// virtio-drivers.)
//! fn drive(bus: &Bus<'_>, area: AreaId, grant: &Grant<'_>, queue: &QueueConfig, wait: &dyn Wait)
//! -> Result<(), Error> {
//!     bus.wait_for_device(0, wait, Bound::millis(500))?;
//!     let devices: DeviceList = bus.devices()?;
//!     assert!(devices.len() <= MAX_DEVICES);
//!     bus.share_area(area, grant)?;
//!     let _agreed = bus.begin_device(0, Features::EVENT_IDX)?;
//!     let _capacity: [u8; 8] = bus.device_config(0)?;
//!     bus.set_queue(0, 0, queue)?;
//!     bus.start_device(0)?;
//!     // Where there is no doorbell between the two, a kick is a message.
//!     bus.event(0, Request::EventAvail { index: 0, next_offset: 0 })?;
//!     while let Some(event) = bus.device_event(0)? {
//!         println!("the device says {event:?}");
//!     }
//!     bus.request(0, Request::GetDeviceStatus)?;
//!     bus.exchange(0, Body::BusRequest(BusRequest::Ping { echo: 7 }))?;
//!     bus.end_device(0)?;
//!     bus.unshare_area(area)
//! }
//!
//! /// What a device's side does again and again.
//! fn serve<D: DeviceModel>(bus: &Bus<'_>, areas: &mut Backend<'_, 4>, device: &mut DeviceServer<D, 1>)
//! -> Result<(), Error> {
//!     while let Some(incoming) = bus.receive()? {
//!         let Incoming { message, far } = incoming;
//!         if let Some(response) = areas.answer(&incoming) {
//!             bus.respond(&incoming, Body::BusResponse(response))?;
//!         } else if let Some(answer) = device.answer(&areas.memory(far), &message) {
//!             bus.respond(&incoming, answer.body)?;
//!             bus.event_to(message.dev_num, far, Request::EventUsed { index: 0 })?;
//!         } else {
//!             bus.refuse(&incoming)?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # two_vms!(platform, one, two, driver, backend);
//! # let idle = || ();
//! # let wait = world::Rest::new(&platform, &idle);
//! // A VM opens its end, says what it serves, and closes it.
//! let bus = Bus::open(&backend, two.pages(2), &wait, Bound::millis(100));
//! let bus = bus.map_err(|NoBus { error, pages: _ }| error)?;
//! bus.announce(0, DeviceState::Added)?;
//! let Kicked { taken: _, waiting } = bus.kick()?;
//! assert_eq!((waiting, bus.dropped()), (0, 0));
//! assert!(bus.max_areas() > 0 && bus.connection().id() == backend.id());
//! let pages = bus.close().map_err(|NoBus { error, pages: _ }| error)?;
//! assert_eq!(pages.page_count(), 2);
//! # Ok::<(), Error>(())
//! ```

mod driver;
mod frame;
mod life;
mod setup;
#[cfg(test)]
mod tests;

pub use driver::{DeviceList, MAX_DEVICES};
pub use setup::NoBus;

use crate::connection::Connection;
use crate::error::{Awaited, Error, Rule};
use crate::grant::Grant;
use crate::memory::{Pages, Window};
use crate::wait::{Bound, Wait};
use arrayvec::ArrayVec;
use causeway_abi::Call;
use causeway_ffa::EndpointId;
use causeway_virtio::fifo::{DEPTH, Fifo, FifoError, Slot};
use causeway_virtio::msg::{
    Body, BusRequest, BusResponse, DeviceState, Header, Kind, Message, Request,
};
use core::fmt;
use spin::mutex::SpinMutex;

/// Messages that came in while an answer was awaited, and that are kept; more are dropped.
const INBOX: usize = 32;

/// Messages taken without a kick before one is due: the partition holds back events, after a few,
/// until it sees a sign of life.
const KICK_AFTER: u16 = 3;

/// Rests between two kicks while an answer is awaited: in case the partition could not push.
const KICK_EVERY: u32 = 8;

/// A message that came in by itself: a request for a device that this VM serves, or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The message.
    pub message: Message,
    /// The VM on the far side of the link, where the partition names it (0 otherwise).
    pub far: EndpointId,
}

/// What a kick brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kicked {
    /// Messages that the partition has taken.
    pub taken: u64,
    /// Messages that wait in the partition for room in the FIFO.
    pub waiting: u64,
}

/// A VM's end of the bus.
pub struct Bus<'c> {
    connection: &'c Connection<'c>,
    wait: &'c dyn Wait,
    bound: Bound,
    max_areas: u16,
    state: SpinMutex<State<'c>>,
}

struct State<'c> {
    /// `None` once the FIFO has been given back.
    grant: Option<Grant<'c>>,
    fifo: Fifo,
    token: u16,
    inbox: ArrayVec<Incoming, INBOX>,
    /// Messages taken since the last kick.
    unkicked: u16,
    /// Messages that nobody can use: malformed, answers that nobody awaits any more, or more of
    /// them than the inbox holds.
    dropped: u64,
}

impl<'c> Bus<'c> {
    /// Returns how many areas the bus lets this VM bind.
    #[must_use]
    pub const fn max_areas(&self) -> u16 {
        self.max_areas
    }

    /// Returns the connection below.
    #[must_use]
    pub const fn connection(&self) -> &'c Connection<'c> {
        self.connection
    }

    /// Returns how many messages could not be used.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    /// Tells the partition to look at the FIFO.
    ///
    /// # Errors
    /// What went wrong with the call.
    pub fn kick(&self) -> Result<Kicked, Error> {
        self.state.lock().unkicked = 0;
        let [taken, waiting, ..] = self.connection.call(Call::BusKick)?;
        Ok(Kicked { taken, waiting })
    }

    /// Sends a request and waits for its answer. Other messages that come in meanwhile are kept
    /// for [`Bus::receive`].
    ///
    /// # Errors
    /// [`Error::BusError`] if the bus or the device answers ERROR, [`Error::TimedOut`], or what
    /// went wrong on the way. A late answer is dropped.
    pub fn exchange(&self, dev_num: u16, body: Body) -> Result<Body, Error> {
        let token = {
            let mut state = self.state.lock();
            state.token = state.token.checked_add(1).unwrap_or(1);
            state.token
        };
        self.send(&Message { dev_num, token, body }, EndpointId::default())?;
        let mut looks = 0u32;
        let answer = self.bound.until(self.wait, || {
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(KICK_EVERY) {
                self.kick()?;
            }
            self.state.lock().await_answer(token)
        })?;
        let answer = answer.ok_or(Error::TimedOut(Awaited::BusAnswer))?;
        if let Body::BusResponse(BusResponse::Error { original_msg_id }) = answer.body {
            return Err(Error::BusError { msg_id: original_msg_id });
        }
        if answer.dev_num != dev_num {
            return Err(Error::peer(Rule::MessageKind));
        }
        Ok(answer.body)
    }

    /// Takes the next message that came in by itself.
    ///
    /// # Errors
    /// [`Rule::Fifo`] if the partition broke the FIFO; the bus is then dead.
    pub fn receive(&self) -> Result<Option<Incoming>, Error> {
        let next = self.state.lock().next_incoming()?;
        self.show_life()?;
        Ok(next)
    }

    /// Kicks if enough has been taken without.
    fn show_life(&self) -> Result<(), Error> {
        let due = self.state.lock().unkicked >= KICK_AFTER;
        if due { self.kick().map(|_| ()) } else { Ok(()) }
    }

    /// Answers a request that came in.
    ///
    /// # Errors
    /// [`Rule::FifoFull`], or what went wrong on the way.
    pub fn respond(&self, to: &Incoming, body: Body) -> Result<(), Error> {
        let names_device = match body {
            Body::Request(_) | Body::Response(_) => true,
            Body::BusResponse(BusResponse::Error { .. }) => true,
            Body::BusRequest(_) | Body::BusResponse(_) => false,
        };
        let dev_num = if names_device { to.message.dev_num } else { 0 };
        self.send(&Message { dev_num, token: to.message.token, body }, EndpointId::default())
    }

    /// Tells the bus that this VM serves a device, or serves it no more.
    ///
    /// # Errors
    /// [`Rule::FifoFull`], or what went wrong on the way.
    pub fn announce(&self, dev_num: u16, state: DeviceState) -> Result<(), Error> {
        let body = Body::BusRequest(BusRequest::EventDevice { dev_num, state });
        self.send(&Message { dev_num: 0, token: 0, body }, EndpointId::default())
    }

    /// Answers a request that came in with ERROR: this VM can't carry it out.
    ///
    /// # Errors
    /// [`Rule::FifoFull`], or what went wrong on the way.
    pub fn refuse(&self, to: &Incoming) -> Result<(), Error> {
        let header = Header::decode(to.message.encode().bytes());
        let header = header.map_err(|_| Error::caller(Rule::MessageForm))?;
        self.send(&Message::error_for(&header), EndpointId::default())
    }

    /// Sends an event about a device: from a driver to its device, or from a device that this VM
    /// serves to its only driver.
    ///
    /// # Errors
    /// [`Rule::FifoFull`], or what went wrong on the way.
    pub fn event(&self, dev_num: u16, event: Request) -> Result<(), Error> {
        self.event_to(dev_num, EndpointId::default(), event)
    }

    /// Sends an event about a device that this VM serves to one of its drivers.
    ///
    /// # Errors
    /// As [`Bus::event`].
    pub fn event_to(&self, dev_num: u16, far: EndpointId, event: Request) -> Result<(), Error> {
        self.send(&Message { dev_num, token: 0, body: Body::Request(event) }, far)
    }

    /// Puts a message into the FIFO and kicks. A full FIFO is waited for.
    fn send(&self, message: &Message, far: EndpointId) -> Result<(), Error> {
        let slot = Slot::new(&message.encode(), far);
        let pushed = self.bound.until(self.wait, || {
            let pushed = self.state.lock().push(&slot)?;
            // Full or not, the partition has something to take.
            self.kick()?;
            Ok(pushed.then_some(()))
        })?;
        pushed.ok_or(Error::partition(Rule::FifoFull))
    }
}

impl fmt::Debug for Bus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bus({:?})", self.connection)
    }
}

impl<'c> State<'c> {
    fn window<'g>(grant: &'g Option<Grant<'c>>) -> Result<&'g Window, Error> {
        grant.as_ref().and_then(Grant::window).ok_or(Error::caller(Rule::Fifo))
    }

    /// Appends a slot; false if there is no room.
    fn push(&mut self, slot: &Slot) -> Result<bool, Error> {
        match self.fifo.push(Self::window(&self.grant)?, slot) {
            Ok(()) => Ok(true),
            Err(FifoError::Full) => Ok(false),
            Err(error) => Err(broken(error)),
        }
    }

    fn pop(&mut self) -> Result<Option<Slot>, Error> {
        let slot = self.fifo.pop(Self::window(&self.grant)?).map_err(broken)?;
        self.unkicked = self.unkicked.saturating_add(u16::from(slot.is_some()));
        Ok(slot)
    }

    /// Looks for the answer with `token` among what has come in, and keeps the rest.
    fn await_answer(&mut self, token: u16) -> Result<Option<Message>, Error> {
        for _ in 0..DEPTH {
            let Some(slot) = self.pop()? else { return Ok(None) };
            match sort(&slot) {
                Sorted::Answer(message) if message.token == token => return Ok(Some(message)),
                Sorted::MalformedAnswer { token: theirs } if theirs == token => {
                    return Err(Error::peer(Rule::MessageForm));
                }
                Sorted::Incoming(incoming) => self.keep(incoming),
                Sorted::Answer(_) | Sorted::MalformedAnswer { .. } | Sorted::Useless => {
                    self.dropped = self.dropped.saturating_add(1);
                }
            }
        }
        Ok(None)
    }

    /// Keeps a message for later. An event that is kept already is not kept twice, and what finds
    /// no room is dropped and counted: a device that sends events without end must not keep the
    /// driver from its answers.
    fn keep(&mut self, incoming: Incoming) {
        if self.inbox.iter().any(|kept| is_same_event(kept, &incoming)) {
            return;
        }
        if self.inbox.try_push(incoming).is_err() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn next_incoming(&mut self) -> Result<Option<Incoming>, Error> {
        if let Some(first) = self.inbox.pop_at(0) {
            return Ok(Some(first));
        }
        for _ in 0..DEPTH {
            let Some(slot) = self.pop()? else { return Ok(None) };
            match sort(&slot) {
                Sorted::Incoming(incoming) => return Ok(Some(incoming)),
                Sorted::Answer(_) | Sorted::MalformedAnswer { .. } | Sorted::Useless => {
                    self.dropped = self.dropped.saturating_add(1);
                }
            }
        }
        Ok(None)
    }

    /// Takes the first kept message that `matching` likes.
    fn take_kept(&mut self, matching: impl Fn(&Message) -> bool) -> Option<Incoming> {
        let at = self.inbox.iter().position(|kept| matching(&kept.message))?;
        self.inbox.pop_at(at)
    }
}

/// Reports whether both are events that tell the receiver the same thing.
fn is_same_event(a: &Incoming, b: &Incoming) -> bool {
    let is_event = matches!(&a.message.body, Body::Request(request) if request.is_event());
    is_event && a == b
}

/// What a slot turned out to be.
enum Sorted {
    Answer(Message),
    MalformedAnswer { token: u16 },
    Incoming(Incoming),
    Useless,
}

fn sort(slot: &Slot) -> Sorted {
    let Ok(header) = Header::decode(slot.message_bytes()) else { return Sorted::Useless };
    let answers = match header.kind {
        Kind::Response | Kind::BusResponse => true,
        Kind::Request | Kind::BusRequest => false,
    };
    match (Message::decode(slot.message_bytes()), answers) {
        (Ok(message), true) => Sorted::Answer(message),
        (Ok(message), false) => Sorted::Incoming(Incoming { message, far: slot.far() }),
        (Err(_), true) => Sorted::MalformedAnswer { token: header.token },
        (Err(_), false) => Sorted::Useless,
    }
}

fn broken(error: FifoError) -> Error {
    match error {
        FifoError::TooSmall => Error::caller(Rule::TooSmall),
        FifoError::Full => Error::partition(Rule::FifoFull),
        FifoError::Header | FifoError::Index | FifoError::Closed => Error::partition(Rule::Fifo),
    }
}
