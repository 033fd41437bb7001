//! Owns the part of the walk: each world and each named defect is a test. Never walks itself.

use super::Context;
use super::tally::Tally;
use crate::cli::ExploreArgs;
use crate::explore::{self, Walked, list, text};
use crate::outcome::Stop;
use crate::{interrupt, pool, say};
use serde_json::Value;

/// What all worlds together must come to.
const STATES: u64 = 1_000_000;

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let program = explore::build(context.dir)?;
    let both: [(&str, Option<&str>); 2] = [("walk", None), ("walk-defects", Some("all"))];
    let walked = pool::work_on(&both, pool::CORES, |(name, defect)| {
        let args = ExploreArgs { defect: defect.map(str::to_owned), ..ExploreArgs::default() };
        explore::walk(&program, &args, context.dir, name)
    });
    interrupt::check()?;
    for ((name, _), outcome) in walked {
        say::progress(&format!("--- {name}"));
        let log = context.dir.join(format!("{name}.log"));
        match outcome {
            Err(stop) => tally.failed(&format!("explore::{name}"), &stop.reason, Some(&log)),
            Ok(walked) => {
                for (name, why) in judged(&walked) {
                    match why {
                        None => tally.passed(&name),
                        Some(why) => tally.failed(&name, &why, Some(&log)),
                    }
                }
            }
        }
    }
    Ok(())
}

/// The tests of a walk, each with what is wrong with it.
fn judged(walked: &Walked) -> Vec<(String, Option<String>)> {
    let mut tests = Vec::new();
    for run in list(&walked.found, "runs") {
        let name = format!("explore::world::{}", text(run.get("name")));
        let first = run.get("violations").and_then(Value::as_array).and_then(|list| list.first());
        let complete = run.get("complete").and_then(Value::as_bool) == Some(true);
        let why = match (first, complete) {
            (Some(first), _) => Some(text(first.get("what"))),
            (None, false) => Some("it is not complete".to_owned()),
            (None, true) => None,
        };
        tests.push((name, why));
    }
    for defect in list(&walked.found, "defects") {
        let found = defect.get("found").and_then(Value::as_bool) == Some(true);
        let name = format!("explore::defect::{}_is_found", text(defect.get("defect")));
        tests.push((name, (!found).then(|| "no world shows it".to_owned())));
    }
    if let Some(states) = walked.found.get("states").and_then(Value::as_u64) {
        let few = (states < STATES).then(|| format!("{states} states"));
        tests.push(("explore::a_million_states".to_owned(), few));
        let missing = list(&walked.found, "missing").first().map(|one| text(Some(one)));
        tests.push(("explore::every_event_and_refusal_at_least_once".to_owned(), missing));
    }
    let whole = walked.verdict().err().map(|stop| stop.reason);
    let all_is_well = tests.iter().all(|(_, why)| why.is_none());
    if tests.is_empty() || all_is_well && whole.is_some() {
        let why = whole.unwrap_or_else(|| "it walked nothing".to_owned());
        tests.push(("explore::the_walk_itself".to_owned(), Some(why)));
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::judged;
    use crate::explore::Walked;
    use serde_json::json;

    fn broken(found: &serde_json::Value, code: i32) -> Vec<String> {
        let walked = Walked::new(found.as_object().expect("an object").clone(), Some(code));
        judged(&walked).into_iter().filter(|(_, why)| why.is_some()).map(|(name, _)| name).collect()
    }

    #[test]
    fn each_way_to_fail_fails_a_test() {
        let good = json!({"pass": true, "states": 1_000_000, "missing": [],
            "runs": [{"name": "w", "complete": true, "violations": []}]});
        assert!(broken(&good, 0).is_empty());
        assert_eq!(broken(&good, 1), ["explore::the_walk_itself"]);
        let few = json!({"pass": true, "states": 999_999, "missing": ["offer: ok"], "runs": [
            {"name": "w", "complete": false, "violations": []},
            {"name": "v", "complete": true, "violations": [{"what": "I1"}]}]});
        let expected = [
            "explore::world::w",
            "explore::world::v",
            "explore::a_million_states",
            "explore::every_event_and_refusal_at_least_once",
        ];
        assert_eq!(broken(&few, 0), expected);
        let hidden = json!({"pass": false, "defects": [{"defect": "d", "found": false}]});
        assert_eq!(broken(&hidden, 1), ["explore::defect::d_is_found"]);
        assert_eq!(broken(&json!({}), 0), ["explore::the_walk_itself"]);
    }
}
