//! Owns target/image/: what the contract names, and the raw variants for tests. Never boots.

pub(crate) mod build;
pub(crate) mod flash;
pub(crate) mod pack;

use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::tfa::{self, Built, Spmc};
use crate::{dtc, paths, say, tree};
use build::Program;
use causeway_guests::jobs::{Job, MonitorBuild, Profile};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the monitor's image ends and the pack of guests begins.
const PACK_OFFSET: usize = 0x20_0000;
/// The monitor's own memory (0x60000000 .. 0x61000000).
const MONITOR_ROOM: usize = 0x100_0000;
/// Secure RAM for the partition (0x0e100000 .. 0x0f000000).
const PARTITION_ROOM: usize = 0xf0_0000;
/// The EL3 SPMC reads manifest and boot information from one page.
const MANIFEST_ROOM: u64 = 4096 - 128;
/// The manifests of both profiles.
pub(crate) const MANIFEST: &str = "manifests/qemu-el3.dts";
pub(crate) const MINIMAL_MANIFEST: &str = "manifests/qemu-el3-minimal.dts";

/// Which monitor the images hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The honest monitor: what `image` and `run` are about.
    Honest,
    /// The test build that forwards unchecked.
    Raw,
    /// The honest monitor, and the partition in its minimal profile.
    Minimal,
}

impl Variant {
    /// The images that a job boots.
    pub(crate) fn of(job: &Job) -> Self {
        match (job.profile, job.monitor) {
            (Profile::Minimal, _) => Self::Minimal,
            (Profile::Full, MonitorBuild::Checked) => Self::Honest,
            (Profile::Full, MonitorBuild::Raw) => Self::Raw,
        }
    }

    /// Its folder.
    pub(crate) fn dir(self) -> PathBuf {
        match self {
            Self::Honest => paths::image(),
            Self::Raw => paths::image().join("raw"),
            Self::Minimal => paths::image().join("minimal"),
        }
    }

    /// The flash image that QEMU boots.
    pub(crate) fn flash(self) -> PathBuf {
        self.dir().join("flash.bin")
    }
}

/// What of a partition's image lies in secure RAM before it runs: code, constants, initialised variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Of which profile.
    pub(crate) profile: Profile,
    /// Bytes of the flat image.
    pub(crate) bytes: usize,
}

impl Size {
    /// Its name among the figures.
    pub(crate) fn name(self) -> &'static str {
        match self.profile {
            Profile::Full => "size/image_as_loaded",
            Profile::Minimal => "size/minimal_image_as_loaded",
        }
    }

    /// The most that it should be.
    pub(crate) fn goal(self) -> usize {
        match self.profile {
            Profile::Full => 128 << 10,
            Profile::Minimal => 48 << 10,
        }
    }

    /// Whether it is no more.
    pub(crate) fn met(self) -> bool {
        self.bytes <= self.goal()
    }

    /// The line for people.
    pub(crate) fn line(self) -> String {
        format!(
            "{}: {} bytes of code, constants and initialised variables  (goal: {}{})",
            self.name(),
            self.bytes,
            self.goal(),
            if self.met() { "" } else { ", missed" }
        )
    }
}

/// Builds the images of these variants.
pub(crate) fn make(variants: &[Variant]) -> Result<(), Stop> {
    let built = tfa::ready(Spmc::AtEl3)?;
    files::make_dir(&paths::image())?;
    let guests = build::guests()?;
    let pack = pack::write(&guests).map_err(Stop::failed)?;
    for variant in variants {
        let dir = variant.dir();
        files::make_dir(&dir)?;
        let monitor = build::one(match variant {
            Variant::Honest | Variant::Minimal => Program::Monitor,
            Variant::Raw => Program::RawMonitor,
        })?;
        let (program, source) = match variant {
            Variant::Honest | Variant::Raw => (Program::Partition, MANIFEST),
            Variant::Minimal => (Program::MinimalPartition, MINIMAL_MANIFEST),
        };
        let partition = build::one(program)?;
        room("the partition", partition.len(), PARTITION_ROOM)?;
        let profile = match variant {
            Variant::Honest | Variant::Raw => Profile::Full,
            Variant::Minimal => Profile::Minimal,
        };
        say::progress(&Size { profile, bytes: partition.len() }.line());
        let dtb = manifest(source)?;
        let monitor = with_pack(monitor, &pack)?;
        files::write(&dir.join("sp.bin"), &partition)?;
        files::write(&dir.join("monitor.bin"), &monitor)?;
        files::write(&dir.join("sp.dtb"), &dtb)?;
        firmware(&built, &dir)?;
    }
    say::progress(&format!("images are in {}", paths::image().display()));
    Ok(())
}

