//! Owns the boots that count instructions of calls, and their figures. Never judges one: the goals are
//! bench's.

use super::figure::{Amount, Figure};
use crate::boot::{self, Counts, Keeps, Logs, Machine};
use crate::cli::Cpu;
use crate::image::Measured;
use crate::outcome::{Stop, files};
use crate::say;
use crate::setup::qemu;
use causeway_bench::plan::{BRIEF_CONFIG, Extent, FULL_CONFIG};
use causeway_bench::report::{Report, Row};
use std::path::Path;

/// Most instructions for each page or block that is mapped.
const EACH_PAGE: u64 = 20;
const PEER: &str = "TF-A with an empty partition";

/// Boots both partitions on one processor and joins what they said.
pub(super) fn report(cpu: Cpu, extent: Extent, dir: &Path) -> Result<Report, Stop> {
    let dir = dir.join(cpu.name());
    let ours = boot_with(Measured::Causeway, cpu, extent, &dir.join("causeway"))?.normal;
    let empty = boot_with(Measured::Empty, cpu, extent, &dir.join("empty"))?.normal;
    Report::new(ours.iter().map(String::as_str), empty.iter().map(String::as_str))
        .map_err(|e| Stop::failed(format!("{e} (logs: {})", dir.display())))
}

fn boot_with(which: Measured, cpu: Cpu, extent: Extent, dir: &Path) -> Result<Logs, Stop> {
    say::progress(&format!("measuring on {} with {}", cpu.name(), which.dir().display()));
    files::make_dir(dir)?;
    let text = match extent {
        Extent::Quick => None,
        Extent::Brief => Some(BRIEF_CONFIG),
        Extent::Full => Some(FULL_CONFIG),
    };
    let config = text.map(|_| dir.join("boot.txt"));
    if let (Some(config), Some(text)) = (&config, text) {
        files::write(config, text)?;
    }
    let machine = Machine {
        program: qemu::program(),
        flash: which.dir().join("flash.bin"),
        keeps: Keeps::Nothing,
        cpu: cpu.name(),
        options: "",
        smp: 1,
        config,
        counts: Counts::Instructions,
        disk: None,
        serial: [dir.join("normal.log"), dir.join("secure.log")],
        typed: None,
    };
    boot::boot(&machine, dir, super::LIMIT, &mut |_| ())
}

/// The figures of a report. Each call has what its caller sees, beside the empty partition; where
/// there is a share of ours, that is a figure of its own, with the goal.
pub(super) fn figures(cpu: Cpu, report: &Report) -> Vec<Figure> {
    let before = if cpu == Cpu::Max { String::new() } else { format!("{}/", cpu.name()) };
    let mut list = Vec::new();
    for row in report.rows() {
        let name = format!("{before}{}", name(row));
        let mut seen = Figure::instructions(&name, row.instr);
        if let Some(tfa) = row.tfa {
            seen = seen.beside(PEER, Amount::whole(tfa));
            if row.section == "floor" {
                // A direct message: at most 1.1 times the empty partition's.
                seen = seen.goal(Amount::of(tfa * 11, 10));
            }
        }
        list.push(seen);
        if let Some(own) = row.own() {
            let own = Figure::instructions(format!("{name}/own"), own);
            list.push(own.goal(row.goal.map(Amount::whole)));
        }
    }
    let find = |call: &str| {
        let mut rows = report.rows().iter();
        rows.find(|row| row.section == "ledger" && row.call == call).map(|row| row.instr)
    };
    if let (Some(one), Some(none)) = (find("ledger_head_of_one"), find("ledger_head_of_none")) {
        let name = format!("{before}ledger/a_record_hashed");
        list.push(Figure::instructions(name, one.saturating_sub(none)));
    }
    for mut figure in each_page(report) {
        figure.name.insert_str(0, &before);
        list.push(figure.goal(Some(Amount::whole(EACH_PAGE))));
    }
    list
}

