//! Owns the exhaustive walk over the real broker's states: every order of calls, lies, crashes,
//! refusals and failures in small worlds, with the invariants checked after each step. For hosts.
//!
//! [`WORLDS`] names the configurations; [`explore`] walks them all, or until a [`Defect`] that was
//! switched on is found. What tells no two states apart (clock, ledger, unread doorbells, how often
//! a name was used) is canonical, see `broker/canonical.rs`. A state is known again by 128 bits of
//! its hash.
//!
//! To be built with `--cfg walk`, as `cargo xtask explore` does: the policy's tables are then as small
//! as the worlds, which makes a step several times cheaper and changes nothing else.
#![expect(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "the walk stops at the first surprise"
)]

mod action;
mod apply;
mod check;
mod fingerprint;
mod shows;
mod walk;
mod world;

pub use action::{Act, Action, Fault, Kind, Question, Reach, Side};
pub use walk::{Move, Report, Violation};
pub use world::{Flaw, Special, Transaction, WORLDS, World};

use crate::defect::Defect;
use crate::lab::{Lab, Shared};
use causeway_abi::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::sync::Mutex;
use std::vec::Vec;

/// The tables of the small worlds: room for every transaction, none to spare for ranges.
pub type SmallLab = Lab<4, 8, 1>;

/// One state: the broker, what it decides about, and what the hypervisor really maps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Broker and SPMC.
    pub lab: SmallLab,
    /// (handle, VM) pairs in stage 2.
    pub stage2: Shared<BTreeSet<(u64, u16)>>,
    /// Handles whose lock the SPMC once would not take back.
    pub left: Shared<BTreeSet<u64>>,
    /// Handles of the grants that lived when the set was frozen.
    pub frozen: Shared<Option<BTreeSet<u64>>>,
    /// The sides of joins that must be there.
    pub joins: Shared<BTreeMap<Side, Joined>>,
}

/// What one side of a join must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Joined {
    /// Its area.
    pub area: u64,
    /// Whether the other VM still has the life that was meant.
    pub meant: bool,
}

/// How to walk.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Switched on in every world.
    pub defect: Option<Defect>,
    /// The most states of one world; a walk that reaches it is not complete.
    pub states: usize,
    /// Worlds walked at once.
    pub threads: usize,
    /// Hears of each world that was walked.
    pub progress: fn(&Report),
}

impl Default for Options {
    fn default() -> Self {
        Self { defect: None, states: usize::MAX, threads: 2, progress: |_| {} }
    }
}

/// Walks every world of [`WORLDS`], the largest first; with a defect the one first that is known to
/// show it, then the smallest, and only until it is found. The reports come in the order of the
/// names' table.
#[must_use]
pub fn explore(options: Options) -> Vec<Report> {
    let from_largest = || WORLDS.iter().rev().copied().collect();
    let waiting: Vec<_> = options.defect.map_or_else(from_largest, Defect::worlds);
    let waiting = Mutex::new(waiting.into_iter());
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(name) = waiting.lock().expect("no panic under it").next() {
            let found = |r: &Report| options.defect.is_some() && !r.violations.is_empty();
            if done.lock().expect("no panic under it").iter().any(found) {
                break;
            }
            let world = World::named(name).expect("a world of the table");
            let report = world.walk(options.defect, options.states);
            (options.progress)(&report);
            done.lock().expect("no panic under it").push(report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut reports = done.into_inner().expect("no panic under it");
    reports.sort_by_key(|r| WORLDS.iter().position(|name| *name == r.name));
    reports
}

/// What the walks together never met: kinds of events, and statuses that the broker can give.
#[must_use]
pub fn missing(reports: &[Report]) -> Vec<String> {
    let mut met = BTreeMap::<&str, usize>::new();
    for (event, count) in reports.iter().flat_map(|r| &r.per_event) {
        for part in event.split(':') {
            *met.entry(part).or_default() += count;
        }
    }
    let kinds = Kind::ALL.iter().map(|k| k.name());
    let statuses = Status::ALL.iter().filter(|s| is_the_brokers(**s)).map(|s| s.name());
    let absent = kinds.chain(statuses).filter(|name| !met.contains_key(name));
    absent.map(|name| format!("{name} never happened")).collect()
}

/// Statuses that others give: the bus, the hypervisor, the image after a crash, and from 48 on
/// interrupts and the security services, which the broker only tells apart.
const fn is_the_brokers(status: Status) -> bool {
    status.code() < Status::NoSource.code()
        && !matches!(
            status,
            Status::NoBus | Status::FifoBroken | Status::StillMapped | Status::PartitionFailed
        )
}

#[cfg(test)]
mod tests;
