//! The backend VM is killed in the middle of the transfer and comes back: the driver, never restarted,
//! gets every byte.
#![expect(unsafe_code, reason = "virtio-drivers asks for promises about buffers")]

use super::world::{BACKEND, DRIVER, Life, SOON, Turns, Vm, World, kill};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::doorbell::Doorbells;
use causeway_client::error::{Awaited, Party, Rule};
use causeway_client::guest::{
    AreaHal, DmaBuffer, DmaPool, Health, Kick, Link, MsgTransport, SharedArea,
};
use causeway_client::{Bound, Error};
use causeway_fake_spmc::platform::Setup;
use causeway_fake_spmc::{Personality, Platform};
use causeway_virtio::AreaId;
use causeway_virtio::device::block::{Block, SliceMedium};
use causeway_virtio::types::Features;
use virtio_drivers::device::blk::{BlkReq, BlkResp, RespStatus, VirtIOBlk};

static POOL: DmaPool = DmaPool::new();

struct Disk;

impl Link for Disk {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}

type Driver<'b> = VirtIOBlk<AreaHal<Disk>, MsgTransport<'b, 'static>>;

const TERMS: GrantTerms =
    GrantTerms { peer: Some(BACKEND), kind: GrantKind::Share, permission: Permission::ReadWrite };
const SECTORS: usize = 40;
const NEEDS_RESET: Error = Error::Broken { by: Party::Peer, rule: Rule::DeviceNeedsReset };

/// Lends one sector's request, buffer and response out of a page, all in place.
fn parts(page: &mut [u8]) -> (&mut BlkReq, &mut [u8], &mut BlkResp) {
    let (header, rest) = page.split_at_mut(64);
    let (data, tail) = rest.split_at_mut(512);
    // SAFETY: a page's start is aligned and longer; it holds zeros, which are a valid request, or
    // the request that the driver wrote.
    let request = unsafe { &mut *header.as_mut_ptr().cast::<BlkReq>() };
    // SAFETY: a response is one byte, for which every value is valid.
    let response = unsafe { &mut *tail.as_mut_ptr().cast::<BlkResp>() };
    (request, data, response)
}

fn submit(disk: &mut Driver<'_>, buffer: &mut DmaBuffer<'_>, sector: usize) -> u16 {
    // SAFETY: the device writes the page only in this request.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: the parts are used again only when the request is complete, or its device is dead.
    unsafe { disk.read_blocks_nb(sector, request, data, response) }.unwrap()
}

/// Waits for a request, with a bound; the sector's number if it was read.
fn finish(
    disk: &mut Driver<'_>,
    buffer: &mut DmaBuffer<'_>,
    token: u16,
    health: &Health,
    wait: &Turns<'_>,
) -> Result<u8, Error> {
    let done = SOON.until(wait, || {
        let _changed = disk.ack_interrupt();
        health.check()?;
        Ok((disk.peek_used() == Some(token)).then_some(()))
    })?;
    done.expect("neither an answer nor a failure");
    // SAFETY: the device has completed the request.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: these are the parts that the request was made with.
    unsafe { disk.complete_read_blocks(token, request, data, response) }.unwrap();
    assert_eq!(response.status(), RespStatus::OK);
    Ok(data[0])
}

fn open<'b>(
    bus: &'b Bus<'static>,
    doorbells: &'b Doorbells<'static>,
    health: &'b Health,
) -> Driver<'b> {
    let kick = Kick::Doorbell(doorbells, BACKEND);
    let transport = MsgTransport::open(bus, 0, kick, health).unwrap();
    VirtIOBlk::new(transport.without(Features::EVENT_IDX)).unwrap()
}

/// The disk of the backend VM: sector n begins with n, disguised.
fn medium() -> Block<SliceMedium<'static>, 18> {
    let mut bytes: Vec<u8> = vec![0; SECTORS * 512];
    for (number, sector) in bytes.chunks_mut(512).enumerate() {
        sector[0] = mark(number);
    }
    Block::new(SliceMedium::new(bytes.leak()), [b'd'; 20])
}

fn mark(sector: usize) -> u8 {
    u8::try_from(sector).unwrap() ^ 0x5a
}

#[test]
fn every_sector_arrives_although_the_backend_is_killed_and_restarted_on_the_way() {
    let setup = Setup::new(Personality::EL3);
    let world = World::new(Platform::boot(&setup), setup.vm_pages);
    let vm: &'static Vm<_> = Box::leak(Box::new(Vm::new(Some(Life::begin(world, medium())))));
    let wait: &'static Turns<'_> = Box::leak(Box::new(Turns::new(&world.platform, || {
        if let Some(alive) = vm.borrow_mut().as_mut() {
            alive.turn();
        }
    })));
    let connection = world.connect(DRIVER);
    let doorbells = Doorbells::new(connection);
    doorbells.bind(BACKEND).unwrap();
    let bus = Bus::open(connection, world.pages(DRIVER, 2), wait, SOON).map_err(|f| f.error);
    let bus = bus.unwrap();
    let area = |id| SharedArea::new(&POOL, AreaId::new(id).unwrap(), TERMS, world.pages(DRIVER, 8));
    let mut areas = [area(1), area(2)];
    bus.wait_for_device(0, wait, SOON).unwrap();
    areas.iter_mut().for_each(|area| area.share(&bus, wait, SOON).unwrap());

    let mut health = Health::new();
    let mut buffers = [POOL.take(1).unwrap(), POOL.take(1).unwrap()];
    let mut arrived = Vec::new();
    for killed_at in [7, 23, SECTORS] {
        let mut disk = open(&bus, &doorbells, &health);
        while arrived.len() < SECTORS {
            // Two requests in flight.
            let first = arrived.len();
            let tokens = [0, 1].map(|n| submit(&mut disk, &mut buffers[n], first + n));
            if arrived.len() >= killed_at {
                kill(world, vm);
                break;
            }
            for (token, buffer) in tokens.into_iter().zip(&mut buffers) {
                arrived.push(finish(&mut disk, buffer, token, &health, wait).unwrap());
            }
        }
        if arrived.len() == SECTORS {
            break;
        }
        // The driver hears of it as virtio says, and at once: no answer was waited for.
        let before = wait.now();
        let _changed = disk.ack_interrupt();
        assert_eq!(health.failure(), Some(NEEDS_RESET));
        assert_eq!(wait.now(), before);
        drop(disk);
        assert_eq!(POOL.forget_moved(), 0, "everything lay in an area");
        let nobody = bus.wait_for_device(0, wait, Bound::millis(5));
        assert_eq!(nobody, Err(Error::TimedOut(Awaited::Device)));

        assert!(world.platform.restart(BACKEND.get()));
        vm.replace(Some(Life::begin(world, medium())));
        bus.wait_for_device(0, wait, SOON).unwrap();
        doorbells.bind(BACKEND).unwrap();
        areas.iter_mut().for_each(|area| area.share(&bus, wait, SOON).unwrap());
        health = Health::new();
    }
    let wanted: Vec<u8> = (0..SECTORS).map(mark).collect();
    assert_eq!(arrived, wanted);
    drop(buffers);
    for area in &mut areas {
        assert!(area.take_back(&bus, wait, SOON).unwrap().is_some());
    }
    assert_eq!(connection.stranded(), 0);
    bus.close().map_err(|failed| failed.error).unwrap();
    kill(world, vm);
    let none: [String; 0] = [];
    assert_eq!(world.platform.leftovers(), none);
}
