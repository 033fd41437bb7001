//! Owns the counting of instructions: ticks in, means out. Never makes a call by itself.
//!
//! A tick of the counter may be sixteen instructions long (`-cpu max` of QEMU 7.2). A sum over calls
//! that begin at changing moments between two ticks is right to a fraction of one instruction.

use crate::arch::{frequency, now, say, waste};
use causeway_bench::line::{Figure, PREFIX, Partition};

/// With `-icount shift=0` an instruction takes a nanosecond.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;
/// Pairs of readings with nothing between them.
const EMPTY_PAIRS: u64 = 4096;

/// Several calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    ticks: u64,
    longest: u64,
    n: u64,
    /// Pairs of readings behind one count: a count may be a sum over several calls.
    pairs: u64,
}

impl Sample {
    /// Adds one count, the sum over `pairs` timed calls.
    pub(crate) fn add(&mut self, ticks: u64, pairs: u64) {
        self.ticks += ticks;
        self.longest = self.longest.max(ticks);
        self.n += 1;
        self.pairs += pairs;
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.n
    }

    /// Reports whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The one with the larger mean.
    pub(crate) fn worse(self, other: Self) -> Self {
        let mean = |sample: Self| sample.ticks * 16 / sample.n.max(1);
        if mean(other) > mean(self) { other } else { self }
    }
}

/// The counter, and who answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    per_tick: u64,
    /// Ticks of [`EMPTY_PAIRS`] empty pairs.
    empty: u64,
    turn: u64,
    pub(crate) partition: Partition,
}

impl Clock {
    pub(crate) fn new(partition: Partition) -> Self {
        let per_tick = (INSTRUCTIONS_PER_SECOND / frequency()).max(1);
        let mut clock = Self { per_tick, empty: 0, turn: 0, partition };
        for _ in 0..EMPTY_PAIRS {
            clock.empty += clock.time(|| ()).0;
        }
        clock
    }

    /// Counts the ticks of one call.
    #[inline(always)]
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> (u64, T) {
        self.turn = self.turn.wrapping_add(7);
        waste(self.turn % 16);
        let begin = now();
        let answer = call();
        (now() - begin, answer)
    }

    /// Prints a figure.
    pub(crate) fn print(&self, section: &str, size: u64, call: &str, sample: Sample) {
        if sample.is_empty() {
            return;
        }
        let empty = |pairs: u64| self.empty * self.per_tick * pairs / EMPTY_PAIRS;
        let all = (sample.ticks * self.per_tick).saturating_sub(empty(sample.pairs));
        let one = empty(sample.pairs / sample.n);
        let figure = Figure {
            partition: self.partition,
            section,
            size,
            call,
            n: sample.n,
            instr: (all + sample.n / 2) / sample.n,
            max: (sample.longest * self.per_tick).saturating_sub(one),
        };
        // The figure writes the prefix itself, so that it is written and read in one place.
        let mut text = Text::new();
        if core::fmt::write(&mut text, format_args!("{figure}")).is_ok() {
            say(format_args!("{}", text.as_str().trim_start_matches(PREFIX)));
        }
    }
}

/// A line on the stack.
struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
