//! Owns the tests of the judgement: every single condition, broken alone, must fail.

use super::{Broken, Report, Transfer, noticed, of_download, of_job, of_transfer};
use crate::boot::Logs;
use crate::disk::Disk;
use causeway_guests::jobs::{self, End, Job, MonitorLine, Profile, Sabotage, TRANSFER};

const DIGEST: &str = "5e1f";

fn disk() -> (tempfile::TempDir, Disk) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("disk");
    std::fs::write(&path, [7; 1024]).expect("written");
    let mut disk = Disk::open(&path).expect("a disk");
    disk.sha256 = DIGEST.to_owned();
    (dir, disk)
}

/// The lines of a run in which everything is right.
fn good() -> Vec<String> {
    let mut lines = vec!["NOTICE:  BL1: Booting Trusted Firmware".to_owned()];
    for (vm, tests) in TRANSFER.tests.iter().enumerate() {
        lines.extend(
            tests.iter().map(|name| format!("[vm{}] TEST name={name} result=pass", vm + 1)),
        );
    }
    lines.extend([
        format!(
            "[vm1] RESULT job=transfer status=ok sha256={DIGEST} bytes=1024 requests=2 \
             doorbells=3 bounced_bytes=0 copied_bytes=0 grants=1 pages=5 write_check=ok \
             elapsed_us=1500"
        ),
        "[vm2] RESULT job=transfer status=ok medium_bytes=2048 copied_bytes=0 requests=2 \
         doorbells=3"
            .to_owned(),
        "[mon] RESULT partition_calls_during_transfer=0 partition_calls=20 vm_calls=90 \
         doorbells=6 medium_mapped_by_vm1=0 shares=3 retrieves=1 reclaims=3 transfer_marks=1 \
         doorbells_during_transfer=4"
            .to_owned(),
        "[vm1] END status=ok".to_owned(),
        "[vm2] END status=ok".to_owned(),
        "[vm3] END status=ok".to_owned(),
        "[mon] END status=ok".to_owned(),
    ]);
    lines
}

fn judged(job: &Job, normal: Vec<String>, secure: &[&str]) -> Vec<Broken> {
    let secure = secure.iter().map(|line| (*line).to_owned()).collect();
    let logs = Logs { normal, secure, ..Logs::default() };
    let (_dir, disk) = disk();
    let mut broken = of_job(job, &Report::of(&logs));
    broken.extend(of_transfer(&disk, false, &Transfer::of(&logs)));
    broken
}

#[test]
fn a_run_in_which_everything_is_right_passes() {
    assert_eq!(judged(&TRANSFER, good(), &["[sp] up", "[sp] no PANIC at the start"]), []);
}

/// Replaces text in the one line that has it.
fn with(from: &str, to: &str) -> Vec<String> {
    let lines = good();
    assert_eq!(lines.iter().filter(|line| line.contains(from)).count(), 1, "{from}");
    lines.into_iter().map(|line| line.replace(from, to)).collect()
}

