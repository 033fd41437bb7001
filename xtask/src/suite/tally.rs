//! Owns the count of tests, their lines and the closing line. A skipped test never counts as passed.

use crate::outcome::Exit;
use crate::say;
use std::path::Path;
use std::time::Duration;

/// What has been counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
    failures: Vec<String>,
    minutes: Vec<String>,
    ran: Vec<String>,
}

impl Tally {
    /// Counts and tells a test that passed.
    pub(super) fn passed(&mut self, name: &str) {
        self.passed += 1;
        self.ran.push(name.to_owned());
        say::line(&format!("test {name} ... ok"));
    }

    /// Counts and tells a test that failed; `log` is named in the end.
    pub(super) fn failed(&mut self, name: &str, why: &str, log: Option<&Path>) {
        self.failed += 1;
        self.ran.push(name.to_owned());
        let why = say::printable(why);
        say::line(&format!("test {name} ... FAILED ({why})"));
        let log = log.map_or_else(String::new, |log| format!("\n    log: {}", log.display()));
        self.failures.push(format!("  {name}: {why}{log}"));
    }

    /// Counts and tells a test that did not run.
    pub(super) fn skipped(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        say::line(&format!("test {name} ... SKIPPED ({})", say::printable(why)));
    }

    /// A category that had to run and did not.
    pub(super) fn required_but_skipped(&mut self, name: &str, why: &str) {
        self.failed(name, &format!("required, but skipped: {why}"), None);
    }

    /// Notes how long a part took.
    pub(super) fn minutes(&mut self, part: &str, time: Duration) {
        self.minutes.push(format!("{part} {:.1}", time.as_secs_f32() / 60.0));
    }

    /// The names of the tests that ran, whatever came of them.
    pub(super) fn ran(&self) -> &[String] {
        &self.ran
    }

    /// How many failed.
    pub(super) fn failures(&self) -> u32 {
        self.failed
    }

    /// How many ran or were skipped.
    pub(super) fn count(&self) -> u32 {
        self.passed + self.failed + self.skipped
    }

    /// Tells the failures again, and the minutes.
    pub(super) fn tell_rest(&self) {
        if !self.failures.is_empty() {
            say::line("failures:");
        }
        for failure in &self.failures {
            say::line(failure);
        }
        say::line(&format!("minutes: {}", self.minutes.join(", ")));
    }

    /// The last line of stdout.
    pub(super) fn closing_line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }

    /// The exit status.
    pub(super) fn exit(&self) -> Exit {
        match (self.failed, self.passed) {
            (0, 0) => Exit::Skipped,
            (0, _) => Exit::Passed,
            (_, _) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::outcome::Exit;

    #[test]
    fn skipped_is_never_counted_as_passed() {
        let mut tally = Tally::default();
        tally.skipped("a", "no machine");
        assert_eq!(tally.closing_line(), "0 passed, 0 failed, 1 skipped");
        assert_eq!(tally.exit(), Exit::Skipped);
        tally.passed("b");
        assert_eq!(
            (tally.closing_line().as_str(), tally.exit()),
            ("1 passed, 0 failed, 1 skipped", Exit::Passed)
        );
    }

    #[test]
    fn a_required_category_that_is_skipped_is_a_failure() {
        let mut tally = Tally::default();
        tally.passed("b");
        tally.required_but_skipped("miri", "no nightly");
        assert_eq!(
            (tally.closing_line().as_str(), tally.exit()),
            ("1 passed, 1 failed, 0 skipped", Exit::Failed)
        );
    }
}
