//! Owns the pages of this VM that may be granted to others; never gives one out twice.

use super::{access, layout};
use crate::cmdline::CommandLine;
use core::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(layout::PAGES_START);
static END: AtomicU64 = AtomicU64::new(layout::PAGES_START);

/// Learns how much RAM there is. The last page holds the command line and is never given out.
pub(super) fn init(line: &CommandLine<'_>) {
    let ram = line.number("ram_bytes").unwrap_or(64 << 20);
    END.store(layout::RAM_START + ram - layout::PAGE_LEN, Ordering::Relaxed);
}

/// First page that could be given out.
#[must_use]
pub fn start() -> u64 {
    layout::PAGES_START
}

/// First byte after the last page that could be given out.
#[must_use]
pub fn end() -> u64 {
    END.load(Ordering::Relaxed)
}

/// Takes `count` zeroed pages for good and returns their address.
///
/// # Panics
/// If the VM has no more pages.
#[must_use]
pub fn take(count: u64) -> u64 {
    let start = take_untouched(count);
    for word in 0..count * layout::PAGE_LEN / 8 {
        access::write_u64(start + word * 8, 0);
    }
    start
}

/// Takes `count` pages for good as they are, and returns their address: for areas too large to
/// touch.
///
/// # Panics
/// If the VM has no more pages.
#[must_use]
pub fn take_untouched(count: u64) -> u64 {
    let start = NEXT.fetch_add(count * layout::PAGE_LEN, Ordering::Relaxed);
    assert!(start + count * layout::PAGE_LEN <= end(), "out of pages");
    start
}

/// Fills `count` pages with a pattern of which each word depends on `seed` and its place.
pub fn fill(address: u64, count: u64, seed: u64) {
    for word in 0..count * layout::PAGE_LEN / 8 {
        access::write_u64(address + word * 8, pattern(seed, word));
    }
}

/// Reports whether the pages hold the pattern.
#[must_use]
pub fn holds(address: u64, count: u64, seed: u64) -> bool {
    (0..count * layout::PAGE_LEN / 8)
        .all(|word| access::read_u64(address + word * 8) == pattern(seed, word))
}

const fn pattern(seed: u64, word: u64) -> u64 {
    (seed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word
}
