//! Owns the reading of a whole disk through the front end, beside the file that it must be. Never
//! writes.

use super::front::Opened;
use std::error::Error;

/// Reads every sector and compares it. Gives the number of the last one.
pub(crate) fn read_all(
    disk: &mut Opened<'_, '_, '_>,
    expected: &[u8],
    say: &mut dyn FnMut(&str),
) -> Result<usize, Box<dyn Error>> {
    say(&format!("the front end sees {} sectors", disk.capacity()));
    for (number, sector) in expected.chunks_exact(512).enumerate() {
        if disk.read(number)? != sector {
            return Err(format!("sector {number} is not the file's").into());
        }
    }
    say("it has read every sector, and each is the file's");
    Ok(usize::try_from(disk.capacity())? - 1)
}
