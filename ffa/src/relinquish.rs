//! Owns the descriptor of FFA_MEM_RELINQUISH; never lets go of anything.
//!
//! 16 bytes (handle, flags, count), then 16-bit endpoint ids. Source: DEN0077A 1.1, table 16.25.
//!
//! ```
//! use causeway_ffa::call::ReclaimFlags;
//! use causeway_ffa::relinquish::{self, Relinquish, RelinquishError};
//! use causeway_ffa::{EndpointId, MemHandle};
//!
//! let (handle, me) = (MemHandle::new(7).unwrap(), EndpointId::from_raw(2));
//! let mut buffer = [0; 64];
//! let len = relinquish::write(handle, ReclaimFlags::default(), &[me], &mut buffer)?;
//! let read = Relinquish::parse(&buffer[..len])?;
//! assert_eq!((read.handle(), read.sole_endpoint()), (handle, Some(me)));
//! # Ok::<(), RelinquishError>(())
//! ```

use crate::bytes::{array, le32, le64, size};
use crate::call::ReclaimFlags;
use crate::{EndpointId, FfaError, MemHandle};

/// Bytes before the ids.
const FIXED: usize = 16;

/// Ids that one descriptor may name: an endpoint and those for which it acts.
pub const MAX_ENDPOINTS: usize = 16;

/// The rule that a relinquish descriptor broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelinquishError {
    /// It ends before its ids do.
    Truncated,
    /// The architected invalid handle.
    Handle,
    /// A reserved flag is set.
    Flags,
    /// Nobody lets go.
    NoEndpoint,
    /// More than [`MAX_ENDPOINTS`].
    TooManyEndpoints,
    /// An id is named twice.
    DuplicateEndpoint,
    /// The buffer is too small for what must be written.
    NoRoom,
}

impl RelinquishError {
    /// Returns the FF-A status for whoever sent the descriptor.
    #[must_use]
    pub const fn status(self) -> FfaError {
        match self {
            Self::Truncated
            | Self::Handle
            | Self::Flags
            | Self::NoEndpoint
            | Self::DuplicateEndpoint => FfaError::InvalidParameters,
            Self::TooManyEndpoints | Self::NoRoom => FfaError::NoMemory,
        }
    }
}

/// A checked relinquish descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relinquish<'a> {
    handle: MemHandle,
    flags: ReclaimFlags,
    ids: &'a [u8],
}

impl<'a> Relinquish<'a> {
    /// Reads a descriptor at the start of a private copy of TX; what follows it is ignored, since
    /// the call names no length.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RelinquishError> {
        let truncated = RelinquishError::Truncated;
        let handle = le64(bytes, 0).ok_or(truncated)?;
        let flags = le32(bytes, 8).ok_or(truncated)?;
        let count = size(le32(bytes, 12).ok_or(truncated)?);
        let handle = MemHandle::new(handle).ok_or(RelinquishError::Handle)?;
        let flags = ReclaimFlags::from_word(flags).ok_or(RelinquishError::Flags)?;
        if count == 0 {
            return Err(RelinquishError::NoEndpoint);
        }
        if count > MAX_ENDPOINTS {
            return Err(RelinquishError::TooManyEndpoints);
        }
        let ids =
            count.checked_mul(2).and_then(|len| bytes.get(FIXED..)?.get(..len)).ok_or(truncated)?;
        let found = Self { handle, flags, ids };
        for (index, id) in found.endpoints().enumerate() {
            if found.endpoints().take(index).any(|before| before == id) {
                return Err(RelinquishError::DuplicateEndpoint);
            }
        }
        Ok(found)
    }

    /// Returns the transaction.
    #[must_use]
    pub const fn handle(&self) -> MemHandle {
        self.handle
    }

    /// Returns the flags.
    #[must_use]
    pub const fn flags(&self) -> ReclaimFlags {
        self.flags
    }

    /// Iterates over those who let go.
    #[must_use]
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = EndpointId> + Clone + 'a {
        self.ids
            .chunks_exact(2)
            .map(|pair| EndpointId::from_raw(array(pair, 0).map_or(0, u16::from_le_bytes)))
    }

    /// Returns the one who lets go, where it is one.
    #[must_use]
    pub fn sole_endpoint(&self) -> Option<EndpointId> {
        let mut all = self.endpoints();
        all.next().filter(|_| all.next().is_none())
    }
}

