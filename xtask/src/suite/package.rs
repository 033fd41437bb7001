//! Owns the part that uses the library crates as an outsider would: packed, unpacked elsewhere, and
//! depended on by a project that is not of this workspace. Also: they compile for other systems.

mod c;

use super::tally::Tally;
use super::{Context, log_name};
use crate::outcome::{Exit, Stop, files};
use crate::process::{self, Step};
use crate::setup::{Consent, rust};
use crate::{paths, say};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(900);
const EXAMPLE: Duration = Duration::from_secs(120);

/// The crates that are published, and what they need. An order in which each comes after its needs.
pub(crate) const PACKED: [&str; 9] =
    ["ffa", "abi", "virtio", "memshare", "irq", "vault", "service", "fake-spmc", "client"];

/// Whose examples an outsider runs. The broker's are behind `cargo xtask explore` and docs/bounds.md.
const WITH_EXAMPLES: [&str; 4] = ["ffa", "virtio", "fake-spmc", "client"];

/// The status of an example that lacks a tool, and says which.
const LACKS_A_TOOL: i32 = 3;

/// Other systems that VMM authors work on: the libraries compile there, with their tests and examples.
const ELSEWHERE: [&str; 2] = ["x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

pub(super) fn run(context: &Context<'_>, consent: Consent, tally: &mut Tally) -> Result<(), Stop> {
    let dir = paths::target().join("outside");
    c::header(context, consent, tally)?;
    for target in ELSEWHERE {
        check_for(context, target, tally)?;
    }
    check_with_the_oldest(context, tally)?;
    if let Err(stop) = pack(context, &dir) {
        return fail("package::the_crates_are_packed", stop, tally);
    }
    tally.passed("package::the_crates_are_packed");
    for name in WITH_EXAMPLES {
        examples(context, &dir, name, tally)?;
    }
    c::example(context, &dir, tally)
}

/// Counts a stop as a failure, or hands on an interruption.
fn fail(name: &str, stop: Stop, tally: &mut Tally) -> Result<(), Stop> {
    if stop.exit == Exit::Interrupted {
        return Err(stop);
    }
    tally.failed(name, &stop.reason, None);
    Ok(())
}

/// Checks the libraries, their features, tests and examples for another system.
fn check_for(context: &Context<'_>, target: &str, tally: &mut Tally) -> Result<(), Stop> {
    let name = format!("package::it_compiles_for::{target}");
    if let Err(stop) = rust::target(target) {
        tally.skipped(&name, &stop.reason);
        return Ok(());
    }
    say::progress(&name);
    let log = log_name(context.dir, &name);
    let step = cargo("cargo check", &log, &paths::root())
        .args(["check", "--all-features", "--lib", "--tests", "--examples"])
        .args(["--target", target])
        .args(PACKED.iter().flat_map(|name| ["--package".to_owned(), package(name)]))
        .args(["--target-dir"])
        .args([paths::target()]);
    match step.run() {
        Ok(()) => tally.passed(&name),
        Err(stop) => fail(&name, stop, tally)?,
    }
    Ok(())
}

/// Compiles the libraries with the oldest Rust that they say they need.
fn check_with_the_oldest(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    let name = format!("package::it_compiles_with_rust::{oldest}");
    if let Err(stop) = rust::toolchain(oldest) {
        tally.skipped(&name, &stop.reason);
        return Ok(());
    }
    say::progress(&name);
    let log = log_name(context.dir, &name);
    let mut step = Step::new("cargo check", "rustup", &log).dir(&paths::root()).limit(LIMIT);
    for name in ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CARGO", "RUSTC", "RUSTFLAGS"] {
        step = step.without_env(name);
    }
    let step = step
        .env("CARGO_TERM_COLOR", "never")
        .args(["run", oldest, "cargo", "check", "--lib", "--all-features"])
        .args(PACKED.iter().flat_map(|name| ["--package".to_owned(), package(name)]))
        .args(["--target-dir"])
        .args([paths::target().join("oldest")]);
    match step.run() {
        Ok(()) => tally.passed(&name),
        Err(stop) => fail(&name, stop, tally)?,
    }
    Ok(())
}

/// Packs the crates and unpacks them into `dir`.
fn pack(context: &Context<'_>, dir: &Path) -> Result<(), Stop> {
    files::remove_dir(dir)?;
    files::make_dir(dir)?;
    let log = log_name(context.dir, "package");
    let built = dir.join("target");
    // Unpacked and built below, by the outsider: no second build here.
    cargo("cargo package", &log, &paths::root())
        .args(["package", "--no-verify", "--allow-dirty", "--target-dir"])
        .args([&built])
        .args(PACKED.iter().flat_map(|name| ["--package".to_owned(), package(name)]))
        .run()?;
    if let Some(warning) = warning(&log) {
        return Err(Stop::failed(format!("cargo package: {warning} (log: {})", log.display())));
    }
    for name in PACKED {
        let file = built.join("package").join(format!("{}.crate", versioned(name)));
        Step::new("tar", "tar", &log_name(context.dir, &format!("unpack {name}")))
            .args(["-xzf"])
            .args([&file])
            .args(["-C"])
            .args([dir])
            .limit(LIMIT)
            .run()?;
    }
    Ok(())
}

/// The first warning in a log: of a crate that does not say what it is, for one.
fn warning(log: &Path) -> Option<String> {
    let bytes = files::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find(|line| line.trim_start().starts_with("warning")).map(str::to_owned)
}

