//! Holds the calls of the security services to docs/error-precedence.md, on an SPMC in this process.

use causeway_abi::vault::{ENTROPY_MAX_BYTES, services};
use causeway_abi::{Call, Status, VaultCall};
use causeway_fake_spmc::{Guest, Personality, Platform, Refusal, Setup};
use causeway_ffa::EndpointId;
use causeway_memshare::policy::Services;

const PAGES: u32 = 64;

fn boot(of_vm_1: Services) -> (Platform, [Guest; 2]) {
    let mut policy = causeway_fake_spmc::platform::standard_policy(3, PAGES);
    policy.set_services(EndpointId::from_raw(1), of_vm_1).unwrap();
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let guests = [1, 2].map(|vm| Guest::new(&platform, vm, PAGES));
    (platform, guests)
}

fn ask(guest: &Guest, call: VaultCall) -> Result<[u64; 4], Refusal> {
    guest.ask(Call::Vault(call))
}

fn refused(status: Status) -> Result<[u64; 4], Refusal> {
    Err(Refusal::Service(status))
}

#[test]
fn random_bytes_come_in_registers_and_none_behind_the_last() {
    let (_, [one, _]) = boot(Services { entropy_bytes_per_second: 64, ..Services::NONE });
    assert_eq!(ask(&one, VaultCall::State).unwrap()[0], services::ENTROPY);
    let [count, a, b, c] = ask(&one, VaultCall::Entropy { count: 24 }).unwrap();
    assert_eq!(count, 24);
    assert!(a != 0 && b != 0 && c != 0 && a != b && b != c);
    let [count, a, b, c] = ask(&one, VaultCall::Entropy { count: 9 }).unwrap();
    assert_eq!((count, b >> 8, c), (9, 0, 0));
    assert_ne!(a, 0);
}

#[test]
fn a_service_that_policy_does_not_give_is_refused() {
    let (_, [one, two]) = boot(Services { entropy_bytes_per_second: 64, ..Services::NONE });
    assert_eq!(ask(&two, VaultCall::Entropy { count: 8 }), refused(Status::PolicyService));
    assert_eq!(ask(&two, VaultCall::State).unwrap(), [0; 4]);
    assert!(ask(&one, VaultCall::Entropy { count: 8 }).is_ok());
}

#[test]
fn a_count_beyond_three_words_or_none_is_refused() {
    let (_, [one, _]) = boot(Services { entropy_bytes_per_second: 64, ..Services::NONE });
    for count in [0, ENTROPY_MAX_BYTES + 1, u8::MAX] {
        let met = ask(&one, VaultCall::Entropy { count });
        assert_eq!(met, refused(Status::BadArgument), "{count}");
    }
}

#[test]
fn a_vms_rate_is_its_own_and_full_again_a_second_later() {
    let (platform, [one, _]) = boot(Services { entropy_bytes_per_second: 30, ..Services::NONE });
    assert!(ask(&one, VaultCall::Entropy { count: 24 }).is_ok());
    assert_eq!(ask(&one, VaultCall::Entropy { count: 7 }), refused(Status::QuotaRate));
    assert!(ask(&one, VaultCall::Entropy { count: 6 }).is_ok(), "what was refused took nothing");
    platform.pass(1001);
    assert!(ask(&one, VaultCall::Entropy { count: 24 }).is_ok());
}
