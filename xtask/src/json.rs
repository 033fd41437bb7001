//! Owns the JSON file that a command leaves: there from the start, complete in every case, with
//! `pass` and `reason`. Never decides whether the command passed.

use crate::outcome::{Stop, files};
use crate::paths;
use crate::run::result::RunResult;
use crate::say;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a command puts into its file beside `pass` and `reason`.
pub(crate) type Fields = Map<String, Value>;

/// Which names the file of a command that failed early still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All names of `run`, as null.
    Run,
    /// `pass` and `reason`.
    Plain,
}

/// Where the JSON file of this run goes, known even when the run itself never begins.
static NOTED: OnceLock<(PathBuf, Shape)> = OnceLock::new();

/// Notes the file, so that a failure from here on is written to it.
pub(crate) fn note(file: &Path, shape: Shape) {
    // The first one said counts; there is only one.
    drop(NOTED.set((file.to_path_buf(), shape)));
}

/// Writes a failure to the file that was noted, if one was.
pub(crate) fn write_failure(reason: &str) {
    let Some((file, shape)) = NOTED.get() else { return };
    let written = match shape {
        Shape::Run => RunResult::write_failure(file, reason),
        Shape::Plain => write(file, &mut Fields::new(), Some(reason)),
    };
    if let Err(stop) = written {
        say::stop(&stop);
    }
}

/// Notes the file that a command line names which could not be understood, unless another word of
/// the line names the same file: that one may be somebody's data.
pub(crate) fn note_from(args: &[OsString]) {
    let Some(file) = path_in(args, "--json") else { return };
    let values = args.iter().map(|arg| {
        let text = arg.to_string_lossy();
        let value = text.split_once('=').map(|(_, value)| value.to_owned());
        PathBuf::from(value.filter(|_| text.starts_with("--")).unwrap_or(text.into_owned()))
    });
    let same = values.filter(|value| *value == file || paths::is_same_file(value, &file)).count();
    if same == 1 {
        let is_run = args.get(1).is_some_and(|command| command == "run");
        note(&file, if is_run { Shape::Run } else { Shape::Plain });
    }
}

fn path_in(args: &[OsString], option: &str) -> Option<PathBuf> {
    args.iter().enumerate().find_map(|(index, arg)| match arg.to_str()?.strip_prefix(option)? {
        "" => args.get(index + 1).map(PathBuf::from),
        rest => rest.strip_prefix('=').map(PathBuf::from),
    })
}

/// Does a command's work; what it puts into the fields is in the file however it ends.
pub(crate) fn reported(
    file: Option<&Path>,
    work: impl FnOnce(&mut Fields) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut fields = Fields::new();
    let Some(file) = file else { return work(&mut fields) };
    // Written at once: a command that is killed leaves a file that says so, and a file that cannot
    // be written is told before the work.
    write(file, &mut Fields::new(), Some("it was ended before it could report"))
        .map_err(|stop| Stop::usage(format!("--json: {}", stop.reason)))?;
    note(file, Shape::Plain);
    let outcome = work(&mut fields);
    let reason = outcome.as_ref().err().map(|stop| stop.reason.as_str());
    let written = write(file, &mut fields, reason);
    outcome.and(written)
}

/// As [`reported`], for a command whose file is a list: that stands there once there is something in
/// it, until then `pass` and `reason`.
pub(crate) fn listed(
    file: Option<&Path>,
    work: impl FnOnce(&mut Vec<Value>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut list = Vec::new();
    let outcome = reported(file, |_| work(&mut list));
    match (file, list.is_empty()) {
        (Some(file), false) => {
            let written = write_value(file, &Value::Array(list));
            outcome.and(written)
        }
        (_, _) => outcome,
    }
}

fn write_value(file: &Path, value: &Value) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Stop::failed(format!("cannot write the JSON: {e}")))?;
    files::write(file, text + "\n")
}

fn write(file: &Path, fields: &mut Fields, reason: Option<&str>) -> Result<(), Stop> {
    fields.insert("pass".to_owned(), reason.is_none().into());
    fields.insert("reason".to_owned(), reason.unwrap_or("everything is as it must be").into());
    write_value(file, &Value::Object(fields.clone()))
}

#[cfg(test)]
mod tests {
    use super::{Fields, listed, path_in, reported};
    use crate::outcome::Stop;
    use serde_json::Value;
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    fn read(file: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(file).expect("read")).expect("JSON")
    }

    #[test]
    fn the_file_is_there_before_and_after_the_work() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("out.json");
        let work = |fields: &mut Fields| {
            assert_eq!(read(&file)["pass"], false);
            fields.insert("found".to_owned(), 3.into());
            Err(Stop::failed("three of them"))
        };
        assert!(reported(Some(&file), work).is_err());
        let json = read(&file);
        assert_eq!(json["found"], 3);
        assert_eq!(
            (json["pass"].as_bool(), json["reason"].as_str()),
            (Some(false), Some("three of them"))
        );
        assert!(reported(Some(&file), |_| Ok(())).is_ok());
        assert_eq!(read(&file)["pass"], true);
    }

    #[test]
    fn a_list_stands_in_the_file_however_the_work_ended_and_a_reason_where_there_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("out.json");
        let ended = listed(Some(&file), |list| {
            list.push(7.into());
            Err(Stop::failed("a goal"))
        });
        assert!(ended.is_err());
        assert_eq!(read(&file), serde_json::json!([7]));
        assert!(listed(Some(&file), |_| Err(Stop::failed("no boot"))).is_err());
        assert_eq!(read(&file)["reason"], "no boot");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_wrong_usage_before_the_work() {
        let work = |_: &mut Fields| -> Result<(), Stop> { panic!("it began") };
        let stop = reported(Some(Path::new("/nowhere/out.json")), work).expect_err("refused");
        assert_eq!(stop.exit, crate::outcome::Exit::Usage);
    }

    #[test]
    fn an_option_is_found_in_both_spellings() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let both = [line(&["x", "run", "--json", "a"]), line(&["x", "run", "--json=a"])];
        for args in both {
            assert_eq!(path_in(&args, "--json"), Some(PathBuf::from("a")));
        }
        assert_eq!(path_in(&line(&["x", "--jsonx=a", "--json"]), "--json"), None);
    }
}
