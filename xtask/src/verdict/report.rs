//! Owns what a boot reported, collected from its logs. Never judges it.

use super::keys::Proofs;
use super::ledger::Printed;
use super::{Broken, maps};
use crate::boot::Logs;
use crate::lines::{Fields, Line, Source};

/// One TEST line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    /// Its name.
    pub(crate) name: String,
    /// Passed, or why not.
    pub(crate) outcome: Result<(), String>,
}

/// Everything but the transfer's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Lines that tell of a crash.
    pub(crate) crashes: Vec<String>,
    /// The TEST lines of VM 1, 2 and 3.
    pub(crate) tests: [Vec<Test>; 3],
    /// The END status of VM 1, 2, 3 and the monitor. The first that is not `ok` counts.
    pub(crate) ends: [Option<String>; 4],
    /// What the monitor printed.
    pub(crate) monitor_lines: Vec<String>,
    /// What the partition printed on the secure UART.
    pub(crate) partition_lines: Vec<String>,
    /// Bytes of the partition's RAM for one more queue, as it says.
    pub(crate) queue_bytes: Option<u64>,
    /// What is wrong with the partition's MAP lines in any run.
    pub(crate) maps: Vec<Broken>,
    /// What is wrong with them where the VMs name the areas.
    pub(crate) named_areas: Vec<Broken>,
    /// The ledger, where VM 1 printed it.
    pub(crate) ledger: Printed,
    /// What VM 1's keys made.
    pub(crate) proofs: Proofs,
}

impl Report {
    /// Collects the lines.
    pub(crate) fn of(logs: &Logs) -> Self {
        let mut report = Self {
            maps: maps::of_any(logs),
            named_areas: maps::of_named_areas(logs),
            ledger: Printed::of(logs),
            proofs: Proofs::of(logs),
            ..Self::default()
        };
        for line in logs.normal.iter().map(|line| Line::normal(line)) {
            report.note_crash(line);
            let index = match line.source {
                Source::Vm(vm) => vm - 1,
                Source::Monitor => {
                    report.monitor_lines.push(line.text.to_owned());
                    3
                }
                Source::Partition | Source::Firmware => continue,
            };
            if let (Some(fields), Some(tests)) = (line.fields("TEST"), report.tests.get_mut(index))
            {
                tests.push(test(&fields));
            }
            if let (Some(fields), Some(end)) = (line.fields("END"), report.ends.get_mut(index)) {
                let status = fields.text("status").unwrap_or("unknown").to_owned();
                if end.as_deref().is_none_or(|before| before == "ok") {
                    *end = Some(status);
                }
            }
        }
        let (during, after) = logs.secure.split_at(last_of_partition(logs));
        for line in during.iter().map(|line| Line::secure(line)) {
            if line.source == Source::Partition {
                let ram = line.fields("RAM").and_then(|ram| ram.number("queue"));
                report.queue_bytes = report.queue_bytes.or(ram);
                report.partition_lines.push(line.text.to_owned());
            }
            report.note_crash(line);
        }
        // TF-A panics where QEMU does not power off fast enough (plat/qemu, system_off): a crash
        // of the firmware counts only where the monitor did not reach its end.
        if report.ends[3].is_none() {
            for line in after.iter().map(|line| Line::secure(line)) {
                report.note_crash(line);
            }
        }
        report
    }

    fn note_crash(&mut self, line: Line<'_>) {
        if line.is_crash() {
            self.crashes.push(line.text.to_owned());
        }
    }
}

/// The number of lines up to the partition's last one.
fn last_of_partition(logs: &Logs) -> usize {
    let is_its = |line: &String| Line::secure(line).source == Source::Partition;
    logs.secure.iter().rposition(is_its).map_or(0, |index| index + 1)
}

fn test(fields: &Fields) -> Test {
    let name = fields.text("name").unwrap_or("without-a-name").to_owned();
    let outcome = match fields.text("result") {
        Some("pass") => Ok(()),
        Some("fail") => Err(fields.text("why").unwrap_or("failed").to_owned()),
        Some(_) | None => Err("its line has no result".to_owned()),
    };
    Test { name, outcome }
}

