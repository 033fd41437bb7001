//! Owns the guest pack's format, as the monitor reads it. Never reads or writes files.
//!
//! Header of 32 bytes: magic `CWPACK01`, le32 count, le32 zero, 16 bytes zero. Then per image 32
//! bytes: le64 offset from the start of the pack, le64 length, name of 16 bytes padded with NUL.
//! Images start on 4 KiB.

const MAGIC: &[u8; 8] = b"CWPACK01";
const ROW_BYTES: usize = 32;
const NAME_BYTES: usize = 16;
const ALIGN: usize = 4096;

/// One guest image.
pub(crate) struct Guest {
    /// Its name in the pack.
    pub(crate) name: String,
    /// The flat binary.
    pub(crate) image: Vec<u8>,
}

/// The pack of these guests.
pub(crate) fn write(guests: &[Guest]) -> Result<Vec<u8>, String> {
    let count = u32::try_from(guests.len()).map_err(|_| "too many guests")?;
    let mut head = Vec::new();
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&count.to_le_bytes());
    head.resize(ROW_BYTES, 0);
    let mut offset = (ROW_BYTES * (guests.len() + 1)).next_multiple_of(ALIGN);
    let mut body = Vec::new();
    for guest in guests {
        let name = guest.name.as_bytes();
        if name.is_empty() || name.len() >= NAME_BYTES || !name.is_ascii() {
            return Err(format!("{:?} is no name of 1 to 15 ASCII characters", guest.name));
        }
        if guest.image.is_empty() {
            return Err(format!("the image of {} is empty", guest.name));
        }
        for number in [offset, guest.image.len()] {
            let number = u64::try_from(number).map_err(|_| "the pack is too big")?;
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(name);
        head.resize(head.len().next_multiple_of(ROW_BYTES), 0);
        body.extend_from_slice(&guest.image);
        body.resize(body.len().next_multiple_of(ALIGN), 0);
        offset += guest.image.len().next_multiple_of(ALIGN);
    }
    head.resize(head.len().next_multiple_of(ALIGN), 0);
    head.extend_from_slice(&body);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::{Guest, write};

    fn guest(name: &str, image: Vec<u8>) -> Guest {
        Guest { name: name.into(), image }
    }

    fn le64(bytes: &[u8], at: usize) -> usize {
        let word: [u8; 8] = bytes[at..at + 8].try_into().expect("8 bytes");
        usize::try_from(u64::from_le_bytes(word)).expect("small")
    }

    #[test]
    fn a_pack_has_the_layout_that_the_monitor_reads() {
        let names = ["frontend", "backend", "hostile"];
        let images = [vec![1; 5000], vec![2; 4096], vec![3; 1]];
        let guests: Vec<Guest> =
            names.iter().zip(&images).map(|(n, i)| guest(n, i.clone())).collect();
        let pack = write(&guests).expect("written");
        assert_eq!(&pack[..16], b"CWPACK01\x03\0\0\0\0\0\0\0");
        assert!(pack[16..32].iter().all(|byte| *byte == 0));
        let mut offsets = Vec::new();
        for (index, (name, image)) in names.iter().zip(&images).enumerate() {
            let row = 32 * (index + 1);
            let (offset, len) = (le64(&pack, row), le64(&pack, row + 8));
            assert_eq!((offset % 4096, len), (0, image.len()));
            assert_eq!(&pack[offset..offset + len], &image[..]);
            let mut padded = name.as_bytes().to_vec();
            padded.resize(16, 0);
            assert_eq!(&pack[row + 16..row + 32], &padded[..]);
            offsets.push(offset);
        }
        assert_eq!(offsets, [0x1000, 0x3000, 0x4000]);
        assert_eq!(pack.len(), 0x5000);
    }

    #[test]
    fn bad_names_and_empty_images_are_refused() {
        for name in ["", "a-name-of-16-char", "caf\u{e9}"] {
            assert!(write(&[guest(name, vec![1])]).is_err(), "{name}");
        }
        assert!(write(&[guest("frontend", vec![])]).is_err());
    }
}
