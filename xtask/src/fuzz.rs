//! Owns `cargo xtask fuzz`: builds the targets of fuzz/, runs them two at a time, keeps what they
//! find. Never judges an input itself: a target asserts what must hold.

mod run;

pub(crate) use run::Hunt;

use crate::cli::FuzzArgs;
use crate::json;
use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::setup::rust;
use crate::{interrupt, paths, pool, say};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUILD: Duration = Duration::from_secs(1200);

/// Fuzzes for a person; the JSON file is written whatever happens.
pub(crate) fn fuzz(args: &FuzzArgs) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        let chosen = chosen(&targets()?, &args.target)?;
        let dir = paths::runs().join(paths::stamp("fuzz"));
        let hunt = Hunt { programs: ready(&dir)?, dir, limit: Duration::from_secs(args.seconds) };
        say::progress(&format!("{} targets, {} s each", chosen.len(), args.seconds));
        let mut found = Vec::new();
        for (target, outcome) in pool::work_on(&chosen, pool::CORES, |target| hunt.target(target)) {
            found.push((target.clone(), outcome?));
        }
        interrupt::check()?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let rows: Vec<Value> = found.iter().map(|(name, found)| found.json(name)).collect();
        fields.insert("targets".to_owned(), rows.into());
        for (name, found) in &found {
            say::line(&found.row(name));
        }
        let bad: Vec<&str> =
            found.iter().filter(|(_, f)| f.trouble.is_some()).map(|(n, _)| n.as_str()).collect();
        if !bad.is_empty() {
            return Err(Stop::failed(format!("found something: {}", bad.join(", "))));
        }
        if args.keep {
            for target in &chosen {
                hunt.keep(target)?;
            }
        }
        Ok(())
    })
}

/// The names of all targets: the files in fuzz/fuzz_targets/.
pub(crate) fn targets() -> Result<Vec<String>, Stop> {
    let dir = folder().join("fuzz_targets");
    let entries = std::fs::read_dir(&dir).map_err(|e| Stop::file("read", &dir, &e))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn chosen(all: &[String], wanted: &[String]) -> Result<Vec<String>, Stop> {
    match wanted.iter().find(|name| !all.contains(name)) {
        Some(name) => Err(Stop::usage(format!("--target {name}: there is no such target"))
            .mend(format!("one of: {}", all.join(", ")))),
        None if wanted.is_empty() => Ok(all.to_vec()),
        None => Ok(wanted.to_vec()),
    }
}

/// fuzz/: a workspace of its own.
pub(crate) fn folder() -> PathBuf {
    paths::root().join("fuzz")
}

/// What cargo-fuzz 0.13 gives the compiler without a sanitizer: no core has unsafe code, so that one
/// would only cost time.
const INSTRUMENTED: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg=fuzzing",
];

/// Builds every target; returns where their programs are. cargo-fuzz would take as long to be built
/// itself as all of them do.
pub(crate) fn ready(dir: &Path) -> Result<PathBuf, Stop> {
    rust::nightly()?;
    files::make_dir(dir)?;
    let (target, host) = (paths::target().join("fuzz"), rust::host()?);
    say::progress("building the fuzz targets");
    let mut step = Step::new("the build of the fuzz targets", "rustup", &dir.join("build.log"))
        .dir(&folder())
        // With --target the flags do not reach build scripts.
        .args(["run", "nightly", "cargo", "build", "--release", "--bins", "--target", &host])
        .args(["--target-dir"])
        .args([&target])
        .limit(BUILD);
    for name in ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CARGO", "RUSTC"] {
        step = step.without_env(name);
    }
    // libFuzzer's own code is most of the build, and not what is run most.
    step = step.env("RUSTFLAGS", INSTRUMENTED.join(" ")).env("CXXFLAGS", "-O1");
    step.env("CARGO_TERM_COLOR", "never").run()?;
    Ok(target.join(host).join("release"))
}

#[cfg(test)]
mod tests {
    use super::{chosen, folder, targets};

    #[test]
    fn every_target_has_seeds_a_program_and_a_row_in_the_readme() {
        let read = |name| std::fs::read_to_string(folder().join(name)).expect("read");
        let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
        let targets = targets().expect("a folder");
        assert!(targets.len() >= 7);
        for name in targets {
            let seeds = std::fs::read_dir(folder().join("seeds").join(&name)).expect("seeds");
            assert!(seeds.count() > 0, "{name} has no seeds");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
            assert!(readme.contains(&format!("| {name} |")), "{name} is not in the README");
        }
    }

    #[test]
    fn an_unknown_target_is_answered_with_those_there_are() {
        let all = ["bus".to_owned(), "queue".to_owned()];
        let stop = chosen(&all, &["bug".to_owned()]).expect_err("refused");
        assert_eq!(stop.exit, crate::outcome::Exit::Usage);
        assert_eq!(stop.mend.as_deref(), Some("one of: bus, queue"));
        assert_eq!(chosen(&all, &[]).expect("all"), all);
        assert_eq!(chosen(&all, &all[1..]).expect("one"), all[1..]);
    }
}