/// Which partition answers the measuring program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    /// Ours.
    Causeway,
    /// The one that does nothing of its own: what remains is TF-A's share.
    Empty,
}

impl Measured {
    /// The folder of its images.
    pub(crate) fn dir(self) -> PathBuf {
        paths::image().join(match self {
            Self::Causeway => "bench",
            Self::Empty => "bench-empty",
        })
    }
}

/// Builds the partition in both of its profiles; how large each is.
pub(crate) fn sizes() -> Result<[Size; 2], Stop> {
    let size =
        |profile, program| build::one(program).map(|image| Size { profile, bytes: image.len() });
    Ok([
        size(Profile::Full, Program::Partition)?,
        size(Profile::Minimal, Program::MinimalPartition)?,
    ])
}

/// Builds the images with the measuring program in the monitor's place, one for each partition.
pub(crate) fn make_bench() -> Result<(), Stop> {
    let built = tfa::ready(Spmc::AtEl3)?;
    files::make_dir(&paths::image())?;
    let partition = build::one(Program::Partition)?;
    let dtb = manifest(MANIFEST)?;
    let [measuring, empty] = build::bench()?;
    for (which, partition) in [(Measured::Causeway, &partition), (Measured::Empty, &empty)] {
        let dir = which.dir();
        files::make_dir(&dir)?;
        room("the partition", partition.len(), PARTITION_ROOM)?;
        room("the measuring program", measuring.len(), MONITOR_ROOM)?;
        files::write(&dir.join("sp.bin"), partition)?;
        files::write(&dir.join("monitor.bin"), &measuring)?;
        files::write(&dir.join("sp.dtb"), &dtb)?;
        firmware(&built, &dir)?;
    }
    Ok(())
}

/// The monitor, padded, with the guests behind it.
pub(crate) fn with_pack(mut monitor: Vec<u8>, pack: &[u8]) -> Result<Vec<u8>, Stop> {
    room("the monitor", monitor.len(), PACK_OFFSET)?;
    monitor.resize(PACK_OFFSET, 0);
    monitor.extend_from_slice(pack);
    room("the monitor with its guests", monitor.len(), MONITOR_ROOM)?;
    Ok(monitor)
}

fn room(what: &str, len: usize, limit: usize) -> Result<(), Stop> {
    if len <= limit {
        return Ok(());
    }
    Err(Stop::failed(format!("{what} is {len} bytes; there is room for {limit}")))
}

/// Compiles the partition's manifest.
pub(crate) fn manifest(name: &str) -> Result<Vec<u8>, Stop> {
    let bytes = dtc::compile(name, &tree::text(&paths::root().join(name))?)?;
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if len > MANIFEST_ROOM {
        return Err(Stop::failed(format!(
            "{name} compiles to {len} bytes; the SPMC has room for {MANIFEST_ROOM}"
        )));
    }
    Ok(bytes)
}

/// Puts our partition, its manifest and the normal world into TF-A's package and makes the flash image.
fn firmware(built: &Built, dir: &Path) -> Result<(), Stop> {
    let parts = [
        ("--tos-fw", dir.join("sp.bin")),
        ("--tos-fw-config", dir.join("sp.dtb")),
        ("--nt-fw", dir.join("monitor.bin")),
    ];
    package(built, dir, &parts)
}

/// Puts parts into a copy of TF-A's package, each under its option of fiptool, and makes flash.bin.
pub(crate) fn package(built: &Built, dir: &Path, parts: &[(&str, PathBuf)]) -> Result<(), Stop> {
    let at = |name: &str| dir.join(name);
    for name in ["fiptool", "bl1.bin", "fip.bin"] {
        files::copy(&built.build.join(name), &at(name))?;
    }
    let mut step = Step::new("fiptool update", at("fiptool"), &at("fiptool.log")).args(["update"]);
    for (option, file) in parts {
        step = step.args([Path::new(option), file]);
    }
    step.args([at("fip.bin")]).limit(Duration::from_secs(60)).run()?;
    let flash = flash::assemble(&files::read(&at("bl1.bin"))?, &files::read(&at("fip.bin"))?)
        .map_err(Stop::failed)?;
    files::write(&at("flash.bin"), flash)
}
