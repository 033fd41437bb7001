//! Owns the disk image of a run: the checks of a user's file, its digest, the built-in one. Never
//! writes to a user's file.

use crate::outcome::{Stop, files};
use crate::text::hex;
use crate::{interrupt, paths};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The size of the built-in image.
pub(crate) const BUILT_IN_BYTES: u64 = 16 << 20;
const SECTOR_BYTES: u64 = 512;
const MAX_BYTES: u64 = 256 << 20;
const MEND: &str = "name a regular file of 512 bytes to 256 MiB, a multiple of 512 bytes \
                    (`truncate -s %512 COPY` pads a copy)";

/// A checked disk image.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Where it is; absolute.
    pub(crate) path: PathBuf,
    /// Its length.
    pub(crate) bytes: u64,
    /// SHA-256 of its contents, in lower-case hexadecimal digits.
    pub(crate) sha256: String,
    modified: Option<SystemTime>,
}

impl Disk {
    /// Checks a file that a user names.
    pub(crate) fn open(path: &Path) -> Result<Self, Stop> {
        let shown = path.display();
        let wrong = |why: String| Stop::usage(format!("--disk {shown}: {why}")).mend(MEND);
        let mut file = File::open(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let meta = file.metadata().map_err(|e| wrong(format!("cannot be read: {e}")))?;
        if !meta.is_file() {
            return Err(wrong("is not a regular file".to_owned()));
        }
        check_length(meta.len()).map_err(&wrong)?;
        let sha256 = digest(&mut file, meta.len()).map_err(|why| match why {
            Unread::Interrupted => Stop::interrupted(),
            Unread::Why(why) => wrong(why),
        })?;
        let path = path.canonicalize().map_err(|e| wrong(format!("cannot be read: {e}")))?;
        Ok(Self { path, bytes: meta.len(), sha256, modified: meta.modified().ok() })
    }

    /// The built-in image of this size, made if it is not there.
    pub(crate) fn built_in(bytes: u64) -> Result<Self, Stop> {
        files::make_dir(&paths::image())?;
        let path = paths::image().join(format!("disk-{bytes}.img"));
        let contents = built_in_contents(bytes);
        if fs::read(&path).ok().as_deref() != Some(&contents) {
            files::write(&path, &contents)?;
        }
        Self::open(&path)
    }

    /// Whether somebody wrote to the file since it was checked.
    pub(crate) fn has_changed(&self) -> bool {
        !fs::metadata(&self.path)
            .is_ok_and(|meta| meta.len() == self.bytes && meta.modified().ok() == self.modified)
    }
}

fn check_length(bytes: u64) -> Result<(), String> {
    if bytes == 0 {
        return Err("is empty".to_owned());
    }
    if bytes > MAX_BYTES {
        return Err(format!("is {bytes} bytes; 256 MiB ({MAX_BYTES} bytes) is the limit"));
    }
    if !bytes.is_multiple_of(SECTOR_BYTES) {
        return Err(format!("is {bytes} bytes, which is no multiple of {SECTOR_BYTES}"));
    }
    Ok(())
}

enum Unread {
    Interrupted,
    Why(String),
}

fn digest(file: &mut File, bytes: u64) -> Result<String, Unread> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut read: u64 = 0;
    loop {
        if interrupt::asked() {
            return Err(Unread::Interrupted);
        }
        let got =
            file.read(&mut buffer).map_err(|e| Unread::Why(format!("cannot be read: {e}")))?;
        if got == 0 {
            break;
        }
        read += u64::try_from(got).unwrap_or(u64::MAX);
        if read > bytes {
            break;
        }
        hash.update(buffer.get(..got).unwrap_or_default());
    }
    if read != bytes {
        return Err(Unread::Why("changes while it is read".to_owned()));
    }
    Ok(hex(&hash.finalize()))
}

/// Pseudo-random contents (SplitMix64 from a fixed seed): no run of zeros or repeated block could
/// hide a request that went to the wrong place.
fn built_in_contents(bytes: u64) -> Vec<u8> {
    let mut state: u64 = 0xca05_e3a1_0000_0001;
    let words = (0..bytes.div_ceil(8)).map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    let mut contents: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    contents.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    contents
}

#[cfg(test)]
mod tests {
    use super::{Disk, MAX_BYTES, built_in_contents, check_length, hex};
    use sha2::{Digest, Sha256};

    #[test]
    fn any_multiple_of_512_up_to_256_mib_is_accepted() {
        for bytes in [512, 1024, 511 * 512, MAX_BYTES - 512, MAX_BYTES] {
            assert_eq!(check_length(bytes), Ok(()), "{bytes}");
        }
    }

    #[test]
    fn empty_odd_and_huge_files_are_told_apart() {
        assert!(check_length(0).expect_err("refused").contains("empty"));
        assert!(check_length(513).expect_err("refused").contains("multiple of 512"));
        assert!(check_length(MAX_BYTES + 512).expect_err("refused").contains("256 MiB"));
    }

    #[test]
    fn what_cannot_be_used_is_wrong_usage_and_names_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in [dir.path().join("none"), dir.path().to_path_buf(), "/dev/zero".into()] {
            let stop = Disk::open(&path).expect_err("refused");
            assert_eq!(stop.exit.code(), 2);
            assert!(stop.reason.contains(&path.display().to_string()), "{stop}");
            assert!(stop.mend.is_some());
        }
    }

    #[test]
    fn the_digest_is_that_of_the_file_and_a_change_is_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("disk");
        let contents = built_in_contents(3 << 20);
        std::fs::write(&path, &contents).expect("written");
        let disk = Disk::open(&path).expect("a disk");
        assert_eq!((disk.bytes, &disk.sha256), (3 << 20, &hex(&Sha256::digest(&contents))));
        assert!(!disk.has_changed());
        std::fs::write(&path, &contents[512..]).expect("written");
        assert!(disk.has_changed());
    }

    #[test]
    fn the_built_in_contents_never_change() {
        let digest = hex(&Sha256::digest(built_in_contents(1 << 20)));
        assert_eq!(digest, "3577b79fe8717b61225cf41db81ff79a05fbf49a7f6208475edfda64d835b017");
        assert_eq!(built_in_contents(1024)[..], built_in_contents(1 << 20)[..1024]);
    }
}
