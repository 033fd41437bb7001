//! Owns the invariants that a walk checks after each step (architecture: I1-I7, I9, I10; `life` is
//! the order of a grant's states). A violation's text begins with the invariant's name.

use super::action::Done;
use super::walk::{Before, shown};
use super::{Act, Fault, Node, Reach, Side, Special, World, fingerprint};
use crate::event::Event;
use crate::grant::GrantView;
use crate::lab::{handle, vm};
use crate::ledger::Action as Entry;
use crate::policy::ReclaimGuard;
use causeway_abi::{
    Call, CopyDirection, GrantKind, JoinState, LifeState, NO_HANDLE, Permission, Status,
};
use std::collections::BTreeSet;
use std::format;
use std::string::String;
use std::vec::Vec;

type Verdict = Result<(), String>;

/// Checks a state that was not seen before; the error says which invariant is broken.
pub(super) fn state(world: &World, Before { node, grants: live }: &Before) -> Verdict {
    pages(node, live)?;
    locks(world, node, live)?;
    terms(world, node, live)?;
    sealed(node, live)?;
    privacy(world, node, live)?;
    deadlines(node, live)?;
    joins(world, node)?;
    quotas(world, node, live)
}

/// Checks a step. `changed`: whether it led to another state, which `canonical` then is.
pub(super) fn step(
    Before { node: before, grants: was }: &Before,
    done: &Done,
    canonical: &Node,
    changed: bool,
) -> Verdict {
    let intruder = done.node.lab.intruder;
    holds(intruder.is_none(), || format!("I4: {intruder:?} got into {}", shown(done)))?;
    let wrong = &done.wrong;
    holds(wrong.is_none(), || wrong.clone().unwrap_or_default())?;
    refusal(before, done, canonical, changed)?;
    lies(before, done)?;
    tried(done)?;
    rations(before, done)?;
    if changed {
        let is = grants(&done.node);
        kept(before, done, was, &is)?;
        actors(done, was, &is)?;
        lives(done, was, &is)?;
        told(done, was, &is)?;
    }
    let told = done.node.lab.broker.rings_are_told();
    let rung = done.node.lab.rings > 0 || !registered(before);
    let fresh = done.node.lab.broker.bells() != 0;
    holds(told && (rung || !fresh), || format!("I6: {} rings nobody", shown(done)))
}

fn registered(node: &Node) -> bool {
    node.lab.broker.has_doorbell()
}

fn holds(invariant: bool, what: impl FnOnce() -> String) -> Verdict {
    if invariant { Ok(()) } else { Err(what()) }
}

fn grants(node: &Node) -> Vec<GrantView> {
    node.lab.broker.grants().collect()
}

fn runs(state: LifeState) -> bool {
    matches!(state, LifeState::Accepted | LifeState::Active)
}

/// I1, I5: no page twice, none outside the windows.
fn pages(node: &Node, live: &[GrantView]) -> Verdict {
    let mut of_pages = BTreeSet::new();
    for grant in live {
        for range in node.lab.broker.ranges(grant.id) {
            let inside = node.lab.broker.policy().window_of(range).is_some();
            holds(inside, || format!("I5: {range:?} is no RAM"))?;
            for page in (range.start().get()..range.end()).step_by(4096) {
                holds(of_pages.insert(page), || format!("I1: {page:#x} is in two grants"))?;
            }
        }
    }
    Ok(())
}

