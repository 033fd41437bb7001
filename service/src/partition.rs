//! Owns the partition's one state, its lock, and the carrying out of what the cores decide. Never
//! decides itself.

use crate::areas::Areas;
use crate::bus::BusGlue;
use crate::copy::Place;
use crate::devices::Devices;
use crate::dispatch::{self, Task, VmEvent};
use crate::facts;
use crate::interrupts::Interrupts;
use crate::ledger::LedgerTask;
use crate::platform::{Log, Platform, log};
use crate::sizes::{Broker, LEDGER_ROOM};
use crate::spmc;
use crate::transactions::{self, Response};
use crate::vault::Vault;
use causeway_abi::{CallId, Frame, InterruptCall, NO_HANDLE, Permission, Reply, Status, VaultCall};
use causeway_ffa::{EndpointId, FfaError, MemHandle, Regs, Uuid};
use causeway_memshare::broker::VERSION_CALL;
use causeway_memshare::{
    Event, GrantId, GrantView, Ledger, MapFailed, Next, Notice, Policy, Step, VmVerdict,
};
use causeway_virtio::bus::LongWords;
use causeway_virtio::msg::dialect::DEVICE_ROLE_UUID;

/// How a sequence of events ended.
pub(crate) enum Outcome {
    /// With the answer to a direct request.
    Frame(Frame),
    /// With the answer to a framework message.
    Vm(VmVerdict),
    /// The caller may kick the bus.
    Kick(EndpointId),
    /// The caller may speak to the bus.
    Bus(EndpointId),
    /// The caller may know a head of the ledger, or read the ledger into its area.
    Ledger(LedgerTask),
    /// The caller is live: the security services answer.
    Vault(EndpointId, VaultCall),
    /// The caller may make this call about interrupts.
    Interrupt(EndpointId, InterruptCall),
    /// With the answer to the bus's use of an area.
    Used(Result<GrantView, Status>),
    /// With nothing to answer.
    Nothing,
}

impl Outcome {
    /// The broker ended a sequence in a way that its event does not allow: our bug, and no reason
    /// to stop. The caller is told that the partition failed.
    pub(crate) fn out_of_place(&self, console: &impl Log) -> Status {
        let what = match self {
            Self::Frame(_) => "a frame",
            Self::Vm(_) => "a VM verdict",
            Self::Kick(_) => "a kick",
            Self::Bus(_) => "a bus message",
            Self::Ledger(_) => "a ledger call",
            Self::Vault(..) => "a call of the security services",
            Self::Interrupt(..) => "a call about interrupts",
            Self::Used(_) => "a use",
            Self::Nothing => "nothing",
        };
        log!(*console, "broker: {what} out of place");
        Status::PartitionFailed
    }
}

/// Everything that the calls of all cores share. It is large: keep it where it is made. One caller
/// at a time may use it, from what the SPMC delivered to the answer.
pub struct Partition<P: Platform> {
    pub(crate) broker: Broker,
    pub(crate) ledger: Ledger<LEDGER_ROOM>,
    pub(crate) bus: BusGlue,
    pub(crate) areas: Areas<P::Window>,
    pub(crate) devices: Devices<P>,
    pub(crate) vault: Vault<P>,
    pub(crate) interrupts: Interrupts,
    response: Response,
    /// What the broker said last. Kept here: it is large, and every call has at least one.
    step: Step,
    own_id: EndpointId,
    /// The VM whose frame is being answered.
    pub(crate) caller: Option<EndpointId>,
    /// The bus and the watchdogs have nothing to do by themselves before; all ones: nothing at all. Every
    /// entry looks at this and nothing else.
    wake_at: u64,
    pub(crate) platform: P,
}

impl<P: Platform> Partition<P> {
    /// A partition that refuses everybody, until [`Partition::start`].
    pub const fn new(platform: P) -> Self {
        Self {
            broker: Broker::new(),
            ledger: Ledger::new(),
            bus: BusGlue::new(),
            areas: Areas::new(),
            devices: Devices::new(),
            vault: Vault::new(),
            interrupts: Interrupts::new(),
            response: Response::new(),
            step: Step::new(),
            own_id: EndpointId::from_raw(0),
            caller: None,
            wake_at: u64::MAX,
            platform,
        }
    }

