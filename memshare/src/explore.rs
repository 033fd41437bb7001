//! Owns the exhaustive walk over the real broker's states: every order of calls, lies, crashes,
//! refusals and failures in a small world, with the invariants checked after each step. For hosts.
#![expect(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "the walk stops at the first surprise"
)]

mod action;
mod check;

pub use action::Action;

use crate::lab::{HYPERVISOR, Lab, pages, terms, vm};
use crate::policy::{PairRule, Policy, Quota};
use causeway_abi::{GrantTerms, Permission};
use causeway_ffa::PageRange;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::string::String;
use std::vec::Vec;

/// The tables of the small world: room for every transaction, none to spare for ranges.
pub type SmallLab = Lab<4, 8, 1>;

/// A transaction that its owner may send, offer, revoke and reclaim.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its handle.
    pub number: u64,
    /// Who sends it.
    pub owner: u16,
    /// On which terms.
    pub terms: GrantTerms,
    /// Its pages.
    pub ranges: Vec<PageRange>,
}

/// A named world to walk.
#[derive(Clone, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// Who may grant what to whom.
    pub policy: Policy,
    /// What there is to grant.
    pub transactions: Vec<Transaction>,
    /// The VMs that may be killed and created anew.
    pub mortals: Vec<u16>,
    /// A VM that no grant concerns.
    pub stranger: u16,
}

/// One state: the broker, what it decides about, and what the hypervisor really maps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Broker and SPMC.
    pub lab: SmallLab,
    /// (handle, VM) pairs in stage 2.
    pub stage2: BTreeSet<(u64, u16)>,
}

/// A broken invariant, with the shortest way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which, and how.
    pub what: String,
    /// From the empty state on.
    pub trace: Vec<Action>,
}

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Steps taken.
    pub transitions: usize,
    /// Steps to the farthest state.
    pub depth: usize,
    /// Whether nothing was left to visit.
    pub complete: bool,
    /// What was broken; the walk does not go on behind it.
    pub violations: Vec<Violation>,
    /// How often each action ended with each status.
    pub per_event: BTreeMap<String, usize>,
}

impl World {
    fn new(name: &'static str, ids: &[u16], pairs: &[(u16, Option<u16>)]) -> Self {
        let mut policy = Policy::new().with_hypervisor(HYPERVISOR).with_unmap_deadline_ms(1);
        for id in ids {
            policy.add_vm(vm(*id)).expect("a VM");
        }
        policy.add_window(pages(0x100, 3)).expect("a window");
        for (owner, peer) in pairs {
            let rule = PairRule {
                owner: vm(*owner),
                peer: peer.map(vm),
                share: true,
                lend: false,
                widest: Permission::ReadWrite,
                max_area_pages: 2,
                quota: Quota { grants: 1, pages: 2, ranges: 2 },
            };
            policy.add_pair(rule).expect("a pair");
        }
        let (stranger, mortals) = ids.split_last().expect("a stranger");
        let mortals = mortals.to_vec();
        Self { name, policy, transactions: Vec::new(), mortals, stranger: *stranger }
    }

    fn with(mut self, number: u64, owner: u16, peer: Option<u16>, frames: &[u64]) -> Self {
        let ranges = frames.iter().map(|frame| pages(*frame, 1)).collect();
        self.transactions.push(Transaction { number, owner, terms: terms(peer), ranges });
        self
    }

    /// One owner (1), one peer (3), a stranger (5): one area for both.
    #[must_use]
    pub fn tiny() -> Self {
        Self::new("tiny", &[1, 3, 5], &[(1, Some(3))]).with(0, 1, Some(3), &[0x101, 0x100])
    }