/// I2: what a VM maps cannot be reclaimed; each lock has its grant. I5: the partition maps what is
/// local and used, nothing else.
fn locks(world: &World, node: &Node, live: &[GrantView]) -> Verdict {
    for (number, peer) in node.stage2.iter() {
        let locked = node.lab.locks(*number) > 0 || world.guards_reclaim();
        holds(locked, || format!("I2: {number} can be reclaimed while {peer} maps it"))?;
    }
    for (handle, share) in node.lab.shares.iter() {
        let due = u32::from(live.iter().any(|g| g.handle == *handle));
        let left = u32::from(node.left.contains(&handle.get()));
        let right = share.locks >= due && share.locks <= due + left;
        holds(right, || format!("I2: {handle} is locked {} times", share.locks))?;
    }
    let local = live.iter().filter(|g| g.peer.is_none() && g.use_count > 0);
    let mapped: BTreeSet<_> = local.map(|g| g.handle).collect();
    holds(mapped == *node.lab.mapped, || "I5: mapped is not what is local and used".into())?;
    holds(node.lab.broker.is_idle(), || "life: a sequence ended in the middle".into())
}

/// I3, I5: a grant is what its owner sent, and nothing that must not be taken was.
fn terms(world: &World, node: &Node, live: &[GrantView]) -> Verdict {
    for grant in live {
        if grant.kind == GrantKind::Donate {
            let mut ranges = node.lab.broker.ranges(grant.id);
            let given = ranges.all(|r| node.lab.donated.contains(&r));
            holds(given, || format!("I5: {} was never given", grant.handle))?;
            holds(world.is(Special::Donations), || "I5: the SPMC knows no donations".into())?;
            continue;
        }
        let sent = world.transaction(grant.handle.get());
        let share = node.lab.shares.get(&grant.handle);
        let (Some(sent), Some(share)) = (sent, share) else {
            return Err(format!("I2: {} has no transaction", grant.handle));
        };
        let owner = grant.owner == share.sender && grant.peer == sent.terms.peer;
        holds(owner, || format!("I3: {} is not between those who share", grant.handle))?;
        let narrow = share.borrowers.iter().all(|b| b.permission == Some(grant.permission));
        holds(narrow, || format!("I5: {} permits more than was shared", grant.handle))?;
        let taken = sent.flaw;
        holds(taken.is_none(), || format!("I5: {} is {taken:?} and was taken", grant.handle))?;
        let idle = grant.use_count == 0 || runs(grant.state);
        holds(idle, || format!("I6: {} is used in {:?}", grant.handle, grant.state))?;
    }
    Ok(())
}

/// I3: each side of a join is there as long as its area is, and is joined with the one that was
/// meant, and no other.
fn joins(world: &World, node: &Node) -> Verdict {
    for (side, _) in &world.joins {
        if node.lab.broker.check_caller(vm(side.vm)).is_err() {
            continue;
        }
        let mut lab = node.lab.clone();
        lab.faults.second_core = false;
        let reply = lab.call(side.vm, Call::Joined { name: side.name() });
        let said = (reply.status == Status::Ok).then_some(reply.results[0]);
        let mine = node.joins.get(side);
        let other = node.joins.get(&side.opposite());
        let lives = node.lab.broker.check_caller(vm(side.peer)).is_ok();
        let both = lives && mine.is_some_and(|j| j.meant) && other.is_some_and(|j| j.meant);
        let state = if both { JoinState::Joined } else { JoinState::Waiting };
        let expected = mine.map(|_| u64::from(state.code()));
        holds(said == expected, || format!("I3: {side:?} is {said:?}, not {expected:?}"))?;
    }
    Ok(())
}

/// I1: what was donated stays, and what the tables do not take is in the ledger (I9).
fn kept(before: &Node, done: &Done, was: &[GrantView], is: &[GrantView]) -> Verdict {
    let after = &done.node.lab;
    let donations = |of: &[GrantView]| of.iter().filter(|g| g.kind == GrantKind::Donate).count();
    holds(donations(is) >= donations(was), || format!("I1: {} forgot a donation", shown(done)))?;
    let more = after.donated.len() > before.lab.donated.len();
    let taken = donations(is) > donations(was);
    let noted = after.records.iter().any(|r| r.action == Entry::Kept);
    holds(!more || taken || noted, || format!("I9: {} kept pages without a record", shown(done)))
}

