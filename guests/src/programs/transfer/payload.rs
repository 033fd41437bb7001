//! Owns where a request's data lies: in an area of the link, or on purpose outside of all. Never
//! reads it through a reference.

use super::POOL;
use crate::rt::access;
use alloc::vec;
use alloc::vec::Vec;
use causeway_client::guest::DmaBuffer;
use causeway_client::memory::OutOfWindow;

/// Where the data of requests is to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In areas of the link, where the device reaches it.
    InAreas,
    /// In this VM's heap: `Hal::share` has to move it, and counts that.
    OutsideAreas,
}

/// Where a request's data lies.
pub(super) enum Payload {
    /// In an area of the link: the device writes it where it is.
    Shared(DmaBuffer<'static>),
    /// In this VM's heap, outside every area: `Hal::share` has to move it.
    Outside(Vec<u8>),
}

impl Payload {
    /// Takes `len_bytes` bytes; `None` if the pool has not that many.
    pub(super) fn take(len_bytes: usize, place: Place) -> Option<Self> {
        match place {
            Place::InAreas => POOL.take(len_bytes.div_ceil(4096)).map(Self::Shared),
            Place::OutsideAreas => Some(Self::Outside(vec![0; len_bytes])),
        }
    }

    /// Copies bytes out.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), OutOfWindow> {
        match self {
            Self::Shared(buffer) => buffer.read(offset, into),
            Self::Outside(bytes) => {
                let start = usize::try_from(offset).map_err(|_| OutOfWindow)?;
                let from = bytes.get(start..).and_then(|rest| rest.get(..into.len()));
                into.copy_from_slice(from.ok_or(OutOfWindow)?);
                Ok(())
            }
        }
    }

    /// Shows the first `len_bytes` bytes where they lie, a few at a time: no copy.
    pub(super) fn visit(
        &self,
        len_bytes: usize,
        mut look: impl FnMut(&[u8]),
    ) -> Result<(), OutOfWindow> {
        match self {
            Self::Shared(buffer) => buffer.visit(len_bytes, look),
            Self::Outside(bytes) => {
                look(bytes.get(..len_bytes).ok_or(OutOfWindow)?);
                Ok(())
            }
        }
    }

    /// Copies bytes in.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutOfWindow> {
        match self {
            Self::Shared(buffer) => buffer.write(offset, bytes),
            Self::Outside(own) => {
                let start = usize::try_from(offset).map_err(|_| OutOfWindow)?;
                let into = own.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len()));
                into.ok_or(OutOfWindow)?.copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Flips the lowest bit of the first byte, where it lies.
    pub(super) fn flip(&mut self) {
        match self {
            Self::Shared(buffer) => {
                let address = buffer.raw().cast::<u8>().as_ptr().expose_provenance();
                let address = u64::try_from(address).expect("64-bit");
                access::write_u8(address, access::read_u8(address) ^ 1);
            }
            Self::Outside(bytes) => {
                if let Some(first) = bytes.first_mut() {
                    *first ^= 1;
                }
            }
        }
    }

    /// Returns the memory for the driver to hand to the device.
    ///
    /// # Safety
    /// The slice must only be handed to virtio-drivers, which takes its address and reads or
    /// writes none of its bytes.
    pub(super) unsafe fn slice(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        let whole = match self {
            // SAFETY: the slice is used for its address alone, as the caller promises; what the
            // device wrote is read through `Payload::read`.
            Self::Shared(buffer) => unsafe { buffer.slice_mut() },
            Self::Outside(bytes) => bytes.as_mut_slice(),
        };
        whole.get_mut(..len_bytes)
    }
}
