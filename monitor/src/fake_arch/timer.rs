//! Time of tests: the fake machine's clock.

use causeway_fake_spmc::machine::TICKS_PER_MS;

pub(crate) fn now() -> u64 {
    super::world(|world| world.machine.now())
}

pub(crate) fn ticks_of_ms(ms: u64) -> u64 {
    ms * TICKS_PER_MS
}

pub(crate) fn arm(_deadline: u64) {}

pub(crate) fn disarm() {}
