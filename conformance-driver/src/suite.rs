//! Owns the order of a run and its lines. Never sends anything by itself.

use crate::arch::{Bare, now, say};
use causeway_conformance::{CASES, Done, Hypervisor, World, run};

/// Runs every case.
pub(crate) fn run_all() {
    let Some(mut world) = Hypervisor::connect(Bare) else {
        say(format_args!("END status=no_partition"));
        return;
    };
    say(format_args!(
        "SPMC version={:#x} parts={}",
        world.spmc_version(),
        u8::from(world.speaks_in_parts())
    ));
    for case in CASES {
        let begin = now();
        let result = run(case, &mut world);
        let ticks = now() - begin;
        match result {
            Ok(done) => {
                let word = match done {
                    Done::Passed => "pass",
                    Done::NotApplicable => "not_applicable",
                };
                say(format_args!("CASE name={} result={word} ticks={ticks}", case.name));
            }
            Err(failure) => {
                say(format_args!("CASE name={} result=fail ticks={ticks} {failure}", case.name));
            }
        }
    }
    say(format_args!("END status=ok"));
}
