//! Owns the whole life of one area, step by step, each step counted. Never varies anything by itself.

use crate::arch::smc;
use crate::calls::{HYPERVISOR, message, must};
use crate::measure::{Clock, Sample};
use crate::spmc::{Area, Borrowers, Counted, OWNER, PEER, reclaim, share};
use causeway_abi::{
    Call, DigestHalf, GrantKind, GrantSummary, GrantTerms, LedgerScope, Permission,
};
use causeway_bench::line::Partition;
use causeway_ffa::{EndpointId, MemHandle};

/// What is counted in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Share,
    Offer,
    Poll,
    State,
    List,
    Inspect,
    Accept,
    Mapping,
    Unmapped,
    Release,
    Reject,
    Revoke,
    Reclaim,
    OfferLocal,
    RevokeLocal,
    /// Offer, inspect, accept, release.
    Cycle,
    /// The same with the hypervisor's word that it maps and unmaps the peer.
    CycleMapped,
    /// Offer and revoke of a local area.
    CycleLocal,
}

const NAMES: [&str; 18] = [
    "mem_share",
    "offer",
    "hyp_poll",
    "state",
    "list",
    "inspect",
    "accept",
    "hyp_mapping",
    "hyp_unmapped",
    "release",
    "reject",
    "revoke",
    "mem_reclaim",
    "offer_local",
    "revoke_local",
    "cycle",
    "cycle_mapped",
    "cycle_local",
];

/// The counts of several lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps([Sample; NAMES.len()]);

impl Steps {
    fn add(&mut self, step: Step, counted: Counted) {
        self.0[step as usize].add(counted.ticks, counted.pairs);
    }

    /// Of each step the sample with the larger mean.
    pub(crate) fn worse(self, other: Self) -> Self {
        Self(core::array::from_fn(|index| self.0[index].worse(other.0[index])))
    }

    /// The count of one step.
    pub(crate) fn of(&self, step: Step) -> Sample {
        self.0[step as usize]
    }

    /// Prints all that was counted.
    pub(crate) fn print(&self, clock: &Clock, section: &str, size: u64) {
        for (name, sample) in NAMES.iter().zip(&self.0) {
            clock.print(section, size, name, *sample);
        }
    }
}

/// Which way a life takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Offered, inspected, accepted, released.
    Released,
    /// The peer is mapped and unmapped in between.
    Mapped,
    /// The peer declines.
    Rejected,
    /// The owner takes the offer back.
    Revoked,
    /// The partition alone borrows it.
    Local,
}

/// All ways.
pub(crate) const WAYS: [Way; 5] =
    [Way::Released, Way::Mapped, Way::Rejected, Way::Revoked, Way::Local];

/// The terms of every area here: shared, read-write.
pub(crate) fn terms(peer: Option<EndpointId>) -> GrantTerms {
    GrantTerms { peer, kind: GrantKind::Share, permission: Permission::ReadWrite }
}

/// Names a handle that the SPMC gave.
pub(crate) fn named(handle: u64) -> MemHandle {
    MemHandle::new(handle).expect("the SPMC gives handles that are not all ones")
}

/// Makes one counted call that must succeed.
fn counted(clock: &mut Clock, from: EndpointId, call: &Call, what: &str) -> (Counted, [u64; 4]) {
    let regs = message(from, call);
    let mut count = Counted::default();
    let answer = count.call(clock, &regs);
    (count, must(clock.partition, what, &answer))
}

/// What the peer repeats when it accepts.
pub(crate) fn seen(partition: Partition, results: [u64; 4]) -> GrantSummary {
    let words = match partition {
        Partition::Causeway => [results[0], results[1], results[2]],
        // An echo says nothing: any terms do.
        Partition::Empty => [u64::from(OWNER.get()) | 2 << 16, 1 | 1 << 32, 0],
    };
    GrantSummary::from_words(words).expect("the partition packs what it means")
}

/// One life under way.
struct Life<'a> {
    clock: &'a mut Clock,
    steps: &'a mut Steps,
    /// The calls that count as the cycle.
    whole: Counted,
}

impl Life<'_> {
    fn step(&mut self, step: Step, from: EndpointId, call: Call) -> (Counted, [u64; 4]) {
        let (count, results) = counted(self.clock, from, &call, NAMES[step as usize]);
        self.steps.add(step, count);
        (count, results)
    }

    /// A step of the cycle.
    fn cycle(&mut self, step: Step, from: EndpointId, call: Call) -> [u64; 4] {
        let (count, results) = self.step(step, from, call);
        self.whole.and(count);
        results
    }

    fn accept(&mut self, handle: MemHandle) {
        self.step(Step::Poll, HYPERVISOR, Call::HypPoll);
        self.step(Step::State, OWNER, Call::State { handle });
        self.step(Step::List, PEER, Call::List { cursor: 0 });
        let inspect = Call::Inspect { handle, range_index: 0 };
        let results = self.cycle(Step::Inspect, PEER, inspect);
        let seen = seen(self.clock.partition, results);
        self.cycle(Step::Accept, PEER, Call::Accept { handle, seen });
    }
}

/// One life of `area`, with nothing in the ledger that waits to be chained: a poll does that at times.
pub(crate) fn live(clock: &mut Clock, area: &Area, way: Way, steps: &mut Steps) {
    for vm in [OWNER, PEER] {
        chain(clock, vm);
    }
    life(clock, area, way, steps);
}

/// Chains what the ledger holds of a VM.
pub(crate) fn chain(clock: &Clock, vm: EndpointId) {
    let head = Call::LedgerHead { scope: LedgerScope::Own, half: DigestHalf::First };
    let regs = message(vm, &head);
    while must(clock.partition, "ledger_head", &smc(&regs))[3] != 0 {}
}

/// One life of `area`.
pub(crate) fn life(clock: &mut Clock, area: &Area, way: Way, steps: &mut Steps) {
    let (peer, borrowers) = match way {
        Way::Local => (None, Borrowers::Partition),
        Way::Released | Way::Mapped | Way::Rejected | Way::Revoked => (Some(PEER), Borrowers::Both),
    };
    let (raw, count) = share(clock, &Area { borrowers, ..*area });
    steps.add(Step::Share, count);
    let handle = named(raw);
    let offer = Call::Offer { handle, terms: terms(peer), tag: 0 };
    let offered = if way == Way::Local { Step::OfferLocal } else { Step::Offer };
    let mut life = Life { clock, steps, whole: Counted::default() };
    let generation = life.cycle(offered, OWNER, offer)[0] as u32;
    match way {
        Way::Released => {
            life.accept(handle);
            life.cycle(Step::Release, PEER, Call::Release { handle });
            life.steps.add(Step::Cycle, life.whole);
        }
        Way::Mapped => {
            life.accept(handle);
            life.cycle(Step::Mapping, HYPERVISOR, Call::HypMapping { handle, vm: PEER });
            life.cycle(Step::Unmapped, HYPERVISOR, Call::HypUnmapped { handle, vm: PEER });
            life.cycle(Step::Release, PEER, Call::Release { handle });
            life.steps.add(Step::CycleMapped, life.whole);
        }
        Way::Rejected => {
            life.step(Step::Reject, PEER, Call::Reject { handle, generation });
        }
        Way::Revoked => {
            life.step(Step::Revoke, OWNER, Call::Revoke { handle });
        }
        Way::Local => {
            life.cycle(Step::RevokeLocal, OWNER, Call::Revoke { handle });
            life.steps.add(Step::CycleLocal, life.whole);
        }
    }
    let count = reclaim(clock, raw);
    steps.add(Step::Reclaim, count);
}
