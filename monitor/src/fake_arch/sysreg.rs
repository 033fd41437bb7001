//! Barriers of tests: nothing to wait for; invalidations are counted.

pub(crate) fn dsb() {}

pub(crate) fn isb() {}

pub(crate) fn wfi() {}

pub(crate) fn tlbi_all_guests() {
    super::world(|world| world.invalidations += 1);
}
