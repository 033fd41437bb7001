//! Owns the reading of what `cargo test` prints. Never trusts the exit status or the lines alone:
//! they must agree.

use super::tally::Tally;
use crate::outcome::{Stop, files};
use crate::process::{self, Step};
use std::path::Path;
use std::process::ExitStatus;

/// One test as its line tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Ignored,
}

/// Runs a `cargo test` whose output goes to `log`, and counts its tests as `part::program::test`.
pub(super) fn run(part: &str, step: Step, log: &Path, tally: &mut Tally) -> Result<(), Stop> {
    count(part, step.status(), log, tally)
}

/// Counts the tests of a `cargo test` that has run.
pub(super) fn count(
    part: &str,
    outcome: Result<ExitStatus, Stop>,
    log: &Path,
    tally: &mut Tally,
) -> Result<(), Stop> {
    let (count, failures) = (tally.count(), tally.failures());
    let text = String::from_utf8_lossy(&files::read(log)?).into_owned();
    for (name, outcome) in read(&text) {
        let name = format!("{part}::{name}");
        match outcome {
            Outcome::Passed => tally.passed(&name),
            Outcome::Failed => tally.failed(&name, "see the log", Some(log)),
            Outcome::Ignored => tally.skipped(&name, "marked as ignored"),
        }
    }
    let status = outcome?;
    let name = format!("{part}::cargo_test_itself");
    if !status.success() {
        process::show_tail(log);
        if tally.failures() == failures {
            tally.failed(&name, &process::why(status, log), Some(log));
        }
    } else if tally.count() == count {
        tally.failed(&name, "it ran no test", Some(log));
    }
    Ok(())
}

/// The tests in the output, each with the program that it belongs to.
fn read(text: &str) -> Vec<(String, Outcome)> {
    let mut program = String::from("unknown");
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Running ") {
            program = program_of(rest).unwrap_or(program);
        } else if let Some(rest) = line.strip_prefix("Doc-tests ") {
            program = format!("{rest}::doc");
        } else if let Some((name, outcome)) = test(line) {
            found.push((format!("{program}::{name}"), outcome));
        }
    }
    found
}

/// `unittests src/lib.rs (target/debug/deps/causeway_ffa-0123456789abcdef)`
fn program_of(rest: &str) -> Option<String> {
    let path = rest.rsplit_once('(')?.1.strip_suffix(')')?;
    let file = path.rsplit('/').next()?;
    Some(file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned())
}

fn test(line: &str) -> Option<(&str, Outcome)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match outcome.split([',', ' ']).next()? {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Ignored,
        _ => return None,
    };
    Some((name.trim_end_matches(" - should panic"), outcome))
}

#[cfg(test)]
mod tests {
    use super::{Outcome, read};

    #[test]
    fn tests_are_named_with_their_program() {
        let text = "   Compiling x\n     Running unittests src/lib.rs (/t/debug/deps/causeway_ffa-0123abcd)\n\n\
                    running 3 tests\ntest page::tests::a ... ok\ntest b - should panic ... FAILED\n\
                    test c ... ignored, needs a disk\n\ntest result: FAILED. 1 passed; 1 failed;\n\
                       Doc-tests causeway_abi\ntest abi/src/lib.rs - f (line 3) ... ok\n\
                    test name ... bench: 3 ns/iter\n";
        let found = read(text);
        let expected = [
            ("causeway_ffa::page::tests::a", Outcome::Passed),
            ("causeway_ffa::b", Outcome::Failed),
            ("causeway_ffa::c", Outcome::Ignored),
            ("causeway_abi::doc::abi/src/lib.rs - f (line 3)", Outcome::Passed),
        ];
        assert_eq!(found, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    }
}
