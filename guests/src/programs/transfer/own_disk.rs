//! Owns our own block driver at work in VM 1: its areas, its queue of 32, its doorbells. Never knows what
//! the bytes are for.

use super::digest::Digest;
use super::disk::{DEAD_MICROS, Failed, SECTOR};
use super::figures::REQUEST;
use super::{BOUND, DEVICE};
use crate::check;
use crate::rt::client::{Clock, take_pages};
use crate::rt::{signal, time};
use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::Error;
use causeway_client::bus::Bus;
use causeway_client::doorbell::{Doorbells, bit_of};
use causeway_client::error::{Party, Rule};
use causeway_client::grant::Grant;
use causeway_client::memory::{OwnAreas, Window};
use causeway_virtio::driver::block::{Block, BlockError, Geometry};
use causeway_virtio::mem::AreaMap;
use causeway_virtio::queue::{QueueConfig, QueueSize, Segment};
use causeway_virtio::types::Features;
use causeway_virtio::{AreaId, BusAddr};

/// Requests in flight.
pub(super) const DEPTH: u16 = 32;
/// The areas' numbers: those of the unmodified driver are 1 and 2.
const RINGS: u16 = 3;
const PAYLOAD: u16 = 4;
/// Pages of the area of the rings; in it the parts of the queue, and the driver's workspace.
const RING_PAGES: u32 = 2;
const PARTS: [u64; 3] = [0, 0x400, 0x800];
const WORKSPACE: u64 = 0x1000;

/// Both areas.
pub(super) struct Grants<'c> {
    rings: Grant<'c>,
    payload: Grant<'c>,
}

impl<'c> Grants<'c> {
    fn window<'g>(grant: &'g Grant<'c>) -> Result<&'g Window, Error> {
        grant.window().ok_or(Error::Broken { by: Party::Caller, rule: Rule::AreaShape })
    }

    /// The memory of the requests' data.
    pub(super) fn payload(&self) -> Result<&Window, Error> {
        Self::window(&self.payload)
    }

    /// Unbinds and closes both.
    pub(super) fn take_back(self, bus: &Bus<'c>) -> Result<(), Error> {
        for (number, grant) in [(PAYLOAD, self.payload), (RINGS, self.rings)] {
            bus.unshare_area(area(number))?;
            grant.close(&Clock, BOUND).map_err(|failed| failed.error)?;
        }
        Ok(())
    }
}

/// The driver at work.
pub(super) struct OwnDisk<'g, 'c> {
    driver: Block<{ DEPTH as usize }>,
    areas: OwnAreas<'g, 2>,
    doorbells: &'g Doorbells<'c>,
    requests: u64,
}

