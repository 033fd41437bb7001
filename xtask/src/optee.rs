//! Owns OP-TEE: where its source comes from, how it is built with our partition in it, and the cache of
//! both. Never changes its source, and never builds in the source's folder.

use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::setup::packages::PYTHON;
use crate::setup::source_package::SourcePackage;
use crate::text::hex;
use crate::{paths, say};
use sha2::{Digest, Sha256};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const VARIABLE: &str = "OPTEE_DIR";
/// The releases whose manners were looked up; Debian's trixie has the one, sid the other.
const RELEASES: [&str; 2] = ["4.5", "4.10"];
/// What the build leaves, as TF-A's package wants it.
const IMAGES: [&str; 2] = ["tee-header_v2.bin", "tee-pager_v2.bin"];
/// S-EL1 SPMC on QEMU with partitions at S-EL0. The counter is open to them (CFG_FTRACE_SUPPORT is what
/// opens it: docs/spmc-facts.md, OPTEE-CLOCK). What nobody uses here is left out, so that the build is
/// short; RSA stays, since without any of its kind the memory pool is missing in which a partition's
/// image is unpacked.
const OPTIONS: [&str; 17] = [
    "CROSS_COMPILE=aarch64-linux-gnu-",
    "CROSS_COMPILE_core=aarch64-linux-gnu-",
    "CROSS_COMPILE_ta_arm64=aarch64-linux-gnu-",
    "PLATFORM=vexpress-qemu_armv8a",
    "CFG_USER_TA_TARGETS=ta_arm64",
    "CFG_ARM64_core=y",
    "CFG_ARM_GICV3=y",
    "CFG_CORE_SEL1_SPMC=y",
    "CFG_SECURE_PARTITION=y",
    "CFG_FTRACE_SUPPORT=y",
    "CFG_TEE_CORE_LOG_LEVEL=2",
    "CFG_REE_FS=n",
    "CFG_RPMB_FS=n",
    "CFG_REE_FS_TA=n",
    "CFG_BUILD_IN_TREE_TA=n",
    "CFG_PKCS11_TA=n",
    "CFG_WITH_STATS=n",
];
/// Further parts that are left out.
const WITHOUT: [&str; 30] = [
    "TEE_CORE_EMBED_INTERNAL_TESTS",
    "ENABLE_EMBEDDED_TESTS",
    "CRYPTO_DES",
    "CRYPTO_SM4",
    "CRYPTO_CTS",
    "CRYPTO_XTS",
    "CRYPTO_CMAC",
    "CRYPTO_CBC_MAC",
    "CRYPTO_MD5",
    "CRYPTO_SHA1",
    "CRYPTO_SHA224",
    "CRYPTO_SHA384",
    "CRYPTO_SHA512",
    "CRYPTO_SHA512_256",
    "CRYPTO_SM3",
    "CRYPTO_SHA3_224",
    "CRYPTO_SHA3_256",
    "CRYPTO_SHA3_384",
    "CRYPTO_SHA3_512",
    "CRYPTO_SHAKE128",
    "CRYPTO_SHAKE256",
    "CRYPTO_DSA",
    "CRYPTO_DH",
    "CRYPTO_ECC",
    "CRYPTO_ED25519",
    "CRYPTO_X25519",
    "CRYPTO_CCM",
    "CRYPTO_GCM",
    "CRYPTO_SM2_PKE",
    "CRYPTO_SM2_DSA",
];

/// A partition for OP-TEE to embed.
pub(crate) struct Embedded<'a> {
    /// Its UUID, in text.
    pub(crate) uuid: &'a str,
    /// Its flat image.
    pub(crate) image: &'a [u8],
    /// Its compiled manifest.
    pub(crate) manifest: &'a [u8],
}

/// A finished build.
pub(crate) struct Built {
    /// Its version, such as 4.10.0.
    pub(crate) version: String,
    /// The two images, in the order of the package: header, and all else.
    pub(crate) images: [PathBuf; 2],
}

/// The tree that the user names, if any.
pub(crate) fn own_tree() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn base() -> PathBuf {
    paths::target().join("optee")
}

fn package() -> SourcePackage {
    SourcePackage {
        what: "OP-TEE",
        package: "optee-os",
        // What trixie lists may be gone from its mirror; sid has a newer one.
        suites: &["trixie", "sid"],
        base: base(),
        mend: format!(
            "check the network (or the proxy in /etc/apt/apt.conf.d), and try again; or\n\
             set {VARIABLE} to a tree of OP-TEE {}",
            RELEASES.join(" or ")
        ),
        check: |tree| version_of(tree).map(|_| ()),
    }
}

