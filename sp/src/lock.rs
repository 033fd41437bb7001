//! Owns mutual exclusion between cores: first come, first served, and it ends for everybody when
//! the partition crashes. Never held over a wait for the normal world.

use core::sync::atomic::{AtomicU64, Ordering};
use spin::mutex::SpinMutex;

/// The partition crashed: what the lock guards may be half changed and is not given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crashed;

/// A value that one core at a time may use. The wait is bounded by the number of cores times the
/// longest call, since the cores are served in order.
pub(crate) struct OrderedLock<T> {
    next_ticket: AtomicU64,
    now_serving: AtomicU64,
    value: SpinMutex<T>,
}

impl<T> OrderedLock<T> {
    /// Wraps a value.
    pub(crate) const fn new(value: T) -> Self {
        Self {
            next_ticket: AtomicU64::new(0),
            now_serving: AtomicU64::new(0),
            value: SpinMutex::new(value),
        }
    }

    /// Runs `work` alone with the value, when it is this caller's turn. `crashed` is asked while
    /// waiting and once the turn has come.
    #[inline(always)]
    pub(crate) fn with<R>(
        &self,
        crashed: impl Fn() -> bool,
        work: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Crashed> {
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        while self.now_serving.load(Ordering::Acquire) != ticket {
            if crashed() {
                return Err(Crashed);
            }
            core::hint::spin_loop();
        }
        if crashed() {
            return Err(Crashed);
        }
        let result = work(&mut self.value.lock());
        self.now_serving.store(ticket + 1, Ordering::Release);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn no_increment_is_lost_between_threads() {
        let lock = Arc::new(OrderedLock::new(0_u32));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    for _ in 0..500 {
                        lock.with(|| false, |value| *value += 1).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(lock.with(|| false, |value| *value), Ok(2000));
    }

    #[test]
    fn after_a_crash_nobody_gets_the_value_and_nobody_waits() {
        let lock = OrderedLock::new(0_u32);
        assert_eq!(lock.with(|| true, |value| *value), Err(Crashed));
        // The ticket above was never served; only the crash ends the wait behind it.
        assert_eq!(lock.with(|| true, |value| *value), Err(Crashed));
    }
}
