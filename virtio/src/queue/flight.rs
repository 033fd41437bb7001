//! Owns what a driver side of either layout keeps: what it checks before it offers a chain, which names
//! are free, what is in flight. Never touches shared memory.

use super::chain::{MOST_BYTES, total};
use super::{QueueError, Segment, Token, Used};

/// What the driver side knows of one descriptor (split) or buffer id (packed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The next one of its chain, or of the free list.
    pub(super) next: u16,
    /// Ring entries that the chain of this name fills; 0 if none in flight has the name.
    pub(super) len: u16,
    /// Bytes that the device may write to that chain.
    pub(super) room: u32,
}

impl Entry {
    pub(super) const NONE: Self = Self { next: 0, len: 0, room: 0 };

    /// Makes a free list of the first `size` entries that goes round in their order.
    pub(super) fn ring<const N: usize>(size: u16) -> [Self; N] {
        let mut entries = [Self::NONE; N];
        for (entry, next) in entries.iter_mut().zip((1..size).chain([0])) {
            entry.next = next;
        }
        entries
    }
}

/// A chain that was looked over before it is offered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Its descriptors.
    pub(super) count: u16,
    /// Bytes that the device may write.
    pub(super) room: u32,
}

impl Offer {
    /// Checks what can be refused without harm.
    pub(super) fn new(
        readable: &[Segment],
        writable: &[Segment],
        most: u16,
    ) -> Result<Self, QueueError> {
        let count = readable.len().saturating_add(writable.len());
        let count = u16::try_from(count).ok().filter(|count| *count <= most);
        let count = count.ok_or(QueueError::TooLong)?;
        if count == 0 {
            return Err(QueueError::Empty);
        }
        let fits = |s: &Segment| s.addr.holds(u64::from(s.len));
        if !readable.iter().chain(writable).all(fits) {
            return Err(QueueError::WildAddress);
        }
        let writable_bytes = total(writable);
        if total(readable).saturating_add(writable_bytes) > MOST_BYTES {
            return Err(QueueError::ChainBytes);
        }
        // 2^32 itself is more than a used length can say.
        Ok(Self { count, room: u32::try_from(writable_bytes).unwrap_or(u32::MAX) })
    }
}

/// With IN_ORDER one used entry may stand for several chains: the last of them and what the device
/// says of it. Those before it count as filled wholly (virtio 1.3, 2.7.9 and 2.8.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) last: Token,
    pub(super) written: u32,
}

/// The books of a driver side. A name is what a chain is called: in split rings the index of its first
/// descriptor, and the indices of the others are used up with it; in packed rings a buffer id.
///
/// Names are reused in the order in which they came back. A device writes nothing of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Book<const N: usize> {
    entries: [Entry; N],
    first_free: u16,
    last_free: u16,
    free_names: u16,
    /// Ring entries that the device does not have.
    free_slots: u16,
    in_flight: u16,
    /// With IN_ORDER: the chain in flight that was offered first.
    oldest: u16,
    batch: Option<Batch>,
    pub(super) failed: bool,
}

impl<const N: usize> Book<N> {
    /// Everything is free.
    ///
    /// # Errors
    /// [`QueueError::Size`] if there is no room for so many entries.
    pub(super) fn new(size: u16) -> Result<Self, QueueError> {
        if usize::from(size) > N {
            return Err(QueueError::Size);
        }
        Ok(Self {
            entries: Entry::ring(size),
            first_free: 0,
            last_free: size.wrapping_sub(1),
            free_names: size,
            free_slots: size,
            in_flight: 0,
            oldest: 0,
            batch: None,
            failed: false,
        })
    }

    pub(super) const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    pub(super) const fn free_slots(&self) -> u16 {
        self.free_slots
    }

    /// The name that the next chain gets.
    pub(super) const fn first_free(&self) -> u16 {
        self.first_free
    }

    /// With IN_ORDER: the chain in flight that was offered first.
    pub(super) const fn oldest(&self) -> u16 {
        self.oldest
    }

    /// The used entry whose chains are being handed out.
    pub(super) const fn batch(&self) -> Option<Batch> {
        self.batch
    }

    #[inline(always)]
    pub(super) fn entry(&self, name: u16) -> Result<&Entry, QueueError> {
        self.entries.get(usize::from(name)).ok_or(QueueError::Used)
    }

    #[inline(always)]
    fn entry_mut(&mut self, name: u16) -> Result<&mut Entry, QueueError> {
        self.entries.get_mut(usize::from(name)).ok_or(QueueError::Used)
    }

    /// Checks what can be refused without harm, for a queue of `size`; `slots` if the chain does not
    /// fill as many entries as it has buffers. Nothing is changed.
    #[inline(always)]
    pub(super) fn admit(
        &self,
        (readable, writable): (&[Segment], &[Segment]),
        size: u16,
        slots: Option<u16>,
    ) -> Result<Offer, QueueError> {
        if self.failed {
            return Err(QueueError::Failed);
        }
        let offer = Offer::new(readable, writable, size)?;
        let needed = slots.unwrap_or(offer.count);
        if needed > self.free_slots { Err(QueueError::Full) } else { Ok(offer) }
    }

    /// Notes a chain that was offered under the first free name and fills `slots` entries. It used up
    /// `names`, after which `after` is the first that is free.
    #[inline(always)]
    pub(super) fn lend(
        &mut self,
        slots: u16,
        room: u32,
        (names, after): (u16, u16),
    ) -> Result<Token, QueueError> {
        let name = self.first_free;
        let entry = self.entry_mut(name)?;
        entry.len = slots;
        entry.room = room;
        self.first_free = after;
        self.free_names = self.free_names.saturating_sub(names);
        self.free_slots = self.free_slots.saturating_sub(slots);
        self.in_flight = self.in_flight.saturating_add(1);
        Ok(Token(name))
    }

    /// Takes a chain in flight out of flight: its names come last among the free ones.
    #[inline(always)]
    pub(super) fn take_back(
        &mut self,
        name: u16,
        written: u32,
        names: u16,
    ) -> Result<Used, QueueError> {
        let mut last = name;
        for _ in 1..names {
            last = self.entry(last)?.next;
        }
        if self.free_names == 0 {
            self.first_free = name;
        } else {
            let tail = self.last_free;
            self.entry_mut(tail)?.next = name;
        }
        self.last_free = last;
        let entry = self.entry_mut(name)?;
        let slots = core::mem::take(&mut entry.len);
        self.free_names = self.free_names.saturating_add(names);
        self.free_slots = self.free_slots.saturating_add(slots);
        self.in_flight = self.in_flight.saturating_sub(1);
        Ok(Used { token: Token(name), written })
    }

    /// With IN_ORDER: the oldest chain of a batch that the device returned, and what was written to it.
    /// `next` is the chain that was offered after it.
    pub(super) fn oldest_of(&mut self, batch: Batch, next: u16) -> Result<(u16, u32), QueueError> {
        let name = self.oldest;
        let is_last = name == batch.last.0;
        let room = self.entry(name)?.room;
        self.oldest = next;
        self.batch = if is_last { None } else { Some(batch) };
        Ok((name, if is_last { batch.written } else { room }))
    }
}
