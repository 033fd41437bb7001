//! Owns little-endian reads and writes in byte slices, all checked; never knows what they mean.

/// Reads `N` bytes at `offset`.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

/// Reads a `u16` at `offset`.
pub(crate) fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

/// Reads a `u32` at `offset`.
pub(crate) fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_le_bytes)
}

/// Reads a `u64` at `offset`.
pub(crate) fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_le_bytes)
}

/// Converts a wire count or offset; saturates where `usize` is narrower (and then nothing is there).
pub(crate) fn size(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// Sixteen bytes under construction: every FF-A memory structure is a multiple of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line([u8; 16]);

impl Line {
    /// Sets bytes from `offset` on; what does not fit is dropped.
    pub(crate) fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        for (slot, byte) in self.0.iter_mut().skip(offset).zip(bytes) {
            *slot = *byte;
        }
        self
    }

    /// Returns the bytes.
    pub(crate) const fn get(self) -> [u8; 16] {
        self.0
    }
}