#[test]
fn each_condition_broken_alone_fails_for_its_own_reason() {
    let digests = || Broken::Digest(DIGEST.into(), "5e1e".into());
    let cases: Vec<(&str, &str, Broken)> = vec![
        ("sha256=5e1f", "sha256=5e1e", digests()),
        ("bytes=1024 ", "bytes=512 ", Broken::Bytes(1024, 512)),
        ("bytes=1024 ", "bytes=2048 ", Broken::Bytes(1024, 2048)),
        ("_during_transfer=0", "_during_transfer=1", Broken::PartitionCalls(1)),
        ("copied_bytes=0 grants", "copied_bytes=4 grants", Broken::Copied(4)),
        ("copied_bytes=0 requests", "copied_bytes=5 requests", Broken::Copied(5)),
        ("bounced_bytes=0", "bounced_bytes=6", Broken::Bounced(6)),
        ("medium_bytes=2048", "medium_bytes=1023", Broken::Medium(1024, 1023)),
        ("mapped_by_vm1=0", "mapped_by_vm1=1", Broken::MediumMapped(1)),
        ("write_check=ok", "write_check=differs", Broken::WriteCheck("differs".into())),
        ("grants=1", "grants=0", Broken::Zero("grants")),
        (
            "requests=2 doorbells=3 bounced",
            "requests=0 doorbells=3 bounced",
            Broken::Zero("requests"),
        ),
        ("doorbells=6", "doorbells=0", Broken::Zero("doorbells")),
        ("transfer_marks=1", "transfer_marks=0", Broken::Marks(0)),
        ("transfer_marks=1", "transfer_marks=2", Broken::Marks(2)),
        ("_during_transfer=4", "_during_transfer=0", Broken::Zero("doorbells_during_transfer")),
        (
            "status=ok sha256",
            "status=fail sha256",
            Broken::Status("the frontend's result", "fail".into()),
        ),
        (
            "status=ok medium",
            "status=fail medium",
            Broken::Status("the backend's result", "fail".into()),
        ),
        (
            "[vm2] END status=ok",
            "[vm2] END status=fail",
            Broken::Status("VM 2's END line", "fail".into()),
        ),
        ("NOTICE:  BL1", "PANIC at PC : 0xe0a", Broken::Crash(String::new())),
        (
            "transfer/flushed result=pass",
            "transfer/flushed result=fail why=io_error",
            Broken::Test("transfer/flushed".into(), "io_error".into()),
        ),
        (
            "transfer/flushed result=pass",
            "transfer/flushed",
            Broken::Test("transfer/flushed".into(), "its line has no result".into()),
        ),
    ];
    for (from, to, expected) in cases {
        let broken = judged(&TRANSFER, with(from, to), &[]);
        match (&expected, broken.as_slice()) {
            (Broken::Crash(_), [Broken::Crash(_)]) => {}
            (expected, [one]) => assert_eq!(one, expected, "{to}"),
            (_, many) => panic!("{to}: {many:?}"),
        }
    }
}

#[test]
fn a_number_that_nobody_prints_cannot_pass() {
    for name in [
        "sha256=",
        "bytes=1024",
        "requests=2 doorbells=3 b",
        "bounced_bytes=",
        "grants=",
        "write_check=",
        "medium_bytes=",
        "partition_calls_during_transfer=",
        "doorbells=6",
        "medium_mapped_by_vm1=",
        "transfer_marks=",
        "doorbells_during_transfer=",
        "copied_bytes=0 grants",
        "copied_bytes=0 requests",
        "status=ok sha256",
        "status=ok medium",
    ] {
        let broken = judged(&TRANSFER, with(name, &format!("x{name}")), &[]);
        assert!(matches!(broken.as_slice(), [Broken::Unsaid(_)]), "{name}: {broken:?}");
        let text = with(name, &name.replacen('=', "=x", 1));
        assert!(!judged(&TRANSFER, text, &[]).is_empty(), "{name} is no number");
    }
}

#[test]
fn each_line_that_is_left_out_or_doubled_fails() {
    let lines = good();
    for index in 1..lines.len() {
        let mut fewer = lines.clone();
        let left_out = fewer.remove(index);
        assert!(!judged(&TRANSFER, fewer, &[]).is_empty(), "without {left_out}");
        let mut more = lines.clone();
        more.push(left_out.clone());
        let broken = judged(&TRANSFER, more, &[]);
        assert_eq!(broken.is_empty(), left_out.contains("] END "), "twice {left_out}");
    }
}

#[test]
fn another_vms_word_does_not_count() {
    for vm in ["[vm2]", "[vm3]", "[vm4]", " [vm1]"] {
        let lines = with("[vm1] RESULT", &format!("{vm} RESULT"));
        assert!(!judged(&TRANSFER, lines, &[]).is_empty(), "{vm}");
    }
    let lines = with("[mon] RESULT", "[vm3] [mon] RESULT");
    assert!(!judged(&TRANSFER, lines, &[]).is_empty());
}

#[test]
fn a_crash_of_the_partition_fails_a_run_that_otherwise_passed() {
    let broken = judged(&TRANSFER, good(), &["[sp] PANIC core 0 at lib.rs:1"]);
    assert_eq!(broken, [Broken::Crash("PANIC core 0 at lib.rs:1".into())]);
}

