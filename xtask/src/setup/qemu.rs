//! Owns which QEMU is used, the one on the PATH before a private one, and its check. Never installs
//! one: `packages` does where there is none.

use super::private_qemu;
use crate::outcome::{Exit, Stop};
use crate::{paths, process};
use std::time::Duration;

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-aarch64";
const OLDEST: (u32, u32) = (7, 2);
const HOW: &str = "apt-get install --no-install-recommends qemu-system-arm, or put the folder of a \
                   newer qemu-system-aarch64 first in PATH";

/// What to start: the name, where PATH leads to it, else the private one's path.
pub(crate) fn program() -> String {
    match (paths::on_path(PROGRAM), private_qemu::program()) {
        (None, Some(own)) => own.display().to_string(),
        (Some(_), _) | (None, None) => PROGRAM.to_owned(),
    }
}

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    paths::on_path(PROGRAM).is_some() || private_qemu::program().is_some()
}

/// The version line of a QEMU that is new enough.
pub(crate) fn check() -> Result<String, Stop> {
    check_for(OLDEST)
}

/// The version line of a QEMU that is at least this new.
pub(crate) fn check_for((least_major, least_minor): (u32, u32)) -> Result<String, Stop> {
    let limit = Duration::from_secs(10);
    let answer = match process::ask(&program(), &["--version"], limit) {
        Ok(answer) => answer,
        Err(stop) if stop.exit == Exit::TimedOut => {
            return Err(Stop::timed_out(format!(
                "{PROGRAM} --version did not answer within {} s: this QEMU hangs",
                limit.as_secs()
            ))
            .mend(HOW));
        }
        Err(stop) => return Err(stop.mend(HOW)),
    };
    let line = answer.all.lines().next().unwrap_or_default().to_owned();
    if !answer.ok {
        return Err(Stop::missing(format!("{PROGRAM} --version failed: {line}")).mend(HOW));
    }
    match version(&line) {
        Some(found) if found >= (least_major, least_minor) => Ok(line),
        Some((major, minor)) => Err(Stop::missing(format!(
            "QEMU {major}.{minor} is too old: {least_major}.{least_minor} or newer is needed"
        ))
        .mend(HOW)),
        None => {
            Err(Stop::missing(format!("{PROGRAM} --version says nothing known: {line}")).mend(HOW))
        }
    }
}

/// Major and minor of `QEMU emulator version 7.2.22 (Debian ...)`.
fn version(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("version ")?;
    let mut parts = rest.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn version_lines_of_debian_and_of_a_release_are_read() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)";
        assert_eq!(version(debian), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(version("QEMU emulator version 6.2.0"), Some((6, 2)));
    }

    #[test]
    fn other_text_is_no_version() {
        for text in ["", "hello", "version x.y", "QEMU emulator version 7"] {
            assert_eq!(version(text), None, "{text}");
        }
    }
}
