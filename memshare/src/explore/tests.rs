//! Holds the walk to what it promises, on worlds that are small enough for a test run.

use super::*;
use std::boxed::Box;
use std::println;

/// Enough for the nearest states: all of them are for `cargo xtask explore`.
const NEAREST: usize = if cfg!(miri) { 40 } else { 400 };

fn show(report: &Report) {
    for (event, count) in &report.per_event {
        println!("{event}: {count}");
    }
    println!("{} states, {} steps, depth {}", report.states, report.transitions, report.depth);
}

#[test]
#[cfg_attr(miri, ignore = "too many states for an interpreter")]
fn a_walk_over_the_nearest_states_of_every_world_breaks_no_invariant() {
    for name in WORLDS {
        let report = World::named(name).unwrap().walk(None, NEAREST / 4);
        assert!(report.violations.is_empty(), "{name}: {:?}", report.violations.first());
        assert!(report.states >= NEAREST / 4 || report.complete, "{name}: {report:?}");
        if *name == "one-grant" {
            show(&report);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too many states for an interpreter")]
fn every_defect_is_found_near_the_start_of_a_world() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let hidden: Vec<_> = Defect::ALL
        .iter()
        .map(|d| (d.name(), World::named(d.shown_in()).unwrap().walk(Some(*d), NEAREST)))
        .filter(|(_, report)| report.violations.is_empty())
        .map(|(name, report)| (name, report.name))
        .collect();
    std::panic::set_hook(hook);
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn a_violation_is_of_the_invariant_that_the_defect_is_said_to_break() {
    for defect in [Defect::CopyUncounted, Defect::JoinAnyNumber] {
        let report = World::joined().walk(Some(defect), NEAREST);
        let what = &report.violations.first().unwrap().what;
        assert!(what.starts_with(defect.breaks()), "{}: {what}", defect.name());
    }
}
