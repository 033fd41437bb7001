//! Owns what a block device tells of itself in its configuration space; checks transfers against it.

use super::{BlockError, MOST_BUFFERS, SECTOR_BYTES};
use crate::queue::Segment;
use crate::types::Features;

/// Capacity and limits of a block device (virtio 1.3, 5.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    sectors: u64,
    /// Most bytes of one payload buffer.
    most_bytes: u32,
    /// Most payload buffers of one request.
    most_buffers: usize,
    features: Features,
}

impl Geometry {
    /// Bytes of the configuration space that are looked at.
    pub const CONFIG_BYTES: usize = 24;

    /// Reads the first bytes of the configuration space; of its fields only those that the negotiated
    /// features make valid. A limit of zero buffers or bytes is taken for none (Linux does so, too).
    #[must_use]
    pub fn from_config(config: &[u8; Self::CONFIG_BYTES], features: Features) -> Self {
        let [c0, c1, c2, c3, c4, c5, c6, c7, z0, z1, z2, z3, g0, g1, g2, g3, ..] = *config;
        let size_max = u32::from_le_bytes([z0, z1, z2, z3]);
        let seg_max = u32::from_le_bytes([g0, g1, g2, g3]);
        let limit =
            |feature, value: u32| (features.contains(feature) && value > 0).then_some(value);
        let most_buffers = limit(Features::BLK_SEG_MAX, seg_max)
            .and_then(|count| usize::try_from(count).ok())
            .map_or(MOST_BUFFERS, |count| count.min(MOST_BUFFERS));
        Self {
            sectors: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            most_bytes: limit(Features::BLK_SIZE_MAX, size_max).unwrap_or(u32::MAX),
            most_buffers,
            features,
        }
    }

    /// Returns the capacity in sectors of 512 bytes.
    #[must_use]
    pub const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Returns the most payload buffers of one request.
    #[must_use]
    pub const fn most_buffers(&self) -> usize {
        self.most_buffers
    }

    pub(super) const fn is_read_only(&self) -> bool {
        self.features.contains(Features::BLK_RO)
    }

    pub(super) const fn can_flush(&self) -> bool {
        self.features.contains(Features::BLK_FLUSH)
    }

    /// Checks a transfer: whole sectors, inside the capacity, in buffers that the device takes.
    pub(super) fn check(&self, sector: u64, buffers: &[Segment]) -> Result<(), BlockError> {
        if buffers.len() > self.most_buffers || buffers.iter().any(|b| b.len > self.most_bytes) {
            return Err(BlockError::Buffers);
        }
        let bytes = buffers.iter().fold(0_u64, |sum, b| sum.saturating_add(u64::from(b.len)));
        if bytes == 0 || !bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(BlockError::Length);
        }
        match sector.checked_add(bytes / SECTOR_BYTES) {
            Some(end) if end <= self.sectors => Ok(()),
            Some(_) | None => Err(BlockError::Capacity),
        }
    }
}
