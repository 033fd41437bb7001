//! Holds the report to its claims.

use super::*;

fn line(partition: &str, section: &str, size: u64, call: &str, instr: u64) -> String {
    format!(
        "[bench] partition={partition} section={section} size={size} call={call} n=4 \
         instr={instr} max={instr}"
    )
}

fn ours(figures: &[(&str, u64, &str, u64)]) -> Vec<String> {
    run("causeway", figures)
}

fn run(partition: &str, figures: &[(&str, u64, &str, u64)]) -> Vec<String> {
    let lines = figures
        .iter()
        .map(|(section, size, call, instr)| line(partition, section, *size, call, *instr));
    let noise = ["NOTICE:  BL31", "[bench] RUN partition=Causeway extent=Quick"].map(str::to_owned);
    noise.into_iter().chain(lines).chain([END.to_owned()]).collect()
}

fn empty() -> Vec<String> {
    run("empty", &[("floor", 0, "message", 1196), ("cycle", 1, "cycle", 6649)])
}

fn report(ours: &[String], empty: &[String]) -> Result<Report, Unusable> {
    Report::new(ours.iter().map(String::as_str), empty.iter().map(String::as_str))
}

#[test]
fn the_empty_partitions_figure_is_taken_off_call_by_call() {
    let figures = [
        ("floor", 0, "psci_version", 197),
        ("idle", 0, "version", 2220),
        ("idle", 0, "hyp_poll", 2915),
        ("cycle", 1, "cycle", 11_649),
        ("pages", 512, "cycle", 20_000),
        ("cycle", 1, "mem_reclaim", 400),
    ];
    let report = report(&ours(&figures), &empty()).unwrap();
    let own: Vec<_> = report.rows().iter().map(|row| (row.own(), row.met())).collect();
    assert_eq!(
        own,
        [
            (None, None),
            (Some(1024), Some(true)),
            (Some(1719), Some(false)),
            (Some(5000), Some(true)),
            (Some(18_804), Some(false)),
            (None, None),
        ]
    );
    let missed: Vec<_> = report.missed().map(|row| row.call.as_str()).collect();
    assert_eq!(missed, ["hyp_poll", "cycle"]);
    let text = report.markdown();
    assert!(text.contains("| 1 | cycle | 11,649 | 6,649 | 5,000 | 5,000 |"), "{text}");
    assert!(text.contains("|  | hyp_poll | 2,915 | 1,196 | 1,719 | 1,200 (missed) |"), "{text}");
}

#[test]
fn half_a_run_is_no_report() {
    let whole = ours(&[("idle", 0, "version", 2220)]);
    let mut half = whole.clone();
    half.pop();
    let refused = report(&half, &empty()).unwrap_err();
    assert!(matches!(refused, Unusable::Unfinished(Partition::Causeway, _)));
    let mut broken = half;
    broken.push("[bench] PANIC bench/src/bench/calls.rs:45 offer: QuotaGrants".to_owned());
    assert!(report(&broken, &empty()).unwrap_err().to_string().contains("QuotaGrants"));
    assert!(report(&whole, &[]).is_err());
    assert_eq!(report(&whole, &run("empty", &[])), Err(Unusable::NoFloor));
}

#[test]
fn runs_are_not_taken_for_each_other_and_no_figure_counts_twice() {
    let whole = ours(&[("idle", 0, "version", 2220)]);
    assert_eq!(report(&whole, &whole), Err(Unusable::WrongPartition(Partition::Empty)));
    let twice = ours(&[("idle", 0, "version", 2220), ("idle", 0, "version", 1)]);
    assert_eq!(report(&twice, &empty()), Err(Unusable::Twice("idle/0/version".to_owned())));
}

#[test]
fn numbers_are_grouped() {
    let text = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
    assert_eq!(text, ["0", "999", "1,000", "12,345", "1,234,567"]);
}