impl<'g, 'c> OwnDisk<'g, 'c> {
    /// Grants both areas to VM 2 and binds their numbers.
    pub(super) fn grant(bus: &Bus<'c>) -> Result<Grants<'c>, Error> {
        let share = |number, pages| {
            let terms = GrantTerms {
                peer: Some(DEVICE),
                kind: GrantKind::Share,
                permission: Permission::ReadWrite,
            };
            let grant = Grant::offer(bus.connection(), take_pages(pages), terms);
            let grant = grant.map_err(|refused| refused.error)?;
            grant.wait_for(&[LifeState::Active], &Clock, BOUND)?;
            bus.share_area(area(number), &grant)?;
            Ok(grant)
        };
        let slot = u32::try_from(REQUEST / 4096).unwrap_or(u32::MAX);
        let rings = share(RINGS, RING_PAGES)?;
        let payload = share(PAYLOAD, slot.saturating_mul(DEPTH.into()))?;
        Ok(Grants { rings, payload })
    }

    /// Sets device and queue up.
    pub(super) fn open(
        bus: &Bus<'c>,
        dev_num: u16,
        doorbells: &'g Doorbells<'c>,
        grants: &'g Grants<'c>,
    ) -> Result<Self, Failed> {
        let windows = [(RINGS, &grants.rings), (PAYLOAD, &grants.payload)];
        let [rings, payload] = windows
            .map(|(number, grant)| Grants::window(grant).map(|window| (area(number), window)));
        let areas = OwnAreas::new([rings?, payload?]);
        let wanted = Features::EVENT_IDX | Features::INDIRECT_DESC | Features::BLK_SEG_MAX;
        let features = bus.begin_device(dev_num, wanted)?;
        let geometry = Geometry::from_config(&bus.device_config(dev_num)?, features);
        let [desc, driver, device] = PARTS.map(|offset| at(RINGS, offset));
        let size = QueueSize::new(DEPTH).ok_or(Failed::TooShort)?;
        let config = QueueConfig { size, desc, driver, device, features };
        let driver = Block::new(&areas, config, at(RINGS, WORKSPACE), geometry)?;
        // A ring that leaves its area, and one in an area that nobody has, are refused by the partition;
        // the queue is as it was, so that the right one is taken after it.
        let beyond = u64::from(RING_PAGES) * 4096 - 8;
        let refused = [at(RINGS, beyond), at(PAYLOAD + 1, 0)].map(|device| {
            let met = bus.set_queue(dev_num, 0, &QueueConfig { device, ..config });
            matches!(met, Err(Error::BusError { .. }))
        });
        check!("transfer/rings_outside_areas_are_refused", refused == [true; 2], "{refused:?}");
        bus.set_queue(dev_num, 0, &config)?;
        bus.start_device(dev_num)?;
        Ok(Self { driver, areas, doorbells, requests: 0 })
    }

    /// Bytes of the disk.
    pub(super) const fn len_bytes(&self) -> u64 {
        self.driver.geometry().sectors().saturating_mul(SECTOR)
    }

    /// Requests made so far.
    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Reads the first `total` bytes, as many requests at a time as the queue holds, and digests them if
    /// that is asked for.
    pub(super) fn read_all(
        &mut self,
        total: u64,
        mut digest: Option<&mut Digest>,
    ) -> Result<(), Failed> {
        let mut at_byte = 0;
        while at_byte < total {
            let end = total.min(at_byte + slot_offset(DEPTH));
            self.read_round(at_byte, end)?;
            if let Some(digest) = &mut digest {
                self.add_to(digest, end - at_byte)?;
            }
            at_byte = end;
        }
        Ok(())
    }

    /// Digests the first bytes of the payload area.
    fn add_to(&self, digest: &mut Digest, bytes: u64) -> Result<(), Failed> {
        let mut block = [0; 512];
        let mut offset = 0;
        while offset < bytes {
            let read = self.areas.read(at(PAYLOAD, offset), &mut block);
            read.map_err(|error| BlockError::Queue(error.into()))?;
            digest.add_private(&block);
            offset += SECTOR;
        }
        Ok(())
    }

    /// Reads what one filling of the queue holds: one kick, and one doorbell when all are back.
    fn read_round(&mut self, from: u64, end: u64) -> Result<(), Failed> {
        let mut at_byte = from;
        while at_byte < end {
            let len = (end - at_byte).min(slot_offset(1));
            let into = Segment {
                addr: at(PAYLOAD, at_byte - from),
                len: u32::try_from(len).map_err(|_| Failed::TooShort)?,
            };
            self.driver.read(&self.areas, at_byte / SECTOR, &[into])?;
            self.requests += 1;
            at_byte += len;
        }
        if self.driver.must_kick(&self.areas)? {
            self.doorbells.ring(DEVICE)?;
        }
        let begin = time::now_micros();
        loop {
            while let Some(done) = self.driver.poll(&self.areas)? {
                if !done.outcome.is_ok() {
                    return Err(Failed::Refused);
                }
            }
            let waiting = self.driver.in_flight();
            if waiting == 0 {
                return Ok(());
            }
            if !self.driver.arm(&self.areas, waiting)? {
                time::rest();
                signal::fetch();
                // A doorbell only says "look again", and the loop does.
                let _looked = signal::take_from_vms(bit_of(DEVICE));
            }
            if time::now_micros().saturating_sub(begin) > DEAD_MICROS {
                return Err(Failed::NoAnswer);
            }
        }
    }
}

fn slot_offset(slots: u16) -> u64 {
    u64::try_from(REQUEST).unwrap_or(u64::MAX).saturating_mul(slots.into())
}

fn area(number: u16) -> AreaId {
    AreaId::new(number).expect("numbers begin at 1")
}

fn at(number: u16, offset: u64) -> BusAddr {
    BusAddr::new(area(number), offset).expect("inside an area's address space")
}
