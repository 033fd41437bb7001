//! Owns the device side of split rings. Never trusts an index, a descriptor or a length of the driver.

use super::super::chain::Progress;
use super::super::desc::{Desc, INDIRECT, NEXT, passes, walk};
use super::super::ending::Ends;
use super::super::{Chain, Head, QueueConfig, QueueError};
use super::{NO_NOTIFY, Places};
use crate::mem::AreaMap;

/// The device side of a split queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitDevice {
    at: Places,
    /// Available index up to which chains were taken.
    next_avail: u16,
    /// Available index as last read: spares reading it for every chain of a batch.
    seen_avail: u16,
    /// Used index up to which chains were completed.
    next_used: u16,
    /// Used index at the last decision about a notification.
    notified: u16,
    failed: bool,
}

impl Ends for SplitDevice {
    #[inline(always)]
    fn failed(&self) -> bool {
        self.failed
    }

    fn fail(&mut self) {
        self.failed = true;
    }
}

impl SplitDevice {
    pub(crate) fn new<M: AreaMap + ?Sized>(
        mem: &M,
        config: QueueConfig,
    ) -> Result<Self, QueueError> {
        config.check(mem)?;
        let at = Places::new(config);
        Ok(Self { at, next_avail: 0, seen_avail: 0, next_used: 0, notified: 0, failed: false })
    }

    pub(crate) const fn config(&self) -> &QueueConfig {
        &self.at.config
    }

    pub(crate) const fn in_flight(&self) -> u16 {
        self.next_avail.wrapping_sub(self.next_used)
    }

    pub(crate) const fn fail(&mut self) {
        self.failed = true;
    }

    #[inline(always)]
    pub(crate) fn take<M: AreaMap + ?Sized, const N: usize>(
        &mut self,
        mem: &M,
        chain: &mut Chain<N>,
    ) -> Result<Option<Head>, QueueError> {
        if self.failed {
            chain.clear();
            return Err(QueueError::Failed);
        }
        self.try_take(mem, chain).map_err(|error| {
            chain.clear();
            self.end(error)
        })
    }

    #[inline(always)]
    fn try_take<M: AreaMap + ?Sized, const N: usize>(
        &mut self,
        mem: &M,
        chain: &mut Chain<N>,
    ) -> Result<Option<Head>, QueueError> {
        if !self.refill(mem)? {
            chain.clear();
            return Ok(None);
        }
        let position = self.next_avail;
        let head = mem.read_u16(self.at.avail_entry(position))?;
        self.walk(mem, head, chain)?;
        self.next_avail = position.wrapping_add(1);
        Ok(Some(Head::new(head, 1, position)))
    }

    /// Reports whether a chain waits, reading the index if none is known of.
    #[inline(always)]
    fn refill<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        if self.seen_avail == self.next_avail {
            self.look(mem)?;
        }
        Ok(self.seen_avail != self.next_avail)
    }

    /// Reads the available index. It may only move forward, and what the driver has offered and
    /// not yet got back is never more than the queue has entries.
    #[inline(always)]
    fn look<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        let index = mem.load_acquire_u16(self.at.avail_index())?;
        let ahead = index.wrapping_sub(self.next_used);
        if ahead > self.at.size() || ahead < self.seen_avail.wrapping_sub(self.next_used) {
            return Err(QueueError::IndexJump);
        }
        self.seen_avail = index;
        Ok(())
    }

    /// Copies the chain that begins at `head`. Each descriptor is read once; the number of reads
    /// is bounded by the queue's size whatever the `next` fields say.
    #[inline(always)]
    fn walk<M: AreaMap + ?Sized, const N: usize>(
        &self,
        mem: &M,
        head: u16,
        chain: &mut Chain<N>,
    ) -> Result<(), QueueError> {
        let size = self.at.size();
        let mut filling = chain.fill(Progress::NOTHING, usize::from(size));
        let mut table = None;
        walk(mem, (self.at.config.desc, u32::from(size), head), |desc| {
            let (flags, next) = (desc.third, desc.fourth);
            if flags & INDIRECT != 0 {
                table = Some(desc);
                return Ok(None);
            }
            filling.push(desc, flags)?;
            Ok((flags & NEXT != 0).then_some(next))
        })?;
        let mut done = filling.done();
        if let Some(link) = table {
            done = self.walk_table(mem, link, done, chain)?;
        }
        chain.show(done)
    }

    /// Copies the descriptors of an indirect table: the last link of a chain (2.7.5.3). A table may
    /// be longer than the queue, since Linux makes such (`virtqueue_add_split` minds the queue's
    /// size only without indirect descriptors): what bounds it is the room in `chain`.
    fn walk_table<M: AreaMap + ?Sized, const N: usize>(
        &self,
        mem: &M,
        link: Desc,
        done: Progress,
        chain: &mut Chain<N>,
    ) -> Result<Progress, QueueError> {
        if !self.at.indirect() || link.third & NEXT != 0 {
            return Err(QueueError::Indirect);
        }
        let entries = link.table_entries()?;
        let more = usize::try_from(entries).unwrap_or(usize::MAX);
        let mut filling = chain.fill(done, done.count().saturating_add(more));
        walk(mem, (link.addr, entries, 0), |desc| {
            if desc.third & INDIRECT != 0 {
                return Err(QueueError::Indirect);
            }
            filling.push(desc, desc.third)?;
            Ok((desc.third & NEXT != 0).then_some(desc.fourth))
        })?;
        Ok(filling.done())
    }

    #[inline(always)]
    pub(crate) fn complete<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        head: Head,
        written: u32,
    ) -> Result<(), QueueError> {
        self.step(|queue| {
            if queue.in_flight() == 0 {
                return Err(QueueError::Completed);
            }
            if queue.at.in_order() && head.position() != queue.next_used {
                return Err(QueueError::OutOfOrder);
            }
            let [h0, h1] = head.index().to_le_bytes();
            let [w0, w1, w2, w3] = written.to_le_bytes();
            let element = [h0, h1, 0, 0, w0, w1, w2, w3];
            mem.write(queue.at.used_entry(queue.next_used), &element)?;
            let after = queue.next_used.wrapping_add(1);
            mem.store_release_u16(queue.at.used_index(), after)?;
            queue.next_used = after;
            Ok(())
        })
    }

    #[inline(always)]
    pub(crate) fn should_notify<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
    ) -> Result<bool, QueueError> {
        self.step(|queue| {
            let (new, old) = (queue.next_used, queue.notified);
            if new == old {
                return Ok(false);
            }
            mem.full_fence();
            queue.notified = new;
            if queue.at.event_index() {
                let event = mem.read_u16(queue.at.used_event())?;
                return Ok(passes(event, new, old));
            }
            Ok(mem.read_u16(queue.at.avail_flags())? & NO_NOTIFY == 0)
        })
    }

    pub(crate) fn arm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        self.step(|queue| {
            if queue.at.event_index() {
                mem.write_u16(queue.at.avail_event(), queue.next_avail)?;
            } else {
                mem.write_u16(queue.at.used_flags(), 0)?;
            }
            mem.full_fence();
            queue.look(mem)?;
            Ok(queue.seen_avail != queue.next_avail)
        })
    }

    pub(crate) fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        self.step(|queue| {
            // With the event index, an old `avail_event` already keeps the driver quiet.
            if !queue.at.event_index() {
                mem.write_u16(queue.at.used_flags(), NO_NOTIFY)?;
            }
            Ok(())
        })
    }
}
