//! Owns the carrying out of an action on a copy of a state, to the end of its sequence.

use super::action::Done;
use super::{
    Act, Action, Fault, Joined, Node, Question, Reach, Side, SmallLab, Transaction, World,
};
use crate::event::{Event, MapFailed, VmVerdict};
use crate::grant::GrantView;
use crate::lab::{HYPERVISOR, Outcome, handle, vm};
use causeway_abi::{
    Call, CallId, CopyDirection, DigestHalf, Frame, GrantKind, GrantSummary, JoinName, LifeState,
    NO_HANDLE, Reply, Status,
};
use causeway_ffa::{FfaError, MemHandle};
use std::format;
use std::string::String;
use std::vec::Vec;

impl Action {
    /// Carries it out on a copy, which replaces what `done` held; `None` where it has no meaning in
    /// this state.
    pub(super) fn apply(self, world: &World, before: &Node, done: &mut Done) -> Option<()> {
        done.node.become_copy_of(before);
        let node = &mut done.node;
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
        (done.action, done.wrong) = (self, None);
        done.status = node.act(self.act, world, &mut done.wrong)?;
        let faults = &mut node.lab.faults;
        (faults.retrieve, faults.relinquish, faults.mmu) = (None, None, None);
        faults.late = false;
        for record in node.lab.records.iter().filter(|r| r.action == crate::Action::LockLeft) {
            node.left.extend(record.handle.map(|h| h.get()));
        }
        if let Act::Reclaim(n) = self.act
            && node.left.contains(&n)
        {
            node.left.remove(&n);
        }
        if node.frozen.is_none() && node.lab.broker.is_sealed() {
            let stays = |s| !matches!(s, LifeState::Releasing | LifeState::AwaitingUnmap);
            let live = node.lab.broker.grants().filter(|g| stays(g.state));
            let handles = live.map(|g| g.handle.get()).collect();
            *node.frozen = Some(handles);
        }
        if !world.joins.is_empty() {
            node.note_joins(self.act, done.status);
        }
        Some(())
    }
}

impl Node {
    fn act(
        &mut self,
        act: Act,
        world: &World,
        wrong: &mut Option<String>,
    ) -> Option<Option<Status>> {
        let named = |lab: &SmallLab, n| name_of(lab, world, n);
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
            Act::Release(n, vm) => {
                let handle = named(lab, n);
                lab.call(vm, Call::Release { handle }).status
            }
            Act::Revoke(n, vm) => {
                let handle = named(lab, n);
                lab.call(vm, Call::Revoke { handle }).status
            }
            Act::Map(n, id) => {
                let status = lab.call(0, Call::HypMapping { handle: handle(n), vm: vm(id) }).status;
                if status == Status::Ok {
                    self.stage2.insert((n, id));
                }
                status
            }
            Act::Unmap(n, id) => {
                if self.stage2.contains(&(n, id)) {
                    self.stage2.remove(&(n, id));
                }
                lab.call(0, Call::HypUnmapped { handle: handle(n), vm: vm(id) }).status
            }
            Act::ForgeUnmapped(n, id) => {
                let peer = world.transaction(n)?.terms.peer?;
                lab.call(id, Call::HypUnmapped { handle: handle(n), vm: peer }).status
            }
            Act::Use(n) => used(lab, named(lab, n), Edge::Begins)?,
            Act::Unuse(n) => used(lab, named(lab, n), Edge::Ends)?,
            Act::Destroy(id) => {
                if self.stage2.iter().any(|(_, v)| *v == id) {
                    self.stage2.retain(|(_, v)| *v != id);
                }
                let message = Event::VmDestroyed { caller: HYPERVISOR, vm: vm(id) };
                status_of(lab.framework(message))
            }
            Act::Create(id) => status_of(lab.created(id)),
            Act::ForgeDestroyed(caller, id) => {
                status_of(lab.framework(Event::VmDestroyed { caller: vm(caller), vm: vm(id) }))
            }
            Act::Poll => poll(lab),
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
            Act::Join(side, n) => {
                let handle = named(lab, n);
                lab.call(side.vm, Call::Join { handle, name: side.name() }).status
            }
            Act::Part(side) => lab.call(side.vm, Call::Part { name: side.name() }).status,
            Act::Copy(side, direction, reach) => copy(lab, side, direction, reach, wrong),
        };
        Some(Some(status))
    }

    /// What the joins must be after an act: a side ends with its area, and is meant for one life of
    /// the other VM.
    fn note_joins(&mut self, act: Act, status: Option<Status>) {
        let Self { lab, joins, .. } = self;
        match (act, status) {
            (Act::Join(side, area), Some(Status::Ok)) => {
                // Sides meant for an earlier life of the other VM made room: a pair has one here.
                let pair = |s: &Side| (s.vm, s.peer);
                joins.retain(|s, j| j.meant || (j.area != area && pair(s) != pair(&side)));
                joins.insert(side, Joined { area, meant: true });
            }
            (Act::Part(side), Some(Status::Ok)) => {
                joins.remove(&side);
            }
            (Act::Destroy(id), _) | (Act::Create(id), Some(Status::Ok)) => {
                let of_old_life = joins.iter_mut().filter(|(side, _)| side.peer == id);
                of_old_life.for_each(|(_, joined)| joined.meant = false);
            }
            _ => {}
        }
        let live: Vec<_> = lab.broker.grants().map(|g| g.handle).collect();
        joins.retain(|_, joined| live.contains(&handle(joined.area)));
    }

    /// A hypervisor that guards reclaim refuses it while it maps a VM.
    fn reclaim(&mut self, world: &World, n: u64) -> bool {
        let guards = world.guards_reclaim() && self.stage2.iter().any(|(m, _)| *m == n);
        !guards && self.lab.reclaim(n).is_ok()
    }
}

