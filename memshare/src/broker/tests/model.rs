//! Compares the broker, step by step, with a naive model that keeps a list of grants and a map of
//! pages, and holds it to invariants I1-I4, I6 and I7 after each step.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

mod joins;
mod naive;
mod ops;

use super::*;
use crate::VmVerdict;
use crate::broker::tests::model::joins::Side;
use crate::broker::tests::model::naive::Model;
use crate::broker::tests::model::ops::Op;
use crate::event::Event;
use crate::policy::CopyRule;
use causeway_abi::CopyDirection;
use causeway_ffa::FfaError;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The broker, what the SPMC holds, and what the hypervisor really maps.
struct World {
    lab: Small,
    stage2: BTreeSet<(u64, u16)>,
}

/// The tests' policy, in which VM 3 may also donate, and bytes may go from VM 1's local areas into
/// those of VM 3.
fn policy() -> Policy {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR).with_unmap_deadline_ms(100);
    for id in super::policy().vms() {
        policy.add_vm(id).unwrap();
    }
    for window in super::policy().windows() {
        policy.add_window(window).unwrap();
    }
    for rule in super::policy().pairs() {
        let donate = (rule.owner.get(), rule.peer) == (3, None);
        policy.add_pair(PairRule { donate, ..rule }).unwrap();
    }
    let (from, to) = (EndpointId::from_raw(1), EndpointId::from_raw(3));
    policy.add_copy(CopyRule { from, to, joins: 2 }).unwrap();
    policy
}

fn number() -> impl Strategy<Value = u64> {
    0_u64..6
}

fn caller() -> impl Strategy<Value = u16> {
    prop_oneof![6 => 1_u16..4, 1 => Just(4_u16), 1 => Just(9_u16)]
}

fn any_terms() -> impl Strategy<Value = GrantTerms> {
    let peer =
        prop_oneof![4 => Just(Some(2)), 1 => Just(Some(1)), 1 => Just(Some(4)), 4 => Just(None)];
    let kind = prop_oneof![4 => Just(GrantKind::Share), 2 => Just(GrantKind::Lend), 1 => Just(GrantKind::Donate)];
    let permission = prop_oneof![3 => Just(Permission::ReadWrite), 1 => Just(Permission::ReadOnly)];
    (peer, kind, permission).prop_map(|(peer, kind, permission)| GrantTerms {
        kind,
        permission,
        ..terms(peer)
    })
}

/// Mostly one to three pages of the handle's own, sometimes whatever.
fn any_ranges(n: u64) -> impl Strategy<Value = Vec<(u64, u32)>> {
    let own =
        (0_u64..3, 1_u32..3).prop_map(move |(at, count)| vec![(0x110 + n * 8 + at * 2, count)]);
    let split = Just(vec![(0x113 + n * 8, 2), (0x110 + n * 8, 1)]);
    let wild = proptest::collection::vec((0xfe_u64..0x120, 1_u32..5), 1..4);
    prop_oneof![4 => own, 3 => split, 1 => wild]
}

fn send() -> impl Strategy<Value = Op> {
    let owner = prop_oneof![5 => Just(1_u16), 1 => Just(2_u16), 2 => Just(3_u16)];
    let any = prop_oneof![3 => Just(terms(Some(2))), 2 => Just(terms(None)), 1 => any_terms()];
    let kind = prop_oneof![3 => Just(GrantKind::Share), 1 => Just(GrantKind::Donate)];
    let local = (prop_oneof![1 => Just(1_u16), 2 => Just(3_u16)], kind)
        .prop_map(|(owner, kind)| (owner, GrantTerms { kind, ..terms(None) }));
    let whose = prop_oneof![2 => (owner, any), 1 => local];
    let ranges = number().prop_flat_map(|n| any_ranges(n).prop_map(move |r| (n, r)));
    (ranges, whose).prop_map(|((n, r), (o, t))| Op::Send(n, o, t, r))
}

/// Mostly sides of joins that policy allows.
fn side() -> impl Strategy<Value = Side> {
    let vms = prop_oneof![6 => Just((1_u16, 3_u16)), 6 => Just((3, 1)), 1 => (caller(), caller())];
    (vms, 0_u16..3).prop_map(|((vm, peer), number)| Side { vm, peer, number })
}

