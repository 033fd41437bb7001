//! Owns the device side of packed rings. Never trusts a flag, a descriptor or a length of the driver.

use super::super::chain::Progress;
use super::super::desc::{Desc, INDIRECT, NEXT, WRITE, walk};
use super::super::ending::Ends;
use super::super::{Chain, Head, QueueConfig, QueueError};
use super::{Places, Position};
use crate::addr::BusAddr;
use crate::mem::AreaMap;

/// The device side of a packed queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedDevice {
    at: Places,
    /// Where the next chain will lie.
    avail: Position,
    /// Where the next chain will be returned.
    used: Position,
    /// Slots taken and not returned; never more than there are.
    busy: u16,
    in_flight: u16,
    /// Slots returned since the last decision about a notification.
    since: u16,
    failed: bool,
}

impl Ends for PackedDevice {
    #[inline(always)]
    fn failed(&self) -> bool {
        self.failed
    }

    fn fail(&mut self) {
        self.failed = true;
    }
}

impl PackedDevice {
    pub(crate) fn new<M: AreaMap + ?Sized>(
        mem: &M,
        config: QueueConfig,
    ) -> Result<Self, QueueError> {
        config.check(mem)?;
        Ok(Self {
            at: Places { config },
            avail: Position::START,
            used: Position::START,
            busy: 0,
            in_flight: 0,
            since: 0,
            failed: false,
        })
    }

    pub(crate) const fn config(&self) -> &QueueConfig {
        &self.at.config
    }

    pub(crate) const fn in_flight(&self) -> u16 {
        self.in_flight
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
        let first = self.avail;
        let flags = mem.load_acquire_u16(self.at.flags(first.slot))?;
        if !first.is_available(flags) {
            chain.clear();
            return Ok(None);
        }
        // Never more are taken than there are.
        let free = self.at.size().wrapping_sub(self.busy);
        if free == 0 {
            return Err(QueueError::IndexJump);
        }
        let (id, slots) = self.walk(mem, free, chain)?;
        self.avail = first.after(slots, self.at.size());
        self.busy = self.busy.wrapping_add(slots);
        self.in_flight = self.in_flight.wrapping_add(1);
        Ok(Some(Head::new(id, slots, first.slot)))
    }

    /// Copies the chain at the ring's head, which was seen to be there; returns its buffer id, which
    /// stands in its last descriptor (virtio 1.3, 2.8.6), and its slots. Each descriptor is copied once,
    /// and of it the copy alone counts; a chain has no more slots than are free.
    #[inline(always)]
    fn walk<M: AreaMap + ?Sized, const N: usize>(
        &self,
        mem: &M,
        free: u16,
        chain: &mut Chain<N>,
    ) -> Result<(u16, u16), QueueError> {
        let size = self.at.size();
        let mut filling = chain.fill(Progress::NOTHING, usize::from(free));
        let (mut slot, mut slots, mut id) = (self.avail.slot, 0_u16, 0);
        let mut table = None;
        walk(mem, (self.at.config.desc, u32::from(size), slot), |desc| {
            let flags = desc.fourth;
            id = desc.third;
            if flags & INDIRECT != 0 {
                // A table stands alone (2.8.7).
                if slots != 0 || flags & NEXT != 0 {
                    return Err(QueueError::Indirect);
                }
                slots = 1;
                table = Some(desc);
                return Ok(None);
            }
            filling.push(desc, flags)?;
            slots = slots.wrapping_add(1);
            slot = slot.wrapping_add(1);
            if slot >= size {
                slot = 0;
            }
            Ok((flags & NEXT != 0).then_some(slot))
        })?;
        let mut done = filling.done();
        if let Some(link) = table {
            done = self.walk_table(mem, link, chain)?;
        }
        chain.show(done)?;
        Ok((id, slots))
    }

    /// Copies an indirect table: all of its descriptors, one after the other; only WRITE means
    /// anything in their flags (2.8.7 and 2.8.19). What bounds it is the room in `chain`.
    fn walk_table<M: AreaMap + ?Sized, const N: usize>(
        &self,
        mem: &M,
        link: Desc,
        chain: &mut Chain<N>,
    ) -> Result<Progress, QueueError> {
        if !self.at.indirect() {
            return Err(QueueError::Indirect);
        }
        let entries = link.table_entries()?;
        let mut filling = chain.fill(Progress::NOTHING, usize::try_from(entries).unwrap_or(0));
        let mut next: u16 = 0;
        walk(mem, (link.addr, entries, 0), |desc| {
            if desc.fourth & INDIRECT != 0 {
                return Err(QueueError::Indirect);
            }
            filling.push(desc, desc.fourth)?;
            next = next.checked_add(1).ok_or(QueueError::TooLong)?;
            Ok((u32::from(next) < entries).then_some(next))
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
        if self.failed {
            return Err(QueueError::Failed);
        }
        self.try_complete(mem, head, written).map_err(|error| self.end(error))
    }

    #[inline(always)]
    fn try_complete<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        head: Head,
        written: u32,
    ) -> Result<(), QueueError> {
        // A chain has a slot, so that this fails, too, when nothing is in flight.
        if head.slots() > self.busy {
            return Err(QueueError::Completed);
        }
        let used = self.used;
        if self.at.in_order() && head.position() != used.slot {
            return Err(QueueError::OutOfOrder);
        }
        // The length counts only with WRITE (2.8.6).
        let flags = used.used() | if written == 0 { 0 } else { WRITE };
        let addr = BusAddr::from_raw(0);
        let element = Desc { addr, len: written, third: head.index(), fourth: flags };
        // The slot was taken and copied: nothing of the driver's is lost.
        mem.store_handover(self.at.handover(used.slot), element.second_half())?;
        self.used = used.after(head.slots(), self.at.size());
        self.busy = self.busy.wrapping_sub(head.slots());
        self.in_flight = self.in_flight.wrapping_sub(1);
        self.since = self.since.saturating_add(head.slots());
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn should_notify<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
    ) -> Result<bool, QueueError> {
        self.step(|queue| {
            let since = core::mem::take(&mut queue.since);
            if since == 0 {
                return Ok(false);
            }
            queue.at.wants(mem, queue.at.config.driver, queue.used, since)
        })
    }

    pub(crate) fn arm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, QueueError> {
        self.step(|queue| {
            queue.at.arm(mem, queue.at.config.device, queue.avail)?;
            let flags = mem.load_acquire_u16(queue.at.flags(queue.avail.slot))?;
            Ok(queue.avail.is_available(flags))
        })
    }

    pub(crate) fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        self.step(|queue| queue.at.disarm(mem, queue.at.config.device))
    }
}
