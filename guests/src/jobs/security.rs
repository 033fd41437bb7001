//! Owns the rows of the jobs of the security services; never the code that the VMs run for them.

use super::table::PLAIN;
use super::{Job, Processor};

/// Random bytes by hypercall.
pub(super) const ENTROPY: Job = Job {
    name: "entropy",
    shows: "random bytes by hypercall: health-tested RNDRRS behind a generator, within each VM's rate",
    command_lines: ["job=entropy", "job=idle", "job=entropy"],
    tests: [
        &["entropy/offered", "entropy/bytes_look_fair", "entropy/the_rate_ends_it"],
        &[],
        &["entropy/nothing_for_vm3"],
    ],
    ..PLAIN
};

/// The same where there is no source.
pub(super) const ENTROPY_NONE: Job = Job {
    name: "entropy_none",
    shows: "a processor without random numbers: the call says so, and nothing is made up",
    command_lines: ["job=entropy_none", "job=idle", "job=idle"],
    tests: [&["entropy_none/not_offered", "entropy_none/says_that_there_is_none"], &[], &[]],
    processor: Processor::WithoutEntropy,
    ..PLAIN
};
