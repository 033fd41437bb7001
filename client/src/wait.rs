//! Owns how a caller waits: always with a bound; never what it waits for.
//!
//! ```
//! use causeway_client::wait::{Bound, Wait};
//! use std::time::{Duration, Instant};
//!
//! /// A thread on a host. A VM reads its counter, and rests in WFI.
//! struct Thread(Instant);
//!
//! impl Wait for Thread {
//!     fn now_micros(&self) -> u64 {
//!         u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
//!     }
//!
//!     fn rest(&self) {
//!         std::thread::sleep(Duration::from_millis(1));
//!     }
//! }
//!
//! let wait = Thread(Instant::now());
//! let mut looks = 0;
//! let found = Bound::millis(50).until(&wait, || {
//!     looks += 1;
//!     Ok::<_, ()>((looks == 3).then_some("there"))
//! });
//! assert_eq!(found, Ok(Some("there")));
//! // Looks once, and does not wait.
//! assert_eq!(Bound::NONE.until(&wait, || Ok::<Option<()>, ()>(None)), Ok(None));
//! ```

/// Time and rest, as the program that links this library has them.
///
/// A virtual machine reads its counter for [`Wait::now_micros`] and rests in WFI until a
/// notification comes. A thread on a host sleeps or polls a file. Waiting code looks at its
/// condition again after each [`Wait::rest`], so a rest may end early for any reason.
pub trait Wait {
    /// Microseconds since some fixed moment; never runs backwards.
    fn now_micros(&self) -> u64;

    /// Rests until a doorbell rings or a short while (at most some milliseconds) has passed.
    fn rest(&self);
}

impl<W: Wait + ?Sized> Wait for &W {
    fn now_micros(&self) -> u64 {
        (**self).now_micros()
    }

    fn rest(&self) {
        (**self).rest();
    }
}

/// How long a caller is ready to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    micros: u64,
}

impl Bound {
    /// Looks once and does not wait.
    pub const NONE: Self = Self { micros: 0 };

    /// A bound in milliseconds.
    #[must_use]
    pub const fn millis(millis: u32) -> Self {
        #[expect(clippy::as_conversions, reason = "u64::from is not const; no value is lost")]
        Self { micros: (millis as u64).saturating_mul(1000) }
    }

    /// Looks at `condition` until it yields something or the bound has passed. The condition is
    /// looked at once more after the end, so a late rest never hides an answer.
    ///
    /// # Errors
    /// What the condition returns; `Ok(None)` if the bound passed.
    pub fn until<T, E>(
        self,
        wait: &dyn Wait,
        mut condition: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let start = wait.now_micros();
        loop {
            let over = wait.now_micros().saturating_sub(start) >= self.micros;
            if let Some(found) = condition()? {
                return Ok(Some(found));
            }
            if over {
                return Ok(None);
            }
            wait.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[derive(Default)]
    struct FakeClock(Cell<u64>);

    impl Wait for FakeClock {
        fn now_micros(&self) -> u64 {
            self.0.get()
        }
        fn rest(&self) {
            self.0.set(self.0.get().saturating_add(400));
        }
    }

    #[test]
    fn a_condition_that_never_holds_ends_at_its_bound() {
        let clock = FakeClock::default();
        let mut looks = 0;
        let none: Result<Option<()>, ()> = Bound::millis(1).until(&clock, || {
            looks += 1;
            Ok(None)
        });
        assert_eq!((none, looks), (Ok(None), 4));
    }

    #[test]
    fn no_bound_looks_exactly_once() {
        let clock = FakeClock::default();
        let found: Result<Option<u8>, ()> = Bound::NONE.until(&clock, || Ok(Some(1)));
        assert_eq!((found, clock.0.get()), (Ok(Some(1)), 0));
    }

    #[test]
    fn an_error_of_the_condition_ends_the_wait() {
        let failed: Result<Option<()>, u8> =
            Bound::millis(1).until(&FakeClock::default(), || Err(7));
        assert_eq!(failed, Err(7));
    }
}
