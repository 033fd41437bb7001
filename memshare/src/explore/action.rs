//! Owns what can happen in a walk's world: each action is one sequence, carried out to its end.

use super::{Node, SmallLab, Special, Transaction, World};
use crate::event::{Event, MapFailed, VmVerdict};
use crate::grant::GrantView;
use crate::lab::{HYPERVISOR, Outcome, handle, vm};
use causeway_abi::{
    Call, CallId, DigestHalf, Frame, GrantSummary, LedgerScope, LifeState, NO_HANDLE, Reply, Status,
};
use causeway_ffa::{EndpointId, FfaError};
use std::vec::Vec;

macro_rules! kinds {
    ($($name:ident),+ $(,)?) => {
        /// A sort of action, for counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "named after the variants of Act and Question")]
        pub enum Kind { $($name),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

kinds! {
    Send, Reclaim, Offer, Accept, AcceptOther, Reject, Release, Revoke, Map, Unmap, ForgeUnmapped,
    Use, Unuse, Destroy, Create, ForgeDestroyed, Poll, Register, Wait, Version, Features, Events,
    Stats, State, List, Inspect, BusKick, BusWaiting, Garbage, Seal, LedgerHead, LedgerRead,
    SecondCore,
}

/// A call that only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named after the calls")]
pub enum Question {
    Version,
    Features,
    Events,
    Stats(u8),
    State,
    List,
    Inspect(u32),
    BusKick,
    LedgerHead(LedgerScope),
    LedgerRead(LedgerScope),
}

/// One thing that happens. Handles are named by number, VMs by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// The owner's FFA_MEM_SHARE.
    Send(u64),
    /// The owner's FFA_MEM_RECLAIM.
    Reclaim(u64),
    /// A VM, the owner or not, offers it on the transaction's terms.
    Offer(u64, u16),
    /// A VM accepts what it inspected just before.
    Accept(u64, u16),
    /// A VM accepts something else.
    AcceptOther(u64, u16),
    /// A VM rejects it.
    Reject(u64, u16),
    /// A VM says that it let go, true or not.
    Release(u64, u16),
    /// A VM revokes it.
    Revoke(u64, u16),
    /// The hypervisor asks leave to map a VM and, with leave, does.
    Map(u64, u16),
    /// The hypervisor unmaps a VM and says so.
    Unmap(u64, u16),
    /// A VM claims to be the hypervisor and says that the peer is unmapped.
    ForgeUnmapped(u64, u16),
    /// The bus begins to use it.
    Use(u64),
    /// The bus ends a use.
    Unuse(u64),
    /// The hypervisor kills a VM: unmaps what it borrowed, then says so.
    Destroy(u16),
    /// The hypervisor starts a VM, or says so of one that lives.
    Create(u16),
    /// A VM claims that another was destroyed.
    ForgeDestroyed(u16, u16),
    /// The hypervisor fetches work and does nothing about it.
    Poll,
    /// The hypervisor, or a VM, names a doorbell.
    Register(u16),
    /// Time passes, to the next deadline.
    Wait,
    /// A VM asks about a handle, or about nothing in particular.
    Ask(Question, u64, u16),
    /// The bus has something for a VM.
    BusWaiting(u16),
    /// The hypervisor, or a VM, freezes the set of grants.
    Seal(u16),
    /// A VM sends a frame that is no call.
    Garbage(u8, u16),
}

/// What goes wrong in the middle of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nothing.
    Nothing,
    /// The SPMC refuses the retrieve.
    SpmcRefuses,
    /// The SPMC refuses to take a retrieve back.
    SpmcKeeps,
    /// The partition's MMU refuses.
    MmuRefuses,
    /// Time passes to the next deadline, and a tick gets in.
    Late,
}

impl Fault {
    /// Everything that can go wrong.
    pub const ALL: &'static [Self] =
        &[Self::SpmcRefuses, Self::SpmcKeeps, Self::MmuRefuses, Self::Late];

    /// What is added to an action's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::SpmcRefuses => "+SpmcRefuses",
            Self::SpmcKeeps => "+SpmcKeeps",
            Self::MmuRefuses => "+MmuRefuses",
            Self::Late => "+Late",
        }
    }
}

