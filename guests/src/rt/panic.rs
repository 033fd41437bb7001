//! Owns the end of a guest whose own assertion failed: a failed test and power off; never retries.

use core::arch::asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    if !PANICKED.swap(true, Ordering::Relaxed) {
        let place = info.location();
        crate::say!(
            "TEST name=panic result=fail why={}:{}",
            place.map_or("?", |p| p.file()),
            place.map_or(0, core::panic::Location::line)
        );
        crate::say!("panic: {}", info.message());
        crate::say!("END status=fail");
    }
    super::power_off()
}

/// Returns the syndrome of the last exception.
pub(super) fn esr() -> u64 {
    let value: u64;
    // SAFETY: reads a register that EL1 may always read.
    unsafe { asm!("mrs {}, esr_el1", out(reg) value, options(nomem, nostack)) };
    value
}

/// Returns the address of the last exception.
pub(super) fn far() -> u64 {
    let value: u64;
    // SAFETY: reads a register that EL1 may always read.
    unsafe { asm!("mrs {}, far_el1", out(reg) value, options(nomem, nostack)) };
    value
}
