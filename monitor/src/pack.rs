//! Owns the format of the guest pack: bytes in, checked slices out. Never copies an image.

/// Bytes in the pack's header: magic, count (le32), 20 zero bytes.
const HEADER_BYTES: usize = 32;
/// Bytes in an entry: offset, length, name.
const ENTRY_BYTES: usize = 32;
/// Bytes in the name of an entry.
const NAME_BYTES: usize = 16;
/// Most images in a pack.
const MAX_IMAGES: usize = 16;
/// What a pack begins with.
const MAGIC: &[u8; 8] = b"CWPACK01";

/// A guest pack whose header was checked.
#[derive(Clone, Copy, Debug)]
pub struct Pack<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// Which rule a pack broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackError {
    /// No magic: no pack was appended.
    NoMagic,
    /// The header or the entries do not fit, or reserved bits are set.
    BadHeader,
    /// No image has this name.
    NoSuchImage,
    /// The image is empty, unaligned, or does not lie inside the pack.
    BadImage,
}

fn word(bytes: &[u8], offset: usize) -> Option<u64> {
    let slice = bytes.get(offset..offset.checked_add(8)?)?;
    slice.try_into().ok().map(u64::from_le_bytes)
}

impl<'a> Pack<'a> {
    /// Checks the header. Source of the format: docs/monitor.md, "The guest pack".
    ///
    /// # Errors
    /// [`PackError::NoMagic`], [`PackError::BadHeader`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PackError> {
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(PackError::NoMagic);
        }
        let counts = word(bytes, MAGIC.len()).ok_or(PackError::BadHeader)?;
        let count = usize::try_from(counts).map_err(|_| PackError::BadHeader)?;
        let whole = count <= MAX_IMAGES && bytes.len() >= HEADER_BYTES + count * ENTRY_BYTES;
        if whole { Ok(Self { bytes, count }) } else { Err(PackError::BadHeader) }
    }

    /// Returns the image with this name.
    ///
    /// # Errors
    /// [`PackError::NoSuchImage`], [`PackError::BadImage`].
    pub fn image(&self, name: &str) -> Result<&'a [u8], PackError> {
        let mut padded = [0_u8; NAME_BYTES];
        padded
            .get_mut(..name.len())
            .ok_or(PackError::NoSuchImage)?
            .copy_from_slice(name.as_bytes());
        let base = (0..self.count)
            .map(|index| HEADER_BYTES + index * ENTRY_BYTES)
            .find(|base| self.bytes.get(base + 16..base + ENTRY_BYTES) == Some(&padded))
            .ok_or(PackError::NoSuchImage)?;
        let field = |offset| {
            word(self.bytes, base + offset)
                .and_then(|value| usize::try_from(value).ok())
                .ok_or(PackError::BadImage)
        };
        let (start, len) = (field(0)?, field(8)?);
        let end = start.checked_add(len).ok_or(PackError::BadImage)?;
        if len == 0 || !start.is_multiple_of(4096) {
            return Err(PackError::BadImage);
        }
        self.bytes.get(start..end).ok_or(PackError::BadImage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(entries: &[(u64, u64, &str)]) -> Vec<u8> {
        let mut bytes = b"CWPACK01".to_vec();
        bytes.extend((entries.len() as u64).to_le_bytes());
        bytes.extend([0; 16]);
        for (offset, len, name) in entries {
            bytes.extend(offset.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            let mut field = [0; NAME_BYTES];
            field[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(field);
        }
        bytes.resize(3 * 4096, 0xaa);
        bytes
    }

    #[test]
    fn images_are_found_by_name() {
        let bytes = pack(&[(4096, 100, "frontend"), (8192, 4096, "backend")]);
        let pack = Pack::parse(&bytes).unwrap();
        assert_eq!(pack.image("frontend").unwrap().len(), 100);
        assert_eq!(pack.image("backend").unwrap().len(), 4096);
        assert_eq!(pack.image("front"), Err(PackError::NoSuchImage));
        assert_eq!(pack.image("a name that is too long"), Err(PackError::NoSuchImage));
    }

    #[test]
    fn images_outside_the_pack_are_refused() {
        for (offset, len) in [(8192, 4097), (!4095, 4096), (100, 4), (4096, 0)] {
            let bytes = pack(&[(offset, len, "x")]);
            assert_eq!(Pack::parse(&bytes).unwrap().image("x"), Err(PackError::BadImage));
        }
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused() {
        assert_eq!(Pack::parse(&[0; 64]).err(), Some(PackError::NoMagic));
        assert_eq!(Pack::parse(b"CWPACK01").err(), Some(PackError::BadHeader));
        let mut bytes = pack(&[]);
        bytes[8..16].copy_from_slice(&17_u64.to_le_bytes());
        assert_eq!(Pack::parse(&bytes).err(), Some(PackError::BadHeader));
        bytes[8..16].copy_from_slice(&(1_u64 << 32).to_le_bytes());
        assert_eq!(Pack::parse(&bytes).err(), Some(PackError::BadHeader));
    }
}