/// I6: a death ends, unless something fails. I2: what was donated is never given back.
fn tried(done: &Done) -> Verdict {
    if let Act::Destroy(_) = done.action.act {
        let failed = done.action.fault == Fault::Nothing
            && !matches!(done.status, Some(Status::Ok | Status::Busy));
        holds(!failed, || format!("I6: {} without a fault", shown(done)))?;
    }
    if let Act::Revoke(..) = done.action.act {
        let tried = done.status == Some(Status::SpmcFailure);
        let free = done.action.fault != Fault::SpmcKeeps;
        holds(!(tried && free), || format!("I2: {} gives back what it has for good", shown(done)))?;
    }
    Ok(())
}

/// I7: who has used up its ration rings nobody.
fn rations(before: &Node, done: &Done) -> Verdict {
    let Some(actor) = done.action.act.actor().filter(|_| done.action.fault != Fault::Late) else {
        return Ok(());
    };
    let spent = before.lab.broker.may_not_ring(vm(actor), before.lab.now);
    let rang = done.node.lab.broker.bells() & !before.lab.broker.bells() != 0;
    holds(!(spent && rang), || format!("I7: {} rings beyond its ration", shown(done)))
}

/// Once sealed, every live grant is one that lived when it was sealed.
fn sealed(node: &Node, live: &[GrantView]) -> Verdict {
    let Some(frozen) = &*node.frozen else { return Ok(()) };
    let alien = live.iter().find(|g| !is_closing(g.state) && !frozen.contains(&g.handle.get()));
    holds(alien.is_none(), || format!("seal: {alien:?} was not in the set"))
}

/// I3: a VM gets the same answer to a foreign handle as to an invented one.
fn privacy(world: &World, node: &Node, live: &[GrantView]) -> Verdict {
    for id in world.policy.vms() {
        for grant in live.iter().filter(|g| g.owner != id && g.peer != Some(id)) {
            let ask = |handle| {
                let mut lab = node.lab.clone();
                let reply = lab.call(id.get(), Call::State { handle });
                (reply, lab.records.pop().map(|r| r.action))
            };
            let same = ask(grant.handle) == ask(handle(77));
            holds(same, || format!("I3: {id} learns of {}", grant.handle))?;
        }
    }
    Ok(())
}

/// I3: a VM changes only grants that it is a party to; a dead one nothing at all.
fn actors(done: &Done, was: &[GrantView], is: &[GrantView]) -> Verdict {
    let Some(actor) = done.action.act.actor() else { return Ok(()) };
    let foreign = |g: &&GrantView| g.owner != vm(actor) && g.peer != Some(vm(actor));
    let same = was.iter().filter(foreign).eq(is.iter().filter(foreign));
    holds(same || done.action.fault == Fault::Late, || {
        format!("I3: {} changed a grant of others", shown(done))
    })
}

/// I4: a refused call changes nothing; I9: the ledger has it.
fn refusal(before: &Node, done: &Done, canonical: &Node, changed: bool) -> Verdict {
    if done.status.is_none_or(|s| s == Status::Ok) {
        return Ok(());
    }
    let kept = match (done.action.act, done.action.fault) {
        // The hypervisor has unmapped in any case.
        (Act::Unmap(n, id), _) if before.stage2.contains(&(n, id)) => {
            let mut expected = before.clone();
            expected.stage2.remove(&(n, id));
            fingerprint::of(&expected) == fingerprint::of(canonical)
        }
        // A kill that fails keeps what it did, and the VM is not live in between.
        (Act::Destroy(_), _) | (_, Fault::Late) => true,
        // A donation that is refused after its retrieve stays with the partition: see `kept`.
        (Act::Offer(..), _) if done.node.lab.donated.len() > before.lab.donated.len() => true,
        // The SPMC keeps the lock of a refused offer: the ledger says so.
        (Act::Offer(..), Fault::SpmcKeeps) => {
            done.node.lab.records.iter().any(|r| r.action == Entry::LockLeft) || !changed
        }
        _ => !changed,
    };
    holds(kept, || format!("I4: {} changed something", shown(done)))?;
    let busy = done.status == Some(Status::Busy);
    let of_the_bus = matches!(done.action.act, Act::Use(_) | Act::Unuse(_));
    let refusals = done.node.lab.records.iter();
    let noted = refusals.filter(|r| matches!(r.action, Entry::Refused { .. })).count() > 0;
    holds(noted || busy || of_the_bus, || format!("I9: {} left no record", shown(done)))
}

