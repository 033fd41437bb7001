//! Owns this VM's one interrupt, its doorbell: when it is let through, and what its handler does. Never
//! decides what a source's event means.
//!
//! The handler fetches what rang, then every event of the partition's sources that waits, and completes
//! each. What it saw it leaves in counters; the program below it may be anywhere, so it takes no lock.

use super::{signal, time};
use crate::calls::{self, Met};
use causeway_abi::{Call, InterruptCall, SourceId, Status};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Sources that the handler keeps figures of.
pub const SOURCES: usize = 4;
/// Events that one run of the handler takes at most.
const BATCH: u32 = 64;

/// What the handler saw of one source.
#[derive(Debug)]
pub struct Seen {
    deliveries: AtomicU64,
    events: AtomicU64,
    worst: AtomicU64,
    all: AtomicU64,
    timed: AtomicU64,
}

static SEEN: [Seen; SOURCES] = [const { Seen::new() }; SOURCES];
/// Whether the handler fetches events of sources.
static SERVING: AtomicBool = AtomicBool::new(false);
/// Whether it completes them.
static COMPLETING: AtomicBool = AtomicBool::new(true);
/// Runs of the handler.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// Answers that the handler did not expect.
static WRONG: AtomicU64 = AtomicU64::new(0);

impl Seen {
    const fn new() -> Self {
        Self {
            deliveries: AtomicU64::new(0),
            events: AtomicU64::new(0),
            worst: AtomicU64::new(0),
            all: AtomicU64::new(0),
            timed: AtomicU64::new(0),
        }
    }

    /// Events fetched, each for itself.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Relaxed)
    }

    /// Events in them, those counted together included.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Ticks from the source to the handler's first instruction, at worst.
    pub fn worst(&self) -> u64 {
        self.worst.load(Relaxed)
    }

    /// The same, on average.
    pub fn mean(&self) -> u64 {
        self.all.load(Relaxed).checked_div(self.timed.load(Relaxed)).unwrap_or(0)
    }

    /// Begins anew.
    pub fn forget(&self) {
        for figure in [&self.deliveries, &self.events, &self.worst, &self.all, &self.timed] {
            figure.store(0, Relaxed);
        }
    }

    fn note(&self, count: u64, latency: Option<u64>) {
        self.deliveries.fetch_add(1, Relaxed);
        self.events.fetch_add(count, Relaxed);
        if let Some(ticks) = latency {
            self.worst.fetch_max(ticks, Relaxed);
            self.all.fetch_add(ticks, Relaxed);
            self.timed.fetch_add(1, Relaxed);
        }
    }
}

/// What the handler saw of a source.
///
/// # Panics
/// For a source that it keeps no figures of.
#[must_use]
pub fn seen(source: SourceId) -> &'static Seen {
    SEEN.get(usize::from(source)).unwrap_or_else(|| panic!("no figures of source {source}"))
}

/// Runs of the handler so far.
#[must_use]
pub fn taken() -> u64 {
    TAKEN.load(Relaxed)
}

/// Answers that the handler did not expect.
#[must_use]
pub fn wrong() -> u64 {
    WRONG.load(Relaxed)
}

/// The handler fetches events from now on, and completes them at once or leaves that to the program.
pub fn serve(complete: bool) {
    COMPLETING.store(complete, Relaxed);
    SERVING.store(true, Relaxed);
}

/// Lets the interrupt through.
pub fn open() {
    // SAFETY: the vectors are installed and the handler touches atomics and this VM's own calls only.
    unsafe { asm!("msr daifclr, #2", "isb", options(nostack)) };
}

/// Lets it through no more.
pub fn close() {
    // SAFETY: masks the interrupt of this processor; nothing else changes.
    unsafe { asm!("msr daifset, #2", "isb", options(nostack)) };
}

/// Waits with the interrupt open until `condition` holds, or for `millis`.
pub fn wait(millis: u64, condition: impl FnMut() -> bool) -> bool {
    open();
    let met = time::wait_until(millis, condition);
    close();
    met
}

/// The handler, called with the interrupt masked.
pub(super) fn handle() {
    let at = time::ticks();
    TAKEN.fetch_add(1, Relaxed);
    signal::fetch();
    if !SERVING.load(Relaxed) {
        return;
    }
    let mut latency = Some(at);
    for _ in 0..BATCH {
        match calls::partition(&Call::Interrupt(InterruptCall::Fetch)) {
            Ok([event, _, first_at, _]) => {
                let (source, count) = (event & 0xffff, event >> 32);
                let source = SourceId::try_from(source).unwrap_or(SourceId::MAX);
                // Only the first was waited for by this run of the handler.
                let late = latency.take().map(|at| at.saturating_sub(first_at));
                match SEEN.get(usize::from(source)) {
                    Some(seen) => seen.note(count, late),
                    None => {
                        WRONG.fetch_add(1, Relaxed);
                    }
                }
                if COMPLETING.load(Relaxed) {
                    let done = InterruptCall::Complete { source };
                    if calls::partition(&Call::Interrupt(done)).is_err() {
                        WRONG.fetch_add(1, Relaxed);
                    }
                }
            }
            Err(Met::Status(Status::NothingWaits)) => return,
            Err(_) => {
                WRONG.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}