    /// Two owners (1, 2), two peers (3, 4), a stranger (5), three pages: one area to each peer, over
    /// the same page, and a local one.
    #[must_use]
    pub fn small() -> Self {
        Self::new("small", &[1, 2, 3, 4, 5], &[(1, Some(3)), (2, Some(4)), (2, None)])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, Some(4), &[0x101])
            .with(2, 2, None, &[0x102])
    }

    /// Two owners, one peer of both, a second peer of the first owner, three pages, four areas.
    #[must_use]
    pub fn crossed() -> Self {
        let pairs = [(1, Some(3)), (1, Some(4)), (2, Some(3)), (2, None)];
        Self::new("crossed", &[1, 2, 3, 4, 5], &pairs)
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, Some(3), &[0x101])
            .with(2, 2, None, &[0x102])
            .with(3, 1, Some(4), &[0x102])
    }

    /// Visits every state within `limit` of them, nearest first.
    #[must_use]
    pub fn walk(&self, limit: usize) -> Report {
        let mut report = Report { complete: true, ..Report::default() };
        let start = Node { lab: Lab::new(&self.policy), stage2: BTreeSet::new() }.canonical();
        let mut seen = HashSet::from([fingerprint(&start)]);
        let mut steps: Vec<Option<(usize, Action)>> = [None].into();
        let mut queue = VecDeque::from([(start, 0_usize, 0_usize)]);
        while let Some((node, at, depth)) = queue.pop_front() {
            report.depth = report.depth.max(depth);
            for action in self.actions() {
                let Some(done) = action.apply(self, &node) else { continue };
                report.transitions += 1;
                *report.per_event.entry(done.event.clone()).or_default() += 1;
                let step = check::step(&node, &done);
                let next = done.node.canonical();
                let new = next != node && seen.insert(fingerprint(&next));
                let state = if new { check::state(self, &next) } else { Ok(()) };
                if let Err(what) = step.and(state) {
                    let trace = trace(&steps, at, action);
                    report.violations.push(Violation { what, trace });
                    continue;
                }
                if !new {
                    continue;
                }
                if steps.len() >= limit {
                    report.complete = false;
                    continue;
                }
                steps.push(Some((at, action)));
                queue.push_back((next, steps.len() - 1, depth + 1));
            }
        }
        report.states = steps.len();
        report
    }
}

impl Node {
    fn canonical(mut self) -> Self {
        self.lab.broker = self.lab.broker.canonical(self.lab.now);
        self.lab.now = 0;
        self.lab.records.clear();
        self.lab.lost.clear();
        self.lab.rings = 0;
        self
    }
}

fn fingerprint(node: &Node) -> (u64, u64) {
    let hash = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        node.hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(0x9e37_79b9_7f4a_7c15))
}

fn trace(steps: &[Option<(usize, Action)>], mut at: usize, last: Action) -> Vec<Action> {
    let mut trace = Vec::from([last]);
    while let Some(Some((before, action))) = steps.get(at) {
        trace.push(*action);
        at = *before;
    }
    trace.reverse();
    trace
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::println;

    fn show(report: &Report) {
        for (event, count) in &report.per_event {
            println!("{event}: {count}");
        }
        println!("{} states, {} steps, depth {}", report.states, report.transitions, report.depth);
    }

    #[test]
    #[cfg_attr(miri, ignore = "too many states for an interpreter")]
    fn a_walk_over_all_states_of_one_grant_breaks_no_invariant() {
        let report = World::tiny().walk(10_000);
        show(&report);
        assert!(report.violations.is_empty(), "{:?}", report.violations.first());
        assert!(report.complete && report.depth > 8, "{report:?}");
        for event in ["Map:Ok", "Map:WrongState", "Release:Ok", "RevokeFails:SpmcFailure"] {
            assert!(report.per_event.contains_key(event), "{event} never happened");
        }
    }

    /// The nearest states only: all of them need minutes without optimisation. `EXPLORE_STATES`
    /// lifts the bound.
    #[test]
    #[cfg_attr(miri, ignore = "too many states for an interpreter")]
    fn a_walk_over_two_owners_and_two_peers_breaks_no_invariant() {
        let limit = std::env::var("EXPLORE_STATES").ok().and_then(|v| v.parse().ok());
        let report = World::small().walk(limit.unwrap_or(1500));
        show(&report);
        assert!(report.violations.is_empty(), "{:?}", report.violations.first());
        assert!(report.states >= 1500);
    }
}
