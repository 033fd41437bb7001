//! Holds the list of cases to what a reader of results relies on.

use super::CASES;
use crate::step::{Step, Weight};

#[test]
fn names_are_unique_and_say_group_and_claim() {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    assert!(names.iter().all(|name| name.split('/').count() == 2 && !name.contains(' ')));
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn every_case_cites_its_clause() {
    assert!(CASES.iter().all(|case| !case.clause.is_empty() && !case.steps.is_empty()));
}

#[test]
fn what_is_never_excused_covers_the_whole_way_of_a_grant() {
    let never = || CASES.iter().filter(|case| case.weight == Weight::Never);
    let has = |wanted: fn(&Step) -> bool| never().any(|case| case.steps.iter().any(wanted));
    assert!(has(|step| matches!(step, Step::Version(..))));
    assert!(has(|step| matches!(step, Step::Discover)));
    assert!(has(|step| matches!(step, Step::Send(..))));
    assert!(has(|step| matches!(step, Step::Reclaim(_))));
    assert!(has(|step| matches!(step, Step::ReclaimRefused(..))));
    assert!(has(|step| matches!(step, Step::MoveFile(_, _, bytes) if *bytes == 1 << 20)));
}
