//! Owns this VM's second processor: a few instructions that read one address when they are told to,
//! and otherwise never leave the core. Never runs Rust.

use super::{access, hvc, pages, time};
use core::arch::global_asm;

/// PSCI CPU_ON, SMC64.
const CPU_ON: u64 = 0xc400_0003;
/// PSCI CPU_OFF.
const CPU_OFF: u64 = 0x8400_0002;
/// What a register holds that a skipped load did not write.
const UNTOUCHED: u64 = 0x0bad_c0de_5ca1_ab1e;

/// Words of the page by which it is told what to do.
const ADDRESS: u64 = 0;
const ORDER: u64 = 8;
const DONE: u64 = 16;
const VALUE: u64 = 24;
const SENTINEL: u64 = 32;
/// The order that ends it.
const STOP: u64 = u64::MAX;

// x0 is the page. MMU off, no stack: loads and stores of this page, one load of the address for
// each new order, and CPU_OFF (PSCI 0x84000002) at the end.
global_asm!(
    ".global causeway_second_processor",
    "causeway_second_processor:",
    "mov x6, #0",
    "2: ldr x2, [x0, #8]",
    "cmp x2, x6",
    "b.eq 2b",
    "mov x6, x2",
    "cmn x2, #1",
    "b.eq 3f",
    "ldr x1, [x0]",
    "ldr x3, [x0, #32]",
    "ldr x3, [x1]",
    "str x3, [x0, #24]",
    "dmb sy",
    "str x2, [x0, #16]",
    "b 2b",
    "3: mov w0, #0x0002",
    "movk w0, #0x8400, lsl #16",
    "hvc #0",
    "b 3b",
);

// The same, but for one HVC with the eight registers of the page, whose answer follows them there, and
// CPU_OFF. The monitor keeps x9.
global_asm!(
    ".global causeway_second_call",
    "causeway_second_call:",
    "mov x9, x0",
    "ldp x0, x1, [x9]",
    "ldp x2, x3, [x9, #16]",
    "ldp x4, x5, [x9, #32]",
    "ldp x6, x7, [x9, #48]",
    "hvc #0",
    "stp x0, x1, [x9, #64]",
    "stp x2, x3, [x9, #80]",
    "dmb sy",
    "mov x1, #1",
    "str x1, [x9, #128]",
    "4: mov w0, #0x0002",
    "movk w0, #0x8400, lsl #16",
    "hvc #0",
    "b 4b",
);

unsafe extern "C" {
    fn causeway_second_processor();
    fn causeway_second_call();
}

/// PSCI AFFINITY_INFO, SMC64.
const AFFINITY_INFO: u64 = 0xc400_0004;

/// PSCI CPU_SUSPEND, SMC64, and the two power states of our monitor.
const CPU_SUSPEND: u64 = 0xc400_0001;
const STANDBY: u64 = 1;
const POWER_DOWN: u64 = 0x1_0002;

/// Suspends the calling processor (PSCI CPU_SUSPEND, standby) until its VM's interrupt is pending, masked
/// or not.
#[must_use]
pub fn suspend_this_one() -> bool {
    let [answer, ..] = hvc::call([CPU_SUSPEND, STANDBY, 0, 0, 0, 0, 0, 0]);
    answer == 0
}

/// Has the second processor suspend itself in power-down until the VM's interrupt is pending, which the
/// caller has seen to. It then begins anew, makes one call and switches itself off. Returns whether all
/// of this came about.
#[must_use]
pub fn suspend_and_call_once(regs: [u64; 8], millis: u64) -> bool {
    let page = pages::take(1);
    for (at, value) in (page..).step_by(8).zip(regs) {
        access::write_u64(at, value);
    }
    let entry = (causeway_second_call as *const ()).expose_provenance();
    let Ok(entry) = u64::try_from(entry) else { return false };
    // Its own call never returns: the other half of the sleep begins at the entry.
    let first = call_once([CPU_SUSPEND, POWER_DOWN, entry, page, 0, 0, 0, 0], millis);
    first.is_none() && access::read_u64(page + 128) == 1
}

/// Has the second processor make one call and switch itself off; returns x0-x3 of the answer. `None` if
/// it cannot be switched on, or is not off again within `millis`.
#[must_use]
pub fn call_once(regs: [u64; 8], millis: u64) -> Option<[u64; 4]> {
    let page = pages::take(1);
    for (at, value) in (page..).step_by(8).zip(regs) {
        access::write_u64(at, value);
    }
    let entry = (causeway_second_call as *const ()).expose_provenance();
    let entry = u64::try_from(entry).ok()?;
    let on = time::wait_until(millis, || hvc::call([CPU_ON, 1, entry, page, 0, 0, 0, 0])[0] == 0);
    let off =
        on && time::wait_until(millis, || hvc::call([AFFINITY_INFO, 1, 0, 0, 0, 0, 0, 0])[0] == 1);
    let done = off && access::read_u64(page + 128) == 1;
    done.then(|| [64, 72, 80, 88].map(|at| access::read_u64(page + at)))
}

/// Switches the calling processor off (PSCI CPU_OFF); the VM lives on while another is on.
pub fn switch_off_this_one() -> ! {
    loop {
        hvc::call([CPU_OFF, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// The second processor, which waits for orders.
pub struct Second {
    page: u64,
    orders: u64,
}

impl Second {
    /// Switches it on; it will read `address`. `None` if the monitor refuses.
    #[must_use]
    pub fn start(address: u64) -> Option<Self> {
        let page = pages::take(1);
        access::write_u64(page + ADDRESS, address);
        access::write_u64(page + SENTINEL, UNTOUCHED);
        let entry = (causeway_second_processor as *const ()).expose_provenance();
        let entry = u64::try_from(entry).ok()?;
        let [answer, ..] = hvc::call([CPU_ON, 1, entry, page, 0, 0, 0, 0]);
        (answer == 0).then_some(Self { page, orders: 0 })
    }

    /// It will read `address` from the next order on.
    pub fn look_at(&mut self, address: u64) {
        access::write_u64(self.page + ADDRESS, address);
    }

    /// Makes it read once; `None` if it does not answer within `millis`, or its load was skipped.
    pub fn read(&mut self, millis: u64) -> Option<u64> {
        self.orders += 1;
        access::write_u64(self.page + ORDER, self.orders);
        let end = time::now_micros() + millis * 1000;
        while access::read_u64(self.page + DONE) != self.orders {
            if time::now_micros() > end {
                return None;
            }
            core::hint::spin_loop();
        }
        let value = access::read_u64(self.page + VALUE);
        (value != UNTOUCHED).then_some(value)
    }

    /// Whether it has answered every order.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        access::read_u64(self.page + DONE) == self.orders
    }

    /// Switches it off.
    pub fn stop(self) {
        access::write_u64(self.page + ORDER, STOP);
    }
}