/// An act and what goes wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action {
    /// What happens.
    pub act: Act,
    /// What goes wrong.
    pub fault: Fault,
}

/// What an action led to.
#[derive(Debug)]
pub(super) struct Done {
    /// The state after it, not yet canonical.
    pub(super) node: Node,
    /// What it was.
    pub(super) action: Action,
    /// The status, where a call or message has one.
    pub(super) status: Option<Status>,
}

impl World {
    /// Everything that may be tried in any state: each call by the owner, the peer and strangers.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut acts: Vec<_> = self.transactions.iter().flat_map(|t| self.of_one(t)).collect();
        for id in self.mortals.iter().copied() {
            acts.extend([Act::Destroy(id), Act::Create(id)]);
        }
        acts.extend([Act::Poll, Act::Wait]);
        if self.is(Special::Sealing) {
            acts.push(Act::Seal(HYPERVISOR.get()));
            acts.extend(self.policy.vms().map(|id| Act::Seal(id.get())));
        }
        if self.is(Special::Chatter) {
            acts.push(Act::Register(HYPERVISOR.get()));
            acts.extend(self.small_talk());
        }
        let with_faults = |act: Act| {
            let faults = self.faults.iter().copied().filter(move |f| act.can_meet(*f));
            [Fault::Nothing].into_iter().chain(faults).map(move |fault| Action { act, fault })
        };
        acts.into_iter().flat_map(with_faults).collect()
    }

    fn of_one(&self, t: &Transaction) -> Vec<Act> {
        let n = t.number;
        let mut acts = Vec::from([Act::Send(n), Act::Reclaim(n), Act::Offer(n, t.owner)]);
        if t.flaw.is_some() {
            return acts;
        }
        acts.extend([Act::Use(n), Act::Unuse(n)]);
        let peer = t.terms.peer.map(EndpointId::get);
        let mut callers: Vec<_> = [Some(t.owner), peer].into_iter().flatten().collect();
        callers.extend(&self.strangers);
        callers.sort_unstable();
        callers.dedup();
        for vm in callers {
            acts.extend([
                Act::Offer(n, vm),
                Act::Accept(n, vm),
                Act::AcceptOther(n, vm),
                Act::Reject(n, vm),
                Act::Release(n, vm),
                Act::Revoke(n, vm),
                Act::Map(n, vm),
                Act::Unmap(n, vm),
                Act::ForgeUnmapped(n, vm),
            ]);
        }
        acts.remove(2);
        acts
    }

    fn small_talk(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        let numbers: Vec<_> = self.transactions.iter().map(|t| t.number).chain([77]).collect();
        let ids = self.policy.vms().map(EndpointId::get);
        for id in ids.chain([HYPERVISOR.get(), 63]) {
            for question in [
                Question::Version,
                Question::Features,
                Question::Events,
                Question::List,
                Question::BusKick,
                Question::Stats(0),
                Question::Stats(9),
                Question::LedgerHead(LedgerScope::Own),
                Question::LedgerHead(LedgerScope::All),
            ] {
                acts.push(Act::Ask(question, 0, id));
            }
            for n in numbers.iter().copied() {
                for question in [
                    Question::State,
                    Question::Inspect(0),
                    Question::Inspect(9),
                    Question::LedgerRead(LedgerScope::Own),
                    Question::LedgerRead(LedgerScope::All),
                ] {
                    acts.push(Act::Ask(question, n, id));
                }
            }
            acts.extend((0..4).map(|flaw| Act::Garbage(flaw, id)));
            acts.push(Act::BusWaiting(id));
            if id != HYPERVISOR.get() {
                acts.push(Act::Register(id));
                acts.push(Act::ForgeDestroyed(id, 1));
            }
        }
        acts
    }

    pub(super) fn transaction(&self, number: u64) -> Option<&Transaction> {
        self.transactions.iter().find(|t| t.number == number)
    }
}

