//! Owns the reasons why registers are no call; never answers one.

use crate::{FfaError, FuncId};

/// The rule that a register file broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// w0 names no function of FF-A.
    UnknownFunction {
        /// w0.
        raw: u32,
    },
    /// The negotiated version does not have the function.
    NotInVersion(FuncId),
    /// A function that we know by name only: nobody here makes or serves it.
    NotServed(FuncId),
    /// An answer where a request was expected, or a request where an answer was.
    WrongDirection(FuncId),
    /// The upper half of a register that an SMC32 call uses was not zero (KB-08).
    UpperHalf {
        /// Which register.
        register: u8,
    },
    /// A reserved (MBZ) bit was set (KB-08).
    Reserved {
        /// Which register.
        register: u8,
    },
    /// A field had a value that has no meaning.
    BadField {
        /// Which register.
        register: u8,
    },
    /// The descriptor would lie in a buffer of the caller's choice: only TX is supported.
    OwnBuffer,
}

impl DecodeError {
    /// Returns the status that the caller gets.
    #[must_use]
    pub const fn status(self) -> FfaError {
        match self {
            Self::UnknownFunction { .. }
            | Self::NotInVersion(_)
            | Self::NotServed(_)
            | Self::WrongDirection(_) => FfaError::NotSupported,
            Self::UpperHalf { .. }
            | Self::Reserved { .. }
            | Self::BadField { .. }
            | Self::OwnBuffer => FfaError::InvalidParameters,
        }
    }
}
