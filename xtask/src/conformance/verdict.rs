//! Owns the reading of the driver's lines and of what an SPMC is excused from. Never boots.

use super::Ran;
use crate::outcome::Stop;
use causeway_conformance::{CASES, Case, Weight};
use serde_json::{Value, json};

/// A case that an SPMC cannot pass, and the named limit that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excuse {
    case: String,
    limit: String,
}

impl Excuse {
    /// Reads lines of `CASE LIMIT`; `#` begins a comment. Each case is one that may be excused, and each
    /// limit has a heading in `facts`.
    pub(super) fn read(text: &str, facts: &str) -> Result<Vec<Self>, String> {
        let mut list = Vec::new();
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if line.is_empty() {
                continue;
            }
            let (case, limit) = line.split_once(' ').ok_or(format!("{line:?} names no limit"))?;
            let (case, limit) = (case.to_owned(), limit.trim().to_owned());
            let known = CASES.iter().find(|known| known.name == case);
            match known.map(|known| known.weight) {
                None => return Err(format!("there is no case {case}")),
                Some(Weight::Never) => return Err(format!("{case} is never excused")),
                Some(Weight::NamedLimit) => {}
            }
            let heading =
                |line: &str| line.starts_with('#') && line.trim_start_matches('#').trim() == limit;
            if !facts.lines().any(heading) {
                return Err(format!("{limit} has no heading in docs/spmc-facts.md"));
            }
            list.push(Self { case, limit });
        }
        Ok(list)
    }
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it says.
    Passed,
    /// It has no meaning under this SPMC.
    NotApplicable,
    /// It failed, as this limit lets expect.
    Excused(String),
    /// It failed.
    Failed,
    /// It passed, although this limit says that it cannot: the limit is gone, or was never one.
    Unexpected(String),
}

impl Verdict {
    /// A word for the table.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::NotApplicable => "n/a",
            Self::Excused(_) => "excused",
            Self::Failed => "FAIL",
            Self::Unexpected(_) => "UNEXPECTED",
        }
    }
}

/// One case of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(super) clause: &'static str,
    pub(crate) verdict: Verdict,
    /// What the driver said of a failure.
    said: String,
    ticks: Option<u64>,
}

impl Row {
    /// What the table says behind the name.
    pub(crate) fn detail(&self) -> String {
        match &self.verdict {
            Verdict::Passed | Verdict::NotApplicable => String::new(),
            Verdict::Excused(limit) => format!("{limit} ({})", self.said),
            Verdict::Failed => format!("{} [{}]", self.said, self.clause),
            Verdict::Unexpected(limit) => format!("passes in spite of {limit}"),
        }
    }

    /// What the JSON file says.
    pub(super) fn json(&self, spmc: &str) -> Value {
        let limit = match &self.verdict {
            Verdict::Excused(limit) | Verdict::Unexpected(limit) => Some(limit.as_str()),
            Verdict::Passed | Verdict::NotApplicable | Verdict::Failed => None,
        };
        json!({
            "spmc": spmc,
            "name": self.name,
            "clause": self.clause,
            "verdict": self.verdict.word().to_lowercase(),
            "limit": limit,
            "said": self.said,
            "ticks": self.ticks,
        })
    }
}

/// The rows of a run: every case, in the order of the list.
pub(super) fn rows(lines: &[String], excuses: &[Excuse]) -> Result<Vec<Row>, String> {
    let said: Vec<&str> =
        lines.iter().filter_map(|line| line.trim().strip_prefix("[conf] ")).collect();
    if let Some(panic) = said.iter().find(|line| line.starts_with("PANIC")) {
        return Err(format!("the driver stopped: {panic}"));
    }
    if !said.contains(&"END status=ok") {
        return Err("the driver did not come to its end".to_owned());
    }
    CASES.iter().map(|case| row(case, &said, excuses)).collect()
}

fn row(case: &'static Case, said: &[&str], excuses: &[Excuse]) -> Result<Row, String> {
    let start = format!("CASE name={} result=", case.name);
    let mut of_case = said.iter().filter_map(|line| line.strip_prefix(start.as_str()));
    let (Some(rest), None) = (of_case.next(), of_case.next()) else {
        return Err(format!("{} was not run once", case.name));
    };
    let (result, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let ticks = rest.split(' ').find_map(|word| word.strip_prefix("ticks=")?.parse().ok());
    let told: Vec<&str> = rest.split(' ').filter(|word| !word.starts_with("ticks=")).collect();
    let excuse = excuses.iter().find(|excuse| excuse.case == case.name);
    let verdict = match (result, excuse) {
        ("not_applicable", _) => Verdict::NotApplicable,
        ("pass", None) => Verdict::Passed,
        ("pass", Some(excuse)) => Verdict::Unexpected(excuse.limit.clone()),
        ("fail", Some(excuse)) => Verdict::Excused(excuse.limit.clone()),
        ("fail", None) => Verdict::Failed,
        (other, _) => return Err(format!("{} ended with {other:?}", case.name)),
    };
    Ok(Row { name: case.name, clause: case.clause, verdict, said: told.join(" "), ticks })
}

/// The runs as JUnit XML: what a limit excuses is skipped, with the limit's name.
pub(super) fn junit(ran: &[Ran]) -> String {
    let suites: String = ran.iter().map(|one| testsuite(one.name, &one.rows)).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n")
}

fn testsuite(spmc: &str, rows: &[Row]) -> String {
    let is_bad = |row: &&Row| matches!(row.verdict, Verdict::Failed | Verdict::Unexpected(_));
    let is_skipped =
        |row: &&Row| matches!(row.verdict, Verdict::Excused(_) | Verdict::NotApplicable);
    let mut text = format!(
        "<testsuite name=\"conformance.{spmc}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
        rows.len(),
        rows.iter().filter(is_bad).count(),
        rows.iter().filter(is_skipped).count(),
    );
    for row in rows {
        let (group, claim) = row.name.split_once('/').unwrap_or(("", row.name));
        let inner = match &row.verdict {
            Verdict::Passed => String::new(),
            Verdict::NotApplicable => "<skipped message=\"not applicable\"/>".to_owned(),
            Verdict::Excused(limit) => format!("<skipped message=\"{}\"/>", escaped(limit)),
            Verdict::Failed | Verdict::Unexpected(_) => {
                format!("<failure message=\"{}\"/>", escaped(&row.detail()))
            }
        };
        text.push_str(&format!(
            "  <testcase classname=\"conformance.{spmc}.{group}\" name=\"{claim}\">\
             <properties><property name=\"clause\" value=\"{}\"/></properties>{inner}</testcase>\n",
            escaped(row.clause)
        ));
    }
    text + "</testsuite>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether the run passed.
pub(super) fn judge(rows: &[Row]) -> Result<(), Stop> {
    let bad: Vec<&str> = rows
        .iter()
        .filter(|row| matches!(row.verdict, Verdict::Failed | Verdict::Unexpected(_)))
        .map(|row| row.name)
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(Stop::failed(format!("{} cases: {}", bad.len(), bad.join(", "))))
    }
}

#[cfg(test)]
mod tests;
