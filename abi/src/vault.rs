//! Owns the calls of the security services (entropy and what follows) and their meaning; never decides
//! whether one is allowed. They are in a file of their own because the broker has no part in them.

use crate::Status;
use crate::call::CallId;

/// Most random bytes that one ENTROPY returns: three result words.
pub const ENTROPY_MAX_BYTES: u8 = 24;

/// A call of the security services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VaultCall {
    /// Returns x4 = [`services`] that policy gives the caller and the machine has.
    State,
    /// x4 = bytes wanted, 1 to [`ENTROPY_MAX_BYTES`]. Returns x4 = that number, x5-x7 = the bytes in memory
    /// order, zero behind the last.
    Entropy {
        /// How many.
        count: u8,
    },
}

/// Bits of what VAULT_STATE returns in x4.
pub mod services {
    /// ENTROPY: policy allows it, and the processor has a source that has not failed.
    pub const ENTROPY: u64 = 1 << 0;
}

impl VaultCall {
    /// Returns the call's number.
    #[must_use]
    pub const fn id(&self) -> CallId {
        match self {
            Self::State => CallId::VaultState,
            Self::Entropy { .. } => CallId::Entropy,
        }
    }

    /// Packs the arguments.
    pub(crate) fn args(&self) -> [u64; 4] {
        match *self {
            Self::State => [0; 4],
            Self::Entropy { count } => [u64::from(count), 0, 0, 0],
        }
    }
}

/// Reads the arguments of VAULT_STATE.
pub(crate) fn state(args: [u64; 4]) -> Result<VaultCall, Status> {
    zero(&args).and(Ok(VaultCall::State))
}

/// Reads the arguments of ENTROPY.
pub(crate) fn entropy([count, rest @ ..]: [u64; 4]) -> Result<VaultCall, Status> {
    zero(&rest)?;
    let count = u8::try_from(count).map_err(|_| Status::BadArgument)?;
    if count == 0 || count > ENTROPY_MAX_BYTES {
        return Err(Status::BadArgument);
    }
    Ok(VaultCall::Entropy { count })
}

fn zero(words: &[u64]) -> Result<(), Status> {
    if words.iter().all(|w| *w == 0) { Ok(()) } else { Err(Status::ReservedNotZero) }
}
