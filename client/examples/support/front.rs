//! Owns a front end: virtio-drivers' block driver, unmodified, in one brokered area. Never polls
//! without a bound.
#![expect(unsafe_code, reason = "virtio-drivers asks for promises about its buffers")]

use super::vm::Vm;
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::doorbell::Doorbells;
use causeway_client::guest::{
    AreaHal, DmaBuffer, DmaPool, Health, Kick, Link, MsgTransport, SharedArea,
};
use causeway_client::{Bound, Connection, Wait};
use causeway_ffa::EndpointId;
use causeway_virtio::AreaId;
use causeway_virtio::types::Features;
use std::error::Error;
use virtio_drivers::device::blk::{BlkReq, BlkResp, RespStatus, SECTOR_SIZE, VirtIOBlk};

/// The VM that serves the disk.
const BACKEND: EndpointId = EndpointId::from_raw(2);
/// How long the front end waits for anything.
const SOON: Bound = Bound::millis(500);
/// Pages of its area.
const PAGES: u32 = 16;

/// What the area is granted with.
pub(crate) const TERMS: GrantTerms =
    GrantTerms { peer: Some(BACKEND), kind: GrantKind::Share, permission: Permission::ReadWrite };

static POOL: DmaPool = DmaPool::new();

/// The one link of this program.
pub(crate) struct Disk;

impl Link for Disk {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}

/// A disk as the front end sees it.
pub(crate) struct Opened<'s, 'b, 'c> {
    driver: VirtIOBlk<AreaHal<Disk>, MsgTransport<'b, 'c>>,
    buffer: DmaBuffer<'static>,
    wait: &'s dyn Wait,
}

/// What a front end has open: its bus, and an area that the backend was granted.
pub(crate) struct Front<'t, 'c> {
    bus: &'t Bus<'c>,
    doorbells: &'t Doorbells<'c>,
    area: &'t mut SharedArea<'c>,
    wait: &'c dyn Wait,
}

/// Opens connection, bus and area, lets `work` use them, and gives everything back.
pub(crate) fn with_front<R>(
    vm: &Vm,
    wait: &dyn Wait,
    work: impl FnOnce(&mut Front<'_, '_>) -> Result<R, Box<dyn Error>>,
) -> Result<R, Box<dyn Error>> {
    let conduit = vm.conduit();
    let connection = Connection::open(&conduit, vm.mailbox()).map_err(|failed| failed.error)?;
    let doorbells = Doorbells::new(&connection);
    let bus = Bus::open(&connection, vm.pages(2), wait, SOON).map_err(|failed| failed.error)?;
    let id = AreaId::new(1).ok_or("an area id")?;
    let mut area = SharedArea::new(&POOL, id, TERMS, vm.pages(PAGES));
    let mut front = Front { bus: &bus, doorbells: &doorbells, area: &mut area, wait };
    front.share()?;
    let done = work(&mut front)?;
    area.take_back(&bus, wait, SOON)?;
    bus.close().map_err(|failed| failed.error)?;
    Ok(done)
}

