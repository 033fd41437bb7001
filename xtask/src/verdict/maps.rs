//! Owns the judgement of what the partition says it mapped: attribute bits of every area, and which
//! areas a job lets it map. Never judges anything else.
//!
//! The lines come from the secure UART, which no VM can reach; the partition reads the bits back
//! from its own page tables (`sp/src/stage1.rs`).

use super::Broken;
use crate::boot::Logs;
use crate::lines::{Fields, Line, Source};

/// Bytes in a page of the MAP lines.
const PAGE: u64 = 4096;

/// A run of physical pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pages {
    start: u64,
    count: u64,
}

impl Pages {
    fn read(fields: &Fields, start: &str, count: &str) -> Option<Self> {
        let start = fields.text(start)?.strip_prefix("0x")?;
        let start = u64::from_str_radix(start, 16).ok()?;
        Some(Self { start, count: fields.number(count)? })
    }

    fn end(self) -> u64 {
        self.start.saturating_add(self.count.saturating_mul(PAGE))
    }

    fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

/// Every broken rule of the MAP lines of any run: non-secure, never executable, readable.
pub(super) fn of_any(logs: &Logs) -> Vec<Broken> {
    let mut broken = Vec::new();
    for line in partition_lines(logs) {
        if let Some(fields) = line.fields("MAP") {
            let good = fields.text("ns") == Some("1")
                && fields.text("xn") == Some("1")
                && matches!(fields.text("ap"), Some("ro" | "rw"))
                && Pages::read(&fields, "pa", "pages").is_some();
            if !good {
                broken.push(Broken::Map(line.text.to_owned()));
            }
        }
    }
    broken
}

/// Every broken rule of the job whose NOTE line names the area that the partition must map (the
/// message FIFO) and the one that it must not (the remote device's).
pub(super) fn of_named_areas(logs: &Logs) -> Vec<Broken> {
    let note = logs
        .normal
        .iter()
        .map(|line| Line::normal(line))
        .filter(|line| line.source == Source::Vm(1))
        .filter_map(|line| line.fields("NOTE mapped_attrs"))
        .find(|fields| fields.text("fifo_pa").is_some());
    let areas = note.and_then(|note| {
        let fifo = Pages::read(&note, "fifo_pa", "fifo_pages")?;
        Some((fifo, Pages::read(&note, "remote_pa", "remote_pages")?))
    });
    let Some((fifo, remote)) = areas else {
        return vec![Broken::Unsaid("the NOTE line with the areas' addresses")];
    };
    let mut broken = Vec::new();
    let mut fifo_mapped = false;
    for line in partition_lines(logs) {
        if line.fields("LOG").is_some_and(|fields| fields.number("lost") != Some(0)) {
            broken.push(Broken::Map(line.text.to_owned()));
        }
        let Some(fields) = line.fields("MAP") else { continue };
        let Some(mapped) = Pages::read(&fields, "pa", "pages") else { continue };
        fifo_mapped |= mapped == fifo && fields.text("ap") == Some("rw");
        if mapped.overlaps(remote) || mapped != fifo {
            broken.push(Broken::Map(line.text.to_owned()));
        }
    }
    if !fifo_mapped {
        broken.push(Broken::Unsaid("the MAP line of the FIFO"));
    }
    broken
}

fn partition_lines(logs: &Logs) -> impl Iterator<Item = Line<'_>> {
    logs.secure.iter().map(|l| Line::secure(l)).filter(|line| line.source == Source::Partition)
}

#[cfg(test)]
mod tests {
    use super::{of_any, of_named_areas};
    use crate::boot::Logs;

    const NOTE: &str = "[vm1] NOTE mapped_attrs fifo_pa=0x80010000 fifo_pages=2 \
                        remote_pa=0x80020000 remote_pages=4";
    const FIFO: &str = "[sp] MAP pa=0x80010000 pages=2 ns=1 xn=1 ap=rw mem=wb";

    fn logs(normal: &[&str], secure: &[&str]) -> Logs {
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Logs { normal: own(normal), secure: own(secure), ..Logs::default() }
    }

    #[test]
    fn a_mapped_fifo_and_an_unmapped_remote_area_pass() {
        let logs = logs(&[NOTE], &[FIFO]);
        assert_eq!((of_any(&logs), of_named_areas(&logs)), (vec![], vec![]));
    }

    #[test]
    fn a_map_line_that_is_executable_or_secure_or_without_bits_fails_every_job() {
        for (from, to) in [("xn=1", "xn=0"), ("ns=1", "ns=0"), ("ap=rw", "ap=?"), (" xn=1", "")] {
            let logs = logs(&[], &[&FIFO.replace(from, to)]);
            assert_eq!(of_any(&logs).len(), 1, "{to}");
        }
    }

    #[test]
    fn a_remote_area_that_is_mapped_in_part_fails() {
        let logs = logs(&[NOTE], &[FIFO, "[sp] MAP pa=0x80023000 pages=1 ns=1 xn=1 ap=ro mem=wb"]);
        assert_eq!(of_named_areas(&logs).len(), 1);
    }

    #[test]
    fn anything_but_the_fifo_that_is_mapped_fails() {
        for other in ["pa=0x80011000 pages=1", "pa=0x80030000 pages=2"] {
            let other = FIFO.replace("pa=0x80010000 pages=2", other);
            assert_eq!(of_named_areas(&logs(&[NOTE], &[FIFO, &other])).len(), 1, "{other}");
        }
    }

    #[test]
    fn lost_lines_prove_nothing() {
        let logs = logs(&[NOTE], &[FIFO, "[sp] LOG lost=3"]);
        assert_eq!(of_named_areas(&logs).len(), 1);
    }

    #[test]
    fn a_fifo_that_nobody_saw_mapped_fails() {
        assert_eq!(of_named_areas(&logs(&[NOTE], &[])).len(), 1);
        assert_eq!(of_named_areas(&logs(&[], &[FIFO])).len(), 1);
        // What a VM prints is not the partition's word.
        assert_eq!(of_named_areas(&logs(&[NOTE, FIFO], &[])).len(), 1);
    }
}
