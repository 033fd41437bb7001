//! Runs virtio-drivers' own block driver on brokered memory against our device model, both sides
//! through this library, and holds the pool to its counts.

#![expect(unsafe_code, reason = "virtio-drivers and the pool ask for promises")]
#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

use super::*;
use crate::backend::{Backend, Verdict};
use crate::bus::{Bus, Incoming};
use crate::connection::Connection;
use crate::doorbell::Doorbells;
use crate::error::Error;
use crate::grant::Grant;
use crate::testing::{FakeWait, FakeWorld};
use crate::wait::Bound;
use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
use causeway_ffa::EndpointId;
use causeway_virtio::AreaId;
use causeway_virtio::device::block::{Block, SliceMedium};
use causeway_virtio::device::{DeviceModel, DeviceServer};
use causeway_virtio::msg::{Body, DeviceState};
use core::cell::{Cell, RefCell};
use virtio_drivers::device::blk::{BlkReq, BlkResp, RespStatus, VirtIOBlk};

const DRIVER: EndpointId = EndpointId::from_raw(1);
const BACKEND: EndpointId = EndpointId::from_raw(2);
const TERMS: GrantTerms =
    GrantTerms { peer: Some(BACKEND), kind: GrantKind::Share, permission: Permission::ReadWrite };
const SOON: Bound = Bound::millis(200);
const SECTORS: usize = 64;

/// A backend VM with one device of up to two queues, whose configuration changes behind the answers to
/// some messages.
struct FakeBackendVm<'v, 'c, D> {
    bus: &'v Bus<'c>,
    doorbells: &'v Doorbells<'c>,
    memory: Backend<'c, 4>,
    device: DeviceServer<D, 2>,
    changes: &'v dyn Fn(&Body) -> bool,
}

impl<D: DeviceModel> FakeBackendVm<'_, '_, D> {
    fn turn(&mut self) {
        self.memory.admit(|_| Verdict::Accept).unwrap();
        while let Some(incoming) = self.bus.receive().unwrap() {
            self.take(&incoming);
        }
        let memory = self.memory.memory(DRIVER);
        // The later queue first: what it brings may be input for the earlier one.
        for queue in (0..self.device.model().queue_count()).rev() {
            let served = self.device.serve(&memory, queue, 16);
            if served.notify {
                self.doorbells.ring(DRIVER).unwrap();
            }
            self.device.arm(&memory, queue);
        }
    }

    fn take(&mut self, incoming: &Incoming) {
        if let Some(response) = self.memory.answer(incoming) {
            return self.bus.respond(incoming, Body::BusResponse(response)).unwrap();
        }
        let memory = self.memory.memory(incoming.far);
        match self.device.answer(&memory, &incoming.message) {
            Some(answer) => self.bus.respond(incoming, answer.body).unwrap(),
            None => self.bus.refuse(incoming).unwrap(),
        }
        if (self.changes)(&incoming.message.body) {
            self.device.config_changed();
        }
    }
}

/// What a test of the driver side gets.
struct DriverSide<'t, 'c> {
    bus: &'t Bus<'c>,
    doorbells: &'t Doorbells<'c>,
    connection: &'c Connection<'c>,
    wait: &'t FakeWait<'t>,
    turn: &'t dyn Fn(),
    world: &'t FakeWorld,
}

/// Sets both VMs up around a disk whose sector n begins with the byte n.
fn with_disk(test: impl FnOnce(&DriverSide<'_, '_>)) {
    let mut medium: Vec<u8> = vec![0; SECTORS * 512];
    for (number, sector) in medium.chunks_mut(512).enumerate() {
        sector[0] = u8::try_from(number).unwrap();
    }
    with_device(Block::<_, 66>::new(SliceMedium::new(&mut medium), [b'd'; 20]), test);
}

/// Sets both VMs up around a device.
fn with_device<D: DeviceModel>(device: D, test: impl FnOnce(&DriverSide<'_, '_>)) {
    with_changing_device(device, &|_| false, test);
}

