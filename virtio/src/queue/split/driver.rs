//! Owns the driver side of split rings. Keeps its own copy of every link, so that a device that
//! writes into the descriptor table changes nothing here. Never trusts a used element.

use super::super::desc::{DESC_BYTES, Desc, INDIRECT, NEXT, in_ring_order, passes, up};
use super::super::ending::Ends;
use super::super::flight::{Batch, Book};
use super::super::{QueueConfig, QueueError, Segment, Token, Used};
use super::{NO_NOTIFY, Places};
use crate::addr::BusAddr;
use crate::mem::AreaMap;

/// The driver side of a split queue with room for `N` entries.
///
/// Free descriptors are reused in the order in which they came back. Where the device completes in
/// order that is the order of the table, which IN_ORDER demands (virtio 1.3, 2.7.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitDriver<const N: usize> {
    at: Places,
    book: Book<N>,
    next_avail: u16,
    next_used: u16,
    kicked: u16,
}

impl<const N: usize> Ends for SplitDriver<N> {
    #[inline]
    fn failed(&self) -> bool {
        self.book.failed
    }

    fn fail(&mut self) {
        self.book.failed = true;
    }
}

impl<const N: usize> SplitDriver<N> {
    pub(crate) fn new<M: AreaMap + ?Sized>(
        mem: &M,
        config: QueueConfig,
    ) -> Result<Self, QueueError> {
        let book = Book::new(config.size.get())?;
        config.check(mem)?;
        let at = Places::new(config);
        mem.write_u32(at.avail_flags(), 0)?;
        mem.write_u16(at.used_event(), 0)?;
        mem.write_u32(at.used_flags(), 0)?;
        mem.write_u16(at.avail_event(), 0)?;
        Ok(Self { at, book, next_avail: 0, next_used: 0, kicked: 0 })
    }

    pub(crate) const fn config(&self) -> &QueueConfig {
        &self.at.config
    }

    pub(crate) const fn in_flight(&self) -> u16 {
        self.book.in_flight()
    }

    pub(crate) const fn fail(&mut self) {
        self.book.failed = true;
    }

    pub(crate) fn submit<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        readable: &[Segment],
        writable: &[Segment],
    ) -> Result<Token, QueueError> {
        let offer = self.book.admit((readable, writable), self.at.size(), None)?;
        self.step(|queue| {
            let mut index = queue.book.first_free();
            for (number, (segment, write)) in
                (1..=offer.count).zip(in_ring_order(readable, writable))
            {
                let next = queue.book.entry(index)?.next;
                // The last one's `next` means nothing, but IN_ORDER's rule is kept there, too.
                let flags = write | if number < offer.count { NEXT } else { 0 };
                let Segment { addr, len } = *segment;
                let desc = Desc { addr, len, third: flags, fourth: next };
                mem.write(queue.at.desc(index), &desc.to_bytes())?;
                index = next;
            }
            queue.offer(mem, index, offer.count, offer.room)
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
        let offer = self.book.admit((readable, writable), self.at.size(), Some(1))?;
        let len = u32::from(offer.count).saturating_mul(16);
        if !table.holds(u64::from(len)) {
            return Err(QueueError::WildAddress);
        }
        self.step(|queue| {
            let mut place = table;
            for (number, (segment, write)) in
                (1..=offer.count).zip(in_ring_order(readable, writable))
            {
                let more = number < offer.count;
                let flags = write | if more { NEXT } else { 0 };
                let Segment { addr, len } = *segment;
                let next = if more { number } else { 0 };
                let desc = Desc { addr, len, third: flags, fourth: next };
                mem.write(place, &desc.to_bytes())?;
                place = up(place, DESC_BYTES);
            }
            let head = queue.book.first_free();
            let after = queue.book.entry(head)?.next;
            let desc = Desc { addr: table, len, third: INDIRECT, fourth: 0 };
            mem.write(queue.at.desc(head), &desc.to_bytes())?;
            queue.offer(mem, after, 1, offer.room)
        })
    }

    /// Publishes the chain that begins at the free list's head and ends before `after`.
    fn offer<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        after: u16,
        len: u16,
        room: u32,
    ) -> Result<Token, QueueError> {
        let head = self.book.first_free();
        mem.write_u16(self.at.avail_entry(self.next_avail), head)?;
        let published = self.next_avail.wrapping_add(1);
        mem.store_release_u16(self.at.avail_index(), published)?;
        self.next_avail = published;
        self.book.lend(len, room, (len, after))
    }

    pub(crate) fn pop_used<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
    ) -> Result<Option<Used>, QueueError> {
        self.step(|queue| {
            if !queue.at.in_order() {
                if queue.waiting(mem)? == 0 {
                    return Ok(None);
                }
                let (head, written) = queue.element(mem)?;
                return queue.take_back(head, written).map(Some);
            }
            let Some(batch) = queue.batch(mem)? else { return Ok(None) };
            let head = queue.book.oldest();
            let next = head.wrapping_add(queue.book.entry(head)?.len) & queue.at.mask;
            let (head, written) = queue.book.oldest_of(batch, next)?;
            queue.take_back(head, written).map(Some)
        })
    }

    /// Reads the used element at `next_used`: a head, and what the device says it wrote.
    fn element<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<(u16, u32), QueueError> {
        let mut element = [0; 8];
        mem.read(self.at.used_entry(self.next_used), &mut element)?;
        let [i0, i1, i2, i3, w0, w1, w2, w3] = element;
        let head = u16::try_from(u32::from_le_bytes([i0, i1, i2, i3]))
            .ok()
            .filter(|head| *head < self.at.size())
            .ok_or(QueueError::Used)?;
        Ok((head, u32::from_le_bytes([w0, w1, w2, w3])))
    }

    /// Takes a chain out of flight, if it is there and has room for what was written.
    fn take_back(&mut self, head: u16, written: u32) -> Result<Used, QueueError> {
        let entry = *self.book.entry(head)?;
        if entry.len == 0 || written > entry.room {
            return Err(QueueError::Used);
        }
        self.next_used = self.next_used.wrapping_add(1);
        self.book.take_back(head, written, entry.len)
    }

    /// Returns the batch that is being handed out, else the next one. It must end at a chain in flight,
    /// no further than the used index has moved.
    fn batch<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<Option<Batch>, QueueError> {
        if let Some(batch) = self.book.batch() {
            return Ok(Some(batch));
        }
        let waiting = self.waiting(mem)?;
        if waiting == 0 {
            return Ok(None);
        }
        let (last, written) = self.element(mem)?;
        let mut head = self.book.oldest();
        for _ in 0..waiting {
            let entry = self.book.entry(head)?;
            if head == last && entry.len != 0 && written <= entry.room {
                return Ok(Some(Batch { last: Token(last), written }));
            }
            head = head.wrapping_add(entry.len) & self.at.mask;
        }
        Err(QueueError::Used)
    }

    /// Returns how many used elements wait; never more than chains are in flight.
    fn waiting<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<u16, QueueError> {
        let index = mem.load_acquire_u16(self.at.used_index())?;
        let waiting = index.wrapping_sub(self.next_used);
        if waiting > self.book.in_flight() { Err(QueueError::IndexJump) } else { Ok(waiting) }
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
                return Ok(passes(event, new, old));
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
                let ahead = count.min(queue.book.in_flight()).saturating_sub(1);
                mem.write_u16(queue.at.used_event(), queue.next_used.wrapping_add(ahead))?;
            } else {
                mem.write_u16(queue.at.avail_flags(), 0)?;
            }
            mem.full_fence();
            Ok(queue.book.batch().is_some() || queue.waiting(mem)? != 0)
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
