//! Owns the FF-A status codes; never decides which of them a situation deserves.
//!
//! ```
//! use causeway_ffa::FfaError;
//!
//! assert_eq!(FfaError::Denied.code(), -6);
//! assert_eq!(FfaError::from_code(-6), FfaError::Denied);
//! // A code that nobody has defined is kept.
//! assert_eq!(FfaError::from_code(-99).code(), -99);
//! ```

/// An FF-A error code. Source: DEN0077A 1.2, table "Error status codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FfaError {
    /// -1
    NotSupported,
    /// -2
    InvalidParameters,
    /// -3
    NoMemory,
    /// -4
    Busy,
    /// -5
    Interrupted,
    /// -6
    Denied,
    /// -7
    Retry,
    /// -8
    Aborted,
    /// -9
    NoData,
    /// -10
    NotReady,
    /// A code that no version of the specification defines.
    Unknown(i32),
}

impl FfaError {
    /// Returns the wire code.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::NotSupported => -1,
            Self::InvalidParameters => -2,
            Self::NoMemory => -3,
            Self::Busy => -4,
            Self::Interrupted => -5,
            Self::Denied => -6,
            Self::Retry => -7,
            Self::Aborted => -8,
            Self::NoData => -9,
            Self::NotReady => -10,
            Self::Unknown(code) => code,
        }
    }

    /// Names the code found in w2 of an FFA_ERROR.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            -1 => Self::NotSupported,
            -2 => Self::InvalidParameters,
            -3 => Self::NoMemory,
            -4 => Self::Busy,
            -5 => Self::Interrupted,
            -6 => Self::Denied,
            -7 => Self::Retry,
            -8 => Self::Aborted,
            -9 => Self::NoData,
            -10 => Self::NotReady,
            other => Self::Unknown(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in -20..=20 {
            assert_eq!(FfaError::from_code(code).code(), code);
        }
    }
}
