//! Owns the table of jobs: command lines, expected tests, what a run must come to; never runs one.
//!
//! xtask depends on this module as a library and writes the boot configuration from it; the guests
//! take the names of their tests from it (a name that is not in the table does not compile). So the
//! expected names cannot drift from the printed ones. docs/qemu-tests.md is the same in prose.

mod at_once;
mod broker;
mod demos;
mod figures;
mod irq;
mod known_bugs;
mod net;
mod security;
mod table;
pub use demos::DEMO_MINIMAL;
pub use figures::FIGURES;
pub use security::{KNOWN_KEY, POWERCUT, SEALED, SERVICE_FIGURES, SIGNED};
pub use table::{JOBS, TRANSFER};

/// Which build of the monitor a job boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorBuild {
    /// The monitor as it is meant: every descriptor is checked.
    Checked,
    /// The test build that forwards unchecked, so that the SPMC's and the partition's checks are reached.
    Raw,
}

/// What the secure flash of a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flash {
    /// The image as it was built: not provisioned, and what is written is lost.
    Image,
    /// A provisioned file; the job is booted twice on it, and each time all its tests must pass.
    BootedTwice,
    /// A provisioned file; the machine may reset itself and boot again.
    MayReset,
}

/// Which processor a job needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// Any.
    Any,
    /// One that has no random numbers.
    WithoutEntropy,
}

/// Which build of the partition a job boots, with the manifest that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As large as a policy can ask for.
    Full,
    /// Two VMs and one device of its own with one queue (feature `minimal`).
    Minimal,
}

/// When the machine goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When every VM is off.
    All,
    /// When VM 1 is off; the others are killed in an orderly way.
    Vm1,
}

impl End {
    /// Returns the value of `end=` in the boot configuration.
    #[must_use]
    pub const fn config_value(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Vm1 => "vm1",
        }
    }
}

/// What a run of the job must come to, when each of its lines has been compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything expected is there and passed.
    Passes,
    /// The run is sabotaged on purpose; a pass would show that the check is blind.
    MustFail(Sabotage),
}

/// What a sabotaged run spoils, and so which comparison of the host must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The digest that the frontend reports is not that of the file.
    Digest,
    /// `partition_calls_during_transfer` is not 0.
    PartitionCalls,
    /// `bounced_bytes` is not 0.
    BouncedBytes,
    /// `copied_bytes` is not 0.
    CopiedBytes,
}

/// A line that the monitor (or the partition) must print: it contains `text`, at least `at_least` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonitorLine {
    /// What the line contains, after its prefix.
    pub text: &'static str,
    /// How many such lines there must be.
    pub at_least: u32,
}

/// One job: a boot of the machine with a command line for each VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The name by which a person calls it (`cargo xtask test`); unique.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub shows: &'static str,
    /// The command lines of VM 1, 2 and 3 (`vm1=`, `vm2=`, `vm3=` of the boot configuration).
    pub command_lines: [&'static str; 3],
    /// The names in `TEST name=... result=pass` that VM 1, 2 and 3 must print, each once.
    pub tests: [&'static [&'static str]; 3],
    /// Lines that the monitor must print.
    pub monitor_lines: &'static [MonitorLine],
    /// Lines that the partition must print on the secure UART, after its prefix.
    pub partition_lines: &'static [MonitorLine],
    /// Which monitor it boots.
    pub monitor: MonitorBuild,
    /// Which partition it boots.
    pub profile: Profile,
    /// Further lines of the boot configuration, for the monitor.
    pub config: &'static [&'static str],
    /// Whether VM 1 prints the whole ledger and its head, which the host must then verify.
    pub prints_ledger: bool,
    /// When the machine goes off.
    pub end: End,
    /// What the run must come to.
    pub verdict: Verdict,
    /// Whether VM 2 needs the disk medium.
    pub needs_disk: bool,
    /// The fewest cores with which the job makes sense.
    pub min_cores: u8,
    /// Whether the machine counts instructions instead of time: one core then, and the same figures
    /// in every run.
    pub counts_instructions: bool,
    /// Which processor it needs.
    pub processor: Processor,
    /// What its secure flash is.
    pub flash: Flash,
    /// Cores of the machine that the monitor never starts.
    pub cores_left_off: u32,
    /// What the host types into the secure UART, each time that VM 1 asks for it ([`TYPE`]).
    pub typed: Option<&'static str>,
}

