//! Owns the rows of the table of jobs; never the code that the VMs run for them.

use super::at_once::{AT_ONCE, INTERLEAVED, INTERLEAVED_RAW};
use super::broker::{CAPACITY, CAPACITY_SPMC, COPY, KILLS, LEDGER, REFUSALS, SEAL, UNCONFIRMED};
use super::demos::{DEMO_CONSOLE, DEMO_MINIMAL, DEMO_RNG};
use super::figures::FIGURES;
use super::irq::{DEMO_IRQ, FIGURES as IRQ_FIGURES, SITUATIONS as IRQ_SITUATIONS};
use super::known_bugs::{REGISTERS, SEQUENCES, STALE_TLB};
use super::net::{DEMO_NET, NET_IMAGE_FLIPPED, NET_LOSS};
use super::security::{
    C_SERVICES, DEMO_KEYS, DEMO_RPMB, DEMO_WATCHDOG, ENTROPY, ENTROPY_DEVICE, ENTROPY_NONE,
    FLASH_UNSEEN, SERVICE_FIGURES,
};
use super::{End, Flash, Job, MonitorBuild, MonitorLine, Processor, Profile, Sabotage, Verdict};
use crate::cases;

/// The first user story: VM 1 reads the whole disk of VM 2 through a brokered ring.
pub const TRANSFER: Job = Job {
    name: "transfer",
    shows: "a whole disk image moves from VM 2 to VM 1 through a ring whose memory the partition brokered",
    command_lines: ["job=transfer", "job=transfer", "job=idle"],
    tests: [
        &[
            "transfer/connected",
            "transfer/device_found",
            "transfer/areas_granted",
            "transfer/image_read",
            "transfer/written_region_reads_back",
            "transfer/flushed",
            "transfer/reclaimed",
        ],
        &["transfer/served", "transfer/backend_torn_down"],
        &[],
    ],
    monitor_lines: &[],
    partition_lines: &[],
    monitor: MonitorBuild::Checked,
    profile: Profile::Full,
    config: &[],
    prints_ledger: false,
    end: End::All,
    verdict: Verdict::Passes,
    needs_disk: true,
    min_cores: 1,
    counts_instructions: false,
    processor: Processor::Any,
    flash: Flash::Image,
    cores_left_off: 0,
    typed: None,
};

/// A job of the tests: checked monitor, no disk, ends when all VMs are off.
pub(super) const PLAIN: Job = Job {
    name: "",
    shows: "",
    command_lines: ["job=idle", "job=idle", "job=idle"],
    tests: [&[], &[], &[]],
    monitor_lines: &[],
    partition_lines: &[],
    monitor: MonitorBuild::Checked,
    profile: Profile::Full,
    config: &[],
    prints_ledger: false,
    end: End::All,
    verdict: Verdict::Passes,
    needs_disk: false,
    min_cores: 1,
    counts_instructions: false,
    processor: Processor::Any,
    flash: Flash::Image,
    cores_left_off: 0,
    typed: None,
};

const HOSTILE_BYSTANDERS: [&[&str]; 2] =
    [&["hostile_args/owner_unchanged"], &["hostile_args/peer_unchanged"]];