/// Sets both VMs up around a device whose configuration changes behind the answers that `changes` names.
fn with_changing_device<D: DeviceModel>(
    device: D,
    changes: &dyn Fn(&Body) -> bool,
    test: impl FnOnce(&DriverSide<'_, '_>),
) {
    let world = FakeWorld::new();
    let (conduit1, conduit2) = (world.vm(1), world.vm(2));
    let mapper = world.mapper();
    let driver = Connection::open(&conduit1, world.mailbox(1)).unwrap();
    let backend = Connection::open(&conduit2, world.mailbox(2)).unwrap();
    let (idle, rung1, rung2) =
        (FakeWait::idle(), Doorbells::new(&driver), Doorbells::new(&backend));
    rung1.bind(BACKEND).unwrap();
    rung2.bind(DRIVER).unwrap();
    let serving = Bus::open(&backend, world.pages(2, 2), &idle, SOON).unwrap();
    serving.announce(0, DeviceState::Added).unwrap();
    let vm = RefCell::new(FakeBackendVm {
        bus: &serving,
        doorbells: &rung2,
        memory: Backend::new(&backend, &mapper),
        device: DeviceServer::new(device),
        changes,
    });
    let turn = || vm.borrow_mut().turn();
    let wait = FakeWait::new(turn);
    {
        let bus = Bus::open(&driver, world.pages(1, 2), &wait, SOON).unwrap();
        let (bus, doorbells, connection, wait, turn) = (&bus, &rung1, &driver, &wait, &turn);
        test(&DriverSide { bus, doorbells, connection, wait, turn, world: &world });
    }
    drop(wait);
    drop(vm);
    serving.close().unwrap();
    world.assert_clean("after the device");
}

/// Grants an area, binds it, and gives it to a pool.
fn granted<'c>(side: &DriverSide<'_, 'c>, pool: &DmaPool, area: AreaId, count: u32) -> Grant<'c> {
    let grant = Grant::offer(side.connection, side.world.pages(1, count), TERMS).unwrap();
    let there = [LifeState::Accepted, LifeState::Active];
    grant.wait_for(&there, side.wait, SOON).unwrap();
    side.bus.share_area(area, &grant).unwrap();
    // SAFETY: `given_back` takes the area out of the pool before the grant is closed.
    unsafe { pool.attach(area, &grant) }.unwrap();
    grant
}

fn given_back(side: &DriverSide<'_, '_>, pool: &DmaPool, area: AreaId, grant: Grant<'_>) {
    pool.detach(area).unwrap();
    side.bus.unshare_area(area).unwrap();
    grant.close(side.wait, SOON).unwrap();
}

macro_rules! link {
    ($name:ident, $pool:ident) => {
        static $pool: DmaPool = DmaPool::new();
        struct $name;
        impl Link for $name {
            fn pool() -> &'static DmaPool {
                &$pool
            }
        }
    };
}

// Behind the macro, which they use.
mod blocking;
mod each_failure;
mod generation;
mod restart;

/// Lends one sector's request, buffer and response out of a page: all of it in place. The page was
/// zero when it was taken. The parts are lent anew after the device has worked: references may not
/// live while it writes.
fn parts(page: &mut [u8]) -> (&mut BlkReq, &mut [u8], &mut BlkResp) {
    let (header, rest) = page.split_at_mut(64);
    let (data, tail) = rest.split_at_mut(512);
    let request = header.as_mut_ptr().cast::<BlkReq>();
    let response = tail.as_mut_ptr().cast::<BlkResp>();
    // SAFETY: `header` is a page's start (aligned) and longer; it holds zeros, which are a valid
    // request, or the request that the driver wrote.
    let request = unsafe { &mut *request };
    // SAFETY: a response is one byte, for which every value is valid.
    let response = unsafe { &mut *response };
    (request, data, response)
}

