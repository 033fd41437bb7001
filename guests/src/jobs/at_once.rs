//! Owns the rows of the jobs in which several callers are under way at once: two processors of one VM,
//! fragments of two VMs; never the code that the VMs run for them.

use super::Job;
use super::table::PLAIN;

/// Two processors of each of two VMs call the partition about the same handles at once.
pub(super) const AT_ONCE: Job = Job {
    name: "at_once",
    shows: "two processors of a VM call the partition about one handle at once: each answer has its place in one order",
    command_lines: ["job=at_once", "job=at_once", "job=idle"],
    config: &["vcpus_vm1=2", "vcpus_vm2=2"],
    tests: [
        &[
            "at_once/one_of_two_offers_wins",
            "at_once/one_of_two_revokes_wins",
            "at_once/ledger_has_each_move_once",
            "at_once/answers_have_one_order",
            "at_once/calls_overlapped_in_time",
            "at_once/owner_and_peer_end_it_once",
            "at_once/kill_amid_calls_frees_everything",
            "at_once/charges_are_true",
        ],
        &[
            "at_once/one_of_two_accepts_wins",
            "at_once/one_of_two_rejects_wins",
            "at_once/releases_end_it_once",
        ],
        &[],
    ],
    prints_ledger: true,
    min_cores: 4,
    ..PLAIN
};
