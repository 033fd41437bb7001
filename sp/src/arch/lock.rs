//! Owns mutual exclusion between cores: first come, first served, and it ends for everybody when
//! the partition crashes; and the room of the value, which is no part of the image: it is built in
//! place at the start. Never held over a wait for the normal world.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::mutex::SpinMutex;

/// The partition crashed: what the lock guards may be half changed and is not given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crashed;

/// A value that one core at a time may use, once it was built. The wait is bounded by the number of
/// cores times the longest call, since the cores are served in order. All zeros before: a static one is
/// zeroed memory, of which the image holds nothing.
pub(crate) struct OrderedLock<T> {
    taken: AtomicU64,
    /// The ticket that is served; 0, which nobody has, until the value was built.
    now_serving: AtomicU64,
    value: SpinMutex<MaybeUninit<T>>,
}

impl<T> OrderedLock<T> {
    /// Room for a value, and nobody's turn.
    pub(crate) const fn closed() -> Self {
        Self {
            taken: AtomicU64::new(0),
            now_serving: AtomicU64::new(0),
            value: SpinMutex::new(MaybeUninit::uninit()),
        }
    }

    /// Builds the value in its room and serves the first in the queue. Once: what is there already stays.
    pub(crate) fn open(&self, build: impl FnOnce() -> T) {
        let mut room = self.value.lock();
        if self.now_serving.load(Ordering::Acquire) == 0 {
            room.write(build());
            self.now_serving.store(1, Ordering::Release);
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
        // 64 bits of tickets are never used up, so that nothing is checked.
        let ticket = self.taken.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        while self.now_serving.load(Ordering::Acquire) != ticket {
            if crashed() {
                return Err(Crashed);
            }
            core::hint::spin_loop();
        }
        if crashed() {
            return Err(Crashed);
        }
        let mut room = self.value.lock();
        // SAFETY: a ticket is at least 1, and `now_serving` left 0 only after `open` had written the value;
        // the load above saw that store, or one behind it, and acquired what came before. Nothing ever
        // takes the value out.
        let value = unsafe { room.assume_init_mut() };
        let result = work(value);
        drop(room);
        self.now_serving.store(ticket.wrapping_add(1), Ordering::Release);
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
        let lock = Arc::new(OrderedLock::closed());
        lock.open(|| 0_u32);
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
        let lock = OrderedLock::closed();
        lock.open(|| 0_u32);
        assert_eq!(lock.with(|| true, |value| *value), Err(Crashed));
        // The ticket above was never served; only the crash ends the wait behind it.
        assert_eq!(lock.with(|| true, |value| *value), Err(Crashed));
    }

    #[test]
    fn nobody_gets_the_value_before_it_was_built() {
        let lock = Arc::new(OrderedLock::closed());
        let early = Arc::clone(&lock);
        let early = thread::spawn(move || early.with(|| false, |value: &mut u32| *value));
        while lock.taken.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!(lock.now_serving.load(Ordering::Relaxed), 0);
        lock.open(|| 7);
        assert_eq!(early.join().unwrap(), Ok(7));
    }

    #[test]
    fn a_lock_that_is_not_open_ends_with_a_crash() {
        let lock = OrderedLock::closed();
        assert_eq!(lock.with(|| true, |value: &mut u32| *value), Err(Crashed));
    }

    #[test]
    fn the_value_is_built_once() {
        let lock = OrderedLock::closed();
        lock.open(|| 1_u32);
        lock.open(|| 2);
        assert_eq!(lock.with(|| false, |value| *value), Ok(1));
    }
}
