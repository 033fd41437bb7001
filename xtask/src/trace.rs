//! Owns the trace of a run: the monitor's TRACE lines, the file that `run --trace` writes, and `cargo
//! xtask decode`. Never explains a register: `explain` does. docs/trace.md has the file's format.

mod explain;

use crate::cli::DecodeArgs;
use crate::json;
use crate::lines::{Fields, Line, Source};
use crate::outcome::{Stop, files};
use crate::{say, tree};
use explain::{Explained, explain};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the first line of a file says.
const FORMAT: &str = "causeway-trace-1";

/// One call: who made it, when (CNTPCT), and what was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When the call was made, in ticks.
    pub(crate) at: u64,
    /// Ticks until it was answered.
    pub(crate) took: u64,
    /// `vm1.0` (VM and its processor), or `monitor` for what goes to the SPMC.
    pub(crate) by: String,
    /// x0-x7, hexadecimal; zeros at the end are left out.
    pub(crate) call: Vec<String>,
    /// The same of the answer; nothing where the caller's processor went off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    job: String,
    ticks_per_second: u64,
}

/// Every call of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Of the machine's counter.
    pub(crate) ticks_per_second: u64,
    /// In the order in which they were answered.
    pub(crate) records: Vec<Record>,
}

impl Trace {
    /// Reads the monitor's lines; a VM's own TRACE lines are only talk.
    pub(crate) fn of(lines: &[String]) -> Self {
        let mut trace = Self::default();
        for line in lines.iter().map(|line| Line::normal(line)) {
            if line.source != Source::Monitor {
                continue;
            }
            let Some(fields) = line.fields("TRACE") else { continue };
            if let Some(ticks) = fields.number("ticks_per_second") {
                trace.ticks_per_second = ticks;
            }
            trace.records.extend(record(&fields));
        }
        trace
    }

    /// Writes the file: a head, then one line of JSON a call.
    pub(crate) fn write(&self, file: &Path, job: &str) -> Result<(), Stop> {
        let head = Head {
            format: FORMAT.to_owned(),
            job: job.to_owned(),
            ticks_per_second: self.ticks_per_second,
        };
        let mut lines = vec![line(&head)?];
        for record in &self.records {
            lines.push(line(record)?);
        }
        files::write(file, lines.join("\n") + "\n")
    }

    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Result<Self, Stop> {
        let name = file.display();
        let wrong = |number: usize, what: &str| {
            Stop::usage(format!("{name}:{number}: {what}"))
                .mend("a trace is what `cargo xtask run --trace FILE` writes")
        };
        let text = tree::text(file).map_err(|stop| Stop::usage(stop.reason))?;
        let mut lines = (1..).zip(text.lines());
        let head = lines.next().and_then(|(_, line)| serde_json::from_str::<Head>(line).ok());
        let head = head.filter(|head| head.format == FORMAT && head.ticks_per_second > 0);
        let head = head.ok_or_else(|| wrong(1, &format!("this is no trace ({FORMAT})")))?;
        let mut records = Vec::new();
        for (number, line) in lines {
            let record: Record =
                serde_json::from_str(line).map_err(|_| wrong(number, "this is no call"))?;
            let words = std::iter::once(&record.call).chain(&record.answer);
            if words.clone().any(|words| registers(words).is_none()) {
                return Err(wrong(number, "registers are at most eight hexadecimal numbers"));
            }
            if !is_caller(&record.by) {
                return Err(wrong(number, "a call is by `vm1.0` or the like, or by `monitor`"));
            }
            records.push(record);
        }
        Ok(Self { ticks_per_second: head.ticks_per_second, records })
    }

    /// Microseconds of some ticks.
    pub(crate) fn microseconds(&self, ticks: u64) -> u64 {
        let wide = u128::from(ticks).saturating_mul(1_000_000);
        let per_second = u128::from(self.ticks_per_second.max(1));
        u64::try_from(wide.checked_div(per_second).unwrap_or_default()).unwrap_or(u64::MAX)
    }

    /// Each record with what it means, in the order in which the calls were made.
    pub(crate) fn explained(&self) -> Vec<(&Record, Explained)> {
        let mut list: Vec<&Record> = self.records.iter().collect();
        list.sort_by_key(|record| record.at);
        list.into_iter()
            .filter_map(|record| {
                let answer = record.answer.as_deref().map(registers);
                let answer = match answer {
                    None => None,
                    Some(words) => Some(words?),
                };
                Some((record, explain(&registers(&record.call)?, answer.as_ref())))
            })
            .collect()
    }
}

fn line(value: &impl Serialize) -> Result<String, Stop> {
    serde_json::to_string(value)
        .map_err(|why| Stop::failed(format!("cannot write the trace: {why}")))
}

