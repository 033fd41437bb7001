//! Interrupts in tests: kicks are counted, the partition's doorbell comes from the fake SPMC.

/// Raised by the partition.
pub(crate) const DOORBELL_SGI: u32 = 7;

/// What an interrupt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Kick,
    Doorbell,
    Timer,
    Spurious(u32),
}

pub(crate) fn init() {}

pub(crate) fn init_core(_core: usize) {}

pub(crate) fn core_count() -> usize {
    1
}

pub(crate) fn take() -> Option<Cause> {
    super::world(|world| world.floor.take_bell().then_some(Cause::Doorbell))
}

pub(crate) fn kick(core: usize) {
    super::world(|world| world.kicks.push(core));
}
