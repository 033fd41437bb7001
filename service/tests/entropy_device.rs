//! Holds the partition's entropy device to its VM's rate, which it shares with ENTROPY: on SPMCs in this
//! process, with a VM that asks for far more than it has and one that does not.

#[path = "support/driver.rs"]
#[expect(dead_code, reason = "some of it is for the other devices")]
mod driver;

use causeway_abi::{Call, CallId, Status, VaultCall};
use causeway_fake_spmc::personality::Controlling;
use causeway_fake_spmc::{Guest, Personality, Platform, Refusal, Setup};
use causeway_ffa::EndpointId;
use causeway_memshare::policy::{Link, Services};
use causeway_virtio::DeviceId;
use causeway_virtio::mem::AreaMap;
use causeway_virtio::msg::{Body, Message, Request, Response};
use causeway_virtio::queue::{DriverQueue, Segment};
use driver::Driver;

const PAGES: u32 = 64;
const RNG: u16 = 1;
/// Bytes that a VM has in a second.
const RATE: u32 = 1000;
/// Bytes of the flooding VM's requests: two and a half fit its rate.
const REQUEST: u32 = 400;

fn boot(personality: Personality, rates: [u32; 2]) -> (Platform, [Guest; 2]) {
    let mut policy = causeway_fake_spmc::platform::standard_policy(2, PAGES);
    for (id, entropy_bytes_per_second) in (1..).zip(rates) {
        let driver = EndpointId::from_raw(id);
        let backend_device = u16::try_from(DeviceId::ENTROPY.get()).unwrap();
        policy
            .add_link(Link { driver, backend: None, backend_device, driver_device: RNG })
            .unwrap();
        // Another device, so that the VM has one whatever its rate is.
        let backend_device = u16::try_from(DeviceId::CONSOLE.get()).unwrap();
        policy
            .add_link(Link { driver, backend: None, backend_device, driver_device: RNG + 1 })
            .unwrap();
        let services = Services { entropy_bytes_per_second, ..Services::NONE };
        policy.set_services(driver, services).unwrap();
    }
    let setup =
        Setup { vm_count: 2, vm_pages: PAGES, policy: Some(policy), ..Setup::new(personality) };
    let platform = Platform::boot(&setup);
    let guests = [1, 2].map(|vm| Guest::new(&platform, vm, PAGES));
    (platform, guests)
}

/// A VM's driver of its entropy device.
struct Rng<'g> {
    driver: Driver<'g>,
    queue: DriverQueue<8>,
}

impl<'g> Rng<'g> {
    fn open(platform: &'g Platform, guest: &'g Guest) -> Self {
        let mut driver = Driver::open(platform, guest);
        let queue = driver.set_up(RNG, 0, 0);
        Self { driver, queue }
    }

    fn buffer(&self, number: u64, len: u32) -> Segment {
        self.driver.segment(8192 + number * 512, len)
    }

    /// Offers so many requests, and kicks once.
    fn flood(&mut self, requests: u64) {
        for number in 0..requests {
            let buffer = self.buffer(number, REQUEST);
            AreaMap::write(&self.driver.area, buffer.addr, &[0; REQUEST as usize]).unwrap();
            self.queue.submit(&self.driver.area, &[], &[buffer]).unwrap();
        }
        let body = Body::Request(Request::EventAvail { index: 0, next_offset: 0 });
        self.driver.send(&Message { dev_num: RNG, token: 0, body }.encode());
    }

    /// The bytes of each request that came back since, of which the device may have told.
    fn used(&mut self) -> Vec<u32> {
        let mut lengths = Vec::new();
        while self.driver.receive().is_some() {}
        while let Some(used) = self.queue.pop_used(&self.driver.area).unwrap() {
            lengths.push(used.written);
        }
        lengths
    }
}

fn entropy(guest: &Guest, count: u8) -> Result<u64, Refusal> {
    guest.ask(Call::Vault(VaultCall::Entropy { count })).map(|results| results[0])
}

const SPENT: Result<u64, Refusal> = Err(Refusal::Service(Status::QuotaRate));

#[test]
fn requests_beyond_the_rate_wait_and_come_by_the_secure_timer_without_another_kick() {
    for personality in [Personality::EL3, Personality::HAFNIUM] {
        let (platform, [one, _]) = boot(personality, [RATE; 2]);
        let mut rng = Rng::open(&platform, &one);
        rng.flood(6);
        // Two whole ones, and the rest of the rate as the beginning of a third.
        assert_eq!(rng.used(), [400, 400, 200]);
        let _rung_for_these: bool = platform.take_bell(1);
        platform.machine().pass(900);
        platform.interrupts();
        assert_eq!(rng.used(), [0; 0], "the second is not over");
        assert!(!platform.take_bell(1));
        platform.machine().pass(101);
        // Nobody of the normal world has looked yet: the timer serves one.
        platform.interrupts_unseen();
        assert_eq!(rng.used(), [400]);
        // It has rung the hypervisor, whose polls do the rest of what the rate allows.
        platform.pass(0);
        assert!(platform.take_bell(1));
        assert_eq!(rng.used(), [400, 200]);
    }
}

