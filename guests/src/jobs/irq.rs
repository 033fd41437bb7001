//! Owns the rows of the jobs about interrupts of secure devices; never the code that the VMs run for
//! them.

use super::table::PLAIN;
use super::{Job, MonitorLine, TYPED};

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
            "irq/opening_twice_is_refused",
            "irq/characters_that_arrive_interrupt",
            "irq/level_is_held_until_completion",
            "irq/handler_met_no_surprise",
        ],
        &[],
        &["irq/secure_gpio_interrupts_its_own_vm"],
    ],
    partition_lines: &[MonitorLine { text: "the UART was made to interrupt", at_least: 3 }],
    typed: Some(TYPED),
    ..PLAIN
};

/// Figures on one core that counts instructions.
pub(super) const FIGURES: Job = Job {
    name: "irq_figures",
    shows: "10,000 timer ticks are all told, a storm is masked, others keep their pace; latency in instructions",
    command_lines: ["job=irq_figures", "job=idle", "job=irq_figures"],
    tests: [
        &[
            "irq_figures/each_of_10000_ticks_is_told",
            "irq_figures/as_many_as_the_counter_says",
            "irq_figures/9900_are_delivered_each_for_itself",
            "irq_figures/storm_is_masked_within_100_events",
            "irq_figures/others_keep_90_percent_of_their_pace",
            "irq_figures/computing_vm_is_preempted",
        ],
        &[],
        &[],
    ],
    counts_instructions: true,
    ..PLAIN
};

/// Interrupts at every awkward moment.
pub(super) const SITUATIONS: Job = Job {
    name: "irq_situations",
    shows: "interrupts while a VM computes, in the partition, while their VM is off, of a liar, around CPU_OFF and CPU_SUSPEND",
    command_lines: ["job=irq_situations", "job=idle", "job=irq_situations"],
    tests: [
        &[
            "irq_situations/vm_that_computes_is_interrupted",
            "irq_situations/raised_in_the_partition_comes_after_it",
            "irq_situations/busy_partition_loses_none",
            "irq_situations/source_is_bound_to_another",
            "irq_situations/ticks_of_a_vm_that_is_off_go_nowhere",
            "irq_situations/policy_says_to_whom_a_source_is_bound",
            "irq_situations/rebound_source_is_heard",
            "irq_situations/lying_source_is_counted_and_masked",
            "irq_situations/alarm_outlives_its_core",
            "irq_situations/core_that_came_back_has_interrupts",
            "irq_situations/suspended_processor_is_woken_by_each_interrupt",
            "irq_situations/powered_down_processor_begins_anew_at_an_interrupt",
            "irq_situations/handler_met_no_surprise",
        ],
        &[],
        &["irq_situations/new_life_hears_nothing_of_the_old"],
    ],
    config: &["vcpus_vm1=2"],
    monitor_lines: &[
        MonitorLine { text: "CORE OFF core=3", at_least: 1 },
        MonitorLine { text: "CORE SUSPEND core=0", at_least: 1 },
        MonitorLine { text: "SUSPEND vm=1 processor=1", at_least: 1 },
        MonitorLine { text: "DOWN vm=3", at_least: 2 },
    ],
    min_cores: 4,
    ..PLAIN
};
