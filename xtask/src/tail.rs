//! Owns the reading of a log file while it grows. Never keeps more of it than a bound.

use crate::outcome::Stop;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than any honest run prints; a VM that prints without end is stopped here.
const MAX_BYTES: u64 = 64 << 20;
const MAX_LINE: usize = 4096;

/// A log file and what has been read of it.
pub(crate) struct Tail {
    path: PathBuf,
    file: Option<File>,
    read: u64,
    rest: Vec<u8>,
    lines: Vec<String>,
}

impl Tail {
    /// The file need not be there yet.
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_path_buf(), file: None, read: 0, rest: Vec::new(), lines: Vec::new() }
    }

    /// Reads what is new; each whole line goes to `on_line`.
    pub(crate) fn read(&mut self, on_line: &mut dyn FnMut(&str)) -> Result<(), Stop> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut buffer = [0; 16 << 10];
        loop {
            let Some(file) = &mut self.file else { return Ok(()) };
            let got = file.read(&mut buffer).map_err(|e| Stop::file("read", &self.path, &e))?;
            if got == 0 {
                return Ok(());
            }
            self.read += u64::try_from(got).unwrap_or(u64::MAX);
            if self.read > MAX_BYTES {
                return Err(Stop::failed(format!(
                    "it printed more than {MAX_BYTES} bytes (log: {})",
                    self.path.display()
                )));
            }
            for byte in buffer.iter().take(got) {
                if *byte == b'\n' || self.rest.len() >= MAX_LINE {
                    self.end_line(on_line);
                }
                if *byte != b'\n' {
                    self.rest.push(*byte);
                }
            }
        }
    }

    /// The last line may have no end.
    pub(crate) fn close(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.rest.is_empty() {
            self.end_line(on_line);
        }
    }

    fn end_line(&mut self, on_line: &mut dyn FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.rest).trim_end_matches('\r').to_owned();
        self.rest.clear();
        on_line(&line);
        self.lines.push(line);
    }

    /// The whole lines so far.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// All lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;
    use std::io::Write;

    #[test]
    fn a_growing_file_is_read_in_whole_lines() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut tail = Tail::of(&path);
        let mut seen = Vec::new();
        tail.read(&mut |line| seen.push(line.to_owned())).expect("no file yet");
        let mut file = std::fs::File::create(&path).expect("created");
        for part in [&b"a\r\nb"[..], b"c\n\nd\xff"] {
            file.write_all(part).expect("written");
            tail.read(&mut |line| seen.push(line.to_owned())).expect("read");
        }
        assert_eq!(seen, ["a", "bc", ""]);
        tail.close(&mut |line| seen.push(line.to_owned()));
        assert_eq!(tail.into_lines(), ["a", "bc", "", "d\u{fffd}"]);
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        std::fs::write(&path, vec![b'x'; 10_000]).expect("written");
        let mut tail = Tail::of(&path);
        tail.read(&mut |_| ()).expect("read");
        tail.close(&mut |_| ());
        assert_eq!(
            tail.into_lines().iter().map(String::len).collect::<Vec<_>>(),
            [4096, 4096, 1808]
        );
    }
}