fn join() -> impl Strategy<Value = Op> {
    let direction = prop_oneof![Just(CopyDirection::ToPeer), Just(CopyDirection::FromPeer)];
    prop_oneof![
        6 => (number(), side()).prop_map(|(n, side)| Op::Join(n, side)),
        1 => side().prop_map(Op::Part),
        4 => (side(), direction, 0_u64..3).prop_map(|(s, d, page)| Op::Copy(s, d, page << 12)),
    ]
}

/// An operation, and whether it is to be aimed at a grant and a party that it concerns.
fn op() -> impl Strategy<Value = (Op, bool)> {
    let offer = (number(), prop::bool::weighted(0.8), caller(), any_terms());
    let ops = prop_oneof![
        6 => send(),
        8 => offer.prop_map(|(n, honest, caller, terms)| Op::Offer { n, honest, caller, terms }),
        7 => (caller(), number(), prop::bool::weighted(0.9)).prop_map(|(c, n, h)| Op::Accept(c, n, h)),
        1 => (caller(), number()).prop_map(|(c, n)| Op::Reject(c, n)),
        3 => (caller(), number()).prop_map(|(c, n)| Op::Release(c, n)),
        2 => (caller(), number()).prop_map(|(c, n)| Op::Revoke(c, n)),
        7 => (number(), caller()).prop_map(|(n, v)| Op::Map(n, v)),
        3 => (number(), caller()).prop_map(|(n, v)| Op::Unmap(n, v)),
        1 => caller().prop_map(Op::Destroy),
        2 => caller().prop_map(Op::Create),
        3 => (number(), caller()).prop_map(|(n, o)| Op::Use(n, o)),
        2 => (number(), caller()).prop_map(|(n, o)| Op::Unuse(n, o)),
        2 => number().prop_map(Op::Reclaim),
        1 => Just(Op::Poll),
        1 => (1_u64..150).prop_map(Op::Wait),
        1 => Just(Op::BreakRelinquish),
        10 => join(),
    ];
    (ops, prop::bool::weighted(0.8))
}

/// Two joined areas, to which chance seldom leads, or nothing.
fn opening() -> impl Strategy<Value = Vec<(Op, bool)>> {
    let area = |n: u64, vm: u16| {
        let (share, side) = (terms(None), Side { vm, peer: 4 - vm, number: 0 });
        let offer = Op::Offer { n, honest: true, caller: vm, terms: share };
        let send = Op::Send(n, vm, share, vec![(0x110 + n * 8, 1)]);
        [send, offer, Op::Join(n, side)].map(|op| (op, false))
    };
    prop_oneof![1 => Just(Vec::new()), 1 => Just([area(0, 1), area(1, 3)].concat())]
}

impl World {
    fn new() -> Self {
        let mut lab = Lab::new(&policy());
        lab.broker.spmc_donates();
        Self { lab, stage2: BTreeSet::new() }
    }

