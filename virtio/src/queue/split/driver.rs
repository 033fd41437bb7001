//! Owns the driver side of split rings. Keeps its own copy of every link, so that a device that
//! writes into the descriptor table changes nothing here. Never trusts a used element.

use super::super::{QueueConfig, QueueError, Segment, Token, Used};
use super::{DESC_BYTES, Desc, INDIRECT, NEXT, NO_NOTIFY, Places, WRITE, up};
use crate::addr::BusAddr;
use crate::mem::AreaMap;

/// What the driver side knows about one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The next descriptor of the chain, or of the free list.
    next: u16,
    /// Descriptors in the chain that begins here; 0 if none in flight does.
    chain_len: u16,
    /// Bytes that the device may write to that chain.
    room: u64,
}

/// The driver side of a split queue with room for `N` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitDriver<const N: usize> {
    at: Places,
    entries: [Entry; N],
    free_head: u16,
    free_count: u16,
    in_flight: u16,
    next_avail: u16,
    next_used: u16,
    kicked: u16,
    failed: bool,
}

impl<const N: usize> SplitDriver<N> {
    pub(crate) fn new<M: AreaMap + ?Sized>(
        mem: &M,
        config: QueueConfig,
    ) -> Result<Self, QueueError> {
        if usize::from(config.size.get()) > N {
            return Err(QueueError::Size);
        }
        config.check(mem)?;
        let at = Places::new(config);
        mem.write_u32(at.avail_flags(), 0)?;
        mem.write_u16(at.used_event(), 0)?;
        mem.write_u32(at.used_flags(), 0)?;
        mem.write_u16(at.avail_event(), 0)?;
        let mut entries = [Entry { next: 0, chain_len: 0, room: 0 }; N];
        for (entry, next) in entries.iter_mut().zip(1..=u16::MAX) {
            entry.next = next;
        }
        Ok(Self {
            at,
            entries,
            free_head: 0,
            free_count: config.size.get(),
            in_flight: 0,
            next_avail: 0,
            next_used: 0,
            kicked: 0,
            failed: false,
        })
    }

