//! Owns `cargo xtask mutants`: runs cargo-mutants on a copy of the tree and tells its counts. Never
//! part of a test run: it takes hours, and its survivors are judged by a person.

use crate::cli::MutantsArgs;
use crate::json::{self, Fields};
use crate::outcome::{Stop, files};
use crate::process::{self, Step};
use crate::setup::cargo_tools;
use crate::{paths, say};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Code that is there for tests: the walk, its laboratory and its fingerprints of states.
const TOOLS_OF_TESTS: [&str; 5] = [
    "memshare/src/explore.rs",
    "memshare/src/explore/**",
    "memshare/src/lab.rs",
    "memshare/src/lab/**",
    "memshare/src/broker/canonical.rs",
];
/// Of all changes that compile, at most one in so many may survive.
const ONE_IN: u64 = 20;

pub(crate) fn mutants(args: &MutantsArgs) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        cargo_tools::ready(cargo_tools::MUTANTS)?;
        let dir = paths::runs().join(paths::stamp("mutants"));
        files::make_dir(&dir)?;
        let log = dir.join("mutants.log");
        say::progress(&format!("this takes hours; logs are in {}", dir.display()));
        let status = step(args, &dir, &log).watch(&mut |line| say::progress(line))?;
        let counts = Counts::read(&dir.join("mutants.out"))?;
        counts.tell(fields);
        say::line(&counts.table());
        // Status 2: survivors, 3: tests without end; they are judged here, by their share.
        match status.code() {
            Some(0 | 2 | 3) => counts.verdict(),
            Some(_) | None => {
                process::show_tail(&log);
                Err(Stop::failed(format!("cargo mutants {}", process::why(status, &log))))
            }
        }
    })
}

fn step(args: &MutantsArgs, dir: &Path, log: &Path) -> Step {
    let mut step = Step::new("cargo mutants", "cargo", log)
        .dir(&paths::root())
        .args(["mutants", "--no-times", "--colors", "never", "--profile", "mutants"])
        // Whole seconds: on a loaded machine a test that takes 1 s may take 10.
        .args(["--minimum-test-timeout", "60", "--jobs", &args.jobs.to_string()])
        .args(["--output"])
        .args([dir])
        .env("PATH", cargo_tools::path())
        .env("CARGO_TERM_COLOR", "never")
        .without_env("CARGO_TARGET_DIR")
        .env("PROPTEST_CASES", "16")
        .limit(LIMIT);
    for package in &args.package {
        step = step.args(["--package", package]);
    }
    for file in &args.file {
        step = step.args(["--file", file]);
    }
    if let Some(shard) = &args.shard {
        // Taken in turn, so that a shard is a sample of all files.
        step = step.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    for tool in TOOLS_OF_TESTS {
        step = step.args(["--exclude", tool]);
    }
    // The walks over states take a minute each in this profile; who survives without them is tried
    // again with them by hand.
    step.args(["--", "--lib", "--tests", "--", "--skip", "explore::"])
}

/// How many changes ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    caught: Vec<String>,
    missed: Vec<String>,
    timeout: Vec<String>,
    unviable: Vec<String>,
}

impl Counts {
    fn read(dir: &Path) -> Result<Self, Stop> {
        let list = |name: &str| -> Result<Vec<String>, Stop> {
            let text = String::from_utf8_lossy(&files::read(&dir.join(name))?).into_owned();
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: list("caught.txt")?,
            missed: list("missed.txt")?,
            timeout: list("timeout.txt")?,
            unviable: list("unviable.txt")?,
        })
    }

    fn tell(&self, fields: &mut Fields) {
        for (name, list) in [
            ("caught", &self.caught),
            ("survivors", &self.missed),
            ("timeouts", &self.timeout),
            ("unviable", &self.unviable),
        ] {
            fields.insert(name.to_owned(), list.len().into());
        }
        fields.insert("survivor_list".to_owned(), self.missed.clone().into());
    }

    fn table(&self) -> String {
        let mut lines = vec![format!(
            "  {} caught, {} ended by the time limit, {} survived, {} did not compile",
            self.caught.len(),
            self.timeout.len(),
            self.missed.len(),
            self.unviable.len()
        )];
        lines.extend(self.missed.iter().map(|one| format!("  survived: {}", say::printable(one))));
        lines.join("\n")
    }

    fn verdict(&self) -> Result<(), Stop> {
        let count = |list: &[String]| u64::try_from(list.len()).unwrap_or(u64::MAX);
        let (missed, tried) =
            (count(&self.missed), count(&self.caught) + count(&self.timeout) + count(&self.missed));
        if tried == 0 {
            return Err(Stop::usage("no change was tried"));
        }
        if missed * ONE_IN <= tried {
            return Ok(());
        }
        Err(Stop::failed(format!(
            "{missed} of {tried} changes survived, more than one in {ONE_IN}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn counts(caught: usize, missed: usize) -> Counts {
        let list = |n| vec![String::from("src/a.rs:1:1: replace f with ()"); n];
        Counts { caught: list(caught), missed: list(missed), ..Counts::default() }
    }

    #[test]
    fn one_survivor_in_twenty_is_the_limit() {
        assert!(counts(19, 1).verdict().is_ok());
        assert!(counts(18, 1).verdict().is_err());
        assert!(counts(100, 0).verdict().is_ok());
    }

    #[test]
    fn nothing_tried_is_no_pass() {
        assert!(counts(0, 0).verdict().is_err());
    }
}