/// Pages of a block: what is aligned and this long is mapped by one entry.
const BLOCK: u64 = 512;

/// What a page more costs where an area is mapped, and what a block more.
fn each_page(report: &Report) -> impl Iterator<Item = Figure> {
    let of = |(call, of_blocks): (&'static str, bool)| {
        let rows = report.rows().iter().filter(move |row| {
            row.section == "mapped" && row.call == call && (row.size >= BLOCK) == of_blocks
        });
        let least = rows.clone().min_by_key(|row| row.size)?;
        let most = rows.max_by_key(|row| row.size)?;
        let (what, unit, pages) = if of_blocks {
            ("block", "instructions a block", BLOCK)
        } else {
            ("page", "instructions a page", 1)
        };
        let more = most.instr.saturating_sub(least.instr);
        let each = Amount::of(more, (most.size - least.size) / pages)?;
        Some(Figure::new(format!("mapped/{call}, each {what}"), unit, each))
    };
    [("map", false), ("map", true), ("unmap", false), ("unmap", true)].into_iter().filter_map(of)
}

pub(super) fn name(row: &Row) -> String {
    match row.size {
        0 => format!("{}/{}", row.section, row.call),
        size => format!("{}/{size}/{}", row.section, row.call),
    }
}

#[cfg(test)]
mod tests {
    use super::figures;
    use crate::cli::Cpu;
    use causeway_bench::report::Report;

    fn report() -> Report {
        let lines = |who: &str, figures: &[(&str, u64, &str, u64)]| {
            let mut lines: Vec<_> = figures
                .iter()
                .map(|(section, size, call, instr)| {
                    format!(
                        "[bench] partition={who} section={section} size={size} call={call} n=4 \
                         instr={instr} max={instr}"
                    )
                })
                .collect();
            lines.push("[bench] END status=ok".to_owned());
            lines
        };
        let ours = lines(
            "causeway",
            &[
                ("floor", 0, "psci_version", 197),
                ("floor", 0, "message", 1101),
                ("cycle", 1, "cycle", 9000),
                ("mapped", 2, "map", 1000),
                ("mapped", 102, "map", 3000),
                ("mapped", 512, "map", 2000),
                ("mapped", 1536, "map", 2100),
                ("ledger", 0, "ledger_head_of_one", 9100),
                ("ledger", 0, "ledger_head_of_none", 4100),
            ],
        );
        let empty = lines("empty", &[("floor", 0, "message", 1000), ("cycle", 1, "cycle", 3000)]);
        let text = |lines: &[String]| lines.to_vec();
        let (ours, empty) = (text(&ours), text(&empty));
        Report::new(ours.iter().map(String::as_str), empty.iter().map(String::as_str))
            .expect("two whole runs")
    }

    #[test]
    fn what_the_caller_sees_and_what_is_ours_are_figures_of_their_own() {
        let list = figures(Cpu::Max, &report());
        let find = |name: &str| list.iter().find(|f| f.name == name).expect(name).json();
        let message = find("floor/message");
        assert_eq!(
            (message["ratio"].as_f64(), message["met"].as_bool()),
            (Some(1.101), Some(false))
        );
        let own = find("cycle/1/cycle/own");
        assert_eq!((own["value"].as_u64(), own["goal"].as_u64()), (Some(6000), Some(5000)));
        assert!(find("floor/psci_version")["peer"].is_null());
        assert_eq!(find("ledger/a_record_hashed")["value"], 5000);
        assert_eq!(find("mapped/map, each page")["met"], true);
        assert_eq!(find("mapped/map, each page")["value"], 20);
        let block = find("mapped/map, each block");
        assert_eq!((block["value"].as_u64(), block["met"].as_bool()), (Some(50), Some(false)));
        let other = figures(Cpu::CortexA57, &report());
        assert!(other.iter().all(|f| f.name.starts_with("cortex-a57/")));
        assert_eq!(other.len(), list.len());
    }
}
