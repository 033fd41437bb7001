//! Owns the result of a run as a table and as JSON under the stable names. Never judges.

mod net;

use super::demo::{self, Results};
use crate::cli::Cpu;
use crate::disk::Disk;
use crate::outcome::{Stop, files};
use crate::verdict::figures::{decimal, doorbells_a_request};
use crate::verdict::{Figures, Transfer};
use causeway_guests::jobs::{Job, TRANSFER};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The JSON file. Names are never changed; what is not known is null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RunResult {
    pass: bool,
    reason: String,
    demo: Option<&'static str>,
    disk: Option<String>,
    disk_bytes: Option<u64>,
    sha256_host: Option<String>,
    sha256_guest: Option<String>,
    bytes: Option<u64>,
    grants: Option<u64>,
    pages: Option<u64>,
    requests: Option<u64>,
    doorbells: Option<u64>,
    doorbells_during_transfer: Option<u64>,
    /// While the image was read, 16 requests at a time.
    doorbells_per_request: Option<f64>,
    transfer_marks: Option<u64>,
    partition_calls_during_transfer: Option<u64>,
    partition_calls: Option<u64>,
    vm_calls: Option<u64>,
    copied_bytes: Option<u64>,
    bounced_bytes: Option<u64>,
    medium_bytes: Option<u64>,
    medium_mapped_by_vm1: Option<u64>,
    write_check: Option<String>,
    /// Where the disk comes over TCP.
    frames: Option<u64>,
    retransmits: Option<u64>,
    shares: Option<u64>,
    retrieves: Option<u64>,
    reclaims: Option<u64>,
    /// The transfer, as the frontend measured it.
    elapsed_ms: Option<u64>,
    /// QEMU from start to end.
    wall_ms: Option<u64>,
    cpu: Option<&'static str>,
    smp: Option<u32>,
    logs: Option<String>,
    /// Every RESULT line: `vm1`, `vm2`, `vm3`, `mon`, and their keys; `sp`: bytes of the partition's RAM.
    results: Option<serde_json::Value>,
    /// What the second boot, which counts instructions, found.
    figures: Option<serde_json::Value>,
    #[serde(skip)]
    counted: Option<Figures>,
    #[serde(skip)]
    read_doorbells: Option<u64>,
    #[serde(skip)]
    told: Option<(&'static Job, Results)>,
}

impl RunResult {
    /// Notes the job.
    pub(crate) fn tell_job(&mut self, job: &'static Job) {
        self.demo = Some(job.name);
        self.told = (job.name != TRANSFER.name).then(|| (job, Results::new()));
    }

    /// Notes what the RESULT lines said.
    pub(crate) fn tell_results(&mut self, results: Results) {
        self.results = Some(demo::json(&results));
        if let Some((_, told)) = &mut self.told {
            *told = results;
        }
    }

    /// Notes what the second boot counted.
    pub(crate) fn tell_figures(&mut self, figures: Figures) {
        self.figures = Some(figures.json());
        self.counted = Some(figures);
    }

    /// Notes the disk.
    pub(crate) fn tell_disk(&mut self, disk: Option<&Disk>) {
        self.disk = disk.map(|disk| disk.path.display().to_string());
        self.disk_bytes = disk.map(|disk| disk.bytes);
        self.sha256_host = disk.map(|disk| disk.sha256.clone());
    }

    /// Notes the machine.
    pub(crate) fn tell_machine(&mut self, cpu: Cpu, smp: u32, logs: &Path) {
        self.cpu = Some(cpu.name());
        self.smp = Some(smp);
        self.logs = Some(logs.display().to_string());
    }

    /// Notes what the machine reported.
    pub(crate) fn tell_transfer(&mut self, transfer: &Transfer, wall: Duration) {
        self.sha256_guest.clone_from(&transfer.sha256_guest);
        self.bytes = transfer.bytes;
        self.grants = transfer.grants;
        self.pages = transfer.pages;
        self.requests = transfer.requests;
        self.doorbells = transfer.doorbells;
        self.doorbells_during_transfer = transfer.doorbells_during_transfer;
        self.read_doorbells = doorbells_a_request(transfer.read_doorbells, transfer.requests);
        self.doorbells_per_request =
            self.read_doorbells.and_then(|n| decimal(Some(n)).parse().ok());
        self.transfer_marks = transfer.transfer_marks;
        self.partition_calls_during_transfer = transfer.partition_calls_during_transfer;
        self.partition_calls = transfer.partition_calls;
        self.vm_calls = transfer.vm_calls;
        self.copied_bytes = transfer.copied_bytes();
        self.bounced_bytes = transfer.bounced_bytes;
        self.medium_bytes = transfer.medium_bytes;
        self.medium_mapped_by_vm1 = transfer.medium_mapped_by_vm1;
        self.write_check.clone_from(&transfer.write_check);
        self.frames = transfer.frames;
        self.retransmits = transfer.retransmits;
        self.shares = transfer.shares;
        self.retrieves = transfer.retrieves;
        self.reclaims = transfer.reclaims;
        self.elapsed_ms = transfer.elapsed_us.map(|us| us / 1000);
        self.wall_ms = u64::try_from(wall.as_millis()).ok();
    }

    /// Writes the file; `reason` is why the run failed, if it did.
    pub(crate) fn write(&mut self, file: &Path, reason: Option<&str>) -> Result<(), Stop> {
        self.pass = reason.is_none();
        self.reason = reason.unwrap_or("everything is as it must be").to_owned();
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Stop::failed(format!("cannot write the JSON: {e}")))?;
        files::write(file, text + "\n")
    }

    /// Writes a file for a run that never began.
    pub(crate) fn write_failure(file: &Path, reason: &str) -> Result<(), Stop> {
        Self::default().write(file, Some(reason))
    }

    /// The table that a person reads.
    pub(crate) fn table(&self) -> String {
        match &self.told {
            Some((job, results)) if self.frames.is_some() => self.net_table(job, results),
            Some((job, results)) => demo::table(job, results),
            None => self.transfer_table(),
        }
    }

    fn transfer_table(&self) -> String {
        let digest = |d: &Option<String>| crate::say::printable(d.as_deref().unwrap_or("-"));
        let write_check = self.write_check.as_deref().unwrap_or("-");
        let rows = [
            ("disk image", format!("{} bytes", number(self.disk_bytes))),
            ("SHA-256 of the file", digest(&self.sha256_host)),
            ("SHA-256 of what the frontend read", digest(&self.sha256_guest)),
            ("grants (pages)", format!("{} ({})", number(self.grants), number(self.pages))),
            ("requests", number(self.requests)),
            ("doorbells", number(self.doorbells)),
            (
                "doorbells a request while reading",
                self.read_doorbells.map_or("-".to_owned(), |n| {
                    format!("{}  (depth 16; goal: under 0.2)", decimal(Some(n)))
                }),
            ),
            ("moved between medium and buffers", format!("{} bytes", number(self.medium_bytes))),
            ("other copies of payload", format!("{} bytes", number(self.copied_bytes))),
            ("bounced payload", format!("{} bytes", number(self.bounced_bytes))),
            ("partition calls during the transfer", number(self.partition_calls_during_transfer)),
            ("partition calls in all", number(self.partition_calls)),
            ("medium pages mapped by the frontend", number(self.medium_mapped_by_vm1)),
            ("write and read back", crate::say::printable(write_check)),
            ("time of the transfer", self.time()),
            ("time from power-on to power-off", seconds(self.wall_ms)),
        ];
        let mut table = aligned(&rows);
        if let Some(figures) = &self.counted {
            table += "\n  counted in a second boot, instruction by instruction, on one core:";
            for (name, value) in figures.rows() {
                let _written = write!(table, "\n  {name:<45} {value}");
            }
        }
        table
    }

    /// The time of the transfer, and its rate.
    fn time(&self) -> String {
        let rate = match (self.bytes, self.elapsed_ms) {
            (Some(bytes), Some(ms)) if ms > 0 => {
                format!("  ({} KiB/s under emulation)", bytes.saturating_mul(1000) / ms / 1024)
            }
            (_, _) => String::new(),
        };
        format!("{}{rate}", seconds(self.elapsed_ms))
    }
}

