//! Owns how a VM's console bytes become whole lines; never prints by itself.

/// Longest line; a longer one is broken.
pub const LINE_BYTES: usize = 512;

/// Collects one VM's bytes until a line is whole.
///
/// Only printable ASCII leaves it, so a VM can neither begin a line of its own choice in the
/// middle of one, nor move the terminal's cursor: no VM can forge another's line.
#[derive(Clone, Debug)]
pub struct LineBuffer {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl LineBuffer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; LINE_BYTES], len: 0 }
    }

    /// Takes bytes and hands each line that they complete to `emit`.
    pub fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => self.flush_with(&mut emit),
                b'\r' | 0 => {}
                other => {
                    let printable = (b' '..=b'~').contains(other);
                    if self.len == LINE_BYTES {
                        self.flush_with(&mut emit);
                    }
                    self.bytes[self.len] = if printable { *other } else { b'?' };
                    self.len += 1;
                }
            }
        }
    }

    /// Hands out what is left of an unfinished line (the VM is gone).
    pub fn finish(&mut self, mut emit: impl FnMut(&str)) {
        if self.len > 0 {
            self.flush_with(&mut emit);
        }
    }

    fn flush_with(&mut self, emit: &mut impl FnMut(&str)) {
        // Every byte stored is ASCII, so the text is always valid.
        emit(core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default());
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pushes: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut buffer = LineBuffer::new();
        for bytes in pushes {
            buffer.push(bytes, |line| out.push(line.to_owned()));
        }
        out
    }

    #[test]
    fn only_whole_lines_are_printed() {
        assert_eq!(lines(&[b"one\ntw", b"o\r\nthree"]), ["one", "two"]);
        assert_eq!(lines(&[b"\n\n"]), ["", ""]);
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(lines(&[b"a\r[mon] RESULT\x1b[2K\x08\xff\n"]), ["a[mon] RESULT?[2K??"]);
    }

    #[test]
    fn a_long_line_is_broken_and_never_lost() {
        let long = [b'x'; LINE_BYTES + 3];
        let out = lines(&[&long, b"\n"]);
        assert_eq!(out.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES, 3]);
    }

    #[test]
    fn the_rest_of_a_dead_vms_line_is_printed_once() {
        let mut out = Vec::new();
        let mut buffer = LineBuffer::new();
        buffer.push(b"half", |_| unreachable!());
        buffer.finish(|line| out.push(line.to_owned()));
        buffer.finish(|line| out.push(line.to_owned()));
        assert_eq!(out, ["half"]);
    }
}
