//! Owns partition information descriptors; never decides who is listed.
//!
//! 8 bytes in 1.0 (id, contexts, properties), 24 from 1.1 on (plus UUID); later versions append
//! (Hafnium's 1.3 has 48), so the reader takes the size that FFA_PARTITION_INFO_GET returned in w3.
//! Source: DEN0077A 1.1, table 13.37; 1.2, tables 6.1 and 6.2.
//!
//! ```
//! use causeway_ffa::answer::Success;
//! use causeway_ffa::partition_info::{
//!     PartitionInfo, PartitionInfoError, PartitionInfos, Properties, RegsPage, descriptor_len,
//! };
//! use causeway_ffa::{EndpointId, Uuid, Version};
//!
//! let properties = Properties::DIRECT_REQ_RECEIVE.and(Properties::NOTIFICATIONS);
//! let uuid = Uuid::from_words([1, 2, 3, 4]);
//! let info = PartitionInfo { id: EndpointId::from_raw(0x8001), contexts: 1, properties, uuid };
//! let mut buffer = [0; 64];
//! let len = info.write(Version::V1_1, &mut buffer).expect("room");
//! assert_eq!(len, descriptor_len(Version::V1_1));
//!
//! // As the answer of FFA_PARTITION_INFO_GET says: how many, and how long each is.
//! let infos = PartitionInfos::parse(&buffer, 1, 24, Version::V1_1)?;
//! assert_eq!(infos.find(uuid), Some(info));
//! let two = PartitionInfos::parse(&buffer[..24], 2, 24, Version::V1_1);
//! assert_eq!(two.err(), Some(PartitionInfoError::Truncated));
//!
//! // The same in registers (FFA_PARTITION_INFO_GET_REGS): the only one of a list of one.
//! let mut args = [0; 16];
//! args[0] = 24 << 48;
//! for (arg, word) in args[1..].iter_mut().zip(buffer[..24].chunks_exact(8)) {
//!     *arg = u64::from_le_bytes(word.try_into().unwrap());
//! }
//! let page = RegsPage::decode(&Success::double_words(args), 0).expect("a list");
//! assert!(page.next().is_none() && page.iter().eq([info]));
//! # Ok::<(), PartitionInfoError>(())
//! ```

mod regs_page;

pub use regs_page::RegsPage;

use crate::bytes::{array, le16, le32, size};
use crate::{EndpointId, FfaError, Uuid, Version};

/// Bytes of a descriptor in 1.0.
pub const LEN_V1_0: usize = 8;
/// Bytes of a descriptor in 1.1 and 1.2.
pub const LEN_V1_1: usize = 24;

/// What a partition can do. Source: DEN0077A 1.2, table 6.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Properties(u32);

impl Properties {
    /// Receives direct requests.
    pub const DIRECT_REQ_RECEIVE: Self = Self(1);
    /// Sends direct requests.
    pub const DIRECT_REQ_SEND: Self = Self(1 << 1);
    /// Indirect messages.
    pub const INDIRECT: Self = Self(1 << 2);
    /// Receives notifications.
    pub const NOTIFICATIONS: Self = Self(1 << 3);
    /// Wants to hear of VMs created.
    pub const VM_CREATED: Self = Self(1 << 6);
    /// Wants to hear of VMs destroyed.
    pub const VM_DESTROYED: Self = Self(1 << 7);
    /// Runs in `AArch64`.
    pub const AARCH64: Self = Self(1 << 8);
    /// Receives direct requests 2.
    pub const DIRECT_REQ2_RECEIVE: Self = Self(1 << 9);
    /// Sends direct requests 2.
    pub const DIRECT_REQ2_SEND: Self = Self(1 << 10);

    /// Wraps the field; later versions may define more bits, so any value is legal.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// Returns the field.
    #[must_use]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// Returns both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reports whether all of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reports whether the id is that of a processing element endpoint (bits 5:4 are 0), not of a
    /// device or an auxiliary id.
    #[must_use]
    pub const fn is_pe_endpoint(self) -> bool {
        self.0 & 0x30 == 0
    }
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionInfo {
    /// Its id.
    pub id: EndpointId,
    /// Its execution contexts.
    pub contexts: u16,
    /// What it can do.
    pub properties: Properties,
    /// Its UUID; nil in 1.0, and where a UUID was asked for.
    pub uuid: Uuid,
}

impl PartitionInfo {
    /// Reads one descriptor at the start of `bytes`; a short one has a nil UUID.
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: EndpointId::from_raw(le16(bytes, 0)?),
            contexts: le16(bytes, 2)?,
            properties: Properties::from_word(le32(bytes, 4)?),
            uuid: array(bytes, 8).map_or(Uuid::NIL, Uuid::from_bytes),
        })
    }

    /// Writes one descriptor at the start of `out` and returns its length: 8 bytes for 1.0, else 24.
    ///
    /// # Errors
    /// [`FfaError::NoMemory`] where `out` is too short; nothing is written then.
    pub fn write(&self, version: Version, out: &mut [u8]) -> Result<usize, FfaError> {
        let len = descriptor_len(version);
        let room = out.get_mut(..len).ok_or(FfaError::NoMemory)?;
        let fixed = self.id.get().to_le_bytes().into_iter().chain(self.contexts.to_le_bytes());
        let bytes = fixed.chain(self.properties.word().to_le_bytes()).chain(self.uuid.bytes());
        for (slot, byte) in room.iter_mut().zip(bytes) {
            *slot = byte;
        }
        Ok(len)
    }
}

/// Returns the bytes of one descriptor in `version`: what w3 of the answer says from 1.1 on.
#[must_use]
pub fn descriptor_len(version: Version) -> usize {
    if version <= Version::V1_0 { LEN_V1_0 } else { LEN_V1_1 }
}

