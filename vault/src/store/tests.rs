//! The store on a flash that forgets nothing but what a power cut takes.

use super::{FORMAT, FORMAT_KEY, Key, Kind, MAX_VALUE, Store, StoreError};
use crate::flash::model::{Model, SECTOR, Tear};
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

type Write = (Key, Vec<u8>);

const SECTORS: usize = 4;

fn range() -> core::ops::Range<u32> {
    0..u32::try_from(SECTORS * SECTOR).unwrap()
}

fn key(index: u32) -> Key {
    Key { kind: Kind::Counter, vm: 1, index }
}

fn mount(flash: Model) -> Store<Model> {
    Store::mount(flash, range()).unwrap()
}

fn read(store: &mut Store<Model>, key: Key) -> Option<Vec<u8>> {
    let mut bytes = [0; MAX_VALUE];
    let len = store.get(key, &mut bytes).unwrap()?;
    Some(bytes[..len].to_vec())
}

/// A workload that overwrites, with sizes from a word to the largest value, and fills the sectors
/// several times over.
fn workload() -> Vec<Write> {
    (0_u32..60)
        .map(|n| {
            let len = match n % 5 {
                0 => 8,
                1 => 1,
                2 => 260,
                3 => 4100,
                _ => 37,
            };
            let fill = u8::try_from(n.saturating_add(1)).unwrap();
            (key(n % 6), vec![fill; len])
        })
        .collect()
}

#[test]
fn what_was_written_is_read_after_a_remount() {
    let mut store = mount(Model::new(SECTORS));
    assert_eq!(read(&mut store, key(0)), None);
    store.put(key(0), b"one").unwrap();
    store.put(key(0), b"two").unwrap();
    store.put(key(7), &[7; MAX_VALUE]).unwrap();
    let mut store = mount(store.unmount());
    assert_eq!(read(&mut store, key(0)).unwrap(), b"two");
    assert_eq!(read(&mut store, key(7)).unwrap(), [7; MAX_VALUE]);
}

#[test]
fn kinds_vms_and_indexes_do_not_share_values() {
    let mut store = mount(Model::new(SECTORS));
    let names = [
        Key { kind: Kind::Counter, vm: 1, index: 2 },
        Key { kind: Kind::RpmbKey, vm: 1, index: 2 },
        Key { kind: Kind::Counter, vm: 2, index: 1 },
        Key { kind: Kind::Counter, vm: 2, index: 2 },
        Key { kind: Kind::Counter, vm: 0x0102, index: 0 },
    ];
    for (n, name) in names.iter().enumerate() {
        store.put(*name, &[u8::try_from(n).unwrap()]).unwrap();
    }
    for (n, name) in names.iter().enumerate() {
        assert_eq!(read(&mut store, *name).unwrap(), [u8::try_from(n).unwrap()]);
    }
}

/// Runs the workload until the power fails; returns what was acknowledged and what was under way.
fn run(flash: Model) -> (Model, BTreeMap<Key, Vec<u8>>, Option<Write>) {
    let mut acknowledged = BTreeMap::new();
    let mut store = mount(flash);
    for (key, value) in workload() {
        match store.put(key, &value) {
            Ok(()) => {
                acknowledged.insert(key, value);
            }
            Err(_) => return (store.unmount(), acknowledged, Some((key, value))),
        }
    }
    (store.unmount(), acknowledged, None)
}

#[test]
fn a_cut_after_every_operation_loses_nothing_that_was_acknowledged() {
    let (whole, all, _) = run(mount(Model::new(SECTORS)).unmount());
    assert!(whole.erases > 4, "the workload must change sectors often");
    assert_eq!(all.len(), 6);
    // Miri takes a sample; every operation is cut where the tests run natively.
    let step = if cfg!(miri) { 97 } else { 1 };
    let mut cuts = 0;
    for tear in [Tear::Before, Tear::Middle, Tear::After] {
        for at in (2..whole.operations).step_by(step) {
            let mut flash = mount(Model::new(SECTORS)).unmount();
            flash.cut_at(at, tear);
            let (mut flash, acknowledged, under_way) = run(flash);
            if !flash.is_off() {
                continue;
            }
            cuts += 1;
            flash.power_on();
            let mut store = mount(flash);
            for index in 0..6 {
                let found = read(&mut store, key(index));
                let old = acknowledged.get(&key(index)).cloned();
                let new = under_way.clone().filter(|(k, _)| *k == key(index)).map(|(_, v)| v);
                assert!(
                    found == old || (new.is_some() && found == new),
                    "operation {at}, {tear:?}, key {index}"
                );
            }
            // It goes on as if nothing had been.
            store.put(key(0), b"afterwards").unwrap();
            assert_eq!(read(&mut store, key(0)).unwrap(), b"afterwards");
        }
    }
    assert!(cfg!(miri) || cuts > 300, "{cuts} cuts");
}

