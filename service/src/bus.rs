//! Owns the glue between the bus core and the machine: FIFOs, uses of areas, rings of VMs. Never
//! decides: the bus core does, on facts of the broker.

use crate::devices::Devices;
use crate::dispatch;
use crate::partition::{Outcome, Partition};
use crate::platform::{Log, Platform, log};
use crate::sizes::{Broker, GRANT_WORDS, ServiceBus, VMS};
use causeway_abi::{CallId, Frame, LifeState, Permission, Reply, Status};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::{Event as BrokerEvent, GrantId, Policy};
use causeway_virtio::bus::{
    BusConfig, Effect, Effects, Event, GrantFacts, GrantView, LinkPolicy, LongWords, Opened,
};
use causeway_virtio::fifo::{DEPTH, Fifo, FifoError, Side, Slot};
use causeway_virtio::msg::BusFeatures;
use core::cell::Cell;

/// VMs with a FIFO at once.
const FIFOS: usize = VMS;
/// Grants that can end in one sequence of the broker; it ends sixteen of a dead VM at a time.
const LOST: usize = 128;
/// Events of one run that wait for their step. A step has eight effects at most, and each of them
/// leads to one event at most.
const WAITING: usize = 16;
/// Steps of one run, far beyond what the bus needs: a fence against a bug of ours.
const MAX_STEPS: u32 = 256;
/// How long a backend may take for an answer.
const ANSWER_MS: u64 = 3000;

struct OpenFifo {
    vm: EndpointId,
    grant: GrantId,
    fifo: Fifo,
}

/// A grant that ended while the broker was at work.
#[derive(Clone, Copy)]
struct Lost {
    owner: EndpointId,
    handle: MemHandle,
}

/// The bus and its FIFOs.
pub(crate) struct BusGlue {
    bus: ServiceBus,
    fifos: [Option<OpenFifo>; FIFOS],
    /// What the bus has yet to hear.
    lost: [Option<Lost>; LOST],
    lost_count: usize,
    /// The answer to a message of fourteen words.
    long_reply: Option<LongWords>,
    /// When the bus has something to do by itself, as of its last step.
    deadline: Option<u64>,
    /// The grants that the bus has ever asked for: nothing of it lies in any other.
    asked: Asked,
}

impl BusGlue {
    /// A bus that serves nobody.
    pub(crate) const fn new() -> Self {
        Self {
            bus: ServiceBus::new(config(0)),
            fifos: [const { None }; FIFOS],
            lost: [None; LOST],
            asked: Asked::new(),
            lost_count: 0,
            long_reply: None,
            deadline: None,
        }
    }

    /// Lets the policy's VMs onto the bus, once.
    /// A device of ours that the platform has nothing for is not there for its driver.
    pub(crate) fn configure<P: Platform>(
        &mut self,
        policy: &Policy,
        ticks_per_ms: u64,
        platform: &mut P,
        devices: &mut Devices<P>,
    ) {
        self.bus = ServiceBus::new(config(ticks_per_ms.saturating_mul(ANSWER_MS)));
        for vm in policy.vms() {
            if let Err(error) = self.bus.add_vm(vm) {
                log!(*platform, "bus: VM {vm}: {error:?}");
            }
        }
        for link in policy.links() {
            if link.backend.is_none() && !devices.add(platform, policy, &link) {
                continue;
            }
            let added = self.bus.add_link(LinkPolicy {
                driver: link.driver,
                backend: link.backend,
                backend_dev: link.backend_device,
                driver_dev: link.driver_device,
            });
            if let Err(error) = added {
                log!(*platform, "bus: link of {}: {error:?}", link.driver);
            }
        }
    }

    /// Returns the tick at which the bus has something to do by itself.
    #[inline]
    pub(crate) const fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// A grant ended. The bus hears of it when the broker's sequence has ended, if it ever asked for
    /// it. Should there ever be no room, the bus still refuses the dead grant: it looks each one up
    /// before it trusts it.
    #[inline]
    pub(crate) fn area_lost(
        &mut self,
        grant: GrantId,
        owner: EndpointId,
        handle: MemHandle,
        console: &impl Log,
    ) {
        if !self.asked.take(grant) {
            return;
        }
        match self.lost.get_mut(self.lost_count) {
            Some(slot) => {
                *slot = Some(Lost { owner, handle });
                self.lost_count += 1;
            }
            None => log!(*console, "bus: the end of a grant was not told"),
        }
    }

