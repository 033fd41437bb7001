//! Owns the driver side of a block device (virtio 1.3, 5.2) with many requests in flight. Never copies
//! payload, never waits, never rings: the caller does when [`Block::must_kick`] says so.
//!
//! Headers, statuses and indirect tables lie in a workspace in shared memory, 128 bytes for each entry
//! of the queue; payload is read and written where the caller has it. With INDIRECT_DESC a request
//! takes one entry, so that a queue of 32 holds 32 requests; without it, one more than it has payload
//! buffers, plus one.
//!
//! # Few doorbells
//! Requests are offered one by one and told of together. With the event index the device says when it
//! wants to hear, and [`Block::arm`] says so for the driver. Refilling when half is back keeps both
//! under one doorbell for eight requests at depth 32:
//!
//! ```
//! # use causeway_virtio::driver::block::{Block, BlockError, Geometry};
//! # use causeway_virtio::{AreaMap, queue::Segment};
//! fn read_all<M: AreaMap>(
//!     disk: &mut Block<32>,
//!     mem: &M,
//!     buffers: &[Segment; 32],
//!     mut ring: impl FnMut(),
//!     mut wait: impl FnMut(),
//! ) -> Result<u64, BlockError> {
//!     let (mut next, mut good) = (0, 0);
//!     let sectors = disk.geometry().sectors();
//!     loop {
//!         while let Some(done) = disk.poll(mem)? {
//!             good += u64::from(done.outcome.is_ok());
//!         }
//!         if disk.in_flight() <= 16 {
//!             while next < sectors && let Some(free) = disk.next_ticket() {
//!                 disk.read(mem, next, &buffers[usize::from(free.get())..][..1])?;
//!                 next += u64::from(buffers[0].len) / 512;
//!             }
//!             if disk.must_kick(mem)? {
//!                 ring();
//!             }
//!         }
//!         match disk.in_flight() {
//!             0 if next >= sectors => return Ok(good),
//!             waiting if !disk.arm(mem, waiting / 2)? => wait(),
//!             _ => {}
//!         }
//!     }
//! }
//! ```

mod geometry;
mod outcome;

pub use geometry::Geometry;
pub use outcome::{BlockError, Done, Outcome, Ticket};

use crate::addr::BusAddr;
use crate::mem::AreaMap;
use crate::queue::{DriverQueue, QueueConfig, QueueError, Segment, Token};
use crate::types::Features;

/// Bytes of the workspace for each entry of the queue.
pub const SLOT_BYTES: u64 = 128;
/// Payload buffers of one request: what a slot's table holds beside header and status.
pub const MOST_BUFFERS: usize = 4;
/// Bytes of a sector.
const SECTOR_BYTES: u64 = 512;
/// Where the status lies in a slot, behind the header.
const STATUS: u64 = 16;
/// Where the indirect table lies in a slot.
const TABLE: u64 = 32;
/// What a status is before the device writes it.
const UNWRITTEN: u8 = 0xff;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;

/// What is kept of one slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The next free slot behind this one.
    next_free: u16,
    /// The slot of the chain whose token has this slot's number.
    of_token: Option<u16>,
}

/// The driver of one block device over a queue of at most `N` entries.
#[derive(Debug)]
pub struct Block<const N: usize> {
    queue: DriverQueue<N>,
    workspace: BusAddr,
    geometry: Geometry,
    slots: [Slot; N],
    free: u16,
    in_flight: u16,
}

impl<const N: usize> Block<N> {
    /// Bytes of the workspace for a queue of `entries`.
    #[must_use]
    pub fn workspace_bytes(entries: u16) -> u64 {
        u64::from(entries).saturating_mul(SLOT_BYTES)
    }

