//! Owns the checks of what the libraries cost: instructions under callgrind against the goals in each
//! example. Never measures time, and never counts as passed what could not be measured.

use super::tally::Tally;
use super::{Context, log_name};
use crate::outcome::{Exit, Stop};
use crate::process::{self, Step};
use crate::setup::Consent;
use crate::setup::packages::{self, Need};
use crate::{paths, say};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(900);

/// Whose example `cost` has goals: the queues beside rust-vmm's, the descriptors beside arm-ffa's.
const PACKAGES: [&str; 2] = ["causeway-virtio", "causeway-ffa"];

pub(super) fn run(context: &Context<'_>, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    let there = packages::ensure(&[Need::Valgrind], consent);
    for package in PACKAGES {
        let name = format!("host::cost_within_goals_of::{package}");
        match &there {
            Ok(()) => {}
            Err(stop) if stop.exit == Exit::Interrupted => return Err(stop.clone()),
            Err(stop) => {
                tally.skipped(&name, &stop.reason);
                continue;
            }
        }
        say::progress(&name);
        let log = log_name(context.dir, &name);
        let step = Step::new("cargo run", "cargo", &log)
            .dir(&paths::root())
            .limit(LIMIT)
            .env("CARGO_TERM_COLOR", "never")
            .args(["run", "--release", "--package", package, "--example", "cost", "--target-dir"])
            .args([paths::target()])
            .args(["--", "--check"]);
        // With valgrind there, "it cannot run" is a failure too: a renamed function looks like that.
        match step.status() {
            Ok(status) if status.success() => tally.passed(&name),
            Ok(status) => tally.failed(&name, &process::why(status, &log), Some(&log)),
            Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
            Err(stop) => tally.failed(&name, &stop.reason, Some(&log)),
        }
    }
    Ok(())
}
