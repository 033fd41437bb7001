//! Holds the partition's own devices and its counted copy to their promises, on an SPMC in this
//! process: what a driver VM writes and reads goes through real grants, FIFOs and rings.

#[path = "support/driver.rs"]
mod driver;

use causeway_abi::{Call as Service, CopyDirection, JoinName, Status as StatusCode};
use causeway_fake_spmc::{Guest, Personality, Platform, RandomSource, Refusal, Setup};
use causeway_ffa::EndpointId;
use causeway_memshare::policy::{CopyRule, Link, Services};
use causeway_virtio::mem::AreaMap;
use causeway_virtio::msg::{
    Body, BusRequest, BusResponse, BusResult, DeviceBitmap, Message, Request,
};
use causeway_virtio::{AreaId, DeviceId, Status};
use driver::{AREA, Driver, LOCAL};

const PAGES: u32 = 64;
/// The numbers under which VM 1 sees the devices.
const RNG: u16 = 1;
const CONSOLE: u16 = 2;
const DISK: u16 = 3;

fn boot() -> (Platform, [Guest; 2]) {
    boot_with(RandomSource::Seeded)
}

fn boot_with(random: RandomSource) -> (Platform, [Guest; 2]) {
    let mut policy = causeway_fake_spmc::platform::standard_policy(3, PAGES);
    let (one, two) = (EndpointId::from_raw(1), EndpointId::from_raw(2));
    for (driver_device, kind) in
        [(RNG, DeviceId::ENTROPY), (CONSOLE, DeviceId::CONSOLE), (DISK, DeviceId::BLOCK)]
    {
        let backend_device = u16::try_from(kind.get()).unwrap();
        policy
            .add_link(Link { driver: one, backend: None, backend_device, driver_device })
            .unwrap();
    }
    let services = Services { entropy_bytes_per_second: 4096, ..Services::NONE };
    policy.set_services(one, services).unwrap();
    policy.add_copy(CopyRule { from: one, to: two, joins: 1 }).unwrap();
    let setup = Setup::new(Personality::EL3);
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), random, ..setup };
    let platform = Platform::boot(&setup);
    let guests = [1, 2].map(|vm| Guest::new(&platform, vm, PAGES));
    (platform, guests)
}

#[test]
fn without_a_random_source_the_entropy_device_alone_is_not_offered() {
    for (random, offered) in [
        (RandomSource::Seeded, vec![RNG, CONSOLE, DISK]),
        (RandomSource::None, vec![CONSOLE, DISK]),
    ] {
        let (platform, [one, _]) = boot_with(random);
        let mut driver = Driver::open(&platform, &one);
        let all = BusRequest::GetDevices { offset: 0, count: DeviceBitmap::MAX_COUNT };
        let answer = driver.ask(0, Body::BusRequest(all));
        let Some(Body::BusResponse(BusResponse::GetDevices(map))) = answer else {
            panic!("{answer:?}");
        };
        let listed: Vec<u16> = (0..map.count()).filter(|number| map.contains(*number)).collect();
        assert_eq!((listed, map.next_offset), (offered.clone(), 0), "{random:?}");
        // Its number means nothing, whether or not it was listed.
        let info = driver.ask(RNG, Body::Request(Request::GetDeviceInfo));
        let answered = matches!(info, Some(Body::Response(_)));
        assert_eq!(answered, offered.contains(&RNG), "{info:?}");
    }
}

#[test]
fn entropy_reaches_the_drivers_buffer() {
    let (platform, [one, _]) = boot();
    let mut driver = Driver::open(&platform, &one);
    let mut queue = driver.set_up(RNG, 0, 0);
    let buffer = driver.segment(8192, 64);
    assert_eq!(driver.run((RNG, 0), &mut queue, &[], &[buffer]), 64);
    let mut bytes = [0; 80];
    AreaMap::read(&driver.area, buffer.addr, &mut bytes).unwrap();
    assert!(bytes[..64].iter().any(|byte| *byte != 0));
    assert_eq!(bytes[64..], [0; 16]);
}

#[test]
fn console_lines_are_logged_with_their_writer_and_without_control_characters() {
    let (platform, [one, _]) = boot();
    let mut driver = Driver::open(&platform, &one);
    let mut queue = driver.set_up(CONSOLE, 1, 0);
    let text = driver.segment(8192, 25);
    AreaMap::write(&driver.area, text.addr, b"hello\n[sp] PANIC\x1b[2J\nrest").unwrap();
    driver.run((CONSOLE, 1), &mut queue, &[text], &[]);
    let log = platform.log();
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with("vm1: ")).collect();
    assert_eq!(lines, ["vm1: hello", "vm1: [sp] PANIC.[2J"]);
}

