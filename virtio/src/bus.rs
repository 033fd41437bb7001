//! Owns the routing core of a partition that is the virtio-msg bus of several VMs. Decides, never
//! acts: it touches no memory, rings nobody and reads no clock.
//!
//! A VM talks to the bus in direct messages (x3-x7, [`Event::Frame`]) to set itself up, and through
//! its message FIFO ([`Event::FifoMessage`]) for everything that does not fit there. A **link** is
//! one driver VM with one device side, as policy names it ([`LinkPolicy`]); a VM sees the devices
//! of its links and nothing else. A request for a remote device is stored (one per link), given
//! the bus's own token, pushed to the backend, and its answer checked before the driver gets it
//! under the token that it chose. See docs/virtio-msg.md for the whole protocol.
//!
//! # The glue
//! The image owns the FIFOs' memory, the grants and the doorbells. It runs each event like this:
//!
//! ```
//! # use causeway_virtio::bus::{Bus, BusConfig, Effect, Event, GrantFacts, GrantView, Opened};
//! # use causeway_virtio::fifo::{Fifo, FifoError, Side};
//! # use causeway_virtio::mem::WordArea;
//! # use causeway_ffa::{EndpointId, MemHandle};
//! # struct Ledger;
//! # impl GrantView for Ledger {
//! #     fn grant(&self, _: EndpointId, _: MemHandle) -> Option<GrantFacts> { None }
//! # }
//! # struct Image<'a> { bus: Bus<4, 4, 2, 16, 4>, grants: Ledger, fifos: Vec<(EndpointId, Fifo, WordArea<'a>)> }
//! # impl<'a> Image<'a> {
//! # fn map_fifo(&mut self, _: EndpointId, _: MemHandle) -> Option<WordArea<'a>> { None }
//! # fn unmap_fifo(&mut self, _: EndpointId, _: MemHandle) {}
//! # fn count_use(&mut self, _: EndpointId, _: MemHandle, _: i32) {}
//! # fn ring(&mut self, _: EndpointId) {}
//! /// Feeds one event; returns the words of the direct answer, if the event was a frame.
//! fn run(&mut self, now: u64, event: Event) -> Option<[u64; 5]> {
//!     let mut reply = None;
//!     let mut todo = vec![event]; // at most two are ever waiting
//!     while let Some(event) = todo.pop() {
//!         let effects = self.bus.step(now, event, &self.grants);
//!         if effects.more() {
//!             todo.push(Event::Continue); // what did not fit is asked for again
//!         }
//!         for effect in effects {
//!             match effect {
//!                 Effect::Reply { words } => reply = Some(words),
//!                 // Only where direct messages of fourteen words come, or notifications exist.
//!                 Effect::LongReply { .. } | Effect::Notify { .. } => {}
//!                 Effect::OpenFifo { vm, handle, .. } => {
//!                     let area = self.map_fifo(vm, handle);
//!                     let fifo = area.and_then(|a| Fifo::attach(&a, Side::Device).ok().map(|f| (f, a)));
//!                     let opened = if fifo.is_some() { Opened::Yes } else { Opened::No };
//!                     self.fifos.extend(fifo.map(|(f, a)| (vm, f, a)));
//!                     todo.push(Event::FifoOpened { vm, opened });
//!                 }
//!                 Effect::CloseFifo { vm, handle } => {
//!                     self.fifos.retain(|(id, ..)| *id != vm);
//!                     self.unmap_fifo(vm, handle);
//!                 }
//!                 Effect::ForgetFifo { vm } => self.fifos.retain(|(id, ..)| *id != vm),
//!                 Effect::Push { vm, slot } => {
//!                     let Some((_, fifo, area)) = self.fifos.iter_mut().find(|(id, ..)| *id == vm)
//!                     else { continue };
//!                     match fifo.push(area, &slot) {
//!                         Ok(()) => self.ring(vm), // once per VM would do
//!                         Err(FifoError::Full) => todo.push(Event::PushFailed { vm, slot }),
//!                         Err(_) => todo.push(Event::FifoBroken { vm }),
//!                     }
//!                 }
//!                 Effect::AreaInUse { owner, handle } => self.count_use(owner, handle, 1),
//!                 Effect::AreaFree { owner, handle } => self.count_use(owner, handle, -1),
//!                 Effect::CallLocal { .. } => {} // a device::Host, then Event::LocalMessage
//!             }
//!         }
//!     }
//!     reply
//! }
//!
//! /// BUS_KICK: takes what the VM has written, a bounded number of messages.
//! fn kick(&mut self, now: u64, vm: EndpointId) {
//!     self.run(now, Event::Kick { vm });
//!     for _ in 0..causeway_virtio::fifo::DEPTH {
//!         let Some((_, fifo, area)) = self.fifos.iter_mut().find(|(id, ..)| *id == vm) else { return };
//!         match fifo.pop(area) {
//!             Ok(Some(slot)) => drop(self.run(now, Event::FifoMessage { vm, slot })),
//!             Ok(None) => return,
//!             Err(_) => return drop(self.run(now, Event::FifoBroken { vm })),
//!         }
//!     }
//! }
//! # }
//! ```
//! On each entry it also feeds [`Event::Tick`] when [`Bus::next_deadline`] has passed.
//!
//! # Who is on it
//! ```
//! use causeway_ffa::EndpointId;
//! use causeway_virtio::bus::{BusConfig, Counters, DefaultBus, Effects, LinkPolicy, LongWords, SetupError};
//! use causeway_virtio::msg::BusFeatures;
//!
//! let config = BusConfig { ffa_version: 0x1_0001, features: BusFeatures::FIFO, answer_ticks: 1000 };
//! let mut bus = DefaultBus::new(config);
//! let (driver, backend) = (EndpointId::from_raw(1), EndpointId::from_raw(2));
//! let link = LinkPolicy { driver, backend: Some(backend), backend_dev: 0, driver_dev: 0 };
//! assert_eq!(bus.add_link(link), Err(SetupError::UnknownVm));
//! bus.add_vm(driver)?;
//! bus.add_vm(backend)?;
//! bus.add_link(link)?;
//! assert_eq!((bus.counters(), bus.next_deadline()), (Counters::default(), None));
//! // Where messages of fourteen words come, they arrive as such.
//! let words: LongWords = [0; 14];
//! assert!(Effects::new().is_empty() && words.len() == 14);
//! # Ok::<(), SetupError>(())
//! ```

