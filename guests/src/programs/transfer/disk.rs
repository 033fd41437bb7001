//! Owns the requests in flight: which buffers each one uses, and that no buffer is used twice.
//! virtio-drivers' block driver does the rest, unmodified. Never decides what to read.

use super::payload::{Payload, Place};
use super::{DEVICE, DiskHal, POOL};
use crate::rt::{heap, signal, time};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use causeway_client::doorbell::{Gathered, bit_of};
use causeway_client::guest::{DmaBuffer, Health, MsgTransport};
use causeway_client::memory::OutOfWindow;
use causeway_virtio::driver::block::BlockError;
use core::fmt;
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};

/// Requests that virtio-drivers' queue of 16 descriptors holds, with an indirect table each.
pub(super) const SLOTS: usize = 16;
/// Bytes in a sector.
pub(super) const SECTOR: u64 = 512;
/// Without an answer for so long the device counts as dead.
pub(super) const DEAD_MICROS: u64 = 10_000_000;
/// Where the response lies in the page of a request's header.
const RESPONSE_AT: usize = 64;

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// virtio-drivers says so, or the device by its status.
    Driver(virtio_drivers::Error),
    /// What the transport could not return to the driver.
    Transport(causeway_client::Error),
    /// The device did not answer.
    NoAnswer,
    /// The device answered a request that was not made.
    WrongToken,
    /// A buffer was shorter than its request.
    TooShort,
    /// Our own driver says so.
    Own(BlockError),
    /// The device did not carry a request of our own driver out.
    Refused,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => write!(f, "{error:?}"),
            Self::Transport(error) => write!(f, "{error}"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::WrongToken => f.write_str("answer to no request"),
            Self::TooShort => f.write_str("buffer too short"),
            Self::Own(error) => write!(f, "{error:?}"),
            Self::Refused => f.write_str("refused by the device"),
        }
    }
}

impl From<virtio_drivers::Error> for Failed {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<BlockError> for Failed {
    fn from(error: BlockError) -> Self {
        Self::Own(error)
    }
}

impl From<causeway_client::Error> for Failed {
    fn from(error: causeway_client::Error) -> Self {
        Self::Transport(error)
    }
}

impl From<OutOfWindow> for Failed {
    fn from(_: OutOfWindow) -> Self {
        Self::TooShort
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    token: u16,
    offset: u64,
    len: usize,
    way: Way,
    done: bool,
}

/// The memory of one request.
struct Slot {
    header: DmaBuffer<'static>,
    payload: Payload,
    flight: Option<Flight>,
}

/// Returns the request and the response, which lie in one page of the link's memory, as they were
/// when the driver last had them (zero at first, which is a read of sector 0 that succeeded).
///
/// # Safety
/// Both must be handed to virtio-drivers only, and the page be zero or last used by this function.
unsafe fn parts<'h>(header: &'h mut DmaBuffer<'static>) -> (&'h mut BlkReq, &'h mut BlkResp) {
    let page = header.raw().cast::<u8>();
    // SAFETY: the buffer has a page of 4096 bytes, more than the offset.
    let response = unsafe { page.add(RESPONSE_AT) }.cast::<BlkResp>();
    // SAFETY: a page is aligned for the type and has room for it; it belongs to this buffer alone,
    // which is borrowed as long as the reference lives; zero is `ReqType::In`, so the bytes are
    // valid at first, and later they are what virtio-drivers wrote: the device has no reason to
    // write them, and a device that does makes the driver send a wrong request at worst, because
    // the driver overwrites them before it uses them.
    let request = unsafe { &mut *page.cast::<BlkReq>().as_ptr() };
    // SAFETY: at offset 64, past the request; any byte is a valid status.
    let response = unsafe { &mut *response.as_ptr() };
    (request, response)
}

/// The memory of all requests, and which of them are in flight, oldest first. It outlives the
/// driver: what a dead device has not answered is asked of its successor.
pub(super) struct Slots {
    slots: [Slot; SLOTS],
    free: Vec<usize>,
    queue: VecDeque<usize>,
    requests: u64,
}

impl Slots {
    /// Takes the memory: `len_bytes` bytes of payload for each request. `None` if the pool has not
    /// that much.
    pub(super) fn take(len_bytes: usize, place: Place) -> Option<Self> {
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            let header = POOL.take(1)?;
            let payload = Payload::take(len_bytes, place)?;
            slots.push(Slot { header, payload, flight: None });
        }
        let slots = slots.try_into().ok()?;
        Some(Self { slots, free: (0..SLOTS).collect(), queue: VecDeque::new(), requests: 0 })
    }
}