#[test]
fn the_disk_keeps_what_was_written_until_its_driver_asks_again() {
    let (platform, [one, _]) = boot();
    let mut driver = Driver::open(&platform, &one);
    let mut queue = driver.set_up(DISK, 0, 0);
    let (header, data, status) =
        (driver.segment(8192, 16), driver.segment(8704, 512), driver.segment(9300, 1));
    let request = |kind: u32, sector: u64| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&sector.to_le_bytes());
        bytes
    };
    let pattern: Vec<u8> = (0..512_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    AreaMap::write(&driver.area, header.addr, &request(1, 127)).unwrap();
    AreaMap::write(&driver.area, data.addr, &pattern).unwrap();
    assert_eq!(driver.run((DISK, 0), &mut queue, &[header, data], &[status]), 1);
    AreaMap::write(&driver.area, header.addr, &request(0, 127)).unwrap();
    AreaMap::write(&driver.area, data.addr, &[0; 512]).unwrap();
    assert_eq!(driver.run((DISK, 0), &mut queue, &[header], &[data, status]), 513);
    let mut back = vec![0; 512];
    AreaMap::read(&driver.area, data.addr, &mut back).unwrap();
    assert_eq!(back, pattern);
    // One sector beyond the end: an error status, and nothing moved.
    AreaMap::write(&driver.area, header.addr, &request(0, 128)).unwrap();
    driver.run((DISK, 0), &mut queue, &[header], &[data, status]);
    let mut byte = [9];
    AreaMap::read(&driver.area, status.addr, &mut byte).unwrap();
    assert_eq!(byte, [1]);
}

#[test]
fn more_work_than_one_call_may_do_is_finished_by_the_polls_of_the_hypervisor() {
    let (platform, [one, _]) = boot();
    let mut driver = Driver::open(&platform, &one);
    let mut queue = driver.set_up(RNG, 0, 0);
    for chain in 0..8 {
        let buffer = driver.segment(8192 + chain * 64, 64);
        queue.submit(&driver.area, &[], &[buffer]).unwrap();
    }
    let body = Body::Request(Request::EventAvail { index: 0, next_offset: 0 });
    driver.send(&Message { dev_num: RNG, token: 0, body }.encode());
    let mut served = 0;
    while queue.pop_used(&driver.area).unwrap().is_some() {
        served += 1;
    }
    // Four in the kick; the doorbell brings the hypervisor, whose polls do the rest.
    assert_eq!(served, 8);
}

#[test]
fn an_area_in_which_a_device_works_cannot_be_revoked_before_it_is_unshared() {
    let (platform, [one, _]) = boot();
    let mut driver = Driver::open(&platform, &one);
    let _queue = driver.set_up(RNG, 0, 0);
    assert_eq!(one.revoke(driver.handle), Err(Refusal::Service(StatusCode::InUse)));
    driver.request(RNG, Request::SetDeviceStatus(Status::RESET));
    let unshare = BusRequest::AreaUnshare { area: AreaId::new(AREA).unwrap() };
    let result = BusResult::Ok;
    let done = BusResponse::AreaUnshare { area: AreaId::new(AREA).unwrap(), result };
    assert_eq!(driver.ask(0, Body::BusRequest(unshare)), Some(Body::BusResponse(done)));
    one.revoke(driver.handle).unwrap();
    one.reclaim(driver.handle).unwrap();
}

#[test]
fn a_driver_that_dies_leaves_nothing_mapped_and_its_next_life_starts_anew() {
    let (platform, [one, _]) = boot();
    let mut driver = Driver::open(&platform, &one);
    let _queue = driver.set_up(RNG, 0, 0);
    assert!(platform.kill(1));
    assert_eq!(platform.leftovers(), Vec::<String>::new());
    assert!(platform.restart(1));
    let one = Guest::new(&platform, 1, PAGES);
    let mut driver = Driver::open(&platform, &one);
    let mut queue = driver.set_up(RNG, 0, 0);
    let buffer = driver.segment(8192, 16);
    assert_eq!(driver.run((RNG, 0), &mut queue, &[], &[buffer]), 16);
}

#[test]
fn a_copy_moves_bytes_between_joined_areas_of_any_shape_and_leaves_nothing_mapped() {
    let (platform, [one, two]) = boot();
    // Pages in reverse order and one by one: as many runs as pages.
    let mine: Vec<_> = (8..16).rev().map(|page| one.pages(page, 1)).collect();
    let (source, target) =
        (one.grant(LOCAL, &mine).unwrap(), two.grant(LOCAL, &[two.pages(4, 8)]).unwrap());
    let named = |peer: &Guest| JoinName { peer: peer.id(), number: 3 };
    one.ask(Service::Join { handle: source, name: named(&two) }).unwrap();
    two.ask(Service::Join { handle: target, name: named(&one) }).unwrap();
    for (index, page) in mine.iter().enumerate() {
        let bytes = [u8::try_from(index).unwrap() + 1; 4096];
        assert!(one.write(page.start().get(), &bytes));
    }
    let copy = |from_offset, to_offset, length| {
        let (name, direction) = (named(&two), CopyDirection::ToPeer);
        one.ask(Service::Copy { name, direction, from_offset, to_offset, length })
    };
    // Unaligned, over four runs of the source.
    assert_eq!(copy(4000, 100, 10_000).unwrap()[0], 10_000);
    let start = two.pages(4, 8).start().get();
    let found = two.read(start, 12_000).unwrap();
    let expected = |at: usize| match at.checked_sub(100) {
        Some(offset) if offset < 10_000 => u8::try_from((offset + 4000) / 4096).unwrap() + 1,
        _ => 0,
    };
    assert!(found.iter().enumerate().all(|(at, byte)| *byte == expected(at)));
    assert!(copy(8 * 4096 - 10, 0, 11).is_err(), "beyond the source");
    assert!(copy(0, 8 * 4096 - 10, 11).is_err(), "beyond the target");
    // The other way is not in the policy.
    let back = Service::Copy {
        name: named(&two),
        direction: CopyDirection::FromPeer,
        from_offset: 0,
        to_offset: 0,
        length: 1,
    };
    assert!(one.ask(back).is_err());
    assert!(!platform.log().iter().any(|line| line.contains("could not")));
}
