//! Owns what two runs come to: the partition's own share of each call, and the goals. Never boots.

mod goals;

#[cfg(test)]
mod tests;

use crate::line::{END, Figure, PREFIX, Partition};
use std::fmt::{self, Write};

/// One call under one circumstance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Under which circumstances.
    pub section: String,
    /// How much of what the section varies; 0 where nothing varies.
    pub size: u64,
    /// What was called.
    pub call: String,
    /// How many calls were counted.
    pub n: u64,
    /// Instructions, mean: what the caller sees.
    pub instr: u64,
    /// Instructions of the longest.
    pub max: u64,
    /// Instructions of the same call to the empty partition: TF-A's share. `None` where no message
    /// reaches the partition.
    pub tfa: Option<u64>,
    /// What the rest must not exceed.
    pub goal: Option<u64>,
}

impl Row {
    /// The partition's own instructions, mean.
    #[must_use]
    pub fn own(&self) -> Option<u64> {
        Some(self.instr.saturating_sub(self.tfa?))
    }

    /// Whether the goal is met, if there is one.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        Some(self.own()? <= self.goal?)
    }
}

/// Why two logs make no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// A run did not come to its end; its last own line.
    Unfinished(Partition, String),
    /// A run's figures are of the other partition.
    WrongPartition(Partition),
    /// A figure occurs twice.
    Twice(String),
    /// The figure that all single calls are compared with is missing.
    NoFloor,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished(run, last) => {
                write!(f, "the run with the {run:?} partition did not end: {last}")
            }
            Self::WrongPartition(run) => {
                write!(f, "the run with the {run:?} partition was answered by another")
            }
            Self::Twice(figure) => write!(f, "figure {figure} was printed twice"),
            Self::NoFloor => write!(f, "there is no figure of a message to the empty partition"),
        }
    }
}

impl std::error::Error for Unusable {}

/// All figures of two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Joins the consoles of a run with our partition and of one with the empty partition.
    ///
    /// # Errors
    /// [`Unusable`]: half a run proves nothing.
    pub fn new<'a>(
        ours: impl Iterator<Item = &'a str>,
        empty: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Unusable> {
        let ours = figures(Partition::Causeway, ours)?;
        let empty = figures(Partition::Empty, empty)?;
        let find = |section: &str, size: u64, call: &str| {
            let is_it = |f: &&Figure<'_>| (f.section, f.size, f.call) == (section, size, call);
            empty.iter().find(is_it).map(|figure| figure.instr)
        };
        let floor = find("floor", 0, "message").ok_or(Unusable::NoFloor)?;
        let row = |figure: &Figure<'_>| {
            let Figure { section, size, call, n, instr, max, .. } = *figure;
            let tfa =
                goals::reaches_partition(call).then(|| find(section, size, call).unwrap_or(floor));
            let goal = goals::goal(section, size, call);
            Row {
                section: section.to_owned(),
                size,
                call: call.to_owned(),
                n,
                instr,
                max,
                tfa,
                goal,
            }
        };
        Ok(Self { rows: ours.iter().map(row).collect() })
    }

    /// All rows, in the order of the run.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that miss their goal.
    pub fn missed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.met() == Some(false))
    }

    /// The tables of docs/costs.md.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = &row.section;
                let title = goals::title(section);
                let size = goals::size_name(section);
                push(&mut out, format_args!("\n### {title}\n\n"));
                push(
                    &mut out,
                    format_args!("| {size} | call | seen | TF-A's share | own | goal |\n"),
                );
                push(&mut out, format_args!("| ---: | --- | ---: | ---: | ---: | ---: |\n"));
            }
            let number = |value: Option<u64>| value.map_or(String::new(), grouped);
            let size = if row.size == 0 { String::new() } else { grouped(row.size) };
            let late = if row.met() == Some(false) { " (missed)" } else { "" };
            push(
                &mut out,
                format_args!(
                    "| {size} | {} | {} | {} | {} | {}{late} |\n",
                    row.call,
                    grouped(row.instr),
                    number(row.tfa),
                    number(row.own()),
                    number(row.goal)
                ),
            );
        }
        out
    }
}

/// Writing to a string cannot fail.
fn push(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

/// A number with a comma between thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The figures of one run.
fn figures<'a>(
    run: Partition,
    lines: impl Iterator<Item = &'a str>,
) -> Result<Vec<Figure<'a>>, Unusable> {
    let mut found: Vec<Figure<'a>> = Vec::new();
    let mut last = "nothing was printed";
    for line in lines.map(str::trim_end).filter(|line| line.starts_with(PREFIX)) {
        last = line;
        let Some(figure) = Figure::parse(line) else { continue };
        if figure.partition != run {
            return Err(Unusable::WrongPartition(run));
        }
        let key = |f: &Figure<'a>| (f.section, f.size, f.call);
        if found.iter().any(|other| key(other) == key(&figure)) {
            let Figure { section, size, call, .. } = figure;
            return Err(Unusable::Twice(format!("{section}/{size}/{call}")));
        }
        found.push(figure);
    }
    if last == END { Ok(found) } else { Err(Unusable::Unfinished(run, last.to_owned())) }
}
