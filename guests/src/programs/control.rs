//! Owns what VM 1 may do to other VMs by the monitor's test calls; never does it by another way.

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
