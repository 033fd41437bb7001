//! Owns the tests of `cargo xtask explore` as a user meets it: what is forwarded, exit statuses, last
//! line, JSON. Never walks: a script stands in for cargo, and another for the walk that it builds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

struct Seen {
    code: Option<i32>,
    stdout: String,
    last: String,
    stderr: String,
    json: serde_json::Value,
    arguments: String,
}

fn script(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(file, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("made executable");
}

/// Runs explore where the walk writes `json` (if any) and ends with `code`.
fn explore(json: Option<&str>, code: u8, more: &[&str]) -> Seen {
    let dir = tempfile::tempdir().expect("a folder");
    let target = dir.path().join("target");
    script(&dir.path().join("bin/cargo"), "exit 0");
    let write = json.map_or(String::new(), |json| format!("echo '{json}' >\"$2\""));
    let walk = format!("echo \"$*\" >\"$0.arguments\"\necho a line >&2\n{write}\nexit {code}");
    script(&target.join("walk/examples/explore"), &walk);
    let path = format!("{}:/usr/bin:/bin", dir.path().join("bin").display());
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(dir.path())
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", &target)
        .args(["explore", "--json", "out.json"])
        .args(more)
        .output()
        .expect("started");
    let text = |name: &Path| fs::read_to_string(name).unwrap_or_default();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Seen {
        code: output.status.code(),
        last: stdout.lines().last().unwrap_or_default().to_owned(),
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        json: serde_json::from_str(&text(&dir.path().join("out.json"))).expect("JSON"),
        arguments: text(&target.join("walk/examples/explore.arguments")),
    }
}

const GOOD: &str = r#"{"pass":true,"reason":"","states":7,"runs":[
    {"name":"w","states":7,"transitions":9,"complete":true,"depth":3,"violations":[],"per_event":{}}]}"#;
const BAD: &str = r#"{"pass":false,"reason":"I1: twice after 2 steps","states":7,"runs":[
    {"name":"w","states":7,"complete":true,"violations":[{"what":"I1: twice","trace":["Share","Offer"]}]}]}"#;

#[test]
fn a_walk_that_passes_is_told_with_its_counts() {
    let seen = explore(Some(GOOD), 0, &[]);
    assert_eq!((seen.code, seen.last.as_str()), (Some(0), "PASS"), "{}", seen.stderr);
    assert_eq!(
        (seen.json["pass"].as_bool(), seen.json["runs"][0]["states"].as_u64()),
        (Some(true), Some(7))
    );
    assert!(seen.stdout.contains("complete") && seen.stderr.contains("a line"), "{}", seen.stdout);
}

#[test]
fn a_violation_is_a_failure_with_its_trace() {
    let seen = explore(Some(BAD), 1, &[]);
    assert_eq!((seen.code, seen.last.as_str()), (Some(1), "FAIL: I1: twice after 2 steps"));
    assert!(seen.stdout.contains(" 2. Offer"), "{}", seen.stdout);
    assert_eq!(seen.json["runs"][0]["violations"][0]["trace"][0], "Share");
}

#[test]
fn a_walk_that_says_nothing_or_contradicts_itself_is_no_pass() {
    for (json, code) in
        [(None, 0), (Some(GOOD), 1), (Some(BAD), 0), (Some("{}"), 0), (Some("x"), 0)]
    {
        let seen = explore(json, code, &[]);
        assert_eq!(seen.code, Some(1), "{json:?}: {}", seen.stdout);
        assert_eq!(seen.json["pass"], false);
    }
}

#[test]
fn names_are_forwarded_and_an_unknown_one_is_wrong_usage() {
    let seen = explore(Some(GOOD), 0, &["--world", "w", "--states", "12"]);
    assert!(seen.arguments.contains("--world w --states 12"), "{}", seen.arguments);
    let seen = explore(None, 2, &["--defect", "toaster"]);
    assert!(seen.arguments.contains("--defect toaster"), "{}", seen.arguments);
    assert_eq!((seen.code, seen.last.as_str()), (Some(2), "FAIL: a line"));
    assert_eq!(seen.json["pass"], false);
}
