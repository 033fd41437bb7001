//! Owns the rows of the jobs that try the broker as a whole: ledger, sealing, deaths, capacity; never
//! the code that the VMs run for them.

use super::table::PLAIN;
use super::{Job, MonitorLine};
use crate::deaths;

/// Who may read which records, and what is in them.
pub(super) const LEDGER: Job = Job {
    name: "ledger",
    shows: "a VM reads its own records, the auditor all, and the host verifies the dump with its head",
    command_lines: ["job=ledger", "job=ledger", "job=ledger"],
    tests: [
        &[
            "ledger/auditor_sees_every_vm",
            "ledger/moves_of_both_parties_are_there",
            "ledger/flood_pushed_out_nothing_of_others",
            "ledger/head_is_that_of_the_dump",
        ],
        &[
            "ledger/page_without_a_head_is_refused",
            "ledger/own_dump_holds_own_rooms_only",
            "ledger/every_move_is_there",
            "ledger/looks_are_one_counted_record_and_push_out_nothing",
            "ledger/cursor_leads_through_every_page",
            "ledger/invented_cursor_is_refused",
            "ledger/whole_ledger_is_refused_to_others",
        ],
        &["ledger/repeated_refusals_are_one_counted_record", "ledger/area_of_others_is_refused"],
    ],
    prints_ledger: true,
    ..PLAIN
};

/// Sealed mode over the death of an owner and of a peer.
pub(super) const SEAL: Job = Job {
    name: "seal",
    shows: "a sealed set of grants lives on, the same grant is accepted after a restart, nothing else is",
    command_lines: ["job=seal", "job=seal", "job=seal"],
    tests: [
        &[
            "seal/the_named_vm_seals",
            "seal/new_join_is_refused",
            "seal/sealing_again_changes_nothing",
            "seal/ledger_tells_of_it_once",
        ],
        &[
            "seal/owner_may_not_seal",
            "seal/new_grant_is_refused",
            "seal/new_local_area_is_refused",
            "seal/restarted_owner_may_not_grant_another_page",
            "seal/restarted_owner_may_not_permit_less",
            "seal/restarted_owner_may_not_name_another_peer",
            "seal/restarted_owner_may_not_lend_instead",
            "seal/restarted_owner_may_not_grant_more_pages",
            "seal/same_grant_is_accepted_after_the_owners_restart",
            "seal/same_grant_is_accepted_after_the_peers_restart",
        ],
        &["seal/peer_may_not_seal", "seal/sealed_grant_lives_on", "seal/peer_maps_it_again"],
    ],
    prints_ledger: true,
    ..PLAIN
};

/// Owner, peer or both die at every step of a life.
pub(super) const KILLS: Job = Job {
    name: "kills",
    shows: "owner, peer or both die at every step of a life: survivors get on, new lives start clean",
    command_lines: ["job=kills", "job=kills", "job=kills"],
    tests: [&deaths::NAMES, &[], &[]],
    prints_ledger: true,
    ..PLAIN
};

/// A hypervisor that never says that it unmapped anybody.
pub(super) const UNCONFIRMED: Job = Job {
    name: "unconfirmed",
    shows: "a hypervisor that never confirms: those pages stay locked and charged, all else goes on",
    command_lines: ["job=unconfirmed", "job=unconfirmed", "job=unconfirmed"],
    tests: [
        &[
            "unconfirmed/charges_stay_with_the_pair",
            "unconfirmed/partition_serves_on",
            "unconfirmed/ledger_says_awaiting_unmap",
            "unconfirmed/dying_owner_waits",
            "unconfirmed/peers_destruction_frees_everything",
            "unconfirmed/new_lives_owe_nothing",
            "unconfirmed/owner_dies_awaiting_unmap",
        ],
        &[
            "unconfirmed/owner_sees_awaiting_unmap",
            "unconfirmed/pages_stay_locked",
            "unconfirmed/other_grants_go_on",
            "unconfirmed/reclaim_succeeds_after_the_peers_destruction",
        ],
        &["unconfirmed/release_is_not_believed"],
    ],
    config: &["confirm_unmaps=never"],
    monitor_lines: &[MonitorLine { text: "UNCONFIRMED handle=", at_least: 2 }],
    prints_ledger: true,
    ..PLAIN
};

