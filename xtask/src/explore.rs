//! Owns `cargo xtask explore`: builds the walk over all states, runs it, tells what it found. Never
//! walks itself: memshare's example does, and its JSON file is the truth.

mod diagram;

use crate::cli::ExploreArgs;
use crate::json::{self, Fields};
use crate::outcome::{Exit, Stop, files};
use crate::process::{self, Step};
use crate::{paths, say};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUILD: Duration = Duration::from_secs(900);
const WALK: Duration = Duration::from_secs(3600);
/// With unwinding, a panic of the broker becomes a violation with its trace.
const PROFILE: &str = "walk";

/// Runs the walk for a person; the JSON file is written whatever happens.
pub(crate) fn explore(args: &ExploreArgs) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        let dir = paths::runs().join(paths::stamp("explore"));
        let program = build(&dir)?;
        let walked = walk(&program, args, &dir, "walk")?;
        for line in table(&walked.found) {
            say::line(&line);
        }
        fields.extend(walked.found.clone());
        walked.verdict()?;
        diagram::hold(&walked.found, args.write)
    })
}

/// Builds the program that walks.
pub(crate) fn build(dir: &Path) -> Result<PathBuf, Stop> {
    say::progress("building the walk");
    let target = paths::target();
    Step::new("the build of the walk", "cargo", &dir.join("build-explore.log"))
        .dir(&paths::root())
        .args([
            "build",
            "--profile",
            PROFILE,
            "--package",
            "causeway-memshare",
            "--features",
            "explore",
        ])
        .args(["--example", "explore", "--target-dir"])
        .args([&target])
        // Tables as small as the worlds: memshare/src/policy.rs.
        .env("RUSTFLAGS", "--cfg walk")
        .env("CARGO_TERM_COLOR", "never")
        .limit(BUILD)
        .run()?;
    Ok(target.join(PROFILE).join("examples/explore"))
}

/// What a walk left behind.
pub(crate) struct Walked {
    /// Its JSON file.
    pub(crate) found: Fields,
    code: Option<i32>,
}

/// Runs the walk; its lines are progress.
pub(crate) fn walk(
    program: &Path,
    args: &ExploreArgs,
    dir: &Path,
    name: &str,
) -> Result<Walked, Stop> {
    let file = dir.join(format!("{name}.json"));
    let log = dir.join(format!("{name}.log"));
    let mut step = Step::new("the walk", program, &log)
        .dir(&paths::root())
        .stdout_to(&dir.join(format!("{name}.out")))
        .args(["--json"])
        .args([&file])
        .limit(WALK);
    if let Some(defect) = &args.defect {
        step = step.args(["--defect", defect]);
    }
    if let Some(world) = &args.world {
        step = step.args(["--world", world]);
    }
    if let Some(states) = args.states {
        step = step.args(["--states", &states.to_string()]);
    }
    let mut last = String::new();
    let status = step.watch(&mut |line| {
        say::progress(line);
        last = line.to_owned();
    })?;
    if status.code() == Some(2) {
        return Err(Stop::usage(say::printable(&last)));
    }
    if !file.is_file() {
        process::show_tail(&log);
        return Err(Stop::failed(format!("the walk {}", process::why(status, &log))));
    }
    let found: Fields = serde_json::from_slice(&files::read(&file)?)
        .map_err(|e| Stop::failed(format!("{} is no JSON: {e}", file.display())))?;
    Ok(Walked::new(found, status.code()))
}

impl Walked {
    /// What a file said, and the exit status.
    pub(crate) fn new(found: Fields, code: Option<i32>) -> Self {
        Self { found, code }
    }

    /// Passed only if file and exit status agree, and something was walked.
    pub(crate) fn verdict(&self) -> Result<(), Stop> {
        let pass = self.found.get("pass").and_then(Value::as_bool) == Some(true);
        let some = ["runs", "defects"].iter().any(|name| !list(&self.found, name).is_empty());
        match (pass, self.code == Some(0), some) {
            (true, true, true) => Ok(()),
            (true, true, false) => Err(Stop::usage("no world of that name was walked")),
            (false, _, _) | (_, false, _) => {
                let reason = text(self.found.get("reason"));
                let reason = if reason.is_empty() { "the walk failed".to_owned() } else { reason };
                Err(Stop { exit: Exit::Failed, reason: say::printable(&reason), mend: None })
            }
        }
    }
}

