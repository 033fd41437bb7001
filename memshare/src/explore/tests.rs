//! Holds the walk to what it promises, on worlds that are small enough for a test run.

use super::*;
use std::boxed::Box;
use std::println;

/// Enough for the nearest states: all of them are for `cargo xtask explore`.
const NEAREST: usize = 400;

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
        let report = World::named(name).unwrap().walk(None, NEAREST);
        assert!(report.violations.is_empty(), "{name}: {:?}", report.violations.first());
        assert!(report.states >= NEAREST || report.complete, "{name}: {report:?}");
        if *name == "one-grant" {
            show(&report);
        }
    }
}

/// Those that show in another world only, or far away: `cargo xtask explore --defect all` finds
/// every one.
const ELSEWHERE: &[Defect] = &[
    Defect::OfferOutsideRam,
    Defect::OfferSender,
    Defect::OfferPermission,
    Defect::SealIgnored,
    Defect::SealForged,
    Defect::BusyIgnored,
    Defect::DonateUnsupported,
    Defect::DonateUnrecorded,
    Defect::DonateReturned,
    Defect::DonateForgotten,
    Defect::JoinForeign,
    Defect::JoinAnyNumber,
    Defect::JoinOutlives,
    Defect::CopyBackwards,
    Defect::CopyReadOnly,
    Defect::CopyOutside,
    Defect::CopyUncounted,
];

#[test]
#[cfg_attr(miri, ignore = "too many states for an interpreter")]
fn defects_are_found_near_the_start_of_the_smallest_world() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let world = World::one_grant();
    let near = Defect::ALL.iter().filter(|d| !ELSEWHERE.contains(d));
    let hidden: Vec<_> =
        near.filter(|d| world.walk(Some(**d), NEAREST).violations.is_empty()).collect();
    std::panic::set_hook(hook);
    assert!(hidden.is_empty(), "{hidden:?}");
}