/// The same, and opens the disk.
pub(crate) fn with_disk<R>(
    vm: &Vm,
    wait: &dyn Wait,
    work: impl FnOnce(&mut Opened<'_, '_, '_>) -> Result<R, Box<dyn Error>>,
) -> Result<R, Box<dyn Error>> {
    with_front(vm, wait, |front| front.with_disk(work))
}

impl Front<'_, '_> {
    /// Waits for a backend and grants it the area: at first, and again after its death.
    pub(crate) fn share(&mut self) -> Result<(), Box<dyn Error>> {
        // A VM that died has lost its doorbell with us.
        self.doorbells.bind(BACKEND)?;
        self.bus.wait_for_device(0, self.wait, SOON)?;
        Ok(self.area.share(self.bus, self.wait, SOON)?)
    }

    /// Opens the disk and lets `work` use it.
    pub(crate) fn with_disk<R>(
        &self,
        work: impl FnOnce(&mut Opened<'_, '_, '_>) -> Result<R, Box<dyn Error>>,
    ) -> Result<R, Box<dyn Error>> {
        let health = Health::new();
        let kick = Kick::Doorbell(self.doorbells, BACKEND);
        let transport = MsgTransport::open(self.bus, 0, kick, &health)?;
        let driver = VirtIOBlk::new(transport.without(Features::EVENT_IDX))?;
        let buffer = POOL.take(1).ok_or("a page of the area")?;
        let done = work(&mut Opened { driver, buffer, wait: self.wait })?;
        health.check()?;
        Ok(done)
    }
}

/// Lends request, data and response out of one page. They are lent anew after the device has worked:
/// no reference may live while it writes.
fn parts(page: &mut [u8]) -> (&mut BlkReq, &mut [u8], &mut BlkResp) {
    let (header, rest) = page.split_at_mut(64);
    let (data, tail) = rest.split_at_mut(SECTOR_SIZE);
    let request = header.as_mut_ptr().cast::<BlkReq>();
    let response = tail.as_mut_ptr().cast::<BlkResp>();
    // SAFETY: the header is aligned (a page's start), long enough, and zero or a request.
    let request = unsafe { &mut *request };
    // SAFETY: a response is one byte, for which every value is valid.
    let response = unsafe { &mut *response };
    (request, data, response)
}

impl Opened<'_, '_, '_> {
    /// Sectors of the disk.
    pub(crate) fn capacity(&self) -> u64 {
        self.driver.capacity()
    }

    /// Reads one sector.
    pub(crate) fn read(&mut self, sector: usize) -> Result<[u8; SECTOR_SIZE], Box<dyn Error>> {
        // SAFETY: the device writes the page only in the request below.
        let (request, data, response) = parts(unsafe { self.buffer.slice_mut() });
        // SAFETY: the parts are looked at again only when the request is complete.
        let token = unsafe { self.driver.read_blocks_nb(sector, request, data, response) }?;
        self.until_used(token)?;
        // SAFETY: the device has completed the only request.
        let (request, data, response) = parts(unsafe { self.buffer.slice_mut() });
        // SAFETY: these are the parts that the request was made with.
        unsafe { self.driver.complete_read_blocks(token, request, data, response) }?;
        ok(response)?;
        Ok(data.as_ref().try_into()?)
    }

    /// Writes one sector.
    pub(crate) fn write(
        &mut self,
        sector: usize,
        bytes: &[u8; SECTOR_SIZE],
    ) -> Result<(), Box<dyn Error>> {
        // SAFETY: the device reads and writes the page only in the request below.
        let (request, data, response) = parts(unsafe { self.buffer.slice_mut() });
        data.copy_from_slice(bytes);
        // SAFETY: the parts are looked at again only when the request is complete.
        let token = unsafe { self.driver.write_blocks_nb(sector, request, data, response) }?;
        self.until_used(token)?;
        // SAFETY: the device has completed the only request.
        let (request, data, response) = parts(unsafe { self.buffer.slice_mut() });
        // SAFETY: these are the parts that the request was made with.
        unsafe { self.driver.complete_write_blocks(token, request, data, response) }?;
        ok(response)
    }

    fn until_used(&mut self, token: u16) -> Result<(), Box<dyn Error>> {
        let (wait, driver) = (self.wait, &mut self.driver);
        let used = SOON.until(wait, || {
            let is_there = driver.peek_used() == Some(token);
            Ok::<_, causeway_client::Error>(is_there.then_some(()))
        })?;
        used.ok_or_else(|| "the disk did not answer".into())
    }
}

fn ok(response: &BlkResp) -> Result<(), Box<dyn Error>> {
    if response.status() == RespStatus::OK { Ok(()) } else { Err("the disk refused".into()) }
}