impl Act {
    /// What it is counted as.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Send(_) => Kind::Send,
            Self::Reclaim(_) => Kind::Reclaim,
            Self::Offer(..) => Kind::Offer,
            Self::Accept(..) => Kind::Accept,
            Self::AcceptOther(..) => Kind::AcceptOther,
            Self::Reject(..) => Kind::Reject,
            Self::Release(..) => Kind::Release,
            Self::Revoke(..) => Kind::Revoke,
            Self::Map(..) => Kind::Map,
            Self::Unmap(..) => Kind::Unmap,
            Self::ForgeUnmapped(..) => Kind::ForgeUnmapped,
            Self::Use(_) => Kind::Use,
            Self::Unuse(_) => Kind::Unuse,
            Self::Destroy(_) => Kind::Destroy,
            Self::Create(_) => Kind::Create,
            Self::ForgeDestroyed(..) => Kind::ForgeDestroyed,
            Self::Poll => Kind::Poll,
            Self::Register(_) => Kind::Register,
            Self::Wait => Kind::Wait,
            Self::BusWaiting(_) => Kind::BusWaiting,
            Self::Garbage(..) => Kind::Garbage,
            Self::Seal(_) => Kind::Seal,
            Self::Ask(question, ..) => match question {
                Question::Version => Kind::Version,
                Question::Features => Kind::Features,
                Question::Events => Kind::Events,
                Question::Stats(_) => Kind::Stats,
                Question::State => Kind::State,
                Question::List => Kind::List,
                Question::Inspect(_) => Kind::Inspect,
                Question::BusKick => Kind::BusKick,
                Question::LedgerHead(_) => Kind::LedgerHead,
                Question::LedgerRead(_) => Kind::LedgerRead,
            },
        }
    }

    /// The VM that acts, if it is one. (Others act for the owner, the hypervisor, or nobody.)
    pub(super) const fn actor(self) -> Option<u16> {
        match self {
            Self::Offer(_, id)
            | Self::Accept(_, id)
            | Self::AcceptOther(_, id)
            | Self::Reject(_, id)
            | Self::Release(_, id)
            | Self::Revoke(_, id)
            | Self::ForgeUnmapped(_, id)
            | Self::ForgeDestroyed(id, _)
            | Self::Register(id)
            | Self::Seal(id)
            | Self::Ask(_, _, id)
            | Self::Garbage(_, id) => {
                if id == 0 {
                    None
                } else {
                    Some(id)
                }
            }
            Self::Send(_)
            | Self::Reclaim(_)
            | Self::Map(..)
            | Self::Unmap(..)
            | Self::Use(_)
            | Self::Unuse(_)
            | Self::Destroy(_)
            | Self::Create(_)
            | Self::Poll
            | Self::Wait
            | Self::BusWaiting(_) => None,
        }
    }

    /// Whether a fault can strike in the middle of it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are one step")]
    const fn can_meet(self, fault: Fault) -> bool {
        match self.kind() {
            Kind::Offer => !matches!(fault, Fault::MmuRefuses),
            Kind::Revoke | Kind::Reject | Kind::Release | Kind::Unmap => {
                matches!(fault, Fault::SpmcKeeps | Fault::Late)
            }
            Kind::Use | Kind::Unuse => matches!(fault, Fault::MmuRefuses | Fault::Late),
            Kind::Destroy => !matches!(fault, Fault::SpmcRefuses),
            _ => false,
        }
    }
}

