//! Owns the committed results (conformance/results/) and the table of docs/spmc-matrix.md made of them.
//! Never runs anything, and keeps no result but of a run that passed.

use super::{Ran, Verdict, verdict};
use crate::json::Fields;
use crate::outcome::{Stop, files};
use crate::{paths, process, say};
use causeway_conformance::{CASES, Case};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The columns, in order: the SPMC's name in results, and what a reader calls it.
const COLUMNS: [(&str, &str); 5] = [
    ("el3", "TF-A's SPMC at EL3"),
    ("optee", "OP-TEE"),
    ("hafnium", "Hafnium"),
    ("fake-el3", "played: EL3 SPMC"),
    ("fake-hafnium", "played: Hafnium"),
];

/// Where the results are.
pub(super) fn folder() -> PathBuf {
    paths::root().join("conformance/results")
}

/// Of which commit a result is, and when it came.
pub(super) struct Head {
    commit: String,
    date: String,
}

impl Head {
    /// Asks git. A tree that was changed since its commit gives no result to keep: nobody could repeat it.
    pub(super) fn read() -> Result<Self, Stop> {
        let git = |args: &[&str]| {
            let answer = process::ask("git", args, Duration::from_secs(30))?;
            let said = answer.stdout.trim().to_owned();
            answer.ok.then_some(said).ok_or_else(|| Stop::failed("--keep needs git's commit"))
        };
        let changed = ["status", "--porcelain", "--", ":/", ":(top,exclude)conformance/results"];
        if !git(&changed)?.is_empty() {
            return Err(Stop::failed("--keep: files are changed or not in git")
                .mend("commit first: a result names the commit that it is of"));
        }
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.split('T').next().unwrap_or_default().to_owned();
        Ok(Self { commit: git(&["rev-parse", "--short=12", "HEAD"])?, date })
    }
}

/// A result as it is committed.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    spmc: String,
    /// By the fake SPMC: says nothing about a real one.
    played: bool,
    date: String,
    commit: String,
    versions: BTreeMap<String, String>,
    cases: Vec<KeptCase>,
}

#[derive(Debug, Deserialize, Serialize)]
struct KeptCase {
    name: String,
    clause: String,
    verdict: String,
    limit: Option<String>,
}

/// Keeps a result, if it is of a run that passed.
pub(super) fn keep(dir: &Path, head: &Head, ran: &Ran, fields: &Fields) -> Result<(), Stop> {
    verdict::judge(&ran.rows)?;
    let versions = fields.iter().filter_map(|(name, value)| {
        let named = name.ends_with("_version") || name == "qemu";
        named.then(|| Some((name.clone(), value.as_str()?.to_owned())))?
    });
    let cases = ran.rows.iter().map(|row| KeptCase {
        name: row.name.to_owned(),
        clause: row.clause.to_owned(),
        verdict: row.verdict.word().to_owned(),
        limit: match &row.verdict {
            Verdict::Excused(limit) | Verdict::Unexpected(limit) => Some(limit.clone()),
            Verdict::Passed | Verdict::NotApplicable | Verdict::Failed => None,
        },
    });
    let kept = Kept {
        spmc: ran.name.to_owned(),
        played: ran.name.starts_with("fake-"),
        date: head.date.clone(),
        commit: head.commit.clone(),
        versions: versions.collect(),
        cases: cases.collect(),
    };
    let text = serde_json::to_string_pretty(&kept)
        .map_err(|e| Stop::failed(format!("cannot write the result: {e}")))?;
    files::make_dir(dir)?;
    let file = dir.join(format!("{}.json", ran.name));
    files::write(&file, text + "\n")?;
    say::progress(&format!("kept in {}; `cargo xtask docs` writes the matrix", file.display()));
    Ok(())
}

/// The results that there are, by column.
fn results(dir: &Path) -> Result<Vec<Option<Kept>>, Stop> {
    let read = |(name, _): &(&str, &str)| {
        let file = dir.join(format!("{name}.json"));
        if !file.exists() {
            return Ok(None);
        }
        let kept: Kept = serde_json::from_slice(&files::read(&file)?)
            .map_err(|e| Stop::failed(format!("{}: {e}", file.display())))?;
        if kept.spmc == *name {
            Ok(Some(kept))
        } else {
            Err(Stop::failed(format!("{} is a result of {}", file.display(), kept.spmc)))
        }
    };
    COLUMNS.iter().map(read).collect()
}

/// Where the results come from, as a table.
pub(crate) fn sources() -> Result<String, Stop> {
    let mut text = "| column | versions | date | commit |\n| --- | --- | --- | --- |\n".to_owned();
    for ((_, title), kept) in COLUMNS.iter().zip(results(&folder())?) {
        let line = kept.map_or_else(
            || "no result | | ".to_owned(),
            |kept| {
                let versions = kept.versions.iter().map(|(name, version)| {
                    let name = name.trim_end_matches("_version").replace('_', "-");
                    format!("{name} {}", version.trim_start_matches("QEMU emulator version "))
                });
                let versions = versions.collect::<Vec<_>>().join(", ");
                format!("{versions} | {} | `{}`", kept.date, kept.commit)
            },
        );
        // Writing to a string cannot fail.
        writeln!(text, "| {title} | {line} |").unwrap_or_default();
    }
    Ok(text)
}

/// The matrix: cases, SPMCs, verdicts.
pub(crate) fn matrix() -> Result<String, Stop> {
    let results = results(&folder())?;
    let titles = COLUMNS.map(|(_, title)| title).join(" | ");
    let mut text =
        format!("| case | clause | {titles} |\n| --- | --- |{}\n", " --- |".repeat(COLUMNS.len()));
    for case in CASES {
        let cells = results.iter().map(|kept| cell(case, kept.as_ref())).collect::<Vec<_>>();
        let line = format!("| `{}` | {} | {} |", case.name, case.clause, cells.join(" | "));
        writeln!(text, "{line}").unwrap_or_default();
    }
    Ok(text)
}

fn cell(case: &Case, kept: Option<&Kept>) -> String {
    let of_case = |kept: &&KeptCase| kept.name == case.name && kept.clause == case.clause;
    let Some(found) = kept.and_then(|kept| kept.cases.iter().find(of_case)) else {
        return "no result".to_owned();
    };
    match (found.verdict.as_str(), &found.limit) {
        ("pass", None) => "pass".to_owned(),
        ("n/a", None) => "not applicable".to_owned(),
        ("excused", Some(limit)) => {
            format!("excused ([{limit}](spmc-facts.md#{}))", limit.to_lowercase())
        }
        // No run that passed has another; whoever wrote it by hand sees it here.
        (other, _) => format!("**{other}**"),
    }
}

#[cfg(test)]
mod tests;
