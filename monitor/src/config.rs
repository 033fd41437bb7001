//! Owns the boot configuration: text in, checked values out. Never reads memory by itself.

use crate::layout::{MAX_CORES, MEDIUM, PhysRange, VM_COUNT, VmIndex};
use core::fmt;

/// The first line of a configuration.
const MAGIC: &str = "causeway-boot 1";
/// Longest text that a VM may be given, so that it fits the VM's last page with the monitor's keys.
const MAX_COMMAND_BYTES: usize = 2048;
/// What a VM is told where nothing is configured.
const DEFAULT_COMMAND: &str = "job=transfer";
/// Bytes in a sector of the medium.
const SECTOR_BYTES: u64 = 512;

/// When the run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndRule {
    /// When every VM is off.
    All,
    /// When VM 1 is off: the others are then killed in order.
    Vm1,
}

/// What to boot, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootConfig<'a> {
    /// Cores to start, at most; 1 to [`MAX_CORES`].
    pub cores: usize,
    /// The disk medium; `len_bytes` is a multiple of 512, or zero where there is no disk.
    pub disk: PhysRange,
    /// When the run is over.
    pub end: EndRule,
    /// The text that each VM gets after the monitor's own keys.
    pub commands: [&'a str; VM_COUNT],
}

/// Which rule a configuration broke, and in which line (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The text is not ASCII, or holds control characters.
    NotText(usize),
    /// A line is not `key=value`, or the key is unknown.
    UnknownKey(usize),
    /// A value is not one of those that the key takes.
    BadValue(usize),
    /// A key occurs twice.
    Repeated(usize),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, line) = match self {
            Self::NotText(line) => ("text_must_be_printable_ascii", line),
            Self::UnknownKey(line) => ("line_must_be_a_known_key=value", line),
            Self::BadValue(line) => ("value_out_of_range", line),
            Self::Repeated(line) => ("key_given_twice", line),
        };
        write!(f, "line={line} rule={rule}")
    }
}

impl Default for BootConfig<'_> {
    fn default() -> Self {
        Self {
            cores: MAX_CORES,
            disk: PhysRange { base: MEDIUM.base, len_bytes: 0 },
            end: EndRule::All,
            commands: [DEFAULT_COMMAND; VM_COUNT],
        }
    }
}

impl<'a> BootConfig<'a> {
    /// Reads the text up to its NUL. `Ok(None)` where it does not begin with the magic line:
    /// then there is no configuration and the defaults hold.
    ///
    /// # Errors
    /// The first line that breaks a rule.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, ConfigError> {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let text = bytes.get(..end).unwrap_or_default();
        if !text.starts_with(MAGIC.as_bytes()) {
            return Ok(None);
        }
        let mut config = Self::default();
        let mut seen = Seen::default();
        for (number, raw) in (1..).zip(text.split(|b| *b == b'\n')) {
            let line = printable(raw).ok_or(ConfigError::NotText(number))?;
            if number == 1 {
                if line != MAGIC {
                    return Ok(None);
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                config.apply(line, number, &mut seen)?;
            }
        }
        let disk = config.disk;
        let fits = disk.base >= MEDIUM.base
            && disk.base.checked_add(disk.len_bytes).is_some_and(|end| end <= MEDIUM.end());
        if fits { Ok(Some(config)) } else { Err(ConfigError::BadValue(0)) }
    }

    fn apply(&mut self, line: &'a str, number: usize, seen: &mut Seen) -> Result<(), ConfigError> {
        let (key, value) = line.split_once('=').ok_or(ConfigError::UnknownKey(number))?;
        let bad = ConfigError::BadValue(number);
        let slot = match key {
            "cores" => {
                let cores = parse_number(value).and_then(|n| usize::try_from(n).ok()).ok_or(bad)?;
                self.cores = (1..=MAX_CORES).contains(&cores).then_some(cores).ok_or(bad)?;
                0
            }
            "disk_pa" => {
                let base = parse_number(value).ok_or(bad)?;
                self.disk.base = base.is_multiple_of(4096).then_some(base).ok_or(bad)?;
                1
            }
            "disk_bytes" => {
                let len = parse_number(value).ok_or(bad)?;
                self.disk.len_bytes = len.is_multiple_of(SECTOR_BYTES).then_some(len).ok_or(bad)?;
                2
            }
            "end" => {
                self.end = match value {
                    "all" => EndRule::All,
                    "vm1" => EndRule::Vm1,
                    _ => return Err(bad),
                };
                3
            }
            _ => {
                let vm = vm_of_key(key).ok_or(ConfigError::UnknownKey(number))?;
                if value.len() > MAX_COMMAND_BYTES {
                    return Err(bad);
                }
                self.commands[vm.index()] = value;
                4 + vm.index()
            }
        };
        seen.first(slot).then_some(()).ok_or(ConfigError::Repeated(number))
    }
}

