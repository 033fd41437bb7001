//! Holds the replay-protected memory device to the standards through its queue: frames made here from the
//! definitions (JESD84-B51, 6.6.22; virtio 1.3, 5.12), on an SPMC in this process.

#[path = "support/driver.rs"]
#[expect(dead_code, reason = "some of it is for the other devices")]
mod driver;
#[path = "support/frames.rs"]
mod frames;

use causeway_abi::{Call, VaultCall};
use causeway_fake_spmc::{Guest, Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use causeway_memshare::policy::{Link, Services};
use causeway_service::safe::FlashState;
use causeway_virtio::DeviceId;
use causeway_virtio::mem::AreaMap;
use causeway_virtio::msg::{Body, ConfigRange, Request, Response};
use causeway_virtio::queue::DriverQueue;
use driver::Driver;
use frames::{KEY, frame, mac, write_frame};

const PAGES: u32 = 64;
const DEVICE: u16 = 5;
const REQUESTS: u64 = 8192;
const ANSWERS: u64 = 12288;
const GIVEN: Services = Services {
    entropy_bytes_per_second: 64,
    rpmb: true,
    store_writes_per_second: 20,
    ..Services::NONE
};

fn boot(given: Services) -> (Platform, [Guest; 2]) {
    let mut policy = causeway_fake_spmc::platform::standard_policy(2, PAGES);
    for id in [1, 2] {
        let driver = EndpointId::from_raw(id);
        for (driver_device, kind) in [(1, DeviceId::ENTROPY), (DEVICE, DeviceId::RPMB)] {
            let backend_device = u16::try_from(kind.get()).unwrap();
            let link = Link { driver, backend: None, backend_device, driver_device };
            policy.add_link(link).unwrap();
        }
        policy.set_services(driver, given).unwrap();
    }
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let guests = [1, 2].map(|vm| Guest::new(&platform, vm, PAGES));
    (platform, guests)
}

/// A VM's driver of its device.
struct Rpmb<'g> {
    driver: Driver<'g>,
    queue: DriverQueue<8>,
}

impl<'g> Rpmb<'g> {
    fn open(platform: &'g Platform, guest: &'g Guest) -> Self {
        let mut driver = Driver::open(platform, guest);
        let queue = driver.set_up(DEVICE, 0, 0);
        Self { driver, queue }
    }

    /// Puts request frames into one chain, with room for so many answers; returns these.
    fn ask(&mut self, requests: &[[u8; 512]], room: u32) -> Vec<[u8; 512]> {
        let mut readable = Vec::new();
        for (request, at) in requests.iter().zip((REQUESTS..).step_by(512)) {
            let segment = self.driver.segment(at, 512);
            AreaMap::write(&self.driver.area, segment.addr, request).unwrap();
            readable.push(segment);
        }
        let answers = self.driver.segment(ANSWERS, room * 512);
        let writable = if room == 0 { Vec::new() } else { vec![answers] };
        let written = self.driver.run((DEVICE, 0), &mut self.queue, &readable, &writable);
        let mut bytes = vec![0; usize::try_from(written).unwrap()];
        AreaMap::read(&self.driver.area, answers.addr, &mut bytes).unwrap();
        bytes.as_chunks::<512>().0.to_vec()
    }

    /// Sends a request and, in the same chain, the frame that reads its result.
    fn order(&mut self, request: [u8; 512]) -> (u16, u16, u32) {
        let answers = self.ask(&[request, frame(5, |_| ())], 1);
        let [answer] = answers.as_slice() else { panic!("{} answers", answers.len()) };
        let half = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        let counter = u32::from_be_bytes(answer[500..504].try_into().unwrap());
        (half(510), half(508), counter)
    }
}

fn key_frame(key: [u8; 32]) -> [u8; 512] {
    frame(1, |f| f[196..228].copy_from_slice(&key))
}

#[test]
fn what_the_device_is_and_how_much_it_takes_is_in_its_configuration() {
    let (platform, [one, _]) = boot(GIVEN);
    let mut driver = Driver::open(&platform, &one);
    let Response::GetDeviceInfo(info) = driver.request(DEVICE, Request::GetDeviceInfo) else {
        panic!("no information");
    };
    assert_eq!((info.device_id, info.config_size), (28, 3));
    let all = Request::GetConfig(ConfigRange { offset: 0, len: 3 });
    let Response::GetConfig(config) = driver.request(DEVICE, all) else { panic!("no config") };
    // 128 KiB, one block in a write, 16 in a read.
    assert_eq!(config.data.as_slice(), [1, 1, 16]);
}

