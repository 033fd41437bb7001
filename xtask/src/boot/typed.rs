//! Owns the host's way to type into the secure UART: a pipe that QEMU reads. Never decides what is typed.

use crate::outcome::Stop;
use causeway_guests::jobs::TYPE;
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The pipe's writing end, and what goes into it.
#[derive(Debug)]
pub(super) struct Keyboard {
    pipe: File,
    text: &'static str,
}

impl Keyboard {
    /// Makes `path` with `.in`, the pipe, and `.out`, which is the log. The pipe is open at both ends from
    /// here on, so that QEMU need not wait for a writer.
    pub(super) fn at(path: &Path, log: &Path, text: &'static str) -> Result<Self, Stop> {
        let failed = |why: &dyn std::fmt::Display| {
            Stop::failed(format!("a pipe at {} could not be made: {why}", path.display()))
        };
        let input = path.with_extension("in");
        mkfifoat(CWD, &input, Mode::RUSR | Mode::WUSR).map_err(|error| failed(&error))?;
        File::create(log).map_err(|error| failed(&error))?;
        symlink(log.file_name().unwrap_or_default(), path.with_extension("out"))
            .map_err(|error| failed(&error))?;
        let pipe = OpenOptions::new().read(true).write(true).open(input);
        Ok(Self { pipe: pipe.map_err(|error| failed(&error))?, text })
    }

    /// Types if VM 1 asks for it with this line. A few bytes: the pipe has room for them.
    pub(super) fn heard(&mut self, line: &str) -> Result<(), Stop> {
        if line.strip_prefix("[vm1] ").map(str::trim_end) != Some(TYPE) {
            return Ok(());
        }
        let typed = self.pipe.write_all(self.text.as_bytes());
        typed.map_err(|error| Stop::failed(format!("nothing could be typed: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::Keyboard;
    use std::io::Read;

    #[test]
    fn text_is_typed_when_vm_1_asks_and_at_no_other_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, log) = (dir.path().join("secure"), dir.path().join("secure.log"));
        let mut keyboard = Keyboard::at(&path, &log, "abc").expect("a pipe");
        for line in ["[vm2] TYPE", "[vm1] TYPE it", "TYPE", "[mon] [vm1] TYPE"] {
            keyboard.heard(line).expect("heard");
        }
        keyboard.heard("[vm1] TYPE").expect("typed");
        let mut typed = [0; 3];
        keyboard.pipe.read_exact(&mut typed).expect("in the pipe");
        assert_eq!(&typed, b"abc");
        std::fs::write(dir.path().join("secure.out"), "said").expect("written");
        assert_eq!(std::fs::read(&log).expect("a log"), b"said");
        assert!(Keyboard::at(&path, &log, "abc").is_err(), "a file is in the way");
    }
}