    pub(crate) const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Runs one step; an error ends the queue.
    fn step<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        if self.failed {
            return Err(QueueError::Failed);
        }
        let result = run(self);
        self.failed = result.is_err();
        result
    }

    /// Checks what can be refused without harm: nothing has been changed.
    fn admit(
        &self,
        readable: &[Segment],
        writable: &[Segment],
        descriptors: usize,
    ) -> Result<(), QueueError> {
        if self.failed {
            return Err(QueueError::Failed);
        }
        if readable.is_empty() && writable.is_empty() {
            return Err(QueueError::Empty);
        }
        if descriptors > usize::from(self.free_count) {
            return Err(QueueError::Full);
        }
        let fits = |s: &Segment| s.addr.holds(u64::from(s.len));
        if readable.iter().chain(writable).all(fits) {
            Ok(())
        } else {
            Err(QueueError::WildAddress)
        }
    }

    pub(crate) fn submit<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        readable: &[Segment],
        writable: &[Segment],
    ) -> Result<Token, QueueError> {
        let count = readable.len().saturating_add(writable.len());
        self.admit(readable, writable, count)?;
        self.step(|queue| {
            let mut index = queue.free_head;
            let links = descriptors(readable, writable);
            for (number, (segment, write)) in links.enumerate() {
                let next = queue.entry(index)?.next;
                let more = number.saturating_add(1) < count;
                let flags = write | if more { NEXT } else { 0 };
                let desc = Desc {
                    addr: segment.addr,
                    len: segment.len,
                    flags,
                    next: if more { next } else { 0 },
                };
                mem.write(queue.at.desc(index), &desc.to_bytes())?;
                index = next;
            }
            queue.offer(mem, index, count, room(writable))
        })
    }

    pub(crate) fn submit_indirect<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        table: BusAddr,
        readable: &[Segment],
        writable: &[Segment],
    ) -> Result<Token, QueueError> {
        if !self.at.indirect() {
            return Err(QueueError::Indirect);
        }
        self.admit(readable, writable, 1)?;
        let count = readable.len().saturating_add(writable.len());
        let count = u16::try_from(count).ok().filter(|n| *n <= self.at.size());
        let count = count.ok_or(QueueError::TooLong)?;
        let len = u32::from(count).saturating_mul(16);
        if !table.holds(u64::from(len)) {
            return Err(QueueError::WildAddress);
        }
        self.step(|queue| {
            for ((segment, write), number) in descriptors(readable, writable).zip(1_u16..) {
                let more = number < count;
                let desc = Desc {
                    addr: segment.addr,
                    len: segment.len,
                    flags: write | if more { NEXT } else { 0 },
                    next: if more { number } else { 0 },
                };
                let at = u64::from(number.wrapping_sub(1)).wrapping_mul(DESC_BYTES);
                mem.write(up(table, at), &desc.to_bytes())?;
            }
            let head = queue.free_head;
            let after = queue.entry(head)?.next;
            let desc = Desc { addr: table, len, flags: INDIRECT, next: 0 };
            mem.write(queue.at.desc(head), &desc.to_bytes())?;
            queue.offer(mem, after, 1, room(writable))
        })
    }

    /// Publishes the chain that begins at the free list's head and ends before `after`.
    fn offer<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        after: u16,
        count: usize,
        room: u64,
    ) -> Result<Token, QueueError> {
        let head = self.free_head;
        let chain_len = u16::try_from(count).map_err(|_| QueueError::TooLong)?;
        mem.write_u16(self.at.avail_entry(self.next_avail), head)?;
        let published = self.next_avail.wrapping_add(1);
        mem.store_release_u16(self.at.avail_index(), published)?;
        let entry = self.entry_mut(head)?;
        entry.chain_len = chain_len;
        entry.room = room;
        self.next_avail = published;
        self.free_head = after;
        self.free_count = self.free_count.saturating_sub(chain_len);
        self.in_flight = self.in_flight.saturating_add(1);
        Ok(Token(head))
    }

    pub(crate) fn pop_used<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
    ) -> Result<Option<Used>, QueueError> {
        self.step(|queue| {
            if queue.waiting(mem)? == 0 {
                return Ok(None);
            }
            let mut element = [0; 8];
            mem.read(queue.at.used_entry(queue.next_used), &mut element)?;
            let [i0, i1, i2, i3, w0, w1, w2, w3] = element;
            let written = u32::from_le_bytes([w0, w1, w2, w3]);
            let head = u16::try_from(u32::from_le_bytes([i0, i1, i2, i3]))
                .ok()
                .filter(|head| *head < queue.at.size())
                .ok_or(QueueError::Used)?;
            let entry = *queue.entry(head)?;
            if entry.chain_len == 0 || u64::from(written) > entry.room {
                return Err(QueueError::Used);
            }
            queue.free(head, entry.chain_len)?;
            queue.next_used = queue.next_used.wrapping_add(1);
            Ok(Some(Used { token: Token(head), written }))
        })
    }

    /// Returns how many used elements wait; never more than chains are in flight.
    fn waiting<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<u16, QueueError> {
        let index = mem.load_acquire_u16(self.at.used_index())?;
        let waiting = index.wrapping_sub(self.next_used);
        if waiting > self.in_flight { Err(QueueError::IndexJump) } else { Ok(waiting) }
    }

    /// Puts a chain back on the free list.
    fn free(&mut self, head: u16, chain_len: u16) -> Result<(), QueueError> {
        let mut last = head;
        for _ in 1..chain_len {
            last = self.entry(last)?.next;
        }
        let free_head = self.free_head;
        self.entry_mut(last)?.next = free_head;
        self.entry_mut(head)?.chain_len = 0;
        self.free_head = head;
        self.free_count = self.free_count.saturating_add(chain_len);
        self.in_flight = self.in_flight.saturating_sub(1);
        Ok(())
    }

    fn entry(&self, index: u16) -> Result<&Entry, QueueError> {
        self.entries.get(usize::from(index)).ok_or(QueueError::DescriptorIndex)
    }

    fn entry_mut(&mut self, index: u16) -> Result<&mut Entry, QueueError> {
        self.entries.get_mut(usize::from(index)).ok_or(QueueError::DescriptorIndex)
    }

    pub(crate) fn should_kick<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        self.step(|queue| {
            let (new, old) = (queue.next_avail, queue.kicked);
            if new == old {
                return Ok(false);
            }
            mem.full_fence();
            queue.kicked = new;
            if queue.at.event_index() {
                let event = mem.read_u16(queue.at.avail_event())?;
                return Ok(super::passes(event, new, old));
            }
            Ok(mem.read_u16(queue.at.used_flags())? & NO_NOTIFY == 0)
        })
    }

    pub(crate) fn arm<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        count: u16,
    ) -> Result<bool, QueueError> {
        self.step(|queue| {
            if queue.at.event_index() {
                let ahead = count.min(queue.in_flight).saturating_sub(1);
                mem.write_u16(queue.at.used_event(), queue.next_used.wrapping_add(ahead))?;
            } else {
                mem.write_u16(queue.at.avail_flags(), 0)?;
            }
            mem.full_fence();
            Ok(queue.waiting(mem)? != 0)
        })
    }

    pub(crate) fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        self.step(|queue| {
            if queue.at.event_index() {
                // As far away as an index can be.
                mem.write_u16(queue.at.used_event(), queue.next_used.wrapping_sub(1))?;
            } else {
                mem.write_u16(queue.at.avail_flags(), NO_NOTIFY)?;
            }
            Ok(())
        })
    }
}

/// Returns the segments in ring order, each with its WRITE flag or none.
fn descriptors<'a>(
    readable: &'a [Segment],
    writable: &'a [Segment],
) -> impl Iterator<Item = (&'a Segment, u16)> {
    readable.iter().map(|s| (s, 0)).chain(writable.iter().map(|s| (s, WRITE)))
}

fn room(writable: &[Segment]) -> u64 {
    writable.iter().fold(0, |sum, s| sum.saturating_add(u64::from(s.len)))
}
