//! Owns the flash image of the suite: partition, SPMC, TF-A and the driver, put together for an SPMC.
//! Never boots.

use crate::image::{build, flash};
use crate::optee::{self, Embedded};
use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::tfa::{self, Spmc};
use crate::{paths, say};
use build::{ElfImage, Program, Region};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MANIFEST: &str = "manifests/conformance/optee.dts";
const EL3_MANIFEST: &str = "manifests/conformance/el3.dts";
const SPMC_MANIFEST: &str = "manifests/conformance/optee-spmc.dts";
/// The partition's UUID, which names its files for OP-TEE.
const UUID: &str = "b4b5671e-4a90-4fe1-b81f-fb13dae1dacb";

/// An image, and what is in it.
pub(super) struct Made {
    /// What QEMU boots.
    pub(super) flash: PathBuf,
    /// The firmware's versions, by name.
    pub(super) versions: Vec<(&'static str, String)>,
}

/// The image for TF-A's own SPMC.
pub(super) fn el3() -> Result<Made, Stop> {
    let dir = folder("conformance-el3")?;
    let at = |name: &str| dir.join(name);
    files::write(&at("driver.bin"), build::one(Program::ConformanceDriver)?)?;
    files::write(&at("sp.bin"), build::one(Program::Partition)?)?;
    compile(&paths::root().join(EL3_MANIFEST), &at("sp.dtb"))?;
    let firmware = tfa::ready(Spmc::AtEl3)?;
    let parts = [("--tos-fw", at("sp.bin")), ("--tos-fw-config", at("sp.dtb"))];
    let flash = pack(&firmware, &dir, &parts)?;
    Ok(Made { flash, versions: vec![("tfa_version", firmware.version)] })
}

fn folder(name: &str) -> Result<PathBuf, Stop> {
    let dir = paths::image().join(name);
    files::make_dir(&dir)?;
    Ok(dir)
}

/// Puts the parts and the driver into TF-A's package, and makes the flash image.
fn pack(firmware: &tfa::Built, dir: &Path, parts: &[(&str, PathBuf)]) -> Result<PathBuf, Stop> {
    let at = |name: &str| dir.join(name);
    for name in ["fiptool", "bl1.bin", "fip.bin"] {
        files::copy(&firmware.build.join(name), &at(name))?;
    }
    let mut step = Step::new("fiptool update", at("fiptool"), &at("fiptool.log")).args(["update"]);
    for (option, file) in parts {
        step = step.args([Path::new(option), file]);
    }
    step.args([Path::new("--nt-fw"), &at("driver.bin"), &at("fip.bin")])
        .limit(Duration::from_secs(60))
        .run()?;
    let flash = flash::assemble(&files::read(&at("bl1.bin"))?, &files::read(&at("fip.bin"))?)
        .map_err(Stop::failed)?;
    files::write(&at("flash.bin"), flash)?;
    say::progress(&format!("the image is in {}", dir.display()));
    Ok(at("flash.bin"))
}

/// The image for OP-TEE.
pub(super) fn optee() -> Result<Made, Stop> {
    let dir = folder("optee")?;
    let driver = build::one(Program::ConformanceDriver)?;
    files::write(&dir.join("driver.bin"), driver)?;
    let partition = build::relocatable(Program::PartitionAtEl0)?;
    let source = files::read(&paths::root().join(MANIFEST))?;
    let source = String::from_utf8_lossy(&source).into_owned() + &regions(&partition);
    files::write(&dir.join("sp.dts"), source)?;
    let manifest = compile(&dir.join("sp.dts"), &dir.join("sp.dtb"))?;
    compile(&paths::root().join(SPMC_MANIFEST), &dir.join("spmc.dtb"))?;
    let embedded = Embedded { uuid: UUID, image: &partition.image, manifest: &manifest };
    let tee = optee::ready(&embedded)?;
    let firmware = tfa::ready(Spmc::OpTee)?;
    let [header, pager] = &tee.images;
    let parts = [
        ("--tos-fw", header.clone()),
        ("--tos-fw-extra1", pager.clone()),
        ("--tos-fw-config", dir.join("spmc.dtb")),
    ];
    let flash = pack(&firmware, &dir, &parts)?;
    let versions = vec![("optee_version", tee.version), ("tfa_version", firmware.version)];
    Ok(Made { flash, versions })
}

fn compile(source: &Path, out: &Path) -> Result<Vec<u8>, Stop> {
    Step::new("dtc of a manifest for OP-TEE", "dtc", &paths::image().join("dtc.log"))
        .args(["-q", "-I", "dts", "-O", "dtb", "-o"])
        .args([out, source])
        .limit(Duration::from_secs(30))
        .run()?;
    files::read(out)
}

/// The memory regions of an image as OP-TEE's manifests have them: attributes 1 reads, 3 reads and writes,
/// 5 reads and executes; load flag 1: nothing of it is in the image.
fn regions(partition: &ElfImage) -> String {
    let [text, rodata, relro, data, bss] = &partition.regions;
    let node = |name: &str, region: &Region, attributes: u32, more: &str| {
        if region.pages == 0 {
            return String::new();
        }
        format!(
            "\t\t{name} {{\n\t\t\tload-address-relative-offset = /bits/ 64 <{:#x}>;\n\
             \t\t\tpages-count = <{}>;\n\t\t\tattributes = <{attributes}>;\n{more}\t\t}};\n",
            region.start, region.pages
        )
    };
    format!(
        "\n/ {{\n\tmemory-regions {{\n\t\tcompatible = \"arm,ffa-manifest-memory-regions\";\n{}{}{}{}{}\t}};\n}};\n",
        node("text", text, 5, ""),
        node("rodata", rodata, 1, ""),
        node("relro", relro, 3, ""),
        node("data", data, 3, ""),
        node("bss", bss, 3, "\t\t\tload-flags = <1>;\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::{ElfImage, Region, regions};

    #[test]
    fn each_part_has_its_permissions_and_an_empty_one_is_left_out() {
        let part = |start, pages| Region { start, pages };
        let parts =
            [part(0, 3), part(0x3000, 1), part(0x4000, 0), part(0x4000, 2), part(0x7000, 9)];
        let text = regions(&ElfImage { image: Vec::new(), regions: parts });
        assert!(text.contains("text {\n\t\t\tload-address-relative-offset = /bits/ 64 <0x0>;"));
        assert!(
            text.contains("pages-count = <9>;\n\t\t\tattributes = <3>;\n\t\t\tload-flags = <1>;")
        );
        assert!(!text.contains("relro"));
        assert_eq!(text.matches("attributes").count(), 4);
    }
}
