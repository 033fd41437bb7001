//! Owns the private copy of a VM's descriptor while its fragments arrive. Never reads shared
//! memory, never sends anything on: only a whole descriptor leaves it (KB-09).

use crate::layout::VmIndex;
use causeway_ffa::{FfaError, Lengths, MemHandle, Transfer};

/// Longest descriptor: header, 16 receivers of 32 bytes, composite, 4096 ranges.
pub const MAX_DESCRIPTOR_BYTES: usize = 48 + 16 * 32 + 16 + 4096 * 16;
/// Longest fragment: a VM's TX buffer.
pub const MAX_FRAGMENT_BYTES: usize = 4096;
/// Handles under which fragments are collected have this bit; the SPMC's do not.
const COLLECTING: u64 = 1 << 63;

/// Where a collection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    kind: Transfer,
    total: usize,
    filled: usize,
    handle: MemHandle,
}

/// What the VM is told after a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// More has to come.
    More {
        /// The name under which the next fragments come; not the transaction's handle.
        handle: MemHandle,
        /// Bytes that have arrived.
        offset: u32,
    },
    /// The descriptor is whole.
    Whole(Transfer),
}

/// One VM's collection.
#[derive(Clone, Debug)]
pub struct Collector {
    bytes: [u8; MAX_DESCRIPTOR_BYTES],
    announced: Option<Announced>,
    begun: u32,
    last_total: usize,
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector {
    /// Nothing was announced.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; MAX_DESCRIPTOR_BYTES], announced: None, begun: 0, last_total: 0 }
    }

