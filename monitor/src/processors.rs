//! Owns which of a VM's processors are on, and which are suspended; never runs one.
//!
//! Source: PSCI (DEN0022) 1.1, CPU_ON, CPU_OFF, CPU_SUSPEND, AFFINITY_INFO.

use crate::layout::{MAX_VCPUS, RAM_IPA, VmIndex};

/// Why a processor was not switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOn {
    /// The VM has no such processor.
    NoSuch,
    /// It runs already.
    AlreadyOn,
    /// The entry point is not in the VM's RAM.
    BadEntry,
}

impl NotOn {
    /// Returns PSCI's number for it.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::NoSuch => -2,
            Self::AlreadyOn => -4,
            Self::BadEntry => -9,
        }
    }
}

/// The power states of CPU_SUSPEND, as TF-A's platform for QEMU names them (original format: state id
/// 15:0, 1 for power-down in bit 16, power level 25:24).
pub const STANDBY: u64 = 1;
/// See [`STANDBY`].
pub const POWER_DOWN: u64 = 1 << 16 | 2;

/// How a suspended processor goes on when it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Behind its call, which succeeded.
    Behind,
    /// At an entry, as after CPU_ON.
    At {
        /// The entry, in the VM's RAM.
        entry: u64,
        /// Its x0.
        context: u64,
    },
}

/// What is left when a processor switched itself off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Others run.
    Others,
    /// It was the last: the VM is off.
    Nobody,
}

/// Suspends in one life of a VM of which the log tells: each prints a line, and the console is everybody's.
pub const TOLD_SUSPENDS: u32 = 64;

/// The processors of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    on: [bool; MAX_VCPUS],
    suspended: [bool; MAX_VCPUS],
    count: usize,
    /// Suspends of which the log tells yet.
    to_tell: u32,
}

impl Processors {
    /// A VM of `count` processors (at most [`MAX_VCPUS`]) at its start: only the first is on.
    #[must_use]
    pub const fn at_start(count: usize) -> Self {
        let mut on = [false; MAX_VCPUS];
        on[0] = true;
        let suspended = [false; MAX_VCPUS];
        let count = if count < MAX_VCPUS { count } else { MAX_VCPUS };
        Self { on, suspended, count, to_tell: TOLD_SUSPENDS }
    }

    /// Names the processor with this MPIDR (its affinity fields), as CPU_ON does.
    ///
    /// # Errors
    /// [`NotOn::NoSuch`].
    pub fn named(&self, mpidr: u64) -> Result<usize, NotOn> {
        usize::try_from(mpidr).ok().filter(|number| *number < self.count).ok_or(NotOn::NoSuch)
    }

    /// Reports whether a processor is on.
    #[must_use]
    pub fn is_on(&self, number: usize) -> bool {
        number < self.count && self.on[number]
    }

    /// Checks whether a processor can be switched on at `entry`.
    ///
    /// # Errors
    /// [`NotOn`]: then nothing changed.
    pub fn check_on(&self, vm: VmIndex, mpidr: u64, entry: u64) -> Result<usize, NotOn> {
        let number = self.named(mpidr)?;
        if self.on[number] {
            return Err(NotOn::AlreadyOn);
        }
        if is_entry(vm, entry) { Ok(number) } else { Err(NotOn::BadEntry) }
    }

    /// Reads CPU_SUSPEND: power state, entry, x0.
    ///
    /// # Errors
    /// [`NotOn::NoSuch`] (PSCI: invalid parameters) for a power state that there is not;
    /// [`NotOn::BadEntry`].
    pub fn check_suspend(vm: VmIndex, [state, entry, context]: [u64; 3]) -> Result<Wake, NotOn> {
        match state {
            STANDBY => Ok(Wake::Behind),
            POWER_DOWN if is_entry(vm, entry) => Ok(Wake::At { entry, context }),
            POWER_DOWN => Err(NotOn::BadEntry),
            _ => Err(NotOn::NoSuch),
        }
    }

    /// A processor suspends itself, until [`Processors::wake`]. Reports whether the log tells of it: of the
    /// first [`TOLD_SUSPENDS`] of a VM's life.
    #[must_use]
    pub fn suspend(&mut self, number: usize) -> bool {
        if let Some(suspended) = self.suspended.get_mut(number) {
            *suspended = true;
        }
        let left = self.to_tell.checked_sub(1);
        self.to_tell = left.unwrap_or(0);
        left.is_some()
    }

    /// It goes on.
    pub fn wake(&mut self, number: usize) {
        if let Some(suspended) = self.suspended.get_mut(number) {
            *suspended = false;
        }
    }

    /// Reports whether a processor is suspended.
    #[must_use]
    pub fn is_suspended(&self, number: usize) -> bool {
        self.is_on(number) && self.suspended[number]
    }

