//! Owns what a pool does when the device behind it dies and another takes its place, or when its
//! driver must be freed from waiting; never decides that it has died.

use super::{DmaPool, State};
use crate::error::{Error, Rule};
use crate::grant::Grant;
use crate::memory::Window;
use causeway_virtio::BusAddr;

impl DmaPool {
    /// Goes on with the same pages under a new grant: those of `area`, which were closed and offered
    /// again. Buffers in them stay taken and keep their addresses.
    ///
    /// # Errors
    /// [`Rule::AreaIdUnknown`]; [`Rule::AreaShape`] if these are other pages, or other terms.
    pub fn reattach(&self, area: causeway_virtio::AreaId, grant: &Grant<'_>) -> Result<(), Error> {
        let window = grant.window().ok_or(Error::caller(Rule::AreaShape))?;
        let state = self.state.lock();
        let known = state.areas.iter().find(|known| known.id == area);
        let known = known.ok_or(Error::caller(Rule::AreaIdUnknown))?;
        let same = known.window.pointer() == window.pointer()
            && known.window.len_bytes() == window.len_bytes()
            && known.permission == grant.terms().permission;
        if same { Ok(()) } else { Err(Error::caller(Rule::AreaShape)) }
    }

    /// Forgets the buffers that were moved for a driver that is gone; returns how many. Call it when
    /// the driver has been dropped with requests in flight: virtio-drivers does not take those back.
    /// What the device wrote for them is not copied to anybody.
    pub fn forget_moved(&self) -> usize {
        let mut state = self.state.lock();
        let mut count: usize = 0;
        while let Some(moved) = state.bounces.pop() {
            state.give_back(moved.bus, moved.pages);
            state.bounce_pages = state.bounce_pages.saturating_sub(moved.pages);
            count = count.saturating_add(1);
        }
        count
    }

    /// Reads a 16-bit ring field.
    pub(in crate::guest) fn ring_u16(&self, at: BusAddr) -> Option<u16> {
        self.state.lock().window_at(at, |window, offset| window.load_acquire_u16(offset).ok())
    }

    /// Publishes a 16-bit ring field.
    pub(in crate::guest) fn set_ring_u16(&self, at: BusAddr, value: u16) -> Option<()> {
        self.state
            .lock()
            .window_at(at, |window, offset| window.store_release_u16(offset, value).ok())
    }

    /// Writes a ring element.
    pub(in crate::guest) fn write_ring(&self, at: BusAddr, bytes: &[u8]) -> Option<()> {
        self.state.lock().window_at(at, |window, offset| window.write(offset, bytes).ok())
    }
}

impl State {
    fn window_at<T>(
        &self,
        at: BusAddr,
        access: impl FnOnce(&Window, u64) -> Option<T>,
    ) -> Option<T> {
        let (area, offset) = self.area_at(at.get())?;
        access(&area.window, offset)
    }
}
