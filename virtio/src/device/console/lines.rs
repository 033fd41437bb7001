//! Owns two small terminals to build others from: one that makes safe lines of a driver's bytes,
//! one that sends them back. Never prints by itself.

use super::Terminal;

/// Collects a driver's bytes into lines for a log that others read. Bytes that are no printable
/// ASCII become dots, so that no driver can write escape sequences, or a line that looks like
/// somebody else's. A line longer than `BYTES` is cut in pieces.
#[derive(Debug)]
pub struct LineBuffer<const BYTES: usize> {
    line: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> LineBuffer<BYTES> {
    /// Makes an empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { line: [0; BYTES], len: 0 }
    }

    /// Takes bytes, and calls `print` for each line that they end, without its end.
    pub fn write(&mut self, bytes: &[u8], mut print: impl FnMut(&str)) {
        for byte in bytes {
            let visible = match byte {
                b'\r' => continue,
                b'\n' => {
                    self.flush(&mut print);
                    continue;
                }
                b' '..=b'~' => *byte,
                _ => b'.',
            };
            if self.len >= BYTES {
                self.flush(&mut print);
            }
            if let Some(place) = self.line.get_mut(self.len) {
                *place = visible;
                self.len = self.len.saturating_add(1);
            }
        }
    }

    /// Prints what waits for the end of its line, as at a reset.
    pub fn flush(&mut self, mut print: impl FnMut(&str)) {
        let line = self.line.get(..self.len).unwrap_or(&[]);
        // ASCII is what was put in.
        print(core::str::from_utf8(line).unwrap_or(""));
        self.len = 0;
    }

    /// Reports whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const BYTES: usize> Default for LineBuffer<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends back what it gets, after handing it to another terminal. What the driver does not fetch is
/// kept up to `BYTES` bytes; the rest is not sent back.
#[derive(Debug)]
pub struct Echo<T, const BYTES: usize> {
    behind: T,
    bytes: [u8; BYTES],
    first: usize,
    len: usize,
}

impl<T: Terminal, const BYTES: usize> Echo<T, BYTES> {
    /// Puts an echo in front of a terminal.
    pub const fn new(behind: T) -> Self {
        Self { behind, bytes: [0; BYTES], first: 0, len: 0 }
    }

    /// Returns the terminal behind.
    pub const fn behind(&self) -> &T {
        &self.behind
    }
}

impl<T: Terminal, const BYTES: usize> Terminal for Echo<T, BYTES> {
    fn write(&mut self, bytes: &[u8]) {
        self.behind.write(bytes);
        for byte in bytes.iter().take(BYTES.saturating_sub(self.len)) {
            let at = self.first.wrapping_add(self.len).checked_rem(BYTES);
            if let Some(place) = at.and_then(|at| self.bytes.get_mut(at)) {
                *place = *byte;
                self.len = self.len.saturating_add(1);
            }
        }
    }

    fn has_input(&self) -> bool {
        self.len > 0
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let mut count: usize = 0;
        for place in into.iter_mut().take(self.len) {
            *place = self.bytes.get(self.first).copied().unwrap_or(0);
            self.first = self.first.wrapping_add(1).checked_rem(BYTES).unwrap_or(0);
            count = count.saturating_add(1);
        }
        self.len = self.len.saturating_sub(count);
        count
    }
}
