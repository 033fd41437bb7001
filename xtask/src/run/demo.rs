//! Owns which demos there are and what a demo's RESULT lines say. Never judges them: the job's row in
//! the guests' table says what must be seen.

use crate::boot::Logs;
use crate::lines::{Line, Source};
use crate::outcome::Stop;
use crate::say;
use causeway_guests::jobs::{JOBS, Job, TRANSFER};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A demo is the transfer, or a job of this name.
const PREFIX: &str = "demo_";

/// The names of all demos.
pub(crate) fn names() -> Vec<&'static str> {
    let others = JOBS.iter().filter_map(|job| job.name.strip_prefix(PREFIX));
    std::iter::once(TRANSFER.name).chain(others).collect()
}

/// The job of a demo.
pub(crate) fn job(name: &str) -> Result<&'static Job, Stop> {
    if name == TRANSFER.name {
        return Ok(&TRANSFER);
    }
    JOBS.iter().find(|job| job.name.strip_prefix(PREFIX) == Some(name)).ok_or_else(|| {
        let name = say::printable(name);
        Stop::usage(format!("--demo {name}: not available yet"))
            .mend(format!("leave it out, or say one of: {}", names().join(", ")))
    })
}

/// What each party reported: `vm1`, `vm2`, `vm3`, `mon`, and their keys; `sp` is what the partition said
/// of its RAM when it started. The first word counts.
pub(crate) type Results = BTreeMap<&'static str, BTreeMap<String, String>>;

/// Collects the RESULT lines, and the partition's RAM line.
pub(crate) fn results(logs: &Logs) -> Results {
    let mut results = Results::new();
    let normal = logs.normal.iter().map(|line| Line::normal(line));
    let secure = logs.secure.iter().map(|line| Line::secure(line));
    for line in normal.chain(secure) {
        let (who, kind) = match line.source {
            Source::Vm(1) => ("vm1", "RESULT"),
            Source::Vm(2) => ("vm2", "RESULT"),
            Source::Vm(_) => ("vm3", "RESULT"),
            Source::Monitor => ("mon", "RESULT"),
            Source::Partition => ("sp", "RAM"),
            Source::Firmware => continue,
        };
        let Some(fields) = line.fields(kind) else { continue };
        let told = results.entry(who).or_default();
        for (name, value) in fields.iter() {
            told.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    results
}

/// The same for the JSON file; numbers are numbers.
pub(crate) fn json(results: &Results) -> Value {
    let value = |text: &String| {
        text.parse::<u64>().map_or_else(|_| Value::from(text.as_str()), Value::from)
    };
    let of_one = |told: &BTreeMap<String, String>| -> Value {
        let map: Map<_, _> = told.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        map.into()
    };
    let map: Map<_, _> =
        results.iter().map(|(who, told)| ((*who).to_owned(), of_one(told))).collect();
    map.into()
}

/// The same for a person.
pub(crate) fn table(job: &Job, results: &Results) -> String {
    let mut lines = vec![format!("  {}: {}", job.name, job.shows)];
    for (who, told) in results {
        let rows = told.iter().filter(|(name, _)| *name != "job");
        let names = rows.map(|(name, value)| format!("  {who:<4} {name:<32} {value}"));
        lines.extend(names.map(|line| say::printable(&line)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{job, json, names, results, table};
    use crate::boot::Logs;
    use causeway_guests::jobs::TRANSFER;

    #[test]
    fn every_demo_has_a_job_and_an_unknown_one_is_answered_with_their_names() {
        for name in names() {
            assert!(job(name).is_ok(), "{name}");
        }
        let stop = job("audio").expect_err("refused");
        assert_eq!(stop.exit, crate::outcome::Exit::Usage);
        let mend = stop.mend.expect("what there is");
        assert!(names().iter().all(|name| mend.contains(name)), "{mend}");
        assert!(job("demo_transfer").is_err() && job("").is_err());
    }

    #[test]
    fn each_party_reports_for_itself() {
        let normal = [
            "[vm1] RESULT job=x bytes=5 bytes=9",
            "[vm1] RESULT status=ok bytes=7",
            "[mon] RESULT doorbells=2",
            "[vm2] [vm1] RESULT bytes=8",
            "RESULT a=1",
        ];
        let secure = vec!["[sp] RAM profile=full queue=7".to_owned(), "RAM queue=8".to_owned()];
        let normal = normal.map(str::to_owned).to_vec();
        let logs = Logs { normal, secure, ..Logs::default() };
        let results = results(&logs);
        let json = json(&results);
        assert_eq!(json["vm1"]["bytes"], 5);
        assert_eq!(json["vm1"]["status"], "ok");
        assert_eq!(json["mon"]["doorbells"], 2);
        assert_eq!(json["sp"]["queue"], 7);
        assert_eq!(results.len(), 3);
        let table = table(&TRANSFER, &results);
        assert!(table.contains("doorbells") && table.contains(TRANSFER.shows), "{table}");
    }
}
