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
//!                 Effect::CallLocal { .. } => {} // a DeviceServer, then Event::LocalMessage
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

mod answer;
mod area;
mod effect;
mod event;
mod link;
mod local;
mod lost;
mod owed;
mod route;

pub use effect::{Effect, Effects};

use crate::fifo::Slot;
use crate::msg::{BusFeatures, Encoded, EventMethod, Header};
use causeway_ffa::{EndpointId, MemHandle};
use link::Link;

/// What the bus says of itself and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusConfig {
    /// The FF-A version that VERSION answers.
    pub ffa_version: u32,
    /// What VERSION says about the ways of transfer.
    pub features: BusFeatures,
    /// Ticks that a backend has for an answer.
    pub answer_ticks: u64,
}

/// One device of a link, from the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPolicy {
    /// The driver VM.
    pub driver: EndpointId,
    /// The backend VM; none for a device of the partition.
    pub backend: Option<EndpointId>,
    /// The number by which the backend announces the device.
    pub backend_dev: u16,
    /// The number by which the driver sees it.
    pub driver_dev: u16,
}

/// Why the manifest's links do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetupError {
    /// More VMs, links or devices of a link than there is room for.
    NoRoom,
    /// A VM or a device number of a driver twice, or a VM linked to itself.
    Duplicate,
    /// A link names a VM that was not added.
    UnknownVm,
}

/// What the bus has to know about a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// The VM that borrows it beside the partition; none for a local area.
    pub peer: Option<EndpointId>,
    /// Tells two grants of one handle apart.
    pub generation: u32,
    /// 4 KiB pages.
    pub page_count: u32,
    /// Whether the borrowers may write.
    pub writable: bool,
    /// Whether it may be used now: accepted, and neither released nor revoked.
    pub usable: bool,
}

/// The grants, as the broker knows them.
pub trait GrantView {
    /// Returns the live grant that `owner` gave under `handle`; `None` for any other.
    fn grant(&self, owner: EndpointId, handle: MemHandle) -> Option<GrantFacts>;
}

/// How [`Effect::OpenFifo`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The area is mapped, and the FIFO in it is well formed.
    Yes,
    /// It is not, and nothing is mapped.
    No,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A direct message of a VM whose first byte is 0-3. Ends in one [`Effect::Reply`], at once or
    /// after [`Event::FifoOpened`].
    Frame {
        /// The sender that the SPMC vouches for.
        vm: EndpointId,
        /// x3-x7.
        words: [u64; 5],
    },
    /// A message taken from a VM's FIFO.
    FifoMessage {
        /// Whose FIFO.
        vm: EndpointId,
        /// The message.
        slot: Slot,
    },
    /// A message of a device in the partition.
    LocalMessage {
        /// The driver on whose link it is.
        driver: EndpointId,
        /// The message.
        message: Encoded,
    },
    /// The result of [`Effect::OpenFifo`].
    FifoOpened {
        /// Whose FIFO.
        vm: EndpointId,
        /// The result.
        opened: Opened,
    },
    /// Taking from or pushing into the FIFO found it malformed.
    FifoBroken {
        /// Whose FIFO.
        vm: EndpointId,
    },
    /// The FIFO had no room for [`Effect::Push`].
    PushFailed {
        /// Whose FIFO.
        vm: EndpointId,
        /// What was to be pushed.
        slot: Slot,
    },
    /// The VM has looked at its FIFO (BUS_KICK): there may be room again. A VM that takes events
    /// and sends nothing kicks now and then, because it is sent only a few before it does.
    Kick {
        /// Whose FIFO.
        vm: EndpointId,
    },
    /// A VM is no more.
    VmGone {
        /// Which.
        vm: EndpointId,
    },
    /// A grant has ended, whoever ended it. Its uses are gone: no [`Effect::AreaFree`] follows.
    GrantGone {
        /// Its owner.
        owner: EndpointId,
        /// Its handle.
        handle: MemHandle,
    },
    /// Time has passed.
    Tick,
    /// The effects of the last step were carried out, and there were more.
    Continue,
}

/// Counts for figures and tests; none of them decides anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests forwarded to a device side.
    pub forwarded: u64,
    /// Answers handed to a driver.
    pub answered: u64,
    /// Requests that ended in an error: refused, timed out, or answered wrongly.
    pub failed: u64,
    /// Messages dropped: malformed, unasked-for, or for a FIFO without room.
    pub dropped: u64,
}

/// The FIFO of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FifoState {
    Closed,
    Opening { handle: MemHandle, asked: Header },
    Open { handle: MemHandle },
}

/// A VM's end of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Vm {
    id: EndpointId,
    fifo: FifoState,
    events: Option<EventMethod>,
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
    Direct,
    Fifo,
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
        *place = Some(Vm { id, fifo: FifoState::Closed, events: None, stalled: false });
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
            Event::Frame { vm, words } => self.frame(now_ticks, vm, &words, grants, out),
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
        let mut unheard = 0;
        for link in self.links.iter_mut().flatten() {
            unheard |= link.heard(id);
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