    /// Carries out an operation; `None` where there is no status to compare.
    fn run(&mut self, op: &Op) -> Option<Status> {
        let lab = &mut self.lab;
        let status = |lab: &mut Small, caller, call| Some(lab.call(caller, call).status);
        match op.clone() {
            Op::Send(n, owner, terms, ranges) => {
                let ranges: Vec<_> = ranges.iter().map(|(f, c)| pages(*f, *c)).collect();
                // The SPMC knows who has what was donated.
                let gone = ranges.iter().any(|r| lab.donated.iter().any(|d| d.overlaps(*r)));
                if !lab.shares.contains_key(&handle(n)) && !gone {
                    lab.send(n, owner, terms, &ranges);
                }
                None
            }
            Op::Offer { n, honest, caller, terms } => {
                let (caller, terms) = ops::aim(&lab.shares, n, honest, caller, terms);
                status(lab, caller, offer(n, terms))
            }
            Op::Accept(caller, n, honest) => {
                let inspect = Call::Inspect { handle: handle(n), range_index: 0 };
                let [a, b, c, _] = lab.call(caller, inspect).results;
                let seen = GrantSummary::from_words([a, b, c]).unwrap_or(ops::NOTHING);
                let fold = if honest { seen.fold } else { !seen.fold };
                let seen = GrantSummary { fold, ..seen };
                status(lab, caller, Call::Accept { handle: handle(n), seen })
            }
            Op::Reject(caller, n) => {
                let found = lab.broker.grants().find(|g| g.handle == handle(n));
                let generation = found.map_or(1, |g| g.generation);
                status(lab, caller, Call::Reject { handle: handle(n), generation })
            }
            Op::Release(caller, n) => status(lab, caller, release(n)),
            Op::Revoke(caller, n) => status(lab, caller, revoke(n)),
            Op::Map(n, vm) => {
                let verdict = status(lab, 0, mapping(n, vm));
                if verdict == Some(Status::Ok) {
                    self.stage2.insert((n, vm));
                }
                verdict
            }
            Op::Unmap(n, vm) => {
                self.stage2.remove(&(n, vm));
                status(lab, 0, unmapped(n, vm))
            }
            Op::Destroy(vm) => {
                self.stage2.retain(|(_, v)| *v != vm);
                lab.faults.relinquish = None;
                assert_eq!(lab.destroyed(vm), VmVerdict::Done);
                None
            }
            Op::Create(vm) => match lab.created(vm) {
                VmVerdict::Done => Some(Status::Ok),
                VmVerdict::InProgress => None,
                VmVerdict::Refused(status) => Some(status),
            },
            Op::Use(n, owner) | Op::Unuse(n, owner) => {
                let view = lab.broker.owned(EndpointId::from_raw(owner), handle(n));
                let begin = matches!(op, Op::Use(..));
                let mut step = |id| if begin { lab.begin_use(id) } else { lab.end_use(id) };
                view.map(|v| step(v.id)).map(|r| r.err().unwrap_or(Status::Ok))
            }
            Op::Join(n, side) => status(lab, side.vm, side.join(handle(n))),
            Op::Part(side) => status(lab, side.vm, Call::Part { name: side.name() }),
            Op::Copy(side, direction, offset) => status(lab, side.vm, side.copy(direction, offset)),
            Op::Reclaim(n) => {
                let locked = lab.locks(n) > 0;
                assert_eq!(lab.reclaim(n) == Err(FfaError::Denied), locked);
                None
            }
            Op::Poll => {
                let [_, asked, vm, _] = lab.call(0, Call::HypPoll).results;
                assert!(asked == u64::MAX || self.maps(asked, vm));
                None
            }
            Op::Wait(ticks) => {
                lab.now += ticks;
                None
            }
            Op::BreakRelinquish => {
                lab.faults.relinquish = Some(FfaError::Denied);
                None
            }
        }
    }

    fn maps(&self, n: u64, vm: u64) -> bool {
        self.stage2.contains(&(n, vm.try_into().unwrap()))
    }

    /// Lets all deadlines that passed be seen, so that what a call changes is its own doing.
    fn settle(&mut self) {
        for _ in 0..6 {
            self.lab.drive(Event::Tick);
        }
    }