    fn take_lost(&mut self) -> Option<Lost> {
        self.lost_count = self.lost_count.checked_sub(1)?;
        self.lost.get_mut(self.lost_count)?.take()
    }
}

const fn config(answer_ticks: u64) -> BusConfig {
    let features = BusFeatures::DIRECT_RX.with(BusFeatures::DIRECT_TX).with(BusFeatures::FIFO);
    BusConfig { ffa_version: dispatch::VERSION.raw(), features, answer_ticks }
}

/// A set of grants, by their places in the broker's table. A place that another grant had before may
/// still be in it, which costs no more than telling the bus of a grant that it does not know.
struct Asked([Cell<u64>; GRANT_WORDS]);

impl Asked {
    const fn new() -> Self {
        Self([const { Cell::new(0) }; GRANT_WORDS])
    }

    fn place(&self, grant: GrantId) -> Option<(&Cell<u64>, u64)> {
        let place = grant.place();
        Some((self.0.get(usize::from(place >> 6))?, 1 << (place & 63)))
    }

    fn note(&self, grant: GrantId) {
        if let Some((word, bit)) = self.place(grant) {
            word.set(word.get() | bit);
        }
    }

    /// Takes a grant out; reports whether it was there.
    fn take(&self, grant: GrantId) -> bool {
        let Some((word, bit)) = self.place(grant) else { return true };
        let before = word.get();
        word.set(before & !bit);
        before & bit != 0
    }
}

/// The grants as the bus sees them; notes which it asks for.
struct Grants<'a>(&'a Broker, &'a Asked);

impl GrantView for Grants<'_> {
    fn grant(&self, owner: EndpointId, handle: MemHandle) -> Option<GrantFacts> {
        let view = self.0.owned(owner, handle)?;
        self.1.note(view.id);
        let usable = match view.state {
            LifeState::Active => true,
            LifeState::Accepted => view.peer.is_some(),
            LifeState::Offered
            | LifeState::Releasing
            | LifeState::AwaitingUnmap
            | LifeState::Released
            | LifeState::Kept => false,
        };
        Some(GrantFacts {
            peer: view.peer,
            generation: view.generation,
            page_count: view.page_count,
            writable: view.permission == Permission::ReadWrite,
            usable,
        })
    }
}

/// Events that wait for their step; the newest first.
struct Waiting {
    events: [Option<Event>; WAITING],
    len: usize,
}

impl Waiting {
    fn push(&mut self, event: Event, console: &impl Log) {
        match self.events.get_mut(self.len) {
            Some(slot) => {
                *slot = Some(event);
                self.len += 1;
            }
            None => log!(*console, "bus: an event was lost"),
        }
    }

    fn pop(&mut self) -> Option<Event> {
        self.len = self.len.checked_sub(1)?;
        self.events.get_mut(self.len)?.take()
    }
}

impl<P: Platform> Partition<P> {
    /// Answers a virtio-msg frame.
    pub(crate) fn bus_frame(&mut self, vm: EndpointId, frame: Frame) -> Frame {
        let words = self.bus_run(Event::Frame { vm, words: frame });
        if self.devices.is_busy() {
            self.devices_work(vm);
        }
        words.unwrap_or_else(|| dispatch::refused_frame(&frame, Status::PartitionFailed))
    }

    /// Answers a virtio-msg message of fourteen words.
    pub(crate) fn bus_long_frame(&mut self, vm: EndpointId, words: LongWords) -> LongWords {
        self.bus.long_reply = None;
        self.bus_event(Event::LongFrame { vm, words });
        if self.devices.is_busy() {
            self.devices_work(vm);
        }
        let refused = || {
            let frame = dispatch::narrow(words);
            dispatch::widen(dispatch::refused_frame(&frame, Status::PartitionFailed))
        };
        self.bus.long_reply.take().unwrap_or_else(refused)
    }

