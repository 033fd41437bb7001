//! Owns the table of a disk that came over TCP. Never judges.

use super::{RunResult, aligned, number, seconds};
use crate::run::demo::Results;
use crate::say;
use causeway_guests::jobs::Job;

impl RunResult {
    pub(super) fn net_table(&self, job: &Job, results: &Results) -> String {
        let said =
            |who: &str, name: &str| -> Option<u64> { results.get(who)?.get(name)?.parse().ok() };
        let digest = |d: &Option<String>| say::printable(d.as_deref().unwrap_or("-"));
        let vm2 = |name| number(said("vm2", name));
        let rows = [
            ("disk image", format!("{} bytes", number(self.disk_bytes))),
            ("SHA-256 of the file", digest(&self.sha256_host)),
            ("SHA-256 of what came over TCP", digest(&self.sha256_guest)),
            ("grants (pages)", format!("{} ({})", number(self.grants), number(self.pages))),
            ("frames to VM 1", vm2("frames_sent")),
            ("frames to VM 2", number(said("vm1", "frames_sent"))),
            ("bytes through the card", vm2("card_bytes")),
            ("TCP segments with data", vm2("segments")),
            ("sent again", number(self.retransmits)),
            (
                "frames lost, doubled, reordered",
                format!("{}, {}, {} (on purpose)", vm2("lost"), vm2("doubled"), vm2("reordered")),
            ),
            ("doorbells during the transfer", number(self.doorbells_during_transfer)),
            (
                "doorbells for a hundred frames",
                per_hundred(self.doorbells_during_transfer, said("vm2", "card_frames")),
            ),
            ("copied into and out of the area", format!("{} bytes", number(self.copied_bytes))),
            ("bounced", format!("{} bytes", number(self.bounced_bytes))),
            ("partition calls during the transfer", number(self.partition_calls_during_transfer)),
            ("partition calls in all", number(self.partition_calls)),
            ("medium pages mapped by VM 1", number(self.medium_mapped_by_vm1)),
            ("time of the transfer", self.time()),
            ("time from power-on to power-off", seconds(self.wall_ms)),
        ];
        format!("  {}: {}\n{}", job.name, job.shows, aligned(&rows))
    }
}

/// So many of one for a hundred of the other, with one decimal.
fn per_hundred(of: Option<u64>, all: Option<u64>) -> String {
    match (of, all) {
        (Some(of), Some(all)) if all > 0 => {
            let tenths = of.saturating_mul(1000) / all;
            format!("{}.{}", tenths / 10, tenths % 10)
        }
        (_, _) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::per_hundred;
    use crate::run::demo::Results;
    use crate::run::result::RunResult;
    use causeway_guests::jobs::TRANSFER;

    #[test]
    fn a_rate_has_one_decimal_and_none_without_frames() {
        assert_eq!(per_hundred(Some(31), Some(2000)), "1.5");
        assert_eq!(per_hundred(Some(0), Some(7)), "0.0");
        assert_eq!(per_hundred(Some(3), Some(0)), "-");
        assert_eq!(per_hundred(None, Some(7)), "-");
    }

    #[test]
    fn the_table_shows_what_each_vm_said_and_what_nobody_said_as_unknown() {
        let mut results = Results::new();
        let told = [("frames_sent", "31"), ("segments", "7")];
        let told = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
        results.insert("vm2", told.into_iter().collect());
        let table = RunResult::default().net_table(&TRANSFER, &results);
        let row = |name: &str| table.lines().find(|line| line.contains(name)).map(str::trim_end);
        let value = |name: &str| row(name).and_then(|row| row.rsplit(' ').next());
        assert_eq!(value("frames to VM 1"), Some("31"));
        assert_eq!(value("frames to VM 2"), Some("-"));
        assert_eq!(value("TCP segments"), Some("7"));
        assert_eq!(value("sent again"), Some("-"));
    }
}