impl Action {
    /// Carries it out on a copy; `None` where it has no meaning in this state.
    pub(super) fn apply(self, world: &World, before: &Node) -> Option<Done> {
        let mut node = before.clone();
        let faults = &mut node.lab.faults;
        match self.fault {
            Fault::Nothing => {}
            Fault::SpmcRefuses => faults.retrieve = Some(FfaError::NoMemory),
            Fault::SpmcKeeps => faults.relinquish = Some(FfaError::Denied),
            Fault::MmuRefuses => faults.mmu = Some(MapFailed),
            Fault::Late => faults.late = true,
        }
        // A lock that the SPMC would not take back is left over; one is enough.
        if let (Act::Offer(n, _), Fault::SpmcKeeps) = (self.act, self.fault)
            && node.lab.locks(n) > 0
        {
            return None;
        }
        let status = node.act(self.act, world)?;
        let faults = &mut node.lab.faults;
        (faults.retrieve, faults.relinquish, faults.mmu) = (None, None, None);
        faults.late = false;
        let left = node.lab.records.iter().filter(|r| r.action == crate::Action::LockLeft);
        node.left.extend(left.filter_map(|r| r.handle).map(|h| h.get()));
        if let Act::Reclaim(n) = self.act {
            node.left.remove(&n);
        }
        if node.frozen.is_none() && node.lab.broker.is_sealed() {
            let stays = |s| !matches!(s, LifeState::Releasing | LifeState::AwaitingUnmap);
            let live = node.lab.broker.grants().filter(|g| stays(g.state));
            node.frozen = Some(live.map(|g| g.handle.get()).collect());
        }
        Some(Done { node, action: self, status })
    }
}

impl Node {
    fn act(&mut self, act: Act, world: &World) -> Option<Option<Status>> {
        let lab = &mut self.lab;
        let status = match act {
            Act::Send(n) => return send(lab, world, n).then_some(None),
            Act::Reclaim(n) => return self.reclaim(world, n).then_some(None),
            Act::Offer(n, vm) => {
                let terms = world.transaction(n)?.terms;
                lab.call(vm, Call::Offer { handle: handle(n), terms, tag: 0 }).status
            }
            Act::Accept(n, vm) => accept(lab, n, vm, |fold| fold),
            Act::AcceptOther(n, vm) => accept(lab, n, vm, |fold| !fold),
            Act::Reject(n, vm) => {
                let found = lab.broker.grants().find(|g| g.handle == handle(n));
                let generation = found.map_or(0, |g| g.generation);
                lab.call(vm, Call::Reject { handle: handle(n), generation }).status
            }
            Act::Release(n, vm) => lab.call(vm, Call::Release { handle: handle(n) }).status,
            Act::Revoke(n, vm) => lab.call(vm, Call::Revoke { handle: handle(n) }).status,
            Act::Map(n, id) => {
                let status = lab.call(0, Call::HypMapping { handle: handle(n), vm: vm(id) }).status;
                if status == Status::Ok {
                    self.stage2.insert((n, id));
                }
                status
            }
            Act::Unmap(n, id) => {
                self.stage2.remove(&(n, id));
                lab.call(0, Call::HypUnmapped { handle: handle(n), vm: vm(id) }).status
            }
            Act::ForgeUnmapped(n, id) => {
                let peer = world.transaction(n)?.terms.peer?;
                lab.call(id, Call::HypUnmapped { handle: handle(n), vm: peer }).status
            }
            Act::Use(n) | Act::Unuse(n) => {
                let found = lab.broker.grants().find(|g| g.handle == handle(n))?;
                let begin = matches!(act, Act::Use(_));
                // One use is enough: the second only counts.
                if begin && found.use_count > 0 {
                    return None;
                }
                let used = if begin { lab.begin_use(found.id) } else { lab.end_use(found.id) };
                used.err().unwrap_or(Status::Ok)
            }
            Act::Destroy(id) => {
                self.stage2.retain(|(_, v)| *v != id);
                let message = Event::VmDestroyed { caller: HYPERVISOR, vm: vm(id) };
                status_of(lab.framework(message))
            }
            Act::Create(id) => status_of(lab.created(id)),
            Act::ForgeDestroyed(caller, id) => {
                status_of(lab.framework(Event::VmDestroyed { caller: vm(caller), vm: vm(id) }))
            }
            Act::Poll => {
                let [_, asked, id, _] = lab.call(0, Call::HypPoll).results;
                let closing = |g: &GrantView| {
                    matches!(g.state, LifeState::Releasing | LifeState::AwaitingUnmap)
                        && g.handle.get() == asked
                        && g.peer.is_some_and(|peer| u64::from(peer.get()) == id)
                };
                let due = lab.broker.grants().any(|g| closing(&g));
                assert!(asked == NO_HANDLE || due, "asked to unmap what is not on its way out");
                Status::Ok
            }
            Act::Register(caller) => lab.call(caller, Call::HypRegister { sgi: 5, core: 0 }).status,
            Act::Wait => {
                lab.now = lab.broker.next_deadline()?;
                lab.drive(Event::Tick);
                return Some(None);
            }
            Act::Ask(question, n, caller) => lab.call(caller, question.call(n)).status,
            Act::Seal(caller) => lab.call(caller, Call::Seal).status,
            Act::BusWaiting(id) => {
                lab.drive(Event::BusWaiting { vm: vm(id), by: None });
                return Some(None);
            }
            Act::Garbage(flaw, caller) => garbage(lab, flaw, caller),
        };
        Some(Some(status))
    }