/// What must be refused whatever else is so.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are never lies")]
fn lies(before: &Node, done: &Done) -> Verdict {
    if done.status != Some(Status::Ok) {
        return Ok(());
    }
    let broker = &before.lab.broker;
    let lives = |id: u16| broker.check_caller(vm(id)).is_ok();
    if let Some(actor) = done.action.act.actor() {
        holds(lives(actor), || format!("I3: {}, by a VM that does not live", shown(done)))?;
    }
    let state = |n: u64| broker.grants().find(|g| g.handle == handle(n)).map(|g| g.state);
    match done.action.act {
        Act::AcceptOther(..) => Err("I4: what was not inspected was accepted".into()),
        Act::Garbage(..) => Err("I4: a frame that is no call was carried out".into()),
        Act::Seal(id) => {
            let named = id == 0 || broker.policy().sealer() == Some(vm(id));
            holds(named, || format!("I3: {id} sealed"))
        }
        Act::Register(id) | Act::ForgeDestroyed(id, _) | Act::ForgeUnmapped(_, id) if id != 0 => {
            Err(format!("I3: {} was believed", shown(done)))
        }
        Act::Map(n, _) => {
            let accepted = state(n).is_some_and(runs);
            holds(accepted, || format!("I3: {n} was mapped in {:?}", state(n)))
        }
        Act::Create(id) => {
            holds(!lives(id) || unnamed(before, id), || format!("I3: {id} lived already"))?;
            let mut after = done.node.lab.clone();
            for grant in grants(&done.node) {
                let reply = after.call(id, Call::State { handle: grant.handle });
                let old = reply.status == Status::Ok;
                holds(!old, || format!("I3: a new life of {id} knows {}", grant.handle))?;
            }
            Ok(())
        }
        Act::Join(side, area) => {
            let grant = broker.grants().find(|g| g.handle == handle(area));
            let own = grant.is_some_and(|g| g.owner == vm(side.vm) && g.peer.is_none());
            holds(own, || format!("I3: {} takes an area that is not the caller's", shown(done)))
        }
        Act::Copy(side, direction, reach) => copied(before, done, (side, direction, reach)),
        Act::Unmap(n, id) => {
            let closing = broker
                .grants()
                .any(|g| g.handle == handle(n) && g.peer == Some(vm(id)) && is_closing(g.state));
            let gone = !grants(&done.node).iter().any(|g| g.handle == handle(n));
            holds(!closing || gone, || format!("I6: {n} stays, though {id} is unmapped"))
        }
        Act::Destroy(id) => {
            let left = grants(&done.node).into_iter().find(|g| {
                let kept = g.state == LifeState::Kept;
                let waits = g.owner == vm(id) && is_closing(g.state) && g.peer.is_some() || kept;
                (g.owner == vm(id) || g.peer == Some(vm(id))) && !waits
            });
            holds(left.is_none(), || format!("I6: {id} is dead and holds {left:?}"))
        }
        _ => Ok(()),
    }
}