/// The numbers of a transfer as the three who know them report them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// Results that are there twice.
    pub(crate) disorder: Vec<Broken>,
    /// The frontend's status.
    pub(crate) front_status: Option<String>,
    /// The backend's status.
    pub(crate) back_status: Option<String>,
    /// SHA-256 of what the frontend read.
    pub(crate) sha256_guest: Option<String>,
    /// What the frontend's write check said.
    pub(crate) write_check: Option<String>,
    /// Bytes that the frontend read.
    pub(crate) bytes: Option<u64>,
    /// Requests that the frontend made.
    pub(crate) requests: Option<u64>,
    /// Doorbells rung during the job, both ways, as the monitor counts them.
    pub(crate) doorbells: Option<u64>,
    /// Pairs of marks around the transfer that the monitor saw.
    pub(crate) transfer_marks: Option<u64>,
    /// Doorbells rung between the marks.
    pub(crate) doorbells_during_transfer: Option<u64>,
    /// Grants that the frontend made.
    pub(crate) grants: Option<u64>,
    /// Pages in these grants.
    pub(crate) pages: Option<u64>,
    /// Payload that `Hal::share` had to move.
    pub(crate) bounced_bytes: Option<u64>,
    /// Payload copied by the frontend.
    pub(crate) front_copied_bytes: Option<u64>,
    /// Payload copied by the backend, beyond the one transfer.
    pub(crate) back_copied_bytes: Option<u64>,
    /// Doorbells, both ways, while the frontend read the image.
    pub(crate) read_doorbells: Option<u64>,
    /// The transfer's time as the frontend measured it.
    pub(crate) elapsed_us: Option<u64>,
    /// Bytes moved between the medium and the driver's buffers.
    pub(crate) medium_bytes: Option<u64>,
    /// Calls that reached the partition during the transfer.
    pub(crate) partition_calls_during_transfer: Option<u64>,
    /// Calls that reached the partition in all.
    pub(crate) partition_calls: Option<u64>,
    /// Calls that the VMs made of the monitor.
    pub(crate) vm_calls: Option<u64>,
    /// Pages of the medium in VM 1's stage 2.
    pub(crate) medium_mapped_by_vm1: Option<u64>,
    /// How often the backend was killed and came back, as the frontend saw it.
    pub(crate) restarts: Option<u64>,
    /// Bytes that the frontend had read before that.
    pub(crate) read_before_restart: Option<u64>,
    /// Frames that the frontend received, where the disk comes over TCP.
    pub(crate) frames: Option<u64>,
    /// TCP segments with data that the backend sent.
    pub(crate) segments: Option<u64>,
    /// Those that it sent again.
    pub(crate) retransmits: Option<u64>,
    /// Memory transactions begun by VMs.
    pub(crate) shares: Option<u64>,
    /// Retrieves.
    pub(crate) retrieves: Option<u64>,
    /// Reclaims.
    pub(crate) reclaims: Option<u64>,
}

impl Transfer {
    /// Collects the RESULT lines.
    pub(crate) fn of(logs: &Logs) -> Self {
        let mut disorder = Vec::new();
        let mut result = |source: Source, who: &'static str| {
            let mut found = logs
                .normal
                .iter()
                .map(|line| Line::normal(line))
                .filter(|line| line.source == source)
                .filter_map(|line| line.fields("RESULT"));
            let first = found.next();
            if found.next().is_some() {
                disorder.push(Broken::SaidTwice(who));
            }
            first.unwrap_or_default()
        };
        let front = result(Source::Vm(1), "the frontend's RESULT line");
        let back = result(Source::Vm(2), "the backend's RESULT line");
        let monitor = result(Source::Monitor, "the monitor's RESULT line");
        let text = |fields: &Fields, name| fields.text(name).map(str::to_owned);
        Self {
            disorder,
            front_status: text(&front, "status"),
            back_status: text(&back, "status"),
            sha256_guest: text(&front, "sha256"),
            write_check: text(&front, "write_check"),
            bytes: front.number("bytes"),
            requests: front.number("requests"),
            doorbells: monitor.number("doorbells"),
            transfer_marks: monitor.number("transfer_marks"),
            doorbells_during_transfer: monitor.number("doorbells_during_transfer"),
            grants: front.number("grants"),
            pages: front.number("pages"),
            bounced_bytes: front.number("bounced_bytes"),
            front_copied_bytes: front.number("copied_bytes"),
            back_copied_bytes: back.number("copied_bytes"),
            read_doorbells: front.number("read_doorbells"),
            elapsed_us: front.number("elapsed_us"),
            medium_bytes: back.number("medium_bytes"),
            partition_calls_during_transfer: monitor.number("partition_calls_during_transfer"),
            partition_calls: monitor.number("partition_calls"),
            vm_calls: monitor.number("vm_calls"),
            medium_mapped_by_vm1: monitor.number("medium_mapped_by_vm1"),
            restarts: front.number("restarts"),
            read_before_restart: front.number("read_before_restart"),
            frames: front.number("frames_received"),
            segments: back.number("segments"),
            retransmits: back.number("retransmits"),
            shares: monitor.number("shares"),
            retrieves: monitor.number("retrieves"),
            reclaims: monitor.number("reclaims"),
        }
    }

    /// Payload copied by whomever; unknown if either did not say.
    pub(crate) fn copied_bytes(&self) -> Option<u64> {
        self.front_copied_bytes?.checked_add(self.back_copied_bytes?)
    }
}