/// The page in which the tables of descriptors lie.
pub(super) struct Tables(
    #[expect(dead_code, reason = "held until it is dropped")] DmaBuffer<'static>,
);

impl Tables {
    /// Takes a page of the pool, and has the heap put tables there. `None` if the pool has none.
    pub(super) fn lend() -> Option<Self> {
        let page = POOL.take(heap::SLOTS_BYTES.div_ceil(4096))?;
        // SAFETY: the page is the buffer's, which `drop` gives back only after the heap.
        unsafe { heap::lend_slots(page.raw().addr().get()) };
        Some(Self(page))
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // SAFETY: the frontend drops its drivers first, and nothing else allocates `in_slots`.
        unsafe { heap::end_slots() };
    }
}

/// The block driver with its requests in flight.
pub(super) struct Disk<'b, 'c> {
    driver: VirtIOBlk<DiskHal, MsgTransport<'b, 'c>>,
    health: &'b Health,
    kicks: &'b Gathered<'b>,
    held: Slots,
}

impl<'b, 'c> Disk<'b, 'c> {
    /// Takes the driver, and the memory for its requests.
    pub(super) fn new(
        mut driver: VirtIOBlk<DiskHal, MsgTransport<'b, 'c>>,
        health: &'b Health,
        kicks: &'b Gathered<'b>,
        held: Slots,
    ) -> Self {
        // Only while this VM rests does it want to be rung.
        driver.disable_interrupts();
        Self { driver, health, kicks, held }
    }

    /// Drops the driver and keeps the requests: its device is gone.
    pub(super) fn into_slots(self) -> Slots {
        let Self { driver, held, .. } = self;
        drop(driver);
        POOL.forget_moved();
        // SAFETY: the driver is gone; the tables of what it had in flight, which it does not free,
        // belong to nobody.
        unsafe { heap::free_slots() };
        held
    }

    /// Makes again every request that was in flight, in order; returns how many. Writes too: nobody
    /// knows what became of them.
    pub(super) fn submit_again(&mut self) -> Result<u64, Failed> {
        let unanswered: Vec<_> = (self.held.queue.iter().copied())
            .filter(|index| self.held.slots[*index].flight.is_some_and(|flight| !flight.done))
            .collect();
        for index in &unanswered {
            if let Some(Flight { way, offset, len, .. }) = self.held.slots[*index].flight {
                self.start(*index, way, offset, len)?;
            }
        }
        Ok(u64::try_from(unanswered.len()).unwrap_or(u64::MAX))
    }

    /// Returns the size of the disk in bytes.
    pub(super) fn len_bytes(&self) -> u64 {
        self.driver.capacity().saturating_mul(SECTOR)
    }

    /// Reports what the transport could not return to the driver.
    pub(super) fn check(&self) -> Result<(), Failed> {
        self.health.check().map_err(Failed::Transport)
    }

    /// Returns how many requests were made.
    pub(super) const fn requests(&self) -> u64 {
        self.held.requests
    }

    /// Tells the device of the requests that were made, if it wants to know.
    pub(super) fn ring(&self) -> Result<(), Failed> {
        self.kicks.ring_due().map_err(Failed::Transport)
    }

    /// Reports whether nothing is in flight, and a whole queue of requests can be made: one ring of
    /// the doorbell for all of them, and one back.
    pub(super) fn has_room_for_all(&self) -> bool {
        self.held.free.len() == SLOTS
    }

    /// Reports whether another request can be made now.
    pub(super) fn has_room(&self) -> bool {
        !self.held.free.is_empty()
    }

    /// Reports whether requests are in flight.
    pub(super) fn is_busy(&self) -> bool {
        !self.held.queue.is_empty()
    }

    /// Makes a request for `len` bytes at `offset`, both whole sectors. For a write, `fill` puts
    /// the data into the payload first.
    pub(super) fn submit(
        &mut self,
        way: Way,
        offset: u64,
        len: usize,
        fill: impl FnOnce(&mut Payload) -> Result<(), OutOfWindow>,
    ) -> Result<(), Failed> {
        let index = self.held.free.pop().ok_or(Failed::TooShort)?;
        fill(&mut self.held.slots[index].payload)?;
        if let Err(failed) = self.start(index, way, offset, len) {
            self.held.free.push(index);
            return Err(failed);
        }
        self.held.queue.push_back(index);
        self.held.requests += 1;
        Ok(())
    }

