//! Owns the cargo commands that are programs of their own: cargo-mutants, in target/tools/. Never installs one where it is already there, and never outside target/.

use crate::outcome::{Exit, Stop, files};
use crate::process::{self, Step};
use crate::{paths, say};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const INSTALL: Duration = Duration::from_secs(1200);
const QUESTION: Duration = Duration::from_secs(60);

/// One such program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its package and program.
    name: &'static str,
    /// The version that was seen working.
    version: &'static str,
}

/// Changes the code in one place at a time.
pub(crate) const MUTANTS: Tool = Tool { name: "cargo-mutants", version: "27.1.0" };

fn root() -> PathBuf {
    paths::target().join("tools")
}

/// PATH with the tools before everything else.
pub(crate) fn path() -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(root().join("bin")).chain(std::env::split_paths(&old));
    std::env::join_paths(all).unwrap_or(old)
}

/// Installs a tool where it is neither in target/tools/ nor on the PATH.
pub(crate) fn ready(tool: Tool) -> Result<(), Stop> {
    let own = root().join("bin").join(tool.name);
    if own.is_file() || paths::on_path(tool.name).is_some() {
        return Ok(());
    }
    let how = format!(
        "cargo install {} --version {} --locked --debug --root {}",
        tool.name,
        tool.version,
        root().display()
    );
    say::progress(&format!("installing {} {}: {how}", tool.name, tool.version));
    let log = paths::target().join("setup").join(format!("{}.log", tool.name));
    let build = root().join("build");
    // Without optimisation: what they start takes the time, and they are built in a third of it.
    let installed = Step::new(&how, "cargo", &log)
        .args(["install", tool.name, "--version", tool.version, "--locked", "--debug", "--root"])
        .args([root()])
        .args(["--target-dir"])
        .args([&build])
        .limit(INSTALL)
        .run();
    files::remove_dir(&build)?;
    match installed {
        Err(stop) if stop.exit == Exit::Failed => Err(Stop::missing(stop.reason)
            .mend(format!("check the network (or the proxy), then: {how}"))),
        Err(stop) => Err(stop),
        Ok(()) => answers(&own),
    }
}

fn answers(program: &std::path::Path) -> Result<(), Stop> {
    let name = program.to_string_lossy();
    // As cargo calls them: the command's name comes first.
    let command = name.rsplit("cargo-").next().unwrap_or_default().to_owned();
    if process::ask(&name, &[&command, "--version"], QUESTION)?.ok
        || process::ask(&name, &["--version"], QUESTION)?.ok
    {
        return Ok(());
    }
    Err(Stop::missing(format!("{name} was installed and does not start")))
}
