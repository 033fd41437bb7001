//! Owns one power-on: boots the workload, waits for the moment, kills QEMU. Never judges what was said.

use super::aim::Aim;
use super::judge::{Found, Seen};
use crate::boot::config::Config;
use crate::boot::{self, Counts, Keeps, Machine};
use crate::cli::Cpu;
use crate::interrupt;
use crate::lines::{Line, Source};
use crate::outcome::{Stop, files};
use crate::process::{self, Running};
use crate::setup::qemu;
use crate::tail::Tail;
use causeway_guests::jobs::POWERCUT;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a boot may take until the workload tells what it found.
const BOOT: Duration = Duration::from_secs(120);
const CORES: u32 = 2;
/// Between two looks at the logs: an operation of the flash lasts longer.
const LOOK: Duration = Duration::from_micros(100);

/// One power-on.
pub(super) struct Session<'a> {
    /// The flash file that all power-ons share.
    pub(super) flash: &'a Path,
    /// Where the logs go.
    pub(super) dir: &'a Path,
}

/// The logs as they grow.
struct Logs {
    normal: Tail,
    secure: Tail,
    seen: Seen,
}

impl Logs {
    /// Reads what is new.
    fn read(&mut self) -> Result<(), Stop> {
        let Self { normal, secure, seen } = self;
        normal.read(&mut |text| note_normal(seen, text))?;
        secure.read(&mut |text| note_secure(seen, text))
    }
}

fn note_normal(seen: &mut Seen, text: &str) {
    let line = Line::normal(text);
    if line.is_crash() {
        seen.crash.get_or_insert_with(|| text.to_owned());
    }
    if line.source != Source::Vm(1) {
        return;
    }
    for (what, acknowledged) in [("FOUND", false), ("ACK", true)] {
        let Some(fields) = line.fields(what) else { continue };
        let number = |name: &str| fields.text(name).and_then(|text| text.parse().ok());
        let (Some(counter), Some(written)) = (number("counter"), number("written")) else {
            continue;
        };
        let found = Found { counter, written, wrong: number("wrong").unwrap_or(0) };
        *(if acknowledged { &mut seen.acknowledged } else { &mut seen.found }) = Some(found);
    }
}

fn note_secure(seen: &mut Seen, text: &str) {
    let line = Line::secure(text);
    if line.is_crash() {
        seen.crash.get_or_insert_with(|| text.to_owned());
    }
    let mut words = line.text.split_whitespace().skip_while(|word| *word != "flash").skip(1);
    let (Some(operation), Some(when)) = (words.next(), words.next()) else { return };
    let begins = when == "Begins";
    match operation {
        "Program" => seen.programs += u32::from(begins),
        "Erase" => seen.erases += u32::from(begins),
        _ => return,
    }
    seen.under_way = begins.then(|| operation.to_owned());
}

