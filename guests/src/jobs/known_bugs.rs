//! Owns the rows of the jobs that hold known bugs of other FF-A implementations against ours
//! (docs/regressions.md); never the code that the VMs run for them.

use super::table::PLAIN;
use super::{Job, MonitorLine};

/// What a caller keeps over a call (KB-29), and that nothing is renegotiated after use (KB-11).
pub(super) const REGISTERS: Job = Job {
    name: "registers",
    shows: "a call changes no register but its results, no version can be chosen anew after use, and a client may call by SMC",
    command_lines: ["job=registers", "job=registers", "job=idle"],
    tests: [
        &[
            "registers/x8_to_x30_survive_an_hvc",
            "registers/x8_to_x30_survive_an_smc",
            "registers/another_version_is_refused_after_use",
            "registers/layouts_and_grants_outlive_the_attempt",
        ],
        &["registers/a_client_that_calls_by_smc_lives_a_grant"],
        &[],
    ],
    ..PLAIN
};

/// Fragmented retrieves on one core, short retrieves and relinquishes on another (KB-21).
pub(super) const SEQUENCES: Job = Job {
    name: "sequences",
    shows: "fragmented and short transactions of the partition on two cores at once all come to their end",
    command_lines: ["job=sequences", "job=idle", "job=sequences"],
    tests: [
        &["sequences/fragmented_lives_all_end", "sequences/overlapped_in_time"],
        &[],
        &["sequences/short_lives_all_end"],
    ],
    min_cores: 2,
    ..PLAIN
};

/// A second processor that holds a translation while the first gives the memory back (KB-26).
pub(super) const STALE_TLB: Job = Job {
    name: "stale_tlb",
    shows: "after relinquish no processor of the peer reaches the memory, whatever its TLB held",
    command_lines: ["job=stale_tlb", "job=stale_tlb", "job=idle"],
    config: &["vcpus_vm2=2"],
    tests: [
        &["stale_tlb/reclaimed_each_time"],
        &[
            "stale_tlb/second_processor_reads_what_is_mapped",
            "stale_tlb/second_processor_faults_after_relinquish",
        ],
        &[],
    ],
    monitor_lines: &[MonitorLine { text: "FAULT vm=2 ", at_least: 12 }],
    min_cores: 4,
    ..PLAIN
};