    /// Sets up empty rings; the transport then tells the device where they are. `workspace` is memory of
    /// this driver that the device may read and write, 16-byte aligned, [`Block::workspace_bytes`]
    /// long.
    ///
    /// # Errors
    /// What is wrong with the places.
    pub fn new<M: AreaMap + ?Sized>(
        mem: &M,
        config: QueueConfig,
        workspace: BusAddr,
        geometry: Geometry,
    ) -> Result<Self, BlockError> {
        let bytes = Self::workspace_bytes(config.size.get());
        if !workspace.offset().is_multiple_of(16) {
            return Err(QueueError::Unaligned.into());
        }
        if !workspace.holds(bytes) {
            return Err(QueueError::WildAddress.into());
        }
        mem.check(workspace, bytes, crate::mem::Access::Write).map_err(QueueError::Mem)?;
        let queue = DriverQueue::new(mem, config)?;
        let mut block = Self {
            queue,
            workspace,
            geometry,
            slots: [Slot { next_free: 0, of_token: None }; N],
            free: 0,
            in_flight: 0,
        };
        block.forget();
        Ok(block)
    }

    /// Begins anew once the device has reset the queue, or is another one: what was in flight is
    /// forgotten, and whoever wants it done makes it again.
    ///
    /// # Errors
    /// What is wrong with the places.
    pub fn reset<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), BlockError> {
        self.queue.reset(mem)?;
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        for (slot, next) in self.slots.iter_mut().zip(1..=u16::MAX) {
            *slot = Slot { next_free: next, of_token: None };
        }
        self.free = 0;
        self.in_flight = 0;
    }

    /// Returns what the device told of itself.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the requests that the device has.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Returns the ticket that the next request will have; `None` if all are in flight.
    #[must_use]
    pub const fn next_ticket(&self) -> Option<Ticket> {
        if self.free < self.queue.config().size.get() { Some(Ticket(self.free)) } else { None }
    }

    /// Reads sectors from `sector` on into `into`, at most [`MOST_BUFFERS`] of them.
    ///
    /// # Errors
    /// Nothing changed, unless the error is one that ends the queue.
    pub fn read<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        sector: u64,
        into: &[Segment],
    ) -> Result<Ticket, BlockError> {
        self.geometry.check(sector, into)?;
        self.submit(mem, TYPE_IN, sector, &[], into)
    }

    /// Writes sectors from `sector` on.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn write<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        sector: u64,
        from: &[Segment],
    ) -> Result<Ticket, BlockError> {
        if self.geometry.is_read_only() {
            return Err(BlockError::Unsupported);
        }
        self.geometry.check(sector, from)?;
        self.submit(mem, TYPE_OUT, sector, from, &[])
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// As [`Block::read`]; [`BlockError::Unsupported`] if the device knows no flush.
    pub fn flush<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<Ticket, BlockError> {
        if !self.geometry.can_flush() {
            return Err(BlockError::Unsupported);
        }
        self.submit(mem, TYPE_FLUSH, 0, &[], &[])
    }

    /// Reads the device's name, 20 bytes, ASCII padded with zeros.
    ///
    /// # Errors
    /// As [`Block::read`]; [`BlockError::Length`] for a buffer of another length.
    pub fn read_id<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        into: Segment,
    ) -> Result<Ticket, BlockError> {
        if into.len != 20 {
            return Err(BlockError::Length);
        }
        self.submit(mem, TYPE_GET_ID, 0, &[], &[into])
    }

    /// Puts header, payload and status together and offers them.
    fn submit<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        kind: u32,
        sector: u64,
        from: &[Segment],
        into: &[Segment],
    ) -> Result<Ticket, BlockError> {
        let ticket = self.next_ticket().ok_or(BlockError::Queue(QueueError::Full))?;
        let slot = self.slot(ticket.0);
        let [t0, t1, t2, t3] = kind.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = sector.to_le_bytes();
        let header = [t0, t1, t2, t3, 0, 0, 0, 0, s0, s1, s2, s3, s4, s5, s6, s7];
        let none = Segment::default();
        let (mut readable, mut writable) = ([none; 1 + MOST_BUFFERS], [none; 1 + MOST_BUFFERS]);
        let header_at = Segment { addr: slot, len: 16 };
        let status_at = Segment { addr: up(slot, STATUS), len: 1 };
        let readable = list(&mut readable, &[header_at], from)?;
        let writable = list(&mut writable, into, &[status_at])?;
        mem.write(slot, &header).map_err(QueueError::Mem)?;
        mem.write(status_at.addr, &[UNWRITTEN]).map_err(QueueError::Mem)?;
        let indirect = self.queue.config().features.contains(Features::INDIRECT_DESC);
        let token = if indirect {
            self.queue.submit_indirect(mem, up(slot, TABLE), readable, writable)?
        } else {
            self.queue.submit(mem, readable, writable)?
        };
        self.note(token, ticket)?;
        Ok(ticket)
    }

    /// Notes a request that was offered.
    fn note(&mut self, token: Token, ticket: Ticket) -> Result<(), BlockError> {
        let place = self.slots.get_mut(usize::from(token.get())).ok_or(BlockError::Token)?;
        place.of_token = Some(ticket.0);
        let slot = self.slots.get(usize::from(ticket.0)).ok_or(BlockError::Token)?;
        self.free = slot.next_free;
        self.in_flight = self.in_flight.saturating_add(1);
        Ok(())
    }

    fn slot(&self, number: u16) -> BusAddr {
        up(self.workspace, u64::from(number).wrapping_mul(SLOT_BYTES))
    }

    /// Takes the next request that came back; `None` if there is none.
    ///
    /// # Errors
    /// What the device broke; final.
    pub fn poll<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<Option<Done>, BlockError> {
        let Some(used) = self.queue.pop_used(mem)? else { return Ok(None) };
        let place = self.slots.get_mut(usize::from(used.token.get())).ok_or(BlockError::Token)?;
        let number = place.of_token.take().ok_or(BlockError::Token)?;
        let mut status = [UNWRITTEN];
        mem.read(up(self.slot(number), STATUS), &mut status).map_err(QueueError::Mem)?;
        let [status] = status;
        let next_free = self.free;
        let slot = self.slots.get_mut(usize::from(number)).ok_or(BlockError::Token)?;
        slot.next_free = next_free;
        self.free = number;
        self.in_flight = self.in_flight.saturating_sub(1);
        let outcome = Outcome::of(status);
        Ok(Some(Done { ticket: Ticket(number), outcome, written: used.written }))
    }

    /// Decides whether the device must be rung for what was offered since the last call. Ask once
    /// after a batch.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn must_kick<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<bool, BlockError> {
        Ok(self.queue.should_kick(mem)?)
    }

    /// Asks to be rung when `count` more requests are back (1 without the event index). Returns
    /// whether one is back already: then take it instead of waiting.
    ///
    /// # Errors
    /// What the device broke; final.
    pub fn arm<M: AreaMap + ?Sized>(&mut self, mem: &M, count: u16) -> Result<bool, BlockError> {
        Ok(self.queue.arm(mem, count)?)
    }

    /// Tells the device that it need not ring while this driver looks by itself. A hint.
    ///
    /// # Errors
    /// [`QueueError::Mem`].
    pub fn disarm<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), BlockError> {
        Ok(self.queue.disarm(mem)?)
    }
}

/// Adds to an address inside the workspace, which was checked as a whole.
fn up(base: BusAddr, bytes: u64) -> BusAddr {
    BusAddr::from_raw(base.get().wrapping_add(bytes))
}

/// Joins two lists of buffers.
fn list<'a>(
    room: &'a mut [Segment; 1 + MOST_BUFFERS],
    first: &[Segment],
    second: &[Segment],
) -> Result<&'a [Segment], BlockError> {
    let count = first.len().saturating_add(second.len());
    let places = room.get_mut(..count).ok_or(BlockError::Buffers)?;
    for (place, segment) in places.iter_mut().zip(first.iter().chain(second)) {
        *place = *segment;
    }
    Ok(places)
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
