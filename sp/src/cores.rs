//! Owns which cores of the machine have been seen started. Never starts one.
//!
//! A core that was never started waits in BL1's loop, which runs in place from the secure flash: as soon
//! as the bank leaves read-array mode it would fetch status words as code, and be lost. Once started it
//! parks in RAM, on or off.

use crate::core_id::CoreId;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static SEEN: AtomicU64 = AtomicU64::new(0);
/// How many cores the machine has; 0 until that is known.
static PRESENT: AtomicUsize = AtomicUsize::new(0);

/// This core runs the partition.
pub(crate) fn seen(core: CoreId) {
    SEEN.fetch_or(1 << core.get(), Ordering::AcqRel);
}

/// The machine has so many cores.
pub(crate) fn tell_present(count: usize) {
    PRESENT.store(count, Ordering::Release);
}

/// Whether each core of the machine has been seen.
#[cfg_attr(feature = "minimal", expect(dead_code, reason = "only the flash asks"))]
pub(crate) fn all_seen() -> bool {
    all_of(SEEN.load(Ordering::Acquire), PRESENT.load(Ordering::Acquire))
}

/// Whether as many bits are set as there are cores; never for a machine that nobody counted.
fn all_of(seen: u64, present: usize) -> bool {
    present > 0 && usize::try_from(seen.count_ones()).is_ok_and(|seen| seen >= present)
}

#[cfg(test)]
mod tests {
    use super::all_of;

    #[test]
    fn every_core_must_have_been_seen_and_the_cores_counted() {
        assert!(all_of(1, 1) && all_of(0b1011, 3));
        assert!(!all_of(0b1011, 4) && !all_of(u64::MAX, 0) && !all_of(0, 1));
    }
}
