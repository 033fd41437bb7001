//! Owns how many refused accesses a VM may survive (FAULT_SKIP); never skips one itself.

/// Most faults that a VM may have skipped in one go.
pub const MAX_SKIPS: u32 = 1024;
/// Most faults skipped in one life of a VM: each prints a line, and the console is everybody's.
pub const MAX_SKIPS_OF_A_LIFE: u32 = 4096;

/// What is left to one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skips {
    asked: u32,
    of_life: u32,
}

impl Skips {
    /// A new life: nothing was asked for yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { asked: 0, of_life: MAX_SKIPS_OF_A_LIFE }
    }

    /// The VM asks for its next `count` faults to be skipped, in place of what it asked before.
    pub fn ask(&mut self, count: u64) {
        self.asked = u32::try_from(count).map_or(MAX_SKIPS, |count| count.min(MAX_SKIPS));
    }

    /// A fault occurred: reports whether it is skipped, and takes it off.
    #[must_use]
    pub fn take(&mut self) -> bool {
        let left = self.asked.checked_sub(1).zip(self.of_life.checked_sub(1));
        let Some((asked, of_life)) = left else { return false };
        *self = Self { asked, of_life };
        true
    }
}

impl Default for Skips {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_as_many_faults_are_skipped_as_were_asked_for() {
        let mut skips = Skips::new();
        assert!(!skips.take());
        skips.ask(2);
        assert!(skips.take() && skips.take() && !skips.take());
        skips.ask(5);
        skips.ask(0);
        assert!(!skips.take());
        skips.ask(u64::MAX);
        assert_eq!((0..2 * MAX_SKIPS).filter(|_| skips.take()).count(), MAX_SKIPS as usize);
    }

    #[test]
    fn skips_are_bounded_over_a_life() {
        let mut skips = Skips::new();
        let mut survived = 0;
        for _ in 0..3 * MAX_SKIPS_OF_A_LIFE {
            skips.ask(1);
            survived += u32::from(skips.take());
        }
        assert_eq!(survived, MAX_SKIPS_OF_A_LIFE);
        skips = Skips::new();
        skips.ask(1);
        assert!(skips.take(), "the next life has its own");
    }
}
