//! Owns the rows of the jobs about interrupts of secure devices; never the code that the VMs run for
//! them.

use super::table::PLAIN;
use super::{Job, MonitorLine};

/// Every source once, by the VMs' own handlers.
pub(super) const DEMO_IRQ: Job = Job {
    name: "demo_irq",
    shows: "the secure timer, UART, GPIO and clock interrupt the VM that the manifest binds each to",
    command_lines: ["job=irq", "job=idle", "job=irq"],
    tests: [
        &[
            "irq/partition_has_interrupts",
            "irq/foreign_sources_are_as_invented_ones",
            "irq/nothing_waits_before_a_source_is_open",
            "irq/binding_is_the_hypervisors",
            "irq/uart_cannot_tick",
            "irq/every_timer_tick_is_told",
            "irq/handler_runs_on_the_doorbell",
            "irq/secure_uart_interrupts",
            "irq/clock_interrupts",
            "irq/two_sources_at_once",
            "irq/masked_source_is_silent",
            "irq/masking_twice_is_refused",
            "irq/unmasked_source_is_heard",
            "irq/handler_met_no_surprise",
        ],
        &[],
        &["irq/secure_gpio_interrupts_its_own_vm"],
    ],
    partition_lines: &[MonitorLine { text: "the UART was made to interrupt", at_least: 3 }],
    ..PLAIN
};