/// As many areas and ranges as fit, and one more.
pub(super) const CAPACITY: Job = Job {
    name: "capacity",
    shows: "540 areas of one borrower, 450 of two, 512 MiB, 4,088 ranges; one more is refused cleanly",
    command_lines: ["job=capacity layer=monitor", "job=capacity", "job=idle"],
    tests: [
        &[
            "capacity/local_areas_540_live_at_once",
            "capacity/one_more_local_area_changes_nothing",
            "capacity/one_release_makes_room_for_a_local_area",
            "capacity/areas_of_two_450_live_at_once",
            "capacity/one_more_area_of_two_changes_nothing",
            "capacity/one_release_makes_room_for_an_area_of_two",
            "capacity/areas_of_two_are_reclaimed",
            "capacity/ranges_2048_beside_other_areas",
            "capacity/ranges_4088_alone",
            "capacity/ranges_4089_change_nothing",
            "capacity/area_of_512_mib_in_one_range",
            "capacity/nothing_is_left",
        ],
        &[
            "capacity/peer_maps_all_areas_of_two",
            "capacity/peer_finds_2048_pages_in_order",
            "capacity/peer_finds_4088_pages_in_order",
            "capacity/peer_reaches_all_of_512_mib",
        ],
        &[],
    ],
    config: &["store_quota_vm1=65536", "store_quota_vm2=0", "store_quota_vm3=0"],
    ..PLAIN
};

/// The same without the monitor's own count: the SPMC says when its store is full.
pub(super) const CAPACITY_SPMC: Job = Job {
    name: "capacity_spmc",
    shows: "the same where the monitor does not count: the SPMC itself refuses what does not fit",
    command_lines: ["job=capacity layer=spmc", "job=capacity", "job=idle"],
    config: &[
        "store_quota_vm1=65536",
        "store_quota_vm2=0",
        "store_quota_vm3=0",
        "store_check=spmc",
    ],
    ..CAPACITY
};

/// Bytes copied between the areas of two VMs that have no page in common.
pub(super) const COPY: Job = Job {
    name: "copy",
    shows: "two VMs join areas that each has granted to the partition alone, and bytes are copied, counted",
    command_lines: ["job=copy", "job=copy", "job=copy"],
    tests: [
        &[
            "copy/waits_for_the_other_side",
            "copy/both_sides_are_joined",
            "copy/pushed_and_pulled_bytes_arrive",
            "copy/counts_are_true",
            "copy/outside_is_refused_and_changes_nothing",
            "copy/area_and_name_are_joined_once",
            "copy/read_only_area_is_no_destination",
            "copy/join_beyond_the_quota_is_refused",
            "copy/dead_side_ends_the_join",
            "copy/join_with_a_dead_vm_is_refused",
            "copy/new_life_joins_anew",
            "copy/revoked_area_ends_the_join",
            "copy/ledger_tells_of_joins_and_copies",
        ],
        &[
            "copy/digests_are_equal_and_no_other_byte_is_written",
            "copy/old_join_is_nothing_to_a_new_life",
        ],
        &["copy/one_way_rule_lets_bytes_come", "copy/one_way_rule_lets_none_go_back"],
    ],
    prints_ledger: true,
    ..PLAIN
};

/// What a peer, and an owner who plays the peer, is refused.
pub(super) const REFUSALS: Job = Job {
    name: "refusals",
    shows: "a peer that breaks each rule of inspect, accept, reject and release is refused, and nothing changes",
    command_lines: ["job=refusals", "job=refusals", "job=refusals"],
    tests: [
        &["refusals/each_is_in_the_ledger"],
        &["refusals/owner_is_no_peer", "refusals/rejected_offer_is_reclaimed"],
        &[
            "refusals/range_that_is_not_there",
            "refusals/accept_of_other_terms",
            "refusals/reject_of_another_generation",
            "refusals/release_before_accept",
            "refusals/second_accept",
            "refusals/reject_after_accept",
            "refusals/peer_is_no_owner",
            "refusals/honest_life_goes_on",
        ],
    ],
    prints_ledger: true,
    ..PLAIN
};
