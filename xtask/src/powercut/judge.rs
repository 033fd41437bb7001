//! Owns what must hold across all cuts: no acknowledged write is lost, no counter turns back, it always
//! boots. Never boots anything.

use std::fmt;

/// What the workload found at its start, or acknowledged last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The monotonic counter.
    pub(super) counter: u64,
    /// The write counter of the replay-protected area.
    pub(super) written: u64,
    /// Blocks that did not hold what was written last.
    pub(super) wrong: u64,
}

/// What one power-on said before the cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// What it found.
    pub(super) found: Option<Found>,
    /// What it acknowledged last.
    pub(super) acknowledged: Option<Found>,
    /// The operation of the flash that was under way at the cut.
    pub(super) under_way: Option<String>,
    /// Programs that began.
    pub(super) programs: u32,
    /// Erases that began.
    pub(super) erases: u32,
    /// A line that tells of a crash.
    pub(super) crash: Option<String>,
    /// The cut came on purpose before the workload could tell.
    pub(super) cut_before_found: bool,
}

/// What is known after some cuts.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    cuts: u64,
    mid_program: u64,
    mid_erase: u64,
    in_boot: u64,
    programs: u64,
    erases: u64,
    lost: u64,
    turned_back: u64,
    did_not_boot: u64,
    /// The last that was found or acknowledged.
    last: Found,
    why: Option<String>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes what a power-on said, and judges it by what was said before.
    pub(super) fn take(&mut self, round: u64, seen: &Seen) {
        self.cuts = round;
        self.programs += u64::from(seen.programs);
        self.erases += u64::from(seen.erases);
        match seen.under_way.as_deref() {
            Some("Program") => self.mid_program += 1,
            Some("Erase") => self.mid_erase += 1,
            Some(_) | None => {}
        }
        if let Some(line) = &seen.crash {
            self.fail(round, format!("a crash: {line}"));
        }
        match seen.found {
            None if seen.cut_before_found => self.in_boot += 1,
            None => {
                self.did_not_boot += 1;
                self.fail(round, "the workload never told what it found".to_owned());
            }
            Some(found) => self.compare(round, found),
        }
        if let Some(told) = seen.acknowledged {
            self.last = Found { wrong: 0, ..told };
        }
    }

    fn compare(&mut self, round: u64, found: Found) {
        let last = self.last;
        if found.counter < last.counter {
            self.turned_back += 1;
            self.fail(round, format!("the counter turned back: {found:?} after {last:?}"));
        }
        if found.written < last.written || found.wrong > 0 {
            self.lost += 1;
            self.fail(round, format!("an acknowledged write is lost: {found:?} after {last:?}"));
        }
        // One of each may have become durable without anybody hearing of it.
        if found.counter > last.counter + 1 || found.written > last.written + 1 {
            self.fail(round, format!("more was stored than was asked: {found:?} after {last:?}"));
        }
        self.last = Found { wrong: 0, ..found };
    }

    fn fail(&mut self, round: u64, why: String) {
        self.why.get_or_insert(format!("cut {round}: {why}"));
    }

    /// What was broken first.
    pub(super) fn broken(&self) -> Option<String> {
        self.why.clone()
    }

    /// How many cuts hit an operation of the flash.
    pub(super) const fn hits(&self) -> u64 {
        self.mid_program + self.mid_erase
    }

    /// Whether too few cuts hit an operation for the run to prove anything: a tenth each must, and one.
    pub(super) fn too_few(&self, rounds: u64) -> Option<String> {
        let least = (rounds / 10).max(1);
        let (programs, erases) = (self.mid_program, self.mid_erase);
        (programs < least || erases < least).then(|| {
            format!("only {programs} cuts hit a program and {erases} an erase; {least} each must")
        })
    }

    /// The figures for the JSON file.
    pub(super) fn figures(&self) -> [(&'static str, u64); 11] {
        [
            ("cuts", self.cuts),
            ("mid_program", self.mid_program),
            ("mid_erase", self.mid_erase),
            ("in_boot", self.in_boot),
            ("programs", self.programs),
            ("erases", self.erases),
            ("acknowledged_lost", self.lost),
            ("counter_turned_back", self.turned_back),
            ("did_not_boot", self.did_not_boot),
            ("counter", self.last.counter),
            ("written", self.last.written),
        ]
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.figures().map(|(name, value)| format!("{name} {value}"));
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Record, Seen};

    fn said(found: (u64, u64), acknowledged: Option<(u64, u64)>) -> Seen {
        let of = |(counter, written)| Found { counter, written, wrong: 0 };
        Seen { found: Some(of(found)), acknowledged: acknowledged.map(of), ..Seen::default() }
    }

    fn after(cuts: &[Seen]) -> Record {
        let mut record = Record::new();
        for (round, seen) in (1..).zip(cuts) {
            record.take(round, seen);
        }
        record
    }

    #[test]
    fn what_was_acknowledged_must_be_found_and_one_more_may_be() {
        let first = said((0, 0), Some((5, 6)));
        for found in [(5, 6), (6, 6), (5, 7), (6, 7)] {
            assert_eq!(after(&[first.clone(), said(found, None)]).broken(), None, "{found:?}");
        }
        for found in [(4, 6), (5, 5), (7, 6), (5, 8), (0, 0)] {
            let record = after(&[first.clone(), said(found, None)]);
            assert!(record.broken().is_some(), "{found:?}");
        }
        let wrong = Found { counter: 5, written: 6, wrong: 1 };
        let seen = Seen { found: Some(wrong), ..Seen::default() };
        assert!(after(&[first, seen]).broken().is_some(), "contents");
    }

    #[test]
    fn what_was_found_once_counts_as_acknowledged() {
        let cuts = [said((0, 0), Some((5, 6))), said((6, 7), None), said((5, 6), None)];
        let record = after(&cuts);
        assert!(record.broken().is_some_and(|why| why.contains("turned back")));
    }

    #[test]
    fn a_machine_that_does_not_boot_or_crashes_is_broken_and_a_cut_in_the_boot_is_not() {
        assert!(after(&[Seen::default()]).broken().is_some());
        let on_purpose = Seen { cut_before_found: true, ..Seen::default() };
        let record = after(&[on_purpose.clone(), said((0, 0), None)]);
        assert_eq!((record.broken(), record.in_boot), (None, 1));
        let crash = Some("[sp] PANIC".to_owned());
        assert!(after(&[Seen { crash, ..on_purpose }]).broken().is_some());
    }

    #[test]
    fn cuts_that_hit_no_operation_prove_nothing() {
        let hit = |what: &str| Seen { under_way: Some(what.to_owned()), ..said((0, 0), None) };
        let record = after(&[hit("Program"), hit("Erase"), said((0, 0), None)]);
        assert_eq!((record.mid_program, record.mid_erase, record.hits()), (1, 1, 2));
        assert!(record.too_few(19).is_none() && record.too_few(20).is_some());
        let record = after(&[hit("Program"), said((0, 0), None)]);
        assert!(
            record.hits() == 1 && record.too_few(2).is_some(),
            "no erase, however few the cuts"
        );
    }
}
