//! Owns monotonic counters: each VM has a few, they survive power cuts, and none ever turns back.
//! Never shares a counter between VMs.

use crate::flash::NorFlash;
use crate::store::{Key, Kind, Store, StoreError};

/// Counters of one VM, numbered from 0.
pub const COUNTERS_PER_VM: u32 = 8;

/// Why a counter was not read or incremented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterError {
    /// No such number.
    Number,
    /// The counter stands at its largest value for ever.
    Exhausted,
    /// The store refused; the counter may have advanced by one, never turned back.
    Store(StoreError),
}

impl From<StoreError> for CounterError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Reads counter `number` of `vm`. One never incremented is 0.
///
/// # Errors
///
/// See [`CounterError`].
pub fn read<F: NorFlash>(store: &mut Store<F>, vm: u16, number: u32) -> Result<u64, CounterError> {
    if number >= COUNTERS_PER_VM {
        return Err(CounterError::Number);
    }
    let mut bytes = [0; 8];
    match store.get(key(vm, number), &mut bytes)? {
        None => Ok(0),
        Some(8) => Ok(u64::from_le_bytes(bytes)),
        Some(_) => Err(CounterError::Store(StoreError::Corrupted)),
    }
}

/// Advances counter `number` of `vm` by one and returns its new value, which is durable by then.
///
/// # Errors
///
/// See [`CounterError`].
pub fn increment<F: NorFlash>(
    store: &mut Store<F>,
    vm: u16,
    number: u32,
) -> Result<u64, CounterError> {
    let next = read(store, vm, number)?.checked_add(1).ok_or(CounterError::Exhausted)?;
    store.put(key(vm, number), &next.to_le_bytes())?;
    Ok(next)
}

const fn key(vm: u16, index: u32) -> Key {
    Key { kind: Kind::Counter, vm, index }
}

#[cfg(test)]
mod tests {
    use super::{CounterError, increment, key, read};
    use crate::flash::model::{Model, SECTOR, Tear};
    use crate::store::Store;

    const SECTORS: usize = 3;

    fn mount(flash: Model) -> Store<Model> {
        Store::mount(flash, 0..u32::try_from(SECTORS * SECTOR).unwrap()).unwrap()
    }

    #[test]
    fn counters_of_a_vm_and_of_two_vms_are_apart() {
        let mut store = mount(Model::new(SECTORS));
        assert_eq!(increment(&mut store, 1, 0), Ok(1));
        assert_eq!(increment(&mut store, 1, 0), Ok(2));
        assert_eq!(increment(&mut store, 2, 0), Ok(1));
        assert_eq!(read(&mut store, 1, 1), Ok(0));
        assert_eq!(read(&mut store, 1, 0), Ok(2));
        assert_eq!(read(&mut store, 1, 8), Err(CounterError::Number));
        assert_eq!(increment(&mut store, 1, u32::MAX), Err(CounterError::Number));
    }

    #[test]
    fn a_counter_at_its_end_stays_there() {
        let mut store = mount(Model::new(SECTORS));
        store.put(key(1, 3), &u64::MAX.to_le_bytes()).unwrap();
        assert_eq!(increment(&mut store, 1, 3), Err(CounterError::Exhausted));
        assert_eq!(read(&mut store, 1, 3), Ok(u64::MAX));
    }

    #[test]
    fn no_power_cut_turns_a_counter_back() {
        let mut flash = mount(Model::new(SECTORS)).unmount();
        let (mut shown, mut cut) = (0, 0_u64);
        // The power fails again and again, each time a little later in the next run.
        for round in 0..if cfg!(miri) { 4 } else { 400_u64 } {
            flash.power_on();
            let tear =
                [Tear::Before, Tear::Middle, Tear::After][usize::try_from(round % 3).unwrap()];
            let now = flash.operations;
            flash.cut_at(now + round % 29, tear);
            let mut store =
                match Store::mount(flash.clone(), 0..u32::try_from(SECTORS * SECTOR).unwrap()) {
                    Ok(store) => store,
                    Err(_) => continue,
                };
            if let Ok(value) = read(&mut store, 1, 0) {
                assert!(value == shown || value == shown + 1, "{value} after {shown}");
                shown = value;
            }
            while let Ok(value) = increment(&mut store, 1, 0) {
                assert_eq!(value, shown + 1);
                shown = value;
            }
            cut += 1;
            flash = store.unmount();
        }
        assert!(cut > 3 && shown > cut, "{cut} cuts, counter at {shown}");
    }
}