impl Session<'_> {
    /// Boots, and cuts the power when the moment has come.
    pub(super) fn until(&self, aim: Aim) -> Result<Seen, Stop> {
        files::make_dir(self.dir)?;
        let machine = self.machine();
        let config = Config::of(&POWERCUT, CORES, 0);
        files::write(&self.dir.join("boot.txt"), config.text().map_err(Stop::failed)?)?;
        let mut running = boot::start(&machine, self.dir, BOOT + aim.patience())?;
        let started = Instant::now();
        let [normal, secure] = machine.serial.each_ref().map(|path| Tail::of(path));
        let mut logs = Logs { normal, secure, seen: Seen::default() };
        self.wait(aim, started, &mut running, &mut logs)?;
        running.cut()?;
        logs.read()?;
        logs.seen.cut_before_found = logs.seen.found.is_none() && matches!(aim, Aim::AfterStart(_));
        Ok(logs.seen)
    }

    fn machine(&self) -> Machine {
        Machine {
            program: qemu::program(),
            flash: self.flash.to_path_buf(),
            keeps: Keeps::All,
            cpu: Cpu::Max.name(),
            options: "",
            smp: CORES,
            config: Some(self.dir.join("boot.txt")),
            counts: Counts::Time,
            disk: None,
            serial: [self.dir.join("normal.log"), self.dir.join("secure.log")],
            typed: None,
        }
    }

    /// Waits for the moment, or until the time is over or a crash is told. QEMU never ends by itself: it
    /// would be no cut.
    fn wait(
        &self,
        aim: Aim,
        started: Instant,
        running: &mut Running,
        logs: &mut Logs,
    ) -> Result<(), Stop> {
        let mut found_at = None;
        let mut base = (0, 0);
        loop {
            logs.read()?;
            if found_at.is_none() && logs.seen.found.is_some() {
                found_at = Some(Instant::now());
                base = (logs.seen.programs, logs.seen.erases);
            }
            let moment = match aim {
                Aim::AfterStart(after) => Some((started, after)),
                Aim::AfterFound(after) => found_at.map(|at| (at, after)),
                Aim::Look => found_at.map(|at| (at, Duration::ZERO)),
                Aim::InProgram(count, after) => (found_at.is_some()
                    && logs.seen.programs >= base.0 + count
                    && logs.seen.under_way.as_deref() == Some("Program"))
                .then(|| (Instant::now(), after)),
                Aim::InErase(after) => (logs.seen.erases > base.1
                    && logs.seen.under_way.as_deref() == Some("Erase"))
                .then(|| (Instant::now(), after)),
            };
            if let Some((from, after)) = moment {
                let rest = after.saturating_sub(from.elapsed());
                // What lies further ahead is waited for with the logs in sight.
                if rest <= Duration::from_millis(1) {
                    spin(rest);
                    return Ok(());
                }
            }
            let late = match found_at {
                None => started.elapsed() > BOOT,
                Some(at) => at.elapsed() > aim.patience(),
            };
            let ended = running.poll()?;
            if ended.is_some() {
                // What it said last may tell of a crash, which is judged.
                logs.read()?;
            }
            if late || logs.seen.crash.is_some() {
                return Ok(());
            }
            if let Some(status) = ended {
                let (how, dir) = (process::told(status), self.dir.display());
                let why = format!("QEMU {how} before the power was cut (logs in {dir})");
                return Err(Stop::failed(why));
            }
            if interrupt::asked() {
                return Err(Stop::interrupted());
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Waits for less than a sleep can.
fn spin(time: Duration) {
    let from = Instant::now();
    while from.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::{Seen, note_normal, note_secure};

    #[test]
    fn what_was_found_and_acknowledged_is_read_from_vm_1_only() {
        let mut seen = Seen::default();
        note_normal(&mut seen, "[vm1] FOUND counter=4 written=7 wrong=1");
        note_normal(&mut seen, "[vm1] ACK counter=5 written=8");
        note_normal(&mut seen, "[vm2] ACK counter=9 written=9");
        note_normal(&mut seen, "[vm1] ACK counter=6 writ");
        let found = seen.found.expect("found");
        assert_eq!((found.counter, found.written, found.wrong), (4, 7, 1));
        let told = seen.acknowledged.expect("acknowledged");
        assert_eq!((told.counter, told.written), (5, 8));
    }

    #[test]
    fn an_operation_without_its_end_is_under_way() {
        let mut seen = Seen::default();
        note_secure(&mut seen, "[sp] flash Program Begins at=0x2000000");
        assert_eq!(seen.under_way.as_deref(), Some("Program"));
        note_secure(&mut seen, "[sp] flash Program Ended at=0x2000000");
        assert_eq!((seen.under_way.as_deref(), seen.programs), (None, 1));
        note_secure(&mut seen, "[sp] flash Erase Begins at=0x2000000");
        note_secure(&mut seen, "[sp] ready id=0x8001");
        assert_eq!((seen.under_way.as_deref(), seen.erases), (Some("Erase"), 1));
    }
}
