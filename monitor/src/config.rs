//! Owns the boot configuration: text in, checked values out. Never reads memory by itself.

use crate::book::{STORE_BYTES, STORE_QUOTA};
use crate::layout::{FRONTEND, MAX_CORES, MAX_VCPUS, MEDIUM, PhysRange, VM_COUNT, VmIndex};
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
    /// When this VM is off: the others are then killed in order.
    Vm(VmIndex),
}

/// Whether the partition hears that a VM does not map an area any more. For tests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// Each time, as a hypervisor must.
    Always,
    /// Never: a hypervisor that unmaps and forgets to say so.
    Never,
}

/// Who counts what VMs take of the SPMC's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCheck {
    /// The monitor, VM by VM: nobody takes another's part.
    Quota,
    /// Nobody but the SPMC, so that its own refusal is reached. For tests only.
    Spmc,
}

/// Whether each call is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// No.
    Nothing,
    /// A line for each call that a VM makes, and for each that goes to the SPMC.
    Calls,
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
    /// The VM that may kill and restart the others.
    pub controller: VmIndex,
    /// Whether unmappings are confirmed.
    pub confirm: Confirm,
    /// Who counts what is taken of the SPMC's store.
    pub store_check: StoreCheck,
    /// Whether each call is printed.
    pub trace: Trace,
    /// Bytes of the SPMC's store that each VM may fill.
    pub store_quota: [u32; VM_COUNT],
    /// Virtual processors of each VM; 1 to [`MAX_VCPUS`].
    pub vcpus: [usize; VM_COUNT],
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
            controller: FRONTEND,
            confirm: Confirm::Always,
            store_check: StoreCheck::Quota,
            trace: Trace::Nothing,
            store_quota: STORE_QUOTA,
            vcpus: [1; VM_COUNT],
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
        let quota: u64 = config.store_quota.iter().copied().map(u64::from).sum();
        let whole = fits && quota <= u64::from(STORE_BYTES);
        if whole { Ok(Some(config)) } else { Err(ConfigError::BadValue(0)) }
    }

    fn apply(&mut self, line: &'a str, number: usize, seen: &mut Seen) -> Result<(), ConfigError> {
        let (key, value) = line.split_once('=').ok_or(ConfigError::UnknownKey(number))?;
        let key = Key::parse(key).ok_or(ConfigError::UnknownKey(number))?;
        self.set(key, value).ok_or(ConfigError::BadValue(number))?;
        seen.first(key.slot()).then_some(()).ok_or(ConfigError::Repeated(number))
    }

    /// Takes a value; `None` where the key does not take it.
    fn set(&mut self, key: Key, value: &'a str) -> Option<()> {
        match key {
            Key::Cores => {
                let cores = usize::try_from(parse_number(value)?).ok()?;
                self.cores = (1..=MAX_CORES).contains(&cores).then_some(cores)?;
            }
            Key::DiskPa => {
                let base = parse_number(value)?;
                self.disk.base = base.is_multiple_of(4096).then_some(base)?;
            }
            Key::DiskBytes => {
                let len = parse_number(value)?;
                self.disk.len_bytes = len.is_multiple_of(SECTOR_BYTES).then_some(len)?;
            }
            Key::End => {
                self.end = match value {
                    "all" => EndRule::All,
                    vm => EndRule::Vm(vm_of_id(vm.strip_prefix("vm")?)?),
                }
            }
            Key::Controller => self.controller = vm_of_id(value)?,
            Key::ConfirmUnmaps => {
                self.confirm = match value {
                    "always" => Confirm::Always,
                    "never" => Confirm::Never,
                    _ => return None,
                }
            }
            Key::StoreCheck => {
                self.store_check = match value {
                    "quota" => StoreCheck::Quota,
                    "spmc" => StoreCheck::Spmc,
                    _ => return None,
                }
            }
            Key::Trace => {
                self.trace = match value {
                    "calls" => Trace::Calls,
                    "nothing" => Trace::Nothing,
                    _ => return None,
                }
            }
            Key::StoreQuota(vm) => {
                let bytes = u32::try_from(parse_number(value)?).ok()?;
                self.store_quota[vm.index()] = (bytes <= STORE_BYTES).then_some(bytes)?;
            }
            Key::Vcpus(vm) => {
                let count = usize::try_from(parse_number(value)?).ok()?;
                self.vcpus[vm.index()] = (1..=MAX_VCPUS).contains(&count).then_some(count)?;
            }
            Key::Command(vm) => {
                self.commands[vm.index()] = (value.len() <= MAX_COMMAND_BYTES).then_some(value)?;
            }
        }
        Some(())
    }
}

/// The keys that a configuration may have, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Cores,
    DiskPa,
    DiskBytes,
    End,
    Controller,
    ConfirmUnmaps,
    StoreCheck,
    Trace,
    StoreQuota(VmIndex),
    Vcpus(VmIndex),
    Command(VmIndex),
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let of_vm = |prefix| text.strip_prefix(prefix).and_then(vm_of_id);
        Some(match text {
            "cores" => Self::Cores,
            "disk_pa" => Self::DiskPa,
            "disk_bytes" => Self::DiskBytes,
            "end" => Self::End,
            "controller" => Self::Controller,
            "confirm_unmaps" => Self::ConfirmUnmaps,
            "store_check" => Self::StoreCheck,
            "trace" => Self::Trace,
            _ => of_vm("store_quota_vm")
                .map(Self::StoreQuota)
                .or_else(|| of_vm("vcpus_vm").map(Self::Vcpus))
                .or_else(|| of_vm("vm").map(Self::Command))?,
        })
    }

    /// A number of its own.
    fn slot(self) -> usize {
        match self {
            Self::Cores => 0,
            Self::DiskPa => 1,
            Self::DiskBytes => 2,
            Self::End => 3,
            Self::Controller => 4,
            Self::ConfirmUnmaps => 5,
            Self::StoreCheck => 6,
            Self::Trace => 7,
            Self::StoreQuota(vm) => 8 + vm.index(),
            Self::Vcpus(vm) => 8 + VM_COUNT + vm.index(),
            Self::Command(vm) => 8 + 2 * VM_COUNT + vm.index(),
        }
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

fn vm_of_id(text: &str) -> Option<VmIndex> {
    VmIndex::from_id(causeway_ffa::EndpointId::from_raw(text.parse().ok()?))
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
mod tests;
