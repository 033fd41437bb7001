//! Owns the host part: format, lints, unit tests. Never needs QEMU or the firmware.

use super::tally::Tally;
use super::{Context, libtest, log_name};
use crate::outcome::{Exit, Stop};
use crate::paths;
use crate::process::Step;
use crate::setup::rust;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1800);
const BARE: [&str; 6] =
    ["--package", "causeway-sp", "--package", "causeway-monitor", "--package", "causeway-guests"];

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let target = paths::target().display().to_string();
    let target = ["--target-dir", target.as_str()];
    let deny = ["--", "-D", "warnings"];
    let bare = ["clippy", "--target", rust::BARE_METAL];
    let ready =
        rust::component("rustfmt", "fmt").and_then(|()| rust::component("clippy", "clippy"));
    check(context, tally, "host::fmt", ready.clone(), &["fmt", "--all", "--check"])?;
    let args = ["clippy", "--workspace", "--all-targets"];
    check(context, tally, "host::clippy", ready.clone(), &[&args[..], &target, &deny].concat())?;
    let ready = ready.and_then(|()| rust::target(rust::BARE_METAL));
    let args = [&bare[..], &BARE, &target, &deny].concat();
    check(context, tally, "host::clippy_bare_metal", ready.clone(), &args)?;
    let raw = ["--package", "causeway-monitor", "--features", "raw"];
    let args = [&bare[..], &raw, &target, &deny].concat();
    check(context, tally, "host::clippy_bare_metal_raw", ready, &args)?;
    let log = log_name(context.dir, "host-tests");
    let step =
        cargo("the host tests", &log).args(["test", "--workspace", "--no-fail-fast"]).args(target);
    libtest::run("host", step, &log, tally)
}

fn cargo(what: &str, log: &std::path::Path) -> Step {
    Step::new(what, "cargo", log).dir(&paths::root()).limit(LIMIT).env("CARGO_TERM_COLOR", "never")
}

/// One cargo command that must succeed; skipped where its tool is missing.
fn check(
    context: &Context<'_>,
    tally: &mut Tally,
    name: &str,
    ready: Result<(), Stop>,
    args: &[&str],
) -> Result<(), Stop> {
    let log = log_name(context.dir, name);
    match ready.and_then(|()| cargo(name, &log).args(args).run()) {
        Ok(()) => tally.passed(name),
        Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
        Err(stop) if stop.exit == Exit::Missing => tally.skipped(name, &stop.reason),
        Err(stop) => tally.failed(name, &stop.reason, Some(&log)),
    }
    Ok(())
}
