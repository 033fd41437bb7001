//! Owns this VM's second processor as a second thread of Rust: one function, run once, on a stack of
//! its own. For a processor that must not leave its core between two loads see [`super::second`].

use super::hvc;
use aarch64_rt::Stack;
use alloc::boxed::Box;

/// PSCI CPU_OFF: the calling processor.
const CPU_OFF: u64 = 0x8400_0002;
/// Pages of the stack.
const STACK_PAGES: usize = 16;
/// The MPIDR of a VM's second processor.
const SECOND: u64 = 1;

/// Switches the second processor on, which runs `work` and switches itself off; once. False if the
/// monitor refuses: the VM has none, or it runs already.
#[must_use]
pub fn start(work: fn()) -> bool {
    let stack: &mut Stack<STACK_PAGES> = Box::leak(Box::default());
    let whole = move || {
        work();
        loop {
            hvc::call([CPU_OFF, 0, 0, 0, 0, 0, 0, 0]);
        }
    };
    // SAFETY: the stack is leaked: it stays valid, and nobody else has a way to it. Heap and image are
    // mapped by the first page table, which is the only one; `whole` never returns.
    let started =
        unsafe { aarch64_rt::start_core::<smccc::Hvc, _, STACK_PAGES>(SECOND, stack, whole) };
    started.is_ok()
}
