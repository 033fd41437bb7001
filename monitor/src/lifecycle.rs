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

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It has to be carried on.
    Again {
        /// When, from now.
        in_ms: u64,
    },
    /// It can never be done: the VM stays down.
    Impossible,
}

/// What the partition said to VM_CREATED or VM_DESTROYED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No partition answered at start-up, so none knows any VM.
    NoPartition,
    /// It did its part.
    Agreed,
    /// It has begun, and wants to be asked again.
    InProgress,
    /// Anything else, also no sensible answer at all.
    Refused,
}

/// Longest pause between two tries, far below what the end of all VMs may take.
const MAX_PAUSE_MS: u64 = 1000;

/// VM_CREATED was answered: a VM that the partition does not know must not run.
#[must_use]
pub const fn after_creation(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::NoPartition | Verdict::Agreed => Outcome::Done,
        Verdict::InProgress | Verdict::Refused => Outcome::Impossible,
    }
}

/// VM_DESTROYED was answered, for the `tries + 1`st time: while the partition did not agree it may
/// hold or name what the VM had, so nothing of it is used again. The end of the run bounds the
/// repetition.
#[must_use]
pub fn after_destruction(verdict: Verdict, tries: u32) -> Outcome {
    match verdict {
        Verdict::NoPartition | Verdict::Agreed => Outcome::Done,
        Verdict::InProgress => Outcome::Again { in_ms: 1 },
        Verdict::Refused => {
            let pause_ms = 1_u64.checked_shl(tries).unwrap_or(MAX_PAUSE_MS);
            Outcome::Again { in_ms: pause_ms.min(MAX_PAUSE_MS) }
        }
    }
}

/// What is left of an order to restart a VM: to kill it and to start it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing, or nobody ordered it.
    Nothing,
    /// All of it.
    Asked,
    /// It was killed, and is to be started when it is down.
    Killed,
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

    /// Does what can be done now of an order to restart the VM, and returns what is left. The order is
    /// for one life: one that has come to an end and is followed by another is not killed again.
    #[must_use]
    pub const fn obey(&mut self, order: Order) -> Order {
        match (self.phase, order) {
            (_, Order::Nothing) => Order::Nothing,
            (Phase::Running, Order::Asked) => {
                self.kill();
                Order::Killed
            }
            // Somebody else was faster.
            (Phase::Running | Phase::Scrubbing | Phase::Starting, Order::Asked | Order::Killed) => {
                Order::Nothing
            }
            (Phase::Down, Order::Asked | Order::Killed) => {
                self.restart();
                Order::Nothing
            }
            (Phase::Stopping | Phase::Announcing | Phase::Reclaiming, left) => left,
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
    fn a_refused_destruction_is_repeated() {
        let mut paused_ms = 0;
        for tries in [0, 1, 2, 9, 10, 63, 64, u32::MAX] {
            let Outcome::Again { in_ms } = after_destruction(Verdict::Refused, tries) else {
                panic!("given up after {tries} tries");
            };
            assert!(in_ms >= paused_ms && in_ms <= MAX_PAUSE_MS);
            paused_ms = in_ms;
            let in_progress = after_destruction(Verdict::InProgress, tries);
            assert_eq!(in_progress, Outcome::Again { in_ms: 1 });
            assert_eq!(after_destruction(Verdict::Agreed, tries), Outcome::Done);
        }
        assert_eq!(after_destruction(Verdict::Refused, 0), Outcome::Again { in_ms: 1 });
        assert_eq!(paused_ms, MAX_PAUSE_MS);
        assert_eq!(after_destruction(Verdict::NoPartition, 0), Outcome::Done);
    }

    #[test]
    fn a_vm_that_the_partition_refuses_is_not_started() {
        for verdict in [Verdict::Refused, Verdict::InProgress] {
            assert_eq!(after_creation(verdict), Outcome::Impossible);
            let mut life = Life::at_boot();
            life.abandon();
            assert!(!life.may_run());
            assert_eq!(life.next_step(), None);
        }
        assert_eq!(after_creation(Verdict::Agreed), Outcome::Done);
        assert_eq!(after_creation(Verdict::NoPartition), Outcome::Done);
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

    #[test]
    fn an_order_to_restart_ends_one_life_and_begins_one() {
        let mut life = Life::at_boot();
        life.completed();
        let (mut order, mut steps) = (life.obey(Order::Asked), Vec::new());
        assert_eq!((order, life.may_run()), (Order::Killed, false));
        while order != Order::Nothing {
            steps.extend(life.next_step());
            life.completed();
            order = life.obey(order);
        }
        assert_eq!(steps, [Step::Unmap, Step::Announce, Step::Reclaim]);
        assert_eq!(steps_until_rest(&mut life), [Step::Scrub, Step::Create]);
        assert_eq!(life.obey(order), Order::Nothing);
        assert!(life.may_run());
    }

    #[test]
    fn an_order_that_comes_when_the_life_is_over_does_not_end_the_next_one() {
        for late_by in 0..=2 {
            let mut life = Life::at_boot();
            life.completed();
            life.kill();
            steps_until_rest(&mut life);
            life.restart();
            (0..late_by).for_each(|_| life.completed());
            let left = if late_by == 2 { Order::Killed } else { Order::Asked };
            let mut order = life.obey(left);
            steps_until_rest(&mut life);
            order = life.obey(order);
            assert_eq!((order, life.may_run()), (Order::Nothing, true), "{late_by}");
        }
        let mut down = Life::at_boot();
        down.completed();
        down.kill();
        assert_eq!(down.obey(Order::Asked), Order::Asked, "it is on its way down");
        steps_until_rest(&mut down);
        assert_eq!((down.obey(Order::Asked), down.phase()), (Order::Nothing, Phase::Scrubbing));
    }
}
