//! Owns what a VM has left of a class of calls in the running second. Never decides what a call costs.

/// What is left until the second is over. Nobody else's calls take anything from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    left: u32,
    full_at: u64,
}

impl Rate {
    /// Full at its first use.
    pub(crate) const NEW: Self = Self { left: 0, full_at: 0 };

    /// What is left of `limit` in a second of `second` ticks.
    pub(crate) fn left(&mut self, now: u64, second: u64, limit: u32) -> u32 {
        if now >= self.full_at {
            *self = Self { left: limit, full_at: now.saturating_add(second.max(1)) };
        }
        self.left
    }

    /// Whether `cost` is left.
    pub(crate) fn allows(&mut self, now: u64, second: u64, limit: u32, cost: u32) -> bool {
        cost <= self.left(now, second, limit)
    }

    /// When it is full again.
    pub(crate) const fn full_at(&self) -> u64 {
        self.full_at
    }

    /// Takes what [`Rate::allows`] found left.
    pub(crate) fn take(&mut self, cost: u32) {
        self.left = self.left.saturating_sub(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn a_rate_is_used_up_within_its_second_and_full_in_the_next() {
        let mut rate = Rate::NEW;
        assert!(rate.allows(5, 100, 10, 10) && !rate.allows(5, 100, 10, 11));
        rate.take(8);
        assert!(rate.allows(104, 100, 10, 2) && !rate.allows(104, 100, 10, 3));
        assert_eq!((rate.left(104, 100, 10), rate.full_at()), (2, 105));
        assert!(rate.allows(105, 100, 10, 10));
        let mut none = Rate::NEW;
        assert!(!none.allows(0, 100, 0, 1));
    }
}