    fn check(&self, model: &Model) {
        let mut of_page = BTreeMap::new();
        for grant in self.lab.broker.grants() {
            for range in self.lab.broker.ranges(grant.id) {
                assert!(self.lab.broker.policy().window_of(range).is_some(), "I5: outside RAM");
                for page in (range.start().get()..range.end()).step_by(4096) {
                    assert_eq!(of_page.insert(page, grant.handle), None, "I1: {page:#x} twice");
                }
            }
            let usable = matches!(grant.state, LifeState::Accepted | LifeState::Active);
            let permitted = self.lab.broker.permits(grant.id, 0, 1, Permission::ReadOnly);
            assert!(usable || !permitted, "I6: a ring in {grant:?} runs");
        }
        for (number, vm) in &self.stage2 {
            assert!(
                self.lab.locks(*number) > 0,
                "I2: {number} may be reclaimed while {vm} maps it"
            );
        }
        for (handle, share) in self.lab.shares.iter() {
            let live = self.lab.broker.grants().any(|g| g.handle == *handle);
            assert_eq!(share.locks, u32::from(live), "I2: the lock of {handle} is not its grant's");
        }
        let used = self.lab.broker.grants().filter(|g| g.peer.is_none() && g.use_count > 0);
        let used: BTreeSet<_> = used.map(|g| g.handle).collect();
        assert_eq!(used, *self.lab.mapped, "I5: mapped is what is local and in use");
        for (at, rule) in (0..).zip(self.lab.broker.policy().pairs()) {
            let usage = self.lab.broker.store.usage(at);
            let within = usage.grants <= rule.quota.grants
                && usage.pages <= rule.quota.pages
                && usage.ranges <= rule.quota.ranges;
            assert!(within, "I7: {rule:?} uses {usage:?}");
            assert_eq!(model.charged(&rule), usage, "I7: the charge of {rule:?}");
        }
        let mut facts: Vec<_> = self.lab.broker.grants().map(naive::facts).collect();
        facts.sort();
        assert_eq!(facts, model.facts());
        for (vm, peer, number) in [(1, 3, 0), (1, 3, 1), (1, 3, 2), (3, 1, 0), (3, 1, 1)] {
            let side = Side { vm, peer, number };
            let found = self.lab.clone().call(vm, Call::Joined { name: side.name() });
            assert_eq!((found.status, found.results), model.joined(side), "I3: {side:?}");
        }
    }
}

/// What calls of one VM must leave alone: the grants of all others.
fn others(lab: &Small, vm: u16) -> Vec<crate::GrantView> {
    let vm = EndpointId::from_raw(vm);
    lab.broker.grants().filter(|g| g.owner != vm && g.peer != Some(vm)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_broker_does_what_the_naive_model_says(
        opening in opening(),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new();
        let mut model = Model::new(policy());
        for (op, aimed) in opening.into_iter().chain(ops) {
            let op = if aimed { op.aimed(&world.lab, &model) } else { op };
            world.settle();
            model.settle(world.lab.now);
            let expected = model.run(&op, &world.lab);
            let given = world.lab.donated.len();
            let mut before = (world.lab.broker.clone(), world.lab.shares.clone());
            let untouched = op.caller().map(|vm| (vm, others(&world.lab, vm)));
            world.lab.copies.clear();
            let found = world.run(&op);
            prop_assert_eq!(found, expected, "{:?}", op);
            prop_assert_eq!(world.moved(), model.moved.take(), "{:?}", op);
            if found.is_some_and(|status| status != Status::Ok) && !op.breaks_spmc(&world.lab) {
                let after = (world.lab.broker.clone(), world.lab.shares.clone());
                // A donation that is refused has ended its transaction all the same.
                if let (Op::Offer { n, .. }, true) = (&op, world.lab.donated.len() > given) {
                    before.1.remove(&handle(*n));
                }
                prop_assert!(before == after, "I4: a refused {:?} changed something", op);
            }
            if let Some((vm, untouched)) = untouched {
                prop_assert_eq!(untouched, others(&world.lab, vm), "I3: {:?}", op);
            }
            if !matches!(op, Op::BreakRelinquish) && world.lab.faults.relinquish.is_some() {
                world.lab.faults.relinquish = None;
                world.mend_locks();
            }
            model.settle(world.lab.now);
            world.settle();
            world.check(&model);
        }
    }
}

impl World {
    /// What was copied since this was cleared.
    fn moved(&self) -> Option<(u64, u64, u64)> {
        let all = self.lab.copies.iter();
        let mut all = all.map(|(from, to, len)| (from.get(), to.get(), u64::from(*len)));
        let first = all.next();
        assert_eq!(all.next(), None, "copied twice");
        first
    }

    /// A retrieve that could not be given back is left over at the SPMC; its owner would have to
    /// be helped by hand. The model forgets it.
    fn mend_locks(&mut self) {
        let live: BTreeSet<_> = self.lab.broker.grants().map(|g| g.handle).collect();
        for (handle, share) in self.lab.shares.iter_mut() {
            share.locks = u32::from(live.contains(handle));
        }
    }
}
