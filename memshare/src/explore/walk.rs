//! Owns one walk: nearest states first, each once. Never decides what is right: `check` does.

use super::action::{Action, Done};
use super::fingerprint::{self, Fingerprint};
use super::{Kind, Node, Special, World, check};
use crate::defect::Defect;
use crate::lab::Lab;
use causeway_abi::{Call, Status};
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec::Vec;

/// A broken invariant, with the shortest way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which, and how; begins with the invariant's name and a colon.
    pub what: String,
    /// From the empty state on.
    pub trace: Vec<Action>,
}

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The world's name.
    pub name: &'static str,
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
    /// How often each action ended with each status: `Kind:Status`, `Kind+Fault:Status`.
    pub per_event: BTreeMap<String, usize>,
}

/// Violations after which a walk gives up.
const ENOUGH: usize = 10;

impl World {
    /// Visits every state within `limit` of them, nearest first.
    #[must_use]
    pub fn walk(&self, defect: Option<Defect>, limit: usize) -> Report {
        let enough = if defect.is_some() { 1 } else { ENOUGH };
        let mut report = Report { name: self.name, complete: true, ..Report::default() };
        let actions = self.actions();
        let mut counts = Counts::default();
        let start = self.start(defect).canonical();
        let name = fingerprint::of(&start);
        let mut seen = HashSet::from([name]);
        let mut steps: Vec<Option<(usize, Action)>> = [None].into();
        let mut queue = VecDeque::from([(start, name, 0_usize, 0_usize)]);
        'walk: while let Some((node, here, at, depth)) = queue.pop_front() {
            report.depth = report.depth.max(depth);
            for action in &actions {
                let verdict = match self.take(*action, &node, here, &mut counts) {
                    Taken::Nothing => continue,
                    Taken::Same => Ok(None),
                    Taken::New(next, name) => Ok(seen.insert(name).then_some((next, name))),
                    Taken::Wrong(what) => Err(what),
                };
                report.transitions += 1;
                let verdict = verdict.and_then(|next| match next {
                    Some(next) => guarded(|| check::state(self, &next.0)).map(|()| Some(next)),
                    None => Ok(None),
                });
                match verdict {
                    Ok(None) => {}
                    Ok(Some(_)) if steps.len() >= limit => report.complete = false,
                    Ok(Some((next, name))) => {
                        steps.push(Some((at, *action)));
                        queue.push_back((*next, name, steps.len() - 1, depth + 1));
                    }
                    Err(what) => {
                        let trace = trace(&steps, at, *action);
                        report.violations.push(Violation { what, trace });
                        if report.violations.len() >= enough {
                            report.complete = false;
                            break 'walk;
                        }
                    }
                }
            }
        }
        report.states = steps.len();
        report.per_event = counts.named();
        report
    }

    fn start(&self, defect: Option<Defect>) -> Node {
        let mut lab = Lab::new(&self.policy);
        lab.faults.careless = self.is(Special::CarelessSpmc);
        lab.faults.second_core = self.is(Special::SecondCore);
        lab.broker.sabotage(defect);
        if self.is(Special::Donations) {
            lab.broker.spmc_donates();
        }
        if self.is(Special::Rationed) {
            lab.call(0, Call::HypRegister { sgi: 5, core: 0 });
        }
        Node {
            lab,
            stage2: BTreeSet::new(),
            left: BTreeSet::new(),
            frozen: None,
            joins: BTreeMap::new(),
        }
    }

    /// Carries out one action and checks the step.
    fn take(&self, action: Action, node: &Node, here: Fingerprint, counts: &mut Counts) -> Taken {
        let done = match guarded(|| Ok(action.apply(self, node))) {
            Ok(Some(done)) => done,
            Ok(None) => return Taken::Nothing,
            Err(what) => return Taken::Wrong(what),
        };
        counts.add(action, done.status);
        counts.intrusions += done.node.lab.intrusions;
        let canonical = done.node.canonical();
        let name = fingerprint::of(&canonical);
        let changed = name != here;
        match guarded(|| check::step(node, &done, changed)) {
            Err(what) => Taken::Wrong(what),
            Ok(()) if changed => Taken::New(canonical.into(), name),
            Ok(()) => Taken::Same,
        }
    }
}

enum Taken {
    /// The action has no meaning here.
    Nothing,
    Same,
    New(Box<Node>, Fingerprint),
    Wrong(String),
}

/// A panic of the broker, or of the laboratory over what the broker asks for, is a violation.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        Err(format!("I10: panic: {text}"))
    })
}

/// How often each kind of action, with each fault, ended with each status; the last place is for
/// actions without a status.
#[derive(Default)]
struct Counts {
    of_actions: BTreeMap<(Kind, super::Fault, Option<Status>), usize>,
    /// Sequences in the middle of which another core tried its calls: each was found busy.
    intrusions: usize,
}

impl Counts {
    fn add(&mut self, action: Action, status: Option<Status>) {
        *self.of_actions.entry((action.act.kind(), action.fault, status)).or_default() += 1;
    }

    fn named(&self) -> BTreeMap<String, usize> {
        let mut named = BTreeMap::new();
        if self.intrusions > 0 {
            let busy = format!("{}:{}", Kind::SecondCore.name(), Status::Busy.name());
            named.insert(busy, self.intrusions);
        }
        for ((kind, fault, status), count) in &self.of_actions {
            let status = status.map_or("-", Status::name);
            *named.entry(format!("{}{}:{status}", kind.name(), fault.suffix())).or_default() +=
                count;
        }
        named
    }
}

impl Node {
    pub(super) fn canonical(&self) -> Self {
        let lab = Lab {
            broker: self.lab.broker.canonical(self.lab.now),
            shares: self.lab.shares.clone(),
            mapped: self.lab.mapped.clone(),
            donated: self.lab.donated.clone(),
            copies: Vec::new(),
            faults: self.lab.faults,
            now: 0,
            records: Vec::new(),
            rings: 0,
            lost: Vec::new(),
            intrusions: 0,
            intruder: None,
        };
        let (stage2, left) = (self.stage2.clone(), self.left.clone());
        Self { lab, stage2, left, frozen: self.frozen.clone(), joins: self.joins.clone() }
    }
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

/// The step that was taken, for the checks.
pub(super) fn shown(done: &Done) -> String {
    format!("{:?}{} ({:?})", done.action.act, done.action.fault.suffix(), done.status)
}
