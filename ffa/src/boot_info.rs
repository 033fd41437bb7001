//! Owns the boot information blob that an SPMC leaves for a partition; never maps or trusts it.
//!
//! A 32-byte header, then descriptors of 32 bytes, then what they point to. Source: DEN0077A 1.1,
//! tables 5.8 (descriptor) and 5.9 (header).
//!
//! ```
//! use causeway_ffa::boot_info::{BootInfo, BootInfoError, Contents, Item, Kind, Name, blob_len};
//!
//! // A header (signature, version, bytes in all, bytes of a descriptor, their number, where they begin), one
//! // descriptor, and the eight bytes that it names.
//! const BASE: u64 = 0x0e10_0000;
//! let mut blob: Vec<u8> = [0x0ffa_u32, 0x1_0001, 72, 32, 1, 32, 0, 0].iter().flat_map(|w| w.to_le_bytes()).collect();
//! blob.extend(b"FF-A manifest\0\0\0");
//! blob.extend([0, 0, 0, 0, 8, 0, 0, 0]);
//! blob.extend((BASE + 64).to_le_bytes());
//! blob.extend(*b"manifest");
//!
//! assert_eq!(blob_len(&blob), Ok(72));
//! let info = BootInfo::parse(&blob, BASE)?;
//! assert_eq!(info.manifest(), Some(&b"manifest"[..]));
//! let contents = Contents::Bytes(b"manifest");
//! let item = Item { name: Name::Text(b"FF-A manifest"), kind: Kind::Fdt, contents };
//! assert!(info.items().eq([item]));
//! assert_eq!(BootInfo::parse(&blob[..40], BASE).err(), Some(BootInfoError::Truncated));
//! # Ok::<(), BootInfoError>(())
//! ```

use crate::Version;
use crate::bytes::{array, le16, le32, le64, size};

/// Bytes of the header.
pub const HEADER_LEN: usize = 32;
/// Bytes of a descriptor.
const DESCRIPTOR_LEN: usize = 32;
/// The first word of the header.
const SIGNATURE: u32 = 0x0ffa;
/// Descriptors in one blob; the EL3 SPMC writes one.
const MAX_DESCRIPTORS: usize = 64;

/// The rule that a blob broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BootInfoError {
    /// It ends before its header, or before what the header announces.
    Truncated,
    /// It does not begin with 0x0ffa.
    Signature,
    /// A version that is not 1.x with x > 0.
    Version,
    /// The descriptors' offset or size makes no sense.
    Layout,
    /// A reserved field is set.
    Reserved,
    /// A format or a size of a descriptor has no meaning.
    Descriptor,
    /// What a descriptor points to is not in the blob.
    Outside,
}

/// What a descriptor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Flattened device tree: the partition's manifest.
    Fdt,
    /// Hand-off block list.
    Hob,
    /// Another standard type.
    Standard(u8),
    /// Implementation defined.
    ImplementationDefined(u8),
}

/// What a descriptor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents<'a> {
    /// Bytes in the blob.
    Bytes(&'a [u8]),
    /// A value of 1 to 8 bytes.
    Value(u64),
}

/// How a descriptor is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// Text, up to its NUL.
    Text(&'a [u8]),
    /// A UUID.
    Uuid(crate::Uuid),
}

/// One descriptor, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// What it is about.
    pub kind: Kind,
    /// What it holds.
    pub contents: Contents<'a>,
}

/// A checked blob.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo<'a> {
    blob: &'a [u8],
    address: u64,
    descriptors: &'a [u8],
    stride: usize,
}

/// Reads the size of the whole blob from its first [`HEADER_LEN`] bytes, so that a partition knows
/// how much to copy. The caller bounds it by what it has mapped.
///
/// # Errors
/// [`BootInfoError::Truncated`], [`BootInfoError::Signature`].
pub fn blob_len(header: &[u8]) -> Result<usize, BootInfoError> {
    let signature = le32(header, 0).ok_or(BootInfoError::Truncated)?;
    if signature != SIGNATURE {
        return Err(BootInfoError::Signature);
    }
    le32(header, 8).map(size).ok_or(BootInfoError::Truncated)
}