#[test]
fn key_once_writes_proven_and_counted_and_reads_authentic() {
    let (platform, [one, _]) = boot(GIVEN);
    let mut rpmb = Rpmb::open(&platform, &one);
    let none = rpmb.ask(&[frame(2, |_| ())], 1);
    assert_eq!(none[0][508..512], [0, 7, 2, 0], "no key yet");
    assert_eq!(rpmb.order(key_frame(KEY)), (0x100, 0, 0));
    assert_eq!(rpmb.order(key_frame([9; 32])), (0x100, 1, 0), "never again");
    assert_eq!(rpmb.order(write_frame(0, 3, 7)), (0x300, 0, 1));
    assert_eq!(rpmb.order(write_frame(0, 3, 8)), (0x300, 3, 1), "a replay");
    let mut forged = write_frame(1, 3, 8);
    forged[300] ^= 1;
    assert_eq!(rpmb.order(forged), (0x300, 2, 1), "not authentic");
    assert_eq!(rpmb.order(write_frame(1, 512, 8)), (0x300, 4, 1), "outside");
    let nonce = *b"sixteen of nonce";
    let read = |first: u16, count: u16| {
        frame(4, |f| {
            f[484..500].copy_from_slice(&nonce);
            f[504..506].copy_from_slice(&first.to_be_bytes());
            f[506..508].copy_from_slice(&count.to_be_bytes());
        })
    };
    let answers = rpmb.ask(&[read(2, 2)], 2);
    let [first, second] = answers.as_slice() else { panic!("{}", answers.len()) };
    assert!(first[228..484].iter().all(|b| *b == 0) && second[228..484].iter().all(|b| *b == 7));
    assert_eq!(second[196..228], mac(&[*first, *second].concat()));
    assert_eq!((&second[484..500], &second[508..512]), (&nonce[..], &[0, 0, 4, 0][..]));
    let answers = rpmb.ask(&[frame(2, |f| f[484..500].copy_from_slice(&nonce))], 1);
    assert_eq!((answers[0][503], &answers[0][196..228]), (1, &mac(&answers[0])[..]));
}

#[test]
fn device_and_call_share_the_memory_and_the_ledger_names_both() {
    let (platform, [one, two]) = boot(GIVEN);
    let mut rpmb = Rpmb::open(&platform, &one);
    assert_eq!(rpmb.order(key_frame(KEY)).1, 0);
    let pages = one.pages(20, 1);
    let handle = one.grant(driver::LOCAL, &[pages]).unwrap();
    let start = pages.start().get();
    assert!(one.write(start, &write_frame(0, 7, 5)));
    let call = VaultCall::Rpmb { handle, request: 0, answers: 512, room: 0 };
    one.ask(Call::Vault(call)).unwrap();
    assert_eq!(rpmb.order(write_frame(1, 7, 6)), (0x300, 0, 2));
    assert_eq!(
        Rpmb::open(&platform, &two).order(write_frame(0, 0, 1)).1,
        7,
        "another's has no key"
    );
    let entries = platform.ledger_of(1);
    let served = entries.iter().filter(|line| line.contains("Served { call_number: 104 }"));
    // Two frames of the key, one call, two frames of the write; alike ones are one entry.
    assert_eq!(served.count(), 1, "{entries:?}");
    assert!(entries.iter().any(|line| line.contains("count: 5")), "{entries:?}");
}

#[test]
fn frames_that_make_no_sense_or_find_no_room_are_answered_and_change_nothing() {
    let (platform, [one, _]) = boot(GIVEN);
    let mut rpmb = Rpmb::open(&platform, &one);
    assert_eq!(rpmb.order(key_frame(KEY)).1, 0);
    for kind in [0, 6, 0x100, 0xffff] {
        let answers = rpmb.ask(&[frame(kind, |_| ())], 1);
        assert_eq!(answers[0][508..512], [0, 1, 5, 0], "{kind}");
    }
    assert!(rpmb.ask(&[frame(2, |_| ())], 0).is_empty(), "no room, no answer");
    let refused = "call_number: 104, status: BadFrame";
    let counted = |text: &str| platform.ledger_of(1).iter().filter(|e| e.contains(text)).count();
    assert_eq!((counted(refused), counted("count: 5")), (1, 1));
    assert_eq!(rpmb.order(write_frame(0, 0, 1)), (0x300, 0, 1));
}

#[test]
fn a_write_beyond_the_rate_or_without_its_flash_is_told_by_its_own_result() {
    let (platform, [one, _]) = boot(Services { store_writes_per_second: 2, ..GIVEN });
    let mut rpmb = Rpmb::open(&platform, &one);
    assert_eq!(rpmb.order(key_frame(KEY)).1, 0);
    assert_eq!(rpmb.order(write_frame(0, 0, 1)), (0x300, 0, 1));
    rpmb.ask(&[write_frame(0, 0, 1)], 0);
    assert_eq!(rpmb.order(write_frame(1, 0, 2)), (0x300, 5, 1), "not the older result");
    let flash = platform.machine().flash();
    flash.set_state(FlashState::CoresNotSeen);
    let answers = rpmb.ask(&[write_frame(1, 0, 2), frame(5, |_| ())], 1);
    assert_eq!((&answers[0][508..512], answers[0][196]), (&[0, 1, 5, 0][..], 0), "and no MAC");
    flash.set_state(FlashState::Ready);
    platform.pass(1001);
    assert_eq!(rpmb.order(write_frame(1, 0, 2)), (0x300, 0, 2));
}

#[test]
fn a_vm_without_the_service_has_no_such_device() {
    let (platform, [one, _]) = boot(Services { rpmb: false, ..GIVEN });
    let mut driver = Driver::open(&platform, &one);
    let asked =
        |driver: &mut Driver<'_>, device| driver.ask(device, Body::Request(Request::GetDeviceInfo));
    assert!(matches!(asked(&mut driver, 1), Some(Body::Response(_))), "another device is there");
    let answer = asked(&mut driver, DEVICE);
    assert!(!matches!(answer, Some(Body::Response(_))), "{answer:?}");
}