mod answer;
mod area;
mod effect;
mod event;
mod interface;
mod link;
mod local;
mod lost;
mod owed;
mod route;

pub use effect::{Effect, Effects};
pub use interface::{
    BusConfig, Counters, Event, GrantFacts, GrantView, LinkPolicy, LongWords, Opened, SetupError,
};

use crate::msg::{EventMethod, Header, frame_bytes, long_frame_bytes};
use causeway_ffa::{EndpointId, MemHandle};
use link::Link;

/// The FIFO of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FifoState {
    Closed,
    Opening { handle: MemHandle, asked: Header, via: Channel },
    Open { handle: MemHandle },
}

/// A VM's end of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Vm {
    id: EndpointId,
    fifo: FifoState,
    events: Option<EventMethod>,
    /// The notification that it wants, and whether it has heard it since it last had all events.
    notif_id: u16,
    notified: bool,
    /// Its FIFO was full: nothing more is pushed on our own account until it looks.
    stalled: bool,
}

impl Vm {
    /// Reports whether messages can be pushed to it now.
    const fn is_reachable(&self) -> bool {
        !self.stalled && matches!(self.fifo, FifoState::Open { .. })
    }
}

/// How a request arrived, and so how its answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    /// A direct message of five words.
    Direct,
    /// A direct message of fourteen words (FFA_MSG_SEND_DIRECT_REQ2).
    LongDirect,
    Fifo,
}

impl Channel {
    const fn is_direct(self) -> bool {
        match self {
            Self::Direct | Self::LongDirect => true,
            Self::Fifo => false,
        }
    }
}

/// Whether a step may have changed what the bus owes to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    Yes,
    No,
}

/// A bus with room for `VMS` VMs, `LINKS` links of up to `DEVS` devices, `AREAS` areas per link and
/// `QUEUES` queues per device. All room is reserved: no link can take another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> {
    config: BusConfig,
    vms: [Option<Vm>; VMS],
    links: [Option<Link<DEVS, AREAS, QUEUES>>; LINKS],
    last_token: u16,
    /// Somebody may have been sent something since it last gave a sign of life. Only ever too
    /// often true: it spares the walk over all links where nobody was.
    told: bool,
    counters: Counters,
}

/// A bus for the reference platform.
pub type DefaultBus = Bus<8, 8, 2, 16, 4>;

impl<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> Bus<VMS, LINKS, DEVS, AREAS, QUEUES>
{
    /// Makes a bus without VMs.
    #[must_use]
    pub const fn new(config: BusConfig) -> Self {
        let counters = Counters { forwarded: 0, answered: 0, failed: 0, dropped: 0 };
        Self {
            config,
            vms: [const { None }; VMS],
            links: [const { None }; LINKS],
            last_token: 0,
            told: false,
            counters,
        }
    }

    /// Lets a VM onto the bus.
    ///
    /// # Errors
    /// [`SetupError::NoRoom`], [`SetupError::Duplicate`].
    pub fn add_vm(&mut self, id: EndpointId) -> Result<(), SetupError> {
        if self.vm(id).is_some() {
            return Err(SetupError::Duplicate);
        }
        let place = self.vms.iter_mut().find(|vm| vm.is_none()).ok_or(SetupError::NoRoom)?;
        *place = Some(Vm {
            id,
            fifo: FifoState::Closed,
            events: None,
            notif_id: 0,
            notified: false,
            stalled: false,
        });
        Ok(())
    }

