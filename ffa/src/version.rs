//! Owns FF-A version numbers; never negotiates: the caller decides which one holds.
//!
//! ```
//! use causeway_ffa::Version;
//!
//! // Who has 1.2 serves a caller of 1.1, and not the other way round.
//! assert!(Version::V1_2.serves(Version::V1_1) && !Version::V1_1.serves(Version::V1_2));
//! assert_eq!(Version::new(1, 1), Some(Version::V1_1));
//! assert_eq!(Version::from_raw(0x8000_0000), None);
//! ```

use core::fmt;

/// A version of FF-A: major in bits 30:16, minor in bits 15:0. Source: DEN0077A 1.2, FFA_VERSION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u32);

impl Version {
    /// FF-A 1.0: 32-byte transaction header.
    pub const V1_0: Self = Self(0x1_0000);
    /// FF-A 1.1: 48-byte transaction header; what Causeway negotiates.
    pub const V1_1: Self = Self(0x1_0001);
    /// FF-A 1.3: what a current Hafnium reports; memory layouts as in 1.2.
    pub const V1_3: Self = Self(0x1_0003);
    /// FF-A 1.2: 32-byte endpoint access descriptors, REQ2 messages.
    pub const V1_2: Self = Self(0x1_0002);

    /// Builds a version; `None` if the major number does not fit its 15 bits.
    #[must_use]
    pub fn new(major: u16, minor: u16) -> Option<Self> {
        Self::from_raw((u32::from(major) << 16) | u32::from(minor))
    }

    /// Reads the wire form; `None` if bit 31 is set (an error code or a malformed request).
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        if raw & (1 << 31) == 0 { Some(Self(raw)) } else { None }
    }

    /// Returns the wire form.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Returns the major number.
    #[must_use]
    pub const fn major(self) -> u32 {
        self.0 >> 16
    }

    /// Returns the minor number.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.0 & 0xffff
    }

    /// Reports whether an implementation of this version serves a caller that speaks `caller`:
    /// same major number, and a minor number that is not smaller.
    /// Source: DEN0077A 1.2, FFA_VERSION, compatibility rules.
    #[must_use]
    pub const fn serves(self, caller: Self) -> bool {
        self.major() == caller.major() && self.minor() >= caller.minor()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_31_is_never_part_of_a_version() {
        assert_eq!(Version::from_raw(0x8001_0001), None);
        assert_eq!(Version::new(0x8000, 0), None);
        assert_eq!(Version::from_raw(0xffff_ffff), None);
        assert_eq!(Version::new(1, 1), Some(Version::V1_1));
    }

    #[test]
    fn a_version_is_shown_as_people_write_it() {
        assert_eq!(Version::V1_1.to_string(), "1.1");
        assert_eq!(Version::new(2, 15).map(|version| version.to_string()), Some("2.15".into()));
    }

    #[test]
    fn a_newer_minor_serves_an_older_caller_only() {
        assert!(Version::V1_2.serves(Version::V1_1));
        assert!(Version::V1_1.serves(Version::V1_1));
        assert!(!Version::V1_1.serves(Version::V1_2));
        assert!(!Version::new(2, 0).unwrap().serves(Version::V1_1));
    }
}
