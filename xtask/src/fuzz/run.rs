//! Owns one run of one fuzz target: replay of the seeds, the hunt, what it left behind. Never
//! builds, and writes to fuzz/ only what was found.

use super::folder;
use crate::outcome::{Stop, files};
use crate::process::{self, Step};
use crate::{paths, say};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer inputs find nothing more: no target reads so much.
const MAX_LEN: &str = "-max_len=512";
/// An input that takes this many seconds is a finding.
const TIMEOUT: &str = "-timeout=10";
const GRACE: Duration = Duration::from_secs(180);
/// What the seeds of one target may come to.
const SEED_BYTES: u64 = 8 << 10;

/// How targets are run.
pub(crate) struct Hunt {
    /// Where the built targets are.
    pub(crate) programs: PathBuf,
    /// Logs go here.
    pub(crate) dir: PathBuf,
    /// How long each runs.
    pub(crate) limit: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Inputs tried.
    pub(crate) executions: u64,
    /// Places in the code that were reached.
    pub(crate) coverage: u64,
    /// Inputs in the corpus.
    pub(crate) corpus: u64,
    /// What went wrong, if anything did.
    pub(crate) trouble: Option<Trouble>,
}

/// Something that a target did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In words.
    pub(crate) what: String,
    /// The input, where there is one.
    input: Option<PathBuf>,
    /// What repeats it.
    repeat: Option<String>,
}

impl Hunt {
    /// Replays the seeds, then hunts; an error means that it could not run.
    pub(crate) fn target(&self, name: &str) -> Result<Found, Stop> {
        let replayed = self.replay(name)?;
        if replayed.trouble.is_some() {
            return Ok(replayed);
        }
        let corpus = corpus(name);
        files::make_dir(&corpus)?;
        let limit = self.limit.as_secs();
        let found = self.run(
            name,
            "hunt",
            &[&corpus, &seeds(name)],
            &[&format!("-max_total_time={limit}"), "-reload=0"],
        )?;
        say::progress(found.row(name).trim_start());
        Ok(found)
    }

    /// Runs every seed once.
    pub(crate) fn replay(&self, name: &str) -> Result<Found, Stop> {
        self.run(name, "replay", &[&seeds(name)], &["-runs=0"])
    }

    fn run(
        &self,
        name: &str,
        what: &str,
        inputs: &[&Path],
        options: &[&str],
    ) -> Result<Found, Stop> {
        let artifacts = folder().join("artifacts").join(name);
        files::make_dir(&artifacts)?;
        let log = self.dir.join(format!("{name}-{what}.log"));
        let prefix = format!("-artifact_prefix={}/", artifacts.display());
        let status = Step::new(&format!("fuzz target {name}"), self.programs.join(name), &log)
            .dir(&folder())
            .args(inputs)
            .args(options)
            .args([TIMEOUT, MAX_LEN, "-print_final_stats=1", &prefix])
            .limit(self.limit + GRACE)
            .status()?;
        let text = String::from_utf8_lossy(&files::read(&log)?).into_owned();
        let mut found = read(&text);
        if !status.success() || (what == "hunt" && found.executions == 0) {
            let program = self.programs.join(name);
            let trouble = trouble(&program, &text, &process::why(status, &log), &log);
            say::note(&format!("xtask: fuzz target {name}: {}", say::printable(&trouble.what)));
            if let Some(repeat) = &trouble.repeat {
                say::note(&format!("  to repeat it: {repeat}"));
            }
            found.trouble = Some(trouble);
        }
        Ok(found)
    }

    /// Adds inputs of the corpus that reach new code to the seeds, up to a bound.
    pub(crate) fn keep(&self, name: &str) -> Result<(), Stop> {
        let merged = self.dir.join(format!("{name}-merged"));
        files::remove_dir(&merged)?;
        files::make_dir(&merged)?;
        let mut size = 0;
        for (bytes, file) in by_size(&seeds(name))? {
            size += bytes;
            copy_into(&file, &merged)?;
        }
        let before = by_size(&merged)?.len();
        let log = self.dir.join(format!("{name}-merge.log"));
        Step::new(&format!("the merge of {name}'s corpus"), self.programs.join(name), &log)
            .dir(&folder())
            .args(["-set_cover_merge=1", MAX_LEN, TIMEOUT])
            .args([&merged, &corpus(name)])
            .limit(GRACE * 4)
            .run()?;
        let mut added = 0;
        for (bytes, file) in by_size(&merged)? {
            let known = file.file_name().is_some_and(|name_of| seeds(name).join(name_of).exists());
            if !known && size + bytes <= SEED_BYTES {
                size += bytes;
                added += 1;
                copy_into(&file, &seeds(name))?;
            }
        }
        say::progress(&format!("{name}: {before} seeds, {added} added, {size} bytes"));
        Ok(())
    }
}

