//! Owns the compiler's targets and components. Never changes which toolchain is in force.

use crate::outcome::{Exit, Stop};
use crate::process::{self, Step};
use crate::{paths, say};
use std::path::Path;
use std::time::Duration;

/// The target of the partition, the monitor and the guests.
pub(crate) const BARE_METAL: &str = "aarch64-unknown-none-softfloat";
/// A big-endian target for Miri.
pub(crate) const BIG_ENDIAN: &str = "s390x-unknown-linux-gnu";
const QUESTION: Duration = Duration::from_secs(120);
const DOWNLOAD: Duration = Duration::from_secs(600);

/// Adds a target to the toolchain in force where it is not there.
pub(crate) fn target(name: &str) -> Result<(), Stop> {
    let answer =
        process::ask("rustc", &["--print", "target-libdir", "--target", name], QUESTION)
            .map_err(|stop| stop.mend("install Rust with rustup, see docs/troubleshooting.md"))?;
    if answer.ok && Path::new(answer.stdout.trim()).is_dir() {
        return Ok(());
    }
    let how = format!("rustup target add {name}");
    if paths::on_path("rustup").is_none() {
        return Err(Stop::missing(format!(
            "the Rust target {name} is missing and there is no rustup to add it"
        ))
        .mend(format!("install Rust with rustup, then: {how}")));
    }
    say::progress(&format!("adding the Rust target {name}: {how}"));
    rustup(&["target", "add", name], &how)
}

/// Adds a component of the toolchain in force where its command is not there.
pub(crate) fn component(name: &str, command: &str) -> Result<(), Stop> {
    if process::ask("cargo", &[command, "--version"], QUESTION)?.ok {
        return Ok(());
    }
    let how = format!("rustup component add {name}");
    if paths::on_path("rustup").is_none() {
        return Err(Stop::missing(format!("cargo {command} is missing")).mend(how));
    }
    say::progress(&format!("adding {name}: {how}"));
    rustup(&["component", "add", name], &how)
}

/// The version of a Miri that can run, installed into the nightly toolchain if need be.
pub(crate) fn miri() -> Result<String, Stop> {
    if let Some(version) = miri_version()? {
        return Ok(version);
    }
    if paths::on_path("rustup").is_none() {
        return Err(Stop::missing("Miri needs rustup and a nightly toolchain"));
    }
    let list = process::ask("rustup", &["toolchain", "list"], QUESTION)?;
    let how = if list.stdout.lines().any(|line| line.starts_with("nightly")) {
        "rustup component add miri rust-src --toolchain nightly"
    } else {
        "rustup toolchain install nightly --profile minimal --component miri --component rust-src"
    };
    say::progress(&format!("adding Miri: {how}"));
    let args: Vec<&str> = how.split(' ').skip(1).collect();
    rustup(&args, how)?;
    miri_version()?.ok_or_else(|| {
        Stop::missing("Miri was installed and still does not start").mend("cargo +nightly miri")
    })
}

/// Adds a nightly toolchain where there is none.
pub(crate) fn nightly() -> Result<(), Stop> {
    toolchain("nightly")
}

/// Adds a toolchain where there is none of this name.
pub(crate) fn toolchain(name: &str) -> Result<(), Stop> {
    match process::ask("rustup", &["run", name, "rustc", "--version"], QUESTION) {
        Ok(answer) if answer.ok => return Ok(()),
        Err(stop) if stop.exit != Exit::Missing => return Err(stop),
        Err(_) => {
            let why = format!("the toolchain {name} is needed, and there is no rustup");
            return Err(
                Stop::missing(why).mend("install Rust with rustup, see docs/troubleshooting.md")
            );
        }
        Ok(_) => {}
    }
    let how = format!("rustup toolchain install {name} --profile minimal");
    say::progress(&format!("adding a toolchain: {how}"));
    rustup(&["toolchain", "install", name, "--profile", "minimal"], &how)
}

/// The triple of this machine, as the compiler names it.
pub(crate) fn host() -> Result<String, Stop> {
    let answer = process::ask("rustc", &["-vV"], QUESTION)?;
    let triple = answer.stdout.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(str::to_owned).ok_or_else(|| Stop::failed("rustc -vV names no host"))
}

fn miri_version() -> Result<Option<String>, Stop> {
    let args = ["run", "nightly", "cargo", "miri", "--version"];
    match process::ask("rustup", &args, QUESTION) {
        Ok(answer) if answer.ok => {
            // Without its sources Miri cannot build the standard library.
            let sysroot = process::ask(
                "rustup",
                &["run", "nightly", "rustc", "--print", "sysroot"],
                QUESTION,
            )?;
            let source = Path::new(sysroot.stdout.trim()).join("lib/rustlib/src/rust/library");
            Ok(source.is_dir().then(|| answer.stdout.trim().to_owned()))
        }
        Ok(_) => Ok(None),
        Err(stop) if stop.exit == Exit::Missing => Ok(None),
        Err(stop) => Err(stop),
    }
}

fn rustup(args: &[&str], how: &str) -> Result<(), Stop> {
    let log = paths::target().join("setup").join("rustup.log");
    let step = Step::new(how, "rustup", &log).args(args).dir(&paths::root()).limit(DOWNLOAD);
    match step.run() {
        Err(stop) if stop.exit == Exit::Failed => Err(Stop::missing(stop.reason)
            .mend(format!("check the network (or the proxy), then: {how}"))),
        other => other,
    }
}