    /// Switches a processor on that [`Processors::check_on`] named.
    pub fn turn_on(&mut self, number: usize) {
        if number < self.count {
            self.on[number] = true;
            self.suspended[number] = false;
        }
    }

    /// A processor switches itself off.
    pub fn turn_off(&mut self, number: usize) -> Left {
        if let Some(on) = self.on.get_mut(number) {
            *on = false;
        }
        if self.on.contains(&true) { Left::Others } else { Left::Nobody }
    }
}

fn is_entry(vm: VmIndex, entry: u64) -> bool {
    let inside = entry.checked_sub(RAM_IPA).is_some_and(|at| at < vm.ram().len_bytes);
    inside && entry.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: VmIndex = VmIndex::ALL[1];

    #[test]
    fn a_second_processor_is_switched_on_once() {
        let mut all = Processors::at_start(2);
        assert!(all.is_on(0) && !all.is_on(1));
        assert_eq!(all.check_on(VM, 1, RAM_IPA + 0x1000), Ok(1));
        all.turn_on(1);
        assert_eq!(all.check_on(VM, 1, RAM_IPA), Err(NotOn::AlreadyOn));
        assert_eq!(all.check_on(VM, 0, RAM_IPA), Err(NotOn::AlreadyOn));
        assert_eq!(all.turn_off(0), Left::Others);
        assert_eq!(all.check_on(VM, 0, RAM_IPA), Ok(0));
        assert_eq!(all.turn_off(1), Left::Nobody);
    }

    #[test]
    fn a_vm_that_suspends_itself_again_and_again_does_not_fill_the_log() {
        let mut all = Processors::at_start(2);
        let told = (0..1000).filter(|n| all.suspend(n % 2)).count();
        assert_eq!(told, TOLD_SUSPENDS as usize);
        assert!(all.is_suspended(0), "that it is told no more changes nothing else");
        assert!(Processors::at_start(2).suspend(0), "the next life has its own");
    }

    #[test]
    fn processors_that_do_not_exist_and_entries_outside_ram_are_refused() {
        let one = Processors::at_start(1);
        let two = Processors::at_start(2);
        for (mpidr, all) in [(1, &one), (2, &two), (u64::MAX, &two), (1 << 31, &two)] {
            assert_eq!(all.check_on(VM, mpidr, RAM_IPA), Err(NotOn::NoSuch));
        }
        let end = RAM_IPA + VM.ram().len_bytes;
        for entry in [0, RAM_IPA - 4, RAM_IPA + 2, end, u64::MAX - 3, 0x1_0000_0000] {
            assert_eq!(two.check_on(VM, 1, entry), Err(NotOn::BadEntry), "{entry:#x}");
        }
        assert_eq!(two.check_on(VM, 1, end - 4), Ok(1));
    }

    #[test]
    fn a_suspended_processor_stays_on_and_a_new_start_finds_it_awake() {
        let mut all = Processors::at_start(2);
        assert!(all.suspend(0));
        assert!(all.is_on(0) && all.is_suspended(0) && !all.is_suspended(1));
        all.wake(0);
        assert!(!all.is_suspended(0));
        assert!(all.suspend(1));
        assert!(!all.is_suspended(1), "it is off");
        all.turn_on(1);
        assert!(!all.is_suspended(1));
        assert!(all.suspend(MAX_VCPUS));
        assert!(!all.is_suspended(MAX_VCPUS));
    }

    #[test]
    fn power_states_that_there_are_not_and_entries_outside_ram_are_refused() {
        let suspend = |state, entry| Processors::check_suspend(VM, [state, entry, 7]);
        assert_eq!(suspend(STANDBY, 0), Ok(Wake::Behind));
        let at = Wake::At { entry: RAM_IPA, context: 7 };
        assert_eq!(suspend(POWER_DOWN, RAM_IPA), Ok(at));
        assert_eq!(suspend(POWER_DOWN, RAM_IPA + 2), Err(NotOn::BadEntry));
        assert_eq!(suspend(POWER_DOWN, 0), Err(NotOn::BadEntry));
        for state in [0, 2, 1 << 16, 1 << 24 | 1, 1 << 30 | 2, u64::MAX] {
            assert_eq!(suspend(state, RAM_IPA), Err(NotOn::NoSuch), "{state:#x}");
        }
    }

    #[test]
    fn a_vm_never_has_more_processors_than_there_is_room_for() {
        let all = Processors::at_start(usize::MAX);
        assert_eq!(all.named(MAX_VCPUS as u64), Err(NotOn::NoSuch));
        assert!(!all.is_on(MAX_VCPUS));
    }
}
