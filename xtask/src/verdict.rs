//! Owns the judgement of a boot: which conditions of a pass are broken. Never boots or prints.
//!
//! What a line does not say is broken, not zero: a number that nobody printed cannot pass.

pub(crate) mod figures;
mod keys;
mod ledger;
mod maps;
mod report;

pub(crate) use figures::Figures;
pub(crate) use report::{Report, Transfer};

use crate::disk::Disk;
use causeway_guests::jobs::{End, Job, Profile, Sabotage};
use std::fmt;

/// The job whose VMs name the areas that the partition maps.
const MAPPED_ATTRS: &str = "mapped_attrs";

/// The job whose keys' work the host verifies.
const DEMO_KEYS: &str = "demo_keys";

/// A queue costs less of the partition's RAM, in the minimal profile.
const QUEUE_BYTES: u64 = 1024;

/// One condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Somebody crashed; the line.
    Crash(String),
    /// Nobody printed this.
    Unsaid(&'static str),
    /// Somebody printed two results.
    SaidTwice(&'static str),
    /// A result's status, or the status of an END line.
    Status(&'static str, String),
    /// A test that did not pass: its name, and why.
    Test(String, String),
    /// A line that should be there more often: whose, text, wanted, seen.
    Line(&'static str, String, u32, usize),
    /// Not the whole image was read: wanted, read.
    Bytes(u64, u64),
    /// The digest differs: the file's, the guest's.
    Digest(String, String),
    /// The file was written to during the run.
    FileChanged,
    /// Calls of the partition during the transfer.
    PartitionCalls(u64),
    /// Payload that somebody copied.
    Copied(u64),
    /// Fewer copied bytes than TCP must copy: the file's, those that were counted.
    Uncounted(u64, u64),
    /// Payload that was bounced.
    Bounced(u64),
    /// The medium gave less than the image: wanted, given.
    Medium(u64, u64),
    /// VM 1 maps the medium.
    MediumMapped(u64),
    /// What the write check said.
    WriteCheck(String),
    /// A count that cannot be zero in a run that did its job.
    Zero(&'static str),
    /// What the partition mapped, or how; its line.
    Map(String),
    /// The ledger that VM 1 printed is not what its head says.
    Ledger(String),
    /// What VM 1's keys made is not what the host computes.
    Proof(&'static str),
    /// The transfer was not marked off once: how often it was.
    Marks(u64),
    /// A figure that misses its goal: whose, which, what it is.
    Figure(&'static str, &'static str, String),
}

impl Broken {
    /// Why the test of this name did not pass, if this is about it.
    pub(crate) fn of_test(&self, wanted: &str) -> Option<&str> {
        if let Self::Test(name, why) = self
            && name == wanted
        {
            return Some(why);
        }
        None
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(line) => write!(f, "a crash was reported: {line}"),
            Self::Unsaid(what) => write!(f, "{what} is missing from the logs"),
            Self::SaidTwice(what) => write!(f, "{what} is in the logs more than once"),
            Self::Status(who, status) => write!(f, "{who} ended with status {status}"),
            Self::Test(name, why) => write!(f, "test {name}: {why}"),
            Self::Line(who, text, wanted, seen) => {
                write!(f, "the {who} printed {text:?} {seen} times, not {wanted}")
            }
            Self::Bytes(wanted, read) => write!(f, "the frontend read {read} of {wanted} bytes"),
            Self::Digest(host, guest) => {
                write!(f, "the digests differ: the file has {host}, the frontend read {guest}")
            }
            Self::FileChanged => f.write_str("the disk file was changed during the run"),
            Self::PartitionCalls(n) => {
                write!(f, "the partition was called {n} times during the transfer")
            }
            Self::Copied(n) => write!(f, "{n} bytes of payload were copied"),
            Self::Uncounted(wanted, n) => {
                write!(f, "{n} copied bytes were counted of a file of {wanted} over TCP")
            }
            Self::Bounced(n) => write!(f, "{n} bytes of payload were bounced"),
            Self::Medium(wanted, given) => {
                write!(f, "the medium gave {given} bytes; the image has {wanted}")
            }
            Self::MediumMapped(n) => write!(f, "the frontend maps {n} pages of the medium"),
            Self::WriteCheck(said) => write!(f, "the write check said {said}"),
            Self::Zero(what) => write!(f, "{what} is 0"),
            Self::Map(line) => write!(f, "the partition mapped what or how it must not: {line}"),
            Self::Ledger(why) => write!(f, "the printed ledger: {why}"),
            Self::Proof(what) => {
                write!(f, "the host does not verify the {what} that VM 1's keys made")
            }
            Self::Figure(whose, which, met) => write!(f, "{whose}: {which}: {met} misses the goal"),
            Self::Marks(n) => write!(f, "the transfer was marked off {n} times, not once"),
        }
    }
}

/// Every broken condition of a job's tests, ends and lines, worst first; empty is a pass.
pub(crate) fn of_job(job: &Job, report: &Report) -> Vec<Broken> {
    let mut broken: Vec<Broken> = report.crashes.iter().cloned().map(Broken::Crash).collect();
    for (vm, expected) in job.tests.iter().enumerate() {
        let said = report.tests.get(vm).map_or(&[][..], Vec::as_slice);
        for name in *expected {
            match said.iter().filter(|test| test.name == *name).count() {
                0 => broken.push(Broken::Test((*name).to_owned(), "did not run".to_owned())),
                1 => {}
                _ => broken.push(Broken::Test((*name).to_owned(), "ran twice".to_owned())),
            }
        }
        for test in said {
            if let Err(why) = &test.outcome {
                broken.push(Broken::Test(test.name.clone(), why.clone()));
            } else if !expected.contains(&test.name.as_str()) {
                broken.push(Broken::Test(test.name.clone(), "is not expected here".to_owned()));
            }
        }
    }
    let lines = [
        ("monitor", job.monitor_lines, &report.monitor_lines),
        ("partition", job.partition_lines, &report.partition_lines),
    ];
    for (who, wanted, said) in lines {
        for line in wanted {
            let seen = said.iter().filter(|said| said.contains(line.text)).count();
            if seen < usize::try_from(line.at_least).unwrap_or(usize::MAX) {
                broken.push(Broken::Line(who, line.text.to_owned(), line.at_least, seen));
            }
        }
    }
    if job.profile == Profile::Minimal && report.queue_bytes.is_none_or(|n| n >= QUEUE_BYTES) {
        let met = report.queue_bytes.map_or("unknown".to_owned(), |n| n.to_string());
        broken.push(Broken::Figure("the partition", "bytes of RAM for a queue", met));
    }
    broken.extend(report.maps.iter().cloned());
    if job.name == MAPPED_ATTRS {
        broken.extend(report.named_areas.iter().cloned());
    }
    if job.name == DEMO_KEYS {
        broken.extend(report.proofs.broken());
    }
    if job.prints_ledger {
        broken.extend(report.ledger.broken());
    }
    ends(job, report, &mut broken);
    broken
}

fn ends(job: &Job, report: &Report, broken: &mut Vec<Broken>) {
    let names = ["VM 1's END line", "VM 2's END line", "VM 3's END line", "the monitor's END line"];
    for (index, (name, said)) in names.into_iter().zip(&report.ends).enumerate() {
        // Where VM 1's end is everybody's, the others are killed before they can say theirs.
        let may_be_silent = job.end == End::Vm1 && (index == 1 || index == 2);
        match said {
            None if may_be_silent => {}
            None => broken.push(Broken::Unsaid(name)),
            Some(status) if status == "ok" => {}
            Some(status) => broken.push(Broken::Status(name, status.clone())),
        }
    }
}

/// Every broken condition of a transfer of this disk; empty is a pass.
pub(crate) fn of_transfer(disk: &Disk, file_changed: bool, transfer: &Transfer) -> Vec<Broken> {
    let mut broken = of_any_move(disk, file_changed, transfer);
    broken.extend(check(transfer.copied_bytes(), "copied_bytes", |n| zero(n, Broken::Copied(n))));
    broken.extend(not_zero(transfer.requests, "requests"));
    match transfer.write_check.as_deref() {
        None => broken.push(Broken::Unsaid("write_check")),
        Some("ok") => {}
        Some(said) => broken.push(Broken::WriteCheck(said.to_owned())),
    }
    broken
}

/// Every broken condition of a download of this disk over TCP; empty is a pass. TCP/IP copies, into
/// the area and out of it: a count below that is blind.
pub(crate) fn of_download(disk: &Disk, file_changed: bool, transfer: &Transfer) -> Vec<Broken> {
    let mut broken = of_any_move(disk, file_changed, transfer);
    broken.extend(check(transfer.copied_bytes(), "copied_bytes", |n| {
        (n < disk.bytes.saturating_mul(2)).then_some(Broken::Uncounted(disk.bytes, n))
    }));
    broken.extend(not_zero(transfer.frames, "frames_received"));
    broken.extend(not_zero(transfer.segments, "segments"));
    broken.extend(check(transfer.retransmits, "retransmits", |_| None));
    broken
}

/// What is wrong with a number; that nobody said it, first of all.
fn check(
    value: Option<u64>,
    name: &'static str,
    wrong: impl FnOnce(u64) -> Option<Broken>,
) -> Option<Broken> {
    value.map_or(Some(Broken::Unsaid(name)), wrong)
}

fn zero(n: u64, broken: Broken) -> Option<Broken> {
    (n != 0).then_some(broken)
}

fn not_zero(value: Option<u64>, name: &'static str) -> Option<Broken> {
    check(value, name, |n| (n == 0).then_some(Broken::Zero(name)))
}

/// What holds of every run that moves a disk, whichever way.
fn of_any_move(disk: &Disk, file_changed: bool, transfer: &Transfer) -> Vec<Broken> {
    let mut broken = transfer.disorder.clone();
    let statuses = [
        ("the frontend's result", &transfer.front_status),
        ("the backend's result", &transfer.back_status),
    ];
    for (who, status) in statuses {
        match status.as_deref() {
            Some("ok") => {}
            Some(status) => broken.push(Broken::Status(who, status.to_owned())),
            None => broken.push(Broken::Unsaid(who)),
        }
    }
    broken.extend(check(transfer.bytes, "bytes", |n| {
        (n != disk.bytes).then_some(Broken::Bytes(disk.bytes, n))
    }));
    let calls = transfer.partition_calls_during_transfer;
    broken.extend(check(calls, "partition_calls_during_transfer", |n| {
        zero(n, Broken::PartitionCalls(n))
    }));
    broken.extend(check(transfer.transfer_marks, "transfer_marks", |n| {
        // A takeover lies between two marked stretches.
        (n != 1 + transfer.restarts.unwrap_or(0)).then_some(Broken::Marks(n))
    }));
    broken.extend(check(transfer.bounced_bytes, "bounced_bytes", |n| zero(n, Broken::Bounced(n))));
    broken.extend(check(transfer.medium_bytes, "medium_bytes", |n| {
        // A backend that came back counts from there.
        let all = n.saturating_add(transfer.read_before_restart.unwrap_or(0));
        (all < disk.bytes).then_some(Broken::Medium(disk.bytes, n))
    }));
    broken.extend(check(transfer.medium_mapped_by_vm1, "medium_mapped_by_vm1", |n| {
        zero(n, Broken::MediumMapped(n))
    }));
    broken.extend(not_zero(transfer.grants, "grants"));
    broken.extend(not_zero(transfer.doorbells, "doorbells"));
    broken.extend(not_zero(transfer.doorbells_during_transfer, "doorbells_during_transfer"));
    match transfer.sha256_guest.as_deref() {
        None => broken.push(Broken::Unsaid("sha256")),
        Some(guest) if guest == disk.sha256 => {}
        Some(guest) => broken.push(Broken::Digest(disk.sha256.clone(), guest.to_owned())),
    }
    if file_changed {
        broken.push(Broken::FileChanged);
    }
    broken
}

/// Whether a sabotaged run failed for the reason it was sabotaged for, and for no other.
pub(crate) fn noticed(sabotage: Sabotage, broken: &[Broken]) -> Result<(), String> {
    let is_it = |broken: &Broken| match sabotage {
        Sabotage::Digest => matches!(broken, Broken::Digest(..)),
        Sabotage::PartitionCalls => matches!(broken, Broken::PartitionCalls(_)),
        Sabotage::BouncedBytes => matches!(broken, Broken::Bounced(_)),
        Sabotage::CopiedBytes => matches!(broken, Broken::Copied(_)),
    };
    // What was bounced was copied too.
    let follows =
        |broken: &Broken| sabotage == Sabotage::BouncedBytes && matches!(broken, Broken::Copied(_));
    if !broken.iter().any(is_it) {
        let why = broken.first().map_or("the run passed".to_owned(), ToString::to_string);
        return Err(format!("the sabotage was not noticed: {why}"));
    }
    match broken.iter().find(|broken| !is_it(broken) && !follows(broken)) {
        None => Ok(()),
        Some(other) => Err(format!("the run failed for another reason: {other}")),
    }
}

#[cfg(test)]
mod tests;
