//! Holds the verdicts to what a reader of a result relies on.

use super::{Excuse, Ran, Row, Verdict, escaped, judge, junit, rows};
use causeway_conformance::{CASES, Weight};

const FACTS: &str = "# Facts\n\n### OPTEE-X\n\ntext\n";

fn suite(rows: Vec<Row>) -> String {
    junit(&[Ran { name: "optee", rows }])
}

fn excusable() -> &'static str {
    let found = CASES.iter().find(|case| case.weight == Weight::NamedLimit);
    found.expect("some can be excused").name
}

fn lines(failing: &str) -> Vec<String> {
    let mut lines: Vec<String> = CASES
        .iter()
        .map(|case| {
            let result = if case.name == failing { "fail" } else { "pass" };
            format!("[conf] CASE name={} result={result} ticks=7 step=1 status=Busy", case.name)
        })
        .collect();
    lines.push("[conf] END status=ok".to_owned());
    lines
}

#[test]
fn a_failure_counts_unless_a_named_limit_excuses_it() {
    let name = excusable();
    let excuses = Excuse::read(&format!("# a comment\n{name} OPTEE-X\n"), FACTS).expect("read");
    let excused = rows(&lines(name), &excuses).expect("rows");
    assert!(judge(&excused).is_ok());
    assert!(excused.iter().any(|row| row.verdict == Verdict::Excused("OPTEE-X".into())));
    let failed = rows(&lines(name), &[]).expect("rows");
    let stop = judge(&failed).expect_err("it counts");
    assert!(stop.reason.contains(name) && stop.exit.code() == 1);
}

#[test]
fn what_passes_in_spite_of_its_limit_fails_the_run() {
    let excuses = Excuse::read(&format!("{} OPTEE-X", excusable()), FACTS).expect("read");
    let rows = rows(&lines("none"), &excuses).expect("rows");
    assert!(judge(&rows).is_err());
}

#[test]
fn an_excuse_needs_a_case_that_may_be_excused_and_a_limit_that_has_a_name() {
    let never = CASES.iter().find(|case| case.weight == Weight::Never).expect("some").name;
    let read = |text: &str| Excuse::read(text, FACTS);
    assert!(read(&format!("{never} OPTEE-X")).expect_err("refused").contains("never excused"));
    assert!(read(&format!("{} OPTEE-Y", excusable())).expect_err("refused").contains("OPTEE-Y"));
    assert!(read("no/case OPTEE-X").is_err());
    assert!(read(excusable()).is_err());
}

#[test]
fn a_run_that_is_not_whole_gives_no_rows() {
    let mut cut = lines("none");
    cut.remove(0);
    assert!(rows(&cut, &[]).is_err());
    let mut twice = lines("none");
    twice.push(twice[0].clone());
    assert!(rows(&twice, &[]).is_err());
    let mut ended = lines("none");
    ended.pop();
    assert!(rows(&ended, &[]).is_err());
    let mut stopped = lines("none");
    stopped.push("[conf] PANIC x.rs:1 no".to_owned());
    assert!(rows(&stopped, &[]).is_err());
}

#[test]
fn the_excuses_that_are_kept_are_good() {
    let root = crate::paths::root();
    let read = |path| std::fs::read_to_string(root.join(path)).expect("a file");
    let list = Excuse::read(&read(super::super::OPTEE_EXPECTED), &read(super::super::FACTS));
    assert!(!list.expect("good").is_empty());
}

#[test]
fn every_clause_of_the_interface_that_a_case_cites_is_there() {
    let file = crate::paths::root().join("docs/hypercall-interface.md");
    let text = std::fs::read_to_string(file).expect("the interface");
    let cited = CASES.iter().flat_map(|case| case.clause.split("; "));
    let ours: Vec<&str> = cited.filter(|clause| clause.starts_with("HI-")).collect();
    assert!(ours.len() > 20);
    for clause in ours {
        assert!(text.contains(&format!("| {clause} |")), "{clause}");
    }
}

#[test]
fn the_xml_says_what_the_table_says() {
    let name = excusable();
    let excuses = Excuse::read(&format!("{name} OPTEE-X"), FACTS).expect("read");
    let (excused, failed) =
        (rows(&lines(name), &excuses).expect("rows"), rows(&lines(name), &[]).expect("rows"));
    let (xml, bad) = (suite(excused), suite(failed));
    assert!(xml.contains("failures=\"0\" skipped=\"1\"") && xml.contains("OPTEE-X"), "{xml}");
    assert!(bad.contains("failures=\"1\" skipped=\"0\"") && bad.contains("status=Busy"), "{bad}");
    assert_eq!(xml.matches("<testcase").count(), CASES.len());
    assert_eq!(escaped("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
}