fn record(fields: &Fields) -> Option<Record> {
    let words = |name| -> Option<Vec<String>> {
        Some(fields.text(name)?.split(',').map(str::to_owned).collect())
    };
    let record = Record {
        at: fields.number("at")?,
        took: fields.number("took")?,
        by: fields.text("by")?.to_owned(),
        call: words("call")?,
        answer: words("answer"),
    };
    registers(&record.call)?;
    Some(record)
}

/// Whether this names a VM's processor, or the monitor: it is printed as it stands.
fn is_caller(by: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let processor = by.strip_prefix("vm").and_then(|rest| rest.split_once('.'));
    by == "monitor" || processor.is_some_and(|(vm, processor)| number(vm) && number(processor))
}

/// x0-x7 of their hexadecimal words.
fn registers(words: &[String]) -> Option<[u64; 8]> {
    let mut registers = [0; 8];
    if words.len() > registers.len() {
        return None;
    }
    for (to, word) in registers.iter_mut().zip(words) {
        *to = u64::from_str_radix(word, 16).ok()?;
    }
    Some(registers)
}

/// `cargo xtask decode`.
pub(crate) fn decode(args: &DecodeArgs) -> Result<(), Stop> {
    json::reported(args.json.as_deref(), |fields| {
        let trace = Trace::read(&args.file)?;
        let list = trace.explained();
        let first = list.first().map_or(0, |(record, _)| record.at);
        let callers = ["vm1", "vm2", "vm3", "monitor"];
        if let Some(by) = args.by.as_deref().filter(|by| !callers.contains(by)) {
            let by = say::printable(by);
            return Err(
                Stop::usage(format!("--by {by}: nobody")).mend("one of: vm1, vm2, vm3, monitor")
            );
        }
        let chosen = |record: &Record, explained: &Explained| {
            let by = args.by.as_deref().is_none_or(|by| record.by.split('.').next() == Some(by));
            let call = args.call.as_deref().is_none_or(|name| explained.has_name(name));
            by && call && (!args.refused || explained.refusal.is_some())
        };
        let (mut shown, mut out) = (Vec::new(), Vec::new());
        for (record, explained) in &list {
            if !chosen(record, explained) {
                continue;
            }
            let (at, took) = (
                trace.microseconds(record.at.saturating_sub(first)),
                trace.microseconds(record.took),
            );
            out.push(format!("{at:>9} us {took:>6} us  {:<8} {}", record.by, explained.line()));
            shown.push(serde_json::json!({
                "at_us": at, "took_us": took, "by": record.by, "call": explained.call,
                "service": explained.service, "answer": explained.answer, "refusal": explained.refusal,
            }));
        }
        let refused = list.iter().filter(|(_, explained)| explained.refusal.is_some()).count();
        if !out.is_empty() {
            say::line(&out.join("\n"));
        }
        say::line(&format!(
            "  {} calls shown of {}; {refused} of them were refused",
            out.len(),
            list.len()
        ));
        fields.insert("calls".to_owned(), shown.into());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::{Record, Trace};

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_monitors_lines_are_taken_and_nobody_elses() {
        let trace = Trace::of(&lines(
            "[mon] TRACE begins ticks_per_second=62500000\n\
             [mon] TRACE at=5 took=2 by=vm1.0 call=84000069 answer=84000061,0,1\n\
             [vm3] TRACE at=6 took=2 by=monitor call=84000069\n\
             [mon] TRACE at=9 took=1 by=vm2.1 call=84000002\n\
             [mon] TRACE at=9 took=1 by=vm2.1 call=xyz\n",
        ));
        assert_eq!((trace.ticks_per_second, trace.records.len()), (62_500_000, 2));
        assert_eq!(trace.records[1].answer, None);
        assert_eq!(trace.microseconds(62_500_000), 1_000_000);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_no_trace_is_refused_with_its_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("t");
        let call = vec!["84000069".to_owned()];
        let record =
            Record { at: 1, took: 2, by: "vm1.0".into(), call, answer: Some(vec!["1".into()]) };
        let trace = Trace { ticks_per_second: 7, records: vec![record] };
        trace.write(&file, "transfer").expect("written");
        assert_eq!(Trace::read(&file).expect("read"), trace);
        let whole = std::fs::read_to_string(&file).expect("read");
        for (text, line) in [
            (String::new(), 1),
            ("{}".to_owned(), 1),
            (whole.replace("trace-1", "trace-2"), 1),
            (whole.replace("84000069", "g"), 2),
            // It would drive the terminal.
            (whole.replace("vm1.0", "\\u001b[2J"), 2),
            (whole.replace("vm1.0", "vm1"), 2),
            (whole.clone() + "x\n", 3),
        ] {
            std::fs::write(&file, text).expect("written");
            let stop = Trace::read(&file).expect_err("refused");
            assert!(stop.reason.contains(&format!(":{line}: ")), "{}", stop.reason);
        }
    }
}