#[test]
fn where_there_is_no_secure_timer_the_hypervisors_poll_brings_them() {
    let mut untimed = Personality::EL3;
    untimed.quirks.controlling = Controlling::Nobody;
    let (platform, [one, _]) = boot(untimed, [RATE; 2]);
    let mut rng = Rng::open(&platform, &one);
    rng.flood(4);
    assert_eq!(rng.used(), [400, 400, 200]);
    let poll = || platform.hypervisor(Call::HypPoll).unwrap().results[3];
    platform.pass(0);
    let deadline = poll();
    let now = platform.machine().now();
    assert!(deadline > now, "{deadline} {now}: the hypervisor is told when to look");
    platform.machine().pass(1001);
    assert!(deadline <= platform.machine().now());
    assert_eq!(rng.used(), [0; 0]);
    let _deadline: u64 = poll();
    assert_eq!(rng.used(), [400]);
}

#[test]
fn call_and_device_share_one_rate_and_another_vm_keeps_its_own() {
    let (platform, [one, two]) = boot(Personality::EL3, [RATE; 2]);
    let mut flooding = Rng::open(&platform, &one);
    let mut other = Rng::open(&platform, &two);
    // What the call took, the device does not give.
    for _ in 0..10 {
        assert_eq!(entropy(&one, 24), Ok(24));
    }
    flooding.flood(8);
    assert_eq!(flooding.used(), [400, 360]);
    // What the device gave, the call does not.
    assert_eq!(entropy(&one, 1), SPENT);
    for second in 0..5 {
        // The flood goes on and on; the other gets each time all that it asks for, at once.
        let buffer = other.buffer(0, 500);
        assert_eq!(other.driver.run((RNG, 0), &mut other.queue, &[], &[buffer]), 500, "{second}");
        assert_eq!(entropy(&two, 24), Ok(24));
        platform.machine().pass(1001);
        platform.interrupts();
        let came = flooding.used();
        flooding.flood(u64::try_from(came.len()).unwrap());
        let got: u32 = came.iter().chain(&flooding.used()).sum();
        assert_eq!((got, entropy(&one, 1)), (RATE, SPENT), "second {second}");
    }
}

#[test]
fn a_request_that_was_answered_short_has_at_least_one_byte_and_none_behind_it() {
    let (platform, [one, _]) = boot(Personality::EL3, [REQUEST + 1, RATE]);
    let mut rng = Rng::open(&platform, &one);
    rng.flood(2);
    assert_eq!(rng.used(), [400, 1]);
    let mut bytes = [0; 400];
    AreaMap::read(&rng.driver.area, rng.buffer(1, REQUEST).addr, &mut bytes).unwrap();
    assert_eq!(bytes[1..], [0; 399]);
}

#[test]
fn what_the_device_gave_is_in_the_ledger_as_the_call() {
    let (platform, [one, two]) = boot(Personality::EL3, [RATE; 2]);
    let mut rng = Rng::open(&platform, &one);
    Rng::open(&platform, &two);
    rng.flood(1);
    assert_eq!(entropy(&one, 24), Ok(24));
    rng.flood(1);
    let served = format!("Served {{ call_number: {} }}", CallId::Entropy.number());
    let of = |vm| -> Vec<String> {
        platform.ledger_of(vm).into_iter().filter(|line| line.contains(&served)).collect()
    };
    let mine = of(1);
    assert!(matches!(&mine[..], [line] if line.contains("count: 3,")), "{mine:?}");
    assert!(of(2).is_empty(), "a device that gave nothing");
}

#[test]
fn a_link_whose_vm_has_no_rate_shows_no_device() {
    let (platform, [one, two]) = boot(Personality::EL3, [0, RATE]);
    let info = |guest| {
        let mut driver = Driver::open(&platform, guest);
        driver.ask(RNG, Body::Request(Request::GetDeviceInfo))
    };
    assert!(!matches!(info(&one), Some(Body::Response(_))));
    assert!(matches!(info(&two), Some(Body::Response(Response::GetDeviceInfo(_)))));
    assert_eq!(entropy(&one, 1), Err(Refusal::Service(Status::PolicyService)));
    assert!(platform.log().iter().any(|line| line.contains("no entropy-bytes-per-second")));
}

#[test]
fn a_vm_that_dies_or_resets_its_device_while_requests_wait_leaves_nothing_behind() {
    let (platform, [one, two]) = boot(Personality::EL3, [RATE; 2]);
    let mut rng = Rng::open(&platform, &one);
    rng.flood(6);
    let mut reset = Rng::open(&platform, &two);
    reset.flood(6);
    assert_eq!(reset.used().len(), 3);
    let status = Request::SetDeviceStatus(causeway_virtio::Status::RESET);
    reset.driver.request(RNG, status);
    assert!(platform.kill(1));
    platform.machine().pass(1001);
    platform.interrupts();
    assert_eq!(reset.used(), [0; 0], "a device that was reset writes nothing");
    assert!(platform.restart(1));
    let one = Guest::new(&platform, 1, PAGES);
    let mut rng = Rng::open(&platform, &one);
    let buffer = rng.buffer(0, 64);
    assert_eq!(rng.driver.run((RNG, 0), &mut rng.queue, &[], &[buffer]), 64);
}
