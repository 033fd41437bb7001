//! Owns the events that a timer still has to raise: how many are due, when the next is. Never touches a
//! timer; what is due is counted by the clock, however late somebody looks.

/// Events of a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticker {
    next: u64,
    interval: u64,
    left: u32,
}

impl Ticker {
    /// The first of `count` events comes `interval` ticks from `now`, and the others behind it.
    #[must_use]
    pub const fn new(now: u64, interval: u64, count: u32) -> Self {
        Self { next: now.saturating_add(interval), interval, left: count }
    }

    /// When the next event is due; `None`: there is none.
    #[must_use]
    pub const fn next(&self) -> Option<u64> {
        if self.left == 0 { None } else { Some(self.next) }
    }

    /// Events to come.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// Ticks between events.
    #[must_use]
    pub const fn interval(&self) -> u64 {
        self.interval
    }

    /// Takes what is due: how many events, and when the first of them was.
    pub fn take_due(&mut self, now: u64) -> Option<(u32, u64)> {
        let late = now.checked_sub(self.next()?)?;
        let first_at = self.next;
        let behind = late.checked_div(self.interval).unwrap_or(0);
        let due = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1).min(self.left);
        self.left = self.left.saturating_sub(due);
        self.next = self.next.saturating_add(self.interval.saturating_mul(u64::from(due)));
        Some((due, first_at))
    }
}

#[cfg(test)]
mod tests {
    use super::Ticker;

    #[test]
    fn whoever_looks_late_finds_every_event() {
        let mut ticker = Ticker::new(100, 10, 10);
        assert_eq!(ticker.take_due(109), None);
        assert_eq!(ticker.take_due(110), Some((1, 110)));
        assert_eq!(ticker.take_due(110), None);
        assert_eq!(ticker.take_due(145), Some((3, 120)));
        assert_eq!((ticker.next(), ticker.left()), (Some(150), 6));
        assert_eq!(ticker.take_due(u64::MAX), Some((6, 150)), "no more than were asked for");
        assert_eq!((ticker.next(), ticker.take_due(u64::MAX)), (None, None));
    }

    #[test]
    fn one_event_needs_no_interval_and_no_event_is_none() {
        let mut once = Ticker::new(5, 0, 1);
        assert_eq!((once.take_due(5), once.take_due(5)), (Some((1, 5)), None));
        assert_eq!(Ticker::new(5, 1, 0).take_due(u64::MAX), None);
        assert_eq!(Ticker::default().next(), None);
    }
}
