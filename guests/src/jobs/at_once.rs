//! Owns the rows of the jobs in which several callers are under way at once: two processors of one VM,
//! fragments of two VMs; never the code that the VMs run for them.

use super::table::PLAIN;
use super::{Job, MonitorBuild};

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

/// Fragments of three VMs in turn, half-sent areas, fragments that are too long.
pub(super) const INTERLEAVED: Job = Job {
    name: "interleaved",
    shows: "fragments of three VMs arrive in turn, some never, some too long: each area is whole, or none",
    command_lines: ["job=interleaved", "job=interleaved", "job=interleaved"],
    tests: [
        &[
            "interleaved/woven_area_is_whole",
            "interleaved/others_live_amid_a_half_sent_area",
            "interleaved/new_send_drops_the_old_one",
            "interleaved/unmapped_buffers_drop_it",
            "interleaved/over_long_fragment_ends_it",
            "interleaved/empty_fragment_is_none",
            "interleaved/what_cannot_fit_never_begins",
            "interleaved/nothing_is_left",
            "interleaved/honest_send_still_works",
        ],
        &["interleaved/every_range_of_vm1_is_in_its_place"],
        &[
            "interleaved/every_range_of_vm2_is_in_its_place",
            "interleaved/lives_in_many_fragments_all_end",
            "interleaved/name_of_anothers_half_is_nothing",
        ],
    ],
    ..PLAIN
};

/// The same where what the monitor refuses is put to the SPMC as well.
pub(super) const INTERLEAVED_RAW: Job = Job {
    name: "interleaved_raw",
    shows: "the same where the SPMC, too, is asked about every fragment that the monitor refused",
    command_lines: ["job=interleaved raw=1", "job=interleaved raw=1", "job=interleaved raw=1"],
    monitor: MonitorBuild::Raw,
    ..INTERLEAVED
};
