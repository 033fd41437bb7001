//! Owns the programs this tool starts: each in its own process group, with a log file, a time
//! limit and an orderly end. Never leaves one behind, and never ends one that it did not start.

use crate::outcome::{Stop, files};
use crate::tail::Tail;
use crate::{interrupt, paths, say, space};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_secs(2);
const TAIL_LINES: usize = 25;

/// One program with its arguments; stdout and stderr go to files.
pub(crate) struct Step {
    what: String,
    command: Command,
    program: String,
    log: PathBuf,
    stdout: Option<PathBuf>,
    limit: Duration,
}

impl Step {
    /// `what` is said in messages ("build the partition"); output goes to `log`.
    pub(crate) fn new(what: &str, program: impl AsRef<OsStr>, log: &Path) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).process_group(0);
        Self {
            what: what.to_owned(),
            command,
            program: program.to_string_lossy().into_owned(),
            log: log.to_path_buf(),
            stdout: None,
            limit: Duration::from_secs(900),
        }
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends stdout to a file of its own; without this it is in the log.
    pub(crate) fn stdout_to(mut self, file: &Path) -> Self {
        self.stdout = Some(file.to_path_buf());
        self
    }

    /// Starts the program and hands back the running child.
    pub(crate) fn start(mut self) -> Result<Running, Stop> {
        if let Some(dir) = self.log.parent() {
            files::make_dir(dir)?;
        }
        let open = |path: &Path| File::create(path).map_err(|e| Stop::file("write", path, &e));
        let log = open(&self.log)?;
        let stdout = match &self.stdout {
            Some(path) => open(path)?,
            None => log.try_clone().map_err(|e| Stop::file("write", &self.log, &e))?,
        };
        self.command.stdout(stdout).stderr(log);
        let child = self.command.spawn().map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                Stop::missing(format!("{} is not installed (not on the PATH)", self.program))
            } else {
                Stop::failed(format!("cannot start {}: {e}", self.program))
            }
        })?;
        Ok(Running { child: Some(child), what: self.what, deadline: Instant::now() + self.limit })
    }

    /// Runs to the end; the status may be a failure.
    pub(crate) fn status(self) -> Result<ExitStatus, Stop> {
        self.watch(&mut |_| ())
    }

    /// Runs to the end; each line of the log is shown to `on_line` as it comes.
    pub(crate) fn watch(self, on_line: &mut dyn FnMut(&str)) -> Result<ExitStatus, Stop> {
        let limit = self.limit;
        let log = self.log.clone();
        let mut tail = Tail::of(&log);
        let mut running = self.start()?;
        loop {
            let ended = running.poll()?;
            tail.read(on_line)?;
            if let Some(status) = ended {
                tail.close(on_line);
                return Ok(status);
            }
            if interrupt::asked() {
                return Err(Stop::interrupted());
            }
            if running.late() {
                return Err(Stop::timed_out(format!(
                    "{} did not end within {} s (log: {})",
                    running.what,
                    limit.as_secs(),
                    log.display()
                )));
            }
            thread::sleep(POLL);
        }
    }

    /// Runs to the end; a failure shows the end of the log.
    pub(crate) fn run(self) -> Result<(), Stop> {
        let log = self.log.clone();
        let what = self.what.clone();
        let status = self.status()?;
        if status.success() {
            return Ok(());
        }
        show_tail(&log);
        Err(Stop::failed(format!("{what}: {} (log: {})", why(status, &log), log.display())))
    }
}

/// A started program; dropping it ends it and everything in its process group.
pub(crate) struct Running {
    child: Option<Child>,
    what: String,
    deadline: Instant,
}

impl Running {
    /// The status once it has ended.
    pub(crate) fn poll(&mut self) -> Result<Option<ExitStatus>, Stop> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child
            .try_wait()
            .map_err(|e| Stop::failed(format!("cannot wait for {}: {e}", self.what)))?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Its process id; 0 once it has ended.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Ends it at once, as a power cut would: SIGKILL to this child and nobody else.
    pub(crate) fn cut(mut self) -> Result<(), Stop> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let ended = child.kill().and_then(|()| child.wait());
        ended.map(drop).map_err(|e| Stop::failed(format!("cannot kill {}: {e}", self.what)))
    }

    /// Whether its time is over.
    pub(crate) fn late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The group's id is the child's: it is not reaped yet, so the id cannot be another's.
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map_or(Ok(()), |group| kill_process_group(group, signal));
        let asked = Instant::now();
        let mut ended = signal(Signal::TERM).is_err();
        while !ended && asked.elapsed() < GRACE {
            ended = matches!(child.try_wait(), Ok(Some(_)));
            thread::sleep(POLL);
        }
        if !ended && (signal(Signal::KILL).is_err() || child.kill().is_err()) {
            say::note(&format!("xtask: could not end {} (pid {})", self.what, child.id()));
        }
        drop(child.wait());
    }
}

/// What a short question to a program answered, or `None` if it cannot be started.
pub(crate) struct Answer {
    /// Whether it ended well.
    pub(crate) ok: bool,
    /// Its stdout.
    pub(crate) stdout: String,
    /// Its stdout and stderr.
    pub(crate) all: String,
}

/// Asks a program something that it answers within `limit`.
pub(crate) fn ask(program: &str, args: &[&str], limit: Duration) -> Result<Answer, Stop> {
    let dir = paths::target().join("ask");
    files::make_dir(&dir)?;
    let name = format!(
        "{}-{}-{:?}",
        program.rsplit('/').next().unwrap_or("x"),
        std::process::id(),
        thread::current().id()
    );
    let log = dir.join(format!("{name}.err"));
    let out = dir.join(format!("{name}.out"));
    let status = Step::new(&format!("{program} {}", args.join(" ")), program, &log)
        .args(args)
        .stdout_to(&out)
        .limit(limit)
        .dir(&paths::root())
        .status();
    let text = |path: &Path| {
        fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    };
    let stdout = text(&out);
    let all = format!("{stdout}{}", text(&log));
    drop(fs::remove_file(&log));
    drop(fs::remove_file(&out));
    Ok(Answer { ok: status?.success(), stdout, all })
}

/// The last lines of a log, on stderr.
pub(crate) fn show_tail(log: &Path) {
    let Ok(bytes) = fs::read(log) else { return };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    say::note(&format!("--- the end of {}:", log.display()));
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
        say::note(&format!("  | {}", say::printable(line)));
    }
}

/// Why a program failed whose output is in `log`: a full disk, or its exit status in words.
pub(crate) fn why(status: ExitStatus, log: &Path) -> String {
    space::is_the_cause(log).unwrap_or_else(|| told(status))
}

/// An exit status in words.
pub(crate) fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
