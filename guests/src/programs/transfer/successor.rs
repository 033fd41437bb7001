//! Owns the making of VM 1's driver, for the first backend and for the one that comes after its
//! death; never decides that one has died.

use super::DEVICE;
use super::disk::{Disk, Failed, Slots};
use super::link::Areas;
use crate::rt::client::Clock;
use causeway_client::Bound;
use causeway_client::bus::Bus;
use causeway_client::doorbell::{Doorbells, Gathered};
use causeway_client::guest::{Health, Kick, MsgTransport};
use causeway_virtio::types::Features;
use virtio_drivers::device::blk::VirtIOBlk;

/// How long a dead backend may stay away.
const ABSENCE: Bound = Bound::millis(30_000);

/// What a driver is made of.
#[derive(Clone, Copy)]
pub(super) struct Opener<'b, 'c> {
    pub(super) bus: &'b Bus<'c>,
    pub(super) dev_num: u16,
    pub(super) kicks: &'b Gathered<'b>,
}

impl<'b, 'c> Opener<'b, 'c> {
    /// Resets the device and makes a driver for it.
    ///
    /// # Errors
    /// What the transport or the driver says.
    pub(super) fn open(&self, health: &'b Health, slots: Slots) -> Result<Disk<'b, 'c>, Failed> {
        let transport =
            MsgTransport::open(self.bus, self.dev_num, Kick::Gathered(self.kicks), health)
                .map_err(Failed::Transport)?
                // virtio-drivers 0.13 compares the event index without wrapping, and would leave out a
                // kick.
                .without(Features::EVENT_IDX)
                // `heap` keeps the tables where the device reads them.
                .with_indirect_tables();
        let disk = Disk::new(VirtIOBlk::new(transport)?, health, self.kicks, slots);
        disk.check()?;
        Ok(disk)
    }
}

/// What became of the requests when another backend took over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    /// Requests that the dead backend had not answered.
    pub(super) submitted_again: u64,
    /// Bytes that had been read.
    pub(super) read_before: u64,
}

/// The way to the next backend.
pub(super) struct Successor<'a, 'b, 'c> {
    pub(super) opener: Opener<'b, 'c>,
    pub(super) areas: &'a mut Areas<'c>,
    pub(super) doorbells: &'b Doorbells<'c>,
    pub(super) health: &'b Health,
}

impl<'b, 'c> Successor<'_, 'b, 'c> {
    /// Waits for the next backend, gives it the same areas, and makes again what was in flight;
    /// returns how many requests that was.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) fn take_over(&mut self, disk: Disk<'b, 'c>) -> Result<(Disk<'b, 'c>, u64), Failed> {
        let slots = disk.into_slots();
        let Opener { bus, dev_num, .. } = self.opener;
        bus.wait_for_device(dev_num, &Clock, ABSENCE).map_err(Failed::Transport)?;
        // The dead VM's doorbell was unbound with it.
        self.doorbells.bind(DEVICE).map_err(Failed::Transport)?;
        self.areas.share(bus).map_err(Failed::Transport)?;
        let mut disk = self.opener.open(self.health, slots)?;
        let again = disk.submit_again()?;
        self.opener.kicks.ring_due().map_err(Failed::Transport)?;
        Ok((disk, again))
    }
}
