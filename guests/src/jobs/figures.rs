//! Owns the row of the job that counts what a transfer takes; never the code that the VMs run for it.

use super::Job;
use super::table::TRANSFER;

/// One pass over the disk with an unmodified driver, one with our own, a plain copy beside them.
pub const FIGURES: Job = Job {
    name: "figures",
    shows: "doorbells a request, and instructions a byte beside a plain copy, on a machine that counts instructions",
    command_lines: ["job=transfer figures=1", "job=transfer", "job=idle"],
    tests: [
        &[
            "transfer/unmodified_driver_read_all",
            "transfer/rings_outside_areas_are_refused",
            "transfer/own_driver_read_all",
            "transfer/figures_torn_down",
        ],
        TRANSFER.tests[1],
        &[],
    ],
    counts_instructions: true,
    ..TRANSFER
};
