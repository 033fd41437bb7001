//! Owns the tests of `cargo xtask run` itself on the real machine: it leaves no QEMU behind, and it
//! ends one that hangs. Never judges what the machine does.

use super::tally::Tally;
use super::{Context, log_name};
use crate::outcome::{Stop, files};
use crate::process::{Running, Step};
use crate::setup::qemu;
use crate::{interrupt, paths};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(10);

pub(super) fn run(context: &Context<'_>, tally: &mut Tally) -> Result<(), Stop> {
    type Test = (&'static str, fn(&Bench<'_>) -> Result<(), Stop>);
    let tests: [Test; 4] = [
        ("ctrl_c_ends_qemu_with_status_130", |b| ends(b, Signal::INT, Some(130))),
        ("terminate_ends_qemu_with_status_130", |b| ends(b, Signal::TERM, Some(130))),
        ("qemu_does_not_outlive_a_killed_xtask", |b| ends(b, Signal::KILL, None)),
        ("a_hanging_qemu_is_ended_with_status_4", hangs),
    ];
    for (name, test) in tests {
        let full = format!("qemu::run_command::{name}");
        if context.filter.is_some_and(|text| !full.contains(text)) {
            continue;
        }
        interrupt::check()?;
        let dir = context.dir.join(name);
        let log = log_name(&dir, "xtask");
        let bench = Bench { context, target: paths::target(), dir: &dir, log: &log };
        match files::make_dir(&dir).and_then(|()| test(&bench)) {
            Ok(()) => tally.passed(&full),
            Err(stop) => tally.failed(&full, &stop.reason, Some(&log)),
        }
    }
    interrupt::check()
}

struct Bench<'a> {
    context: &'a Context<'a>,
    target: PathBuf,
    dir: &'a Path,
    log: &'a Path,
}

impl Bench<'_> {
    fn json(&self) -> PathBuf {
        self.dir.join("out.json")
    }

    fn xtask(&self) -> Step {
        Step::new("cargo xtask run", self.context.program, self.log)
            .args(["run", "--timeout", "100", "--json"])
            .args([self.json()])
            .dir(&paths::root())
            .limit(LIMIT)
    }

    /// The QEMU that an xtask of this id started, once it has printed something.
    fn qemu_of(&self, xtask: u32, running: &mut Running) -> Result<String, Stop> {
        let ours = format!("-run-{xtask}");
        loop {
            let entries = fs::read_dir(self.target.join("runs")).into_iter().flatten().flatten();
            for dir in entries.map(|entry| entry.path()) {
                let prints = fs::metadata(dir.join("normal.log")).is_ok_and(|meta| meta.len() > 0);
                let is_ours = dir.to_string_lossy().ends_with(&ours);
                if let (true, true, Ok(pid)) =
                    (is_ours, prints, fs::read_to_string(dir.join("qemu.pid")))
                {
                    return Ok(pid.trim().to_owned());
                }
            }
            if let Some(status) = running.poll()? {
                return Err(Stop::failed(format!("it ended too early: {status}")));
            }
            interrupt::check()?;
            if running.late() {
                return Err(Stop::timed_out("it never started QEMU"));
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Sends a signal to a run while QEMU is at work.
fn ends(bench: &Bench<'_>, signal: Signal, code: Option<i32>) -> Result<(), Stop> {
    let mut running = bench.xtask().start()?;
    let xtask = running.pid();
    let qemu = bench.qemu_of(xtask, &mut running)?;
    let pid = i32::try_from(xtask).ok().and_then(Pid::from_raw);
    let sent = pid.map(|pid| kill_process(pid, signal));
    if !matches!(sent, Some(Ok(()))) {
        return Err(Stop::failed("the signal could not be sent"));
    }
    let status = wait(&mut running)?;
    if status.code() != code {
        return Err(Stop::failed(format!("it ended with {status}, not with {code:?}")));
    }
    let gone = Instant::now();
    while Path::new(&format!("/proc/{qemu}")).exists() {
        if gone.elapsed() > Duration::from_secs(5) {
            return Err(Stop::failed(format!("QEMU (pid {qemu}) is still there")));
        }
        std::thread::sleep(POLL);
    }
    if code.is_some() { says(bench, "interrupted") } else { Ok(()) }
}

/// A QEMU on the PATH that knows its version and then hangs.
fn hangs(bench: &Bench<'_>) -> Result<(), Stop> {
    let fake = bench.dir.join(qemu::PROGRAM);
    let version = "[ \"$1\" = --version ] && echo QEMU emulator version 9.0.0 && exit 0";
    files::write(&fake, format!("#!/bin/sh\n{version}\nexec sleep 600\n"))?;
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755))
        .map_err(|e| Stop::file("make executable", &fake, &e))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bench.dir.to_path_buf()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).map_err(|e| Stop::failed(e.to_string()))?;
    let json = bench.json();
    let status = Step::new("cargo xtask run", bench.context.program, bench.log)
        .args(["run", "--timeout", "2", "--json"])
        .args([&json])
        .dir(&paths::root())
        .env("PATH", path)
        .limit(LIMIT)
        .status()?;
    if status.code() != Some(4) {
        return Err(Stop::failed(format!("it ended with {status}, not with 4")));
    }
    says(bench, "QEMU did not end within 2 s")
}

fn wait(running: &mut Running) -> Result<std::process::ExitStatus, Stop> {
    loop {
        if let Some(status) = running.poll()? {
            return Ok(status);
        }
        interrupt::check()?;
        if running.late() {
            return Err(Stop::timed_out("it did not end after the signal"));
        }
        std::thread::sleep(POLL);
    }
}

/// The JSON file must be there and give this reason.
fn says(bench: &Bench<'_>, words: &str) -> Result<(), Stop> {
    let bytes = files::read(&bench.json())?;
    let json: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|e| Stop::failed(format!("the JSON file is no JSON: {e}")))?;
    let reason = json.get("reason").and_then(serde_json::Value::as_str).unwrap_or_default();
    let failed = json.get("pass").and_then(serde_json::Value::as_bool) == Some(false);
    if failed && reason.contains(words) {
        return Ok(());
    }
    Err(Stop::failed(format!("the JSON file gives the reason {reason:?}")))
}
