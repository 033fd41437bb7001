//! Holds the last column of docs/error-precedence.md to the table of jobs: each row that a VM can break
//! is broken on the target, by a test that is expected there; each other row says why not.

use causeway_abi::Status;
use causeway_guests::cases::{CASES, Layer};
use causeway_guests::jobs::is_expected;

const DOCUMENT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/error-precedence.md"));

/// The name of the column.
const TARGET: &str = "on the target";
/// Sections whose rows are told elsewhere.
const ELSEWHERE: [&str; 1] = ["The security services"];

struct Row<'a> {
    line: &'a str,
    section: &'a str,
    statuses: Vec<&'a str>,
    /// The last column; `None` in a table without it.
    target: Option<&'a str>,
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn rows() -> Vec<Row<'static>> {
    let (mut section, mut columns, mut rows) = ("", Vec::new(), Vec::new());
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (section, columns) = (title, Vec::new());
            continue;
        }
        let Some(inner) = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<_> = inner.split('|').map(str::trim).collect();
        if columns.is_empty() {
            columns = cells;
        } else if !cells.iter().all(|cell| cell.starts_with("---")) {
            assert_eq!(cells.len(), columns.len(), "{line}");
            let cell = |name| columns.iter().position(|column| *column == name).map(|at| cells[at]);
            let statuses = quoted(cell("status").unwrap_or_default());
            rows.push(Row { line, section, statuses, target: cell(TARGET) });
        }
    }
    rows
}

#[test]
fn every_refusal_is_met_on_the_target_or_says_why_not() {
    let rows = rows();
    assert!(rows.len() > 70, "{} rows", rows.len());
    for row in rows.iter().filter(|row| !ELSEWHERE.contains(&row.section)) {
        let target = row.target.unwrap_or_else(|| panic!("no column: {}", row.line));
        if let Some(reason) = target.strip_prefix("no: ") {
            assert!(reason.len() > 20, "why not? {}", row.line);
            continue;
        }
        // A note may name a status that is met nowhere.
        let names: Vec<_> = quoted(target).into_iter().filter(|name| name.contains('/')).collect();
        assert!(!names.is_empty(), "no test: {}", row.line);
        for name in names {
            assert!(is_expected(name), "no job expects {name}");
            let Some(case) = CASES.iter().find(|case| case.name == name) else { continue };
            let by_partition = [case.checked, case.raw]
                .into_iter()
                .filter(|met| met.layer == Layer::Partition && row.statuses.contains(&met.status));
            assert!(by_partition.count() > 0, "{name} meets another status: {}", row.line);
        }
    }
}

#[test]
fn every_status_of_the_interface_has_a_row() {
    let rows = rows();
    for status in Status::ALL.iter().filter(|status| **status != Status::Ok) {
        let told = rows.iter().any(|row| row.statuses.contains(&status.name()));
        assert!(told, "no row gives {status:?}");
    }
    for name in rows.iter().flat_map(|row| &row.statuses) {
        assert!(Status::ALL.iter().any(|status| status.name() == *name), "{name} is no status");
    }
}

/// What is broken on the target by the hostile VM is told: no case with a status of the partition is
/// left out of the document.
#[test]
fn every_case_that_the_partition_refuses_is_in_a_row() {
    let rows = rows();
    let named = |name: &str| {
        rows.iter().filter_map(|row| row.target).any(|cell| quoted(cell).contains(&name))
    };
    // The same rule as another case, reached by another way.
    const AGAIN: [&str; 4] = [
        "hostile_args/spoofed_sender_message",
        "hostile_args/spoofed_hypervisor_message",
        "hostile_args/sender_is_borrower",
        "hostile_args/unknown_borrower",
    ];
    for case in CASES {
        let refused = [case.checked, case.raw].iter().any(|met| met.layer == Layer::Partition);
        if refused && !AGAIN.contains(&case.name) {
            assert!(named(case.name), "{} is in no row", case.name);
        }
    }
}