/// Fetches and builds what is not there yet. Another partition makes a short build: only what holds it is
/// made anew.
pub(crate) fn ready(embedded: &Embedded<'_>) -> Result<Built, Stop> {
    let tree = match own_tree() {
        Some(tree) => tree,
        None => package().tree()?,
    };
    let version = version_of(&tree)?;
    let out = base().join(format!("out-{}", tree_key(&tree)));
    let images = IMAGES.map(|name| out.join("core").join(name));
    let key = embedded_key(embedded);
    let key_file = out.join("causeway.key");
    let known = fs::read_to_string(&key_file).unwrap_or_default();
    if known == key && images.iter().all(|image| image.is_file()) {
        return Ok(Built { version, images });
    }
    files::make_dir(&out)?;
    // Until the build is whole, no key is there that could be taken for its own.
    files::write(&key_file, "")?;
    let image = place(embedded)?;
    say::progress(&format!("building OP-TEE {version} (the first time a minute or two)"));
    let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut step = Step::new("the build of OP-TEE", "make", &base().join("build.log"))
        .dir(&tree)
        .args([format!("-j{jobs}"), format!("O={}", out.display())])
        .args([format!("PYTHON3={PYTHON}"), format!("SP_PATHS={}", image.display())])
        .args(OPTIONS)
        .args(WITHOUT.map(|part| format!("CFG_{part}=n")))
        .args(["CFG_CRYPTO_SM2_KEP=n", "CFG_IN_TREE_EARLY_TAS="])
        .args(&images)
        .limit(Duration::from_secs(900));
    for name in ["CFLAGS", "LDFLAGS", "MAKEFLAGS", "MFLAGS", "CC", "LD", "AR", "V"] {
        step = step.without_env(name);
    }
    step.run()?;
    files::write(&key_file, key)?;
    Ok(Built { version, images })
}

/// Puts the partition where OP-TEE's makefile looks: bin/UUID.bin and manifest/UUID.dtb. Both are new
/// files, so that make sees a change of either.
fn place(embedded: &Embedded<'_>) -> Result<PathBuf, Stop> {
    let folder = base().join("sp");
    let image = folder.join("bin").join(format!("{}.bin", embedded.uuid));
    let manifest = folder.join("manifest").join(format!("{}.dtb", embedded.uuid));
    for (file, bytes) in [(&manifest, embedded.manifest), (&image, embedded.image)] {
        if let Some(parent) = file.parent() {
            files::make_dir(parent)?;
        }
        files::write(file, bytes)?;
    }
    Ok(image)
}

/// Names everything that a build depends on beside the tree.
fn embedded_key(embedded: &Embedded<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [embedded.uuid.as_bytes(), embedded.image, embedded.manifest] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..8])
}

/// Names the tree and the options: another of either is built in a folder of its own.
fn tree_key(tree: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(tree.as_os_str().as_encoded_bytes());
    for option in OPTIONS.iter().chain(&WITHOUT) {
        hash.update(option.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..8])
}

/// The version in OP-TEE's makefile of it; refuses what is no OP-TEE tree, and a release whose manners
/// nobody looked up.
fn version_of(tree: &Path) -> Result<String, Stop> {
    let from = if own_tree().is_some() { VARIABLE } else { "the source package" };
    let mend = format!("point {VARIABLE} at a tree of OP-TEE {}", RELEASES.join(" or "));
    let text = fs::read_to_string(tree.join("mk/config.mk")).unwrap_or_default();
    let value = |name: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix("?=")?.trim()))
    };
    let (Some(major), Some(minor)) =
        (value("CFG_OPTEE_REVISION_MAJOR"), value("CFG_OPTEE_REVISION_MINOR"))
    else {
        return Err(Stop::missing(format!(
            "{} (from {from}) is no tree of OP-TEE: its mk/config.mk has no version",
            tree.display()
        ))
        .mend(mend));
    };
    let release = format!("{major}.{minor}");
    if !RELEASES.contains(&release.as_str()) {
        return Err(Stop::missing(format!(
            "{from} has OP-TEE {release}; this project is made for {}",
            RELEASES.join(" and ")
        ))
        .mend(mend));
    }
    let patch = value("CFG_OPTEE_REVISION_EXTRA").filter(|extra| !extra.is_empty());
    Ok(format!("{release}{}", patch.map_or_else(String::new, |extra| format!(".{extra}"))))
}

#[cfg(test)]
mod tests {
    use super::{Embedded, embedded_key, tree_key, version_of};
    use std::fs;
    use std::path::Path;

    fn tree(minor: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("mk")).expect("made");
        let text = format!("CFG_OPTEE_REVISION_MAJOR ?= 4\nCFG_OPTEE_REVISION_MINOR ?= {minor}\n");
        fs::write(dir.path().join("mk/config.mk"), text).expect("written");
        dir
    }

    #[test]
    fn only_releases_that_were_looked_up_are_accepted() {
        assert_eq!(version_of(tree("10").path()), Ok("4.10".to_owned()));
        assert_eq!(version_of(tree("5").path()), Ok("4.5".to_owned()));
        let other = version_of(tree("99").path()).expect_err("another release");
        assert!(other.reason.contains("4.99"), "{other}");
        assert_eq!(other.exit.code(), 3);
        assert!(version_of(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn the_keys_follow_the_tree_the_image_and_the_manifest() {
        let of =
            |image: &[u8], manifest: &[u8]| embedded_key(&Embedded { uuid: "u", image, manifest });
        assert_eq!(of(&[1], &[2]), of(&[1], &[2]));
        assert_ne!(of(&[1], &[2]), of(&[1], &[3]));
        assert_ne!(of(&[1, 2], &[]), of(&[1], &[2]));
        assert_ne!(tree_key(Path::new("/a")), tree_key(Path::new("/b")));
    }
}