#[test]
fn an_area_that_the_partition_mapped_executable_fails_every_run() {
    let line = "MAP pa=0x80010000 pages=2 ns=1 xn=0 ap=rw mem=wb";
    let broken = judged(&TRANSFER, good(), &[&format!("[sp] {line}")]);
    assert_eq!(broken, [Broken::Map(line.into())]);
}

#[test]
fn the_job_that_names_its_areas_fails_without_their_names() {
    let job = Job { name: super::MAPPED_ATTRS, ..TRANSFER };
    assert!(matches!(judged(&job, good(), &[]).as_slice(), [Broken::Unsaid(_)]));
    assert!(jobs::find(super::MAPPED_ATTRS).is_some(), "the job has another name now");
}

#[test]
fn the_firmwares_panic_at_power_off_is_no_crash_but_an_earlier_one_is() {
    assert_eq!(judged(&TRANSFER, good(), &["[sp] up", "PANIC at PC : 0x0e0a0f00"]), []);
    let broken = judged(&TRANSFER, good(), &["PANIC at PC : 0x0e0a0f00", "[sp] up"]);
    assert!(matches!(broken.as_slice(), [Broken::Crash(_)]), "{broken:?}");
    let lines = with("[mon] END status=ok", "");
    let broken = judged(&TRANSFER, lines, &["[sp] up", "PANIC at PC : 0x0e0a0f00"]);
    assert!(matches!(broken.as_slice(), [Broken::Crash(_), Broken::Unsaid(_)]), "{broken:?}");
}

#[test]
fn a_later_good_end_does_not_cover_an_earlier_bad_one() {
    let mut lines = with("[vm1] END status=ok", "[vm1] END status=fail");
    lines.push("[vm1] END status=ok".into());
    assert_eq!(judged(&TRANSFER, lines, &[]).len(), 1);
}

#[test]
fn a_test_that_the_table_does_not_know_fails() {
    let mut lines = good();
    lines.push("[vm3] TEST name=transfer/flushed result=pass".into());
    assert_eq!(judged(&TRANSFER, lines, &[]).len(), 1);
}

#[test]
fn where_vm_1_ends_all_the_others_may_be_silent_but_not_failed() {
    let job = Job { end: End::Vm1, ..TRANSFER };
    let without: Vec<String> =
        good().into_iter().filter(|line| !line.starts_with("[vm3] END")).collect();
    assert_eq!(judged(&job, without, &[]), []);
    assert_eq!(judged(&job, with("[vm3] END status=ok", "[vm3] END status=fail"), &[]).len(), 1);
    assert_eq!(judged(&job, with("[vm1] END status=ok", ""), &[]).len(), 1);
}

#[test]
fn the_monitors_lines_are_counted() {
    let job =
        Job { monitor_lines: &[MonitorLine { text: "FAULT vm=2 ", at_least: 2 }], ..TRANSFER };
    let mut lines = good();
    lines.push("[mon] FAULT vm=2 ipa=0x1 write=1".into());
    lines.push("[vm2] FAULT vm=2 ipa=0x1 write=1".into());
    let broken = judged(&job, lines.clone(), &[]);
    assert_eq!(broken, [Broken::Line("monitor", "FAULT vm=2 ".into(), 2, 1)]);
    lines.push("[mon] FAULT vm=2 ipa=0x2 write=0".into());
    assert_eq!(judged(&job, lines, &[]), []);
}

#[test]
fn a_minimal_partition_whose_queue_costs_a_kibibyte_or_is_not_told_fails() {
    let job = Job { profile: Profile::Minimal, ..TRANSFER };
    let judged = |secure| judged(&job, good(), secure);
    assert_eq!(judged(&["[sp] RAM profile=minimal queue=1023 area=9999"]), []);
    let figure =
        |met: &str| [Broken::Figure("the partition", "bytes of RAM for a queue", met.into())];
    assert_eq!(judged(&["[sp] RAM profile=minimal queue=1024"]), figure("1024"));
    assert_eq!(judged(&["RAM profile=minimal queue=1"]), figure("unknown"));
}

