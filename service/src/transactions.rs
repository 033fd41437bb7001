//! Owns the FF-A calls on memory: retrieve with all its fragments, relinquish. Uses TX and RX,
//! so that it runs under the partition's lock only (KB-21: a retrieve on one core and a fragment
//! on another would stop TF-A 2.12 for good). Never judges what it got.

use crate::platform::{Conduit, Mailbox};
use crate::spmc;
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::descriptor::ExactRequest;
use causeway_ffa::{Answer, Call, EndpointId, FfaError, MemHandle, relinquish};

/// Bytes of RX.
const MAILBOX_BYTES: usize = 4096;

/// Bytes of the longest response. TF-A's store for all descriptors on qemu is as large.
pub(crate) const RESPONSE_BYTES: usize = 64 * 1024;

/// Bytes of an FFA_MEM_RELINQUISH descriptor with one endpoint (DEN0140: 16, and 2 an endpoint),
/// rounded up to what the mailbox copies at once: what lies behind it the SPMC does not read.
const RELINQUISH_BYTES: usize = 32;

/// Bytes that the mailbox can copy by its largest words.
#[repr(align(16))]
struct Aligned<const N: usize>([u8; N]);

/// The private copy of one response.
pub(crate) struct Response {
    bytes: Aligned<RESPONSE_BYTES>,
    len: usize,
}

impl Response {
    /// An empty one, for a `static`.
    pub(crate) const fn new() -> Self {
        Self { bytes: Aligned([0; RESPONSE_BYTES]), len: 0 }
    }

    /// Returns what the last retrieve copied.
    #[inline]
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.0.get(..self.len)
    }

    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len.checked_add(len)?;
        let room = self.bytes.0.get_mut(self.len..end)?;
        self.len = end;
        Some(room)
    }
}

/// Retrieves and keeps. On success `response` holds all of the answer and the SPMC refuses the
/// owner's reclaim; on failure nothing is retrieved.
#[inline(always)]
pub(crate) fn retrieve(
    way: &mut (impl Conduit + Mailbox),
    own_id: EndpointId,
    (handle, request): (MemHandle, &ExactRequest),
    response: &mut Response,
) -> Result<(), FfaError> {
    let bytes = request.bytes();
    let len = u32::try_from(bytes.len()).map_err(|_| FfaError::InvalidParameters)?;
    if !way.write_tx(bytes) {
        return Err(FfaError::InvalidParameters);
    }
    let lengths = spmc::retrieve(way, len)?;
    let copied = copy_all(way, handle, lengths, response);
    if copied.is_err() {
        // What was retrieved and cannot be read must not stay locked.
        relinquish(way, own_id, handle)?;
    }
    copied
}

/// Copies the first fragment and fetches the others; RX is given back in every case.
#[inline]
fn copy_all(
    way: &mut (impl Conduit + Mailbox),
    handle: MemHandle,
    lengths: causeway_ffa::Lengths,
    response: &mut Response,
) -> Result<(), FfaError> {
    response.len = 0;
    copy_fragment(way, lengths.fragment(), response)?;
    let total = usize::try_from(lengths.total()).map_err(|_| FfaError::NoMemory)?;
    if response.len < total {
        copy_others(way, handle, total, response)?;
    }
    if response.len == total { Ok(()) } else { Err(FfaError::InvalidParameters) }
}

/// Fetches the fragments after the first until there are `total` bytes.
#[inline(never)]
fn copy_others(
    way: &mut (impl Conduit + Mailbox),
    handle: MemHandle,
    total: usize,
    response: &mut Response,
) -> Result<(), FfaError> {
    // Each fragment holds at least one byte, so that this ends after `total` rounds at most; the
    // EL3 SPMC fills each.
    while response.len < total {
        let offset = u32::try_from(response.len).map_err(|_| FfaError::NoMemory)?;
        let endpoint = EndpointId::from_raw(0);
        let answer = spmc::call(way, &Call::MemFragRx { handle, offset, endpoint })?;
        let Answer::MemFragTx { handle: told, length, .. } = answer else {
            return Err(FfaError::NotSupported);
        };
        let fits = usize::try_from(length).is_ok_and(|len| len != 0 && len <= total - response.len);
        let kept = copy_fragment(way, length, response);
        if told != handle || !fits {
            return Err(FfaError::InvalidParameters);
        }
        kept?;
    }
    Ok(())
}

/// Copies one fragment out of RX and gives RX back, also where the fragment is of no use.
#[inline(always)]
fn copy_fragment(
    way: &mut (impl Conduit + Mailbox),
    len: u32,
    response: &mut Response,
) -> Result<(), FfaError> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let fits = len <= MAILBOX_BYTES;
    let copied = fits && response.room(len).is_some_and(|room| way.read_rx(room));
    spmc::call_plain(way, &Call::RxRelease { vm: EndpointId::from_raw(0) })?;
    if copied { Ok(()) } else { Err(FfaError::NoMemory) }
}

/// Gives retrieved memory back: the SPMC then allows the owner's reclaim.
pub(crate) fn relinquish(
    way: &mut (impl Conduit + Mailbox),
    own_id: EndpointId,
    handle: MemHandle,
) -> Result<(), FfaError> {
    let mut message = Aligned([0; RELINQUISH_BYTES]);
    let Aligned(message) = &mut message;
    relinquish::write(handle, ReclaimFlags::default(), &[own_id], message)
        .map_err(|error| error.status())?;
    if !way.write_tx(message) {
        return Err(FfaError::InvalidParameters);
    }
    spmc::call_plain(way, &Call::MemRelinquish)
}

#[cfg(test)]
mod tests;
