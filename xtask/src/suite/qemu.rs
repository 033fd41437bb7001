//! Owns the QEMU part: each job of the guests' table is a boot of its own; the transfer boots on
//! every machine of the matrix. Never knows what a job does: the table says what must be seen.

use super::tally::Tally;
use super::{Context, run_command};
use crate::cli::Cpu;
use crate::disk::Disk;
use crate::image::Variant;
use crate::outcome::{Exit, Stop};
use crate::run::Plan;
use crate::verdict::{Broken, noticed};
use crate::{bench, powercut, say};
use causeway_guests::jobs::{JOBS, Job, Processor, TRANSFER, Verdict};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const DISK_BYTES: u64 = 4 << 20;
const USUAL: (Cpu, u32) = (Cpu::Max, 4);
/// A machine that counts instructions has one core.
const COUNTING: [(Cpu, u32); 1] = [(Cpu::Max, 1)];
const WITHOUT_ENTROPY: (Cpu, u32) = (Cpu::CortexA57, 4);
const MATRIX: [(Cpu, u32); 6] = [
    USUAL,
    (Cpu::Max, 1),
    (Cpu::Max, 2),
    (Cpu::CortexA57, 1),
    (Cpu::CortexA57, 2),
    (Cpu::CortexA57, 4),
];

/// The machines on which a job is tried; the first is its usual one.
fn machines(job: &Job) -> &'static [(Cpu, u32)] {
    match job.processor {
        Processor::WithoutEntropy => &[WITHOUT_ENTROPY],
        Processor::Any if job.name == TRANSFER.name => &MATRIX,
        Processor::Any if job.counts_instructions => &COUNTING,
        Processor::Any => &MATRIX[..1],
    }
}

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let disk = Disk::built_in(DISK_BYTES)?;
    let before = tally.count();
    for job in JOBS {
        let machines = machines(job);
        for (cpu, smp) in machines {
            let name = format!("qemu::{} ({}, {smp} cores)", job.name, cpu.name());
            if context.filter.is_some_and(|text| !name.contains(text)) {
                continue;
            }
            let plan = Plan {
                traced: false,
                audited: false,
                job,
                variant: Variant::of(job),
                cpu: *cpu,
                smp: *smp,
                limit: LIMIT,
                disk: job.needs_disk.then_some(&disk),
            };
            let folder = format!("{}-{}-{smp}", job.name, cpu.name());
            one(&name, &plan, &context.dir.join(folder), tally)?;
        }
    }
    run_command::run(context, tally)?;
    figures(context, tally)?;
    power_cuts(context, tally)?;
    if tally.count() == before {
        return Err(Stop::failed("no QEMU test has such a name"));
    }
    Ok(())
}

/// The measuring program comes to its end with both partitions on both processors, and no figure is
/// more than 3 % from the kept one; missed goals are told, no failure.
fn figures(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let name = "qemu::bench::every_figure_is_measured_and_as_kept";
    if context.filter.is_some_and(|text| !name.contains(text)) {
        return Ok(());
    }
    let dir = context.dir.join("bench");
    match bench::short_form(&dir) {
        Ok((all, missed)) => {
            say::progress(&format!("{all} figures, {missed} goals missed (cargo xtask bench)"));
            tally.passed(name);
        }
        Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
        Err(stop) => tally.failed(name, &stop.reason, Some(&dir)),
    }
    Ok(())
}

/// A few cuts of the power; `cargo xtask powercut` makes hundreds.
fn power_cuts(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let name = "qemu::powercut::nothing_acknowledged_is_lost";
    if context.filter.is_some_and(|text| !name.contains(text)) {
        return Ok(());
    }
    let dir = context.dir.join("powercut");
    match powercut::few(&dir) {
        Ok(()) => tally.passed(name),
        Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
        Err(stop) => tally.failed(name, &stop.reason, Some(&dir)),
    }
    Ok(())
}

fn one(name: &str, plan: &Plan<'_>, dir: &Path, tally: &mut Tally) -> Result<(), Stop> {
    let ran = match plan.boot(dir, &mut |_| ()) {
        Ok(ran) => ran,
        Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
        Err(stop) => {
            tally.failed(name, &stop.reason, Some(dir));
            return Ok(());
        }
    };
    match plan.job.verdict {
        Verdict::MustFail(sabotage) => match noticed(sabotage, &ran.broken) {
            Ok(()) => tally.passed(&format!("{name} fails as it must")),
            Err(why) => tally.failed(name, &why, Some(dir)),
        },
        Verdict::Passes => {
            if (plan.cpu, plan.smp) == machines(plan.job)[0] {
                named_tests(plan.job, &ran.broken, dir, tally);
            }
            match ran.broken.first() {
                None => tally.passed(name),
                Some(first) => tally.failed(name, &first.to_string(), Some(dir)),
            }
        }
    }
    Ok(())
}

/// The tests that the VMs of a job run, each by its name.
fn named_tests(job: &Job, broken: &[Broken], dir: &Path, tally: &mut Tally) {
    for name in job.tests.iter().copied().flatten() {
        let why = broken.iter().find_map(|broken| broken.of_test(name));
        let full = format!("qemu::{}::{name}", job.name);
        match why {
            None => tally.passed(&full),
            Some(why) => tally.failed(&full, why, Some(dir)),
        }
    }
}
