//! Owns the processor's random numbers, of which the partition's own are made. Never talks to a driver.

use crate::arch::regs::RandomNumbers;
use causeway_service::entropy::{Handle, Shared};
use causeway_vault::entropy::RawEntropy;
use spin::Once;

/// The processor's random numbers (FEAT_RNG), each from a fresh seed. Raw: `causeway-vault` tests
/// their health and puts a generator in front.
#[derive(Debug)]
pub(crate) struct Rndrrs(RandomNumbers);

impl RawEntropy for Rndrrs {
    fn word(&mut self) -> Option<u64> {
        self.0.next_reseeded()
    }
}

static GENERATOR: Once<Option<Shared<Rndrrs>>> = Once::new();

/// Returns the way to the one generator, if this machine has a source.
pub(crate) fn entropy() -> Option<Handle<Rndrrs>> {
    let found = || RandomNumbers::find().map(|numbers| Shared::new(Rndrrs(numbers)));
    GENERATOR.call_once(found).as_ref().map(Handle::new)
}