    /// Hands a slot's request to the driver.
    fn start(&mut self, index: usize, way: Way, offset: u64, len: usize) -> Result<(), Failed> {
        let block = usize::try_from(offset / SECTOR).map_err(|_| Failed::TooShort)?;
        let Slot { header, payload, flight } = &mut self.held.slots[index];
        // SAFETY: pages of the pool are zeroed; only virtio-drivers gets the two.
        let (request, response) = unsafe { parts(header) };
        // SAFETY: the slice goes to virtio-drivers, which shares its address.
        let data = unsafe { payload.slice(len) }.ok_or(Failed::TooShort)?;
        // The table of the request's descriptors goes where the device reads it.
        let token = heap::in_slots(|| match way {
            // SAFETY: the slot is not touched until `complete` has popped its token, and its
            // buffers stay where they are: pages of the pool, or a vector that is not resized.
            Way::Read => unsafe { self.driver.read_blocks_nb(block, request, data, response) },
            // SAFETY: as for the read.
            Way::Write => unsafe { self.driver.write_blocks_nb(block, request, data, response) },
        })?;
        *flight = Some(Flight { token, offset, len, way, done: false });
        Ok(())
    }

    /// Waits for the oldest request, hands its payload to `take`, and frees its slot.
    pub(super) fn finish_oldest(
        &mut self,
        take: impl FnOnce(&mut Payload, usize) -> Result<(), OutOfWindow>,
    ) -> Result<(), Failed> {
        let index = *self.held.queue.front().ok_or(Failed::WrongToken)?;
        let mut since = None;
        while !self.held.slots[index].flight.is_some_and(|flight| flight.done) {
            self.check()?;
            if self.complete_one()? {
                since = None;
                continue;
            }
            let now = time::now_micros();
            if now.saturating_sub(*since.get_or_insert(now)) > DEAD_MICROS {
                return Err(Failed::NoAnswer);
            }
            self.ring()?;
            self.rest();
            // A doorbell only says "look again", and the loop does.
            let _looked = signal::take_from_vms(bit_of(DEVICE));
            if signal::take_from_partition() {
                // News of the device, which may be that it is gone: `health` has it then.
                self.driver.ack_interrupt();
            }
        }
        self.held.queue.pop_front();
        let slot = &mut self.held.slots[index];
        let len = slot.flight.take().map_or(0, |flight| flight.len);
        take(&mut slot.payload, len)?;
        self.held.free.push(index);
        Ok(())
    }

    /// Asks the device to ring, and rests unless it has answered meanwhile.
    fn rest(&mut self) {
        self.driver.enable_interrupts();
        // Between the wish and this look nothing can be missed: the device looks at the wish after
        // it has answered.
        fence(Ordering::SeqCst);
        if self.driver.peek_used().is_none() {
            time::rest();
        }
        self.driver.disable_interrupts();
        signal::fetch();
    }

    /// Takes one used buffer from the queue; false if there is none.
    fn complete_one(&mut self) -> Result<bool, Failed> {
        let Some(token) = self.driver.peek_used() else { return Ok(false) };
        let found =
            self.held.slots.iter_mut().find(|slot| {
                slot.flight.is_some_and(|flight| flight.token == token && !flight.done)
            });
        let Some(Slot { header, payload, flight: Some(flight) }) = found else {
            return Err(Failed::WrongToken);
        };
        // SAFETY: last used by `submit`; only virtio-drivers gets the two.
        let (request, response) = unsafe { parts(header) };
        // SAFETY: the slice goes to virtio-drivers, which unshares its address.
        let data = unsafe { payload.slice(flight.len) }.ok_or(Failed::TooShort)?;
        match flight.way {
            // SAFETY: these are the buffers of the request that got this token.
            Way::Read => unsafe {
                self.driver.complete_read_blocks(token, request, data, response)
            },
            // SAFETY: these are the buffers of the request that got this token.
            Way::Write => unsafe {
                self.driver.complete_write_blocks(token, request, data, response)
            },
        }?;
        flight.done = true;
        Ok(true)
    }

    /// Asks the device to make durable what was written. virtio-drivers puts this request's
    /// header on the stack, so its 17 bytes are moved; it has no payload.
    pub(super) fn flush(&mut self) -> Result<(), Failed> {
        heap::in_slots(|| self.driver.flush())?;
        self.check()
    }
}
