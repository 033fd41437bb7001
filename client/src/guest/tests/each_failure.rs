//! The life of an unmodified driver, its area and its device, with each call of either VM failing in
//! turn: whatever came of it, the platform's books are empty once both have let go.

use super::*;
use crate::error::Awaited;
use crate::testing::Memory;
use std::sync::{Mutex, PoisonError};

/// The pool of the life that is lived now: a driver's type names its pool, and each life has a fresh one.
static NOW: Mutex<Option<&'static DmaPool>> = Mutex::new(None);

struct Fresh;

impl Link for Fresh {
    fn pool() -> &'static DmaPool {
        NOW.lock().unwrap_or_else(PoisonError::into_inner).expect("a life is lived")
    }
}

/// The backend, up to its first failure.
struct Serving<'c, 'm> {
    bus: Bus<'c>,
    memory: Backend<'c, 4>,
    disk: DeviceServer<Block<SliceMedium<'m>>, 1>,
}

impl Serving<'_, '_> {
    fn turn(&mut self) -> Result<(), Error> {
        self.memory.admit(|_| Verdict::Accept)?;
        while let Some(incoming) = self.bus.receive()? {
            if let Some(response) = self.memory.answer(&incoming) {
                self.bus.respond(&incoming, Body::BusResponse(response))?;
                continue;
            }
            let memory = self.memory.memory(incoming.far);
            match self.disk.answer(&memory, &incoming.message) {
                Some(answer) => self.bus.respond(&incoming, answer.body)?,
                None => self.bus.refuse(&incoming)?,
            }
        }
        let _served = self.disk.serve(&self.memory.memory(DRIVER), 0, 16);
        Ok(())
    }
}

/// The driver: area, driver, one sector, and everything back.
fn drive(world: &FakeWorld, driver: &Connection<'_>, wait: &FakeWait<'_>) -> Result<(), Error> {
    let doorbells = Doorbells::new(driver);
    doorbells.bind(BACKEND)?;
    let bus = Bus::open(driver, world.pages(1, 2), wait, SOON).map_err(|failed| failed.error)?;
    bus.wait_for_device(0, wait, SOON)?;
    let id = AreaId::new(3).unwrap();
    let mut area = SharedArea::new(Fresh::pool(), id, TERMS, world.pages(1, 16));
    area.share(&bus, wait, SOON)?;
    read_a_sector(&bus, &doorbells, wait)?;
    let pages = area.take_back(&bus, wait, SOON)?;
    assert_eq!(pages.map(|pages| pages.page_count()), Some(16));
    bus.close().map_err(|failed| failed.error)?;
    doorbells.unbind(BACKEND)
}

fn read_a_sector(
    bus: &Bus<'_>,
    doorbells: &Doorbells<'_>,
    wait: &FakeWait<'_>,
) -> Result<(), Error> {
    let health = Health::new();
    let kick = Kick::Doorbell(doorbells, BACKEND);
    let transport = MsgTransport::open(bus, 0, kick, &health)?;
    let disk = VirtIOBlk::<AreaHal<Fresh>, _>::new(transport);
    health.check()?;
    let mut disk = disk.map_err(|_| Error::TimedOut(Awaited::Device))?;
    let mut buffer = Fresh::pool().take(1).unwrap();
    // SAFETY: the device writes the page only in the request below.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: the three parts are used again only when the request is complete.
    let token = unsafe { disk.read_blocks_nb(6, request, data, response) }.unwrap();
    health.check()?;
    let done = SOON.until(wait, || Ok((disk.peek_used() == Some(token)).then_some(())))?;
    done.ok_or(Error::TimedOut(Awaited::Device))?;
    // SAFETY: the device has completed the only request.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: these are the parts that the request was made with.
    unsafe { disk.complete_read_blocks(token, request, data, response) }.unwrap();
    assert_eq!((response.status(), data[511]), (RespStatus::OK, 7));
    drop(disk);
    health.check()
}

/// Both VMs' lives, up to the first failure of either; then everybody lets go.
fn whole_life(world: &FakeWorld, mapper: &Memory) -> Result<(), Error> {
    *NOW.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::leak(Box::default()));
    let (conduit_1, conduit_2) = (world.vm(1), world.vm(2));
    let driver = Connection::open(&conduit_1, world.mailbox(1)).map_err(|f| f.error)?;
    let backend = Connection::open(&conduit_2, world.mailbox(2)).map_err(|f| f.error)?;
    let lived = both(world, mapper, &driver, &backend);
    world.stop_failing();
    // What a peer still mapped when its owner let go waits to be reclaimed.
    assert_eq!((driver.sweep(), backend.sweep()), (0, 0));
    lived
}

fn both(
    world: &FakeWorld,
    mapper: &Memory,
    driver: &Connection<'_>,
    backend: &Connection<'_>,
) -> Result<(), Error> {
    let idle = FakeWait::idle();
    let mut medium = [7; 8 * 512];
    let rung = Doorbells::new(backend);
    rung.bind(DRIVER)?;
    let bus = Bus::open(backend, world.pages(2, 2), &idle, SOON).map_err(|failed| failed.error)?;
    bus.announce(0, DeviceState::Added)?;
    let disk = DeviceServer::new(Block::new(SliceMedium::new(&mut medium), [0; 20]));
    let serving = RefCell::new(Serving { bus, memory: Backend::new(backend, mapper), disk });
    let failure = Cell::new(None);
    let wait = FakeWait::new(|| {
        if let Err(error) = serving.borrow_mut().turn() {
            failure.set(failure.get().or(Some(error)));
        }
    });
    let driven = drive(world, driver, &wait);
    drop(wait);
    let Serving { bus, memory, .. } = serving.into_inner();
    drop(memory);
    let closed = bus.close().map(|_| ()).map_err(|failed| failed.error);
    driven.and(failure.get().map_or(Ok(()), Err)).and(closed)
}

#[test]
fn whichever_call_of_a_drivers_life_fails_nothing_stays_behind() {
    FakeWorld::whichever_call_fails_nothing_stays_behind(60, |world| {
        whole_life(world, &world.mapper())
    });
}
