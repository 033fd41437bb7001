//! Owns the lines that xtask reads: TEST and END; never decides what a test is.

use crate::jobs::TestName;
use crate::say;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

static FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a test's line. `why` is evaluated by `Debug`-free text; blanks become underscores.
pub fn test(name: TestName, outcome: Result<(), fmt::Arguments<'_>>) {
    match outcome {
        Ok(()) => say!("TEST name={} result=pass", name.get()),
        Err(why) => {
            FAILED.store(true, Ordering::Relaxed);
            say!("TEST name={} result=fail why={}", name.get(), Joined(why));
        }
    }
}

/// Prints a hostile case's line, with who refused it.
pub fn case(name: &str, pass: bool, met: impl fmt::Display, why: fmt::Arguments<'_>) {
    if pass {
        say!("TEST name={name} result=pass {met}");
    } else {
        FAILED.store(true, Ordering::Relaxed);
        say!("TEST name={name} result=fail why={} {met}", Joined(why));
    }
}

/// Makes the END line say `fail`.
pub fn fail() {
    FAILED.store(true, Ordering::Relaxed);
}

/// Prints the END line; call it once, last.
pub fn end() {
    say!("END status={}", if FAILED.load(Ordering::Relaxed) { "fail" } else { "ok" });
}

/// Text without blanks, for a value in a `key=value` line.
struct Joined<'a>(fmt::Arguments<'a>);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct NoBlanks<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for NoBlanks<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars()
                    .try_for_each(|c| self.0.write_char(if c.is_whitespace() { '_' } else { c }))
            }
        }
        use fmt::Write as _;
        NoBlanks(f).write_fmt(self.0)
    }
}

/// Bytes as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Prints one test: `check!("name", condition)` or with what was met as a format string.
#[macro_export]
macro_rules! check {
    ($name:literal, $condition:expr) => {
        $crate::check!($name, $condition, "{}", stringify!($condition))
    };
    ($name:literal, $condition:expr, $($why:tt)+) => {{
        const NAME: $crate::jobs::TestName = $crate::jobs::TestName::of($name);
        let outcome = if $condition { Ok(()) } else { Err(format_args!($($why)+)) };
        $crate::report::test(NAME, outcome)
    }};
}
