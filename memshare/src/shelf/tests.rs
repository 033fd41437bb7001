//! Holds the table against a sorted list.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Fails unless the table holds these items, finds each, and keeps to its own rules.
fn check<const N: usize>(shelf: &Shelf<u64, N>, model: &BTreeSet<u64>) {
    assert!(shelf.iter().eq(model), "{:?} {model:?}", shelf.iter().collect::<Vec<_>>());
    assert_eq!(shelf.len, model.len());
    for key in model {
        assert_eq!(shelf.find(*key).map(|(_, item)| *item), Some(*key));
    }
    for key in model.iter().flat_map(|key| [key.saturating_sub(1), *key, key + 1]).chain([0]) {
        let place = shelf.place(key);
        assert_eq!(shelf.place_behind(key).1, model.range(..key).next_back(), "before {key}");
        assert_eq!(shelf.get(place), model.range(key..).next(), "from {key}");
        assert_eq!(shelf.find(key).is_some(), model.contains(&key));
    }
    let lens: Vec<_> = (0..shelf.used).map(|position| shelf.len_at(position)).collect();
    assert!(lens.len() == 1 || lens.iter().all(|len| *len > 0), "an empty block: {lens:?}");
    assert!(lens.windows(2).all(|two| two[0] + two[1] > MERGED), "blocks to merge: {lens:?}");
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    Remove(usize),
    InsertRun { from: u64, step: u64, count: u64 },
    RemoveRun { from: usize, step: usize, count: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_u64..3000).prop_map(Op::Insert),
        2 => (0_usize..400).prop_map(Op::Remove),
        2 => (0_u64..3000, 1_u64..40, 1_u64..150)
            .prop_map(|(from, step, count)| Op::InsertRun { from, step, count }),
        1 => (0_usize..400, 1_usize..4, 1_usize..150)
            .prop_map(|(from, step, count)| Op::RemoveRun { from, step, count }),
    ]
}

fn apply<const N: usize>(shelf: &mut Shelf<u64, N>, model: &mut BTreeSet<u64>, op: &Op) {
    match *op {
        Op::Insert(key) => {
            if model.contains(&key) {
                return;
            }
            let fits = model.len() < N;
            assert_eq!(shelf.insert(shelf.place(key), key), fits, "room for {key}");
            if fits {
                model.insert(key);
            }
        }
        Op::Remove(which) => {
            if let Some(key) = model.iter().nth(which).copied() {
                let (place, _) = shelf.find(key).unwrap();
                shelf.remove(place);
                model.remove(&key);
            }
        }
        Op::InsertRun { from, step, count } => {
            let keys = (0..count).map(|n| from + n * step);
            let new: Vec<_> = keys.filter(|key| !model.contains(key)).collect();
            let fits = model.len() + new.len() <= N;
            assert_eq!(shelf.insert_sorted(&new), fits, "room for {}", new.len());
            if fits {
                model.extend(new);
            }
        }
        Op::RemoveRun { from, step, count } => {
            let gone: Vec<_> = model.iter().skip(from).step_by(step).take(count).copied().collect();
            shelf.remove_sorted(&gone);
            model.retain(|key| !gone.contains(key));
        }
    }
}

fn run<const N: usize>(ops: &[Op]) {
    let mut shelf = Shelf::<u64, N>::new();
    let mut model = BTreeSet::new();
    for op in ops {
        apply(&mut shelf, &mut model, op);
        check(&shelf, &model);
    }
    let all: Vec<_> = model.iter().copied().collect();
    shelf.remove_sorted(&all);
    assert!(shelf == Shelf::new(), "an emptied table differs from a new one");
}

#[test]
fn blocks_beside_one_that_is_emptied_at_once_become_one() {
    let mut shelf = Shelf::<u64, 256>::new();
    let keys: Vec<u64> = (0..96).collect();
    assert!(shelf.insert_sorted(&keys));
    // Three full blocks; of the outer ones ten items each are left.
    let mut model: BTreeSet<u64> = keys.iter().copied().collect();
    for gone in [&keys[10..32], &keys[64..86], &keys[32..64]] {
        shelf.remove_sorted(gone);
        model.retain(|key| !gone.contains(key));
        check(&shelf, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 64 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_table_agrees_with_a_sorted_list(
        ops in proptest::collection::vec(op(), 1..if cfg!(miri) { 4 } else { 60 })
    ) {
        run::<4>(&ops);
        run::<30>(&ops);
        run::<100>(&ops);
        run::<256>(&ops);
        run::<1000>(&ops);
    }
}

/// The worst case for the number of blocks: neighbours that just may not be merged, and one that is
/// full and gets another item.
#[test]
#[cfg_attr(miri, ignore = "hundreds of thousands of steps, none of them unsafe")]
fn a_table_with_the_worst_neighbours_takes_as_many_items_as_it_may() {
    const N: usize = 1152;
    let mut shelf = Shelf::<u64, N>::new();
    let mut model = BTreeSet::new();
    // Blocks of 32 in ascending order, far apart.
    for block in 0..36_u64 {
        let keys: Vec<_> = (0..32).map(|n| block * 50_000 + n * 1000).collect();
        assert!(shelf.insert_sorted(&keys));
        model.extend(keys);
    }
    // Thinned out to blocks of 1 and 24 in turn, over and over, while what was taken is put in
    // elsewhere.
    for round in 0..40_u64 {
        let lens: Vec<_> = (0..shelf.used).map(|position| shelf.len_at(position)).collect();
        let mut gone = Vec::new();
        let mut at = 0;
        for (index, len) in lens.iter().enumerate() {
            let keep = if index % 2 == 0 { 24 } else { 1 };
            gone.extend(model.iter().skip(at + keep).take(len.saturating_sub(keep)).copied());
            at += len;
        }
        shelf.remove_sorted(&gone);
        model.retain(|key| !gone.contains(key));
        let mut base = round * 17 + 1;
        while model.len() < N {
            let key = base % 1_800_000;
            base += 7919;
            if model.insert(key) {
                assert!(shelf.insert(shelf.place(key), key), "no room for item {}", model.len());
            }
        }
        check(&shelf, &model);
        assert!(!shelf.insert(shelf.place(u64::MAX), u64::MAX), "more than fit");
    }
}
