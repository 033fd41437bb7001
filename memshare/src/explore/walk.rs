//! Owns one walk: nearest states first, each once. Never decides what is right: `check` does.

use super::action::{Action, Done};
use super::fingerprint::{self, Fingerprint, Seen};
use super::{Kind, Node, Special, World, check};
use crate::defect::Defect;
use crate::grant::GrantView;
use crate::lab::{Lab, Shared};
use causeway_abi::{Call, LifeState, Status};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Every move of a grant that was seen, in the worlds that [`TOLD`] names.
    pub moves: BTreeSet<Move>,
}

/// A move of one grant: by what, whether a VM besides the partition borrows it, from where and to where.
/// `None`: there is no such grant; at its end it was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// The state before.
    pub from: Option<LifeState>,
    /// The kind of event.
    pub by: &'static str,
    /// The state behind it.
    pub to: Option<LifeState>,
    /// Whether it is for the partition alone.
    pub local: bool,
}

/// The worlds in which every move of a grant is noted: they have every call, crash and failure.
const TOLD: [&str; 2] = ["one-grant", "donated"];

/// Violations after which a walk gives up.
const ENOUGH: usize = 10;

impl World {
    /// Visits every state within `limit` of them, nearest first.
    #[must_use]
    pub fn walk(&self, defect: Option<Defect>, limit: usize) -> Report {
        let enough = if defect.is_some() { 1 } else { ENOUGH };
        let mut report = Report { name: self.name, complete: true, ..Report::default() };
        let actions = self.actions();
        let mut counts = Counts::of(&actions);
        let told = TOLD.contains(&self.name);
        let start = self.start(defect).canonical();
        let name = fingerprint::of(&start);
        let mut hand = Hand::at(self, &start);
        let mut seen = Seen::from_iter([name]);
        let mut steps: Vec<Option<(usize, Action)>> = [None].into();
        let mut queue = VecDeque::from([(Before::new(start), name, 0_usize, 0_usize)]);
        'walk: while let Some((before, here, at, depth)) = queue.pop_front() {
            report.depth = report.depth.max(depth);
            for (number, action) in actions.iter().enumerate() {
                let taken = hand.take(*action, &before, here);
                if let Taken::Nothing = taken {
                    continue;
                }
                report.transitions += 1;
                if !matches!(taken, Taken::Wrong(_)) {
                    counts.add(number, &hand.done);
                }
                if told && matches!(taken, Taken::New(_)) {
                    note_moves(&mut report.moves, action.act.kind().name(), &before, &hand.done);
                }
                let verdict = match taken {
                    Taken::Nothing | Taken::Same => continue,
                    Taken::New(name) if !seen.insert(name) => continue,
                    Taken::New(name) => hand.check_state().map(|next| (next, name)),
                    Taken::Wrong(what) => Err(what),
                };
                match verdict {
                    Ok(_) if steps.len() >= limit => report.complete = false,
                    Ok((next, name)) => {
                        steps.push(Some((at, *action)));
                        queue.push_back((next, name, steps.len() - 1, depth + 1));
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
            stage2: Shared::default(),
            left: Shared::default(),
            frozen: Shared::default(),
            joins: Shared::default(),
        }
    }
}

/// Notes what a step moved: grants are known again by owner and handle.
fn note_moves(moves: &mut BTreeSet<Move>, by: &'static str, before: &Before, done: &Done) {
    let after: Vec<GrantView> = done.node.lab.broker.grants().collect();
    let same =
        |one: &GrantView, other: &GrantView| (one.owner, one.handle) == (other.owner, other.handle);
    for old in &before.grants {
        let new = after.iter().find(|new| same(new, old)).map(|new| new.state);
        if new != Some(old.state) {
            let local = old.peer.is_none();
            moves.insert(Move { from: Some(old.state), by, to: new, local });
        }
    }
    for new in after.iter().filter(|new| !before.grants.iter().any(|old| same(old, new))) {
        let local = new.peer.is_none();
        moves.insert(Move { from: None, by, to: Some(new.state), local });
    }
}

/// Where the next states are made: at every step the same places, which is most of what makes a
/// step cheap.
struct Hand<'a> {
    world: &'a World,
    done: Done,
    canonical: Node,
}

impl<'a> Hand<'a> {
    fn at(world: &'a World, start: &Node) -> Self {
        let action = Action { act: super::Act::Wait, fault: super::Fault::Nothing };
        let done = Done { node: start.clone(), action, status: None, wrong: None };
        Self { world, done, canonical: start.clone() }
    }

