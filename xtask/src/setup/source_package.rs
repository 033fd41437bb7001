//! Owns the download of a Debian source package into a folder of target/, with apt's own checks of
//! signatures. Never touches the machine's apt configuration or lists.

use super::apt_sources;
use crate::outcome::{Exit, Stop, files};
use crate::process::{self, Step};
use crate::{paths, say};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DOWNLOAD: Duration = Duration::from_secs(600);

/// A source package.
pub(crate) struct SourcePackage {
    /// What it is called in messages.
    pub(crate) what: &'static str,
    /// Debian's name of it.
    pub(crate) package: &'static str,
    /// The suites that may serve it, in the order in which they are asked.
    pub(crate) suites: &'static [&'static str],
    /// The folder of target/ that keeps it.
    pub(crate) base: PathBuf,
    /// What to do where it cannot be had.
    pub(crate) mend: String,
    /// Whether an unpacked tree is one that this project is made for.
    pub(crate) check: fn(&Path) -> Result<(), Stop>,
}

impl SourcePackage {
    /// The tree that an earlier run unpacked.
    pub(crate) fn unpacked(&self) -> Option<PathBuf> {
        tree_in(&self.base.join("source"))
    }

    /// The tree, fetched if it is not there yet.
    pub(crate) fn tree(&self) -> Result<PathBuf, Stop> {
        if let Some(tree) = self.unpacked() {
            return Ok(tree);
        }
        let what = self.what;
        if paths::on_path("apt-get").is_none() {
            return Err(Stop::missing(format!(
                "there is no apt-get to fetch the source package of {what} with"
            ))
            .mend(&self.mend));
        }
        let mirror = apt_sources::find(Path::new("/etc/apt")).ok_or_else(|| {
            Stop::missing("no source in /etc/apt serves Debian's main component").mend(&self.mend)
        })?;
        let base = self.base.join("apt");
        let parts = base.join("sources");
        for dir in [&parts, &base.join("lists/partial"), &base.join("cache/archives/partial")] {
            files::make_dir(dir)?;
        }
        let fresh = self.base.join("source.new");
        let mut last = Stop::missing(format!("no suite serves the source package of {what}"));
        for suite in self.suites {
            files::write(&parts.join("causeway.sources"), mirror.deb_src(suite))?;
            say::progress(&format!("fetching the source of {what} (Debian {suite}, once)"));
            files::remove_dir(&fresh)?;
            files::make_dir(&fresh)?;
            let fetched = self
                .apt(&base, "update", &self.base, &["update"])
                .and_then(|()| self.apt(&base, "source", &fresh, &["source", self.package]));
            match fetched {
                Ok(()) => return self.keep(&fresh),
                // A suite may list what its mirror does not have any more.
                Err(stop) if stop.exit == Exit::Missing => {
                    say::progress(&stop.reason);
                    last = stop;
                }
                Err(stop) => return Err(stop),
            }
        }
        process::show_tail(&self.base.join("apt-source.log"));
        Err(last)
    }

    fn keep(&self, fresh: &Path) -> Result<PathBuf, Stop> {
        let gone = || Stop::missing(format!("the tree of {} is gone", self.what)).mend(&self.mend);
        let tree = tree_in(fresh).ok_or_else(gone)?;
        (self.check)(&tree)?;
        let kept = self.base.join("source");
        files::remove_dir(&kept)?;
        fs::rename(fresh, &kept).map_err(|e| Stop::file("name the folder", &kept, &e))?;
        self.unpacked().ok_or_else(gone)
    }

    fn apt(&self, base: &Path, name: &str, dir: &Path, args: &[&str]) -> Result<(), Stop> {
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
        let log = self.base.join(format!("apt-{name}.log"));
        let what = format!("the download of the source of {} (apt-get {name})", self.what);
        let step = Step::new(&what, "apt-get", &log)
            .dir(dir)
            .args(options.iter().flat_map(|option| ["-o", option.as_str()]))
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .limit(DOWNLOAD);
        match step.status() {
            Ok(status) if status.success() => Ok(()),
            // The reader of the last suite's failure is told where apt's own words are.
            Ok(_) => {
                Err(Stop::missing(format!("{what} failed (log: {})", log.display()))
                    .mend(&self.mend))
            }
            Err(stop) if stop.exit == Exit::TimedOut => Err(stop.mend(&self.mend)),
            Err(stop) => Err(stop),
        }
    }
}

fn tree_in(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let is_tree = |path: &PathBuf| path.is_dir() && path.join("Makefile").is_file();
    entries.flatten().map(|entry| entry.path()).find(is_tree)
}