/// I3, I5: bytes went between the areas that were joined, the way that policy allows, within both.
fn copied(
    before: &Node,
    done: &Done,
    (side, direction, reach): (Side, CopyDirection, Reach),
) -> Verdict {
    let area = |side: &Side| before.joins.get(side).filter(|j| j.meant).map(|j| handle(j.area));
    let (Some(mine), Some(other)) = (area(&side), area(&side.opposite())) else {
        return Err(format!("I3: {} without both sides", shown(done)));
    };
    let (from, to, from_vm, to_vm) = match direction {
        CopyDirection::ToPeer => (mine, other, side.vm, side.peer),
        CopyDirection::FromPeer => (other, mine, side.peer, side.vm),
    };
    let moved = done.node.lab.copies.iter().all(|(f, t, _)| (*f, *t) == (from, to));
    holds(moved, || format!("I3: {} moved {:?}", shown(done), done.node.lab.copies))?;
    let broker = &before.lab.broker;
    let may = broker.policy().may_copy(vm(from_vm), vm(to_vm));
    holds(may, || format!("I3: {}, which no policy allows", shown(done)))?;
    let permission = broker.grants().find(|g| g.handle == to).map(|g| g.permission);
    holds(permission == Some(Permission::ReadWrite), || format!("I5: {} writes it", shown(done)))?;
    holds(reach == Reach::Inside, || format!("I5: {} goes beyond the areas", shown(done)))
}

fn is_closing(state: LifeState) -> bool {
    matches!(state, LifeState::Releasing | LifeState::AwaitingUnmap)
}

/// A VM that lives by assumption only may be announced while it holds nothing.
fn unnamed(node: &Node, id: u16) -> bool {
    let holds_any = |g: &GrantView| g.owner == vm(id) || g.peer == Some(vm(id));
    node.lab.broker.is_assumed(vm(id)) && !grants(node).iter().any(holds_any)
}

/// The order of states, a record of each move (I9), and the bus told of each lost area (I6).
fn lives(done: &Done, was: &[GrantView], is: &[GrantView]) -> Verdict {
    let lab = &done.node.lab;
    let mut moved = false;
    for old in was {
        let new = is.iter().find(|g| g.id == old.id);
        let to = new.map_or(LifeState::Released, |g| g.state);
        moved |= to != old.state || new.is_some_and(|g| g.use_count != old.use_count);
        holds(follows(old.state, to), || {
            format!("life: {} goes from {:?} to {to:?}", old.handle, old.state)
        })?;
        let lost = runs(old.state) && !runs(to);
        let heard = lab.lost.contains(&old.id);
        holds(!lost || heard, || format!("I6: the bus does not hear that {} is lost", old.handle))?;
    }
    let born = is.iter().filter(|g| !was.iter().any(|o| o.id == g.id)).count();
    let records = lab.records.iter().filter(|r| !matches!(r.action, Entry::Refused { .. }));
    let enough = records.count() >= born.max(usize::from(moved));
    holds(enough, || format!("I9: {} left no record", shown(done)))
}

/// The order of a grant's states.
const fn follows(from: LifeState, to: LifeState) -> bool {
    match from {
        LifeState::Offered => {
            matches!(to, LifeState::Offered | LifeState::Accepted | LifeState::Released)
        }
        LifeState::Accepted => {
            !matches!(to, LifeState::Offered | LifeState::AwaitingUnmap | LifeState::Kept)
        }
        LifeState::Active => !matches!(to, LifeState::Offered | LifeState::Accepted),
        LifeState::Kept => matches!(to, LifeState::Kept),
        LifeState::Releasing => {
            matches!(to, LifeState::Releasing | LifeState::AwaitingUnmap | LifeState::Released)
        }
        LifeState::AwaitingUnmap => matches!(to, LifeState::AwaitingUnmap | LifeState::Released),
        LifeState::Released => false,
    }
}

