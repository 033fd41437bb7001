//! Owns the memory of one link: which areas it has, which of their pages are taken, what was moved.
//! Never grants anything.
#![expect(unsafe_code, reason = "shared memory is reached through raw pointers only")]

use super::bitmap::PageMap;
use super::buffer::DmaBuffer;
use crate::error::{Error, Rule};
use crate::grant::Grant;
use crate::memory::Window;
use arrayvec::ArrayVec;
use causeway_abi::Permission;
use causeway_virtio::{AreaId, BusAddr};
use core::ptr::NonNull;
use spin::mutex::SpinMutex;

mod renew;

/// Most areas in a pool.
pub const POOL_AREAS: usize = 8;

/// Most pages in a pool, over all areas (128 MiB).
pub const POOL_PAGES: usize = 32_768;

/// Most buffers that can be moved at a time.
const BOUNCES: usize = 64;

const PAGE: usize = 4096;

/// What happens to a buffer that lies outside every area of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounce {
    /// The device gets an address that it can't reach, and the request fails.
    Refuse,
    /// It is copied to and from pages of the pool, at most so many at a time, and counted.
    Pages(usize),
}

/// Counters of a pool since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Buffers that lay in an area and were used where they were.
    pub in_place: u64,
    /// Buffers that had to be moved.
    pub bounced: u64,
    /// Bytes of those buffers.
    pub bounced_bytes: u64,
    /// Bytes that were really copied into or out of areas: for bounced buffers, and by
    /// [`DmaBuffer::read`] and [`DmaBuffer::write`]. [`DmaBuffer::visit`] looks at bytes where they
    /// lie and counts nothing.
    pub copied_bytes: u64,
    /// Buffers that could not be shared: bouncing is refused, or there was no room.
    pub refused: u64,
    /// Buffers that came back under an address that was never given out for them.
    pub mismatched: u64,
}

/// Pages of the pool are still in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolBusy;

/// The memory through which one driver and one device work: areas, and pages taken from them.
///
/// It is a `static` of the guest (see [`super::Link`]) and guarded by a spin lock; interrupt
/// handlers must not use it.
#[derive(Debug)]
pub struct DmaPool {
    state: SpinMutex<State>,
}

#[derive(Debug)]
struct State {
    areas: ArrayVec<Area, POOL_AREAS>,
    map: PageMap,
    bounces: ArrayVec<Moved, BOUNCES>,
    limit: Bounce,
    bounce_pages: usize,
    stats: PoolStats,
}

/// One area. Its pages are `first_page..first_page + pages` of the pool.
#[derive(Debug)]
struct Area {
    id: AreaId,
    window: Window,
    permission: Permission,
    first_page: usize,
    pages: usize,
}

/// A buffer that was moved.
#[derive(Clone, Copy, Debug)]
struct Moved {
    bus: u64,
    buffer: usize,
    len_bytes: usize,
    pages: usize,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    /// The device reads.
    Device,
    /// The device writes.
    Driver,
    /// Both do both.
    Both,
}

impl Towards {
    const fn device_writes(self) -> bool {
        match self {
            Self::Device => false,
            Self::Driver | Self::Both => true,
        }
    }

    const fn device_reads(self) -> bool {
        match self {
            Self::Driver => false,
            Self::Device | Self::Both => true,
        }
    }
}

/// Pages taken from a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) bus: BusAddr,
    pub(super) base: NonNull<u8>,
}

