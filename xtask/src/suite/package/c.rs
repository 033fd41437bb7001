//! Owns what shows that C callers are served: the header under a hypervisor's compiler, and the example
//! in C built by an outside project from the packed crates. Never compares the header with its source:
//! `crate::header` does.

use super::{EXAMPLE, LIMIT, cargo, fail, package, patches};
use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::setup::Consent;
use crate::setup::packages::{self, Need};
use crate::suite::tally::Tally;
use crate::suite::{Context, log_name};
use crate::{paths, say};
use std::path::Path;

/// What nobody should have to switch off for this header.
const STRICT: [&str; 5] = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// The header, compiled by itself for the two kinds of caller.
pub(super) fn header(
    context: &Context<'_>,
    consent: Consent,
    tally: &mut Tally,
) -> Result<(), Stop> {
    let bare = "aarch64-linux-gnu-gcc";
    for (name, compiler, environment) in
        [("host", "cc", &[][..]), ("aarch64", bare, &["-ffreestanding", "-O2"][..])]
    {
        let name = format!("package::the_c_header_compiles_for::{name}");
        let there = if compiler == bare {
            packages::ensure(&[Need::CrossCompiler], consent)
        } else {
            Ok(())
        };
        if let Err(stop) = there {
            tally.skipped(&name, &stop.reason);
            continue;
        }
        let log = log_name(context.dir, &name);
        let step = Step::new(compiler, compiler, &log)
            .dir(&paths::root())
            .args(STRICT)
            .args(environment)
            .args(["-x", "c", "-fsyntax-only", "abi/include/causeway.h"])
            .limit(LIMIT);
        match step.run() {
            Ok(()) => tally.passed(&name),
            Err(stop) => fail(&name, stop, tally)?,
        }
    }
    Ok(())
}

/// The example in C, in a project that knows the packed crates only.
pub(super) fn example(context: &Context<'_>, dir: &Path, tally: &mut Tally) -> Result<(), Stop> {
    let name = "package::c_example";
    say::progress(name);
    let project = dir.join("uses-c");
    let built = make_project(dir, &project).and_then(|()| {
        cargo("cargo build", &log_name(context.dir, name), &project)
            .args(["build", "--target-dir"])
            .args([dir.join("target")])
            .run()
    });
    let ran = built.and_then(|()| {
        let log = log_name(context.dir, &format!("{name} run"));
        let program = dir.join("target/debug/uses-c");
        Step::new("uses-c", &program, &log).dir(&project).limit(EXAMPLE).run()
    });
    match ran {
        Ok(()) => tally.passed(name),
        Err(stop) => fail(name, stop, tally)?,
    }
    Ok(())
}

fn make_project(dir: &Path, project: &Path) -> Result<(), Stop> {
    let from = paths::root().join("c-example");
    let version = env!("CARGO_PKG_VERSION");
    let on = |name: &str| format!("{} = \"{version}\"\n", package(name));
    let manifest = format!(
        "[package]\nname = \"uses-c\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{}{}\n[build-dependencies]\n{}cc = {{ version = \"1\", default-features = false }}\n{}",
        on("fake-spmc"),
        on("ffa"),
        on("abi"),
        patches(dir)
    );
    for folder in ["c", "src"] {
        files::make_dir(&project.join(folder))?;
    }
    files::write(&project.join("Cargo.toml"), manifest.as_bytes())?;
    for file in ["build.rs", "c/hypervisor.c", "c/share.c", "c/platform.h", "src/main.rs"] {
        files::copy(&from.join(file), &project.join(file))?;
    }
    Ok(())
}