/// Which end of a use of the bus.
#[derive(Clone, Copy)]
enum Edge {
    Begins,
    Ends,
}

fn used(lab: &mut SmallLab, handle: MemHandle, edge: Edge) -> Option<Status> {
    let found = lab.broker.grants().find(|g| g.handle == handle)?;
    let used = match edge {
        // One use is enough: the second only counts.
        Edge::Begins if found.use_count > 0 => return None,
        Edge::Begins => lab.begin_use(found.id),
        Edge::Ends => lab.end_use(found.id),
    };
    Some(used.err().unwrap_or(Status::Ok))
}

fn poll(lab: &mut SmallLab) -> Status {
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

/// A live owner sends what it has not sent yet; of flawed transactions one at a time.
fn send(lab: &mut SmallLab, world: &World, n: u64) -> bool {
    let Some(t) = world.transaction(n) else { return false };
    let lives = lab.broker.check_caller(vm(t.owner)).is_ok();
    let flawed = |n: u64| world.transaction(n).is_some_and(|t| t.flaw.is_some());
    let second = t.flaw.is_some() && lab.shares.keys().any(|h| flawed(h.get()));
    let donated = t.ranges.iter().any(|r| lab.donated.iter().any(|d| d.overlaps(*r)));
    if lab.shares.contains_key(&handle(n)) || !lives || second || donated {
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

/// The handle under which the partition knows the pages of a transaction: a donation has a name of
/// the partition's own.
fn name_of(lab: &SmallLab, world: &World, n: u64) -> MemHandle {
    let donated = |t: &&Transaction| t.terms.kind == GrantKind::Donate;
    let found = world.transaction(n).filter(donated).and_then(|t| {
        let same = |g: &GrantView| lab.broker.ranges(g.id).eq(t.ranges.iter().copied());
        lab.broker.grants().find(|g| g.kind == GrantKind::Donate && same(g))
    });
    found.map_or(handle(n), |g| g.handle)
}

/// Asks for a copy, and whether the answer, the counts of both sides and what was moved agree.
fn copy(
    lab: &mut SmallLab,
    side: Side,
    direction: CopyDirection,
    reach: Reach,
    wrong: &mut Option<String>,
) -> Status {
    const LENGTH: u64 = 8;
    let counts = |lab: &mut SmallLab, side: Side| {
        let [_, sent, received, _] = lab.call(side.vm, Call::Joined { name: side.name() }).results;
        (sent, received)
    };
    let counted = |lab: &mut SmallLab| {
        let mut other = lab.clone();
        [counts(&mut other, side), counts(&mut other, side.opposite())]
    };
    let before = counted(lab);
    let (from_offset, to_offset) = match reach {
        Reach::Inside => (0, 0),
        Reach::BeyondSource => (1 << 20, 0),
        Reach::BeyondDestination => (0, 1 << 20),
    };
    let name = side.name();
    let call = Call::Copy { name, direction, from_offset, to_offset, length: LENGTH };
    let reply = lab.call(side.vm, call);
    let moved = if reply.status == Status::Ok { LENGTH } else { 0 };
    let after = counted(lab);
    let sum = |(sent, received): (u64, u64)| match direction {
        CopyDirection::ToPeer => (sent + moved, received),
        CopyDirection::FromPeer => (sent, received + moved),
    };
    let mirrored = |(sent, received): (u64, u64)| {
        let (received, sent) = sum((received, sent));
        (sent, received)
    };
    let [mine, other] = before;
    if after != [sum(mine), mirrored(other)] {
        *wrong = Some(format!("I9: {moved} bytes are counted as {before:?} to {after:?}"));
    }
    if lab.copies.len() > 1 || lab.copies.is_empty() != (moved == 0) {
        *wrong = Some(format!("I9: {:?} was moved, and the answer is {reply:?}", lab.copies));
    }
    reply.status
}

impl Side {
    pub(super) const fn name(self) -> JoinName {
        JoinName { peer: vm(self.peer), number: self.number }
    }
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
            Self::Joined(peer, number) => {
                Call::Joined { name: JoinName { peer: vm(peer), number } }
            }
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
