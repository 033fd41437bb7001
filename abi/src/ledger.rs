//! Owns the arguments of the ledger's calls; never holds a record.
//!
//! ```
//! use causeway_abi::{Call, DigestHalf, LedgerScope};
//!
//! let head = Call::LedgerHead { scope: LedgerScope::Own, half: DigestHalf::First };
//! assert_eq!(Call::decode(&head.encode()), Ok(head));
//! ```

/// Whose records of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerScope {
    /// The caller's.
    Own,
    /// Everybody's: for the VM that policy names as auditor.
    All,
}

impl LedgerScope {
    /// Returns the wire value.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Own => 0,
            Self::All => 1,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Own),
            1 => Some(Self::All),
            _ => None,
        }
    }
}

/// Which 16 bytes of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestHalf {
    /// The first; asking for it fixes up to where the ledger is meant.
    First,
    /// The second, of what was fixed before.
    Second,
}

impl DigestHalf {
    /// Returns the wire value.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::First),
            1 => Some(Self::Second),
            _ => None,
        }
    }
}
