//! Owns where things are: the workspace, target/ and what this tool keeps in it. Never writes.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace this tool was built from.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's output folder: `CARGO_TARGET_DIR` where it is set, else target/ of the workspace.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => {
            let dir = PathBuf::from(dir);
            if dir.is_absolute() { dir } else { root().join(dir) }
        }
        Some(_) | None => root().join("target"),
    }
}

/// The images of the contract: target/image/.
pub(crate) fn image() -> PathBuf {
    target().join("image")
}

/// The logs of each run: target/runs/.
pub(crate) fn runs() -> PathBuf {
    target().join("runs")
}

/// TF-A's source and build: target/tfa/.
pub(crate) fn tfa() -> PathBuf {
    target().join("tfa")
}

/// A name for a run that sorts by time and is never used twice on one machine.
pub(crate) fn stamp(what: &str) -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    format!("{}-{what}-{}", now.replace(':', "").trim_end_matches('Z'), std::process::id())
}

/// The first file of this name in the folders of PATH that may be executed.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Whether two names lead to one file.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        (_, _) => false,
    }
}
