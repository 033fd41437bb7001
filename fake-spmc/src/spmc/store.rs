//! Owns the SPMC's transactions: their bytes, their names, what they cost. Never judges one.

use super::raw::{RawComposite, RawHead};
use crate::personality::{Capacity, Handles};
use causeway_ffa::{EndpointId, MemHandle, PageRange, Transfer, Version};

/// One transaction, whole or half sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) handle: MemHandle,
    pub(super) kind: Transfer,
    pub(super) version: Version,
    /// The sender by its header.
    pub(super) sender: EndpointId,
    /// As long as was announced; zero where nothing has come yet.
    pub(super) bytes: Vec<u8>,
    pub(super) filled: usize,
    pub(super) fragments: usize,
    /// Its pages, once it is whole.
    pub(super) ranges: Vec<PageRange>,
    /// Who retrieved, once for each time.
    pub(super) retrieved: Vec<EndpointId>,
}

impl Sent {
    pub(super) const fn is_whole(&self) -> bool {
        self.filled == self.bytes.len()
    }

    pub(super) fn head(&self) -> Option<RawHead> {
        RawHead::read(&self.bytes, self.version)
    }

    pub(super) fn composite(&self) -> Option<RawComposite> {
        let at = self.head()?.receivers.first()?.composite;
        RawComposite::read(&self.bytes, usize::try_from(at).ok()?)
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Store {
    capacity: Capacity,
    handles: Handles,
    next: u64,
    sent: Vec<Sent>,
}

impl Store {
    pub(super) const fn new(capacity: Capacity, handles: Handles) -> Self {
        let next = match handles {
            Handles::CountedFrom(first) => first,
            Handles::FreeIndexWith(_) => 0,
        };
        Self { capacity, handles, next, sent: Vec::new() }
    }

    /// Reports whether a descriptor of `total` bytes finds room.
    pub(super) fn has_room(&self, total: usize) -> bool {
        match self.capacity {
            Capacity::Bytes { total: all, overhead } => {
                let used: usize = self.sent.iter().map(|s| s.bytes.len() + overhead).sum();
                used + overhead + total <= all
            }
            Capacity::Transactions { count, .. } => self.sent.len() < count,
        }
    }

    /// Reports whether a transaction may have that many fragments.
    pub(super) const fn takes_fragments(&self, fragments: usize) -> bool {
        match self.capacity {
            Capacity::Bytes { .. } => true,
            Capacity::Transactions { fragments: most, .. } => fragments <= most,
        }
    }

    /// The handle of the next transaction. The EL3 SPMC uses one up when the header is good, whatever
    /// comes then.
    pub(super) fn next_handle(&mut self) -> Option<MemHandle> {
        match self.handles {
            Handles::CountedFrom(_) => {
                self.next += 1;
                MemHandle::new(self.next - 1)
            }
            Handles::FreeIndexWith(bits) => (0..)
                .filter_map(|index| MemHandle::new(index | bits))
                .find(|handle| self.find(*handle).is_none()),
        }
    }

    pub(super) fn insert(&mut self, sent: Sent) {
        self.sent.push(sent);
    }

    pub(super) fn find(&self, handle: MemHandle) -> Option<&Sent> {
        self.sent.iter().find(|sent| sent.handle == handle)
    }

    pub(super) fn find_mut(&mut self, handle: MemHandle) -> Option<&mut Sent> {
        self.sent.iter_mut().find(|sent| sent.handle == handle)
    }

    pub(super) fn remove(&mut self, handle: MemHandle) {
        self.sent.retain(|sent| sent.handle != handle);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter()
    }
}
