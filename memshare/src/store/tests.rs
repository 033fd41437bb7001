//! Holds the tables against a list.

#![expect(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "small numbers")]

use super::*;
use crate::grant::Mapping;
use crate::policy::{PairRule, Quota};
use causeway_abi::{GrantKind, Permission};
use causeway_ffa::{EndpointId, PageAddr};
use proptest::prelude::*;

type Small = Store<6, 24, 1>;

fn policy() -> Policy {
    let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
    for id in [1, 2] {
        let owner = EndpointId::from_raw(id);
        policy.add_vm(owner).unwrap();
        let quota = Quota { grants: 3, pages: 100, ranges: 12 };
        let widest = Permission::ReadWrite;
        let rule = PairRule {
            owner,
            peer: None,
            share: true,
            lend: true,
            donate: false,
            widest,
            max_area_pages: 9,
            quota,
        };
        policy.add_pair(rule).unwrap();
    }
    policy
}

fn grant(handle: u64, pair: u8, extent: Extent) -> Grant {
    Grant {
        handle: MemHandle::new(handle).unwrap(),
        owner: Party { vm: pair, incarnation: 1 },
        peer: None,
        pair,
        kind: GrantKind::Share,
        permission: Permission::ReadWrite,
        stage: Stage::Active,
        mapping: Mapping::Absent,
        use_count: 0,
        generation: 0,
        serial: 0,
        offer: 0,
        extent,
    }
}

fn ranges(pages: &[(u64, u32)]) -> Vec<PageRange> {
    pages
        .iter()
        .map(|(p, n)| PageRange::new(PageAddr::new(p << 12).unwrap(), *n).unwrap())
        .collect()
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, u8, Vec<(u64, u32)>),
    Remove(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let list = proptest::collection::vec((0_u64..40, 1_u32..4), 1..5);
    prop_oneof![
        // A third of the handles share one bucket, which has room for four.
        3 => (0_u64..1000, 0_u8..2, list).prop_map(|(h, p, l)| {
            Op::Insert(if h % 3 == 0 { h * 4 } else { h }, p, l)
        }),
        2 => (0_usize..6).prop_map(Op::Remove),
    ]
}

fn check_against(store: &Small, model: &[(u64, u16, u8, Vec<PageRange>)]) {
    assert_eq!(store.live().count(), model.len());
    for (handle, slot, pair, list) in model {
        assert_eq!(store.find(MemHandle::new(*handle).unwrap()), Some(*slot));
        let extent = store.grant(*slot).unwrap().extent;
        let held: Vec<_> = (0..list.len()).map(|i| store.range(&extent, i as u32)).collect();
        assert_eq!(held, list.iter().copied().map(Some).collect::<Vec<_>>());
        assert_eq!(store.range(&extent, list.len() as u32), None);
        let of_pair = model.iter().filter(|m| m.2 == *pair);
        let used: usize = of_pair.clone().map(|m| m.3.len()).sum();
        assert_eq!(usize::from(store.usage(*pair).ranges), used);
        let mut offset = 0;
        for range in list {
            for page in 0..u64::from(range.page_count()) {
                let address = range.start().get() + page * 4096 + 7;
                let left = range.end() - address;
                assert_eq!(store.locate(&extent, offset + 7), Some((address, left)));
                offset += 4096;
            }
        }
        assert_eq!(store.locate(&extent, offset), None);
    }
    let starts: Vec<_> = store.by_page.iter().copied().collect();
    assert!(starts.is_sorted(), "{starts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_tables_agree_with_a_list(ops in proptest::collection::vec(op(), 1..60)) {
        let mut store = Small::new();
        store.reserve(&policy());
        let empty = store.clone();
        let mut model: Vec<(u64, u16, u8, Vec<PageRange>)> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(handle, pair, pages) => {
                    let list = ranges(&pages);
                    let before = store.clone();
                    let mut ranges = list.iter().copied().map(Some);
                    let staged = store.stage(pair, &mut ranges);
                    let used: usize = model.iter().filter(|m| m.2 == pair).map(|m| m.3.len()).sum();
                    let fits = used + list.len() <= 12 && model.len() < 6;
                    let fits = fits && model.iter().all(|m| m.0 != handle);
                    let clash = |i: usize| {
                        let others = model.iter().flat_map(|m| m.3.iter()).chain(&list[..i]);
                        others.copied().any(|r| r.overlaps(list[i]))
                    };
                    let overlap = (0..list.len()).any(clash);
                    let extent = staged.extent.unwrap();
                    if fits && !overlap {
                        let place = store.find_place(&extent).unwrap();
                        let id = store.insert(&mut grant(handle, pair, extent), place).unwrap();
                        model.push((handle, id.slot, pair, list));
                    } else {
                        if used + list.len() <= 12 {
                            prop_assert_eq!(store.find_place(&extent).is_err(), overlap);
                        }
                        store.unstage(pair);
                        prop_assert!(store == before, "a staged offer left something behind");
                    }
                }
                Op::Remove(which) if which < model.len() => {
                    let (.., slot, _, _) = model.remove(which);
                    prop_assert!(store.remove(slot).is_some());
                    prop_assert!(store.remove(slot).is_none());
                }
                Op::Remove(_) => {}
            }
            check_against(&store, &model);
        }
        for (_, slot, ..) in model {
            prop_assert!(store.remove(slot).is_some());
        }
        store.forget_generations();
        prop_assert!(store == empty, "an emptied store differs from a new one");
    }
}

