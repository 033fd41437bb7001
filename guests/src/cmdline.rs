//! Owns the VM's command line: `key=value` words; never fails on what it does not know.

/// A parsed command line. The monitor's own keys come first, so a later word can't replace them.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    text: &'a str,
}

impl<'a> CommandLine<'a> {
    /// Reads a command line; words without `=` are ignored.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Returns the value of the first word `key=value`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.text
            .split_ascii_whitespace()
            .filter_map(|word| word.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Returns a number, decimal or `0x...`; `None` if absent or malformed.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        parse_number(self.get(key)?)
    }

    /// Reports whether `key=1` was given.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    /// Returns the job's name; `idle` if none is given.
    #[must_use]
    pub fn job(&self) -> &'a str {
        self.get("job").unwrap_or("idle")
    }
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::CommandLine;

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let line = CommandLine::new("vm=1 ram_bytes=0x28000000 job=transfer vm=3");
        assert_eq!(line.number("vm"), Some(1));
        assert_eq!(line.number("ram_bytes"), Some(0x2800_0000));
        assert_eq!(line.job(), "transfer");
    }

    #[test]
    fn numbers_that_are_none_are_absent() {
        let line = CommandLine::new("a=0x b= c=12x d=18446744073709551616 e =5");
        for key in ["a", "b", "c", "d", "e", "missing"] {
            assert_eq!(line.number(key), None, "{key}");
        }
    }

    #[test]
    fn no_job_means_idle() {
        assert_eq!(CommandLine::new("vm=2").job(), "idle");
        assert!(!CommandLine::new("raw=0").is_set("raw"));
        assert!(CommandLine::new("raw=1").is_set("raw"));
    }
}
