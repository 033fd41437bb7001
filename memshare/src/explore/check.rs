//! Owns the invariants that a walk checks after each step (architecture: I1-I7, I9, I10).

use super::action::Done;
use super::{Node, World};
use crate::event::Event;
use crate::grant::GrantView;
use crate::lab::{handle, vm};
use causeway_abi::{Call, LifeState, Permission, Status};
use std::collections::BTreeSet;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Checks a state that was not seen before; the error says which invariant is broken.
pub(super) fn state(world: &World, node: &Node) -> Result<(), String> {
    pages(node)?;
    locks(node)?;
    deadlines(node)?;
    quotas(world, node)
}

/// Checks a step.
pub(super) fn step(before: &Node, done: &Done) -> Result<(), String> {
    parties(before, done)?;
    refusal(before, done)?;
    ledger(before, &done.node)
}

fn holds(invariant: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if invariant { Ok(()) } else { Err(what()) }
}

fn grants(node: &Node) -> Vec<GrantView> {
    node.lab.broker.grants().collect()
}

fn pages(node: &Node) -> Result<(), String> {
    let mut of_pages = BTreeSet::new();
    for grant in grants(node) {
        for range in node.lab.broker.ranges(grant.id) {
            let inside = node.lab.broker.policy().in_window(range);
            holds(inside, || format!("I5: {range:?} is no RAM"))?;
            for page in (range.start().get()..range.end()).step_by(4096) {
                holds(of_pages.insert(page), || format!("I1: {page:#x} is in two grants"))?;
            }
        }
    }
    Ok(())
}

fn locks(node: &Node) -> Result<(), String> {
    for (number, peer) in &node.stage2 {
        let locked = node.lab.locks(*number) > 0;
        holds(locked, || format!("I2: {number} can be reclaimed while {peer} maps it"))?;
    }
    let live = grants(node);
    for (handle, share) in &node.lab.shares {
        let due = u32::from(live.iter().any(|g| g.handle == *handle));
        holds(share.locks == due, || format!("I2: {handle} is locked {} times", share.locks))?;
    }
    let local = live.iter().filter(|g| g.peer.is_none() && g.use_count > 0);
    let mapped: BTreeSet<_> = local.map(|g| g.handle).collect();
    holds(mapped == node.lab.mapped, || "I5: mapped is not what is local and used".into())?;
    holds(node.lab.broker.is_idle(), || "a sequence ended in the middle".into())
}

/// A VM changes only grants that it is a party to, and before and after gets the same answer to
/// a foreign handle as to an invented one.
fn parties(before: &Node, done: &Done) -> Result<(), String> {
    let Some(actor) = done.actor else { return Ok(()) };
    let foreign = |g: &GrantView| g.owner != vm(actor) && g.peer != Some(vm(actor));
    let others = |node: &Node| grants(node).into_iter().filter(foreign).collect::<Vec<_>>();
    let (was, is) = (others(before), others(&done.node));
    holds(was == is, || format!("I3: {actor} changed a grant of others"))?;
    for grant in is {
        let mut node = done.node.clone();
        let mut ask = |handle| node.lab.call(actor, Call::State { handle });
        let (theirs, nobodys) = (ask(grant.handle), ask(handle(77)));
        holds(theirs == nobodys, || format!("I3: {actor} learns of {}", grant.handle))?;
    }
    Ok(())
}

fn refusal(before: &Node, done: &Done) -> Result<(), String> {
    // A kill that fails keeps what it did, and the VM is not live in between.
    let refused = done.status.is_some_and(|s| s != Status::Ok);
    if !refused || done.event.starts_with("DestroyFails") {
        return Ok(());
    }
    let (was, is) = (&before.lab, &done.node.lab);
    let same = was.broker == is.broker.canonical(is.now) && was.shares == is.shares;
    holds(same, || format!("I4: {} changed something", done.event))
}

/// Once all deadlines have passed nothing is still releasing, and no dying ring runs.
fn deadlines(after: &Node) -> Result<(), String> {
    for grant in grants(after) {
        let runs = after.lab.broker.permits(grant.id, 0, 1, Permission::ReadOnly);
        let may = matches!(grant.state, LifeState::Accepted | LifeState::Active);
        holds(may || !runs, || format!("I6: a ring in {} runs", grant.handle))?;
    }
    let Some(deadline) = after.lab.broker.next_deadline() else { return Ok(()) };
    let mut later = after.clone();
    later.lab.now = later.lab.now.max(deadline).saturating_add(1000);
    for _ in 0..grants(after).len() {
        later.lab.drive(Event::Tick);
    }
    let late = grants(&later).into_iter().find(|g| g.state == LifeState::Releasing);
    holds(late.is_none(), || format!("I6: {late:?} misses its deadline"))
}

/// What a live owner's own quota allows is never refused for another's sake.
fn quotas(world: &World, after: &Node) -> Result<(), String> {
    let live = grants(after);
    for transaction in &world.transactions {
        let owner = vm(transaction.owner);
        let charged = live.iter().filter(|g| g.owner == owner && g.peer == transaction.terms.peer);
        let rule =
            world.policy.pairs().find(|p| p.owner == owner && p.peer == transaction.terms.peer);
        let room = rule.is_some_and(|r| charged.count() < usize::from(r.quota.grants));
        let handle = handle(transaction.number);
        let call = Call::Offer { handle, terms: transaction.terms, tag: 0 };
        let status = after.clone().lab.call(transaction.owner, call).status;
        let starved = matches!(
            status,
            Status::NoRoom | Status::QuotaGrants | Status::QuotaPages | Status::QuotaRanges
        );
        holds(!room || !starved, || format!("I7: {} gets {status:?}", transaction.number))?;
        holds(room || status != Status::Ok, || format!("I7: {} exceeds", transaction.number))?;
    }
    Ok(())
}

fn ledger(before: &Node, after: &Node) -> Result<(), String> {
    let states = |node: &Node| {
        let facts = grants(node).into_iter().map(|g| (g.handle, g.state, g.use_count > 0));
        facts.collect::<Vec<_>>()
    };
    let moved = states(before) != states(after);
    holds(!moved || !after.lab.records.is_empty(), || "I9: a move without a record".into())
}
