//! Owns one boot of the machine in QEMU: the arguments, the child, its logs, its end. Never judges
//! what the logs say.

pub(crate) mod config;
mod typed;

use crate::outcome::{Stop, files};
use crate::process::{self, Running, Step};
use crate::tail::Tail;
use crate::{interrupt, paths};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use typed::Keyboard;

/// Where QEMU puts the disk image.
pub(crate) const DISK_ADDRESS: u64 = 0x5000_0000;
const CONFIG_ADDRESS: u64 = 0x4800_0000;
/// What QEMU itself prints.
const LOG: &str = "qemu.log";
const POLL: Duration = Duration::from_millis(20);

/// What the machine's counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Time: QEMU runs as fast as it can.
    Time,
    /// Guest instructions, one a nanosecond: every run gives the same figures.
    Instructions,
}

/// What the flash keeps, and what a reset does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The image is read; what is written is lost at the end.
    Nothing,
    /// The flash is the file itself. A reset ends QEMU.
    All,
    /// The flash is the file itself. A reset boots the machine anew.
    AllAcrossResets,
}

/// One machine to boot.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// QEMU, or what a test puts in its place.
    pub(crate) program: String,
    /// The flash image.
    pub(crate) flash: PathBuf,
    /// What becomes of what is written into it, and of a reset.
    pub(crate) keeps: Keeps,
    /// QEMU's name of the CPU.
    pub(crate) cpu: &'static str,
    /// Further options of the machine, each behind a comma.
    pub(crate) options: &'static str,
    /// How many cores.
    pub(crate) smp: u32,
    /// The boot configuration's file, if there is one.
    pub(crate) config: Option<PathBuf>,
    /// Whether the machine counts instructions instead of time.
    pub(crate) counts: Counts,
    /// The disk image, if there is one.
    pub(crate) disk: Option<PathBuf>,
    /// Where the two serial lines go: a file for normal world and monitor, one for the partition.
    pub(crate) serial: [PathBuf; 2],
    /// What is typed into the secure UART each time that VM 1 asks for it.
    pub(crate) typed: Option<&'static str>,
}

impl Machine {
    /// QEMU's arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut list: Vec<String> = [
            "-M",
            &format!("virt,secure=on,virtualization=on,gic-version=3{}", self.options),
            "-cpu",
            self.cpu,
            "-smp",
            &self.smp.to_string(),
            "-m",
            "3G",
            "-display",
            "none",
            "-monitor",
            "none",
            "-nic",
            "none",
        ]
        .map(str::to_owned)
        .to_vec();
        if self.keeps != Keeps::AllAcrossResets {
            list.push("-no-reboot".to_owned());
        }
        if self.keeps == Keeps::Nothing {
            list.extend(["-bios".to_owned(), self.flash.display().to_string()]);
        } else {
            let file = option(&self.flash);
            list.extend(["-drive".to_owned(), format!("if=pflash,unit=0,format=raw,file={file}")]);
        }
        let loaded = [(self.config.as_ref(), CONFIG_ADDRESS), (self.disk.as_ref(), DISK_ADDRESS)];
        for (file, address) in loaded {
            if let Some(file) = file {
                let file = option(file);
                list.push("-device".to_owned());
                list.push(format!("loader,file={file},addr={address:#x},force-raw=on"));
            }
        }
        if self.counts == Counts::Instructions {
            list.extend(["-icount", "shift=0,sleep=off"].map(str::to_owned));
        }
        let [normal, secure] = &self.serial;
        list.extend(["-serial".to_owned(), format!("file:{}", normal.display())]);
        if self.typed.is_some() {
            list.push("-chardev".to_owned());
            list.push(format!("pipe,id=secure,path={}", option(&self.pipe())));
            list.extend(["-serial", "chardev:secure"].map(str::to_owned));
        } else {
            list.extend(["-serial".to_owned(), format!("file:{}", secure.display())]);
        }
        list
    }

    /// What QEMU calls the pipe of the secure UART: with `.in` and `.out` behind it, its two ends.
    fn pipe(&self) -> PathBuf {
        self.serial[1].with_extension("")
    }

    /// The whole command, to be pasted into a shell.
    pub(crate) fn command_line(&self) -> String {
        let mut words = vec![quoted(&self.program)];
        words.extend(self.arguments().iter().map(|word| quoted(word)));
        words.join(" ")
    }
}

