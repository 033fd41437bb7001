//! Owns the figures that the host counts: queues and descriptors under callgrind beside other crates,
//! bytes of the partition's state. Runs the examples that measure; never measures itself.

use super::figure::{Amount, Figure, INSTRUCTIONS};
use crate::outcome::{Stop, files};
use crate::process::Step;
use crate::setup::Consent;
use crate::setup::packages::{self, Need};
use crate::{paths, say};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1200);

/// A row, and the row of another crate that does the same work.
const PEERS: [(&str, &str); 5] = [
    ("queue/device side, split", "rust-vmm device side, split"),
    ("queue/device side, split, indirect", "rust-vmm device side, split, indirect"),
    ("queue/device side, split, 32 a decision", "rust-vmm device side, split, 32 a decision"),
    ("descriptor/header and 2 receivers", "arm-ffa 0.5: header and 2 receivers"),
    ("descriptor/whole and walk, 128 ranges", "arm-ffa 0.5: whole and walk, 128 ranges"),
];

/// Runs the examples; where valgrind is missing, the counts are left out and that is said.
pub(super) fn measure(dir: &Path, consent: Consent) -> Result<Vec<Figure>, Stop> {
    let mut figures = Vec::new();
    match packages::ensure(&[Need::Valgrind], consent) {
        Ok(()) => {
            for (package, section) in [("causeway-virtio", "queue"), ("causeway-ffa", "descriptor")]
            {
                figures.extend(counts(section, &example(package, "cost", &["--release"], dir)?));
            }
        }
        Err(stop) => say::progress(&format!("left out, no callgrind: {}", stop.reason)),
    }
    for (package, section) in [("causeway-fake-spmc", "ram"), ("causeway-virtio", "ram_virtio")] {
        figures.extend(sizes(section, &example(package, "sizes", &[], dir)?));
    }
    Ok(figures)
}

fn example(package: &str, name: &str, more: &[&str], dir: &Path) -> Result<String, Stop> {
    say::progress(&format!("running the example {name} of {package}"));
    let out = dir.join(format!("{package}-{name}.out"));
    Step::new("cargo run", "cargo", &dir.join(format!("{package}-{name}.log")))
        .dir(&paths::root())
        .args(["run", "--package", package, "--example", name, "--target-dir"])
        .args([paths::target()])
        .args(more)
        .stdout_to(&out)
        .limit(LIMIT)
        .run()?;
    Ok(String::from_utf8_lossy(&files::read(&out)?).into_owned())
}

/// The rows `| name | instructions | goal |`, ours beside the others'.
fn counts(section: &str, text: &str) -> Vec<Figure> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split('|').map(str::trim);
        let (name, count) = (cells.next()?.to_owned(), cells.next()?.parse::<u64>().ok()?);
        Some((name, count, cells.next()?.parse::<u64>().ok()))
    };
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    let figure = |(name, count, goal): &(String, u64, Option<u64>)| {
        let full = format!("{section}/{name}");
        let peer = PEERS.iter().find(|(ours, _)| *ours == full);
        let peer = peer.and_then(|(_, theirs)| {
            let (_, count, _) = rows.iter().find(|(name, ..)| name == theirs)?;
            Some((*theirs, Amount::whole(*count)))
        });
        let unit = INSTRUCTIONS;
        let (value, goal) = (Amount::whole(*count), goal.map(Amount::whole));
        Figure { name: full, unit, value, peer, goal }
    };
    rows.iter().map(figure).collect()
}

/// The rows `bytes what`.
fn sizes(section: &str, text: &str) -> Vec<Figure> {
    let row = |line: &str| {
        let (bytes, what) = line.trim().split_once(' ')?;
        Some(Figure::bytes(format!("{section}/{}", what.trim()), bytes.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{counts, sizes};

    #[test]
    fn ours_stands_beside_theirs_and_goals_are_kept() {
        let text = "| one request of 3 buffers | instructions | goal |\n| --- | ---: | ---: |\n\
                    | device side, split | 313 | 320 |\n| rust-vmm device side, split | 1905 | - |\n";
        let found = counts("queue", text);
        let ours = found.first().expect("a row").json();
        assert_eq!((ours["peer_value"].as_u64(), ours["met"].as_bool()), (Some(1905), Some(true)));
        assert_eq!(found.len(), 2);
        assert!(found[1].json()["goal"].is_null());
    }

    #[test]
    fn bytes_are_read_and_titles_are_not() {
        let found = sizes("ram", "bytes of the RAM:\n   64 a queue (32 in the bus)\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "ram/a queue (32 in the bus)");
    }
}
