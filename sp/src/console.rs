//! Owns the printing of the partition's log lines, each of which begins with `[sp] `. Never prints
//! contents of shared memory; what a caller caused waits in [`Lines`] until no lock is held.

use crate::arch::{regs, uart};
use causeway_ffa::EndpointId;
use causeway_service::lines::{CAPACITY, Lines, Said};
use causeway_service::platform::Log;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
/// Something may wait in [`LINES`].
static WAITING: AtomicBool = AtomicBool::new(false);
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
    WAITING.store(true, Ordering::Release);
}

/// Prints what waits. To be called without a lock. Where another core is printing, that one prints
/// ours as well.
pub(crate) fn flush() {
    // A core that finds the printer gone looks again, so that no line stays behind.
    while WAITING.load(Ordering::Acquire) {
        let Some(lines) = LINES.get() else { return };
        let Some(_printer) = PRINTING.try_lock() else { return };
        WAITING.store(false, Ordering::Release);
        let now = second();
        // As many as fit into the queue: what others add meanwhile does not keep us here.
        for _ in 0..CAPACITY {
            let Some(said) = lines.lock().pop(now) else { break };
            line(format_args!("{said}"));
        }
        if lines.lock().has_more() {
            // Also where the count of what was lost waits for the next second.
            WAITING.store(true, Ordering::Release);
            return;
        }
    }
}

fn second() -> u64 {
    regs::now() / regs::counter_frequency().max(1)
}
