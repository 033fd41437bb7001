//! Owns the printing of lines by FFA_CONSOLE_LOG; never keeps text over a call.

use super::hvc;
use core::fmt;

/// FFA_CONSOLE_LOG, SMC64. Source: DEN0077A 1.2, 14.12; up to 48 characters in x2-x7.
const CONSOLE_LOG: u64 = 0xc400_008a;
const CHUNK: usize = 48;

/// Collects characters and sends them to the monitor, 48 at a time.
pub struct Line {
    bytes: [u8; CHUNK],
    used: usize,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; CHUNK], used: 0 }
    }

    fn flush(&mut self) {
        let mut regs = [0_u64; 8];
        regs[0] = CONSOLE_LOG;
        regs[1] = u64::try_from(self.used).unwrap_or(0);
        for (reg, word) in regs.iter_mut().skip(2).zip(self.bytes.chunks_exact(8)) {
            *reg = word.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        }
        hvc::call(regs);
        self.bytes = [0; CHUNK];
        self.used = 0;
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.used) {
                *slot = byte;
            }
            self.used += 1;
            if self.used == CHUNK {
                self.flush();
            }
        }
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.used > 0 {
            self.flush();
        }
    }
}

/// Prints one line; the line end is added.
pub fn print(text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    let printed =
        fmt::write(&mut line, text).and_then(|()| fmt::write(&mut line, format_args!("\n")));
    // `Line` never fails; a failing `Display` of ours would only cut the line short.
    debug_assert!(printed.is_ok());
}

/// Prints one line on this VM's console.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::rt::console::print(format_args!($($text)*)) };
}