/// The rule that a list of partitions broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionInfoError {
    /// The size in w3 is smaller than the fields that the version has, or odd.
    Stride,
    /// The list ends beyond the buffer.
    Truncated,
}

/// A checked list of partitions, as it lies in a private copy of RX.
#[derive(Clone, Copy, Debug)]
pub struct PartitionInfos<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> PartitionInfos<'a> {
    /// Reads a list: `count` from w2, `stride` from w3 of the answer (not looked at in 1.0).
    ///
    /// # Errors
    /// [`PartitionInfoError`].
    pub fn parse(
        bytes: &'a [u8],
        count: u32,
        stride: u32,
        version: Version,
    ) -> Result<Self, PartitionInfoError> {
        let needed = descriptor_len(version);
        let stride = if version <= Version::V1_0 { needed } else { size(stride) };
        if stride < needed || !stride.is_multiple_of(8) {
            return Err(PartitionInfoError::Stride);
        }
        let bytes = size(count)
            .checked_mul(stride)
            .and_then(|len| bytes.get(..len))
            .ok_or(PartitionInfoError::Truncated)?;
        Ok(Self { bytes, stride })
    }

    /// Iterates over the partitions.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = PartitionInfo> + Clone + use<'a> {
        let is_short = self.stride < LEN_V1_1;
        self.bytes.chunks_exact(self.stride).map(move |one| {
            let one = if is_short { one.get(..LEN_V1_0).unwrap_or(one) } else { one };
            PartitionInfo::read(one).unwrap_or(PartitionInfo {
                id: EndpointId::default(),
                contexts: 0,
                properties: Properties::default(),
                uuid: Uuid::NIL,
            })
        })
    }

    /// Finds the first partition with this UUID. Only in a list that was asked for with a nil UUID:
    /// otherwise the UUIDs in the list are zero.
    #[must_use]
    pub fn find(&self, uuid: Uuid) -> Option<PartitionInfo> {
        self.iter().find(|info| info.uuid == uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [
        0xb4, 0xb5, 0x67, 0x1e, 0x4a, 0x90, 0x4f, 0xe1, 0xb8, 0x1f, 0xfb, 0x13, 0xda, 0xe1, 0xda,
        0xcb,
    ];

    fn sp() -> PartitionInfo {
        PartitionInfo {
            id: EndpointId::from_raw(0x8001),
            contexts: 32,
            properties: Properties::DIRECT_REQ_RECEIVE.and(Properties::AARCH64),
            uuid: Uuid::from_bytes(UUID),
        }
    }

    /// DEN0077A 1.1, table 13.37.
    #[test]
    fn golden_bytes_are_written_and_read() {
        let mut out = [0xaa; 32];
        assert_eq!(sp().write(Version::V1_1, &mut out), Ok(24));
        assert_eq!(out[..8], [0x01, 0x80, 32, 0, 0x01, 0x01, 0, 0]);
        assert_eq!(out[8..24], UUID);
        assert_eq!(out[24..], [0xaa; 8]);
        let list = PartitionInfos::parse(&out, 1, 24, Version::V1_1).unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [sp()]);
        assert_eq!(list.find(Uuid::from_bytes(UUID)), Some(sp()));
        assert_eq!(list.find(Uuid::NIL), None);
    }

    /// DEN0077A 1.2, table 6.2: the bits of the properties field.
    #[test]
    fn each_property_is_its_bit_of_the_table() {
        let named = [
            (Properties::DIRECT_REQ_RECEIVE, 0),
            (Properties::DIRECT_REQ_SEND, 1),
            (Properties::NOTIFICATIONS, 3),
            (Properties::VM_CREATED, 6),
            (Properties::VM_DESTROYED, 7),
            (Properties::AARCH64, 8),
            (Properties::DIRECT_REQ2_RECEIVE, 9),
            (Properties::DIRECT_REQ2_SEND, 10),
        ];
        for (property, bit) in named {
            assert_eq!(property, Properties::from_word(1 << bit), "bit {bit}");
        }
    }

    #[test]
    fn kb_03_the_stride_is_the_callees() {
        let vm = PartitionInfo { id: EndpointId::from_raw(1), uuid: Uuid::NIL, ..sp() };
        let mut out = [0; 96];
        vm.write(Version::V1_1, &mut out[..48]).unwrap();
        sp().write(Version::V1_1, &mut out[48..]).unwrap();
        let list = PartitionInfos::parse(&out, 2, 48, Version::V1_3).unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [vm, sp()]);
        let short = PartitionInfos::parse(&out, 12, 0, Version::V1_0).unwrap();
        assert_eq!(short.iter().len(), 12);
        assert_eq!(short.iter().next().unwrap(), vm);
    }

    #[test]
    fn lists_beyond_the_buffer_and_senseless_strides_are_refused() {
        let bytes = [0; 48];
        let parse = |count, stride| {
            PartitionInfos::parse(&bytes, count, stride, Version::V1_1).map(|_| ()).unwrap_err()
        };
        assert_eq!(parse(3, 24), PartitionInfoError::Truncated);
        assert_eq!(parse(u32::MAX, u32::MAX - 7), PartitionInfoError::Truncated);
        for stride in [0, 8, 16, 23, 25, 30] {
            assert_eq!(parse(1, stride), PartitionInfoError::Stride);
        }
        assert_eq!(sp().write(Version::V1_1, &mut [0; 23]), Err(FfaError::NoMemory));
        assert_eq!(sp().write(Version::V1_0, &mut [0; 8]), Ok(8));
    }
}