impl DmaPool {
    /// Makes a pool without memory. Buffers outside areas are refused until
    /// [`DmaPool::set_bounce`] says otherwise.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: SpinMutex::new(State {
                areas: ArrayVec::new_const(),
                map: PageMap::new(),
                bounces: ArrayVec::new_const(),
                limit: Bounce::Refuse,
                bounce_pages: 0,
                stats: PoolStats {
                    in_place: 0,
                    bounced: 0,
                    bounced_bytes: 0,
                    copied_bytes: 0,
                    refused: 0,
                    mismatched: 0,
                },
            }),
        }
    }

    /// Says what happens to buffers that lie outside every area.
    pub fn set_bounce(&self, bounce: Bounce) {
        self.state.lock().limit = bounce;
    }

    /// Adds the pages of a grant, which the device side knows as `area` (or will, before it gets
    /// to see an address).
    ///
    /// # Safety
    /// Until [`DmaPool::detach`] has succeeded, the grant must not be closed, and the caller uses
    /// its pages only through this pool: the pool hands out pointers into them, from which drivers
    /// make references.
    ///
    /// # Errors
    /// [`Rule::AreaIdTaken`], [`Rule::NoRoom`], or [`Rule::AreaShape`] for lent memory, which the
    /// driver could not reach.
    pub unsafe fn attach(&self, area: AreaId, grant: &Grant<'_>) -> Result<(), Error> {
        let window = grant.window().ok_or(Error::caller(Rule::AreaShape))?;
        let (base, len_bytes) = (window.pointer(), window.len_bytes());
        if !base.addr().get().is_multiple_of(PAGE) {
            return Err(Error::caller(Rule::AreaShape));
        }
        // SAFETY: the grant's window promises the same for the same bytes, and `attach`'s caller
        // that the grant outlives its stay in the pool and that nobody else uses the pages.
        let window = unsafe { Window::new(base, len_bytes) };
        let mut state = self.state.lock();
        state.attach(area, window, grant.terms().permission)
    }

    /// Takes an area away again.
    ///
    /// # Errors
    /// [`PoolBusy`] while pages of it are taken.
    pub fn detach(&self, area: AreaId) -> Result<(), PoolBusy> {
        let mut state = self.state.lock();
        let Some(at) = state.areas.iter().position(|known| known.id == area) else {
            return Ok(());
        };
        let free = state
            .areas
            .get(at)
            .is_some_and(|known| state.map.all(known.first_page, known.pages, false));
        if !free {
            return Err(PoolBusy);
        }
        state.areas.remove(at);
        Ok(())
    }

    /// Takes pages for the driver's own use: payload, request headers. They read as zero.
    #[must_use]
    pub fn take(&self, pages: usize) -> Option<DmaBuffer<'_>> {
        let taken = self.take_pages(pages, Towards::Both)?;
        Some(DmaBuffer::new(self, taken, pages))
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.state.lock().stats
    }

    /// Counts bytes that a buffer has copied.
    pub(super) fn note_copy(&self, len_bytes: usize) {
        self.state.lock().note_copy(len_bytes);
    }

    pub(super) fn take_pages(&self, pages: usize, towards: Towards) -> Option<Taken> {
        self.state.lock().take(pages, towards)
    }

    /// Gives pages back. `false` if they were not taken.
    pub(super) fn give_back(&self, bus: u64, pages: usize) -> bool {
        self.state.lock().give_back(bus, pages)
    }

    /// Finds or makes a bus address for a buffer of the driver.
    ///
    /// # Safety
    /// `buffer` must be valid for reads of its length, and nobody else may write it meanwhile.
    pub(super) unsafe fn share(&self, buffer: NonNull<[u8]>, towards: Towards) -> Option<u64> {
        let mut state = self.state.lock();
        if let Some(bus) = state.in_place(buffer, towards) {
            state.stats.in_place = state.stats.in_place.saturating_add(1);
            return Some(bus);
        }
        let moved = state.make_room(buffer);
        let Some(bus) = moved else {
            state.stats.refused = state.stats.refused.saturating_add(1);
            return None;
        };
        if towards.device_reads() {
            // SAFETY: the buffer is valid for reads (`share`'s caller), it does not lie in an area
            // (checked above), and no reference to it is alive that could be written through.
            let bytes = unsafe { buffer.as_ref() };
            state.copy_in(bus, bytes);
        }
        Some(bus)
    }

    /// Ends what [`DmaPool::share`] began.
    ///
    /// # Safety
    /// `buffer` must be valid for reads and writes of its length, and used by nobody meanwhile.
    pub(super) unsafe fn unshare(&self, bus: u64, buffer: NonNull<[u8]>, towards: Towards) {
        let mut state = self.state.lock();
        if state.in_place(buffer, towards) == Some(bus) {
            return;
        }
        // The address may come out of memory that the device can write: only our own record of
        // what was moved counts.
        let at = state.bounces.iter().position(|moved| {
            moved.bus == bus
                && moved.buffer == buffer.addr().get()
                && moved.len_bytes == buffer.len()
        });
        let Some(moved) = at.and_then(|at| state.bounces.pop_at(at)) else {
            state.stats.mismatched = state.stats.mismatched.saturating_add(1);
            return;
        };
        if towards.device_writes() {
            let mut buffer = buffer;
            // SAFETY: the buffer is valid for writes and used by nobody else (`unshare`'s caller);
            // it does not lie in an area (`in_place`), so no device writes it.
            let bytes = unsafe { buffer.as_mut() };
            state.copy_out(bus, bytes);
        }
        state.give_back(bus, moved.pages);
        state.bounce_pages = state.bounce_pages.saturating_sub(moved.pages);
    }
}

impl Default for DmaPool {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn attach(&mut self, id: AreaId, window: Window, permission: Permission) -> Result<(), Error> {
        if self.areas.iter().any(|known| known.id == id) {
            return Err(Error::caller(Rule::AreaIdTaken));
        }
        let pages = window.len_bytes() / PAGE;
        let first_page = self.room_for(pages).ok_or(Error::caller(Rule::NoRoom))?;
        let area = Area { id, window, permission, first_page, pages };
        self.areas.try_push(area).map_err(|_| Error::caller(Rule::NoRoom))
    }