/// Every job.
pub const JOBS: &[Job] = &[
    TRANSFER,
    Job {
        name: "transfer_one_sector",
        shows: "a request size that divides no image, one sector at a time",
        command_lines: ["job=transfer batch=512", "job=transfer", "job=idle"],
        ..TRANSFER
    },
    Job {
        name: "transfer_image_flipped",
        shows: "a bit flipped in the medium is noticed by the host",
        command_lines: ["job=transfer", "job=transfer flip=image", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::Digest),
        ..TRANSFER
    },
    Job {
        name: "transfer_buffer_flipped",
        shows: "a bit flipped in the shared buffer after the device wrote it is noticed by the host",
        command_lines: ["job=transfer flip=buffer", "job=transfer", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::Digest),
        ..TRANSFER
    },
    Job {
        name: "transfer_digest_flipped",
        shows: "a bit flipped in the reported digest is noticed by the host",
        command_lines: ["job=transfer flip=digest", "job=transfer", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::Digest),
        ..TRANSFER
    },
    Job {
        name: "transfer_buffers_outside",
        shows: "buffers outside every area are bounced, and the bounce is counted",
        command_lines: ["job=transfer outside=1", "job=transfer", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::BouncedBytes),
        ..TRANSFER
    },
    Job {
        name: "transfer_copied_twice",
        shows: "sectors staged in a private buffer of VM 2 on their way are counted as copies",
        command_lines: ["job=transfer", "job=transfer copy=1", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::CopiedBytes),
        ..TRANSFER
    },
    Job {
        name: "transfer_copied_out",
        shows: "a private copy that VM 1 makes of its shared buffer is counted",
        command_lines: ["job=transfer copy=1", "job=transfer", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::CopiedBytes),
        ..TRANSFER
    },
    Job {
        name: "transfer_partition_called",
        shows: "one call of the partition during the transfer is counted",
        command_lines: ["job=transfer call_partition=1", "job=transfer", "job=idle"],
        verdict: Verdict::MustFail(Sabotage::PartitionCalls),
        ..TRANSFER
    },
    Job {
        name: "demo_restart",
        shows: "the backend is killed half-way and comes back: the whole image arrives, with no restart of VM 1",
        command_lines: ["job=transfer restart=1", "job=transfer", "job=transfer"],
        tests: [
            &[
                "transfer/connected",
                "transfer/device_found",
                "transfer/areas_granted",
                "transfer/backend_was_restarted",
                "transfer/image_read",
                "transfer/written_region_reads_back",
                "transfer/flushed",
                "transfer/reclaimed",
            ],
            TRANSFER.tests[1],
            &["transfer/backend_is_killed_and_started_anew"],
        ],
        monitor_lines: &[MonitorLine { text: "DOWN vm=2", at_least: 2 }],
        config: &["controller=3"],
        ..TRANSFER
    },
    Job {
        name: "lock",
        shows: "the owner cannot reclaim while the partition's lock stands, and only a true release opens it",
        command_lines: ["job=lock", "job=lock", "job=idle"],
        tests: [
            &[
                "lock/reclaim_refused_while_offered",
                "lock/reclaim_refused_while_accepted",
                "lock/reclaim_refused_while_mapped",
                "lock/reclaim_refused_after_false_release",
                "lock/peer_really_used_the_memory",
                "lock/reclaim_succeeds_after_true_release",
                "lock/grant_is_forgotten_after_reclaim",
            ],
            &["lock/false_release_leaves_it_releasing", "lock/true_release_is_released"],
            &[],
        ],
        ..PLAIN
    },
    Job {
        name: "revoke",
        shows: "the owner takes back an offer that nobody maps; one that is mapped stays locked until it is unmapped",
        command_lines: ["job=revoke", "job=revoke", "job=idle"],
        tests: [
            &[
                "revoke/unaccepted_offer_is_reclaimed",
                "revoke/accepted_but_unmapped_is_reclaimed",
                "revoke/mapped_stays_locked",
                "revoke/mapped_is_reclaimed_after_relinquish",
            ],
            &[
                "revoke/accept_after_revoke_is_refused",
                "revoke/retrieve_after_revoke_is_refused",
                "revoke/peer_of_a_mapped_revoke_sees_releasing",
            ],
            &[],
        ],
        ..PLAIN
    },
    Job {
        name: "unaccepted",
        shows: "the monitor refuses a VM's retrieve of a handle that the partition has not seen accepted",
        command_lines: ["job=unaccepted", "job=unaccepted", "job=idle"],
        tests: [
            &["unaccepted/reclaimed"],
            &[
                "unaccepted/retrieve_of_invented_handle_is_refused",
                "unaccepted/retrieve_before_accept_is_refused",
                "unaccepted/accept_of_other_terms_is_refused",
                "unaccepted/retrieve_after_accept_works",
            ],
            &[],
        ],
        ..PLAIN
    },
    Job {
        name: "fault_after_relinquish",
        shows: "after relinquish the backend's accesses fault in stage 2",
        command_lines: ["job=fault_after_relinquish", "job=fault_after_relinquish", "job=idle"],
        tests: [
            &["fault_after_relinquish/memory_is_unchanged"],
            &[
                "fault_after_relinquish/access_works_before",
                "fault_after_relinquish/probe_says_unmapped",
                "fault_after_relinquish/read_faults",
                "fault_after_relinquish/write_faults",
            ],
            &[],
        ],
        monitor_lines: &[
            MonitorLine { text: "FAULT vm=2 ", at_least: 2 },
            MonitorLine { text: "write=1", at_least: 1 },
        ],
        ..PLAIN
    },
    Job {
        name: "fault_on_lend",
        shows: "what an owner has lent it cannot touch until it reclaims",
        command_lines: ["job=fault_on_lend", "job=fault_on_lend", "job=idle"],
        tests: [
            &[
                "fault_on_lend/probe_says_unmapped",
                "fault_on_lend/read_faults",
                "fault_on_lend/write_faults",
                "fault_on_lend/access_returns_after_reclaim",
            ],
            &["fault_on_lend/peer_uses_lent_memory"],
            &[],
        ],
        monitor_lines: &[
            MonitorLine { text: "FAULT vm=1 ", at_least: 2 },
            MonitorLine { text: "write=1", at_least: 1 },
        ],
        ..PLAIN
    },
    Job {
        name: "third_party",
        shows: "a third VM cannot see, name, change or learn of a grant that is not its own",
        command_lines: ["job=third_party", "job=third_party", "job=third_party"],
        tests: [
            &["third_party/owner_unaffected"],
            &["third_party/peer_unaffected"],
            &[
                "third_party/list_is_empty",
                "third_party/no_event_waits",
                "third_party/state_is_as_of_an_invented_handle",
                "third_party/inspect_is_as_of_an_invented_handle",
                "third_party/accept_is_as_of_an_invented_handle",
                "third_party/reject_is_as_of_an_invented_handle",
                "third_party/release_is_as_of_an_invented_handle",
                "third_party/revoke_is_as_of_an_invented_handle",
                "third_party/offer_is_as_of_an_invented_handle",
                "third_party/hypervisor_calls_are_refused",
                "third_party/retrieve_is_as_of_an_invented_handle",
                "third_party/relinquish_is_as_of_an_invented_handle",
                "third_party/reclaim_is_as_of_an_invented_handle",
            ],
        ],
        ..PLAIN
    },
    Job {
        name: "hostile_args",
        shows: "each hostile argument gets its documented status and changes nothing, at the monitor",
        command_lines: ["job=hostile_args", "job=hostile_args", "job=hostile_args"],
        tests: [HOSTILE_BYSTANDERS[0], HOSTILE_BYSTANDERS[1], &cases::NAMES],
        ..PLAIN
    },
    Job {
        name: "hostile_args_raw",
        shows: "the same with a monitor that forwards unchecked: SPMC and partition refuse what reaches them",
        command_lines: [
            "job=hostile_args raw=1",
            "job=hostile_args raw=1",
            "job=hostile_args raw=1",
        ],
        tests: [HOSTILE_BYSTANDERS[0], HOSTILE_BYSTANDERS[1], &cases::NAMES],
        monitor: MonitorBuild::Raw,
        ..PLAIN
    },
    Job {
        name: "two_cores",
        shows: "two VMs call the partition at once on two cores, many thousand times, with correct answers",
        command_lines: ["job=two_cores", "job=idle", "job=two_cores"],
        tests: [
            &["two_cores/vm1_answers_are_its_own", "two_cores/calls_overlapped_in_time"],
            &[],
            &["two_cores/vm3_answers_are_its_own"],
        ],
        min_cores: 3,
        ..PLAIN
    },
    Job {
        name: "mapped_attrs",
        shows: "what the partition maps is non-secure, never executable, with no more than the granted permission",
        command_lines: ["job=mapped_attrs", "job=mapped_attrs", "job=idle"],
        tests: [
            &["mapped_attrs/fifo_is_mapped", "mapped_attrs/read_only_fifo_is_refused"],
            &["mapped_attrs/remote_area_is_accepted"],
            &[],
        ],
        ..PLAIN
    },
    Job {
        name: "kill",
        shows: "a VM that is killed in order lets go of what it borrowed, and can be started anew",
        command_lines: ["job=kill", "job=kill", "job=idle"],
        tests: [
            &[
                "kill/orderly_kill_is_done",
                "kill/dead_peers_grant_is_reclaimed",
                "kill/offer_to_a_dead_vm_is_refused",
                "kill/restarted_vm_is_started_anew",
                "kill/new_lifes_grant_is_reclaimed",
            ],
            &["kill/only_vm1_may_kill", "kill/second_life_ends_as_it_should"],
            &[],
        ],
        monitor_lines: &[MonitorLine { text: "DOWN vm=2", at_least: 2 }],
        ..PLAIN
    },
    Job {
        name: "end_with_vm1",
        shows: "when VM 1 is off, VMs that never end and still map its memory are killed in order",
        command_lines: ["job=end_with_vm1", "job=end_with_vm1", "job=end_with_vm1"],
        tests: [&["end_with_vm1/peer_maps_when_vm1_ends"], &[], &[]],
        monitor_lines: &[
            MonitorLine { text: "DOWN vm=2", at_least: 1 },
            MonitorLine { text: "DOWN vm=3", at_least: 1 },
        ],
        end: End::Vm1,
        ..PLAIN
    },
    Job {
        name: "deadline",
        shows: "a peer that never lets go is unmapped by force after the partition's deadline",
        command_lines: ["job=deadline", "job=deadline", "job=idle"],
        tests: [
            &[
                "deadline/locked_before_the_deadline",
                "deadline/reclaimed_after_the_deadline",
                "deadline/peer_cannot_write_any_more",
            ],
            &["deadline/peers_access_faults"],
            &[],
        ],
        monitor_lines: &[
            MonitorLine { text: "FAULT vm=2 ", at_least: 2 },
            MonitorLine { text: "write=1", at_least: 1 },
            MonitorLine { text: " faults=2 forced_unmaps=1", at_least: 1 },
        ],
        ..PLAIN
    },
    Job {
        name: "fragments",
        shows: "an area of two thousand scattered pages is shared in fragments, inspected and used",
        command_lines: ["job=fragments", "job=fragments", "job=idle"],
        tests: [
            &[
                "fragments/all_ranges_are_offered",
                "fragments/peer_wrote_each_page_and_no_other",
                "fragments/reclaimed",
            ],
            &["fragments/every_range_is_inspected", "fragments/pages_lie_in_order"],
            &[],
        ],
        ..PLAIN
    },
    LEDGER,
    SEAL,
    KILLS,
    UNCONFIRMED,
    CAPACITY,
    CAPACITY_SPMC,
    COPY,
    REFUSALS,
    AT_ONCE,
    INTERLEAVED,
    INTERLEAVED_RAW,
    REGISTERS,
    SEQUENCES,
    STALE_TLB,
    ENTROPY,
    ENTROPY_DEVICE,
    ENTROPY_NONE,
    C_SERVICES,
    SERVICE_FIGURES,
    FLASH_UNSEEN,
    DEMO_RNG,
    DEMO_CONSOLE,
    DEMO_RPMB,
    DEMO_KEYS,
    DEMO_WATCHDOG,
    DEMO_MINIMAL,
    FIGURES,
    DEMO_NET,
    NET_LOSS,
    NET_IMAGE_FLIPPED,
    DEMO_IRQ,
    IRQ_FIGURES,
    IRQ_SITUATIONS,
];