fn number(n: Option<u64>) -> String {
    n.map_or("-".to_owned(), |n| n.to_string())
}

fn seconds(n: Option<u64>) -> String {
    n.map_or("-".to_owned(), |n| format!("{}.{:03} s", n / 1000, n % 1000))
}

fn aligned(rows: &[(&str, String)]) -> String {
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("  {name:<37} {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::RunResult;

    #[test]
    fn the_names_of_the_issue_are_in_the_json_even_of_a_run_that_never_began() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("out.json");
        RunResult::write_failure(&file, "why \"not\"").expect("written");
        let text = std::fs::read_to_string(&file).expect("read");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for name in [
            "pass",
            "reason",
            "disk_bytes",
            "sha256_host",
            "sha256_guest",
            "grants",
            "requests",
            "doorbells",
            "partition_calls_during_transfer",
            "copied_bytes",
            "bounced_bytes",
            "medium_bytes",
            "elapsed_ms",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(
            (json["pass"].as_bool(), json["reason"].as_str()),
            (Some(false), Some("why \"not\""))
        );
    }

    #[test]
    fn unknown_numbers_are_shown_as_unknown() {
        let table = RunResult::default().table();
        assert!(table.contains("requests") && table.contains(" -"), "{table}");
        assert!(!table.contains(" 0"), "{table}");
    }
}
