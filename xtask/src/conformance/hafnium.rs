//! Owns the image of the suite for Hafnium: which Hafnium, the partition's package, and what TF-A loads beside
//! it. Never boots, and nothing of Hafnium is built or kept here.

use super::image::{self, Made};
use crate::image::build::{self, Program};
use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::setup::packages::PYTHON;
use crate::tfa::{self, Built, SPTOOL, Spmc};
use crate::{dtc, paths, text, tree};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where an integrator has Hafnium's image.
const VARIABLE: &str = "HAFNIUM_BIN";
/// What it was built of, in the caller's words.
const VERSION: &str = "HAFNIUM_VERSION";
/// The manifests: the partition's, Hafnium's, and what BL2 loads.
const MANIFEST: &str = "manifests/conformance/hafnium.dts";
const SPMC_MANIFEST: &str = "manifests/conformance/hafnium-spmc.dts";
const BOOT_MANIFEST: &str = "manifests/conformance/hafnium-tb-fw.dts";
/// The CPU that QEMU emulates: with S-EL2, with pointer authentication that costs little, and without what
/// Hafnium or TF-A's build does not expect.
pub(super) const CPU: &str = "max,pauth-impdef=on,sve=off,sme=off";
/// With tags of memory: Hafnium is usually built to tag its stack.
pub(super) const MACHINE: &str = ",mte=on";
/// The oldest QEMU with the timers of secure EL2, which Hafnium uses.
pub(super) const OLDEST_QEMU: (u32, u32) = (10, 0);
/// Where manifest and image lie in the package; the manifests say the same.
const PACKAGE: [&str; 4] = ["--pm-offset", "0x1000", "--img-offset", "0x4000"];
/// What TF-A leaves for Hafnium's image before the partition's package.
const HAFNIUM_ROOM: u64 = 0x20_0000;

/// Hafnium's image, if the caller names one.
pub(super) fn given() -> Result<PathBuf, Stop> {
    let Some(given) = std::env::var_os(VARIABLE).filter(|given| !given.is_empty()) else {
        return Err(Stop::skipped(format!(
            "{VARIABLE} is not set, and nothing of Hafnium is in this repository; nothing ran"
        )));
    };
    let file = PathBuf::from(given);
    let len = std::fs::metadata(&file).map_err(|e| {
        Stop::missing(format!("{VARIABLE}={}: {e}", file.display()))
            .mend("hafnium-test/README.md says which image it must be")
    })?;
    if !len.is_file() || len.len() == 0 || len.len() > HAFNIUM_ROOM {
        return Err(Stop::missing(format!(
            "{VARIABLE}={} is no image of Hafnium: it must be a file of 1 to {HAFNIUM_ROOM} bytes",
            file.display()
        ))
        .mend("hafnium-test/README.md says which image it must be"));
    }
    Ok(file)
}

/// The image of the suite with this Hafnium.
pub(super) fn image(hafnium: &Path) -> Result<Made, Stop> {
    let dir = image::folder("hafnium")?;
    let at = |name: &str| dir.join(name);
    let bytes = files::read(hafnium)?;
    files::write(&at("hafnium.bin"), &bytes)?;
    files::write(&at("driver.bin"), build::one(Program::ConformanceDriver)?)?;
    files::write(&at("sp.bin"), build::one(Program::PartitionForHafnium)?)?;
    for (source, name) in
        [(MANIFEST, "sp.dtb"), (SPMC_MANIFEST, "spmc.dtb"), (BOOT_MANIFEST, "tb_fw.dtb")]
    {
        let source_text = tree::text(&paths::root().join(source))?;
        files::write(&at(name), dtc::compile(source, &source_text)?)?;
    }
    let firmware = tfa::ready(Spmc::Hafnium)?;
    package(&firmware, &dir)?;
    let blob = format!(
        "uuid={},file={}",
        text::uuid(&causeway_abi::SERVICE_UUID),
        at("causeway.pkg").display()
    );
    let parts = [
        ("--tos-fw", at("hafnium.bin")),
        ("--tos-fw-config", at("spmc.dtb")),
        ("--tb-fw-config", at("tb_fw.dtb")),
        ("--blob", PathBuf::from(blob)),
    ];
    let flash = image::pack(&firmware, &dir, &parts)?;
    let digest = text::hex(&Sha256::digest(&bytes)[..8]);
    let image = format!("sha256:{digest}");
    let said = std::env::var(VERSION).ok().filter(|said| !said.is_empty());
    let hafnium = said.map_or(image.clone(), |said| format!("{said} ({image})"));
    let versions = vec![("hafnium_version", hafnium), ("tfa_version", firmware.version)];
    Ok(Made { flash, versions })
}

/// The partition's package, by TF-A's own tool: manifest and image in one file.
fn package(firmware: &Built, dir: &Path) -> Result<(), Stop> {
    let at = |name: &str| dir.join(name);
    let pair = format!("{}:{}", at("sp.bin").display(), at("sp.dtb").display());
    Step::new("the partition's package", PYTHON, &at("sptool.log"))
        .args([firmware.build.join(SPTOOL)])
        .args(["-i", &pair])
        .args(PACKAGE)
        .args([Path::new("-o"), &at("causeway.pkg")])
        .limit(Duration::from_secs(60))
        .run()
}

#[cfg(test)]
mod tests {
    use super::{BOOT_MANIFEST, MANIFEST, PACKAGE, SPMC_MANIFEST};
    use crate::{paths, tree};

    /// The number behind a text, in hexadecimal.
    fn number(text: &str, behind: &str) -> u64 {
        let rest = text.split_once(behind).expect(behind).1;
        let digits = rest.trim_start_matches("0x");
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).expect("an end");
        u64::from_str_radix(&digits[..end], 16).expect("a number")
    }

    #[test]
    fn the_image_is_linked_for_where_manifests_and_package_put_it() {
        let text = |path: &str| tree::text(&paths::root().join(path)).expect(path);
        let [_, manifest_at, _, image_at] = PACKAGE.map(|word| word.trim_start_matches("0x"));
        let at = |digits: &str| u64::from_str_radix(digits, 16).expect("a number");
        let (partition, script) = (text(MANIFEST), text("sp/hafnium.ld"));
        let load = number(&partition, "\tload-address = <");
        assert_eq!(number(&partition, "entrypoint-offset = <"), at(image_at));
        assert_eq!(number(&script, "ORIGIN = "), load + at(image_at));
        assert!(
            at(manifest_at) >= 0x1000,
            "Hafnium writes the boot information before the manifest"
        );
        for (manifest, behind) in
            [(SPMC_MANIFEST, "\t\t\tload_address = <"), (BOOT_MANIFEST, "load-address = <")]
        {
            assert_eq!(number(&text(manifest), behind), load, "{manifest}");
        }
    }
}
