//! Owns the Miri part: the cores' unit tests in the interpreter, and the wire formats once more as
//! a big-endian machine. Never runs what would take minutes there: the host part does.

use super::tally::Tally;
use super::{Context, libtest, log_name};
use crate::outcome::{Exit, Stop};
use crate::process::Step;
use crate::setup::rust;
use crate::{paths, pool, say};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_secs(2400);

/// One `cargo miri test`.
struct Lane {
    name: &'static str,
    package: &'static str,
    target: Option<&'static str>,
}

/// The longest first.
const LANES: [Lane; 6] = [
    Lane { name: "miri", package: "causeway-memshare", target: None },
    Lane { name: "miri", package: "causeway-ffa", target: None },
    Lane { name: "miri_big_endian", package: "causeway-ffa", target: Some(rust::BIG_ENDIAN) },
    Lane { name: "miri", package: "causeway-virtio", target: None },
    Lane { name: "miri_big_endian", package: "causeway-abi", target: Some(rust::BIG_ENDIAN) },
    Lane { name: "miri", package: "causeway-abi", target: None },
];

/// Random walks, walks over all states, tables filled to the brim, digests, calls of several
/// processors in every order, and manifests parsed whole: up to minutes each in the interpreter. The
/// host part runs them all.
const TOO_LONG: [&str; 11] = [
    "prop",
    "model",
    "explore",
    "full",
    "ledger",
    "no_flipped_byte",
    "seal::",
    "vcpus::",
    "policy::",
    "every_call_has_its_bound",
    "each_call_is_taken_from",
];

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    say::progress(&rust::miri()?);
    for target in [None, Some(rust::BIG_ENDIAN)] {
        prepare(context, target)?;
    }
    // Miri runs one thread at a time, so two of them share the machine.
    for (lane, outcome) in pool::work_on(&LANES, pool::CORES, |lane| lane.run(context)) {
        let name = format!("{}::{}", lane.name, lane.package);
        let log = lane.log(context);
        match libtest::count(lane.name, outcome, &log, tally) {
            Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
            Err(stop) => tally.failed(&name, &stop.reason, Some(&log)),
            Ok(()) => {}
        }
    }
    Ok(())
}

impl Lane {
    fn log(&self, context: &Context<'_>) -> PathBuf {
        log_name(context.dir, &format!("{} {}", self.name, self.package))
    }

    fn run(&self, context: &Context<'_>) -> Result<ExitStatus, Stop> {
        say::progress(&format!("{}: {}", self.name, self.package));
        miri(&format!("Miri of {}", self.package), &self.log(context))
            .args(["test", "--lib", "--no-fail-fast", "--package", self.package])
            .args(self.target.iter().flat_map(|target| ["--target", target]))
            .args(["--target-dir"])
            .args([paths::target().join("miri")])
            .args(["--"])
            .args(TOO_LONG.iter().flat_map(|name| ["--skip", name]))
            .env("CARGO_TERM_COLOR", "never")
            // The tests have one thread; the history of every atomic would cost most of the time.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-disable-weak-memory-emulation")
            .env("PROPTEST_CASES", "2")
            .limit(LIMIT)
            .status()
    }
}

/// Builds Miri's standard library once, so that the workers do not wait for each other.
fn prepare(context: &Context<'_>, target: Option<&str>) -> Result<(), Stop> {
    miri("cargo miri setup", &log_name(context.dir, "miri setup"))
        .args(["setup"])
        .args(target.iter().flat_map(|target| ["--target", target]))
        .limit(SETUP)
        .run()
}

fn miri(what: &str, log: &std::path::Path) -> Step {
    let mut step = Step::new(what, "rustup", log)
        .dir(&paths::root())
        .args(["run", "nightly", "cargo", "miri"]);
    for name in ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CARGO", "RUSTC", "RUSTFLAGS"] {
        step = step.without_env(name);
    }
    step
}
