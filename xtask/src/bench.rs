//! Owns `cargo xtask bench`: two boots that count instructions, a table, a list of figures. Never
//! judges a figure itself: the goals are bench's.

mod services;

use crate::boot::{self, Counts, Keeps, Logs, Machine};
use crate::cli::{BenchArgs, Cpu};
use crate::image::{self, Measured};
use crate::json::{self, Fields};
use crate::outcome::{Stop, files};
use crate::setup::{self, Consent, qemu};
use crate::{paths, say};
use causeway_bench::plan::FULL_CONFIG;
use causeway_bench::report::{Report, Row};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

/// Measures for a person; the JSON file is written whatever happens.
pub(crate) fn bench(args: &BenchArgs, consent: Consent) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        setup::for_images(consent)?;
        let dir = paths::runs().join(paths::stamp("bench"));
        let report = measure(args.full, &dir)?;
        files::write(&dir.join("costs.md"), report.markdown())?;
        tell(&report, args, fields);
        say::line(&report.markdown());
        let services = services::measure(&dir.join("services"), LIMIT)?;
        fields.insert("services".to_owned(), services::json(&services));
        say::line(&services::table(&services));
        let missed: Vec<String> = report.missed().map(name).collect();
        say::line(&format!(
            "  {} figures, {} goals missed; tables in {}",
            report.rows().len(),
            missed.len(),
            dir.join("costs.md").display()
        ));
        match (missed.first(), args.check) {
            (Some(first), true) => Err(Stop::failed(format!(
                "{} figures miss their goals, the first is {first}",
                missed.len()
            ))),
            (_, _) => Ok(()),
        }
    })
}

/// Builds the images, boots both, and joins what they said.
pub(crate) fn measure(full: bool, dir: &Path) -> Result<Report, Stop> {
    image::make_bench()?;
    let ours = boot_with(Measured::Causeway, full, &dir.join("causeway"))?.normal;
    let empty = boot_with(Measured::Empty, full, &dir.join("empty"))?.normal;
    Report::new(ours.iter().map(String::as_str), empty.iter().map(String::as_str))
        .map_err(|e| Stop::failed(format!("{e} (logs: {})", dir.display())))
}

fn boot_with(which: Measured, full: bool, dir: &Path) -> Result<Logs, Stop> {
    say::progress(&format!("measuring with the partition of {}", which.dir().display()));
    files::make_dir(dir)?;
    let config = full.then(|| dir.join("boot.txt"));
    if let Some(config) = &config {
        files::write(config, FULL_CONFIG)?;
    }
    let machine = Machine {
        program: qemu::program(),
        flash: which.dir().join("flash.bin"),
        keeps: Keeps::Nothing,
        cpu: Cpu::Max.name(),
        smp: 1,
        config,
        counts: Counts::Instructions,
        disk: None,
        serial: [dir.join("normal.log"), dir.join("secure.log")],
        typed: None,
    };
    boot::boot(&machine, dir, LIMIT, &mut |_| ())
}

fn name(row: &Row) -> String {
    match row.size {
        0 => format!("{}/{}", row.section, row.call),
        size => format!("{}/{size}/{}", row.section, row.call),
    }
}

fn tell(report: &Report, args: &BenchArgs, fields: &mut Fields) {
    let figures: Vec<Value> = report.rows().iter().map(figure).collect();
    fields.insert("extent".to_owned(), if args.full { "full" } else { "quick" }.into());
    fields.insert("goals_missed".to_owned(), report.missed().count().into());
    fields.insert("figures".to_owned(), figures.into());
}

/// One figure: `value` is the partition's own share where it has one, else what the caller sees;
/// `peer` is what the same call costs with a partition that does nothing.
fn figure(row: &Row) -> Value {
    // Three digits are all that a ratio of instruction counts can carry.
    let ratio = row.tfa.filter(|tfa| *tfa > 0).map(|tfa| row.instr * 1000 / tfa);
    json!({
        "name": name(row),
        "unit": "instructions",
        "value": row.own().unwrap_or(row.instr),
        "seen_by_caller": row.instr,
        "max_seen_by_caller": row.max,
        "calls": row.n,
        "peer": row.tfa.map(|_| "TF-A with an empty partition"),
        "peer_value": row.tfa,
        "ratio": ratio.and_then(|r| format!("{}.{:03}", r / 1000, r % 1000).parse::<f64>().ok()),
        "goal": row.goal,
        "met": row.met(),
    })
}

#[cfg(test)]
mod tests {
    use super::{figure, name};
    use causeway_bench::report::Row;

    #[test]
    fn a_figure_says_what_is_ours_and_what_is_the_peers() {
        let row = Row {
            section: "ranges".into(),
            size: 128,
            call: "offer".into(),
            n: 4,
            instr: 5000,
            max: 5016,
            tfa: Some(2000),
            goal: Some(1200),
        };
        assert_eq!(name(&row), "ranges/128/offer");
        let json = figure(&row);
        assert_eq!((json["value"].as_u64(), json["peer_value"].as_u64()), (Some(3000), Some(2000)));
        assert_eq!((json["ratio"].as_f64(), json["met"].as_bool()), (Some(2.5), Some(false)));
        let unreached = Row { size: 0, tfa: None, goal: None, ..row };
        let json = figure(&unreached);
        assert_eq!(
            (name(&unreached).as_str(), json["value"].as_u64()),
            ("ranges/offer", Some(5000))
        );
        assert!(json["met"].is_null() && json["ratio"].is_null() && json["peer"].is_null());
    }
}
