//! Owns Trusted Firmware-A: where its source comes from, how it is built, and the cache of both.
//! Never builds in a tree that `TFA_DIR` names: it builds in a copy.
//!
//! The build holds placeholders for the partition, its manifest and the monitor; `image` swaps
//! them in the package file with fiptool, so that a change of ours needs no new build of TF-A.

mod fetch;

use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::{paths, say, text};
use sha2::{Digest, Sha256};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The release line that is known to work; its point releases rotate in Debian.
const RELEASE: &str = "2.12";
const VARIABLE: &str = "TFA_DIR";
const OPTIONS: [&str; 8] = [
    "CROSS_COMPILE=aarch64-linux-gnu-",
    "PLAT=qemu",
    "SPD=spmd",
    "QEMU_USE_GIC_DRIVER=QEMU_GICV3",
    "DEBUG=0",
    "LOG_LEVEL=20",
    "all",
    "fip",
];

/// Which SPMC a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spmc {
    /// TF-A's own.
    AtEl3,
    /// OP-TEE at S-EL1.
    OpTee,
    /// Hafnium at S-EL2.
    Hafnium,
}

impl Spmc {
    /// The options that only this one has.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::AtEl3 => &["SPMD_SPM_AT_SEL2=0", "SPMC_AT_EL3=1"],
            // NS_TIMER_SWITCH keeps the normal world from CNTKCTL_EL1 of the secure one: without it
            // it could take the counter from the partition (docs/spmc-facts.md, OPTEE-CLOCK).
            Self::OpTee => &[
                "SPMD_SPM_AT_SEL2=0",
                "SPMC_OPTEE=1",
                "CTX_INCLUDE_EL2_REGS=0",
                "NS_TIMER_SWITCH=1",
                "BL32_RAM_LOCATION=tdram",
            ],
            // Hafnium is usually built with branch protection, whose keys are then the secure world's.
            // So is its stack tagged.
            Self::Hafnium => &[
                "SPMD_SPM_AT_SEL2=1",
                "CTX_INCLUDE_EL2_REGS=1",
                "BRANCH_PROTECTION=1",
                "ENABLE_FEAT_MTE2=2",
            ],
        }
    }

    /// What a finished build consists of: TF-A's tool for partitions' packages only where there are any.
    fn products(self) -> &'static [&'static str] {
        match self {
            Self::AtEl3 | Self::OpTee => &["bl1.bin", "fip.bin", "fiptool"],
            Self::Hafnium => &["bl1.bin", "fip.bin", "fiptool", SPTOOL],
        }
    }
}
/// TF-A's tool for partitions' packages, in a finished build; `sptool.py` needs no other file.
pub(crate) const SPTOOL: &str = "sptool.py";
const PLACEHOLDER_MANIFEST: &str = include_str!("tfa/placeholder.dts");

/// A finished build.
pub(crate) struct Built {
    /// Its version, such as 2.12.1.
    pub(crate) version: String,
    /// The folder with bl1.bin, fip.bin and fiptool.
    pub(crate) build: PathBuf,
}

/// The tree that the user names, if any.
pub(crate) fn own_tree() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// Whether a build for the present inputs is there.
pub(crate) fn is_cached() -> bool {
    cached(Spmc::AtEl3).is_ok_and(|found| found.is_some())
}

/// Fetches and builds what is not there yet.
pub(crate) fn ready(spmc: Spmc) -> Result<Built, Stop> {
    if let Some(built) = cached(spmc)? {
        return Ok(built);
    }
    let source = match own_tree() {
        Some(tree) => tree,
        None => fetch::source()?,
    };
    let version = version_of(&source)?;
    let build = build_dir(&key(&source, spmc)?);
    build_in_copy(&source, &version, &build, spmc)?;
    Ok(Built { version, build })
}

/// A build for the present inputs, complete or nothing: the folder gets its name at the end.
fn cached(spmc: Spmc) -> Result<Option<Built>, Stop> {
    let source = match own_tree() {
        Some(tree) => tree,
        None => match fetch::unpacked() {
            Some(tree) => tree,
            None => return Ok(None),
        },
    };
    let version = version_of(&source)?;
    let build = build_dir(&key(&source, spmc)?);
    let whole = spmc.products().iter().all(|name| build.join(name).is_file());
    Ok(whole.then_some(Built { version, build }))
}

fn build_dir(key: &str) -> PathBuf {
    paths::tfa().join(format!("built-{key}"))
}

/// The version in TF-A's own Makefile or in its `docs`; refuses what is no TF-A tree.
fn version_of(tree: &Path) -> Result<String, Stop> {
    let from = if own_tree().is_some() { VARIABLE } else { "the source package" };
    let makefile = fs::read_to_string(tree.join("Makefile")).unwrap_or_default();
    let value = |name: &str| {
        makefile.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?.trim_start();
            let rest = rest.strip_prefix(":=").or_else(|| rest.strip_prefix('='))?;
            Some(rest.trim().to_owned())
        })
    };
    let (Some(major), Some(minor)) = (value("VERSION_MAJOR"), value("VERSION_MINOR")) else {
        return Err(Stop::missing(format!(
            "{} (from {from}) is no tree of Trusted Firmware-A: its Makefile has no version",
            tree.display()
        ))
        .mend(format!("point {VARIABLE} at a TF-A {RELEASE} tree, or unset it")));
    };
    let patch = value("VERSION_PATCH").unwrap_or_else(|| "0".to_owned());
    if format!("{major}.{minor}") != RELEASE {
        return Err(Stop::missing(format!(
            "{from} has TF-A {major}.{minor}; this project is made for {RELEASE}"
        ))
        .mend(format!("point {VARIABLE} at a TF-A {RELEASE} tree")));
    }
    Ok(format!("{major}.{minor}.{patch}"))
}

