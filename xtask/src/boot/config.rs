//! Owns the boot configuration's text, as the monitor reads it. Never reads or writes files.

use crate::boot::DISK_ADDRESS;
use causeway_guests::jobs::{End, Job};

/// What belongs to the platform and to no job.
const PLATFORM: &str = include_str!("../../../manifests/monitor/qemu-virt.cfg");
/// The monitor reads no more.
const MAX_BYTES: usize = 64 << 10;

/// What the monitor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// How many cores the machine has.
    pub(crate) cores: u32,
    /// The length of the disk image in memory; 0 for none.
    pub(crate) disk_bytes: u64,
    /// When the machine goes off.
    pub(crate) end: End,
    /// The command lines of VM 1, 2 and 3.
    pub(crate) command_lines: [String; 3],
    /// Further lines, as the job has them.
    pub(crate) further: &'static [&'static str],
    /// Whether the monitor prints each call.
    pub(crate) traced: bool,
}

impl Config {
    /// The configuration of a job.
    pub(crate) fn of(job: &Job, cores: u32, disk_bytes: u64) -> Self {
        Self {
            cores: cores.saturating_sub(job.cores_left_off).max(1),
            disk_bytes,
            end: job.end,
            command_lines: job.command_lines.map(str::to_owned),
            further: job.config,
            traced: false,
        }
    }

    /// The text with its closing NUL.
    pub(crate) fn text(&self) -> Result<Vec<u8>, String> {
        let mut text = format!(
            "causeway-boot 1\ncores={}\ndisk_pa={DISK_ADDRESS:#x}\ndisk_bytes={}\nend={}\n",
            self.cores,
            self.disk_bytes,
            self.end.config_value()
        );
        for (vm, line) in (1..).zip(&self.command_lines) {
            if line.contains(|c: char| c.is_control()) || !line.is_ascii() {
                return Err(format!("the command line of VM {vm} has odd characters: {line:?}"));
            }
            text.push_str(&format!("vm{vm}={line}\n"));
        }
        let key = |line: &str| line.split('=').next().map(str::to_owned);
        for line in PLATFORM.lines().filter(|line| line.contains('=')) {
            // What a job says itself counts: each key may be there once.
            if !self.further.iter().any(|other| key(other) == key(line)) {
                text.push_str(line);
                text.push('\n');
            }
        }
        for line in self.further {
            text.push_str(line);
            text.push('\n');
        }
        if self.traced {
            text.push_str("trace=calls\n");
        }
        text.push('\0');
        if text.len() > MAX_BYTES {
            return Err(format!("the boot configuration is longer than {MAX_BYTES} bytes"));
        }
        Ok(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use causeway_guests::jobs::{End, TRANSFER};

    #[test]
    fn the_text_is_what_the_monitor_reads() {
        let config = Config::of(&TRANSFER, 4, 16 << 20);
        let text = String::from_utf8(config.text().expect("a text")).expect("ASCII");
        let expected = "causeway-boot 1\ncores=4\ndisk_pa=0x50000000\ndisk_bytes=16777216\n\
                        end=all\nvm1=job=transfer\nvm2=job=transfer\nvm3=job=idle\n\
                        store_quota_vm1=55296\nstore_quota_vm2=8192\nstore_quota_vm3=2048\n\0";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_job_says_itself_takes_the_place_of_the_platforms() {
        let mut config = Config::of(&TRANSFER, 1, 0);
        config.further = &["store_quota_vm1=65536", "store_quota_vm2=0", "store_quota_vm3=0"];
        let text = String::from_utf8(config.text().expect("a text")).expect("ASCII");
        assert_eq!(text.matches("store_quota_vm").count(), 3);
        assert!(text.contains("store_quota_vm1=65536\n"));
    }

    #[test]
    fn a_line_that_would_forge_a_key_is_refused() {
        let mut config = Config::of(&TRANSFER, 1, 0);
        config.end = End::Vm1;
        assert!(config.text().is_ok());
        config.command_lines[1] = "job=x\nvm3=job=y".into();
        assert!(config.text().is_err());
        config.command_lines[1] = "a".repeat(70_000);
        assert!(config.text().is_err());
    }
}
