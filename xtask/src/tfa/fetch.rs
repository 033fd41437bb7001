//! Owns the download of TF-A's Debian source package into target/tfa/, with apt's own checks of
//! signatures. Never touches the machine's apt configuration or lists.

use super::{RELEASE, VARIABLE};
use crate::outcome::{Exit, Stop, files};
use crate::process::Step;
use crate::setup::apt_sources;
use crate::{paths, say};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUITE: &str = "trixie";
const PACKAGE: &str = "arm-trusted-firmware";
const DOWNLOAD: Duration = Duration::from_secs(600);

fn mend() -> String {
    format!(
        "check the network (or the proxy in /etc/apt/apt.conf.d), and try again; or\n\
         set {VARIABLE} to a tree of TF-A {RELEASE} (for example a git clone of its tag v{RELEASE})"
    )
}

/// The tree that an earlier run unpacked.
pub(super) fn unpacked() -> Option<PathBuf> {
    tree_in(&paths::tfa().join("source"))
}

fn tree_in(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let is_tree = |path: &PathBuf| path.is_dir() && path.join("Makefile").is_file();
    entries.flatten().map(|entry| entry.path()).find(is_tree)
}

/// The tree, fetched if it is not there yet.
pub(super) fn source() -> Result<PathBuf, Stop> {
    if let Some(tree) = unpacked() {
        return Ok(tree);
    }
    if paths::on_path("apt-get").is_none() {
        return Err(Stop::missing("there is no apt-get to fetch TF-A's source package with")
            .mend(format!("set {VARIABLE} to a tree of TF-A {RELEASE}")));
    }
    let mirror = apt_sources::find(Path::new("/etc/apt")).ok_or_else(|| {
        Stop::missing("no source in /etc/apt serves Debian's main component")
            .mend(format!("add one, or set {VARIABLE} to a tree of TF-A {RELEASE}"))
    })?;
    let base = paths::tfa().join("apt");
    let parts = base.join("sources");
    for dir in [&parts, &base.join("lists/partial"), &base.join("cache/archives/partial")] {
        files::make_dir(dir)?;
    }
    files::write(&parts.join("causeway.sources"), mirror.deb_src(SUITE))?;
    say::progress(&format!("fetching the source of TF-A {RELEASE} (Debian {SUITE}, once)"));
    apt(&base, "update", &paths::tfa(), &["update"])?;
    let fresh = paths::tfa().join("source.new");
    files::remove_dir(&fresh)?;
    files::make_dir(&fresh)?;
    apt(&base, "source", &fresh, &["source", PACKAGE])?;
    let tree = tree_in(&fresh).ok_or_else(|| {
        Stop::missing(format!("apt-get source {PACKAGE} left no tree in {}", fresh.display()))
            .mend(mend())
    })?;
    super::version_of(&tree)?;
    let kept = paths::tfa().join("source");
    files::remove_dir(&kept)?;
    fs::rename(&fresh, &kept).map_err(|e| Stop::file("name the folder", &kept, &e))?;
    unpacked().ok_or_else(|| Stop::missing("the unpacked tree is gone").mend(mend()))
}

fn apt(base: &Path, name: &str, dir: &Path, args: &[&str]) -> Result<(), Stop> {
    let at = |part: &str| base.join(part).display().to_string();
    let mut options = vec![
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={}", at("sources")),
        "Dir::Etc::Preferences=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", at("lists")),
        format!("Dir::Cache={}", at("cache")),
        "Acquire::Retries=2".to_owned(),
        // Without this apt update succeeds although nothing could be fetched.
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    if rustix::process::geteuid().is_root() {
        // The user _apt may not be able to reach a folder of ours.
        options.push("APT::Sandbox::User=root".to_owned());
    }
    let log = paths::tfa().join(format!("apt-{name}.log"));
    let what = format!("the download of TF-A's source (apt-get {name})");
    let step = Step::new(&what, "apt-get", &log)
        .dir(dir)
        .args(options.iter().flat_map(|option| ["-o", option.as_str()]))
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .limit(DOWNLOAD);
    match step.run() {
        Err(stop) if stop.exit == Exit::Failed => Err(Stop::missing(stop.reason).mend(mend())),
        Err(stop) if stop.exit == Exit::TimedOut => Err(stop.mend(mend())),
        other => other,
    }
}
