//! Owns `cargo xtask dist`: what a release consists of, in one folder with its digests and bill of materials.
//! Never publishes anything. Firmware is not ours and is not in it.

mod sbom;

use crate::cli::DistArgs;
use crate::image::build::{self, Program};
use crate::image::pack;
use crate::json::{self, Fields};
use crate::outcome::{Stop, files};
use crate::process::{self, Step};
use crate::setup::{self, Consent};
use crate::suite::PACKED;
use crate::text::hex;
use crate::{image, paths, say, tree};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(3600);
const VERSION: &str = env!("CARGO_PKG_VERSION");
const SUMS: &str = "SHA256SUMS";
/// Documents that go along as they are.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "ARCHITECTURE.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

pub(crate) fn dist(args: &DistArgs, consent: Consent) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        setup::for_programs(consent)?;
        let dir = args.into.clone().unwrap_or_else(|| paths::target().join("dist"));
        let dir = dir.join(format!("causeway-{VERSION}"));
        let source = source();
        make(&dir)?;
        let sums = tree::text(&dir.join(SUMS))?;
        tell(&dir, &sums, fields);
        let outcome = if args.check { again(&sums, &dir) } else { Ok(()) };
        if source == self::source() {
            return outcome;
        }
        Err(Stop::failed("the tree changed while it was built").mend("run it again"))
    })
}

/// What is being built: the commit, and which files are not as it has them. Nothing outside a checkout.
fn source() -> String {
    let ask = |args: &[&str]| {
        let answer = process::ask("git", args, Duration::from_secs(30));
        answer.map(|answer| answer.stdout).unwrap_or_default()
    };
    ask(&["rev-parse", "HEAD"]) + &ask(&["diff", "HEAD", "--stat"])
}

fn tell(dir: &Path, sums: &str, fields: &mut Fields) {
    let files: Vec<_> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| serde_json::json!({ "name": name, "sha256": digest }))
        .collect();
    say::line(&format!("  {} files in {}", files.len(), dir.display()));
    fields.insert("files".to_owned(), files.into());
}

/// Fills the folder anew.
fn make(dir: &Path) -> Result<(), Stop> {
    files::remove_dir(dir)?;
    images(&dir.join("images"))?;
    copy_in(dir, "abi/include/causeway.h", "include/causeway.h")?;
    let root = paths::root();
    for ending in [".dts", ".json", ".cfg"] {
        for file in tree::files(&root.join("manifests"), ending)? {
            let name = tree::shown(&root, &file);
            copy_in(dir, &name, &name)?;
        }
    }
    for document in tree::files(&root.join("docs"), ".md")? {
        let name = tree::shown(&root, &document);
        copy_in(dir, &name, &name)?;
    }
    for name in DOCUMENTS {
        copy_in(dir, name, name)?;
    }
    crates(&dir.join("crates"))?;
    say::progress("writing the bill of materials");
    files::write(&dir.join("causeway.spdx.json"), sbom::spdx(VERSION)?)?;
    files::write(&dir.join(SUMS), sums(dir)?)
}

fn copy_in(dir: &Path, from: &str, to: &str) -> Result<(), Stop> {
    let to = dir.join(to);
    files::make_dir(to.parent().unwrap_or(dir))?;
    files::copy(&paths::root().join(from), &to)
}

/// The partition in both profiles with its manifests, and the monitor with the example guests.
fn images(dir: &Path) -> Result<(), Stop> {
    files::make_dir(dir)?;
    files::make_dir(&paths::image())?;
    let guests = pack::write(&build::guests()?).map_err(Stop::failed)?;
    for (program, name) in [
        (Program::Partition, "sp.bin"),
        (Program::MinimalPartition, "sp-minimal.bin"),
        (Program::Monitor, "monitor.bin"),
    ] {
        let mut bytes = build::one(program)?;
        if program == Program::Monitor {
            bytes = image::with_pack(bytes, &guests)?;
        }
        files::write(&dir.join(name), bytes)?;
    }
    for (source, name) in [(image::MANIFEST, "sp.dtb"), (image::MINIMAL_MANIFEST, "sp-minimal.dtb")]
    {
        files::write(&dir.join(name), image::manifest(source)?)?;
    }
    Ok(())
}

/// The crates as `cargo publish` would send them.
fn crates(dir: &Path) -> Result<(), Stop> {
    say::progress("packing the crates");
    let built = paths::target().join("dist-crates");
    files::remove_dir(&built)?;
    let packages =
        PACKED.iter().flat_map(|name| ["--package".to_owned(), format!("causeway-{name}")]);
    Step::new("cargo package", "cargo", &paths::target().join("setup/dist-package.log"))
        .dir(&paths::root())
        .args(["package", "--no-verify", "--allow-dirty", "--target-dir"])
        .args([&built])
        .args(packages)
        .limit(LIMIT)
        .run()?;
    files::make_dir(dir)?;
    for name in PACKED {
        let file = format!("causeway-{name}-{VERSION}.crate");
        files::copy(&built.join("package").join(&file), &dir.join(&file))?;
    }
    files::remove_dir(&built)
}

/// A line for each file, as `sha256sum -c` reads it.
fn sums(dir: &Path) -> Result<String, Stop> {
    let mut lines = String::new();
    for file in tree::files(dir, "")? {
        let name = tree::shown(dir, &file);
        if name != SUMS {
            let digest = hex(&Sha256::digest(files::read(&file)?));
            lines.push_str(&format!("{digest}  {name}\n"));
        }
    }
    Ok(lines)
}

/// Builds all of it once more, from nothing, elsewhere; every digest must be the same.
fn again(sums: &str, dir: &Path) -> Result<(), Stop> {
    say::progress("building everything once more in another folder");
    let target = paths::target().join("dist-again");
    files::remove_dir(&target)?;
    files::make_dir(&target)?;
    let program = std::env::current_exe()
        .map_err(|why| Stop::failed(format!("cannot find this program: {why}")))?;
    Step::new("the second build", program, &paths::target().join("setup/dist-again.log"))
        .args(["dist", "--into"])
        .args([target.join("dist")])
        .env("CARGO_TARGET_DIR", target.as_os_str())
        .limit(LIMIT)
        .run()?;
    let other = tree::text(&target.join("dist").join(format!("causeway-{VERSION}")).join(SUMS))?;
    let differing = differing(sums, &other);
    if differing.is_empty() {
        say::line("  two builds in different folders have the same digests");
        return files::remove_dir(&target);
    }
    let list = differing.join(", ");
    let kept: PathBuf = target.join("dist");
    Err(Stop::failed(format!("two builds differ in: {list}")).mend(format!(
        "compare {} with {}",
        dir.display(),
        kept.display()
    )))
}

/// The names that have not the same digest in both.
fn differing(one: &str, other: &str) -> Vec<String> {
    let names = |text: &str, without: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !without.lines().any(|known| known == *line));
        lines.filter_map(|line| Some(line.split_once("  ")?.1.to_owned())).collect()
    };
    let mut list = names(one, other);
    list.extend(names(other, one));
    list.sort();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::differing;

    #[test]
    fn what_differs_or_is_in_one_only_is_named_once() {
        let one = "aa  x\nbb  y\ncc  z\n";
        assert!(differing(one, one).is_empty());
        assert_eq!(differing(one, "aa  x\nbc  y\n"), ["y", "z"]);
    }
}
