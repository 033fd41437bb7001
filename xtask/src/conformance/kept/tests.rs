//! Holds the committed results to what a reader of the matrix relies on.

use super::{COLUMNS, Head, Kept, cell, folder, keep, results};
use crate::conformance::{Ran, verdict};
use crate::json::Fields;
use causeway_conformance::{CASES, Weight};

fn ran(failing: &str) -> Ran {
    let lines = CASES.iter().map(|case| {
        let result = if case.name == failing { "fail" } else { "pass" };
        format!("[conf] CASE name={} result={result}", case.name)
    });
    let lines: Vec<String> = lines.chain(["[conf] END status=ok".to_owned()]).collect();
    Ran { name: "el3", rows: verdict::rows(&lines, &[]).expect("rows") }
}

fn head(commit: &str) -> Head {
    Head { commit: commit.to_owned(), date: "2026-01-02".to_owned() }
}

#[test]
fn a_run_that_failed_replaces_no_result() {
    let dir = tempfile::tempdir().expect("a folder");
    let fields = Fields::from_iter([("tfa_version".to_owned(), "v2".into())]);
    keep(dir.path(), &head("first"), &ran(""), &fields).expect("kept");
    let before = std::fs::read(dir.path().join("el3.json")).expect("there");
    assert!(keep(dir.path(), &head("second"), &ran(CASES[3].name), &fields).is_err());
    assert_eq!(std::fs::read(dir.path().join("el3.json")).expect("there"), before);
    keep(dir.path(), &head("third"), &ran(""), &fields).expect("kept");
    let kept: Kept = results(dir.path()).expect("read").remove(0).expect("a result");
    assert_eq!((kept.commit.as_str(), kept.versions["tfa_version"].as_str()), ("third", "v2"));
    assert_eq!(
        (cell(&CASES[0], Some(&kept)), cell(&CASES[0], None)),
        ("pass".into(), "no result".into())
    );
}

#[test]
fn a_committed_result_has_date_versions_commit_and_no_excuse_for_what_is_never_excused() {
    for ((name, _), kept) in COLUMNS.iter().zip(results(&folder()).expect("read")) {
        let kept = kept.expect(name);
        assert_eq!(kept.played, name.starts_with("fake-"));
        assert!(
            kept.date.len() == 10 && kept.commit.len() >= 12 && !kept.versions.is_empty(),
            "{name}"
        );
        // A case may be newer than the result, and has the cell "no result" then; most are not.
        let known = |name: &str| kept.cases.iter().find(|found| found.name == name);
        let pairs = CASES.iter().filter_map(|case| Some((case, known(case.name)?)));
        assert!(pairs.clone().count() > CASES.len() / 2, "{name}: cargo xtask conformance --keep");
        for (case, found) in pairs {
            let allowed: &[&str] = match case.weight {
                Weight::Never => &["pass", "n/a"],
                Weight::NamedLimit => &["pass", "n/a", "excused"],
            };
            assert!(allowed.contains(&found.verdict.as_str()), "{name}: {found:?}");
        }
    }
}