/// Writes a descriptor and returns its length.
///
/// # Errors
/// [`RelinquishError::NoEndpoint`], [`RelinquishError::TooManyEndpoints`],
/// [`RelinquishError::NoRoom`]; nothing is written then.
pub fn write(
    handle: MemHandle,
    flags: ReclaimFlags,
    endpoints: &[EndpointId],
    out: &mut [u8],
) -> Result<usize, RelinquishError> {
    if endpoints.is_empty() {
        return Err(RelinquishError::NoEndpoint);
    }
    if endpoints.len() > MAX_ENDPOINTS {
        return Err(RelinquishError::TooManyEndpoints);
    }
    let count = u32::try_from(endpoints.len()).map_err(|_| RelinquishError::TooManyEndpoints)?;
    let total = endpoints.len().saturating_mul(2).saturating_add(FIXED);
    let room = out.get_mut(..total).ok_or(RelinquishError::NoRoom)?;
    let no_room = RelinquishError::NoRoom;
    let (to_handle, room) = room.split_first_chunk_mut().ok_or(no_room)?;
    let (to_flags, room) = room.split_first_chunk_mut().ok_or(no_room)?;
    let (to_count, room) = room.split_first_chunk_mut().ok_or(no_room)?;
    *to_handle = handle.get().to_le_bytes();
    *to_flags = flags.word().to_le_bytes();
    *to_count = count.to_le_bytes();
    for (to, id) in room.as_chunks_mut().0.iter_mut().zip(endpoints) {
        *to = id.get().to_le_bytes();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{TimeSlice, Zero};

    fn id(raw: u16) -> EndpointId {
        EndpointId::from_raw(raw)
    }

    /// DEN0077A 1.1, table 16.25.
    const GOLDEN: [u8; 18] = [
        0xc0, 0xff, 0xff, 0xff, 0x01, 0, 0, 0, // handle
        0, 0, 0, 0, // flags
        1, 0, 0, 0, // count
        0x01, 0x80, // id
    ];

    #[test]
    fn golden_bytes_are_read_and_written() {
        let handle = MemHandle::new(0x1_ffff_ffc0).unwrap();
        let mut out = [0xaa; 20];
        let len = write(handle, ReclaimFlags::default(), &[id(0x8001)], &mut out).unwrap();
        assert_eq!(out[..len], GOLDEN);
        assert_eq!(out[len..], [0xaa; 2], "nothing behind the descriptor is written");
        let read = Relinquish::parse(&GOLDEN).unwrap();
        assert_eq!((read.handle(), read.sole_endpoint()), (handle, Some(id(0x8001))));
    }

    #[test]
    fn several_endpoints_survive_a_round_trip() {
        let handle = MemHandle::new(0).unwrap();
        let flags = ReclaimFlags { zero: Zero::Zero, time_slice: TimeSlice::Sliced };
        let ids = [id(1), id(2), id(3)];
        let mut out = [0; 64];
        write(handle, flags, &ids, &mut out).unwrap();
        let read = Relinquish::parse(&out).unwrap();
        assert_eq!(read.endpoints().collect::<Vec<_>>(), ids);
        assert_eq!((read.flags(), read.sole_endpoint()), (flags, None));
    }

    #[test]
    fn each_broken_rule_is_named() {
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = [GOLDEN.as_slice(), &[0; 40]].concat();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            bad
        };
        let error = |bytes: &[u8]| Relinquish::parse(bytes).unwrap_err();
        assert_eq!(error(&with(0, &[0xff; 8])), RelinquishError::Handle);
        assert_eq!(error(&with(8, &[4])), RelinquishError::Flags);
        assert_eq!(error(&with(12, &[0])), RelinquishError::NoEndpoint);
        assert_eq!(error(&with(12, &[17])), RelinquishError::TooManyEndpoints);
        assert_eq!(error(&with(12, &[0xff; 4])), RelinquishError::TooManyEndpoints);
        assert_eq!(error(&with(12, &[3])), RelinquishError::DuplicateEndpoint);
        for len in 0..GOLDEN.len() {
            assert_eq!(error(&GOLDEN[..len]), RelinquishError::Truncated, "{len}");
        }
    }
}
