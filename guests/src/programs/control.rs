//! Owns what VM 1 may do to other VMs, and learn, by the monitor's test calls; never does it by another
//! way.

use crate::rt::hvc::{self, vendor};
use crate::rt::{signal, time};

/// "Under way, call again."
pub(super) const UNDER_WAY: u64 = 1;
/// How long an orderly kill or a start may take: more than the partition's deadline to unmap.
const MILLIS: u64 = 15_000;

/// Calls KILL or RESTART once.
pub(super) fn once(call: u64, vm: u16) -> u64 {
    let [answer, ..] = hvc::call([call, u64::from(vm), 0, 0, 0, 0, 0, 0]);
    answer
}

/// Calls KILL or RESTART until it is no longer under way; returns its last answer.
fn until_done(call: u64, vm: u16) -> u64 {
    let mut answer = UNDER_WAY;
    time::wait_until(MILLIS, || {
        answer = once(call, vm);
        answer != UNDER_WAY
    });
    answer
}

/// Kills a VM in order; returns 0 when it is down.
pub(super) fn kill(vm: u16) -> u64 {
    until_done(vendor::KILL, vm)
}

/// Starts a dead VM anew and binds its bits again, since the dead one's were unbound with it;
/// returns 0 when it runs.
pub(super) fn restart(vm: u16) -> u64 {
    let answer = until_done(vendor::RESTART, vm);
    signal::open();
    answer
}

/// Tells the monitor where the transfer begins and ends; true if it took note. Without that its
/// count of calls would be 0 whatever was called.
#[must_use]
pub(super) fn mark(begin: u64) -> bool {
    let [answer, ..] = hvc::call([vendor::MARK, begin, 0, 0, 0, 0, 0, 0]);
    answer == 0
}

/// What a VM owns and what the partition charges to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Charges {
    /// Live transactions, as the monitor has them.
    pub(super) shares: u64,
    /// Bytes of the SPMC's store.
    pub(super) store_bytes: u64,
    /// Pages in these transactions.
    pub(super) pages: u64,
    /// Transactions that some VM maps.
    pub(super) mapped: u64,
    /// Grants that the partition charges to it.
    pub(super) grants: u64,
    /// Pages that the partition charges to it.
    pub(super) charged_pages: u64,
    /// Ranges that the partition charges to it.
    pub(super) charged_ranges: u64,
}

/// Asks the monitor for a VM's charges; `None` if it refuses.
pub(super) fn audit(vm: u16) -> Option<Charges> {
    let answer = hvc::call([vendor::AUDIT, u64::from(vm), 0, 0, 0, 0, 0, 0]);
    let [0, shares, store_bytes, pages, mapped, grants, charged_pages, charged_ranges] = answer
    else {
        return None;
    };
    Some(Charges { shares, store_bytes, pages, mapped, grants, charged_pages, charged_ranges })
}

/// Whether a VM owns nothing and is charged nothing.
pub(super) fn owes_nothing(vm: u16) -> bool {
    audit(vm) == Some(Charges::default())
}
