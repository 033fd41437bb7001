//! Owns the file behind the secure flash of one run: a copy of the flash image, provisioned as a factory
//! would do it. Never touches the image itself.

use crate::outcome::{Stop, files};
use causeway_vault::provision;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Where the record lies: sp/src/arch/flash.rs.
const RECORD_AT: u64 = 0x01fc_0000;

/// Whether the partition's log tells of each program and erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    /// It does: for power cuts.
    Yes,
    /// It does not.
    No,
}

/// Makes the file: the firmware, a record with a new hardware-unique key, and an erased store.
pub(crate) fn make(image: &Path, file: &Path, tells: Tells) -> Result<(), Stop> {
    std::fs::copy(image, file).map_err(|e| Stop::file("copy", image, &e))?;
    let mut key = [0; 32];
    let random = Path::new("/dev/urandom");
    let read = File::open(random).and_then(|mut source| source.read_exact(&mut key));
    read.map_err(|e| Stop::file("read", random, &e))?;
    let record = provision::record(&key, tells == Tells::Yes);
    let written = File::options().write(true).open(file).and_then(|mut flash| {
        flash.seek(SeekFrom::Start(RECORD_AT))?;
        flash.write_all(&record)
    });
    written.map_err(|e| Stop::file("write", file, &e))
}

/// Removes a file of 64 MiB that nobody needs any more.
pub(crate) fn remove(file: &Path) -> Result<(), Stop> {
    files::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::{RECORD_AT, Tells, make};
    use causeway_vault::provision::{RECORD, read};

    #[test]
    fn two_files_have_two_keys_and_the_image_around_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let image = dir.path().join("flash.bin");
        std::fs::write(&image, vec![0xff; 0x0200_0000]).expect("written");
        let made = [("a", Tells::No), ("b", Tells::Yes)].map(|(name, tells)| {
            let file = dir.path().join(name);
            make(&image, &file, tells).expect("made");
            std::fs::read(&file).expect("read")
        });
        let at = usize::try_from(RECORD_AT).expect("small");
        assert_eq!((made[0].len(), made[0][at - 1], made[0][at + 80]), (0x0200_0000, 0xff, 0xff));
        let tells = made.each_ref().map(|flash| {
            let record = flash[at..].first_chunk::<RECORD>().expect("a record");
            read(record).map(|found| found.tells)
        });
        assert_eq!(tells, [Some(false), Some(true)]);
        assert_ne!(made[0][at + 16..at + 48], made[1][at + 16..at + 48]);
    }
}