#[test]
fn the_unmodified_block_driver_works_in_place() {
    link!(InPlace, IN_PLACE);
    with_disk(|side| {
        assert_eq!(side.bus.devices().unwrap().as_slice(), [0]);
        let area = AreaId::new(7).unwrap();
        let grant = granted(side, &IN_PLACE, area, 16);
        let (health, before) = (Health::new(), side.doorbells.ring_count());
        let kick = Kick::Doorbell(side.doorbells, BACKEND);
        let transport = MsgTransport::open(side.bus, 0, kick, &health).unwrap();
        let mut disk = VirtIOBlk::<AreaHal<InPlace>, _>::new(transport).unwrap();
        health.check().unwrap();
        assert_eq!(disk.capacity(), 64);

        let mut buffer = IN_PLACE.take(1).unwrap();
        // SAFETY: the device writes the page only in the request below.
        let (request, data, response) = parts(unsafe { buffer.slice_mut() });
        // SAFETY: the three parts are used again only when the request is complete.
        let token = unsafe { disk.read_blocks_nb(9, request, data, response) }.unwrap();
        (side.turn)();
        assert_eq!(disk.peek_used(), Some(token));
        // SAFETY: the device has completed the only request.
        let (request, data, response) = parts(unsafe { buffer.slice_mut() });
        // SAFETY: these are the parts that the request was made with.
        unsafe { disk.complete_read_blocks(token, request, data, response) }.unwrap();
        assert_eq!((response.status(), data[0]), (RespStatus::OK, 9));
        assert_eq!(side.doorbells.ring_count() - before, 1);
        assert!(side.doorbells.poll().unwrap().by(BACKEND));

        let stats = IN_PLACE.stats();
        assert_eq!(stats.copied_bytes, 0);
        // Looking is no copy; reading out and writing in are.
        let mut seen = Vec::new();
        buffer.visit(100, |bytes| seen.extend_from_slice(bytes)).unwrap();
        assert_eq!((seen.len(), IN_PLACE.stats().copied_bytes), (100, 0));
        assert!(buffer.visit(4097, |_| panic!("shown")).is_err());
        buffer.read(0, &mut seen).unwrap();
        buffer.write(0, &seen[..7]).unwrap();
        assert_eq!(IN_PLACE.stats().copied_bytes, 107);
        assert_eq!((stats.bounced, stats.refused, stats.mismatched), (0, 0, 0));
        assert!(stats.in_place >= 3);
        assert_eq!(IN_PLACE.detach(area), Err(PoolBusy));
        drop(disk);
        drop(buffer);
        health.check().unwrap();
        given_back(side, &IN_PLACE, area, grant);
    });
}

#[test]
fn what_lies_outside_is_moved_and_counted_where_that_is_allowed() {
    link!(Moving, MOVING);
    with_disk(|side| {
        let area = AreaId::new(1).unwrap();
        let grant = granted(side, &MOVING, area, 16);
        let health = Health::new();
        let kick = Kick::Doorbell(side.doorbells, BACKEND);
        let transport = MsgTransport::open(side.bus, 0, kick, &health).unwrap();
        let mut disk = VirtIOBlk::<AreaHal<Moving>, _>::new(transport).unwrap();
        let (mut request, mut data, mut response) =
            (BlkReq::default(), [0u8; 512], BlkResp::default());

        MOVING.set_bounce(Bounce::Pages(8));
        // SAFETY: the three parts live until the request is complete.
        let token =
            unsafe { disk.read_blocks_nb(3, &mut request, &mut data, &mut response) }.unwrap();
        (side.turn)();
        // SAFETY: these are the parts that the request was made with.
        unsafe { disk.complete_read_blocks(token, &request, &mut data, &mut response) }.unwrap();
        assert_eq!(data[0], 3);
        let stats = MOVING.stats();
        assert_eq!((stats.bounced, stats.bounced_bytes), (3, 16 + 512 + 1));
        assert_eq!(stats.copied_bytes, 16 + 512 + 1);

        // Refused: the device gets addresses that it can't reach, and nothing is written.
        MOVING.set_bounce(Bounce::Refuse);
        // SAFETY: the parts outlive the disk, which is dropped below without completing it.
        unsafe { disk.read_blocks_nb(3, &mut request, &mut data, &mut response) }.unwrap();
        assert_eq!(MOVING.stats().refused, 3);
        data.fill(0xaa);
        (side.turn)();
        assert_eq!(data, [0xaa; 512]);
        drop(disk);
        given_back(side, &MOVING, area, grant);
    });
}

