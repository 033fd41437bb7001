//! Owns the broker's state and its one entry, `step`; never acts.

mod area;
mod bell;
mod call;
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
mod told;
mod vm;
mod who;

pub use bell::RING_WINDOW_MS;
pub use query::{STATS_VM_PAGES, VERSION_CALL};
pub use seal::{SEAL_BLOCKS, SEAL_GRANTS};
pub use vm::DESTROY_BATCH;

use call::first_word;
use told::{ok, refuse};
use who::{Caller, id_of_slot};

use crate::event::{Doorbell, Event, Next, RetrieveRequest, Step};
use crate::policy::{MAX_VMS, Policy, PolicyError};
use crate::store::Store;
use crate::table::Bits;
use causeway_abi::{Frame, Status};
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
        /// The place of the peer, which lives.
        peer: Option<u8>,
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
