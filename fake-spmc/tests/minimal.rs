//! The minimal profile: `cargo test -p causeway-fake-spmc --features minimal --test minimal`.
#![cfg(feature = "minimal")]

use causeway_abi::{Call, Permission, Status};
use causeway_fake_spmc::platform::Setup;
use causeway_fake_spmc::{Personality, Platform, layout};
use causeway_ffa::EndpointId;
use causeway_memshare::Policy;
use causeway_memshare::policy::{Link, PairRule, Quota, Services};
use causeway_virtio::DeviceId;
use causeway_virtio::msg::{Body, BusRequest, BusResponse, Message, frame_bytes};

const VM: EndpointId = EndpointId::from_raw(1);

/// One VM that sees the partition's entropy device as 0 and would see its console as 1.
fn policy(grants: u16, vm_pages: u32) -> Policy {
    let mut policy = Policy::new().with_hypervisor(layout::HYPERVISOR);
    policy.add_vm(VM).expect("room for the VM");
    policy.add_window(layout::vm_ram(1, vm_pages)).expect("room for its RAM");
    let rule = PairRule {
        owner: VM,
        peer: None,
        share: true,
        lend: false,
        donate: false,
        widest: Permission::ReadWrite,
        max_area_pages: 8,
        quota: Quota { grants, pages: 64, ranges: grants },
    };
    policy.add_pair(rule).expect("room for the pair");
    let services = Services { entropy_bytes_per_second: 4096, ..Services::NONE };
    policy.set_services(VM, services).expect("services");
    for (driver_device, kind) in [(0, DeviceId::ENTROPY), (1, DeviceId::CONSOLE)] {
        let backend_device = u16::try_from(kind.get()).expect("a small number");
        let link = Link { driver: VM, backend: None, backend_device, driver_device };
        policy.add_link(link).expect("room for the link");
    }
    policy
}

fn boot(grants: u16) -> Platform {
    let mut setup = Setup::new(Personality::EL3);
    setup.vm_count = 1;
    setup.policy = Some(policy(grants, setup.vm_pages));
    Platform::boot(&setup)
}

#[test]
fn one_device_is_offered_and_the_one_without_room_is_not() {
    let platform = boot(8);
    let ask = BusRequest::GetDevices { offset: 0, count: 64 };
    let ask = Message { dev_num: 0, token: 1, body: Body::BusRequest(ask) };
    let words = platform.frame(1, ask.encode().to_frame().expect("short")).expect("an answer");
    let answer = Message::decode(&frame_bytes(&words)).expect("a message");
    let Body::BusResponse(BusResponse::GetDevices(map)) = answer.body else { panic!("{answer:?}") };
    assert!(map.contains(0));
    assert!(!map.contains(1));
}

#[test]
fn a_policy_that_promises_more_than_there_is_is_refused() {
    let version = Call::Version { minor: 0 };
    let small = boot(64).service(1, version).expect("an answer");
    assert_eq!(small.status, Status::Ok);
    let large = boot(65).service(1, version).expect("an answer");
    assert_ne!(large.status, Status::Ok, "everybody is refused without a policy");
}
