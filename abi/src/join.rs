//! Owns the arguments of the calls on joined areas; never moves a byte.
//!
//! Where the hypervisor lets an area have one borrower only, the partition, two VMs exchange data by
//! a counted copy: each joins an area of its own under the other's id and a number on which they
//! agreed, and either asks the partition to copy between the two.
//!
//! ```
//! use causeway_abi::{Call, CopyDirection, JoinName, JoinState};
//! use causeway_ffa::EndpointId;
//!
//! let name = JoinName { peer: EndpointId::from_raw(2), number: 0 };
//! let (direction, from_offset, to_offset) = (CopyDirection::ToPeer, 0, 4096);
//! let copy = Call::Copy { name, direction, from_offset, to_offset, length: 512 };
//! assert_eq!(Call::decode(&copy.encode()), Ok(copy));
//! assert_eq!(JoinState::from_code(JoinState::Joined.code()), Some(JoinState::Joined));
//! ```

use causeway_ffa::EndpointId;

/// The most bytes that one COPY moves: a longer one is to be called again.
pub const COPY_MAX_BYTES: u32 = 16 * 1024;

/// Under which name a VM knows a join: the other VM, and a number that both chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinName {
    /// The other VM.
    pub peer: EndpointId,
    /// Tells the joins of two VMs apart.
    pub number: u16,
}

/// Which of the two areas is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyDirection {
    /// From the caller's area into the other.
    ToPeer,
    /// From the other area into the caller's.
    FromPeer,
}

impl CopyDirection {
    /// Returns the wire value.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::ToPeer => 0,
            Self::FromPeer => 1,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::ToPeer),
            1 => Some(Self::FromPeer),
            _ => None,
        }
    }
}

/// Whether both sides have joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinState {
    /// The other side has not.
    Waiting,
    /// Bytes can be copied.
    Joined,
}

impl JoinState {
    /// Returns the wire value.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Waiting => 1,
            Self::Joined => 2,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Waiting),
            2 => Some(Self::Joined),
            _ => None,
        }
    }
}