    /// Takes our id and the policy, once, and asks the SPMC whether it has donations. Without a policy
    /// everybody is refused.
    pub fn start(&mut self, own_id: EndpointId, policy: &Policy) {
        self.own_id = own_id;
        let ticks_per_ms = self.platform.ticks_per_second() / 1000;
        if let Err(error) = self.broker.configure(policy, own_id, ticks_per_ms) {
            log!(self.platform, "policy refused: {error:?}");
        }
        if spmc::donates(&mut self.platform) {
            self.broker.spmc_donates();
        }
        self.ledger.configure(policy);
        self.vault.start(&self.platform);
        let Self { devices, platform, bus, .. } = self;
        bus.configure(policy, ticks_per_ms, platform, devices);
        self.start_interrupts(policy);
    }

    /// Returns the platform.
    pub const fn platform(&self) -> &P {
        &self.platform
    }

    /// Returns the platform, for its start.
    pub const fn platform_mut(&mut self) -> &mut P {
        &mut self.platform
    }

    /// Returns the broker, to look at.
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Returns the ledger, to look at.
    pub const fn ledger(&self) -> &Ledger<LEDGER_ROOM> {
        &self.ledger
    }

    /// Takes what the SPMC delivered and returns what to send back; `None`: nobody waits for an
    /// answer, FFA_MSG_WAIT. `spmc` is the SPMC's own id.
    pub fn handle(&mut self, received: &Regs, spmc: EndpointId) -> Option<Regs> {
        if let Some(message) = dispatch::frame(received) {
            let words = self.frame(message.sender, &message.words);
            return Some(Regs::from_smc8(dispatch::answer(&message, words)));
        }
        match dispatch::task(received, spmc) {
            Task::Wait | Task::Refused(_) => None,
            Task::Interrupt => {
                self.interrupt();
                None
            }
            Task::CoreOff(answer) => {
                self.core_leaves();
                Some(answer)
            }
            Task::Answer(answer) => Some(answer),
            Task::Frame(message) => {
                let words = self.frame(message.sender, &message.words);
                Some(Regs::from_smc8(dispatch::answer(&message, words)))
            }
            Task::Long(message) => {
                let words = self.long_message(message.sender, message.uuid, message.words);
                Some(dispatch::answer_long(&message, words))
            }
            Task::Vm(request, event) => {
                let status = self.vm_event(request.sender, event);
                Some(dispatch::answer_vm(&request, event, status))
            }
        }
    }

    /// Carries out what is due by itself.
    #[inline]
    fn look_at_time(&mut self) {
        if self.wake_at != u64::MAX {
            self.wake();
        }
    }

    #[inline(never)]
    fn wake(&mut self) {
        if self.wake_at <= self.platform.now() {
            self.bus_tick();
            self.watch();
            self.set_wake();
        }
    }

    /// The bus or the watchdogs have another deadline.
    pub(crate) fn set_wake(&mut self) {
        let next = [self.bus.deadline(), self.watch_deadline()];
        self.wake_at = next.into_iter().flatten().min().unwrap_or(u64::MAX);
    }

    /// Answers a frame of `caller`. Inlined into the loop of a core: nearly every call comes by here.
    #[inline(always)]
    pub fn frame(&mut self, caller: EndpointId, frame: &Frame) -> Frame {
        match self.frame_at_once(caller, frame) {
            Some(answer) => answer,
            None => {
                // Word by word, so that what is answered at once never leaves the registers.
                let [word, a, b, c, d] = self.frame_apart(caller, *frame);
                [word, a, b, c, d]
            }
        }
    }

    /// Answers a frame that asks for what is known already, if nothing else is due.
    #[inline(always)]
    fn frame_at_once(&self, caller: EndpointId, frame: &Frame) -> Option<Frame> {
        if frame[0] != VERSION_CALL || self.wake_at != u64::MAX || !self.is_settled() {
            return None;
        }
        self.broker.version_at_once(self.platform.now(), caller, frame)
    }

    #[inline(never)]
    fn frame_apart(&mut self, caller: EndpointId, frame: Frame) -> Frame {
        self.look_at_time();
        self.caller = Some(caller);
        let answer = if dispatch::is_bus_message(&frame) {
            self.bus_message(caller, frame)
        } else {
            self.call(caller, &frame)
        };
        self.bus_settle();
        self.caller = None;
        self.settle_alarm();
        let [number, ..] = frame[0].to_le_bytes();
        if number == CallId::HypPoll.number() {
            self.after_poll(answer)
        } else if number == CallId::Events.number() {
            self.after_events(caller, answer)
        } else {
            answer
        }
    }