impl<'a> BootInfo<'a> {
    /// Reads a blob that lies at `address` in the producer's view: contents are named by absolute
    /// addresses. Every descriptor is checked.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn parse(bytes: &'a [u8], address: u64) -> Result<Self, BootInfoError> {
        let truncated = BootInfoError::Truncated;
        let blob = bytes.get(..blob_len(bytes)?).ok_or(truncated)?;
        let header = blob.get(..HEADER_LEN).ok_or(truncated)?;
        let version = le32(header, 4).and_then(Version::from_raw);
        if !version.is_some_and(|version| version.major() == 1 && version.minor() > 0) {
            return Err(BootInfoError::Version);
        }
        let stride = size(le32(header, 12).ok_or(truncated)?);
        let count = size(le32(header, 16).ok_or(truncated)?);
        let offset = size(le32(header, 20).ok_or(truncated)?);
        if le64(header, 24) != Some(0) {
            return Err(BootInfoError::Reserved);
        }
        let aligned = offset.is_multiple_of(8) && stride.is_multiple_of(8);
        if offset < HEADER_LEN || stride < DESCRIPTOR_LEN || count > MAX_DESCRIPTORS || !aligned {
            return Err(BootInfoError::Layout);
        }
        let descriptors = count
            .checked_mul(stride)
            .and_then(|len| blob.get(offset..)?.get(..len))
            .ok_or(truncated)?;
        let info = Self { blob, address, descriptors, stride };
        for bytes in info.descriptors.chunks_exact(info.stride) {
            info.item(bytes)?;
        }
        Ok(info)
    }

    /// Iterates over the descriptors.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + Clone {
        let info = *self;
        self.descriptors.chunks_exact(self.stride).filter_map(move |one| info.item(one).ok())
    }

    /// Returns the partition's manifest: the first device tree that lies in the blob.
    #[must_use]
    pub fn manifest(&self) -> Option<&'a [u8]> {
        self.items().find_map(|item| match (item.kind, item.contents) {
            (Kind::Fdt, Contents::Bytes(bytes)) => Some(bytes),
            (
                Kind::Fdt | Kind::Hob | Kind::Standard(_) | Kind::ImplementationDefined(_),
                Contents::Bytes(_) | Contents::Value(_),
            ) => None,
        })
    }

    fn item(&self, bytes: &'a [u8]) -> Result<Item<'a>, BootInfoError> {
        let truncated = BootInfoError::Truncated;
        let name = bytes.get(..16).ok_or(truncated)?;
        let [kind, reserved] = array(bytes, 16).ok_or(truncated)?;
        let flags = le16(bytes, 18).ok_or(truncated)?;
        let len = le32(bytes, 20).ok_or(truncated)?;
        let contents = le64(bytes, 24).ok_or(truncated)?;
        if reserved != 0 || flags >> 4 != 0 {
            return Err(BootInfoError::Reserved);
        }
        let name = match flags & 3 {
            0 => Name::Text(name.split(|byte| *byte == 0).next().unwrap_or(&[])),
            1 => Name::Uuid(crate::Uuid::from_bytes(array(name, 0).ok_or(truncated)?)),
            _ => return Err(BootInfoError::Descriptor),
        };
        let kind = match (kind & 0x80, kind & 0x7f) {
            (0, 0) => Kind::Fdt,
            (0, 1) => Kind::Hob,
            (0, other) => Kind::Standard(other),
            (_, own) => Kind::ImplementationDefined(own),
        };
        let contents = match flags >> 2 {
            0 => Contents::Bytes(self.slice(contents, len)?),
            1 if (1..=8).contains(&len) => Contents::Value(contents),
            _ => return Err(BootInfoError::Descriptor),
        };
        Ok(Item { name, kind, contents })
    }

    /// Finds what lies at an absolute address, behind the header.
    fn slice(&self, address: u64, len: u32) -> Result<&'a [u8], BootInfoError> {
        let outside = BootInfoError::Outside;
        let begin = address.checked_sub(self.address).ok_or(outside)?;
        let begin = usize::try_from(begin).map_err(|_| outside)?;
        if begin < HEADER_LEN {
            return Err(outside);
        }
        self.blob.get(begin..).and_then(|rest| rest.get(..size(len))).ok_or(outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x0e10_0000;

    /// Header, one descriptor, 8 bytes of "device tree". DEN0077A 1.1, tables 5.8 and 5.9; the
    /// layout that TF-A's EL3 SPMC writes.
    fn blob() -> Vec<u8> {
        let words = |list: &[u32]| list.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let mut bytes = words(&[0x0ffa, 0x1_0001, 72, 32, 1, 32, 0, 0]);
        bytes.extend(b"FF-A manifest\0\0\0");
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(words(&[8]));
        bytes.extend((BASE + 64).to_le_bytes());
        bytes.extend([0xd0, 0x0d, 0xfe, 0xed, 1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn the_manifest_is_found() {
        let mut bytes = blob();
        bytes.extend([0xee; 100]);
        assert_eq!(blob_len(&bytes), Ok(72));
        let info = BootInfo::parse(&bytes, BASE).unwrap();
        assert_eq!(info.manifest(), Some(&bytes[64..72]));
        assert_eq!(info.items().next().unwrap().name, Name::Text(b"FF-A manifest"));
    }

    #[test]
    fn every_broken_field_is_refused() {
        use BootInfoError::{Descriptor, Layout, Outside, Reserved, Signature, Truncated, Version};
        for (at, value, error) in [
            (0, 0xfeu8, Signature),
            (4, 0, Version),
            (6, 2, Version),
            (7, 0x80, Version),
            (8, 31, Truncated),
            (8, 71, Outside),
            (9, 1, Truncated),
            (12, 16, Layout),
            (12, 36, Layout),
            (16, 3, Truncated),
            (19, 1, Layout),
            (20, 24, Layout),
            (20, 36, Layout),
            (23, 0xff, Truncated),
            (24, 1, Reserved),
            (49, 1, Reserved),
            (50, 0x10, Reserved),
            (50, 2, Descriptor),
            (50, 8, Descriptor),
            (52, 9, Outside),
            (55, 0xff, Outside),
            (56, 8, Outside),
            (63, 0xff, Outside),
        ] {
            let mut bytes = blob();
            bytes[at] = value;
            assert_eq!(BootInfo::parse(&bytes, BASE).map(|_| ()), Err(error), "byte {at}");
        }
        for len in 0..72 {
            let truncated = BootInfo::parse(&blob()[..len], BASE).map(|_| ());
            assert_eq!(truncated, Err(Truncated));
        }
        assert_eq!(BootInfo::parse(&blob(), u64::MAX).map(|_| ()), Err(Outside));
    }

    #[test]
    fn values_and_uuid_names_are_read() {
        let mut bytes = blob();
        bytes[50] = 0b0101;
        bytes[48] = 0x83;
        let info = BootInfo::parse(&bytes, BASE).unwrap();
        let item = info.items().next().unwrap();
        assert_eq!(item.contents, Contents::Value(BASE + 64));
        assert_eq!(item.kind, Kind::ImplementationDefined(3));
        assert!(matches!(item.name, Name::Uuid(_)));
        assert_eq!(info.manifest(), None);
        bytes[52] = 0;
        assert_eq!(BootInfo::parse(&bytes, BASE).map(|_| ()), Err(BootInfoError::Descriptor));
    }
}
