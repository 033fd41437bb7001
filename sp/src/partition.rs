//! Owns the partition's one state, its lock, and the carrying out of what the cores decide. Never
//! decides itself.

use crate::arch::mailbox::Mailbox;
use crate::arch::regs;
use crate::areas::Areas;
use crate::bus::BusGlue;
use crate::console::log;
use crate::core_id::CoreId;
use crate::dispatch::{self, VmEvent};
use crate::ledger::LedgerTask;
use crate::lock::{Crashed, OrderedLock};
use crate::stage1::Stage1;
use crate::transactions::{self, Response};
use crate::{crash, facts};
use causeway_abi::{CallId, Frame, Permission, Reply, Status};
use causeway_ffa::{EndpointId, FfaError};
use causeway_memshare::{
    Doorbell, Event, FullBroker, GrantId, GrantView, Ledger, MapFailed, Next, Notice, Policy,
    RetrieveRequest, Step, VmVerdict,
};

/// Ledger entries for each VM.
const LEDGER_ROOM: usize = 128;

/// How a sequence of events ended.
pub(crate) enum Outcome {
    /// With the answer to a direct request.
    Frame(Frame),
    /// With the answer to a framework message.
    Vm(VmVerdict),
    /// The caller may kick the bus.
    Kick(EndpointId),
    /// The caller may know a head of the ledger, or read the ledger into its area.
    Ledger(LedgerTask),
    /// With the answer to the bus's use of an area.
    Used(Result<GrantView, Status>),
    /// With nothing to answer.
    Nothing,
}

impl Outcome {
    /// The broker ended a sequence in a way that its event does not allow: our bug, and no reason
    /// to stop. The caller is told that the partition failed.
    fn out_of_place(&self) -> Status {
        let what = match self {
            Self::Frame(_) => "a frame",
            Self::Vm(_) => "a VM verdict",
            Self::Kick(_) => "a kick",
            Self::Ledger(_) => "a ledger call",
            Self::Used(_) => "a use",
            Self::Nothing => "nothing",
        };
        log!("broker: {what} out of place");
        Status::PartitionFailed
    }
}

/// What only the running machine has.
pub(crate) struct Machine {
    /// Our id.
    pub(crate) own_id: EndpointId,
    /// Our stage-1 tables.
    pub(crate) tables: Stage1,
    /// RX and TX.
    pub(crate) mailbox: Mailbox,
}

/// Everything that the calls of all cores share.
pub(crate) struct Partition {
    pub(crate) broker: FullBroker,
    pub(crate) ledger: Ledger<LEDGER_ROOM>,
    pub(crate) bus: BusGlue,
    pub(crate) areas: Areas,
    response: Response,
    /// What the broker said last. Kept here: it is large, and every call has at least one.
    step: Step,
    machine: Option<Machine>,
}

static STATE: OrderedLock<Partition> = OrderedLock::new(Partition::new());

/// Runs `work` alone with the state.
pub(crate) fn with<R>(work: impl FnOnce(&mut Partition) -> R) -> Result<R, Crashed> {
    STATE.with(crash::happened, work)
}

impl Partition {
    /// In its place from the start: it is too large for a stack.
    const fn new() -> Self {
        Self {
            broker: FullBroker::new(),
            ledger: Ledger::new(),
            bus: BusGlue::new(),
            areas: Areas::new(),
            response: Response::new(),
            step: Step::new(),
            machine: None,
        }
    }

    /// Takes the machine and the policy, once. Without a policy everybody is refused.
    pub(crate) fn start(&mut self, machine: Machine, policy: &Policy) {
        let ticks_per_ms = regs::counter_frequency() / 1000;
        if let Err(error) = self.broker.configure(policy, machine.own_id, ticks_per_ms) {
            log!("policy refused: {error:?}");
        }
        self.ledger.configure(policy);
        self.bus.configure(policy, ticks_per_ms);
        self.machine = Some(machine);
    }

    /// Answers a frame of `caller`.
    pub(crate) fn frame(&mut self, caller: EndpointId, frame: Frame) -> Frame {
        self.bus_tick();
        let answer = self.answer(caller, frame);
        self.bus_settle();
        let [number, ..] = frame[0].to_le_bytes();
        if number == CallId::HypPoll.number() {
            // The hypervisor's time, which no VM waits for.
            self.ledger.tend();
        }
        self.with_bus_deadline(answer)
    }

    /// HYP_POLL returns the next moment at which somebody must look: the bus has one as well.
    fn with_bus_deadline(&self, answer: Frame) -> Frame {
        let [number, ..] = answer[0].to_le_bytes();
        if number != CallId::HypPoll.number() {
            return answer;
        }
        let Some(mut reply) = Reply::decode(&answer).filter(|r| r.status == Status::Ok) else {
            return answer;
        };
        let ([.., deadline], Some(bus)) = (&mut reply.results, self.bus.deadline()) else {
            return answer;
        };
        *deadline = if *deadline == 0 { bus } else { bus.min(*deadline) };
        reply.encode()
    }

