//! Owns UUIDs as FF-A carries them; never says which service one names.
//!
//! ```
//! use causeway_ffa::Uuid;
//!
//! let uuid = Uuid::from_words([0x1e67_b5b4, 0xe14f_904a, 0x13fb_1fb8, 0xcbda_e1da]);
//! assert_eq!(uuid.to_string(), "b4b5671e-4a90-4fe1-b81f-fb13dae1dacb");
//! assert_eq!(Uuid::from_double_words(uuid.double_words()), uuid);
//! assert!(Uuid::NIL.is_nil());
//! ```

use core::fmt;

/// A UUID in text order: byte 0 is the first one written.
///
/// In registers and in partition information descriptors, byte 0 is the lowest byte of the first
/// word. Source: DEN0077A 1.2, FFA_PARTITION_INFO_GET (w1-w4) and SMCCC, UUID format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The all-zero UUID, which asks for every partition.
    pub const NIL: Self = Self([0; 16]);

    /// Wraps bytes in text order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes in text order.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads the four words of w1-w4.
    #[must_use]
    pub const fn from_words([a, b, c, d]: [u32; 4]) -> Self {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a.to_le_bytes(), b.to_le_bytes());
        let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (c.to_le_bytes(), d.to_le_bytes());
        Self([a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3])
    }

    /// Returns the four words of w1-w4.
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = self.0;
        [
            u32::from_le_bytes([a0, a1, a2, a3]),
            u32::from_le_bytes([b0, b1, b2, b3]),
            u32::from_le_bytes([c0, c1, c2, c3]),
            u32::from_le_bytes([d0, d1, d2, d3]),
        ]
    }

    /// Reads the two words of x2-x3 of a direct request 2.
    #[must_use]
    pub const fn from_double_words([low, high]: [u64; 2]) -> Self {
        let [a0, a1, a2, a3, b0, b1, b2, b3] = low.to_le_bytes();
        let [c0, c1, c2, c3, d0, d1, d2, d3] = high.to_le_bytes();
        Self([a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3])
    }

    /// Returns the two words of x2-x3.
    #[must_use]
    pub const fn double_words(self) -> [u64; 2] {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = self.0;
        [
            u64::from_le_bytes([a0, a1, a2, a3, b0, b1, b2, b3]),
            u64::from_le_bytes([c0, c1, c2, c3, d0, d1, d2, d3]),
        ]
    }

    /// Reports whether this is the all-zero UUID.
    #[must_use]
    pub fn is_nil(self) -> bool {
        self == Self::NIL
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest cells 0x1e67b5b4 0xe14f904a 0x13fb1fb8 0xcbdae1da read as this text.
    #[test]
    fn manifest_cells_are_little_endian_words_of_the_text() {
        let uuid = Uuid::from_words([0x1e67_b5b4, 0xe14f_904a, 0x13fb_1fb8, 0xcbda_e1da]);
        assert_eq!(uuid.to_string(), "b4b5671e-4a90-4fe1-b81f-fb13dae1dacb");
        assert_eq!(Uuid::from_words(uuid.words()), uuid);
        assert_eq!(Uuid::from_double_words(uuid.double_words()), uuid);
        assert_eq!(uuid.double_words()[0], 0xe14f_904a_1e67_b5b4);
        assert!(!uuid.is_nil() && Uuid::NIL.is_nil());
    }
}