#[test]
fn a_sabotaged_run_must_fail_for_the_right_reason_and_no_other() {
    let digest = Broken::Digest("a".into(), "b".into());
    assert_eq!(noticed(Sabotage::Digest, std::slice::from_ref(&digest)), Ok(()));
    assert_eq!(noticed(Sabotage::BouncedBytes, &[Broken::Bounced(1)]), Ok(()));
    assert_eq!(noticed(Sabotage::PartitionCalls, &[Broken::PartitionCalls(1)]), Ok(()));
    let both = [Broken::Copied(1), Broken::Bounced(1)];
    assert_eq!(noticed(Sabotage::BouncedBytes, &both), Ok(()));
    assert!(noticed(Sabotage::BouncedBytes, &both[..1]).is_err());
    assert_eq!(noticed(Sabotage::CopiedBytes, &both[..1]), Ok(()));
    assert!(noticed(Sabotage::CopiedBytes, &both).is_err());
    assert!(noticed(Sabotage::CopiedBytes, &[]).is_err());
    assert!(noticed(Sabotage::PartitionCalls, &both).is_err());
    assert!(noticed(Sabotage::Digest, &[]).expect_err("passed").contains("not noticed"));
    assert!(noticed(Sabotage::Digest, &[Broken::Bounced(1)]).is_err());
    assert!(noticed(Sabotage::Digest, &[digest, Broken::Bounced(1)]).is_err());
}

#[test]
fn a_file_that_is_changed_during_the_run_fails() {
    let (_dir, disk) = disk();
    let logs = Logs { normal: good(), ..Logs::default() };
    let broken = of_transfer(&disk, true, &Transfer::of(&logs));
    assert_eq!(broken, [Broken::FileChanged]);
}

#[test]
fn the_jobs_table_has_what_the_tests_boot() {
    assert!(jobs::JOBS.iter().any(|job| job.name == TRANSFER.name));
}

/// What the three say of a download over TCP in which everything is right.
fn download() -> [&'static str; 3] {
    [
        "[vm1] RESULT job=net status=ok sha256=5e1f bytes=1024 grants=2 pages=146 frames_received=5 \
         frames_sent=3 copied_bytes=1400 bounced_bytes=0 doorbells=2 elapsed_us=9",
        "[vm2] RESULT job=net status=ok medium_bytes=1024 frames_sent=5 frames_received=3 segments=2 \
         retransmits=0 copied_bytes=1401 doorbells=2",
        "[mon] RESULT partition_calls_during_transfer=0 partition_calls=20 doorbells=6 \
         medium_mapped_by_vm1=0 transfer_marks=1 doorbells_during_transfer=4",
    ]
}

fn judged_download(lines: [String; 3]) -> Vec<Broken> {
    let logs = Logs { normal: lines.to_vec(), ..Logs::default() };
    let (_dir, disk) = disk();
    of_download(&disk, false, &Transfer::of(&logs))
}

#[test]
fn each_condition_of_a_download_broken_alone_fails_for_its_own_reason() {
    assert_eq!(judged_download(download().map(str::to_owned)), []);
    let cases = [
        ("sha256=5e1f", "sha256=5e1e", Broken::Digest(DIGEST.into(), "5e1e".into())),
        (" bytes=1024", " bytes=1023", Broken::Bytes(1024, 1023)),
        ("bounced_bytes=0", "bounced_bytes=2", Broken::Bounced(2)),
        ("copied_bytes=1400", "copied_bytes=0", Broken::Uncounted(1024, 1401)),
        ("frames_received=5", "frames_received=0", Broken::Zero("frames_received")),
        ("segments=2", "segments=0", Broken::Zero("segments")),
        ("segments=2", "bits=2", Broken::Unsaid("segments")),
        ("retransmits=0", "again=0", Broken::Unsaid("retransmits")),
        ("medium_bytes=1024", "medium_bytes=3", Broken::Medium(1024, 3)),
        ("transfer=0", "transfer=1", Broken::PartitionCalls(1)),
        ("marks=1", "marks=0", Broken::Marks(0)),
    ];
    for (from, to, wanted) in cases {
        assert_eq!(download().concat().matches(from).count(), 1, "{from}");
        let broken = judged_download(download().map(|line| line.replace(from, to)));
        assert_eq!(broken, [wanted], "{from}");
    }
}