    /// A hypervisor that guards reclaim refuses it while it maps a VM.
    fn reclaim(&mut self, world: &World, n: u64) -> bool {
        let guards = world.guards_reclaim() && self.stage2.iter().any(|(m, _)| *m == n);
        !guards && self.lab.reclaim(n).is_ok()
    }
}

/// A live owner sends what it has not sent yet; of flawed transactions one at a time.
fn send(lab: &mut SmallLab, world: &World, n: u64) -> bool {
    let Some(t) = world.transaction(n) else { return false };
    let lives = lab.broker.check_caller(vm(t.owner)).is_ok();
    let flawed = |n: u64| world.transaction(n).is_some_and(|t| t.flaw.is_some());
    let second = t.flaw.is_some() && lab.shares.keys().any(|h| flawed(h.get()));
    if lab.shares.contains_key(&handle(n)) || !lives || second {
        return false;
    }
    t.send(lab);
    true
}

fn accept(lab: &mut SmallLab, n: u64, vm: u16, fold: impl Fn(u64) -> u64) -> Status {
    let reply = lab.call(vm, Call::Inspect { handle: handle(n), range_index: 0 });
    let [a, b, c, _] = reply.results;
    let Some(seen) = GrantSummary::from_words([a, b, c]) else { return reply.status };
    let seen = GrantSummary { fold: fold(seen.fold), ..seen };
    lab.call(vm, Call::Accept { handle: handle(n), seen }).status
}

impl Question {
    fn call(self, n: u64) -> Call {
        let handle = handle(n);
        match self {
            Self::Version => Call::Version { minor: 0 },
            Self::Features => Call::Features { call_number: CallId::Offer.number() },
            Self::Events => Call::Events,
            Self::Stats(page) => Call::Stats { page },
            Self::State => Call::State { handle },
            Self::List => Call::List { cursor: 0 },
            Self::Inspect(range_index) => Call::Inspect { handle, range_index },
            Self::BusKick => Call::BusKick,
            Self::LedgerHead(scope) => Call::LedgerHead { scope, half: DigestHalf::First },
            Self::LedgerRead(scope) => Call::LedgerRead { handle, scope, cursor: 0 },
        }
    }
}

fn garbage(lab: &mut SmallLab, flaw: u8, caller: u16) -> Status {
    let mut frame: Frame = Call::Stats { page: 0 }.encode();
    let [word, argument, ..] = &mut frame;
    match flaw {
        0 => *word = (*word & !0xff) | 0xee,
        1 => *word ^= 1 << 16,
        2 => *word |= 1 << 63,
        _ => *argument = 0x100,
    }
    match lab.drive(Event::Frame { caller: vm(caller), frame }) {
        Outcome::Reply(Reply { status, .. }) => status,
        // No answer is as wrong as a success: the checks refuse it.
        Outcome::Verdict(_) | Outcome::Kick(_) | Outcome::Used(_) | Outcome::Idle => Status::Ok,
    }
}

fn status_of(verdict: VmVerdict) -> Status {
    match verdict {
        VmVerdict::Done => Status::Ok,
        VmVerdict::InProgress => Status::Busy,
        VmVerdict::Refused(status) => status,
    }
}
