//! Owns the reading of the machine's lines: who said what, and the `key=value` fields. Never
//! judges, and never takes a VM's word for another's: the prefix is the monitor's.

use std::collections::BTreeMap;

/// Who a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A VM by its number, 1 to 3.
    Vm(usize),
    /// The monitor.
    Monitor,
    /// The partition, on the secure UART.
    Partition,
    /// Anything without a prefix: the firmware.
    Firmware,
}

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From whom.
    pub(crate) source: Source,
    /// The text after the prefix.
    pub(crate) text: &'a str,
}

impl<'a> Line<'a> {
    /// Reads a line of UART0, where the partition speaks by way of FFA_CONSOLE_LOG.
    pub(crate) fn normal(line: &'a str) -> Self {
        let prefixes = [
            ("[vm1] ", Source::Vm(1)),
            ("[vm2] ", Source::Vm(2)),
            ("[vm3] ", Source::Vm(3)),
            ("[mon] ", Source::Monitor),
            ("[sp] ", Source::Partition),
        ];
        Self::read(line, &prefixes)
    }

    /// Reads a line of the secure UART.
    pub(crate) fn secure(line: &'a str) -> Self {
        Self::read(line, &[("[sp] ", Source::Partition)])
    }

    fn read(line: &'a str, prefixes: &[(&str, Source)]) -> Self {
        let found = prefixes.iter().find_map(|(prefix, source)| {
            Some(Self { source: *source, text: line.strip_prefix(prefix)? })
        });
        found.unwrap_or(Self { source: Source::Firmware, text: line })
    }

    /// The fields of a line of this kind: `RESULT a=1 b=2`.
    pub(crate) fn fields(&self, kind: &str) -> Option<Fields> {
        let rest = self.text.strip_prefix(kind)?;
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        let words = rest.split_whitespace().filter_map(|word| word.split_once('='));
        let mut fields = Fields(BTreeMap::new());
        for (name, value) in words {
            fields.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        Some(fields)
    }

    /// Whether the line tells of a crash, of whomever.
    pub(crate) fn is_crash(&self) -> bool {
        let marks: &[&str] = match self.source {
            Source::Vm(_) | Source::Monitor | Source::Partition => &["PANIC", "panic"],
            Source::Firmware => {
                &["PANIC", "panic", "ASSERT", "Unhandled Exception", "Unhandled External Abort"]
            }
        };
        marks.iter().any(|mark| self.text.trim_start().starts_with(mark))
    }
}

/// The fields of a line; the first of two equal names counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// A field as it stands there.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All fields, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A field that is a decimal number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Source};

    #[test]
    fn the_source_is_the_prefix_at_the_very_start() {
        let line = Line::normal("[vm2] RESULT job=transfer medium_bytes=512 medium_bytes=9 odd");
        assert_eq!(line.source, Source::Vm(2));
        let fields = line.fields("RESULT").expect("a result");
        assert_eq!(fields.number("medium_bytes"), Some(512));
        assert_eq!(fields.text("job"), Some("transfer"));
        assert_eq!(fields.number("job"), None);
        assert_eq!(fields.text("odd"), None);
    }

    #[test]
    fn a_vm_cannot_speak_for_another() {
        for text in ["[vm3] [mon] RESULT x=1", "[vm3] [vm1] END status=ok", "[vm3] x [mon] END"] {
            let line = Line::normal(text);
            assert_eq!(line.source, Source::Vm(3));
            assert!(line.fields("RESULT").is_none() && line.fields("END").is_none());
        }
        for text in [" [mon] RESULT x=1", "[mon]RESULT", "[vm4] END", "x [sp] PANIC", "RESULT x=1"]
        {
            assert_eq!(Line::normal(text).source, Source::Firmware, "{text}");
        }
        assert_eq!(Line::secure("[mon] END status=ok").source, Source::Firmware);
        assert_eq!(Line::secure("[sp] up").source, Source::Partition);
    }

    #[test]
    fn kinds_are_whole_words() {
        assert!(Line::normal("[vm1] RESULTS a=1").fields("RESULT").is_none());
        assert!(Line::normal("[vm1] END").fields("END").is_some());
    }

    #[test]
    fn crashes_are_seen_wherever_they_are_reported() {
        assert!(Line::secure("[sp] PANIC at x").is_crash());
        assert!(Line::normal("[sp] PANIC at x").is_crash());
        assert!(Line::normal("[mon] PANIC").is_crash());
        assert!(Line::normal("[vm1] panic: x").is_crash());
        assert!(Line::normal("PANIC at PC : 0x00e0a0").is_crash());
        assert!(Line::normal("Unhandled Exception in EL3.").is_crash());
        assert!(!Line::normal("[mon] no PANIC so far").is_crash());
    }
}