    /// Answers BUS_KICK: takes what the VM has written, as many messages as a ring has slots.
    #[inline(never)]
    pub(crate) fn bus_kick(&mut self, vm: EndpointId) -> Frame {
        let call = CallId::BusKick.number();
        self.bus_event(Event::Kick { vm });
        let mut taken = 0;
        while taken < u64::from(DEPTH) {
            match self.fifo_pop(vm) {
                None if taken == 0 => return Reply::refused(call, Status::NoBus).encode(),
                None => break,
                Some(Ok(None)) => break,
                Some(Ok(Some(slot))) => self.bus_event(Event::FifoMessage { vm, slot }),
                Some(Err(_broken)) => {
                    self.bus_event(Event::FifoBroken { vm });
                    return Reply::refused(call, Status::FifoBroken).encode();
                }
            }
            taken += 1;
        }
        if self.devices.is_busy() {
            self.devices_work(vm);
        }
        match self.fifo_unsent(vm) {
            Some(Ok(unsent)) => Reply::ok(call, [taken, u64::from(unsent), 0, 0]).encode(),
            // A message that was taken closed the FIFO (RESET).
            None => Reply::ok(call, [taken, 0, 0, 0]).encode(),
            Some(Err(_broken)) => {
                self.bus_event(Event::FifoBroken { vm });
                Reply::refused(call, Status::FifoBroken).encode()
            }
        }
    }

    /// Tells the bus that a VM is no more.
    pub(crate) fn bus_vm_gone(&mut self, vm: EndpointId) {
        self.bus_event(Event::VmGone { vm });
    }

    /// Tells the bus of the areas that the broker took away meanwhile.
    #[inline]
    pub(crate) fn bus_settle(&mut self) {
        if self.bus.lost_count > 0 {
            self.bus_settle_lost();
        }
    }

    #[inline(never)]
    fn bus_settle_lost(&mut self) {
        while let Some(lost) = self.bus.take_lost() {
            self.bus_event(Event::GrantGone { owner: lost.owner, handle: lost.handle });
            self.devices_lost(lost.owner, lost.handle);
        }
    }

    /// Lets the bus end what took too long; on every entry, whoever enters.
    #[inline]
    pub(crate) fn bus_tick(&mut self) {
        if let Some(deadline) = self.bus.deadline() {
            self.bus_tick_at(deadline);
        }
    }

    #[inline(never)]
    fn bus_tick_at(&mut self, deadline: u64) {
        if deadline <= self.platform.now() {
            self.bus_event(Event::Tick);
        }
    }

    /// Runs an event that has no direct answer.
    #[inline(never)]
    pub(crate) fn bus_event(&mut self, event: Event) {
        if self.bus_run(event).is_some() {
            log!(self.platform, "bus: an answer that nobody waits for");
        }
    }

    /// Feeds an event and carries out what follows; returns the direct answer, if there is one.
    fn bus_run(&mut self, event: Event) -> Option<Frame> {
        let mut reply = None;
        let mut waiting = Waiting { events: [None; WAITING], len: 0 };
        // One place for the effects of all steps: it is large.
        let mut effects = Effects::new();
        self.bus_step(event, &mut effects, &mut waiting, &mut reply);
        let mut steps = 1;
        while let Some(event) = waiting.pop() {
            if steps == MAX_STEPS {
                log!(self.platform, "bus: a run without end");
                break;
            }
            steps += 1;
            self.bus_step(event, &mut effects, &mut waiting, &mut reply);
        }
        self.bus.deadline = self.bus.bus.next_deadline();
        self.set_wake();
        reply
    }

    fn bus_step(
        &mut self,
        event: Event,
        effects: &mut Effects,
        waiting: &mut Waiting,
        reply: &mut Option<Frame>,
    ) {
        let grants = Grants(&self.broker, &self.bus.asked);
        self.bus.bus.step_into(self.platform.now(), event, &grants, effects);
        if effects.more() {
            waiting.push(Event::Continue, &self.platform);
        }
        for effect in effects.iter() {
            self.bus_effect(effect, waiting, reply);
        }
    }

