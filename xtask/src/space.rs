//! Owns the question whether the disk has room: asked before long work, and when something failed.
//! Never makes room.

use crate::outcome::{Stop, files};
use crate::paths;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// With less than this even a warm build writes no link.
const FLOOR_MB: u64 = 300;
/// With less than this a failure is put down to the disk.
const FULL_MB: u64 = 32;
/// What programs say whose write found no room (ENOSPC).
const NO_SPACE: &str = "No space left on device";
/// What mends it.
pub(crate) const MEND: &str =
    "make room: `cargo xtask clean --all` and `cargo clean` remove what was built here";

/// Refuses to begin what writes `needed_mb` into an empty target/ and would not fit beside what is
/// there.
pub(crate) fn check(needed_mb: u64) -> Result<(), Stop> {
    let target = paths::target();
    files::make_dir(&target)?;
    let Some(free) = free_mb(&target) else { return Ok(()) };
    let more = needed_mb.saturating_sub(used_mb(&target)).max(FLOOR_MB);
    if free >= more {
        return Ok(());
    }
    Err(too_little(free, more, &target))
}

fn too_little(free: u64, more: u64, target: &Path) -> Stop {
    let what = format!("{free} MB are free for {}, {more} MB are needed", target.display());
    Stop::missing(format!("room on the disk: {what}")).mend(MEND)
}

/// Whether a failed program, whose output is in `log`, failed for want of room.
pub(crate) fn is_the_cause(log: &Path) -> Option<String> {
    let free = free_mb(log.parent()?)?;
    let said = fs::read(log).is_ok_and(|text| String::from_utf8_lossy(&text).contains(NO_SPACE));
    (said || free < FULL_MB).then(|| format!("no space left on the disk ({free} MB are free)"))
}

/// Megabytes that we may write to the disk of a folder; `None` where nobody tells.
fn free_mb(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize) >> 20)
}

/// Megabytes that a folder takes; what cannot be read counts as nothing.
fn used_mb(dir: &Path) -> u64 {
    let (mut bytes, mut linked) = (0_u64, HashSet::new());
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.nlink() < 2 || linked.insert(meta.ino()) {
                bytes = bytes.saturating_add(meta.blocks().saturating_mul(512));
            }
        }
    }
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::{free_mb, is_the_cause, too_little, used_mb};
    use crate::outcome::Exit;
    use std::fs;
    use std::path::Path;

    #[test]
    fn too_little_room_is_told_in_numbers_with_what_mends_it() {
        let stop = too_little(812, 3400, Path::new("t"));
        assert_eq!(stop.exit, Exit::Missing);
        assert_eq!(stop.reason, "room on the disk: 812 MB are free for t, 3400 MB are needed");
        assert!(stop.mend.is_some_and(|mend| mend.contains("cargo xtask clean")));
    }

    #[test]
    fn a_log_that_speaks_of_a_full_disk_is_the_cause() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        fs::write(&log, "error: linking failed\n").expect("written");
        assert_eq!(is_the_cause(&log), None);
        fs::write(&log, "ld: final link failed: No space left on device\n").expect("written");
        let told = is_the_cause(&log).expect("told");
        assert!(told.starts_with("no space left on the disk ("), "{told}");
    }

    #[test]
    fn a_linked_file_is_counted_once_and_folders_are_walked() {
        let dir = tempfile::tempdir().expect("a folder");
        let deep = dir.path().join("a/b");
        fs::create_dir_all(&deep).expect("made");
        let file = deep.join("file");
        fs::write(&file, vec![1; 3 << 20]).expect("written");
        fs::hard_link(&file, dir.path().join("again")).expect("linked");
        assert_eq!(used_mb(dir.path()), 3);
        assert!(free_mb(dir.path()).is_some());
        assert_eq!(used_mb(&dir.path().join("none")), 0);
    }
}
