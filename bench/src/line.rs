//! Owns the form of a figure on the console: written by the measuring program, read by the report.
//! Never judges one.
//!
//! `[bench] partition=causeway section=idle size=0 call=version n=64 instr=2108 max=2128`

use core::fmt;

/// What each line begins with.
pub const PREFIX: &str = "[bench] ";
/// The last line of a run that came to its end.
pub const END: &str = "[bench] END status=ok";

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    /// Ours.
    Causeway,
    /// The one that does nothing of its own.
    Empty,
}

impl Partition {
    const fn name(self) -> &'static str {
        match self {
            Self::Causeway => "causeway",
            Self::Empty => "empty",
        }
    }
}

/// One figure: guest instructions of a call, mean and most of `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure<'a> {
    /// Who answered.
    pub partition: Partition,
    /// Under which circumstances.
    pub section: &'a str,
    /// How much of what the section varies: ranges, pages, live grants; 0 where nothing varies.
    pub size: u64,
    /// What was called.
    pub call: &'a str,
    /// How many calls were counted.
    pub n: u64,
    /// Instructions of one call, mean.
    pub instr: u64,
    /// Instructions of the longest, to the counter's resolution (sixteen, where it ticks so).
    pub max: u64,
}

impl fmt::Display for Figure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, section, size, call, n, instr, max } = self;
        let partition = partition.name();
        write!(f, "{PREFIX}partition={partition} section={section} size={size} call={call} ")?;
        write!(f, "n={n} instr={instr} max={max}")
    }
}

impl<'a> Figure<'a> {
    /// Reads a line; `None` if it is not a figure. All keys must be there, each once and in order.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.trim_end().strip_prefix(PREFIX)?.split(' ');
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        let partition = match value("partition")? {
            "causeway" => Partition::Causeway,
            "empty" => Partition::Empty,
            _ => return None,
        };
        let section = value("section")?;
        let size = value("size")?.parse().ok()?;
        let call = value("call")?;
        let n = value("n")?.parse().ok()?;
        let instr = value("instr")?.parse().ok()?;
        let max = value("max")?.parse().ok()?;
        let whole = words.next().is_none() && n > 0;
        whole.then_some(Self { partition, section, size, call, n, instr, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "[bench] partition=empty section=ranges size=2048 call=offer n=4 instr=70123 max=70144";

    #[test]
    fn a_figure_is_read_as_it_was_written() {
        let figure = Figure::parse(LINE).unwrap();
        assert_eq!((figure.partition, figure.size, figure.call), (Partition::Empty, 2048, "offer"));
        assert_eq!(figure.to_string(), LINE);
        assert_eq!(Figure::parse(&format!("{LINE}\r\n")), Some(figure));
    }

    #[test]
    fn what_is_not_a_whole_figure_is_none() {
        for line in [
            "",
            "[mon] partition=empty",
            "[bench] END status=ok",
            &LINE[..LINE.len() - 9],
            &LINE.replace("n=4", "n=0"),
            &LINE.replace("n=4", "n=-4"),
            &LINE.replace("empty", "other"),
            &LINE.replace("call=", "size="),
            &format!("{LINE} more=1"),
        ] {
            assert_eq!(Figure::parse(line), None, "{line}");
        }
    }
}
