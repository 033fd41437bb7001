//! Owns the phases of a VM's life and their order; never carries a step out.
//!
//! The order of an orderly kill is the one that makes reuse safe: the VM is stopped, then what it
//! borrowed is unmapped, then the partition is told, then what it owned is reclaimed, and only a
//! VM that went through all of it can be scrubbed and started again.

/// Where a VM stands. Only the VM's home core moves it, one [`Step`] at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Down and clean: nothing of it is mapped, shared or known to the partition.
    Down,
    /// It is about to be created.
    Starting,
    /// Its processor runs or sleeps.
    Running,
    /// It must leave its processor; what it borrowed is still mapped.
    Stopping,
    /// The partition must hear that it is gone.
    Announcing,
    /// What it owned must be reclaimed.
    Reclaiming,
    /// Its memory must be zeroed before it starts again.
    Scrubbing,
}

/// What its home core has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Unmap what the VM borrowed, on all cores.
    Unmap,
    /// Send VM_DESTROYED, until the partition does not say `in progress`.
    Announce,
    /// Reclaim every handle of the VM's own.
    Reclaim,
    /// Zero its memory.
    Scrub,
    /// Load its image, send VM_CREATED, start its processor.
    Create,
}

/// The answer to a kill or a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is as was asked.
    Done,
    /// It is on the way: ask again.
    UnderWay,
    /// It cannot be asked for now.
    Refused,
}

/// The life of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    phase: Phase,
    restarting: bool,
}

impl Life {
    /// A VM that is about to be created for the first time.
    #[must_use]
    pub const fn at_boot() -> Self {
        Self { phase: Phase::Starting, restarting: false }
    }

    /// Returns where the VM stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Reports whether the VM's processor may run.
    #[must_use]
    pub const fn may_run(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Asks for the end of the VM. Its home core must be kicked while this says `UnderWay`.
    pub const fn kill(&mut self) -> Progress {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Stopping;
                Progress::UnderWay
            }
            // A VM that is being made is killed as soon as it runs: the caller asks again.
            Phase::Stopping
            | Phase::Announcing
            | Phase::Reclaiming
            | Phase::Starting
            | Phase::Scrubbing => Progress::UnderWay,
            Phase::Down => Progress::Done,
        }
    }

    /// Asks for a new life. `Refused` while the old one is not over.
    pub const fn restart(&mut self) -> Progress {
        match self.phase {
            Phase::Down => {
                self.phase = Phase::Scrubbing;
                self.restarting = true;
                Progress::UnderWay
            }
            Phase::Scrubbing | Phase::Starting => Progress::UnderWay,
            Phase::Running if self.restarting => {
                self.restarting = false;
                Progress::Done
            }
            Phase::Running => Progress::Refused,
            Phase::Stopping | Phase::Announcing | Phase::Reclaiming => Progress::UnderWay,
        }
    }

    /// Returns what the home core has to do, if anything.
    #[must_use]
    pub const fn next_step(&self) -> Option<Step> {
        match self.phase {
            Phase::Down | Phase::Running => None,
            Phase::Starting => Some(Step::Create),
            Phase::Stopping => Some(Step::Unmap),
            Phase::Announcing => Some(Step::Announce),
            Phase::Reclaiming => Some(Step::Reclaim),
            Phase::Scrubbing => Some(Step::Scrub),
        }
    }

    /// The home core completed the step that [`Life::next_step`] named.
    pub const fn completed(&mut self) {
        self.phase = match self.phase {
            Phase::Starting => Phase::Running,
            Phase::Stopping => Phase::Announcing,
            Phase::Announcing => Phase::Reclaiming,
            Phase::Reclaiming | Phase::Down => Phase::Down,
            Phase::Scrubbing => Phase::Starting,
            Phase::Running => Phase::Running,
        };
    }

    /// The VM cannot be created (no image, or the partition refuses it).
    pub const fn abandon(&mut self) {
        self.phase = Phase::Down;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_until_rest(life: &mut Life) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = life.next_step() {
            steps.push(step);
            life.completed();
        }
        steps
    }

    #[test]
    fn a_kill_unmaps_then_announces_then_reclaims() {
        let mut life = Life::at_boot();
        assert_eq!(steps_until_rest(&mut life), [Step::Create]);
        assert!(life.may_run());
        assert_eq!(life.kill(), Progress::UnderWay);
        assert!(!life.may_run());
        assert_eq!(steps_until_rest(&mut life), [Step::Unmap, Step::Announce, Step::Reclaim]);
        assert_eq!(life.kill(), Progress::Done);
    }

    #[test]
    fn a_vm_is_scrubbed_before_it_lives_again() {
        let mut life = Life::at_boot();
        life.completed();
        life.kill();
        steps_until_rest(&mut life);
        assert_eq!(life.restart(), Progress::UnderWay);
        assert_eq!(life.kill(), Progress::UnderWay);
        assert_eq!(steps_until_rest(&mut life), [Step::Scrub, Step::Create]);
        assert_eq!(life.restart(), Progress::Done);
        assert_eq!(life.restart(), Progress::Refused);
    }

    #[test]
    fn a_second_life_must_wait_for_the_end_of_the_first() {
        let mut life = Life::at_boot();
        life.completed();
        assert_eq!(life.restart(), Progress::Refused);
        life.kill();
        for phase in [Phase::Stopping, Phase::Announcing, Phase::Reclaiming] {
            assert_eq!(life.phase(), phase);
            assert_eq!(life.restart(), Progress::UnderWay);
            assert_eq!(life.phase(), phase);
            life.completed();
        }
    }
}