    /// Answers a message of fourteen words: to the service a frame at its beginning, to the device
    /// role of the virtio-msg bus one message of the bus. Another UUID is nobody here.
    pub fn long_message(&mut self, caller: EndpointId, uuid: Uuid, words: LongWords) -> LongWords {
        let frame = dispatch::narrow(words);
        if uuid == Uuid::from_bytes(causeway_abi::SERVICE_UUID) {
            if words.iter().skip(frame.len()).any(|word| *word != 0) {
                return dispatch::widen(dispatch::refused_frame(&frame, Status::ReservedNotZero));
            }
            return dispatch::widen(self.frame_apart(caller, frame));
        }
        if uuid != Uuid::from_bytes(DEVICE_ROLE_UUID) || !dispatch::is_bus_message(&frame) {
            return dispatch::widen(dispatch::refused_frame(&frame, Status::BadArgument));
        }
        self.look_at_time();
        self.caller = Some(caller);
        let answer = match self.drive(Event::BusFrame { caller, frame }) {
            Outcome::Bus(vm) => self.bus_long_frame(vm, words),
            Outcome::Frame(refusal) => dispatch::widen(refusal),
            other @ (Outcome::Vm(_)
            | Outcome::Kick(_)
            | Outcome::Ledger(_)
            | Outcome::Vault(..)
            | Outcome::Interrupt(..)
            | Outcome::Used(_)
            | Outcome::Nothing) => {
                let status = other.out_of_place(&self.platform);
                dispatch::widen(dispatch::refused_frame(&frame, status))
            }
        };
        self.bus_settle();
        self.caller = None;
        self.settle_alarm();
        answer
    }

    /// HYP_POLL returns the next moment at which somebody must look: the bus has one as well. And
    /// it is the hypervisor's time, which no VM waits for: where there was nothing to do, the
    /// ledger is chained.
    #[inline(never)]
    fn after_poll(&mut self, answer: Frame) -> Frame {
        let Some(mut reply) = Reply::decode(&answer).filter(|r| r.status == Status::Ok) else {
            return answer;
        };
        let [bells, handle, restart, deadline] = &mut reply.results;
        if *bells == 0 && *handle == NO_HANDLE {
            self.ledger.tend();
        }
        if self.refill_deadline().is_some() {
            self.refill_all();
        }
        if self.devices.is_busy() {
            self.devices_turn();
        }
        *restart |= self.take_restart();
        // One VM to restart is told at a time.
        let busy = self.devices.is_busy() || self.has_restart();
        let at_once = busy.then(|| self.platform.now());
        let others = [self.watch_deadline(), self.refill_deadline()];
        for next in [at_once.or(self.bus.deadline())].into_iter().chain(others).flatten() {
            *deadline = if *deadline == 0 { next } else { next.min(*deadline) };
        }
        self.settle_alarm();
        reply.encode()
    }

    /// Answers a call of the service interface. Most end with the first step, and those that lock or
    /// let go of memory with the second.
    #[inline(always)]
    fn call(&mut self, caller: EndpointId, frame: &Frame) -> Frame {
        let now = self.platform.now();
        self.broker.take_frame(now, caller, frame, &mut self.step);
        self.carry_out(now);
        if let Some(answer) = self.step.reply() {
            return *answer;
        }
        match *self.step.as_next() {
            Next::Retrieve(_) => self.retrieve(),
            Next::Relinquish(handle) => self.relinquish(handle),
            Next::Map { .. }
            | Next::Unmap { .. }
            | Next::Copy { .. }
            | Next::Continue
            | Next::Reply(_)
            | Next::VmReply(_)
            | Next::BusKick { .. }
            | Next::BusFrame { .. }
            | Next::LedgerHead { .. }
            | Next::LedgerRead { .. }
            | Next::Vault { .. }
            | Next::Interrupt { .. }
            | Next::Used(_)
            | Next::Idle => return self.call_of_several_steps(frame),
        }
        match self.step.reply() {
            Some(answer) => *answer,
            None => self.call_of_several_steps(frame),
        }
    }

    #[inline(never)]
    fn call_of_several_steps(&mut self, frame: &Frame) -> Frame {
        self.go_on();
        match self.step.reply() {
            Some(answer) => *answer,
            None => self.answer_of_others(frame),
        }
    }

    /// The answer of a call that the broker leaves to others.
    #[inline(never)]
    fn answer_of_others(&mut self, frame: &Frame) -> Frame {
        match self.outcome() {
            Outcome::Frame(answer) => answer,
            Outcome::Kick(vm) => self.bus_kick(vm),
            Outcome::Ledger(task) => self.ledger_task(task),
            Outcome::Vault(vm, call) => self.vault_call(vm, call),
            Outcome::Interrupt(vm, call) => self.interrupt_call(vm, call),
            other @ (Outcome::Vm(_) | Outcome::Bus(_) | Outcome::Used(_) | Outcome::Nothing) => {
                dispatch::refused_frame(frame, other.out_of_place(&self.platform))
            }
        }
    }