#[test]
fn a_cut_in_the_repair_after_a_cut_loses_nothing_either() {
    let (whole, _, _) = run(mount(Model::new(SECTORS)).unmount());
    let step = if cfg!(miri) { 331 } else { 7 };
    for at in (2..whole.operations).step_by(step) {
        for second in 0..4 {
            let mut flash = mount(Model::new(SECTORS)).unmount();
            flash.cut_at(at, Tear::Middle);
            let (mut flash, acknowledged, under_way) = run(flash);
            if !flash.is_off() {
                continue;
            }
            flash.power_on();
            let now = flash.operations;
            flash.cut_at(now + second, Tear::Middle);
            // Mounting, or the first write after it, is cut as well.
            let mut flash = match Store::mount(flash.clone(), range()) {
                Ok(mut store) => {
                    let repeated = under_way.clone().unwrap();
                    let _cut = store.put(repeated.0, &repeated.1);
                    store.unmount()
                }
                Err(_) => flash,
            };
            flash.power_on();
            let mut store = mount(flash);
            for (key, value) in &acknowledged {
                let found = read(&mut store, *key);
                let new = under_way.clone().filter(|(k, _)| k == key).map(|(_, v)| v);
                assert!(found.as_ref() == Some(value) || (new.is_some() && found == new));
            }
        }
    }
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let mut store = mount(Model::new(SECTORS));
    store.put(key(1), b"kept").unwrap();
    store.put(FORMAT_KEY, &(FORMAT + 1).to_le_bytes()).unwrap();
    let mut flash = store.unmount();
    let before = flash.bytes_mut().to_vec();
    let refused = Store::mount(flash.clone(), range());
    assert_eq!(refused.unwrap_err(), StoreError::NewerFormat(FORMAT + 1));
    assert_eq!(flash.bytes_mut(), before);
}

#[test]
fn an_older_format_is_upgraded_and_its_values_are_kept() {
    // Format 0 had no mark: what this test writes is what the first builds wrote.
    let mut store = mount(Model::new(SECTORS));
    store.put(key(1), b"kept").unwrap();
    store.put(FORMAT_KEY, &0_u32.to_le_bytes()).unwrap();
    let mut store = mount(store.unmount());
    assert_eq!(read(&mut store, FORMAT_KEY).unwrap(), FORMAT.to_le_bytes());
    assert_eq!(read(&mut store, key(1)).unwrap(), b"kept");
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_has() {
    let mut store = mount(Model::new(SECTORS));
    let mut held = 0;
    let full = loop {
        match store.put(key(held), &[1; 4000]) {
            Ok(()) => held += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::Full);
    assert!(held >= 4, "{held}");
    for index in 0..held {
        assert_eq!(read(&mut store, key(index)).unwrap(), [1; 4000], "{index}");
    }
}

#[test]
fn wrong_ranges_and_lengths_are_refused() {
    let sector = u32::try_from(SECTOR).unwrap();
    for range in [0..sector, 4..sector * 2, 0..sector * 2 + 4, 0..sector * 40] {
        let refused = Store::mount(Model::new(SECTORS), range.clone());
        assert_eq!(refused.unwrap_err(), StoreError::Range, "{range:?}");
    }
    let mut store = mount(Model::new(SECTORS));
    assert_eq!(store.put(key(1), &[0; MAX_VALUE + 1]), Err(StoreError::TooLong));
    store.put(key(1), &[1; 8]).unwrap();
    let mut short = [0; 7];
    assert_eq!(store.get(key(1), &mut short), Err(StoreError::TooLong));
    assert_eq!(short, [0; 7]);
}

#[test]
fn random_damage_never_panics() {
    let (whole, _, _) = run(mount(Model::new(SECTORS)).unmount());
    let mut seed = 1_u64;
    for _ in 0..if cfg!(miri) { 2 } else { 300 } {
        let mut flash = whole.clone();
        for _ in 0..40 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            let at = usize::try_from(seed >> 33).unwrap() % (SECTORS * SECTOR);
            flash.bytes_mut()[at] ^= u8::try_from(seed >> 20 & 0xff).unwrap();
        }
        if let Ok(mut store) = Store::mount(flash, range()) {
            let mut bytes = [0; MAX_VALUE];
            for index in 0..6 {
                let _any = store.get(key(index), &mut bytes);
            }
            let _any = store.put(key(0), b"x");
        }
    }
}
