//! Owns what this tool prints: progress on stderr, results on stdout. Never panics on a closed pipe.

use crate::outcome::Stop;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// A line of progress on stderr, with the seconds since the start.
pub(crate) fn progress(text: &str) {
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs_f32();
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell when stderr is closed.
    drop(writeln!(err, "[{seconds:7.1}s] {}", printable(text)));
}

/// A plain line on stderr.
pub(crate) fn note(text: &str) {
    if cfg!(test) {
        return;
    }
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "{text}"));
}

/// A line of the result on stdout.
pub(crate) fn line(text: &str) {
    if cfg!(test) {
        // The lines of our own unit tests would be taken for libtest's.
        return;
    }
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// What is wrong and what mends it, on stderr.
pub(crate) fn stop(stop: &Stop) {
    note(&format!("xtask: {}", stop.reason));
    if let Some(mend) = &stop.mend {
        for part in mend.lines() {
            note(&format!("  to mend it: {part}"));
        }
    }
}

/// Text from a guest or a tool with its control characters replaced, so that it cannot drive the
/// terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn terminal_controls_of_a_guest_do_not_reach_the_terminal() {
        assert_eq!(printable("\u{1b}[2Jhello\r\tx"), "?[2Jhello?\tx");
    }
}
