//! The jobs about interrupts of secure devices: what they have in common. Never a job's content.

pub(super) mod demo;
pub(super) mod figures;
pub(super) mod situations;

use crate::calls::{self, Met};
use causeway_abi::{Call, InfoPage, InterruptCall, SourceId};

/// The sources, as the manifest numbers them.
pub(super) const TIMER: SourceId = 0;
/// As above.
pub(super) const UART: SourceId = 1;
/// As above: VM 3's.
pub(super) const GPIO: SourceId = 2;
/// As above.
pub(super) const CLOCK: SourceId = 3;

/// What the partition counted of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) taken: u64,
    pub(super) delivered: u64,
    pub(super) coalesced: u64,
    pub(super) dropped: u64,
}

/// Makes a call about interrupts.
pub(super) fn call(call: InterruptCall) -> Result<[u64; 4], Met> {
    calls::partition(&Call::Interrupt(call))
}

pub(super) fn counts(source: SourceId) -> Counts {
    let info = call(InterruptCall::Info { source, page: InfoPage::Counts });
    let [taken, delivered, coalesced, dropped] = info.unwrap_or_default();
    Counts { taken, delivered, coalesced, dropped }
}

/// How often a source came out of turn, and how often its limit masked it.
pub(super) fn troubles(source: SourceId) -> [u64; 2] {
    let info = call(InterruptCall::Info { source, page: InfoPage::Device });
    let [out_of_turn, storms, ..] = info.unwrap_or_default();
    [out_of_turn, storms]
}

/// Opens a source.
pub(super) fn unmask(source: SourceId) -> Result<(), Met> {
    call(InterruptCall::Unmask { source }).map(|_| ())
}

/// Has a device interrupt once.
pub(super) fn provoke(source: SourceId) -> Result<(), Met> {
    call(InterruptCall::Arm { source, interval_us: 0, count: 1 }).map(|_| ())
}

/// Has the timer tick.
pub(super) fn tick(interval_us: u32, count: u32) -> Result<(), Met> {
    call(InterruptCall::Arm { source: TIMER, interval_us, count }).map(|_| ())
}
