//! Owns the driver side of packed rings. Keeps its own copy of what is in flight, so that a device
//! that writes into the ring changes nothing here. Never trusts a used descriptor.

use super::super::desc::{DESC_BYTES, Desc, INDIRECT, NEXT, WRITE, in_ring_order, up};
use super::super::ending::Ends;
use super::super::flight::{Batch, Book};
use super::super::{QueueConfig, QueueError, Segment, Token, Used};
use super::{Places, Position};
use crate::addr::BusAddr;
use crate::mem::AreaMap;

/// The driver side of a packed queue with room for `N` entries.
///
/// Buffer ids are reused in the order in which they came back: with IN_ORDER they go round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedDriver<const N: usize> {
    at: Places,
    /// By buffer id.
    book: Book<N>,
    avail: Position,
    used: Position,
    /// Slots offered since the last decision about a kick.
    since: u16,
}

impl<const N: usize> Ends for PackedDriver<N> {
    #[inline]
    fn failed(&self) -> bool {
        self.book.failed
    }

    fn fail(&mut self) {
        self.book.failed = true;
    }
}

impl<const N: usize> PackedDriver<N> {
    pub(crate) fn new<M: AreaMap + ?Sized>(
        mem: &M,
        config: QueueConfig,
    ) -> Result<Self, QueueError> {
        let size = config.size.get();
        let book = Book::new(size)?;
        config.check(mem)?;
        let at = Places { config };
        for slot in 0..size {
            mem.write(at.desc(slot), &[0; 16])?;
        }
        mem.write_u32(config.driver, 0)?;
        mem.write_u32(config.device, 0)?;
        Ok(Self { at, book, avail: Position::START, used: Position::START, since: 0 })
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
            let id = queue.book.first_free();
            let mut at = queue.avail;
            let mut first = None;
            for (number, (segment, write)) in
                (1..=offer.count).zip(in_ring_order(readable, writable))
            {
                let more = if number < offer.count { NEXT } else { 0 };
                let flags = at.available() | write | more;
                let Segment { addr, len } = *segment;
                let desc = Desc { addr, len, third: id, fourth: flags };
                match first {
                    // The first one hands all of them over: it is written last.
                    None => first = Some(desc),
                    Some(_) => mem.write(queue.at.desc(at.slot), &desc.to_bytes())?,
                }
                at = at.after(1, queue.at.size());
            }
            queue.offer(mem, first.ok_or(QueueError::Empty)?, offer.count, offer.room)
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
            for (segment, write) in in_ring_order(readable, writable) {
                let Segment { addr, len } = *segment;
                let desc = Desc { addr, len, third: 0, fourth: write };
                mem.write(place, &desc.to_bytes())?;
                place = up(place, DESC_BYTES);
            }
            let flags = INDIRECT | queue.avail.available();
            let desc = Desc { addr: table, len, third: queue.book.first_free(), fourth: flags };
            queue.offer(mem, desc, 1, offer.room)
        })
    }

    /// Writes the chain's first descriptor, flags last, and notes the chain.
    fn offer<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        first: Desc,
        slots: u16,
        room: u32,
    ) -> Result<Token, QueueError> {
        let slot = self.avail.slot;
        mem.write_u64(self.at.desc(slot), first.addr.get())?;
        mem.store_handover(self.at.handover(slot), first.second_half())?;
        let after = self.book.entry(self.book.first_free())?.next;
        self.avail = self.avail.after(slots, self.at.size());
        self.since = self.since.saturating_add(slots);
        self.book.lend(slots, room, (1, after))
    }

    pub(crate) fn pop_used<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
    ) -> Result<Option<Used>, QueueError> {
        self.step(|queue| {
            if !queue.at.in_order() {
                let Some((id, written)) = queue.element(mem)? else { return Ok(None) };
                return queue.take_back(id, written).map(Some);
            }
            let Some(batch) = queue.batch(mem)? else { return Ok(None) };
            let next = queue.id_after(queue.book.oldest());
            let (id, written) = queue.book.oldest_of(batch, next)?;
            queue.take_back(id, written).map(Some)
        })
    }

    /// Reads the used descriptor at the ring's tail: an id in flight, and what was written.
    ///
    /// The length counts only with WRITE (virtio 1.3, 2.8.6). Yet QEMU never sets that flag and Linux
    /// never looks at it, so without it a length counts if there is room for it.
    fn element<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<Option<(u16, u32)>, QueueError> {
        let flags = mem.load_acquire_u16(self.at.flags(self.used.slot))?;
        if !self.used.is_used(flags) {
            return Ok(None);
        }
        let desc = Desc::read(mem, self.at.desc(self.used.slot))?;
        let id = desc.third;
        let entry = self.book.entry(id)?;
        if id >= self.at.size() || entry.len == 0 {
            return Err(QueueError::Used);
        }
        if desc.len <= entry.room {
            Ok(Some((id, desc.len)))
        } else if flags & WRITE == 0 {
            Ok(Some((id, 0)))
        } else {
            Err(QueueError::Used)
        }
    }

    /// Takes a chain that is in flight out of flight.
    fn take_back(&mut self, id: u16, written: u32) -> Result<Used, QueueError> {
        let slots = self.book.entry(id)?.len;
        self.used = self.used.after(slots, self.at.size());
        self.book.take_back(id, written, 1)
    }

    /// Returns the batch that is being handed out, else the next one. It must end at a chain in
    /// flight.
    fn batch<M: AreaMap + ?Sized>(&self, mem: &M) -> Result<Option<Batch>, QueueError> {
        if let Some(batch) = self.book.batch() {
            return Ok(Some(batch));
        }
        Ok(self.element(mem)?.map(|(id, written)| Batch { last: Token(id), written }))
    }

    /// With IN_ORDER: the id that is offered after `id`.
    const fn id_after(&self, id: u16) -> u16 {
        let next = id.wrapping_add(1);
        if next >= self.at.size() { 0 } else { next }
    }

    pub(crate) fn should_kick<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        self.step(|queue| {
            let since = core::mem::take(&mut queue.since);
            if since == 0 {
                return Ok(false);
            }
            queue.at.wants(mem, queue.at.config.device, queue.avail, since)
        })
    }

    /// An event names a slot, not a chain: the one at which `count` chains of the average length end.
    /// It lies before the last slot in flight, so it is passed at the latest by the last chain.
    pub(crate) fn arm<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        count: u16,
    ) -> Result<bool, QueueError> {
        self.step(|queue| {
            let in_flight = queue.book.in_flight();
            let chains = u32::from(in_flight);
            let ahead = u32::from(count.min(in_flight).saturating_sub(1));
            let busy = u32::from(queue.at.size().saturating_sub(queue.book.free_slots()));
            let slots = busy.saturating_mul(ahead).checked_div(chains).unwrap_or(0);
            let slots = u16::try_from(slots).unwrap_or(0);
            let at = queue.used.after(slots, queue.at.size());
            queue.at.arm(mem, queue.at.config.driver, at)?;
            let flags = mem.load_acquire_u16(queue.at.flags(queue.used.slot))?;
            Ok(queue.book.batch().is_some() || queue.used.is_used(flags))
        })
    }

    pub(crate) fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        self.step(|queue| queue.at.disarm(mem, queue.at.config.driver))
    }
}