/// Which keys a text has had.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn first(&mut self, slot: usize) -> bool {
        let bit = 1 << slot;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first
    }
}

fn vm_of_key(key: &str) -> Option<VmIndex> {
    let id = key.strip_prefix("vm")?.parse().ok()?;
    VmIndex::from_id(causeway_ffa::EndpointId::from_raw(id))
}

fn printable(raw: &[u8]) -> Option<&str> {
    let line = core::str::from_utf8(raw.strip_suffix(b"\r").unwrap_or(raw)).ok()?;
    line.bytes().all(|b| (b' '..=b'~').contains(&b)).then_some(line)
}

/// Reads a decimal number, or a hexadecimal one after `0x`.
#[must_use]
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "causeway-boot 1\ncores=4\ndisk_pa=0x50000000\ndisk_bytes=16777216\n\
        end=vm1\nvm1=job=transfer batch=65536\nvm2=job=transfer\nvm3=job=idle\n";

    #[test]
    fn a_full_configuration_is_read_whole() {
        let config = BootConfig::parse(FULL.as_bytes()).unwrap().unwrap();
        assert_eq!(config.cores, 4);
        assert_eq!(config.disk, PhysRange { base: 0x5000_0000, len_bytes: 16 << 20 });
        assert_eq!(config.end, EndRule::Vm1);
        assert_eq!(config.commands, ["job=transfer batch=65536", "job=transfer", "job=idle"]);
    }

    #[test]
    fn memory_without_the_magic_is_no_configuration() {
        for bytes in [&[0_u8; 8][..], b"", b"\xff\xff", b"causeway-boot 2\n", b"causeway-boot 11"] {
            assert_eq!(BootConfig::parse(bytes), Ok(None));
        }
    }

    #[test]
    fn text_ends_at_the_nul() {
        let config = BootConfig::parse(b"causeway-boot 1\ncores=2\n\0cores=9\n").unwrap().unwrap();
        assert_eq!(config.cores, 2);
    }

    #[test]
    fn each_broken_rule_is_named_with_its_line() {
        let parse = |line: &str| {
            let text = format!("causeway-boot 1\n{line}\n");
            BootConfig::parse(text.as_bytes()).map(|config| config.is_some())
        };
        assert_eq!(parse("cores=0"), Err(ConfigError::BadValue(2)));
        assert_eq!(parse("cores=9"), Err(ConfigError::BadValue(2)));
        assert_eq!(parse("disk_pa=0x50000001"), Err(ConfigError::BadValue(2)));
        assert_eq!(parse("disk_bytes=513"), Err(ConfigError::BadValue(2)));
        assert_eq!(parse("disk_bytes=268435968"), Err(ConfigError::BadValue(0)));
        assert_eq!(parse("disk_pa=0xfffffffffffff000"), Err(ConfigError::BadValue(0)));
        assert_eq!(parse("end=never"), Err(ConfigError::BadValue(2)));
        assert_eq!(parse("vm4=x"), Err(ConfigError::UnknownKey(2)));
        assert_eq!(parse("colour=red"), Err(ConfigError::UnknownKey(2)));
        assert_eq!(parse("cores"), Err(ConfigError::UnknownKey(2)));
        assert_eq!(parse("cores=1\ncores=1"), Err(ConfigError::Repeated(3)));
        assert_eq!(parse("vm1=\u{7f}"), Err(ConfigError::NotText(2)));
        let long = format!("vm1={}", "a".repeat(MAX_COMMAND_BYTES + 1));
        assert_eq!(parse(&long), Err(ConfigError::BadValue(2)));
    }
}
