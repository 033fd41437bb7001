//! Owns the names of endpoints and of memory transactions; never decides who may use them.
//!
//! ```
//! use causeway_ffa::{EndpointId, MemHandle};
//!
//! let partition = EndpointId::from_raw(0x8001);
//! assert!(partition.is_secure() && !EndpointId::from_raw(1).is_secure());
//! assert_eq!(MemHandle::new(u64::MAX), None);
//! assert_eq!(MemHandle::new(7).map(MemHandle::get), Some(7));
//! ```

use core::fmt;

/// An endpoint: a VM or the hypervisor (bit 15 clear), or a secure partition (bit 15 set).
/// Source: DEN0077A 1.2, 6.1 (partition identification).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u16);

impl EndpointId {
    /// Wraps a raw ID; every `u16` is a legal ID.
    #[must_use]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// Returns the raw ID.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Reports whether the ID lies in the secure half.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// The name of one live memory transaction. Zero is a valid handle (Hafnium gives it out).
/// Source: DEN0077A 1.2, memory management: the all-ones value is the invalid handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemHandle(u64);

impl MemHandle {
    /// Accepts any value but the architected invalid one.
    #[must_use]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw == u64::MAX { None } else { Some(Self(raw)) }
    }

    /// Returns the raw 64-bit handle.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MemHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_ones_is_no_handle() {
        assert_eq!(MemHandle::new(u64::MAX), None);
        assert_eq!(MemHandle::new(0).map(MemHandle::get), Some(0));
    }

    #[test]
    fn bit_fifteen_means_secure() {
        assert!(EndpointId::from_raw(0x8001).is_secure());
        assert!(!EndpointId::from_raw(0x7fff).is_secure());
    }
}