/// I6: whoever has to act next is rung: the peer of an offer, the owner of what was accepted.
fn told(done: &Done, was: &[GrantView], is: &[GrantView]) -> Verdict {
    let broker = &done.node.lab.broker;
    let rung = |id: u16| (broker.bells() | broker.late_bells()) & (1_u64 << id) != 0;
    for new in is {
        let old = was.iter().find(|o| o.id == new.id).map(|o| o.state);
        let who = match new.state {
            LifeState::Offered if old.is_none() => new.peer,
            LifeState::Accepted if old == Some(LifeState::Offered) => Some(new.owner),
            LifeState::Offered
            | LifeState::Accepted
            | LifeState::Active
            | LifeState::Releasing
            | LifeState::AwaitingUnmap
            | LifeState::Released
            | LifeState::Kept => None,
        };
        let heard = who.is_none_or(|id| rung(id.get()) || broker.check_caller(id).is_err());
        holds(heard, || format!("I6: {who:?} does not hear of {}", new.handle))?;
    }
    Ok(())
}

/// I6: no dying ring runs; once all deadlines have passed nothing is still releasing, and the
/// hypervisor has been asked to unmap whatever is left.
fn deadlines(node: &Node, live: &[GrantView]) -> Verdict {
    for grant in live {
        let runs_on = node.lab.broker.permits(grant.id, 0, 1, Permission::ReadOnly);
        holds(runs(grant.state) || !runs_on, || format!("I6: a ring in {} runs", grant.handle))?;
    }
    if node.lab.broker.next_deadline().is_none() {
        let late = node.lab.broker.late_bells();
        return holds(late == 0, || format!("I6: {late:#x} are never rung"));
    }
    let mut later = node.clone();
    for _ in 0..live.len() + 4 {
        let Some(deadline) = later.lab.broker.next_deadline() else { break };
        later.lab.now = later.lab.now.max(deadline).saturating_add(1000);
        later.lab.drive(Event::Tick);
    }
    let held = node.lab.broker.late_bells();
    let rung = later.lab.broker.bells() & held == held && later.lab.broker.late_bells() == 0;
    holds(rung, || format!("I6: {held:#x} are not rung later"))?;
    let late = grants(&later).into_iter().find(|g| g.state == LifeState::Releasing);
    holds(late.is_none(), || format!("I6: {late:?} misses its deadline"))?;
    let mut asked = BTreeSet::new();
    for _ in 0..=live.len() {
        let [_, handle, ..] = later.lab.call(0, Call::HypPoll).results;
        asked.extend(Some(handle).filter(|h| *h != NO_HANDLE));
    }
    let mapped = |g: &GrantView| node.stage2.iter().any(|(n, _)| handle(*n) == g.handle);
    let due = grants(&later).into_iter().filter(|g| is_closing(g.state) && mapped(g));
    let unasked = due.map(|g| g.handle.get()).find(|h| !asked.contains(h));
    holds(unasked.is_none(), || format!("I6: nobody is asked to unmap {unasked:?}"))
}

/// I7: what a live owner's own quota allows is never refused for another's sake.
fn quotas(world: &World, node: &Node, live: &[GrantView]) -> Verdict {
    for t in world.transactions.iter().filter(|t| t.flaw.is_none()) {
        let owner = vm(t.owner);
        let charged = live.iter().filter(|g| g.owner == owner && g.peer == t.terms.peer);
        let rule = world.policy.pairs().find(|p| p.owner == owner && p.peer == t.terms.peer);
        let room = rule.is_some_and(|r| charged.count() < usize::from(r.quota.grants));
        let call = Call::Offer { handle: handle(t.number), terms: t.terms, tag: 0 };
        let mut lab = node.lab.clone();
        lab.faults.second_core = false;
        let status = lab.call(t.owner, call).status;
        let starved = matches!(
            status,
            Status::NoRoom | Status::QuotaGrants | Status::QuotaPages | Status::QuotaRanges
        );
        holds(!room || !starved, || format!("I7: {} gets {status:?}", t.number))?;
        holds(room || status != Status::Ok, || format!("I7: {} exceeds", t.number))?;
    }
    Ok(())
}

impl World {
    pub(super) fn guards_reclaim(&self) -> bool {
        self.policy.reclaim_guard() == ReclaimGuard::Hypervisor
    }
}
