//! Owns the check of docs/regressions.md: each known bug of a peer has a test, and each test named
//! there was listed by this very run. Never runs a test itself.

use super::tally::Tally;
use crate::outcome::{Stop, files};
use crate::paths;
use std::collections::BTreeSet;

const FILE: &str = "docs/regressions.md";
/// The ids of the known bugs. A row of the table that has another one is a mistake.
const IDS: [&str; 29] = [
    "KB-01", "KB-02", "KB-03", "KB-04", "KB-05", "KB-06", "KB-07", "KB-08", "KB-09", "KB-10",
    "KB-11", "KB-12", "KB-13", "KB-14", "KB-15", "KB-16", "KB-17", "KB-18", "KB-19", "KB-20",
    "KB-21", "KB-22", "KB-23", "KB-24", "KB-25", "KB-26", "KB-27", "KB-28", "KB-29",
];

/// Whether all that could list a test has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every part ran.
    Everything,
    /// Some parts did not run, so that a test of theirs is no surprise.
    Part,
}

/// Holds the document against what has been listed so far.
pub(super) fn run(scope: Scope, tally: &mut Tally) -> Result<(), Stop> {
    let path = paths::root().join(FILE);
    let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
    let rows = rows(&text);
    let name = "regressions::every_known_bug_has_a_test";
    match without_test(&rows).as_slice() {
        [] => tally.passed(name),
        list => tally.failed(name, &list.join("; "), Some(&path)),
    }
    let name = "regressions::every_named_test_was_listed";
    let missing = unlisted(&rows, tally.ran());
    match (missing.as_slice(), scope) {
        ([], _) => tally.passed(name),
        (list, Scope::Everything) => tally.failed(name, &list.join("; "), Some(&path)),
        (list, Scope::Part) => {
            let why = format!("{} of the named tests belong to parts that did not run", list.len());
            tally.skipped(name, &why);
        }
    }
    Ok(())
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row<'a> {
    id: &'a str,
    tests: Vec<&'a str>,
}

/// The rows that begin with an id; what stands in backticks in the last column is a test.
fn rows(text: &str) -> Vec<Row<'_>> {
    let row = |line: &'_ str| -> Option<(usize, usize)> {
        let inner = line.trim().strip_prefix("| ")?.strip_suffix('|')?;
        inner.starts_with("KB-").then_some((inner.find('|')?, inner.rfind('|')?))
    };
    text.lines()
        .filter_map(|line| {
            let (first, last) = row(line)?;
            let inner = line.trim().strip_prefix("| ")?.strip_suffix('|')?;
            let tests = inner.get(last..)?.split('`').skip(1).step_by(2).collect();
            Some(Row { id: inner.get(..first)?.trim(), tests })
        })
        .collect()
}

/// What is wrong with the ids.
fn without_test(rows: &[Row<'_>]) -> Vec<String> {
    let mut wrong: Vec<String> = IDS
        .iter()
        .filter_map(|id| match rows.iter().filter(|row| row.id == *id).collect::<Vec<_>>()[..] {
            [] => Some(format!("{id} has no row")),
            [row] if row.tests.is_empty() => Some(format!("{id} has no test")),
            [_] => None,
            _ => Some(format!("{id} has two rows")),
        })
        .collect();
    let strange = rows.iter().filter(|row| !IDS.contains(&row.id));
    wrong.extend(strange.map(|row| format!("{} is no known bug", row.id)));
    wrong
}

/// The named tests that no part of the run has listed.
fn unlisted(rows: &[Row<'_>], ran: &[String]) -> Vec<String> {
    let mut known = BTreeSet::new();
    for name in ran {
        // A boot says on which machine; a test that fails on purpose says so.
        let name = name.split(" (").next().unwrap_or(name);
        known.insert(name);
        known.extend(name.match_indices("::").map(|(at, _)| &name[at + 2..]));
    }
    let mut missing: Vec<String> = rows
        .iter()
        .flat_map(|row| row.tests.iter().map(|test| (row.id, *test)))
        .filter(|(_, test)| !known.contains(test))
        .map(|(id, test)| format!("{id}: no run listed {test}"))
        .collect();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use super::{FILE, IDS, Row, rows, unlisted, without_test};
    use crate::paths;
    use crate::traceability::Tests;

    /// A whole document in which each id has the test of this name.
    fn document(test: &str) -> String {
        let rows = IDS.map(|id| format!("| {id} | what | `{test}`, and a word |"));
        format!("# T\n\n| id | what | tests |\n| --- | --- | --- |\n{}\n", rows.join("\n"))
    }

    fn ran(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_id_without_a_test_fails() {
        let good = document("a_claim");
        assert_eq!(without_test(&rows(&good)), Vec::<String>::new());
        let bare = good.replace("| KB-21 | what | `a_claim`, and a word |", "| KB-21 | w | none |");
        assert_eq!(without_test(&rows(&bare)), ["KB-21 has no test"]);
        let gone = good.replace("| KB-07 |", "| KB-7 |");
        assert_eq!(without_test(&rows(&gone)), ["KB-07 has no row", "KB-7 is no known bug"]);
        let twice = good.replace("| KB-02 |", "| KB-01 |");
        assert_eq!(without_test(&rows(&twice)), ["KB-01 has two rows", "KB-02 has no row"]);
        assert_eq!(without_test(&rows("")).len(), IDS.len());
    }

    #[test]
    fn a_named_test_that_no_run_listed_fails() {
        let text = document("a_claim");
        let rows = rows(&text);
        assert!(unlisted(&rows, &ran(&["host::causeway_ffa::page::tests::a_claim"])).is_empty());
        let others = ran(&["host::x::a_claim_too", "host::x::not_a_claim", "host::a_claim::x"]);
        assert_eq!(unlisted(&rows, &others).len(), IDS.len());
        assert_eq!(unlisted(&rows, &[])[0], "KB-01: no run listed a_claim");
    }

    #[test]
    fn boots_their_tests_and_fuzz_targets_are_named_as_they_are_listed() {
        let names =
            ran(&["qemu::two_cores (max, 4 cores)", "qemu::lock::lock/x_y", "fuzz::broker"]);
        let row = |test| [Row { id: "KB-01", tests: vec![test] }];
        for test in ["two_cores", "qemu::two_cores", "lock/x_y", "fuzz::broker"] {
            assert!(unlisted(&row(test), &names).is_empty(), "{test}");
        }
        for test in ["cores", "x_y", "two_cores (max", ""] {
            assert!(!unlisted(&row(test), &names).is_empty(), "{test}");
        }
    }

    #[test]
    fn only_the_last_column_names_tests() {
        let text = "| KB-01 | a `sp` | in `b` | `c` and `d` |\n| id | KB-02 | `e` |\nKB-03 `f`\n";
        assert_eq!(rows(text), [Row { id: "KB-01", tests: vec!["c", "d"] }]);
    }

    /// The same on the real document, as far as it can be told without a run: it fails at once, not
    /// after twenty minutes.
    #[test]
    fn the_document_names_every_known_bug_and_tests_that_are_in_the_tree() {
        let text = std::fs::read_to_string(paths::root().join(FILE)).expect("read");
        let rows = rows(&text);
        assert_eq!(without_test(&rows), Vec::<String>::new());
        let known = Tests::of(&paths::root()).expect("the tree");
        for test in rows.iter().flat_map(|row| &row.tests) {
            let is_of_a_part = test.starts_with("explore::");
            assert!(is_of_a_part || known.find(test).is_some(), "{test}");
        }
    }
}
