//! Owns how long a device's lock is waited for: not for ever, since a core that crashed may hold it.
//! Never holds one.

use spin::mutex::{SpinMutex, SpinMutexGuard};

/// How often somebody tries; a line on the UART takes far less.
const TRIES: u32 = 10_000_000;

/// Takes a device's lock; `None` where it stays taken.
pub(super) fn lock<T>(device: &SpinMutex<T>) -> Option<SpinMutexGuard<'_, T>> {
    for _ in 0..TRIES {
        if let Some(guard) = device.try_lock() {
            return Some(guard);
        }
        core::hint::spin_loop();
    }
    None
}
