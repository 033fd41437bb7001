//! Owns the broker's state and its one entry, `step`; never acts.

mod area;
mod bell;
#[cfg(any(test, feature = "explore"))]
mod canonical;
mod close;
mod hypervisor;
mod join;
mod offer;
mod owner;
mod peer;
mod query;
mod seal;
mod vm;

pub use bell::RING_WINDOW_MS;
pub use query::{STATS_VM_PAGES, VERSION_CALL};
pub use seal::{SEAL_BLOCKS, SEAL_GRANTS};
pub use vm::DESTROY_BATCH;

use crate::defect::defective;
use crate::event::{Doorbell, Event, Next, Notice, Out, RetrieveRequest, Step, VmVerdict};
use crate::grant::{Grant, GrantId, Party};
use crate::ledger::{Action, Record};
use crate::policy::{MAX_VMS, Policy, PolicyError};
use crate::store::Store;
use crate::table::Bits;
use causeway_abi::{Call, CallId, Frame, InterruptCall, Reply, Status};
use causeway_ffa::EndpointId;

/// The broker with the image's table sizes: more grants and ranges than the EL3 SPMC's descriptor
/// store holds (64 KiB: 546 one-page transactions, or one of 4,089 ranges).
pub type FullBroker = Broker<1152, 6144, 18>;

/// Whether a VM lives, as far as the hypervisor told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    /// Named by the policy and never spoken of: lives, for not every hypervisor announces the VMs
    /// that it starts with.
    Assumed,
    Live,
    /// Destroyed, but grants of its still have to be let go.
    Dying,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Vm {
    life: Life,
    incarnation: u32,
    /// Bit 1 of EVENTS.
    changed: bool,
    /// Bit 2 of EVENTS.
    bus: bool,
}

/// Which call lets a grant go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Revoke,
    Reject,
    Release,
    HypUnmapped,
}

/// What the sequence under way waits for. One at a time: the image holds its lock over each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pending {
    Nothing,
    /// The retrieve of an offer.
    Offer {
        vm: u8,
        pair: u8,
        request: RetrieveRequest,
    },
    /// Giving back what a refused offer had retrieved.
    Undo {
        vm: u8,
        request: RetrieveRequest,
        status: Status,
    },
    /// Giving back the partition's lock.
    Close {
        slot: u16,
        caller: EndpointId,
        cause: Cause,
    },
    /// Mapping a local area for its first use.
    Map {
        slot: u16,
    },
    /// Unmapping a local area after its last use.
    Unmap {
        slot: u16,
    },
    /// Moving bytes between two joined areas.
    Copy(join::CopyJob),
    /// Letting go of what a destroyed VM owned or borrowed.
    Destroy {
        vm: u8,
        slot: u16,
        left: u8,
    },
}

/// The state machine: at most `GRANTS` live grants and `RANGES` address ranges in all; `WORDS`
/// must be `GRANTS.div_ceil(64)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker<const GRANTS: usize, const RANGES: usize, const WORDS: usize> {
    policy: Policy,
    partition: EndpointId,
    /// How long a peer may take to let go.
    unmap_ticks: u64,
    /// Whether the SPMC has FFA_MEM_DONATE.
    spmc_donates: bool,
    store: Store<GRANTS, RANGES, WORDS>,
    vms: [Vm; MAX_VMS],
    pending: Pending,
    doorbell: Option<Doorbell>,
    /// VMs to ring, bit n for VM n, until the hypervisor polls.
    bells: u64,
    /// What each VM may still ring in its window of `ring_ticks`.
    rations: [bell::Ration; MAX_VMS],
    ring_ticks: u64,
    /// The hypervisor was told that there is work and has not polled since.
    attention: bool,
    /// Where the next poll looks for a grant to unmap, so that each gets its turn.
    poll_from: u16,
    /// No grant that is releasing has an earlier deadline, and no ration is full earlier.
    expire_at: u64,
    seal: seal::Seal<GRANTS, WORDS>,
    /// What each VM is answered to VERSION.
    versions: [Frame; MAX_VMS],
    joins: join::Halves,
    /// Slots of the areas in them.
    joined_slots: Bits<WORDS>,
    #[cfg(any(test, feature = "explore"))]
    defect: Option<crate::defect::Defect>,
}

