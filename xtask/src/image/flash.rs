//! Owns the layout of the flash image. Never reads or writes files.

/// One bank of flash on QEMU's virt board, and so what `-bios` and pflash take.
const FLASH_BYTES: usize = 64 << 20;
/// Where TF-A's plat/qemu looks for the package.
const FIP_OFFSET: usize = 256 << 10;

/// bl1 at the start, the package at 256 KiB, 0xFF (erased flash) elsewhere.
pub(crate) fn assemble(bl1: &[u8], fip: &[u8]) -> Result<Vec<u8>, String> {
    let mut flash = vec![0xff; FLASH_BYTES];
    place(&mut flash, 0, FIP_OFFSET, bl1).ok_or("bl1.bin does not fit below 256 KiB")?;
    place(&mut flash, FIP_OFFSET, FLASH_BYTES, fip).ok_or("fip.bin does not fit into 64 MiB")?;
    Ok(flash)
}

fn place(flash: &mut [u8], start: usize, end: usize, bytes: &[u8]) -> Option<()> {
    flash.get_mut(start..end)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{FIP_OFFSET, FLASH_BYTES, assemble};

    #[test]
    fn parts_stand_at_their_places_and_the_rest_is_erased_flash() {
        let flash = assemble(&[1; 100], &[2; 200]).expect("fits");
        assert_eq!(flash.len(), FLASH_BYTES);
        assert_eq!((flash[0], flash[99], flash[100]), (1, 1, 0xff));
        assert_eq!(flash[FIP_OFFSET - 1], 0xff);
        assert_eq!((flash[FIP_OFFSET], flash[FIP_OFFSET + 199]), (2, 2));
        assert!(flash[FIP_OFFSET + 200..].iter().all(|byte| *byte == 0xff));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(assemble(&vec![0; FIP_OFFSET + 1], &[]).is_err());
        assert!(assemble(&[], &vec![0; FLASH_BYTES - FIP_OFFSET + 1]).is_err());
    }
}