    fn answer(&mut self, caller: EndpointId, frame: Frame) -> Frame {
        if !dispatch::is_bus_message(&frame) {
            return match self.drive(Event::Frame { caller, frame }) {
                Outcome::Frame(answer) => answer,
                Outcome::Kick(vm) => self.bus_kick(vm),
                Outcome::Ledger(task) => self.ledger_task(task),
                other @ (Outcome::Vm(_) | Outcome::Used(_) | Outcome::Nothing) => {
                    dispatch::refused_frame(&frame, other.out_of_place())
                }
            };
        }
        match self.drive(Event::Tick) {
            Outcome::Nothing => {}
            other @ (Outcome::Frame(_)
            | Outcome::Vm(_)
            | Outcome::Kick(_)
            | Outcome::Ledger(_)
            | Outcome::Used(_)) => {
                return dispatch::refused_frame(&frame, other.out_of_place());
            }
        }
        match self.broker.check_caller(caller) {
            Ok(()) => self.bus_frame(caller, frame),
            Err(status) => dispatch::refused_frame(&frame, status),
        }
    }

    /// Takes a framework message about a VM.
    pub(crate) fn vm_event(&mut self, caller: EndpointId, event: VmEvent) -> Result<(), FfaError> {
        let (event, vm) = match event {
            VmEvent::Created(vm) => (Event::VmCreated { caller, vm }, None),
            VmEvent::Destroyed(vm) => (Event::VmDestroyed { caller, vm }, Some(vm)),
        };
        let outcome = self.drive(event);
        let result = match outcome {
            Outcome::Vm(VmVerdict::Done) => {
                if let Some(gone) = vm {
                    self.bus_vm_gone(gone);
                }
                Ok(())
            }
            Outcome::Vm(VmVerdict::InProgress) => Err(FfaError::Retry),
            Outcome::Vm(VmVerdict::Refused(_)) => Err(FfaError::Denied),
            other @ (Outcome::Frame(_)
            | Outcome::Kick(_)
            | Outcome::Ledger(_)
            | Outcome::Used(_)
            | Outcome::Nothing) => {
                let _status: Status = other.out_of_place();
                Err(FfaError::Aborted)
            }
        };
        self.bus_settle();
        result
    }

    /// Feeds an event and carries out what follows, until the broker says that it is done. It ends
    /// because the broker bounds every sequence.
    pub(crate) fn drive(&mut self, first: Event<'_>) -> Outcome {
        let mut next = self.feed(first);
        loop {
            next = match next {
                Next::Retrieve(request) => self.retrieve(&request),
                Next::Relinquish(handle) => {
                    let result = match &mut self.machine {
                        Some(m) => transactions::relinquish(&mut m.mailbox, m.own_id, handle),
                        None => Err(FfaError::NotReady),
                    };
                    self.feed(Event::Relinquished(result))
                }
                Next::Map { grant, permission } => {
                    let result = self.map(grant, permission);
                    self.feed(Event::Mapped(result))
                }
                Next::Unmap { grant } => {
                    let result = match &mut self.machine {
                        Some(m) => self.areas.unmap(&mut m.tables, grant),
                        None => Err(MapFailed),
                    };
                    self.feed(Event::Unmapped(result))
                }
                Next::Continue => self.feed(Event::Continue),
                Next::Reply(frame) => return Outcome::Frame(frame),
                Next::VmReply(verdict) => return Outcome::Vm(verdict),
                Next::BusKick { vm } => return Outcome::Kick(vm),
                Next::LedgerHead { vm, scope, half } => {
                    return Outcome::Ledger(LedgerTask::Head { vm, scope, half });
                }
                Next::LedgerRead { vm, grant, scope, cursor } => {
                    return Outcome::Ledger(LedgerTask::Read { vm, grant, scope, cursor });
                }
                Next::Used(result) => return Outcome::Used(result),
                Next::Idle => return Outcome::Nothing,
            };
        }
    }

    /// Feeds one event and carries out the notices.
    fn feed(&mut self, event: Event<'_>) -> Next {
        let now = regs::now();
        self.broker.step_into(now, event, &mut self.step);
        carry_out(now, &self.step, &mut self.ledger, &mut self.bus);
        self.step.next()
    }

    fn map(&mut self, grant: GrantId, permission: Permission) -> Result<(), MapFailed> {
        let m = self.machine.as_mut().ok_or(MapFailed)?;
        let view = self.broker.view(grant).ok_or(MapFailed)?;
        self.areas.map(&mut m.tables, &view, permission, self.broker.ranges(grant))
    }

    fn retrieve(&mut self, request: &RetrieveRequest) -> Next {
        let Some(m) = &mut self.machine else {
            return self.feed(Event::Retrieved(Err(FfaError::NotReady)));
        };
        match transactions::retrieve(&mut m.mailbox, m.own_id, request, &mut self.response) {
            Ok(()) => {
                let Self { broker, step, response, .. } = self;
                let now = regs::now();
                facts::with_descriptor(response.bytes(), request, m.own_id, |descriptor| {
                    broker.step_into(now, Event::Retrieved(Ok(descriptor)), step);
                });
                carry_out(now, &self.step, &mut self.ledger, &mut self.bus);
                self.step.next()
            }
            Err(error) => self.feed(Event::Retrieved(Err(error))),
        }
    }
}

fn carry_out(now: u64, step: &Step, ledger: &mut Ledger<LEDGER_ROOM>, bus: &mut BusGlue) {
    for notice in step.notices() {
        match notice {
            Notice::Ledger(record) => ledger.append(now, record),
            Notice::RingHypervisor(doorbell) => ring(doorbell),
            Notice::AreaLost { owner, handle, .. } => bus.area_lost(owner, handle),
        }
    }
}

/// Interrupts the hypervisor.
fn ring(doorbell: Doorbell) {
    if let Some(core) = CoreId::new(usize::from(doorbell.core)) {
        regs::raise_ns_sgi(core, doorbell.sgi);
    }
}