    fn bus_effect(&mut self, effect: &Effect, waiting: &mut Waiting, reply: &mut Option<Frame>) {
        match effect {
            Effect::Reply { words } => *reply = Some(*words),
            Effect::OpenFifo { vm, handle, .. } => {
                let opened = if self.open_fifo(*vm, *handle) { Opened::Yes } else { Opened::No };
                waiting.push(Event::FifoOpened { vm: *vm, opened }, &self.platform);
            }
            Effect::CloseFifo { vm, handle } => {
                self.forget_fifo(*vm);
                self.end_use(*vm, *handle);
            }
            Effect::ForgetFifo { vm } => self.forget_fifo(*vm),
            Effect::Push { vm, slot } => match self.fifo_push(*vm, slot) {
                None => {}
                Some(Ok(())) => self.ring_vm(*vm),
                Some(Err(FifoError::Full)) => {
                    waiting.push(Event::PushFailed { vm: *vm, slot: *slot }, &self.platform);
                    self.ring_vm(*vm);
                }
                Some(Err(_broken)) => waiting.push(Event::FifoBroken { vm: *vm }, &self.platform),
            },
            Effect::AreaInUse { owner, handle } => {
                if self.begin_use(*owner, *handle).is_none() {
                    log!(self.platform, "bus: an area could not be marked as used");
                }
            }
            Effect::AreaFree { owner, handle } => self.end_use(*owner, *handle),
            Effect::Notify { vm, .. } => self.ring_vm(*vm),
            Effect::LongReply { words } => self.bus.long_reply = Some(*words),
            Effect::CallLocal { driver, message } => {
                if let Some(event) = self.call_local(*driver, message) {
                    waiting.push(event, &self.platform);
                }
            }
        }
    }

    /// Maps the area and takes up our end of the FIFO in it; nothing stays behind if that fails.
    fn open_fifo(&mut self, vm: EndpointId, handle: MemHandle) -> bool {
        if !self.bus.fifos.iter().any(Option::is_none) {
            return false;
        }
        let Some(grant) = self.begin_use(vm, handle) else { return false };
        let attached = self.areas.get(grant).map(|area| Fifo::attach(area, Side::Device));
        let slot = self.bus.fifos.iter_mut().find(|slot| slot.is_none());
        if let (Some(slot), Some(Ok(fifo))) = (slot, attached) {
            *slot = Some(OpenFifo { vm, grant, fifo });
            true
        } else {
            self.end_use(vm, handle);
            false
        }
    }

    fn forget_fifo(&mut self, vm: EndpointId) {
        for slot in &mut self.bus.fifos {
            if slot.as_ref().is_some_and(|open| open.vm == vm) {
                *slot = None;
            }
        }
    }

    fn fifo_pop(&mut self, vm: EndpointId) -> Option<FifoResult> {
        let open = self.bus.fifos.iter_mut().flatten().find(|open| open.vm == vm)?;
        Some(open.fifo.pop(self.areas.get(open.grant)?))
    }

    fn fifo_unsent(&mut self, vm: EndpointId) -> Option<Result<u16, FifoError>> {
        let open = self.bus.fifos.iter_mut().flatten().find(|open| open.vm == vm)?;
        Some(open.fifo.refresh_unsent(self.areas.get(open.grant)?))
    }

    fn fifo_push(&mut self, vm: EndpointId, slot: &Slot) -> Option<Result<(), FifoError>> {
        let open = self.bus.fifos.iter_mut().flatten().find(|open| open.vm == vm)?;
        Some(open.fifo.push(self.areas.get(open.grant)?, slot))
    }

    /// Tells the broker that the bus uses an area, which maps a local one on its first use.
    pub(crate) fn begin_use(&mut self, owner: EndpointId, handle: MemHandle) -> Option<GrantId> {
        let grant = self.broker.owned(owner, handle)?.id;
        match self.drive(BrokerEvent::Use { grant }) {
            Outcome::Used(Ok(_)) => Some(grant),
            Outcome::Used(Err(_))
            | Outcome::Frame(_)
            | Outcome::Vm(_)
            | Outcome::Kick(_)
            | Outcome::Bus(_)
            | Outcome::Ledger(_)
            | Outcome::Vault(..)
            | Outcome::Interrupt(..)
            | Outcome::Nothing => None,
        }
    }

    /// Tells the broker that the bus has done with an area; the last use of a local one unmaps it.
    /// Where the grant has ended meanwhile, its uses have ended with it.
    pub(crate) fn end_use(&mut self, owner: EndpointId, handle: MemHandle) {
        let Some(view) = self.broker.owned(owner, handle) else { return };
        if view.use_count == 0 {
            return;
        }
        let Outcome::Used(Ok(_)) = self.drive(BrokerEvent::Unuse { grant: view.id }) else {
            log!(self.platform, "bus: a use could not be ended");
            return;
        };
    }

    /// Asks the hypervisor to ring a VM.
    fn ring_vm(&mut self, vm: EndpointId) {
        let by = self.caller;
        let Outcome::Nothing = self.drive(BrokerEvent::BusWaiting { vm, by }) else {
            log!(self.platform, "bus: a VM could not be rung");
            return;
        };
    }
}

type FifoResult = Result<Option<Slot>, FifoError>;