/// What VM 1 says, on a line of its own, to have something typed into the secure UART.
pub const TYPE: &str = "TYPE";
/// What is typed then.
pub const TYPED: &str = "typed";

/// The name of a test that is in the table. Building one in a `const` context checks the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestName(&'static str);

impl TestName {
    /// Takes a name of the table.
    ///
    /// # Panics
    /// If no job expects the name: at compile time, when used in a `const` block.
    #[must_use]
    pub const fn of(name: &'static str) -> Self {
        assert!(is_expected(name), "no job in the table expects this test name");
        Self(name)
    }

    /// Takes a name that comes from a table of its own; `None` if no job expects it.
    #[must_use]
    pub const fn listed(name: &'static str) -> Option<Self> {
        if is_expected(name) { Some(Self(name)) } else { None }
    }

    /// Returns the name.
    #[must_use]
    pub const fn get(self) -> &'static str {
        self.0
    }
}

/// Finds a job by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Job> {
    JOBS.iter().find(|job| job.name == name)
}

/// Reports whether some job expects a test of this name.
#[must_use]
pub const fn is_expected(name: &str) -> bool {
    let mut job = 0;
    while job < JOBS.len() {
        let mut vm = 0;
        while vm < JOBS[job].tests.len() {
            let mut test = 0;
            while test < JOBS[job].tests[vm].len() {
                if same(JOBS[job].tests[vm][test], name) {
                    return true;
                }
                test += 1;
            }
            vm += 1;
        }
        job += 1;
    }
    false
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmdline::CommandLine;

    #[test]
    fn names_of_jobs_are_unique_and_found() {
        for (index, job) in JOBS.iter().enumerate() {
            assert_eq!(find(job.name), Some(job));
            assert!(JOBS[..index].iter().all(|other| other.name != job.name), "{}", job.name);
        }
        assert_eq!(find("no-such-job"), None);
    }

    #[test]
    fn a_test_name_belongs_to_its_job_and_has_no_blank() {
        for job in JOBS {
            let program = CommandLine::new(job.command_lines[0]).job();
            for name in job.tests.iter().copied().flatten() {
                assert!(name.starts_with(&format!("{program}/")), "{name} in {}", job.name);
                assert!(!name.contains(char::is_whitespace));
            }
        }
    }

    #[test]
    fn no_vm_prints_a_name_twice_and_no_two_vms_print_the_same() {
        for job in JOBS {
            let mut names: Vec<_> = job.tests.iter().copied().flatten().collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{}", job.name);
        }
    }

    #[test]
    fn every_vm_of_a_job_has_the_same_program_or_is_idle() {
        for job in JOBS {
            let program = CommandLine::new(job.command_lines[0]).job();
            for (vm, line) in job.command_lines.iter().enumerate() {
                let own = CommandLine::new(line).job();
                assert!(own == program || own == "idle", "{} vm{}", job.name, vm + 1);
                assert!(own != "idle" || job.tests[vm].is_empty(), "{}", job.name);
                assert_eq!(
                    CommandLine::new(line).is_set("raw"),
                    job.monitor == MonitorBuild::Raw && own != "idle"
                );
            }
        }
    }

    #[test]
    fn only_names_of_the_table_are_test_names() {
        assert!(is_expected("lock/reclaim_succeeds_after_true_release"));
        assert!(!is_expected("lock/reclaim_succeeds"));
        assert!(!is_expected(""));
    }
}
