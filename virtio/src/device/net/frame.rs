//! Owns one Ethernet frame in private memory; never looks inside it.

use core::fmt;

/// Most bytes of a frame: the header of Ethernet, and 1500 bytes.
pub const FRAME_BYTES: usize = 1514;
/// Fewest bytes: the header of Ethernet alone. (Nobody pads on a wire like this one.)
pub const SHORTEST_FRAME_BYTES: usize = 14;

/// A frame of 14 to 1514 bytes, without its check sequence.
#[derive(Clone)]
pub struct Frame {
    len: usize,
    bytes: [u8; FRAME_BYTES],
}

impl Frame {
    /// The shortest frame, all zero: for room that is not yet used.
    pub const BLANK: Self = Self { len: SHORTEST_FRAME_BYTES, bytes: [0; FRAME_BYTES] };

    /// Copies a frame; `None` if these bytes are too few or too many for one.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut frame = Self::BLANK;
        frame.room(bytes.len())?.copy_from_slice(bytes);
        Some(frame)
    }

    /// Makes this a frame of `len` bytes and returns them to be written; what is not, is what an
    /// earlier frame left. `None` if no frame has that length; then nothing changes.
    pub fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        if len < SHORTEST_FRAME_BYTES {
            return None;
        }
        let room = self.bytes.get_mut(..len)?;
        self.len = len;
        Some(room)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        u64::try_from(self.len).unwrap_or(u64::MAX)
    }
}

/// The length alone: contents are nobody's business.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("len", &self.len).finish_non_exhaustive()
    }
}