    /// Carries out one action and checks the step.
    fn take(&mut self, action: Action, before: &Before, here: Fingerprint) -> Taken {
        let Self { world, done, canonical } = self;
        match guarded(|| Ok(action.apply(world, &before.node, done))) {
            Ok(Some(())) => {}
            Ok(None) => return Taken::Nothing,
            Err(what) => return Taken::Wrong(what),
        }
        // Most calls are refused and leave everything as it was, to the last bit.
        let name = if done.node.is_as(&before.node) {
            here
        } else {
            canonical.become_canonical_of(&done.node);
            fingerprint::of(canonical)
        };
        let changed = name != here;
        match guarded(|| check::step(before, done, canonical, changed)) {
            Err(what) => Taken::Wrong(what),
            Ok(()) if changed => Taken::New(name),
            Ok(()) => Taken::Same,
        }
    }

    /// Checks the state that was made last, and keeps a copy of it.
    fn check_state(&self) -> Result<Before, String> {
        let next = Before::new(self.canonical.clone());
        guarded(|| check::state(self.world, &next)).map(|()| next)
    }
}

/// A state, and its grants as the checks look at them.
pub(super) struct Before {
    pub(super) node: Node,
    pub(super) grants: Vec<GrantView>,
}

impl Before {
    fn new(node: Node) -> Self {
        let grants = node.lab.broker.grants().collect();
        Self { node, grants }
    }
}

enum Taken {
    /// The action has no meaning here.
    Nothing,
    Same,
    New(Fingerprint),
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

/// How often each kind of action, with each fault, ended with each status.
struct Counts<'a> {
    actions: &'a [Action],
    /// For each action: by the status's code, 0 for actions without one.
    of_actions: Vec<[usize; STATUSES]>,
    /// Sequences in the middle of which another core tried its calls: each was found busy.
    intrusions: usize,
}

/// No status has a higher code.
const STATUSES: usize = 128;

impl<'a> Counts<'a> {
    fn of(actions: &'a [Action]) -> Self {
        Self { actions, of_actions: std::vec![[0; STATUSES]; actions.len()], intrusions: 0 }
    }

    fn add(&mut self, number: usize, done: &Done) {
        let code = done.status.map_or(0, |status| usize::from(status.code()) + 1);
        let row = self.of_actions.get_mut(number);
        *row.and_then(|row| row.get_mut(code)).expect("a status of the table") += 1;
        self.intrusions += done.node.lab.intrusions;
    }

    fn named(&self) -> BTreeMap<String, usize> {
        let mut named = BTreeMap::new();
        if self.intrusions > 0 {
            let busy = format!("{}:{}", Kind::SecondCore.name(), Status::Busy.name());
            named.insert(busy, self.intrusions);
        }
        let statuses = Status::ALL.iter().map(|s| (usize::from(s.code()) + 1, s.name()));
        let statuses: Vec<_> = statuses.chain([(0, "-")]).collect();
        for (action, row) in self.actions.iter().zip(&self.of_actions) {
            let name = format!("{}{}", action.act.kind().name(), action.fault.suffix());
            for (code, status) in &statuses {
                let count = row.get(*code).copied().unwrap_or(0);
                if count > 0 {
                    *named.entry(format!("{name}:{status}")).or_default() += count;
                }
            }
        }
        named
    }
}

impl Node {
    fn canonical(&self) -> Self {
        let mut node = self.clone();
        node.become_canonical_of(self);
        node
    }

    /// Becomes what is told from others of a state: `broker/canonical.rs` says what is not.
    fn become_canonical_of(&mut self, node: &Self) {
        self.become_copy_of(node);
        let lab = &mut self.lab;
        lab.broker.make_canonical(lab.now);
        lab.now = 0;
    }

    /// Becomes a copy of a state, without what its last step left behind, in the same places.
    pub(super) fn become_copy_of(&mut self, node: &Self) {
        let Self { lab, stage2, left, frozen, joins } = self;
        lab.become_copy_of(&node.lab);
        stage2.clone_from(&node.stage2);
        left.clone_from(&node.left);
        frozen.clone_from(&node.frozen);
        joins.clone_from(&node.joins);
    }

    /// Whether nothing tells it from another state but what a step leaves behind.
    fn is_as(&self, other: &Self) -> bool {
        let Self { lab, stage2, left, frozen, joins } = self;
        lab.is_as(&other.lab)
            && (stage2, left) == (&other.stage2, &other.left)
            && (frozen, joins) == (&other.frozen, &other.joins)
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
