//! Owns the Miri part: the cores' unit tests in the interpreter, and the wire formats once more as
//! a big-endian machine. Never runs the property tests: they would take hours there.

use super::tally::Tally;
use super::{Context, libtest, log_name};
use crate::outcome::Stop;
use crate::process::Step;
use crate::setup::rust;
use crate::{paths, say};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(900);
const CORES: [&str; 4] = ["causeway-ffa", "causeway-abi", "causeway-memshare", "causeway-virtio"];
const WIRE: [&str; 2] = ["causeway-ffa", "causeway-abi"];

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    say::progress(&rust::miri()?);
    part("miri", &CORES, &[], context, tally)?;
    part("miri_big_endian", &WIRE, &["--target", rust::BIG_ENDIAN], context, tally)
}

fn part(
    name: &str,
    packages: &[&str],
    more: &[&str],
    context: &Context<'_>,
    tally: &mut Tally,
) -> Result<(), Stop> {
    let log = log_name(context.dir, name);
    let mut step = Step::new("the tests under Miri", "rustup", &log)
        .dir(&paths::root())
        .limit(LIMIT)
        .args(["run", "nightly", "cargo", "miri", "test", "--lib", "--no-fail-fast"])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(more)
        .args(["--target-dir"])
        .args([paths::target().join("miri")])
        .args(["--", "--skip", "prop"])
        .env("CARGO_TERM_COLOR", "never")
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "2");
    for name in ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CARGO", "RUSTC", "RUSTFLAGS"] {
        step = step.without_env(name);
    }
    libtest::run(name, step, &log, tally)
}