/// Names the inputs: options, placeholder, and every file of the tree by name, size and time.
fn key(tree: &Path, spmc: Spmc) -> Result<String, Stop> {
    let mut hash = Sha256::new();
    for part in OPTIONS.iter().chain(spmc.options()).copied().chain([PLACEHOLDER_MANIFEST]) {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(tree.as_os_str().as_encoded_bytes());
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for (path, meta) in listed(&folder)? {
            if meta.is_dir() {
                folders.push(path);
            } else if let Ok(modified) = meta.modified() {
                hash.update(path.as_os_str().as_encoded_bytes());
                hash.update(meta.len().to_le_bytes());
                let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                hash.update(since.as_nanos().to_le_bytes());
            }
        }
    }
    let digest = hash.finalize();
    Ok(text::hex(&digest[..8]))
}

/// The entries of a source folder in a fixed order, without git's and the build's own.
fn listed(folder: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, Stop> {
    let entries = fs::read_dir(folder).map_err(|e| Stop::file("read the folder", folder, &e))?;
    let mut list = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let made = name == ".git" || name == "build" || name.ends_with(".o") || name == "fiptool";
        let tool = name == "fiptool" && folder.ends_with("tools");
        if made && !tool {
            continue;
        }
        if let Ok(meta) = entry.path().symlink_metadata() {
            list.push((entry.path(), meta));
        }
    }
    list.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(list)
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Stop> {
    files::make_dir(to)?;
    for (path, meta) in listed(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if meta.is_dir() {
            copy_tree(&path, &target)?;
        } else if meta.is_symlink() {
            let link = fs::read_link(&path).map_err(|e| Stop::file("read", &path, &e))?;
            std::os::unix::fs::symlink(link, &target)
                .map_err(|e| Stop::file("write", &target, &e))?;
        } else {
            files::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn build_in_copy(source: &Path, version: &str, build: &Path, spmc: Spmc) -> Result<(), Stop> {
    let work = paths::tfa().join(format!("work-{}", std::process::id()));
    files::remove_dir(&work)?;
    let tree = work.join("tree");
    say::progress(&format!("building TF-A {version} (once; about half a minute)"));
    copy_tree(source, &tree)?;
    let manifest = work.join("placeholder.dts");
    let blank = work.join("placeholder.bin");
    files::write(&manifest, PLACEHOLDER_MANIFEST)?;
    files::write(&blank, [0u8; 4096])?;
    let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let log = paths::tfa().join("build.log");
    let mut step = Step::new("the build of TF-A", "make", &log)
        .dir(&tree)
        .args([format!("-j{jobs}")])
        .args(OPTIONS)
        .args(spmc.options())
        .args([
            format!("QEMU_TOS_FW_CONFIG_DTS={}", manifest.display()),
            format!("BL32={}", blank.display()),
            format!("BL33={}", blank.display()),
        ])
        .args(if spmc == Spmc::Hafnium { packages(&work, &manifest)? } else { Vec::new() })
        .limit(Duration::from_secs(900));
    for name in ["CFLAGS", "LDFLAGS", "MAKEFLAGS", "MFLAGS", "CC", "LD", "AR", "V"] {
        step = step.without_env(name);
    }
    step.run().map_err(|stop| {
        let stale = format!("remove {} and try again, or point {VARIABLE} elsewhere", "target/tfa");
        if stop.exit == crate::outcome::Exit::Failed { stop.mend(stale) } else { stop }
    })?;
    let out = tree.join("build/qemu/release");
    let done = work.join("done");
    files::make_dir(&done)?;
    files::copy(&out.join("bl1.bin"), &done.join("bl1.bin"))?;
    files::copy(&out.join("fip.bin"), &done.join("fip.bin"))?;
    files::copy(&tree.join("tools/fiptool/fiptool"), &done.join("fiptool"))?;
    if spmc == Spmc::Hafnium {
        files::copy(&tree.join("tools/sptool").join(SPTOOL), &done.join(SPTOOL))?;
    }
    files::remove_dir(build)?;
    fs::rename(&done, build).map_err(|e| Stop::file("name the folder", build, &e))?;
    files::remove_dir(&work)
}

/// The options of a build for partitions in packages, and the files that they name: one package that holds
/// the place of ours.
fn packages(work: &Path, manifest: &Path) -> Result<Vec<String>, Stop> {
    let (boot, layout) = (work.join("placeholder_tb_fw.dts"), work.join("placeholder.json"));
    files::write(&boot, "/dts-v1/;\n/ { compatible = \"arm,tb_fw\"; };\n")?;
    // A name of its own: the build makes a blob of each .dts by its name.
    let partition = work.join("placeholder_sp.dts");
    files::copy(manifest, &partition)?;
    let of_sp = serde_json::json!({
        "causeway": {
            "image": "placeholder.bin",
            "pm": "placeholder_sp.dts",
            "owner": "Plat",
            "uuid": text::uuid(&causeway_abi::SERVICE_UUID),
        }
    });
    files::write(&layout, of_sp.to_string())?;
    Ok(vec![
        format!("QEMU_TB_FW_CONFIG_DTS={}", boot.display()),
        format!("SP_LAYOUT_FILE={}", layout.display()),
    ])
}

#[cfg(test)]
mod tests;
