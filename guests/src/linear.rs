//! Owns the question whether the answers that two processors got about one handle can be put into one
//! order: each at some moment between its call and its answer. Never makes a call.
//!
//! The handle is the simplest of objects: a grant lives under it, or none does.

use alloc::vec;

/// What an answer says of the handle at the moment of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There was no grant, and now there is: an OFFER that succeeded.
    Began,
    /// There was one, and now there is none: a REVOKE that succeeded.
    Ended,
    /// There was one: an OFFER refused for it, a STATE that is told.
    Lives,
    /// There was none: a REVOKE or a STATE that was refused.
    Absent,
}

impl Seen {
    /// Whether a grant lives afterwards; `None` if this cannot be seen in the state before.
    const fn after(self, lives: bool) -> Option<bool> {
        match (self, lives) {
            (Self::Began, false) | (Self::Lives, true) => Some(true),
            (Self::Ended, true) | (Self::Absent, false) => Some(false),
            (Self::Began, true) | (Self::Ended | Self::Lives, false) | (Self::Absent, true) => None,
        }
    }
}

/// One call and its answer, with the moments before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeing {
    /// Before the call.
    pub start: u64,
    /// After the answer.
    pub end: u64,
    /// What it says.
    pub seen: Seen,
}

/// Reports whether there is an order of both processors' answers that begins where no grant lives and
/// ends where one does (`lives`) or does not, in which each call that ended before another began comes
/// first. Each processor's own answers are in order.
#[must_use]
pub fn is_linear(a: &[Seeing], b: &[Seeing], lives: bool) -> bool {
    let width = b.len() + 1;
    // What is possible after the first i of `a` and the first j of `b`: no grant, a grant.
    let mut possible = vec![[false; 2]; (a.len() + 1) * width];
    possible[0] = [true, false];
    for i in 0..=a.len() {
        for j in 0..width {
            let now = possible[i * width + j];
            let (next_a, next_b) = (a.get(i), b.get(j));
            if let Some(step) =
                next_a.filter(|step| next_b.is_none_or(|other| other.end >= step.start))
            {
                advance(now, step.seen, &mut possible[(i + 1) * width + j]);
            }
            if let Some(step) =
                next_b.filter(|step| next_a.is_none_or(|other| other.end >= step.start))
            {
                advance(now, step.seen, &mut possible[i * width + j + 1]);
            }
        }
    }
    possible.last().is_some_and(|end| end[usize::from(lives)])
}

fn advance(now: [bool; 2], seen: Seen, then: &mut [bool; 2]) {
    for lives in [false, true].into_iter().filter(|lives| now[usize::from(*lives)]) {
        if let Some(after) = seen.after(lives) {
            then[usize::from(after)] = true;
        }
    }
}

/// How many of `a` were under way together with one of `b`.
#[must_use]
pub fn overlapping(a: &[Seeing], b: &[Seeing]) -> usize {
    let meets =
        |one: &&Seeing| b.iter().any(|other| one.start <= other.end && other.start <= one.end);
    a.iter().filter(meets).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(start: u64, end: u64, seen: Seen) -> Seeing {
        Seeing { start, end, seen }
    }

    #[test]
    fn answers_of_one_processor_have_one_order() {
        let life = [at(0, 1, Seen::Absent), at(2, 3, Seen::Began), at(4, 5, Seen::Lives)];
        assert!(is_linear(&life, &[], true));
        assert!(!is_linear(&life, &[], false));
        assert!(!is_linear(&[at(0, 1, Seen::Ended)], &[], false));
        assert!(!is_linear(&[at(0, 1, Seen::Began), at(2, 3, Seen::Began)], &[], true));
    }

    #[test]
    fn of_two_offers_at_once_one_may_win_and_not_both() {
        let won = [at(0, 10, Seen::Began)];
        assert!(is_linear(&won, &[at(1, 9, Seen::Lives)], true));
        assert!(!is_linear(&won, &[at(1, 9, Seen::Began)], true));
        // A handle that ended twice.
        let ended = [at(0, 1, Seen::Began), at(5, 9, Seen::Ended)];
        assert!(!is_linear(&ended, &[at(5, 9, Seen::Ended)], false));
        assert!(is_linear(&ended, &[at(5, 9, Seen::Absent)], false));
    }

    #[test]
    fn a_call_that_was_over_comes_first() {
        let offer = [at(10, 20, Seen::Began)];
        assert!(is_linear(&offer, &[at(15, 30, Seen::Lives)], true));
        // It looked before the offer began, and cannot have seen it.
        assert!(!is_linear(&offer, &[at(0, 9, Seen::Lives)], true));
        // It looked when the offer was over, and cannot have missed it.
        assert!(!is_linear(&offer, &[at(21, 22, Seen::Absent)], true));
        assert!(is_linear(&offer, &[at(20, 22, Seen::Absent)], true));
    }

    #[test]
    fn calls_that_met_are_counted() {
        let a = [at(0, 1, Seen::Absent), at(5, 8, Seen::Absent)];
        assert_eq!(overlapping(&a, &[at(8, 9, Seen::Absent)]), 1);
        assert_eq!(overlapping(&a, &[at(2, 4, Seen::Absent)]), 0);
    }
}