    /// Begins a descriptor; whatever was being collected is dropped. `copy` fills the slice that
    /// it gets with the fragment, once.
    ///
    /// # Errors
    /// `InvalidParameters` for a fragment that no TX buffer can hold; `NoMemory` for a descriptor
    /// beyond [`MAX_DESCRIPTOR_BYTES`].
    pub fn begin(
        &mut self,
        vm: VmIndex,
        kind: Transfer,
        lengths: Lengths,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<Next, FfaError> {
        self.announced = None;
        let (total, fragment) = (lengths.total() as usize, lengths.fragment() as usize);
        if fragment > MAX_FRAGMENT_BYTES {
            return Err(FfaError::InvalidParameters);
        }
        let room = self.bytes.get_mut(..total).ok_or(FfaError::NoMemory)?;
        copy(room.get_mut(..fragment).ok_or(FfaError::InvalidParameters)?);
        self.begun = self.begun.wrapping_add(1);
        let raw = COLLECTING | u64::from(vm.id().get()) << 32 | u64::from(self.begun);
        let handle = MemHandle::new(raw).ok_or(FfaError::NoMemory)?;
        self.announced = Some(Announced { kind, total, filled: fragment, handle });
        self.next()
    }

    /// Takes the next fragment.
    ///
    /// # Errors
    /// `InvalidParameters` for an unknown handle, or a fragment that is empty, splits a range or
    /// exceeds what was announced; the last two end the collection.
    pub fn add(
        &mut self,
        handle: MemHandle,
        len: u32,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<Next, FfaError> {
        let announced = self.announced.filter(|announced| announced.handle == handle);
        let announced = announced.ok_or(FfaError::InvalidParameters)?;
        self.announced = None;
        let len = len as usize;
        let end = announced.filled + len.min(MAX_FRAGMENT_BYTES + 1);
        if len > MAX_FRAGMENT_BYTES || len == 0 || !len.is_multiple_of(16) || end > announced.total
        {
            return Err(FfaError::InvalidParameters);
        }
        copy(&mut self.bytes[announced.filled..end]);
        self.announced = Some(Announced { filled: end, ..announced });
        self.next()
    }

    /// Returns the whole descriptor and forgets that it was collected.
    pub fn take(&mut self) -> &[u8] {
        let total = self.announced.take().filter(|a| a.filled == a.total).map_or(0, |a| a.total);
        self.last_total = total;
        &self.bytes[..total]
    }

    /// Returns the descriptor that [`Collector::take`] returned last, for the `raw` build.
    #[cfg(feature = "raw")]
    pub fn last(&mut self) -> &mut [u8] {
        let total = self.last_total;
        &mut self.bytes[..total]
    }

    /// Drops what was collected (the VM is gone).
    pub fn forget(&mut self) {
        self.announced = None;
    }

    fn next(&self) -> Result<Next, FfaError> {
        let announced = self.announced.ok_or(FfaError::InvalidParameters)?;
        if announced.filled == announced.total {
            return Ok(Next::Whole(announced.kind));
        }
        let offset = u32::try_from(announced.filled).map_err(|_| FfaError::NoMemory)?;
        Ok(Next::More { handle: announced.handle, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: VmIndex = VmIndex::ALL[1];

    fn lengths(total: u32, fragment: u32) -> Lengths {
        Lengths::new(total, fragment).unwrap()
    }

    fn begin(collector: &mut Collector, total: u32, fragment: u32) -> Result<Next, FfaError> {
        collector.begin(VM, Transfer::Share, lengths(total, fragment), |out| out.fill(1))
    }

    fn handle_of(next: Result<Next, FfaError>) -> MemHandle {
        match next {
            Ok(Next::More { handle, .. }) => handle,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fragments_are_joined_in_order() {
        let mut collector = Collector::new();
        let handle = handle_of(begin(&mut collector, 112, 80));
        let next = collector.add(handle, 16, |out| out.fill(2));
        assert_eq!(next, Ok(Next::More { handle, offset: 96 }));
        assert_eq!(collector.add(handle, 16, |out| out.fill(3)), Ok(Next::Whole(Transfer::Share)));
        let bytes = collector.take();
        assert_eq!((bytes.len(), bytes[79], bytes[80], bytes[111]), (112, 1, 2, 3));
        assert_eq!(collector.take(), []);
    }

    #[test]
    fn more_than_announced_ends_the_collection() {
        for len in [32, 0, 8, 4112, u32::MAX] {
            let mut collector = Collector::new();
            let handle = handle_of(begin(&mut collector, 96, 80));
            assert_eq!(collector.add(handle, len, |_| ()), Err(FfaError::InvalidParameters));
            assert_eq!(collector.add(handle, 16, |_| ()), Err(FfaError::InvalidParameters));
            assert_eq!(collector.take(), []);
        }
    }

    #[test]
    fn an_invented_handle_disturbs_nothing() {
        let mut collector = Collector::new();
        let handle = handle_of(begin(&mut collector, 96, 80));
        let invented = MemHandle::new(handle.get() + 1).unwrap();
        assert_eq!(collector.add(invented, 16, |_| ()), Err(FfaError::InvalidParameters));
        assert!(collector.add(handle, 16, |_| ()).is_ok());
    }

    #[test]
    fn a_new_send_drops_the_old_one() {
        let mut collector = Collector::new();
        let old = handle_of(begin(&mut collector, 96, 80));
        let new = handle_of(begin(&mut collector, 96, 80));
        assert_ne!(old, new);
        assert_eq!(collector.add(old, 16, |_| ()), Err(FfaError::InvalidParameters));
    }

    #[test]
    fn lengths_beyond_the_buffers_are_refused() {
        let mut collector = Collector::new();
        assert_eq!(begin(&mut collector, u32::MAX, 4096), Err(FfaError::NoMemory));
        assert_eq!(begin(&mut collector, 8192, 4112), Err(FfaError::InvalidParameters));
        let most = MAX_DESCRIPTOR_BYTES as u32;
        assert!(begin(&mut collector, most, 4096).is_ok());
        assert_eq!(begin(&mut collector, most + 16, 4096), Err(FfaError::NoMemory));
    }
}