    /// Lets a driver VM see a device. Devices of one driver and one backend share a link.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn add_link(&mut self, policy: LinkPolicy) -> Result<(), SetupError> {
        let known = |vm: EndpointId| self.vm(vm).is_some();
        if !known(policy.driver) || !policy.backend.is_none_or(known) {
            return Err(SetupError::UnknownVm);
        }
        let taken = self.links.iter().flatten().any(|link| {
            link.driver == policy.driver && link.device_of_driver(policy.driver_dev).is_some()
                || link.is_between(policy.driver, policy.backend)
                    && link.device_of_backend(policy.backend_dev).is_some()
        });
        if taken || policy.backend == Some(policy.driver) {
            return Err(SetupError::Duplicate);
        }
        let (driver, backend) = (policy.driver, policy.backend);
        if let Some(link) = self.links.iter_mut().flatten().find(|l| l.is_between(driver, backend))
        {
            return link.add_device(policy);
        }
        let place = self.links.iter_mut().find(|link| link.is_none()).ok_or(SetupError::NoRoom)?;
        place.insert(Link::new(driver, backend)).add_device(policy)
    }

    /// Returns the counts.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the tick at which [`Event::Tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.links.iter().flatten().filter_map(Link::deadline).min()
    }

    /// Takes one event and says what to do about it.
    pub fn step<G: GrantView + ?Sized>(
        &mut self,
        now_ticks: u64,
        event: Event,
        grants: &G,
    ) -> Effects {
        let mut out = Effects::new();
        self.step_into(now_ticks, event, grants, &mut out);
        out
    }

    /// [`Bus::step`] into a place that the caller keeps: effects are large, and to make and copy
    /// them costs more than most steps. What `out` held is gone.
    pub fn step_into<G: GrantView + ?Sized>(
        &mut self,
        now_ticks: u64,
        event: Event,
        grants: &G,
        out: &mut Effects,
    ) {
        out.clear();
        let touched = match event {
            Event::Kick { vm } => self.unstall(vm),
            Event::GrantGone { owner, handle } => self.grant_gone(owner, handle, out),
            Event::Frame { .. }
            | Event::LongFrame { .. }
            | Event::FifoMessage { .. }
            | Event::LocalMessage { .. }
            | Event::FifoOpened { .. }
            | Event::FifoBroken { .. }
            | Event::PushFailed { .. }
            | Event::VmGone { .. }
            | Event::Tick
            | Event::Continue => {
                self.take(now_ticks, &event, grants, out);
                Touched::Yes
            }
        };
        // What nothing touched owes nothing new: `World::step` of the tests compares.
        match touched {
            Touched::Yes => self.settle(out),
            Touched::No => {}
        }
        self.told |= !out.is_empty();
    }

    /// Takes an event that may change anything.
    fn take<G: GrantView + ?Sized>(
        &mut self,
        now_ticks: u64,
        event: &Event,
        grants: &G,
        out: &mut Effects,
    ) {
        match *event {
            Event::Frame { vm, words } => {
                self.frame(now_ticks, vm, Channel::Direct, &frame_bytes(&words), grants, out);
            }
            Event::LongFrame { vm, words } => {
                let bytes = long_frame_bytes(&words);
                self.frame(now_ticks, vm, Channel::LongDirect, &bytes, grants, out);
            }
            Event::FifoMessage { vm, ref slot } => {
                self.fifo_message(now_ticks, vm, slot, grants, out);
            }
            Event::LocalMessage { driver, ref message } => {
                self.local_message(driver, message, out);
            }
            Event::FifoOpened { vm, opened } => self.fifo_opened(vm, opened, out),
            Event::FifoBroken { vm } => self.close_fifo(vm, out),
            Event::PushFailed { vm, ref slot } => self.push_failed(vm, slot),
            Event::VmGone { vm } => self.vm_gone(vm, out),
            Event::Tick => self.expire(now_ticks),
            Event::Kick { .. } | Event::GrantGone { .. } | Event::Continue => {}
        }
    }

    fn vm(&self, id: EndpointId) -> Option<&Vm> {
        self.vms.iter().flatten().find(|vm| vm.id == id)
    }

    fn vm_mut(&mut self, id: EndpointId) -> Option<&mut Vm> {
        self.vms.iter_mut().flatten().find(|vm| vm.id == id)
    }

    /// Reports whether messages can be pushed to a VM now.
    fn reachable(&self, id: EndpointId) -> bool {
        self.vm(id).is_some_and(Vm::is_reachable)
    }

    /// A VM gave a sign of life. Reports whether it may be sent more than before.
    fn unstall(&mut self, id: EndpointId) -> Touched {
        let stalled = self.vm_mut(id).is_some_and(|vm| core::mem::replace(&mut vm.stalled, false));
        let (mut unheard, mut others) = (0, 0);
        if self.told {
            for link in self.links.iter_mut().flatten() {
                unheard |= link.heard(id);
                others |= link.unheard_by_backend | link.unheard_by_driver;
            }
            self.told = others != 0;
        }
        if stalled || unheard != 0 { Touched::Yes } else { Touched::No }
    }

    const fn drop_message(&mut self) {
        self.counters.dropped = self.counters.dropped.saturating_add(1);
    }
}

// Pure decisions in safe code, with nothing for Miri to find, and far too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