#[test]
fn handles_that_share_a_bucket_are_all_found_and_forgotten() {
    let mut store = Small::new();
    store.reserve(&policy());
    let handle = |n: u64| MemHandle::new(n << 32).unwrap();
    for (n, pair) in (0..6).zip([0, 0, 0, 1, 1, 1]) {
        let first = ranges(&[(n, 1)])[0];
        let extent = Extent { first, rest_at: 0, range_count: 1, page_count: 1, fold: 0 };
        let place = store.find_place(&extent).unwrap();
        store.insert(&mut grant(n << 32, pair, extent), place).unwrap();
    }
    let slots: Vec<_> = (0..6).map(|n| store.find(handle(n)).unwrap()).collect();
    assert_eq!(store.find(handle(6)), None);
    for (n, slot) in [3, 0, 5, 1, 4, 2].into_iter().map(|n| (n, slots[n as usize])) {
        assert_eq!(store.find(handle(n)), Some(slot));
        store.remove(slot).unwrap();
        assert_eq!(store.find(handle(n)), None, "{n}");
    }
}

#[test]
fn a_slot_whose_generation_is_used_up_is_retired() {
    let mut store = Small::new();
    store.reserve(&policy());
    store.generations[0] = u32::MAX - 1;
    let insert = |store: &mut Small, handle| {
        let first = ranges(&[(handle, 1)])[0];
        let extent = Extent { first, rest_at: 0, range_count: 1, page_count: 1, fold: 0 };
        let place = store.find_place(&extent).unwrap();
        store.insert(&mut grant(handle, 0, extent), place).unwrap()
    };
    let last = insert(&mut store, 1);
    assert_eq!(last, GrantId { slot: 0, generation: u32::MAX });
    store.remove(0).unwrap();
    assert_eq!(insert(&mut store, 2).slot, 1);
    assert!(store.by_id(last).is_none());
}

#[test]
fn a_pair_whose_names_are_used_up_has_no_room_and_another_has() {
    let mut store = Small::new();
    store.reserve(&policy());
    assert!(store.has_room(0) && store.has_room(1));
    if let Some(serial) = store.serials.get_mut(0) {
        *serial = u32::MAX;
    }
    assert!(!store.has_room(0) && store.has_room(1));
}
