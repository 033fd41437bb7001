//! Owns the flash image of the suite: partition, SPMC, TF-A and the driver, put together for an SPMC.
//! Never boots.

use crate::image::{self, build};
use crate::optee::{self, Embedded};
use crate::outcome::{Stop, files};
use crate::tfa::{self, Spmc};
use crate::{dtc, paths, say, text, tree};
use build::{ElfImage, Program, Region};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifests/conformance/optee.dts";
const EL3_MANIFEST: &str = "manifests/conformance/el3.dts";
const SPMC_MANIFEST: &str = "manifests/conformance/optee-spmc.dts";
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
    files::write(&at("sp.dtb"), image::manifest(EL3_MANIFEST)?)?;
    let firmware = tfa::ready(Spmc::AtEl3)?;
    let parts = [("--tos-fw", at("sp.bin")), ("--tos-fw-config", at("sp.dtb"))];
    let flash = pack(&firmware, &dir, &parts)?;
    Ok(Made { flash, versions: vec![("tfa_version", firmware.version)] })
}

/// The folder of an image's parts.
pub(super) fn folder(name: &str) -> Result<PathBuf, Stop> {
    let dir = paths::image().join(name);
    files::make_dir(&dir)?;
    Ok(dir)
}

/// The flash image with the parts and the driver, which is the normal world.
pub(super) fn pack(
    firmware: &tfa::Built,
    dir: &Path,
    parts: &[(&str, PathBuf)],
) -> Result<PathBuf, Stop> {
    let driver = [("--nt-fw", dir.join("driver.bin"))];
    image::package(firmware, dir, &[parts, &driver].concat())?;
    say::progress(&format!("the image is in {}", dir.display()));
    Ok(dir.join("flash.bin"))
}

/// The image for OP-TEE.
pub(super) fn optee() -> Result<Made, Stop> {
    let dir = folder("optee")?;
    let driver = build::one(Program::ConformanceDriver)?;
    files::write(&dir.join("driver.bin"), driver)?;
    let partition = build::relocatable(Program::PartitionAtEl0)?;
    let source = tree::text(&paths::root().join(MANIFEST))? + &regions(&partition);
    files::write(&dir.join("sp.dts"), &source)?;
    let manifest = dtc::compile(MANIFEST, &source)?;
    files::write(&dir.join("sp.dtb"), &manifest)?;
    let source = tree::text(&paths::root().join(SPMC_MANIFEST))?;
    files::write(&dir.join("spmc.dtb"), dtc::compile(SPMC_MANIFEST, &source)?)?;
    // OP-TEE names the partition's files by it.
    let uuid = text::uuid(&causeway_abi::SERVICE_UUID);
    let embedded = Embedded { uuid: &uuid, image: &partition.image, manifest: &manifest };
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