    /// Finds page numbers that no area has.
    fn room_for(&self, pages: usize) -> Option<usize> {
        let ends = self.areas.iter().map(|area| area.first_page.saturating_add(area.pages));
        core::iter::once(0).chain(ends).find(|start| {
            let end = start.saturating_add(pages);
            end <= POOL_PAGES
                && self.areas.iter().all(|area| {
                    area.first_page.saturating_add(area.pages) <= *start || end <= area.first_page
                })
        })
    }

    /// The area, and the offset in it, of a bus address.
    fn area_at(&self, bus: u64) -> Option<(&Area, u64)> {
        let bus = BusAddr::from_raw(bus);
        let id = bus.area()?;
        Some((self.areas.iter().find(|area| area.id == id)?, bus.offset()))
    }

    fn take(&mut self, pages: usize, towards: Towards) -> Option<Taken> {
        for area in &self.areas {
            if towards.device_writes() && area.permission == Permission::ReadOnly {
                continue;
            }
            let end = area.first_page.saturating_add(area.pages);
            let Some(page) = self.map.take(area.first_page, end, pages) else { continue };
            let offset = page.checked_sub(area.first_page)?.checked_mul(PAGE)?;
            let wide = u64::try_from(offset).ok()?;
            let bus = BusAddr::new(area.id, wide)?;
            area.window.fill(wide, pages.checked_mul(PAGE)?, 0).ok()?;
            let base = area.window.pointer().as_ptr().wrapping_add(offset);
            return Some(Taken { bus, base: NonNull::new(base)? });
        }
        None
    }

    fn give_back(&mut self, bus: u64, pages: usize) -> bool {
        let run = self.area_at(bus).and_then(|(area, offset)| {
            let within = usize::try_from(offset).ok()?.checked_div(PAGE)?;
            let end = within.checked_add(pages)?;
            (end <= area.pages).then_some(area.first_page.checked_add(within)?)
        });
        match run {
            Some(first) if self.map.all(first, pages, true) => {
                self.map.mark(first, pages, false);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The bus address of a buffer that lies in an area with a fitting permission.
    fn in_place(&self, buffer: NonNull<[u8]>, towards: Towards) -> Option<u64> {
        let start = buffer.addr().get();
        self.areas.iter().find_map(|area| {
            let offset = area.window.offset_of(start, buffer.len())?;
            let allowed = !towards.device_writes() || area.permission == Permission::ReadWrite;
            let bus = allowed.then(|| BusAddr::new(area.id, offset))??;
            Some(bus.get())
        })
    }

    /// Takes pages for a buffer that has to be moved, and notes it.
    fn make_room(&mut self, buffer: NonNull<[u8]>) -> Option<u64> {
        let pages = buffer.len().div_ceil(PAGE);
        let limit = match self.limit {
            Bounce::Refuse => return None,
            Bounce::Pages(limit) => limit,
        };
        let in_use = self.bounce_pages.checked_add(pages)?;
        let overlaps_area = self.areas.iter().any(|area| {
            let start = area.window.pointer().addr().get();
            let end = start.saturating_add(area.window.len_bytes());
            let from = buffer.addr().get();
            from < end && start < from.saturating_add(buffer.len())
        });
        if in_use > limit || self.bounces.is_full() || overlaps_area {
            return None;
        }
        let bus = self.take(pages, Towards::Both)?.bus.get();
        let len_bytes = buffer.len();
        self.bounces.push(Moved { bus, buffer: buffer.addr().get(), len_bytes, pages });
        self.bounce_pages = in_use;
        self.stats.bounced = self.stats.bounced.saturating_add(1);
        let bytes = u64::try_from(len_bytes).unwrap_or(u64::MAX);
        self.stats.bounced_bytes = self.stats.bounced_bytes.saturating_add(bytes);
        Some(bus)
    }

    /// Copies into pages that `make_room` took; they are as long as the buffer.
    fn copy_in(&mut self, bus: u64, bytes: &[u8]) {
        if let Some((area, offset)) = self.area_at(bus) {
            let (Ok(()) | Err(_)) = area.window.write(offset, bytes);
        }
        self.note_copy(bytes.len());
    }

    fn copy_out(&mut self, bus: u64, bytes: &mut [u8]) {
        if let Some((area, offset)) = self.area_at(bus) {
            let (Ok(()) | Err(_)) = area.window.read(offset, bytes);
        }
        self.note_copy(bytes.len());
    }

    fn note_copy(&mut self, len_bytes: usize) {
        let bytes = u64::try_from(len_bytes).unwrap_or(u64::MAX);
        self.stats.copied_bytes = self.stats.copied_bytes.saturating_add(bytes);
    }
}
