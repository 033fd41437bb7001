//! The backend dies with requests in flight, another takes its place: the driver's areas and buffers
//! serve on, and what was in flight is submitted again.

use super::*;
use crate::error::Rule;

fn read_sector(disk: &mut BlkDriver<'_, '_>, buffer: &mut DmaBuffer<'_>, sector: usize) -> u16 {
    // SAFETY: the device writes the page only in the request below.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: the three parts are used again only when the request is complete, or dead.
    unsafe { disk.read_blocks_nb(sector, request, data, response) }.unwrap()
}

fn finish(disk: &mut BlkDriver<'_, '_>, buffer: &mut DmaBuffer<'_>, token: u16) -> u8 {
    assert_eq!(disk.peek_used(), Some(token));
    // SAFETY: the device has completed the only request.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: these are the parts that the request was made with.
    unsafe { disk.complete_read_blocks(token, request, data, response) }.unwrap();
    assert_eq!(response.status(), RespStatus::OK);
    data[0]
}

link!(Reborn, REBORN);
type BlkDriver<'b, 'c> = VirtIOBlk<AreaHal<Reborn>, MsgTransport<'b, 'c>>;

/// The backend VM's life, once: its own connection, bus, grants and device.
struct Life<'c, 'm> {
    bus: Bus<'c>,
    memory: Backend<'c, 4>,
    disk: DeviceServer<Block<SliceMedium<'m>>, 1>,
}

impl Life<'_, '_> {
    fn turn(&mut self) {
        self.memory.admit(|_| Verdict::Accept).unwrap();
        while let Some(incoming) = self.bus.receive().unwrap() {
            if let Some(response) = self.memory.answer(&incoming) {
                self.bus.respond(&incoming, Body::BusResponse(response)).unwrap();
                continue;
            }
            let memory = self.memory.memory(incoming.far);
            match self.disk.answer(&memory, &incoming.message) {
                Some(answer) => self.bus.respond(&incoming, answer.body).unwrap(),
                None => self.bus.refuse(&incoming).unwrap(),
            }
        }
        let _served = self.disk.serve(&self.memory.memory(DRIVER), 0, 16);
    }
}

#[test]
fn a_restarted_backend_serves_the_same_areas_without_a_restart_of_the_driver() {
    let world = FakeWorld::new();
    let (conduit1, conduit2) = (world.vm(1), world.vm(2));
    let mapper = world.mapper();
    let driver = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let backend = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let (rung1, rung2) = (Doorbells::new(&driver), Doorbells::new(&backend));
    rung1.bind(BACKEND).unwrap();
    rung2.bind(DRIVER).unwrap();
    let idle = FakeWait::idle();
    let mut media = [vec![0xaa_u8; 512], vec![0xbb_u8; 512]];
    let [first_medium, second_medium] = &mut media;
    let life = |medium| {
        let bus = Bus::open(&backend, world.pages(2, 2), &idle, SOON).unwrap();
        bus.announce(0, DeviceState::Added).unwrap();
        let disk = DeviceServer::new(Block::new(SliceMedium::new(medium), [b'd'; 20]));
        Life { bus, memory: Backend::new(&backend, &mapper), disk }
    };
    let vm: RefCell<Option<Life<'_, '_>>> = RefCell::new(Some(life(first_medium)));
    let turn = || {
        if let Some(alive) = vm.borrow_mut().as_mut() {
            alive.turn();
        }
    };
    let wait = FakeWait::new(turn);
    let bus = Bus::open(&driver, world.pages(1, 2), &wait, SOON).unwrap();
    let areas = [1, 2]
        .map(|id| SharedArea::new(&REBORN, AreaId::new(id).unwrap(), TERMS, world.pages(1, 4)));
    let mut areas = areas;
    for area in &mut areas {
        area.share(&bus, &wait, SOON).unwrap();
    }
    let kick = Kick::Doorbell(&rung1, BACKEND);
    let health = Health::new();
    let transport = MsgTransport::open(&bus, 0, kick, &health).unwrap();
    let mut disk = VirtIOBlk::<AreaHal<Reborn>, _>::new(transport).unwrap();
    let mut buffer = REBORN.take(1).unwrap();
    let address = buffer.bus_address();
    let token = read_sector(&mut disk, &mut buffer, 0);
    turn();
    assert_eq!(finish(&mut disk, &mut buffer, token), 0xaa);
    // In flight while the backend dies, together with an area that cannot be taken back meanwhile.
    read_sector(&mut disk, &mut buffer, 0);
    assert_eq!(
        areas[0].take_back(&bus, &wait, SOON).unwrap_err(),
        Error::caller(Rule::BuffersTaken)
    );
    drop(vm.take());

    // The driver sees no answer; its owner drops it, and waits for a successor.
    drop(disk);
    assert!(health.failure().is_some());
    let nobody = bus.wait_for_device(0, &wait, Bound::millis(10));
    assert_eq!(nobody, Err(Error::TimedOut(crate::error::Awaited::Device)));
    vm.replace(Some(life(second_medium)));
    bus.wait_for_device(0, &wait, SOON).unwrap();
    for area in &mut areas {
        let before = area.handle();
        area.share(&bus, &wait, SOON).unwrap();
        assert_ne!(area.handle(), before, "a new grant");
    }
    let health = Health::new();
    let transport = MsgTransport::open(&bus, 0, kick, &health).unwrap();
    let mut disk = VirtIOBlk::<AreaHal<Reborn>, _>::new(transport).unwrap();
    assert_eq!(buffer.bus_address(), address, "the buffer stayed where it was");
    let token = read_sector(&mut disk, &mut buffer, 0);
    turn();
    assert_eq!(finish(&mut disk, &mut buffer, token), 0xbb);
    health.check().unwrap();
    drop((disk, buffer));
    for area in &mut areas {
        assert!(area.take_back(&bus, &wait, SOON).unwrap().is_some());
    }
    bus.close().unwrap();
    drop(vm.take());
    world.assert_clean("after two lives");
}
