//! Owns the limit of one source: so many interrupts in so long. Never masks anything itself.

/// A limit: `burst` interrupts at once, one more every `refill` ticks of the counter (CNTPCT), and
/// when it is passed the source is masked for `cooling` ticks at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The stated number of events: the one after so many in a burst masks the source.
    pub burst: u32,
    /// Ticks for one more. 0: no limit.
    pub refill: u64,
    /// Ticks that a source masked by its limit stays so.
    pub cooling: u64,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    limit: Limit,
    left: u32,
    filled_at: u64,
}

impl Bucket {
    pub(crate) const fn new(limit: Limit) -> Self {
        Self { limit, left: limit.burst, filled_at: 0 }
    }

    /// Takes one; false: none is left. A clock that goes backwards refills nothing.
    pub(crate) fn take(&mut self, now: u64) -> bool {
        if self.limit.refill == 0 {
            return true;
        }
        let passed = now.saturating_sub(self.filled_at);
        let more = passed.checked_div(self.limit.refill).unwrap_or(0);
        if more > 0 {
            let more32 = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more32).min(self.limit.burst);
            let whole = more.saturating_mul(self.limit.refill);
            self.filled_at = self.filled_at.saturating_add(whole);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    pub(crate) const fn cooling(&self) -> u64 {
        self.limit.cooling
    }
}
