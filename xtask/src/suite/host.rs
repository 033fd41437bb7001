//! Owns the host part: format, lints, documentation, what the libraries cost, unit tests. Never needs QEMU or the firmware.

use super::tally::Tally;
use super::{Context, cost, libtest, log_name};
use crate::outcome::{Exit, Stop};
use crate::paths;
use crate::process::Step;
use crate::setup::{Consent, rust};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1800);
/// The bare-metal programs, one by one: together their entry crates would get each other's features.
const BARE: [(&str, &[&str]); 6] = [
    ("sp", &["--package", "causeway-sp"]),
    ("sp_el0", &["--package", "causeway-sp-el0", "--features", "minimal"]),
    ("conformance_driver", &["--package", "causeway-conformance-driver"]),
    ("monitor", &["--package", "causeway-monitor"]),
    ("monitor_raw", &["--package", "causeway-monitor", "--features", "raw"]),
    ("guests", &["--package", "causeway-guests"]),
];

/// The documentation of the libraries, with every feature.
const DOC: [&str; 3] = ["doc", "--no-deps", "--all-features"];
const DOCUMENTED: [&str; 9] = [
    "causeway-abi",
    "causeway-client",
    "causeway-fake-spmc",
    "causeway-ffa",
    "causeway-irq",
    "causeway-memshare",
    "causeway-service",
    "causeway-vault",
    "causeway-virtio",
];

pub(super) fn run(context: &Context<'_>, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    let target = paths::target().display().to_string();
    let target = ["--target-dir", target.as_str()];
    let deny = ["--", "-D", "warnings"];
    let bare = ["clippy", "--target", rust::BARE_METAL];
    let ready =
        rust::component("rustfmt", "fmt").and_then(|()| rust::component("clippy", "clippy"));
    check(context, tally, "fmt", ready.clone(), &["fmt", "--all", "--check"])?;
    let args = ["clippy", "--workspace", "--all-targets"];
    check(context, tally, "clippy", ready.clone(), &[&args[..], &target, &deny].concat())?;
    let packages = DOCUMENTED.iter().flat_map(|package| ["--package", package]);
    let args: Vec<&str> = DOC.into_iter().chain(packages).chain(target).collect();
    check(context, tally, "doc", Ok(()), &args)?;
    let ready = ready.and_then(|()| rust::target(rust::BARE_METAL));
    for (name, package) in BARE {
        let args = [&bare[..], package, &target, &deny].concat();
        check(context, tally, &format!("clippy_bare_metal_{name}"), ready.clone(), &args)?;
    }
    cost::run(context, consent, tally)?;
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
    let full = format!("host::{name}");
    let log = log_name(context.dir, &full);
    let what = format!("cargo {}", args.first().copied().unwrap_or_default());
    let step = cargo(&what, &log).env("RUSTDOCFLAGS", "-D warnings");
    match ready.and_then(|()| step.args(args).run()) {
        Ok(()) => tally.passed(&full),
        Err(stop) if stop.exit == Exit::Interrupted => return Err(stop),
        Err(stop) if stop.exit == Exit::Missing => tally.skipped(&full, &stop.reason),
        Err(stop) => tally.failed(&full, &stop.reason, Some(&log)),
    }
    Ok(())
}
