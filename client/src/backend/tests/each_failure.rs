//! A link's whole life, on both sides, with each call of either VM failing in turn: whatever came of
//! it, the platform's books are empty once both have let go.

use super::*;
use crate::bus::Bus;
use crate::error::Awaited;
use crate::grant::Grant;
use crate::memory::OwnAreas;
use crate::testing::{FakeWait, FakeWorld, Memory};
use crate::wait::Bound;
use causeway_virtio::device::DeviceServer;
use causeway_virtio::device::block::{Block as Model, SliceMedium};
use causeway_virtio::driver::block::{Block, Geometry};
use causeway_virtio::msg::DeviceState;
use causeway_virtio::queue::{QueueConfig, QueueSize, Segment};
use causeway_virtio::{BusAddr, Features};
use core::cell::{Cell, RefCell};

const SOON: Bound = Bound::millis(30);

/// The backend: a disk of eight sectors of sevens.
struct Serving<'c, 'm> {
    bus: Bus<'c>,
    areas: Backend<'c, 4>,
    disk: DeviceServer<Model<SliceMedium<'m>, 8>, 1>,
}

impl Serving<'_, '_> {
    fn turn(&mut self) -> Result<(), Error> {
        self.areas.admit(|_| Verdict::Accept)?;
        while let Some(incoming) = self.bus.receive()? {
            if let Some(response) = self.areas.answer(&incoming) {
                self.bus.respond(&incoming, Body::BusResponse(response))?;
                continue;
            }
            let memory = self.areas.memory(incoming.far);
            match self.disk.answer(&memory, &incoming.message) {
                Some(answer) => self.bus.respond(&incoming, answer.body)?,
                None => self.bus.refuse(&incoming)?,
            }
        }
        let _served = self.disk.serve(&self.areas.memory(VM1), 0, 16);
        Ok(())
    }
}

/// The driver, from its bus to its end.
fn drive(world: &FakeWorld, driver: &Connection<'_>, wait: &FakeWait<'_>) -> Result<(), Error> {
    let bus = Bus::open(driver, world.pages(1, 2), wait, SOON).map_err(|failed| failed.error)?;
    bus.wait_for_device(0, wait, SOON)?;
    let offered = Grant::offer(driver, world.pages(1, 4), terms(Permission::ReadWrite));
    let grant = offered.map_err(|failed| failed.error)?;
    grant.wait_for(&[LifeState::Active], wait, SOON)?;
    let area = AreaId::new(3).ok_or(Error::TimedOut(Awaited::Device))?;
    bus.share_area(area, &grant)?;
    read_a_sector(&bus, area, &grant, wait)?;
    bus.unshare_area(area)?;
    grant.close(wait, SOON).map_err(|failed| failed.error)?;
    bus.close().map(|_| ()).map_err(|failed| failed.error)
}

fn read_a_sector(
    bus: &Bus<'_>,
    area: AreaId,
    grant: &Grant<'_>,
    wait: &FakeWait<'_>,
) -> Result<(), Error> {
    let at = |offset| BusAddr::new(area, offset).unwrap();
    let features = bus.begin_device(0, Features::NONE)?;
    let space: [u8; Geometry::CONFIG_BYTES] = bus.device_config(0)?;
    let config = QueueConfig {
        size: QueueSize::new(8).unwrap(),
        desc: at(0),
        driver: at(0x400),
        device: at(0x800),
        features,
    };
    let windows = OwnAreas::new([(area, grant.window().unwrap())]);
    let geometry = Geometry::from_config(&space, features);
    let mut disk = Block::<8>::new(&windows, config, at(0x1000), geometry).unwrap();
    bus.set_queue(0, 0, &config)?;
    bus.start_device(0)?;
    disk.read(&windows, 6, &[Segment { addr: at(0x2000), len: 512 }]).unwrap();
    let done = SOON.until(wait, || Ok(disk.poll(&windows).unwrap()))?;
    let done = done.ok_or(Error::TimedOut(Awaited::Device))?;
    assert!(done.outcome.is_ok());
    let mut bytes = [0; 512];
    grant.window().unwrap().read(0x2000, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 512]);
    bus.end_device(0)
}

/// Both VMs' lives, up to the first failure of either; then everybody lets go.
fn whole_life(world: &FakeWorld, mapper: &Memory) -> Result<(), Error> {
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
    let bus = Bus::open(backend, world.pages(2, 2), &idle, SOON).map_err(|failed| failed.error)?;
    bus.announce(0, DeviceState::Added)?;
    let disk = DeviceServer::new(Model::new(SliceMedium::new(&mut medium), [0; 20]));
    let serving = RefCell::new(Serving { bus, areas: Backend::new(backend, mapper), disk });
    let failure = Cell::new(None);
    let wait = FakeWait::new(|| {
        if let Err(error) = serving.borrow_mut().turn() {
            failure.set(failure.get().or(Some(error)));
        }
    });
    let driven = drive(world, driver, &wait);
    drop(wait);
    let Serving { bus, areas, .. } = serving.into_inner();
    drop(areas);
    let closed = bus.close().map(|_| ()).map_err(|failed| failed.error);
    driven.and(failure.get().map_or(Ok(()), Err)).and(closed)
}

#[test]
fn whichever_call_of_either_side_of_a_link_fails_nothing_stays_behind() {
    FakeWorld::whichever_call_fails_nothing_stays_behind(60, |world| {
        whole_life(world, &world.mapper())
    });
}
