//! Owns the partition's one state, and the way of each entry through it, to its answer. Never decides
//! itself.

mod drive;

use crate::areas::Areas;
use crate::bus::BusGlue;
use crate::devices::Devices;
use crate::dispatch::{self, Task, VmEvent};
use crate::interrupts::Interrupts;
use crate::platform::{Platform, log};
use crate::sizes::{Broker, LEDGER_ROOM};
use crate::spmc;
use crate::transactions::Response;
use crate::vault::Vault;
use causeway_abi::{CallId, Frame, NO_HANDLE, Reply, Status};
use causeway_ffa::{EndpointId, FfaError, Regs, Uuid};
use causeway_memshare::broker::VERSION_CALL;
use causeway_memshare::{Event, Ledger, Next, Policy, Step, VmVerdict};
use causeway_virtio::bus::LongWords;
use causeway_virtio::msg::dialect::DEVICE_ROLE_UUID;
pub(crate) use drive::Outcome;

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
}
