//! Owns the choice of the moment at which the power is cut; the same for the same seed. How far the
//! workload is by then depends on the machine. Never kills.

use std::time::Duration;

/// When to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// So long after power-on, wherever that is.
    AfterStart(Duration),
    /// So long after the workload told what it found.
    AfterFound(Duration),
    /// So long after the beginning of the n-th program that follows.
    InProgram(u32, Duration),
    /// So long after the beginning of the next erase; the first turn of the store takes longest.
    InErase(Duration),
    /// As soon as the workload told what it found: nothing is cut.
    Look,
}

impl Aim {
    /// The first cut: in the first erase of the store's life, so that all others find a store that
    /// turns over.
    pub(super) const fn first() -> Self {
        Self::InErase(Duration::from_micros(500))
    }

    /// How long the moment is waited for, after the workload began.
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::InErase(_) => Duration::from_secs(240),
            Self::AfterStart(_) | Self::AfterFound(_) | Self::InProgram(..) | Self::Look => {
                Duration::from_secs(60)
            }
        }
    }
}

/// Numbers from a seed (splitmix64, by Sebastiano Vigna).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// The next moment.
    pub(super) fn aim(&mut self) -> Aim {
        let kind = self.below(10);
        let micros = |n| Duration::from_micros(n);
        match kind {
            0 => Aim::AfterStart(Duration::from_millis(self.below(4000))),
            1..=2 => Aim::AfterFound(micros(self.below(600_000))),
            3..=6 => {
                let count = u32::try_from(1 + self.below(40)).unwrap_or(1);
                Aim::InProgram(count, micros(self.below(400)))
            }
            _ => Aim::InErase(micros(self.below(600))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Aim, Dice};

    #[test]
    fn a_seed_gives_the_same_moments_and_every_kind_of_them() {
        let moments = |seed| {
            let mut dice = Dice::of(seed);
            (0..100).map(|_| dice.aim()).collect::<Vec<_>>()
        };
        assert_eq!(moments(7), moments(7));
        assert_ne!(moments(7), moments(8));
        let count = |is: fn(&Aim) -> bool| moments(7).iter().filter(|aim| is(aim)).count();
        assert!(count(|aim| matches!(aim, Aim::InProgram(..))) >= 20);
        assert!(count(|aim| matches!(aim, Aim::InErase(_))) >= 15);
        assert!(count(|aim| matches!(aim, Aim::AfterStart(_))) >= 3);
        assert!(count(|aim| matches!(aim, Aim::AfterFound(_))) >= 5);
    }
}
