//! Owns the rows of the jobs of the security services; never the code that the VMs run for them.

use super::table::PLAIN;
use super::{Flash, Job, MonitorLine, Processor};

/// The key that VM 1 brings along in `demo_keys`: what the host computes again.
pub const KNOWN_KEY: [u8; 32] = *b"a key that VM 1 brings with it..";
/// What is proven and signed with the keys of VM 1.
pub const SIGNED: &str = "message";
/// Associated data and text that are encrypted with [`KNOWN_KEY`].
pub const SEALED: [&str; 2] = ["head", "a known text"];

/// Random bytes by hypercall.
pub(super) const ENTROPY: Job = Job {
    name: "entropy",
    shows: "random bytes by hypercall: health-tested RNDRRS behind a generator, within each VM's rate",
    command_lines: ["job=entropy", "job=idle", "job=entropy"],
    tests: [
        &["entropy/offered", "entropy/bytes_look_fair", "entropy/the_rate_ends_it"],
        &[],
        &["entropy/vm3_has_its_own", "entropy/nothing_else_for_vm3"],
    ],
    ..PLAIN
};

/// Random bytes by the virtio device, beyond the rate.
pub(super) const ENTROPY_DEVICE: Job = Job {
    name: "entropy_device",
    shows: "VM 1 asks its entropy device for more than its rate: what is beyond it comes when the rate is full again, by the secure timer, and VM 3 has its own",
    command_lines: ["job=entropy_device", "job=idle", "job=entropy_device"],
    tests: [
        &[
            "entropy_device/requests_beyond_the_rate_come_later_and_without_another_kick",
            "entropy_device/the_rate_holds",
            "entropy_device/device_and_call_share_it",
        ],
        &[],
        &["entropy_device/another_vm_has_its_own"],
    ],
    ..PLAIN
};

/// The same where there is no source.
pub(super) const ENTROPY_NONE: Job = Job {
    name: "entropy_none",
    shows: "a processor without random numbers: the call says so, nothing is made up, and no entropy device is offered",
    command_lines: ["job=entropy_none", "job=idle", "job=idle"],
    tests: [
        &[
            "entropy_none/not_offered",
            "entropy_none/says_that_there_is_none",
            "entropy_none/no_device",
        ],
        &[],
        &[],
    ],
    processor: Processor::WithoutEntropy,
    ..PLAIN
};

/// Replay-protected memory and counters.
pub(super) const DEMO_RPMB: Job = Job {
    name: "demo_rpmb",
    shows: "replay-protected memory and a counter on the secure flash, by call and by virtio device, across a power-off: key once, writes proven and counted, replays refused",
    command_lines: ["job=rpmb", "job=rpmb", "job=rpmb"],
    tests: [
        &[
            "rpmb/flash_is_ready_when_every_core_was_seen",
            "rpmb/key_is_programmed_once",
            "rpmb/contents_and_counter_outlive_power_off",
            "rpmb/a_write_that_proves_the_key_is_counted",
            "rpmb/a_replay_is_refused",
            "rpmb/a_forged_write_is_refused",
            "rpmb/what_was_written_reads_back_authentic",
            "rpmb/device_tells_its_limits",
            "rpmb/what_the_device_wrote_the_call_reads",
            "rpmb/device_refuses_a_replay",
            "rpmb/device_reads_authentic",
            "rpmb/device_driven_and_reset",
            "rpmb/counter_goes_up_by_one_at_each_boot",
            "rpmb/a_counter_beyond_policy_is_refused",
        ],
        &["rpmb/vm2_has_an_area_of_its_own", "rpmb/vm2_has_a_device_of_its_own"],
        &["rpmb/nothing_for_vm3"],
    ],
    flash: Flash::BootedTwice,
    ..PLAIN
};

