//! Two processors of one VM make the same calls about the same handles at once, VM 1's as owner and
//! VM 2's as peer. Each handle must end once, and the answers must fit into one order.

mod duel;
pub(super) mod owner;
pub(super) mod peer;
mod wild;

/// How long a VM waits for another's part.
const MILLIS: u64 = 120_000;
/// Grants of VM 1 to VM 2 that both sides end at once.
const SHARED_ROUNDS: u64 = 120;
/// In one round of so many VM 2 rejects instead.
const REJECT_EVERY: u64 = 4;