    #[inline(never)]
    fn bus_message(&mut self, caller: EndpointId, frame: Frame) -> Frame {
        match self.drive(Event::BusFrame { caller, frame }) {
            Outcome::Bus(vm) => self.bus_frame(vm, frame),
            Outcome::Frame(refusal) => refusal,
            other @ (Outcome::Vm(_)
            | Outcome::Kick(_)
            | Outcome::Ledger(_)
            | Outcome::Vault(..)
            | Outcome::Interrupt(..)
            | Outcome::Used(_)
            | Outcome::Nothing) => {
                dispatch::refused_frame(&frame, other.out_of_place(&self.platform))
            }
        }
    }

    /// Takes a framework message about a VM.
    ///
    /// # Errors
    /// RETRY: more is to be done, send it again. DENIED: the sender has no say, or the VM's state
    /// forbids it.
    pub fn vm_event(&mut self, caller: EndpointId, event: VmEvent) -> Result<(), FfaError> {
        let (told, vm) = match event {
            VmEvent::Created(vm) => (Event::VmCreated { caller, vm }, None),
            VmEvent::Destroyed(vm) => (Event::VmDestroyed { caller, vm }, Some(vm)),
        };
        let outcome = self.drive(told);
        if let (Some(gone), Outcome::Vm(VmVerdict::Done | VmVerdict::InProgress)) = (vm, &outcome) {
            // From the first message on: what it armed must not go off while it is taken apart.
            self.vault_vm_gone(gone);
            self.interrupts_vm_gone(gone);
        }
        let result = match outcome {
            Outcome::Vm(VmVerdict::Done) => {
                match event {
                    VmEvent::Created(there) => self.interrupts_vm_created(there),
                    VmEvent::Destroyed(gone) => self.bus_vm_gone(gone),
                }
                Ok(())
            }
            Outcome::Vm(VmVerdict::InProgress) => Err(FfaError::Retry),
            Outcome::Vm(VmVerdict::Refused(_)) => Err(FfaError::Denied),
            other @ (Outcome::Frame(_)
            | Outcome::Kick(_)
            | Outcome::Bus(_)
            | Outcome::Ledger(_)
            | Outcome::Vault(..)
            | Outcome::Interrupt(..)
            | Outcome::Used(_)
            | Outcome::Nothing) => {
                let _status: Status = other.out_of_place(&self.platform);
                Err(FfaError::Aborted)
            }
        };
        self.bus_settle();
        result
    }

    /// Feeds an event and carries out what follows, until the broker says that it is done.
    pub(crate) fn drive(&mut self, first: Event<'_>) -> Outcome {
        self.feed(first);
        self.go_on();
        self.outcome()
    }

    /// Carries out what the broker asked for last, feeds it the result, and so on until it says that
    /// it is done. It ends because the broker bounds every sequence.
    fn go_on(&mut self) {
        loop {
            match *self.step.as_next() {
                Next::Retrieve(_) => self.retrieve(),
                Next::Relinquish(handle) => self.relinquish_apart(handle),
                Next::Map { .. } | Next::Unmap { .. } | Next::Copy { .. } | Next::Continue => {
                    self.go_on_locally();
                }
                Next::Reply(_)
                | Next::VmReply(_)
                | Next::BusKick { .. }
                | Next::BusFrame { .. }
                | Next::LedgerHead { .. }
                | Next::LedgerRead { .. }
                | Next::Vault { .. }
                | Next::Interrupt { .. }
                | Next::Used(_)
                | Next::Idle => return,
            }
        }
    }

    /// A step without the SPMC.
    #[inline(never)]
    fn go_on_locally(&mut self) {
        let event = match self.step.next() {
            Next::Map { grant, permission } => Event::Mapped(self.map(grant, permission)),
            Next::Unmap { grant } => Event::Unmapped(self.areas.unmap(&mut self.platform, grant)),
            Next::Copy { from, from_offset, to, to_offset, len } => {
                let source = Place { grant: from, offset: from_offset };
                Event::Copied(self.copy(source, Place { grant: to, offset: to_offset }, len))
            }
            Next::Continue
            | Next::Retrieve(_)
            | Next::Relinquish(_)
            | Next::Reply(_)
            | Next::VmReply(_)
            | Next::BusKick { .. }
            | Next::BusFrame { .. }
            | Next::LedgerHead { .. }
            | Next::LedgerRead { .. }
            | Next::Vault { .. }
            | Next::Interrupt { .. }
            | Next::Used(_)
            | Next::Idle => Event::Continue,
        };
        self.feed(event);
    }