/// Sealed keys.
pub(super) const DEMO_KEYS: Job = Job {
    name: "demo_keys",
    shows: "keys that VM 1 makes and uses and never sees, kept across a power-off, and that no other VM has",
    command_lines: ["job=keys", "job=keys", "job=keys"],
    tests: [
        &[
            "keys/flash_is_ready_when_every_core_was_seen",
            "keys/made_once_and_kept_across_power_off",
            "keys/hmac_is_what_its_owner_expects",
            "keys/a_wrong_tag_is_refused",
            "keys/what_was_encrypted_comes_back_to_its_owner",
            "keys/a_signature_is_made_without_the_key",
            "keys/a_key_serves_its_purpose_only",
            "keys/a_deleted_key_is_gone",
        ],
        &["keys/vm2_does_not_have_vm1s_keys", "keys/a_slot_beyond_policy_is_refused"],
        &["keys/nothing_for_vm3"],
    ],
    flash: Flash::BootedTwice,
    ..PLAIN
};

/// Watchdogs.
pub(super) const DEMO_WATCHDOG: Job = Job {
    name: "demo_watchdog",
    shows: "VM 2 hangs and is restarted, though the processor that armed its watchdog is off, and then suspended; VM 1 hangs and the machine is reset",
    command_lines: ["job=watchdog", "job=watchdog", "job=idle"],
    tests: [
        &["watchdog/the_machine_was_reset", "watchdog/pings_held_it_off_and_policy_its_stop"],
        &["watchdog/vm2_was_restarted_when_off_and_when_suspended"],
        &[],
    ],
    monitor_lines: &[
        MonitorLine { text: "BOOT build=", at_least: 2 },
        MonitorLine { text: "RESTART vm=2 asked_by=partition", at_least: 2 },
        MonitorLine { text: "CORE SUSPEND core=1", at_least: 1 },
    ],
    partition_lines: &[
        MonitorLine { text: "watchdog of VM 0x0002 fired: RestartVm", at_least: 2 },
        MonitorLine { text: "watchdog of VM 0x0001 fired: ResetSystem", at_least: 1 },
    ],
    config: &["vcpus_vm2=2"],
    flash: Flash::MayReset,
    ..PLAIN
};

/// The same from C.
pub(super) const C_SERVICES: Job = Job {
    name: "c_services",
    shows: "an example in C over causeway.h: entropy, counter, key, watchdog, and a timer's interrupts fetched and completed",
    command_lines: ["job=c_services", "job=idle", "job=idle"],
    tests: [
        &[
            "c_services/every_service_is_ready",
            "c_services/random_bytes",
            "c_services/a_counter_goes_up_by_one",
            "c_services/hmac_of_rfc_4231",
            "c_services/watchdog_is_armed_and_pinged",
            "c_services/timer_events_are_fetched_and_completed",
            "c_services/each_wrong_call_has_its_own_status",
        ],
        &[],
        &[],
    ],
    flash: Flash::MayReset,
    ..PLAIN
};

/// What the calls take, on one core that counts instructions.
pub const SERVICE_FIGURES: Job = Job {
    name: "service_figures",
    shows: "what each call of the security services and of interrupts takes in instructions, as a VM sees it; each class within its bound, erasing and signing included",
    command_lines: ["job=service_figures", "job=idle", "job=idle"],
    tests: [
        &[
            "service_figures/short_calls_within_their_bound",
            "service_figures/store_calls_within_their_bound",
            "service_figures/long_store_calls_within_their_bound",
            "service_figures/signing_calls_within_their_bound",
        ],
        &[],
        &[],
    ],
    flash: Flash::MayReset,
    counts_instructions: true,
    ..PLAIN
};

/// A core that was never started.
pub(super) const FLASH_UNSEEN: Job = Job {
    name: "flash_unseen",
    shows: "while one core of the machine was never started, the partition sends the flash no command",
    command_lines: ["job=flash_unseen", "job=idle", "job=idle"],
    tests: [
        &[
            "flash_unseen/there_is_a_store_and_it_is_not_ready",
            "flash_unseen/no_command_before_every_core_was_seen",
        ],
        &[],
        &[],
    ],
    flash: Flash::MayReset,
    cores_left_off: 1,
    min_cores: 2,
    ..PLAIN
};

/// The workload of `cargo xtask powercut`; no job of the tests, since it never ends.
pub const POWERCUT: Job = Job {
    name: "powercut",
    shows: "counts and writes until the power is cut",
    command_lines: ["job=powercut", "job=idle", "job=idle"],
    flash: Flash::MayReset,
    ..PLAIN
};
