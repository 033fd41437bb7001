//! Owns the exit statuses of the command-line contract and the one error type of this tool.
//! Never prints: `say` does.

use std::fmt;
use std::process::ExitCode;

/// How a command ended; the number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done and is right.
    Passed = 0,
    /// Something ran and was wrong.
    Failed = 1,
    /// The command line or a file named on it cannot be used.
    Usage = 2,
    /// A tool, a target, a package or the network is missing.
    Missing = 3,
    /// Something did not end in its time.
    TimedOut = 4,
    /// Nothing ran.
    Skipped = 77,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Missing => 3,
            Self::TimedOut => 4,
            Self::Skipped => 77,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command stops: what is wrong, in plain words, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The exit status that goes with it.
    pub(crate) exit: Exit,
    /// What is wrong, on one line.
    pub(crate) reason: String,
    /// What to do about it; a command where there is one.
    pub(crate) mend: Option<String>,
}

impl Stop {
    /// Something ran and was wrong.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::new(Exit::Failed, reason)
    }

    /// What the user asked for cannot be.
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::new(Exit::Usage, reason)
    }

    /// Something is not there.
    pub(crate) fn missing(reason: impl Into<String>) -> Self {
        Self::new(Exit::Missing, reason)
    }

    /// Nothing ran, and nothing is wrong.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Exit::Skipped, reason)
    }

    /// Something did not end.
    pub(crate) fn timed_out(reason: impl Into<String>) -> Self {
        Self::new(Exit::TimedOut, reason)
    }

    /// The user or the system asked us to end.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// A file operation that failed, told with the file's name.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// The same with what mends it.
    #[must_use]
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into(), mend: None }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Reads, writes and copies whose errors name the file.
pub(crate) mod files {
    use super::Stop;
    use std::fs;
    use std::path::Path;

    pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Stop> {
        fs::read(path).map_err(|e| Stop::file("read", path, &e))
    }

    pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Stop> {
        fs::write(path, bytes).map_err(|e| Stop::file("write", path, &e))
    }

    pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Stop> {
        fs::copy(from, to).map(|_| ()).map_err(|e| Stop::file("copy", from, &e))
    }

    pub(crate) fn make_dir(path: &Path) -> Result<(), Stop> {
        fs::create_dir_all(path).map_err(|e| Stop::file("make the folder", path, &e))
    }

    /// Removes a file.
    pub(crate) fn remove_file(path: &Path) -> Result<(), Stop> {
        fs::remove_file(path).map_err(|e| Stop::file("remove", path, &e))
    }

    pub(crate) fn remove_dir(path: &Path) -> Result<(), Stop> {
        match fs::remove_dir_all(path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Stop::file("remove the folder", path, &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn exit_statuses_are_those_of_the_contract() {
        let all = [
            (Exit::Passed, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Missing, 3),
            (Exit::TimedOut, 4),
            (Exit::Skipped, 77),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in all {
            assert_eq!(exit.code(), code);
        }
    }
}
