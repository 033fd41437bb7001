//! The backend VM is killed in the middle of the transfer and comes back: the driver, never restarted,
//! gets every byte. And its device crashes, or is withdrawn: the driver hears so at once.
#![expect(unsafe_code, reason = "virtio-drivers asks for promises about buffers")]

use super::scene::Scene;
use super::world::{BACKEND, Life, SOON, Turns, kill};
use causeway_client::error::{Awaited, Party, Rule};
use causeway_client::guest::{AreaHal, DmaBuffer, DmaPool, Health, Kick, Link, MsgTransport};
use causeway_client::{Bound, Error};
use causeway_virtio::device::block::{Block, SliceMedium};
use causeway_virtio::msg::DeviceState;
use causeway_virtio::types::Features;
use virtio_drivers::device::blk::{BlkReq, BlkResp, RespStatus, VirtIOBlk};

/// A pool of one test, and its name for virtio-drivers.
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

type Disk = Block<SliceMedium<'static>, 18>;
type Driver<'b, L> = VirtIOBlk<AreaHal<L>, MsgTransport<'b, 'static>>;

const SECTORS: usize = 40;
const NEEDS_RESET: Error = Error::Broken { by: Party::Peer, rule: Rule::DeviceNeedsReset };
const REMOVED: Error = Error::Broken { by: Party::Peer, rule: Rule::DeviceRemoved };

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

fn submit<L: Link>(disk: &mut Driver<'_, L>, buffer: &mut DmaBuffer<'_>, sector: usize) -> u16 {
    // SAFETY: the device writes the page only in this request.
    let (request, data, response) = parts(unsafe { buffer.slice_mut() });
    // SAFETY: the parts are used again only when the request is complete, or its device is dead.
    unsafe { disk.read_blocks_nb(sector, request, data, response) }.unwrap()
}

/// Waits for a request, with a bound; the sector's number if it was read.
fn finish<L: Link>(
    disk: &mut Driver<'_, L>,
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

fn open<'s, L: Link>(scene: &'s Scene<Disk>, health: &'s Health) -> Driver<'s, L> {
    let kick = Kick::Doorbell(&scene.doorbells, BACKEND);
    let transport = MsgTransport::open(&scene.bus, 0, kick, health).unwrap();
    VirtIOBlk::new(transport.without(Features::EVENT_IDX)).unwrap()
}

/// The disk of the backend VM: sector n begins with n, disguised.
fn medium() -> Disk {
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
fn a_device_that_crashes_or_is_withdrawn_is_a_typed_error_within_one_look() {
    link!(Frail, FRAIL);
    let scene = Scene::new(medium(), |_| ());
    let mut areas = [1, 2].map(|id| scene.area(&FRAIL, id, 8));
    scene.bus.wait_for_device(0, scene.wait, SOON).unwrap();
    areas.iter_mut().for_each(|area| area.share(&scene.bus, scene.wait, SOON).unwrap());
    let mut buffer = FRAIL.take(1).unwrap();
    for failure in [NEEDS_RESET, REMOVED] {
        let health = Health::new();
        let mut disk = open::<Frail>(&scene, &health);
        let token = submit(&mut disk, &mut buffer, 3);
        assert_eq!(finish(&mut disk, &mut buffer, token, &health, scene.wait), Ok(mark(3)));
        submit(&mut disk, &mut buffer, 4);
        if let Some(alive) = scene.vm.borrow_mut().as_mut() {
            if failure == REMOVED {
                alive.announce(DeviceState::Removed);
            } else {
                alive.crash();
            }
        }
        let _changed = disk.ack_interrupt();
        assert_eq!(health.failure(), Some(failure));
        drop(disk);
        if failure == REMOVED {
            let gone = scene.bus.wait_for_device(0, scene.wait, Bound::millis(5));
            assert_eq!(gone, Err(Error::TimedOut(Awaited::Device)));
            assert_eq!(scene.bus.devices().unwrap().as_slice(), [0; 0]);
            if let Some(alive) = scene.vm.borrow().as_ref() {
                alive.announce(DeviceState::Added);
            }
        }
        scene.bus.wait_for_device(0, scene.wait, SOON).unwrap();
    }
    // The areas were never lost: a reset by the next driver is all that it takes.
    let health = Health::new();
    let mut disk = open::<Frail>(&scene, &health);
    let token = submit(&mut disk, &mut buffer, 5);
    assert_eq!(finish(&mut disk, &mut buffer, token, &health, scene.wait), Ok(mark(5)));
    drop((disk, buffer));
    scene.end(areas);
}

#[test]
fn every_sector_arrives_although_the_backend_is_killed_and_restarted_on_the_way() {
    link!(Reborn, REBORN);
    let scene = Scene::new(medium(), |_| ());
    let Scene { world, vm, wait, ref bus, ref doorbells } = scene;
    let mut areas = [1, 2].map(|id| scene.area(&REBORN, id, 8));
    bus.wait_for_device(0, wait, SOON).unwrap();
    areas.iter_mut().for_each(|area| area.share(bus, wait, SOON).unwrap());

    let mut health = Health::new();
    let mut buffers = [REBORN.take(1).unwrap(), REBORN.take(1).unwrap()];
    let mut arrived = Vec::new();
    for killed_at in [7, 23, SECTORS] {
        let mut disk = open::<Reborn>(&scene, &health);
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
        assert_eq!(REBORN.forget_moved(), 0, "everything lay in an area");
        let nobody = bus.wait_for_device(0, wait, Bound::millis(5));
        assert_eq!(nobody, Err(Error::TimedOut(Awaited::Device)));

        assert!(world.platform.restart(BACKEND.get()));
        vm.replace(Some(Life::begin(world, medium())));
        bus.wait_for_device(0, wait, SOON).unwrap();
        doorbells.bind(BACKEND).unwrap();
        areas.iter_mut().for_each(|area| area.share(bus, wait, SOON).unwrap());
        health = Health::new();
    }
    let wanted: Vec<u8> = (0..SECTORS).map(mark).collect();
    assert_eq!(arrived, wanted);
    drop(buffers);
    scene.end(areas);
}