/// Builds and runs each example of a packed crate in a project of its own.
fn examples(context: &Context<'_>, dir: &Path, name: &str, tally: &mut Tally) -> Result<(), Stop> {
    let unpacked = dir.join(versioned(name));
    let found = programs(&unpacked.join("examples"));
    if found.is_empty() {
        return Ok(());
    }
    let project = dir.join(format!("uses-{name}"));
    if let Err(stop) = make_project(dir, name, &unpacked, &project) {
        return fail(&format!("package::{name}::project"), stop, tally);
    }
    for example in found {
        let name = format!("package::{name}::example_{example}");
        say::progress(&name);
        let log = log_name(context.dir, &name);
        let build = cargo("cargo build", &log, &project)
            .args(["build", "--bin", &example, "--target-dir"])
            .args([dir.join("target")])
            .run();
        let program = dir.join("target/debug").join(&example);
        let log = log_name(context.dir, &format!("{name} run"));
        let step = Step::new(&example, &program, &log).dir(&project).limit(EXAMPLE);
        match build.and_then(|()| step.status()) {
            Ok(status) if status.success() => tally.passed(&name),
            Ok(status) if status.code() == Some(LACKS_A_TOOL) => tally.skipped(&name, &said(&log)),
            Ok(status) => tally.failed(&name, &process::why(status, &log), Some(&log)),
            Err(stop) => fail(&name, stop, tally)?,
        }
    }
    Ok(())
}

/// The last line that a program said.
fn said(log: &Path) -> String {
    let bytes = files::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().last().unwrap_or("it did not say why").to_owned()
}

/// The example programs in a folder: files, and folders with a main file.
fn programs(dir: &Path) -> Vec<String> {
    let of_folders =
        folders(dir).into_iter().filter(|name| dir.join(name).join("main.rs").is_file());
    let mut found: Vec<String> = sources(dir).into_iter().chain(of_folders).collect();
    found.sort();
    found
}

/// The source files in a folder.
fn sources(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    found
}

/// A project that knows the packed crates only: the crate with all its features, and what its
/// examples depend on.
fn make_project(dir: &Path, name: &str, unpacked: &Path, project: &Path) -> Result<(), Stop> {
    let text = String::from_utf8_lossy(&files::read(&unpacked.join("Cargo.toml"))?).into_owned();
    let manifest: toml::Table =
        text.parse().map_err(|e| Stop::failed(format!("the packed manifest: {e}")))?;
    let table = |key: &str| manifest.get(key).and_then(toml::Value::as_table).cloned();
    let features = table("features").unwrap_or_default();
    let mut depends = BTreeMap::new();
    // Those of this system among them: `cargo package` writes each system's own table.
    let systems = table("target").unwrap_or_default();
    let of_systems = systems.values().filter_map(|system| system.get("dev-dependencies"));
    let of_systems = of_systems.filter_map(toml::Value::as_table).cloned();
    let all = table("dev-dependencies").into_iter().chain(table("dependencies")).chain(of_systems);
    for (crate_name, terms) in all.flatten() {
        let mut terms = terms.clone();
        if let Some(terms) = terms.as_table_mut() {
            terms.remove("optional");
        }
        depends.entry(crate_name).or_insert(terms);
    }
    let mut own = toml::Table::new();
    own.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    let all: Vec<toml::Value> = features.keys().map(|name| name.clone().into()).collect();
    own.insert("features".into(), all.into());
    depends.insert(package(name), own.into());
    let mut manifest = toml::Table::new();
    let depends: toml::Table = depends.into_iter().collect();
    manifest.insert("dependencies".into(), depends.into());
    let mut whole = format!(
        "[package]\nname = \"uses-{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n{manifest}"
    );
    whole.push_str(&patches(dir));
    let bin = project.join("src/bin");
    files::make_dir(&bin)?;
    files::write(&project.join("Cargo.toml"), whole.as_bytes())?;
    let from = unpacked.join("examples");
    for example in sources(&from) {
        let file = format!("{example}.rs");
        files::copy(&from.join(&file), &bin.join(&file))?;
    }
    for folder in folders(&from) {
        files::make_dir(&bin.join(&folder))?;
        for part in sources(&from.join(&folder)) {
            let file = format!("{folder}/{part}.rs");
            files::copy(&from.join(&file), &bin.join(&file))?;
        }
    }
    Ok(())
}

/// What makes a manifest take the packed crates, as if they were published.
fn patches(dir: &Path) -> String {
    let mut whole = String::from("\n[patch.crates-io]\n");
    for name in PACKED {
        let path = dir.join(versioned(name));
        let _written = writeln!(whole, "{} = {{ path = {:?} }}", package(name), path);
    }
    whole
}

/// The folders in a folder: what several examples share.
fn folders(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn package(name: &str) -> String {
    format!("causeway-{name}")
}

/// The name of the packed file, and of the folder in it. All crates have this one's version.
fn versioned(name: &str) -> String {
    format!("{}-{}", package(name), env!("CARGO_PKG_VERSION"))
}

fn cargo(what: &str, log: &Path, dir: &Path) -> Step {
    Step::new(what, "cargo", log)
        .dir(dir)
        .limit(LIMIT)
        .env("CARGO_TERM_COLOR", "never")
        .without_env("CARGO_TARGET_DIR")
}