fn seeds(name: &str) -> PathBuf {
    folder().join("seeds").join(name)
}

/// What earlier runs on this machine collected.
fn corpus(name: &str) -> PathBuf {
    paths::target().join("fuzz").join("corpus").join(name)
}

fn copy_into(file: &Path, dir: &Path) -> Result<(), Stop> {
    files::copy(file, &dir.join(file.file_name().unwrap_or_default()))
}

/// The files of a folder, the shortest first.
fn by_size(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Stop> {
    let entries = fs::read_dir(dir).map_err(|e| Stop::file("read", dir, &e))?;
    let mut list: Vec<(u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.len(), entry.path())))
        .collect();
    list.sort();
    Ok(list)
}

/// The numbers in what a target printed.
fn read(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            found.executions = number.trim().parse().unwrap_or(0);
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let target = match word {
                "cov:" => &mut found.coverage,
                "corp:" => &mut found.corpus,
                _ => continue,
            };
            let value = words.next().and_then(|value| value.split('/').next()?.parse().ok());
            *target = value.unwrap_or(*target);
        }
    }
    found
}

fn trouble(program: &Path, text: &str, told: &str, log: &Path) -> Trouble {
    let line = |mark: &str| text.lines().find(|line| line.contains(mark)).map(str::trim);
    let panicked = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let what = panicked.or_else(|| line("ERROR: libFuzzer:")).unwrap_or(told).trim();
    let input = line("Test unit written to ")
        .and_then(|line| line.rsplit_once("written to "))
        .map(|(_, path)| PathBuf::from(path.trim()));
    let repeat = input.as_ref().map(|input| {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let build = format!("cargo xtask fuzz --target {name} --seconds 1");
        format!("{build}; {} {}", program.display(), input.display())
    });
    Trouble { what: format!("{what} (log: {})", log.display()), input, repeat }
}

impl Found {
    /// A row for a person.
    pub(crate) fn row(&self, name: &str) -> String {
        let end = match &self.trouble {
            None => "nothing found".to_owned(),
            Some(trouble) => say::printable(&format!("FOUND: {}", trouble.what)),
        };
        let Self { executions, coverage, corpus, .. } = self;
        format!(
            "  {name:<14} {executions:>10} inputs, {coverage:>5} places, corpus {corpus:>5}: {end}"
        )
    }

    /// The same for a program.
    pub(crate) fn json(&self, name: &str) -> Value {
        let trouble = self.trouble.as_ref();
        json!({
            "name": name,
            "executions": self.executions,
            "coverage": self.coverage,
            "corpus": self.corpus,
            "pass": trouble.is_none(),
            "found": trouble.map(|t| &t.what),
            "input": trouble.and_then(|t| t.input.as_ref()).map(|path| path.display().to_string()),
            "repeat": trouble.and_then(|t| t.repeat.as_ref()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, read, trouble};
    use std::path::{Path, PathBuf};

    const CRASH: &str = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        thread '<unnamed>' (1) panicked at fuzz_targets/bus.rs:3:5:\nI1: a page twice\n\
        ==5== ERROR: libFuzzer: deadly signal\n\
        artifact_prefix='/r/fuzz/artifacts/bus/'; Test unit written to /r/fuzz/artifacts/bus/crash-1\n";

    #[test]
    fn the_numbers_are_read_from_the_last_line_that_has_them() {
        let text = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0\n#9\tDONE   cov: 345 ft: 1 \
                    corp: 67/8Kb lim: 4\nstat::number_of_executed_units: 9\n";
        let found = Found { executions: 9, coverage: 345, corpus: 67, trouble: None };
        assert_eq!(read(text), found);
    }

    #[test]
    fn a_crash_names_the_claim_the_input_and_the_command() {
        let found = trouble(Path::new("t/bus"), CRASH, "ended with status 77", Path::new("l"));
        assert!(found.what.starts_with("I1: a page twice"), "{}", found.what);
        assert_eq!(found.input, Some(PathBuf::from("/r/fuzz/artifacts/bus/crash-1")));
        let repeat = found.repeat.expect("a command");
        assert!(repeat.contains("--target bus "), "{repeat}");
        assert!(repeat.ends_with("; t/bus /r/fuzz/artifacts/bus/crash-1"), "{repeat}");
    }

    #[test]
    fn an_end_without_words_is_told_by_its_status() {
        let found = trouble(Path::new("t/bus"), "", "was ended by signal 9", Path::new("l"));
        assert!(found.what.starts_with("was ended by signal 9"));
        assert_eq!(found.repeat, None);
    }
}
