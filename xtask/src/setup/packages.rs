//! Owns the Debian packages that the build needs: which are missing, and how they are installed.
//! Never removes a package, and never installs without listing first.

use super::{Consent, private_qemu, qemu};
use crate::outcome::{Exit, Stop, files};
use crate::process::{self, Step};
use crate::{paths, say};
use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

const DOWNLOAD: Duration = Duration::from_secs(900);

/// One thing the build needs that a Debian package brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Compiles TF-A.
    CrossCompiler,
    /// Compiles the manifests.
    DeviceTreeCompiler,
    /// TF-A's fiptool includes it.
    OpensslHeaders,
    /// Builds TF-A.
    Make,
    /// Compiles TF-A's host tools.
    HostCompiler,
    /// Unpacks TF-A's source package.
    SourceUnpacker,
    /// Runs everything.
    Qemu,
    /// Counts what the libraries cost; its tests are skipped without it.
    Valgrind,
    /// Opens the page of `run --report` in tests, which are skipped without it.
    Browser,
    /// OP-TEE's scripts read ELF files with it.
    ElfTools,
    /// OP-TEE's scripts read keys with it.
    Cryptography,
    /// TF-A packs partitions with it.
    Python,
}

/// The interpreter for which Debian's packages bring modules.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

impl Need {
    /// Every need.
    pub(crate) const ALL: [Self; 12] = [
        Self::CrossCompiler,
        Self::DeviceTreeCompiler,
        Self::OpensslHeaders,
        Self::Make,
        Self::HostCompiler,
        Self::SourceUnpacker,
        Self::Qemu,
        Self::Valgrind,
        Self::Browser,
        Self::ElfTools,
        Self::Cryptography,
        Self::Python,
    ];

    /// What building and booting needs now: TF-A's own needs end with its first build.
    pub(crate) fn for_images() -> Vec<Self> {
        if crate::tfa::is_cached() {
            return vec![Self::DeviceTreeCompiler, Self::Qemu];
        }
        let own_tree = crate::tfa::own_tree().is_some();
        let needed = |need: &Self| match need {
            Self::SourceUnpacker => !own_tree,
            Self::Valgrind | Self::Browser | Self::ElfTools | Self::Cryptography | Self::Python => {
                false
            }
            Self::CrossCompiler
            | Self::DeviceTreeCompiler
            | Self::OpensslHeaders
            | Self::Make
            | Self::HostCompiler
            | Self::Qemu => true,
        };
        Self::ALL.into_iter().filter(needed).collect()
    }

    /// What building OP-TEE needs beside [`Self::for_images`].
    pub(crate) fn for_optee() -> Vec<Self> {
        let own_tree = crate::optee::own_tree().is_some();
        let mut list = vec![Self::CrossCompiler, Self::Make, Self::ElfTools, Self::Cryptography];
        list.extend((!own_tree).then_some(Self::SourceUnpacker));
        list
    }

    /// What TF-A's build for Hafnium needs beside [`Self::for_images`].
    pub(crate) fn for_hafnium() -> Vec<Self> {
        let own_tree = crate::tfa::own_tree().is_some();
        let mut list = vec![
            Self::CrossCompiler,
            Self::Make,
            Self::HostCompiler,
            Self::OpensslHeaders,
            Self::Python,
        ];
        list.extend((!own_tree).then_some(Self::SourceUnpacker));
        list
    }

    /// The thing looked for.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::CrossCompiler => "aarch64-linux-gnu-gcc",
            Self::DeviceTreeCompiler => "dtc",
            Self::OpensslHeaders => "openssl/ssl.h",
            Self::Make => "make",
            Self::HostCompiler => "cc",
            Self::SourceUnpacker => "dpkg-source",
            Self::Qemu => qemu::PROGRAM,
            Self::Valgrind => "valgrind",
            Self::Browser => "chromium",
            Self::ElfTools => "python3 elftools",
            Self::Cryptography => "python3 cryptography",
            Self::Python => PYTHON,
        }
    }

    /// The Debian package that brings it.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::CrossCompiler => "gcc-aarch64-linux-gnu",
            Self::DeviceTreeCompiler => "device-tree-compiler",
            Self::OpensslHeaders => "libssl-dev",
            Self::Make => "make",
            Self::HostCompiler => "gcc",
            Self::SourceUnpacker => "dpkg-dev",
            Self::Qemu => "qemu-system-arm",
            Self::Valgrind => "valgrind",
            Self::Browser => "chromium",
            Self::ElfTools => "python3-pyelftools",
            Self::Cryptography => "python3-cryptography",
            Self::Python => "python3",
        }
    }

    /// Whether it is there, whatever brought it.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::OpensslHeaders => has_header("openssl/ssl.h"),
            Self::CrossCompiler
            | Self::DeviceTreeCompiler
            | Self::Make
            | Self::HostCompiler
            | Self::SourceUnpacker
            | Self::Valgrind
            | Self::Browser => paths::on_path(self.what()).is_some(),
            Self::Qemu => qemu::is_there(),
            Self::ElfTools => has_module("elftools"),
            Self::Cryptography => has_module("cryptography"),
            Self::Python => Path::new(PYTHON).exists(),
        }
    }
}