/// A list of the file; empty where there is none.
pub(crate) fn list<'a>(found: &'a Fields, name: &str) -> &'a [Value] {
    found.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text of the file; empty where there is none.
pub(crate) fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What a person reads: a row for each world or defect, and the steps to each violation.
fn table(found: &Fields) -> Vec<String> {
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut lines = Vec::new();
    for run in list(found, "runs") {
        let complete = run.get("complete").and_then(Value::as_bool) == Some(true);
        lines.push(format!(
            "  {:<14} {:>9} states {:>11} transitions, depth {:>2}, {}, {} violations",
            text(run.get("name")),
            number(run, "states"),
            number(run, "transitions"),
            number(run, "depth"),
            if complete { "complete" } else { "NOT COMPLETE" },
            run.get("violations").and_then(Value::as_array).map_or(0, Vec::len),
        ));
        for violation in run.get("violations").and_then(Value::as_array).into_iter().flatten() {
            lines.extend(trace(violation));
        }
    }
    let defects = list(found, "defects");
    for defect in defects {
        let what = text(defect.get("violation").and_then(|v| v.get("what")));
        let is_found = defect.get("found").and_then(Value::as_bool) == Some(true);
        let said = if is_found { what } else { "NOT FOUND".to_owned() };
        let name = text(defect.get("defect"));
        lines.push(format!("  {name:<24} {:<14} {said}", text(defect.get("run"))));
        if defects.len() == 1 {
            lines.extend(defect.get("violation").into_iter().flat_map(trace));
        }
    }
    if let Some(states) = found.get("states").and_then(Value::as_u64) {
        lines.push(format!("  {states} states in all"));
    }
    lines.extend(list(found, "missing").iter().map(|m| format!("  never seen: {}", text(Some(m)))));
    lines.iter().map(|line| say::printable(line)).collect()
}

fn trace(violation: &Value) -> Vec<String> {
    let steps = violation.get("trace").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut lines = vec![format!("    {} after:", text(violation.get("what")))];
    lines.extend((1..).zip(steps).map(|(n, step)| format!("      {n:>2}. {}", text(Some(step)))));
    lines
}

#[cfg(test)]
mod tests {
    use super::{Walked, table};
    use serde_json::{Value, json};

    fn walked(found: &Value, code: i32) -> Walked {
        Walked::new(found.as_object().expect("an object").clone(), Some(code))
    }

    #[test]
    fn nothing_walked_is_no_pass() {
        let stop = walked(&json!({"pass": true, "runs": []}), 0).verdict().expect_err("refused");
        assert_eq!(stop.exit, crate::outcome::Exit::Usage);
    }

    #[test]
    fn file_and_exit_status_must_agree() {
        let good = json!({"pass": true, "reason": "", "runs": [{}]});
        assert!(walked(&good, 0).verdict().is_ok());
        assert!(walked(&good, 1).verdict().is_err());
        let bad = json!({"pass": false, "reason": "I2 after 3 steps", "runs": [{}]});
        assert_eq!(walked(&bad, 0).verdict().expect_err("refused").reason, "I2 after 3 steps");
    }

    #[test]
    fn a_violation_is_shown_with_its_steps() {
        let found = json!({"runs": [{"name": "w", "states": 5, "complete": false, "violations":
            [{"what": "I1 a page twice", "trace": ["Share", "Offer"]}]}]});
        let lines = table(&walked(&found, 1).found).join("\n");
        for words in ["NOT COMPLETE", "1 violations", "I1 a page twice", " 1. Share", " 2. Offer"] {
            assert!(lines.contains(words), "{words}: {lines}");
        }
    }
}
