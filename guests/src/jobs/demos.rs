//! Owns the rows of the demos of devices (`cargo xtask run --demo NAME`); never the code that the VMs
//! run for them.

use super::table::PLAIN;
use super::{Job, MonitorLine, Profile};

/// Entropy of the partition.
pub(super) const DEMO_RNG: Job = Job {
    name: "demo_rng",
    shows: "VM 1 reads entropy from the partition's device with an unmodified driver, in place",
    command_lines: ["job=rng", "job=idle", "job=idle"],
    tests: [
        &[
            "rng/device_found",
            "rng/every_byte_came_in_place",
            "rng/no_two_requests_are_alike",
            "rng/bytes_look_fair",
            "rng/reclaimed",
        ],
        &[],
        &[],
    ],
    ..PLAIN
};

/// The same from a partition that is built for nothing else.
pub const DEMO_MINIMAL: Job = Job {
    name: "demo_minimal",
    shows: "the partition in its minimal profile, one device with one queue, serves an unmodified driver",
    profile: Profile::Minimal,
    partition_lines: &[MonitorLine { text: "RAM profile=minimal ", at_least: 1 }],
    ..DEMO_RNG
};

/// Consoles of the partition and of VM 2.
pub(super) const DEMO_CONSOLE: Job = Job {
    name: "demo_console",
    shows: "VM 1 prints to the partition's log and talks to a console of VM 2, with an unmodified driver",
    command_lines: ["job=console", "job=console", "job=idle"],
    tests: [
        &["console/partition_took_the_lines", "console/vm2_sent_it_back", "console/reclaimed"],
        &["console/vm2_printed_the_greeting", "console/backend_torn_down"],
        &[],
    ],
    partition_lines: &[
        MonitorLine { text: "vm1: hello from VM 1", at_least: 1 },
        MonitorLine { text: "vm1: [sp] PANIC a forged line", at_least: 1 },
    ],
    ..PLAIN
};