    /// How the sequence ended.
    fn outcome(&self) -> Outcome {
        match self.step.next() {
            Next::Reply(frame) => Outcome::Frame(frame),
            Next::VmReply(verdict) => Outcome::Vm(verdict),
            Next::BusKick { vm } => Outcome::Kick(vm),
            Next::BusFrame { vm } => Outcome::Bus(vm),
            Next::LedgerHead { vm, scope, half } => {
                Outcome::Ledger(LedgerTask::Head { vm, scope, half })
            }
            Next::LedgerRead { vm, grant, scope, cursor } => {
                Outcome::Ledger(LedgerTask::Read { vm, grant, scope, cursor })
            }
            Next::Vault { vm, call } => Outcome::Vault(vm, call),
            Next::Interrupt { caller, call } => Outcome::Interrupt(caller, call),
            Next::Used(result) => Outcome::Used(result),
            Next::Retrieve(_)
            | Next::Relinquish(_)
            | Next::Map { .. }
            | Next::Unmap { .. }
            | Next::Copy { .. }
            | Next::Continue
            | Next::Idle => Outcome::Nothing,
        }
    }

    /// Feeds one event and carries out the notices.
    #[inline(never)]
    fn feed(&mut self, event: Event<'_>) {
        let now = self.platform.now();
        self.broker.step_into(now, event, &mut self.step);
        self.carry_out(now);
    }

    #[inline(never)]
    fn map(&mut self, grant: GrantId, permission: Permission) -> Result<(), MapFailed> {
        let view = self.broker.view(grant).ok_or(MapFailed)?;
        self.areas.map(&mut self.platform, &view, permission, self.broker.ranges(grant))
    }

    #[inline(never)]
    fn relinquish_apart(&mut self, handle: MemHandle) {
        self.relinquish(handle);
    }

    #[inline(always)]
    fn relinquish(&mut self, handle: MemHandle) {
        let result = transactions::relinquish(&mut self.platform, self.own_id, handle);
        let now = self.platform.now();
        self.broker.step_into(now, Event::Relinquished(result), &mut self.step);
        self.carry_out(now);
    }

    /// Retrieves what the last step asked for.
    #[inline(never)]
    fn retrieve(&mut self) {
        let Self { broker, step, response, platform, own_id, .. } = self;
        let Next::Retrieve(request) = *step.as_next() else { return };
        let asked = facts::request(&request, *own_id);
        let sent = (request.handle, &asked);
        if let Err(error) = transactions::retrieve(platform, *own_id, sent, response) {
            return self.feed(Event::Retrieved(Err(error)));
        }
        let now = platform.now();
        let bytes = response.bytes();
        match bytes.and_then(|bytes| asked.pages(bytes)) {
            Some(pages) => broker.step_into(now, Event::RetrievedAsAsked(pages), step),
            None => {
                let bytes = bytes.unwrap_or_default();
                let shown = platform.shows();
                facts::with_descriptor(bytes, &request, *own_id, shown, |descriptor| {
                    broker.step_into(now, Event::Retrieved(Ok(descriptor)), step);
                });
            }
        }
        self.carry_out(now);
    }

    /// Most steps have no notice.
    #[inline]
    fn carry_out(&mut self, now: u64) {
        if self.step.has_notices() {
            self.carry_out_notices(now);
        }
    }

    #[inline(never)]
    fn carry_out_notices(&mut self, now: u64) {
        for notice in self.step.notices() {
            match *notice {
                Notice::Ledger(ref record) => self.ledger.append(now, record),
                ref other @ (Notice::RingHypervisor(_) | Notice::AreaLost { .. }) => {
                    carry_out_other(&mut self.bus, &mut self.platform, other);
                }
            }
        }
    }
}

/// By itself, so that the appending of a record, which most notices are, saves no register for it.
#[inline(never)]
fn carry_out_other<P: Platform>(bus: &mut BusGlue, platform: &mut P, notice: &Notice) {
    match *notice {
        Notice::Ledger(_) => {}
        Notice::RingHypervisor(doorbell) => platform.ring(doorbell),
        Notice::AreaLost { grant, owner, handle } => bus.area_lost(grant, owner, handle, platform),
    }
}