/// Who calls, once known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Hypervisor,
    Vm(u8),
}

impl Caller {
    const fn vm(self) -> Option<u8> {
        match self {
            Self::Hypervisor => None,
            Self::Vm(vm) => Some(vm),
        }
    }
}

impl<const GRANTS: usize, const RANGES: usize, const WORDS: usize> Broker<GRANTS, RANGES, WORDS> {
    /// An empty broker that knows no VM: for a `static`. Call [`Broker::configure`] once.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            policy: Policy::new(),
            partition: EndpointId::from_raw(0),
            unmap_ticks: 0,
            spmc_donates: false,
            store: Store::new(),
            vms: [Vm { life: Life::Dead, incarnation: 0, changed: false, bus: false }; MAX_VMS],
            pending: Pending::Nothing,
            doorbell: None,
            bells: 0,
            rations: [bell::Ration::NEW; MAX_VMS],
            ring_ticks: 0,
            attention: false,
            poll_from: 0,
            expire_at: u64::MAX,
            seal: seal::Seal::new(),
            versions: [[0; 5]; MAX_VMS],
            joins: join::Halves::new(),
            joined_slots: Bits::new(),
            #[cfg(any(test, feature = "explore"))]
            defect: None,
        }
    }

    /// Takes the policy; `partition` is the partition's own id (FFA_ID_GET), `ticks_per_ms` the
    /// counter's frequency / 1000. To be called once, on a new broker.
    ///
    /// # Errors
    /// If the policy reserves more than the tables hold; the broker then stays closed to everybody.
    pub fn configure(
        &mut self,
        policy: &Policy,
        partition: EndpointId,
        ticks_per_ms: u64,
    ) -> Result<(), PolicyError> {
        policy.check(GRANTS, RANGES)?;
        self.policy = *policy;
        self.partition = partition;
        self.unmap_ticks = u64::from(policy.unmap_deadline_ms()).saturating_mul(ticks_per_ms);
        self.ring_ticks = RING_WINDOW_MS.saturating_mul(ticks_per_ms).max(1);
        self.store.reserve(policy);
        for (vm, _) in self.vms.iter_mut().zip(policy.vms()) {
            vm.life = Life::Assumed;
        }
        self.make_versions();
        Ok(())
    }

    /// Says that the SPMC has FFA_MEM_DONATE (FFA_FEATURES told): without it donations are refused
    /// and VERSION does not announce them.
    pub fn spmc_donates(&mut self) {
        self.spmc_donates = true;
        self.make_versions();
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The one entry: takes an event, returns effects. Total and bounded; see the crate's example.
    pub fn step(&mut self, now_ticks: u64, event: Event<'_>) -> Step {
        let mut step = Step::new();
        self.step_into(now_ticks, event, &mut step);
        step
    }

    /// [`Broker::step`] into a place that the caller keeps: a step is large, and to make and copy
    /// one would cost more than most calls. What `step` held is gone. Inlined, so that who names the
    /// event comes straight to what takes it.
    #[inline(always)]
    pub fn step_into(&mut self, now_ticks: u64, event: Event<'_>, step: &mut Step) {
        match event {
            Event::Frame { caller, frame } => self.take_frame(now_ticks, caller, &frame, step),
            Event::RetrievedAsAsked(pages) => self.retrieved_as_asked(now_ticks, pages, step),
            Event::Relinquished(result) => self.relinquished(now_ticks, result, step),
            Event::VmCreated { .. }
            | Event::VmDestroyed { .. }
            | Event::Use { .. }
            | Event::Unuse { .. }
            | Event::BusFrame { .. }
            | Event::BusWaiting { .. }
            | Event::InterruptWaiting { .. }
            | Event::Ring { .. }
            | Event::Tick
            | Event::Retrieved(_)
            | Event::Mapped(_)
            | Event::Unmapped(_)
            | Event::Copied(_)
            | Event::Continue => self.dispatch(now_ticks, event, step),
        }
    }

    /// Begins a step of a sequence that is under way.
    #[inline]
    fn begin(&self, now: u64, step: &mut Step) {
        step.out.begin(now, self.sender_of_sequence());
    }

    /// [`Broker::step_into`] with [`Event::Frame`], which nearly every event is: without a copy of it.
    #[inline(never)]
    pub fn take_frame(&mut self, now: u64, caller: EndpointId, frame: &Frame, step: &mut Step) {
        let Step { out, next } = step;
        out.begin(now, None);
        self.expire(now, out);
        *next = match self.caller(caller) {
            Ok(who) => {
                out.set_sender(who.vm());
                match Call::decode_id(frame) {
                    Ok(id) => self.taken(now, (caller, who), id, frame, out),
                    Err(status) => Err(status),
                }
            }
            Err(status) => Err(status),
        };
        if let Err(status) = *next {
            let [number, ..] = first_word(frame).to_le_bytes();
            *next = Ok(refuse(caller, number, status, out));
        }
    }

    /// Takes the calls of a grant's life by ways of their own, each of which knows its call from the
    /// beginning on; they all are [`Broker::run`].
    #[inline(always)]
    fn taken(
        &mut self,
        now: u64,
        who: (EndpointId, Caller),
        id: CallId,
        frame: &Frame,
        out: &mut Out,
    ) -> Result<Next, Status> {
        macro_rules! one_of {
            ($($name:ident)+) => {
                match id {
                    $(CallId::$name => self.run(now, who, CallId::$name, frame, out),)+
                    other => self.run_other(now, who, other, frame, out),
                }
            };
        }
        one_of!(Offer Revoke Inspect Accept Reject Release State List Events HypPoll HypMapping HypUnmapped)
    }

    #[inline(never)]
    fn run_other(
        &mut self,
        now: u64,
        who: (EndpointId, Caller),
        id: CallId,
        frame: &Frame,
        out: &mut Out,
    ) -> Result<Next, Status> {
        self.run(now, who, id, frame, out)
    }

    /// Reads the arguments and makes the call.
    #[inline(always)]
    fn run(
        &mut self,
        now: u64,
        (caller, who): (EndpointId, Caller),
        id: CallId,
        frame: &Frame,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let [_, a, b, c, d] = *frame;
        match Call::decode_args(id, [a, b, c, d]) {
            Ok(call) => self.call(now, caller, who, call, out),
            Err(status) => Err(status),
        }
    }

    #[inline(never)]
    fn dispatch(&mut self, now: u64, event: Event<'_>, step: &mut Step) {
        self.begin(now, step);
        let out = &mut step.out;
        step.next = Ok(match event {
            Event::VmCreated { caller, vm } => {
                self.expire(now, out);
                let result = self.vm_created(caller, vm, out);
                self.verdict(caller, result, out)
            }
            Event::VmDestroyed { caller, vm } => {
                self.expire(now, out);
                let result = self.vm_destroyed(now, caller, vm, out);
                self.verdict(caller, result, out)
            }
            Event::Use { grant } => {
                self.begin_use(grant, out).unwrap_or_else(|s| Next::Used(Err(s)))
            }
            Event::Unuse { grant } => {
                self.end_use(grant, out).unwrap_or_else(|s| Next::Used(Err(s)))
            }
            Event::BusFrame { caller, frame } => {
                self.expire(now, out);
                let [number, ..] = first_word(&frame).to_le_bytes();
                let result = self.check_caller(caller).and_then(|()| self.free_for_call());
                self.answer(caller, number, result.map(|()| Next::BusFrame { vm: caller }), out)
            }
            Event::BusWaiting { vm, by } => {
                out.set_sender(by.and_then(|id| self.policy.vm_index(id)));
                self.bus_waiting(vm, out);
                Next::Idle
            }
            Event::InterruptWaiting { vm } | Event::Ring { vm } => {
                if let Some(index) = self.live_vm(vm) {
                    self.ring(index, out);
                }
                Next::Idle
            }
            Event::Tick => {
                self.expire(now, out);
                Next::Idle
            }
            Event::Retrieved(Ok(descriptor)) => self.retrieved(descriptor, out),
            Event::Retrieved(Err(error)) => self.retrieve_failed(error, out),
            Event::Mapped(result) => self.mapped(result, out),
            Event::Unmapped(result) => self.unmapped(result, out),
            Event::Copied(result) => self.copied(result, out),
            Event::Continue => self.resume(now, out),
            // Taken by `step_into`.
            Event::Frame { .. } | Event::RetrievedAsAsked(_) | Event::Relinquished(_) => Next::Idle,
        });
    }

    #[inline(always)]
    fn call(
        &mut self,
        now: u64,
        caller: EndpointId,
        who: Caller,
        call: Call,
        out: &mut Out,
    ) -> Result<Next, Status> {
        self.free_for_call()?;
        let vm = |who| match who {
            Caller::Vm(vm) => Ok(vm),
            Caller::Hypervisor => Err(Status::UnknownCaller),
        };
        let hypervisor = match who {
            Caller::Hypervisor => Ok(()),
            Caller::Vm(_) => Err(Status::NotHypervisor),
        };
        match call {
            Call::Version { .. } => Ok(self.version(caller, who)),
            Call::Features { call_number } => Ok(query::has_call(call_number)),
            Call::Events => Ok(self.events(vm(who)?)),
            Call::Stats { page } => hypervisor.and_then(|()| self.stats(page)),
            Call::Offer { handle, terms, tag } => self.offer(vm(who)?, handle, terms, tag),
            Call::Revoke { handle } => self.revoke(now, vm(who)?, handle, out),
            Call::State { handle } => self.state(now, vm(who)?, handle),
            Call::Join { handle, name } => self.join(vm(who)?, handle, name, out),
            Call::Part { name } => self.part(vm(who)?, name, out),
            Call::Joined { name } => self.joined(vm(who)?, name),
            Call::Copy { name, direction, from_offset, to_offset, length } => {
                self.copy(vm(who)?, (name, direction), (from_offset, to_offset), length)
            }
            Call::List { cursor } => Ok(self.list(vm(who)?, cursor)),
            Call::Inspect { handle, range_index } => self.inspect(vm(who)?, handle, range_index),
            Call::Accept { handle, seen } => self.accept(vm(who)?, handle, seen, out),
            Call::Reject { handle, generation } => self.reject(vm(who)?, handle, generation),
            Call::Release { handle } => self.release(now, vm(who)?, handle, out),
            Call::HypRegister { sgi, core } => {
                hypervisor.map(|()| self.hyp_register(caller, Doorbell { sgi, core }, out))
            }
            Call::HypPoll => hypervisor.map(|()| self.hyp_poll(now, out)),
            Call::HypMapping { handle, vm } => {
                hypervisor.and_then(|()| self.hyp_mapping(handle, vm, out))
            }
            Call::HypUnmapped { handle, vm } => {
                let forged = defective!(self, UnmappedForged);
                let may = if forged { Ok(()) } else { hypervisor };
                may.and_then(|()| self.hyp_unmapped(caller, handle, vm, out))
            }
            Call::BusKick => {
                let vm = vm(who)?;
                if let Some(state) = self.vms.get_mut(usize::from(vm)) {
                    state.bus = false;
                }
                Ok(Next::BusKick { vm: caller })
            }
            Call::Interrupt(call) => {
                match call {
                    InterruptCall::Bind { .. } => hypervisor?,
                    InterruptCall::Fetch
                    | InterruptCall::Complete { .. }
                    | InterruptCall::Mask { .. }
                    | InterruptCall::Unmask { .. }
                    | InterruptCall::Arm { .. }
                    | InterruptCall::Info { .. } => vm(who).map(|_| ())?,
                }
                Ok(Next::Interrupt { caller, call })
            }
            Call::Seal => self.seal(caller, who, out),
            Call::LedgerHead { scope, half } => {
                self.may_read(vm(who)?, scope)?;
                Ok(Next::LedgerHead { vm: caller, scope, half })
            }
            Call::LedgerRead { handle, scope, cursor } => {
                self.ledger_read(vm(who)?, handle, scope, cursor)
            }
            Call::Vault(call) => vm(who).map(|_| Next::Vault { vm: caller, call }),
        }
    }

    fn free_for_call(&self) -> Result<(), Status> {
        let free = self.pending == Pending::Nothing || defective!(self, BusyIgnored);
        if free { Ok(()) } else { Err(Status::Busy) }
    }

    fn caller(&self, id: EndpointId) -> Result<Caller, Status> {
        if self.policy.hypervisor() == Some(id) {
            return Ok(Caller::Hypervisor);
        }
        let known = self.policy.vm_index(id);
        let live = known.filter(|vm| self.is_live(*vm) || defective!(self, DeadCaller));
        live.map(Caller::Vm).ok_or(Status::UnknownCaller)
    }

    fn live_vm(&self, id: EndpointId) -> Option<u8> {
        self.policy.vm_index(id).filter(|vm| self.is_live(*vm))
    }

    fn is_live(&self, vm: u8) -> bool {
        self.vms.get(usize::from(vm)).is_some_and(|v| match v.life {
            Life::Assumed | Life::Live => true,
            Life::Dying | Life::Dead => false,
        })
    }

    /// A VM in its present life.
    fn party(&self, vm: u8) -> Party {
        let incarnation = self.vms.get(usize::from(vm)).map_or(0, |v| v.incarnation);
        Party { vm, incarnation }
    }

    /// Whether this life of the VM is the present one.
    fn lives(&self, party: Party) -> bool {
        self.is_live(party.vm) && self.party(party.vm) == party
    }

    #[inline]
    fn id_of(&self, vm: u8) -> EndpointId {
        // Only places in the policy's table are ever stored.
        self.policy.id_of(vm)
    }

    /// The grant of this VM, in its present life, as owner or peer.
    fn own(&self, vm: u8, handle: causeway_ffa::MemHandle) -> Result<(u16, &Grant), Status> {
        let slot = self.store.find(handle).ok_or(Status::NoSuchGrant)?;
        let grant = self.store.grant(slot).ok_or(Status::NoSuchGrant)?;
        let me = self.party(vm);
        let mut mine = grant.owner == me || grant.peer == Some(me);
        if defective!(self, OldLife) {
            mine = grant.owner.vm == vm || grant.peer.is_some_and(|p| p.vm == vm);
        }
        if mine || defective!(self, AnyonesHandle) {
            Ok((slot, grant))
        } else if defective!(self, ForeignHandle) {
            Err(Status::WrongState)
        } else {
            Err(Status::NoSuchGrant)
        }
    }

    /// Ends a call: a refusal goes into the ledger and changes nothing else.
    fn answer(
        &self,
        caller: EndpointId,
        number: u8,
        result: Result<Next, Status>,
        out: &mut Out,
    ) -> Next {
        result.unwrap_or_else(|status| refuse(caller, number, status, out))
    }

    fn verdict(&self, caller: EndpointId, result: Result<Next, Status>, out: &mut Out) -> Next {
        result.unwrap_or_else(|status| {
            out.push(Notice::Ledger(Record::of_refusal(caller, 0, status)));
            Next::VmReply(VmVerdict::Refused(status))
        })
    }

    fn log(&self, grant: &Grant, subject: u8, action: Action, out: &mut Out) {
        out.push(Notice::Ledger(Record {
            subject: self.id_of(subject),
            owner: Some(self.id_of(grant.owner.vm)),
            peer: grant.peer.map(|p| self.id_of(p.vm)),
            handle: Some(grant.handle),
            generation: grant.serial,
            page_count: grant.extent.page_count,
            action,
            fold: grant.extent.fold,
        }));
    }

    fn log_vm(&self, vm: EndpointId, incarnation: u32, action: Action, out: &mut Out) {
        out.push(Notice::Ledger(Record { generation: incarnation, ..Record::new(vm, action) }));
    }
}

/// Refuses a call: that goes into the ledger and changes nothing else.
#[inline(never)]
fn refuse(caller: EndpointId, number: u8, status: Status, out: &mut Out) -> Next {
    out.push(Notice::Ledger(Record::of_refusal(caller, number, status)));
    Next::Reply(Reply::refused(number, status).encode())
}

/// A successful answer.
#[inline]
fn ok(id: CallId, results: [u64; 4]) -> Next {
    Next::Reply(Reply::ok(id.number(), results).encode())
}

fn id_of_slot(slot: u16, grant: &Grant) -> GrantId {
    GrantId { slot, generation: grant.generation }
}

const fn first_word(frame: &Frame) -> u64 {
    let [word, ..] = *frame;
    word
}

impl<const GRANTS: usize, const RANGES: usize, const WORDS: usize> Default
    for Broker<GRANTS, RANGES, WORDS>
{
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
