//! Owns a QEMU of this project's own, unpacked from Debian's packages into target/qemu/, for
//! machines on which installing it would remove a package (a newer qemu-utils, say). Never
//! installs or removes a package of the machine.

use super::qemu;
use crate::outcome::{Exit, Stop, files};
use crate::process::{self, Step};
use crate::{paths, say};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PACKAGE: &str = "qemu-system-arm";
const DOWNLOAD: Duration = Duration::from_secs(900);
const UNPACK: Duration = Duration::from_secs(120);

fn dir() -> PathBuf {
    paths::target().join("qemu")
}

/// The program, where it was unpacked.
pub(crate) fn program() -> Option<PathBuf> {
    let file = dir().join("bin").join(qemu::PROGRAM);
    file.is_file().then_some(file)
}

/// Unpacks it. The program starts the emulator with the libraries and data that came with it.
pub(crate) fn unpack() -> Result<(), Stop> {
    let how = format!("apt-get install --no-install-recommends {PACKAGE}");
    let mend = |stop: Stop| {
        match stop.exit {
        Exit::Failed => Stop::missing(stop.reason).mend(format!(
            "check the network, then try again; or put a QEMU in PATH ({how}; it may remove packages)"
        )),
        Exit::Passed | Exit::Usage | Exit::Missing | Exit::TimedOut | Exit::Skipped
        | Exit::Interrupted => stop,
    }
    };
    let (debs, fresh) = (dir().join("debs"), dir().join("root.new"));
    for folder in [&debs, &fresh] {
        files::remove_dir(folder)?;
        files::make_dir(folder)?;
    }
    let packages = needed()?;
    say::progress(&format!(
        "unpacking QEMU privately into {}: {} packages, none is installed",
        dir().display(),
        packages.len()
    ));
    Step::new("the download of QEMU (apt-get download)", "apt-get", &dir().join("download.log"))
        .dir(&debs)
        .args(["-o", "APT::Sandbox::User=root", "download"])
        .args(&packages)
        .limit(DOWNLOAD)
        .run()
        .map_err(mend)?;
    let listing = fs::read_dir(&debs).map_err(|e| Stop::file("read", &debs, &e))?;
    for deb in listing.flatten() {
        Step::new("unpacking QEMU (dpkg-deb)", "dpkg-deb", &dir().join("unpack.log"))
            .args(["-x".into(), deb.path(), fresh.clone()])
            .limit(UNPACK)
            .run()
            .map_err(mend)?;
    }
    let root = dir().join("root");
    files::remove_dir(&root)?;
    fs::rename(&fresh, &root).map_err(|e| Stop::file("name the folder", &root, &e))?;
    files::remove_dir(&debs)?;
    start_script(&root)
}

/// What `apt-get install` would add to the machine.
fn needed() -> Result<Vec<String>, Stop> {
    let args = ["install", "--simulate", "--no-install-recommends", PACKAGE];
    let plan = process::ask("apt-get", &args, Duration::from_secs(60))?;
    let packages = added(&plan.all);
    if !plan.ok || !packages.iter().any(|name| name == PACKAGE) {
        return Err(Stop::missing(format!("apt-get does not offer {PACKAGE}"))
            .mend("put a QEMU (7.2 or newer) in PATH"));
    }
    Ok(packages)
}

/// The packages of a simulated installation.
fn added(plan: &str) -> Vec<String> {
    let names = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

fn start_script(root: &Path) -> Result<(), Stop> {
    let bin = dir().join("bin");
    files::make_dir(&bin)?;
    // Packages of before the merge of /usr have some of their libraries in /lib.
    let libraries: Vec<String> = ["usr/lib", "lib"]
        .iter()
        .filter_map(|folder| fs::read_dir(root.join(folder)).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.is_dir() && path.to_string_lossy().ends_with("-linux-gnu"))
        .map(|path| path.display().to_string())
        .collect();
    let text = format!(
        "#!/bin/sh\n# Starts the QEMU that was unpacked beside this file.\n\
         LD_LIBRARY_PATH='{}'\"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\nexport LD_LIBRARY_PATH\n\
         exec '{}' -L '{}' \"$@\"\n",
        libraries.join(":"),
        root.join("usr/bin").join(qemu::PROGRAM).display(),
        root.join("usr/share/qemu").display()
    );
    let file = bin.join(qemu::PROGRAM);
    files::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
        .map_err(|e| Stop::file("make executable", &file, &e))
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn a_plan_names_what_it_adds_and_not_what_it_removes() {
        let plan = "Reading package lists...\nRemv qemu-utils [1:10.0]\n\
                    Inst libfdt1 (1.6 Debian:12 [amd64])\nInst qemu-system-arm (1:7.2 Debian:12)\n\
                    Conf libfdt1 (1.6)\n";
        assert_eq!(added(plan), ["libfdt1", "qemu-system-arm"]);
        assert!(added("").is_empty());
    }
}