/// A comma in a file's name is written twice in a QEMU option.
fn option(file: &Path) -> String {
    file.display().to_string().replace(',', ",,")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+%@".contains(c);
    if word.chars().all(plain) && !word.is_empty() {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What the machine printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logs {
    /// UART0: firmware, monitor and VMs.
    pub(crate) normal: Vec<String>,
    /// The secure UART: the partition.
    pub(crate) secure: Vec<String>,
    /// QEMU's run time.
    pub(crate) wall: Duration,
}

/// Starts QEMU; dropping what is returned ends it.
pub(crate) fn start(machine: &Machine, dir: &Path, limit: Duration) -> Result<Running, Stop> {
    files::make_dir(dir)?;
    files::write(&dir.join("qemu.cmd"), format!("{}\n", machine.command_line()))?;
    let running = qemu_step(machine, &dir.join(LOG), limit).start()?;
    files::write(&dir.join("qemu.pid"), format!("{}\n", running.pid()))?;
    Ok(running)
}

/// Boots the machine and waits for its end; `on_line` sees each line of UART0 as it comes.
pub(crate) fn boot(
    machine: &Machine,
    dir: &Path,
    limit: Duration,
    on_line: &mut dyn FnMut(&str),
) -> Result<Logs, Stop> {
    let log = dir.join(LOG);
    let started = Instant::now();
    let keyboard =
        machine.typed.map(|text| Keyboard::at(&machine.pipe(), &machine.serial[1], text));
    let mut keyboard = keyboard.transpose()?;
    let mut running = start(machine, dir, limit)?;
    let mut normal = Tail::of(&machine.serial[0]);
    let mut secure = Tail::of(&machine.serial[1]);
    let status = loop {
        let status = running.poll()?;
        let mut typed = Ok(());
        normal.read(&mut |line| {
            if let Some(keyboard) = &mut keyboard
                && typed.is_ok()
            {
                typed = keyboard.heard(line);
            }
            on_line(line);
        })?;
        typed?;
        secure.read(&mut |_| ())?;
        if status.is_some() {
            break status;
        }
        if interrupt::asked() {
            return Err(Stop::interrupted());
        }
        if running.late() {
            let last = normal.lines().last().map_or("nothing at all", String::as_str);
            return Err(Stop::timed_out(format!(
                "QEMU did not end within {} s; its last line was: {} (logs: {})",
                limit.as_secs(),
                crate::say::printable(last),
                dir.display()
            ))
            .mend("a slow machine needs --timeout S; otherwise read the logs"));
        }
        std::thread::sleep(POLL);
    };
    normal.close(on_line);
    secure.close(&mut |_| ());
    match status {
        Some(status) if !status.success() => {
            process::show_tail(&log);
            let told = process::why(status, &log);
            Err(Stop::failed(format!("QEMU {told} (log: {})", log.display())))
        }
        Some(_) | None => Ok(Logs {
            normal: normal.into_lines(),
            secure: secure.into_lines(),
            wall: started.elapsed(),
        }),
    }
}

/// QEMU by way of setpriv, so that the kernel ends it even if this tool is killed.
fn qemu_step(machine: &Machine, log: &Path, limit: Duration) -> Step {
    let what = "QEMU";
    let step = if paths::on_path("setpriv").is_some() {
        Step::new(what, "setpriv", log).args(["--pdeathsig", "KILL", "--", &machine.program])
    } else {
        Step::new(what, &machine.program, log)
    };
    step.args(machine.arguments()).limit(limit)
}

#[cfg(test)]
mod tests;