fn has_module(name: &str) -> bool {
    let import = format!("import {name}");
    process::ask(PYTHON, &["-c", &import], Duration::from_secs(30)).is_ok_and(|answer| answer.ok)
}

fn has_header(name: &str) -> bool {
    ["/usr/include", "/usr/local/include"].iter().any(|dir| Path::new(dir).join(name).is_file())
}

/// Who may install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Root,
    Sudo,
    None,
}

fn power() -> Power {
    if paths::on_path("apt-get").is_none() {
        return Power::None;
    }
    if rustix::process::geteuid().is_root() {
        return Power::Root;
    }
    let sudo = process::ask("sudo", &["-n", "true"], Duration::from_secs(10));
    if sudo.is_ok_and(|answer| answer.ok) { Power::Sudo } else { Power::None }
}

/// Installs what is missing, or says the one command that does.
pub(crate) fn ensure(needs: &[Need], consent: Consent) -> Result<(), Stop> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let told = told(&missing);
    let command = command(&missing);
    let power = power();
    if power == Power::None {
        return Err(Stop::missing(format!("missing: {told}")).mend(format!("sudo {command}")));
    }
    say::progress(&format!("missing: {told}"));
    say::progress(&format!("to be installed with: {command}"));
    if consent == Consent::Ask && std::io::stdin().is_terminal() && !agreed() {
        return Err(Stop::missing(format!("missing: {told}")).mend(format!("sudo {command}")));
    }
    install(&missing, power)?;
    match missing.iter().find(|need| !need.is_there()) {
        None => Ok(()),
        Some(need) => Err(Stop::missing(format!(
            "{} was installed and {} is still not found",
            need.package(),
            need.what()
        ))
        .mend("see docs/troubleshooting.md")),
    }
}

fn told(missing: &[Need]) -> String {
    let list: Vec<String> =
        missing.iter().map(|need| format!("{} ({})", need.what(), need.package())).collect();
    list.join(", ")
}

fn command(missing: &[Need]) -> String {
    let list: Vec<&str> = missing.iter().map(|need| need.package()).collect();
    format!("apt-get install --no-install-recommends {}", list.join(" "))
}

fn agreed() -> bool {
    let mut err = std::io::stderr().lock();
    drop(write!(err, "install them now? [y/N] ").and_then(|()| err.flush()));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn install(missing: &[Need], power: Power) -> Result<(), Stop> {
    let dir = paths::target().join("setup");
    files::make_dir(&dir)?;
    let step = |name: &str, what: &str| {
        let log = dir.join(format!("{name}.log"));
        let step = match power {
            Power::Sudo => Step::new(what, "sudo", &log).args([
                "-n",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
            ]),
            Power::Root | Power::None => Step::new(what, "apt-get", &log),
        };
        step.env("DEBIAN_FRONTEND", "noninteractive").limit(DOWNLOAD)
    };
    let packages: Vec<&str> = missing.iter().map(|need| need.package()).collect();
    say::progress("apt-get update");
    // One broken source of many is no reason to stop: the install tells whether it matters.
    let updated = step("apt-update", "apt-get update").args(["update"]).status()?;
    if !updated.success() {
        say::progress("apt-get update had errors; going on with what it got");
    }
    let options = ["install", "--no-install-recommends", "--no-remove", "-y"];
    let simulated = |log: &str, packages: &[&str]| {
        let simulate = step(log, "apt-get install --simulate").args(["--simulate"]);
        simulate.args(options).args(packages).status()
    };
    let planned = simulated("apt-simulate", &packages)?;
    if !planned.success() && missing.contains(&Need::Qemu) {
        let rest: Vec<Need> = missing.iter().copied().filter(|n| *n != Need::Qemu).collect();
        let others: Vec<&str> = rest.iter().map(|need| need.package()).collect();
        if rest.is_empty() || simulated("apt-simulate-others", &others)?.success() {
            // Most often a newer qemu-utils that would be removed: the machine stays as it is.
            say::progress("QEMU cannot be installed without removing a package");
            private_qemu::unpack()?;
            return if rest.is_empty() { Ok(()) } else { install(&rest, power) };
        }
    }
    let plan = fs::read(dir.join("apt-simulate.log")).unwrap_or_default();
    if !planned.success() {
        process::show_tail(&dir.join("apt-simulate.log"));
        return Err(Stop::missing(format!("apt-get cannot install {}", packages.join(" "))).mend(
            "check the network and the apt sources; if apt-get says that it would remove \
             packages, decide for yourself: "
                .to_owned()
                + &command(missing),
        ));
    }
    let count = String::from_utf8_lossy(&plan).lines().filter(|l| l.starts_with("Inst ")).count();
    say::progress(&format!("apt-get installs {count} packages"));
    let how = command(missing);
    match step("apt-install", &how).args(options).args(&packages).run() {
        Err(stop) if stop.exit == Exit::Failed => {
            Err(Stop::missing(stop.reason).mend(format!("check the network, then: {how}")))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Need, command, told};

    #[test]
    fn the_one_command_names_every_missing_package() {
        let line = command(&[Need::Make, Need::Qemu]);
        assert_eq!(line, "apt-get install --no-install-recommends make qemu-system-arm");
        assert_eq!(told(&[Need::DeviceTreeCompiler]), "dtc (device-tree-compiler)");
    }
}