#[test]
fn a_queue_outside_the_areas_of_the_link_is_a_typed_error() {
    link!(Elsewhere, ELSEWHERE);
    with_disk(|side| {
        // The pool has memory, but the device side was never told of the area.
        let grant = Grant::offer(side.connection, side.world.pages(1, 8), TERMS).unwrap();
        let area = AreaId::new(4).unwrap();
        // SAFETY: the area leaves the pool before the grant is closed.
        unsafe { ELSEWHERE.attach(area, &grant) }.unwrap();
        let health = Health::new();
        let transport = MsgTransport::open(side.bus, 0, Kick::Message, &health).unwrap();
        drop(VirtIOBlk::<AreaHal<Elsewhere>, _>::new(transport).unwrap());
        assert_eq!(health.failure(), Some(Error::BusError { msg_id: 0x0a }));
        ELSEWHERE.detach(area).unwrap();
        // Dropped while the backend maps it: revoked, let go of by the backend, swept up.
        (side.turn)();
        drop(grant);
        assert_eq!(side.connection.stranded(), 1);
        (side.turn)();
        assert_eq!(side.connection.sweep(), 0);
    });
}

#[test]
fn the_pool_hands_out_zeroed_pages_once() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let memory = world.pages(1, 4);
    memory.window().write(0, &[0xff; 64]).unwrap();
    let grant = Grant::offer(&connection, memory, TERMS).unwrap();
    let (pool, area) = (DmaPool::new(), AreaId::new(3).unwrap());
    // SAFETY: the grant outlives the pool's use of it.
    unsafe { pool.attach(area, &grant) }.unwrap();
    let (a, b) = (pool.take(2).unwrap(), pool.take(2).unwrap());
    assert_eq!(a.bus_address().get(), 3 << 48);
    assert_eq!(b.bus_address().get(), (3 << 48) | 0x2000);
    let mut bytes = [1; 64];
    a.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 64]);
    assert!(pool.take(1).is_none());
    drop(a);
    assert!(pool.take(2).is_some());
    assert!(!pool.give_back(3 << 48, 2), "twice");
    assert!(!pool.give_back(5 << 48, 1), "an area that is not there");
    drop(b);
    // SAFETY: as above.
    let again = unsafe { pool.attach(area, &grant) };
    assert_eq!(again, Err(Error::caller(crate::error::Rule::AreaIdTaken)));
    pool.detach(area).unwrap();
}

#[test]
fn an_address_that_was_never_given_out_writes_nothing_back() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let grant = Grant::offer(&connection, world.pages(1, 4), TERMS).unwrap();
    let (pool, area) = (DmaPool::new(), AreaId::new(3).unwrap());
    // SAFETY: the grant outlives the pool's use of it.
    unsafe { pool.attach(area, &grant) }.unwrap();
    pool.set_bounce(Bounce::Pages(4));
    let mut outside = [5u8; 16];
    let buffer = core::ptr::NonNull::from(&mut outside[..]);
    // SAFETY: the buffer is valid and used by nobody else.
    let bus = unsafe { pool.share(buffer, pool::Towards::Driver) }.unwrap();
    // SAFETY: as above.
    unsafe { pool.unshare(bus ^ 0x1000, buffer, pool::Towards::Driver) };
    assert_eq!((outside, pool.stats().mismatched), ([5; 16], 1));
    // SAFETY: as above.
    unsafe { pool.unshare(bus, buffer, pool::Towards::Driver) };
    assert_eq!((outside, pool.stats().mismatched), ([0; 16], 1));
}
