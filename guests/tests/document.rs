//! Holds docs/qemu-tests.md to the tables of jobs and cases; never writes it unless asked to:
//! `CAUSEWAY_WRITE_DOCS=1 cargo test -p causeway-guests --test document`.

use causeway_guests::cases::{CASES, Outcome};
use causeway_guests::jobs::{JOBS, Job, MonitorBuild, Sabotage, Verdict};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str =
    "<!-- tables: generated from guests/src/jobs/table.rs and guests/src/cases.rs -->\n";

fn verdict(job: &Job) -> &'static str {
    match job.verdict {
        Verdict::Passes => "passes",
        Verdict::MustFail(Sabotage::Digest) => "must fail: digests differ",
        Verdict::MustFail(Sabotage::PartitionCalls) => "must fail: the partition was called",
        Verdict::MustFail(Sabotage::BouncedBytes) => "must fail: bytes were bounced",
        Verdict::MustFail(Sabotage::CopiedBytes) => "must fail: payload was copied",
    }
}

fn jobs_table(out: &mut String) {
    out.push_str("## Jobs\n\n| job | shows | monitor | VM 1 | VM 2 | VM 3 | the run |\n|---|---|---|---|---|---|---|\n");
    for job in JOBS {
        let monitor = match job.monitor {
            MonitorBuild::Checked => "checked",
            MonitorBuild::Raw => "raw",
        };
        let [a, b, c] = job.command_lines;
        let verdict = verdict(job);
        writeln!(
            out,
            "| `{}` | {} | {monitor} | `{a}` | `{b}` | `{c}` | {verdict} |",
            job.name, job.shows
        )
        .unwrap();
    }
}

fn tests_table(out: &mut String) {
    out.push_str("\n## Expected tests\n\nEach is a line `[vmN] TEST name=<name> result=pass`.\n\n| job | VM | tests |\n|---|---|---|\n");
    for job in JOBS
        .iter()
        .filter(|job| !job.name.starts_with("transfer_") && !job.name.starts_with("hostile_args"))
        .filter(|job| !matches!(job.name, "capacity_spmc" | "interleaved_raw"))
    {
        for (index, tests) in job.tests.iter().enumerate().filter(|(_, tests)| !tests.is_empty()) {
            let names: Vec<_> = tests.iter().map(|name| format!("`{name}`")).collect();
            writeln!(out, "| `{}` | {} | {} |", job.name, index + 1, names.join("<br>")).unwrap();
        }
        let monitor = job.monitor_lines.iter().map(|line| ("monitor", line));
        let partition = job.partition_lines.iter().map(|line| ("partition", line));
        for (who, line) in monitor.chain(partition) {
            writeln!(
                out,
                "| `{}` | {who} | {} times or more: a line with `{}` |",
                job.name,
                line.at_least,
                line.text.trim()
            )
            .unwrap();
        }
    }
    out.push_str("\nThe jobs `transfer_*` expect the tests of `transfer`, `capacity_spmc` those of `capacity`,\n`interleaved_raw` those of `interleaved`.\n");
}

fn cases_table(out: &mut String) {
    let cell = |o: Outcome| format!("{}: {}", o.layer.name(), o.status);
    out.push_str("\n## Who refuses what\n\nThe cases of `hostile_args` (checked monitor) and `hostile_args_raw` (raw monitor), printed by VM 3 as\n`TEST name=<case> result=pass layer=<layer> status=<status>`. Beside them VM 1 and VM 2 print\n`hostile_args/owner_unchanged` and `hostile_args/peer_unchanged`.\n\n| case | what | checked monitor | raw monitor |\n|---|---|---|---|\n");
    for case in CASES {
        writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            case.name,
            case.what,
            cell(case.checked),
            cell(case.raw)
        )
        .unwrap();
    }
}

#[test]
fn the_document_holds_the_tables_as_they_are() {
    let mut tables = String::from(BEGIN);
    tables.push('\n');
    jobs_table(&mut tables);
    tests_table(&mut tables);
    cases_table(&mut tables);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/qemu-tests.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let prose = document.split(BEGIN).next().unwrap();
    let wanted = format!("{prose}{tables}");
    if std::env::var_os("CAUSEWAY_WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        document == wanted,
        "docs/qemu-tests.md is out of date; see the first lines of this file"
    );
}
