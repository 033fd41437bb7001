//! Owns the printing of the partition's log lines, each of which begins with `[sp] `. Never prints
//! contents of shared memory; what a caller caused waits in [`Lines`] until no lock is held.

use crate::arch::{regs, uart};
use causeway_ffa::EndpointId;
use causeway_service::lines::{CAPACITY, Lines, Said};
use causeway_service::platform::Log;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use spin::Once;
use spin::mutex::SpinMutex;

/// Prints one line on the secure UART: start-up and failures of our own.
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::console::line(format_args!($($argument)*))
    };
}
pub(crate) use log;

/// What waits to be printed. Held for one look at a time, never while printing. Not all zeros: built at
/// the start, so that none of it lies in the image.
static LINES: Once<SpinMutex<Lines>> = Once::new();
/// From when on [`LINES`] has something to print: 0 at once, [`NEVER`] nothing. Each call looks here.
static DUE: AtomicU64 = AtomicU64::new(NEVER);
const NEVER: u64 = u64::MAX;
/// One core prints, so that the lines keep their order.
static PRINTING: SpinMutex<()> = SpinMutex::new(());
/// Lines that the UART would not take, for a debugger.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Makes room for what will wait.
pub(crate) fn build() {
    LINES.call_once(|| SpinMutex::new(Lines::new()));
}

/// The log as the partition's platform has it, before and beside the partition.
pub(crate) struct Console;

impl Log for Console {
    fn line(&self, args: fmt::Arguments<'_>) {
        line(args);
    }

    fn tell(&self, owner: Option<EndpointId>, said: Said) {
        tell(owner, said);
    }
}

/// Prints one line; a line that the UART would not take is lost.
pub(crate) fn line(args: fmt::Arguments<'_>) {
    if uart::print(format_args!("[sp] {args}\n")).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Keeps one line that `owner` caused (`None`: no VM) for [`flush`], while its ration lasts.
pub(crate) fn tell(owner: Option<EndpointId>, said: Said) {
    let Some(lines) = LINES.get() else { return };
    lines.lock().push(second(), owner, said);
    DUE.store(0, Ordering::Release);
}

/// Prints what waits. To be called without a lock. Where another core is printing, that one prints
/// ours as well.
#[inline(always)]
pub(crate) fn flush() {
    let due = DUE.load(Ordering::Acquire);
    if due != NEVER && due <= regs::now() {
        print_waiting();
    }
}

#[inline(never)]
fn print_waiting() {
    // A core that finds the printer gone looks again, so that no line stays behind.
    while DUE.load(Ordering::Acquire) <= regs::now() {
        let Some(lines) = LINES.get() else { return };
        let Some(_printer) = PRINTING.try_lock() else { return };
        DUE.store(NEVER, Ordering::Release);
        let now = second();
        // As many as fit into the queue: what others add meanwhile does not keep us here.
        for _ in 0..CAPACITY {
            let Some(said) = lines.lock().pop(now) else { break };
            line(format_args!("{said}"));
        }
        let (waits, lost) = {
            let lines = lines.lock();
            (lines.has_lines(), lines.has_lost())
        };
        if waits {
            DUE.store(0, Ordering::Release);
            return;
        }
        if lost {
            // The count of what was lost is told in the next second, and nobody looks before. A line
            // that came meanwhile is not put off.
            let next = now.saturating_add(1).saturating_mul(regs::counter_frequency().max(1));
            DUE.fetch_min(next, Ordering::AcqRel);
        }
    }
}

fn second() -> u64 {
    regs::now() / regs::counter_frequency().max(1)
}
