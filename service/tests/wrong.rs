//! Holds every wrong call of the security services to three claims: it has a status of its own, the ledger
//! counts it, and nothing of the flash changes. On an SPMC in this process.

use causeway_abi::vault::{KeyPurpose, Keyed, KeyedText};
use causeway_abi::{Call, GrantKind, GrantTerms, Permission, Status, VaultCall};
use causeway_fake_spmc::{Guest, Personality, Platform, Refusal, Setup};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::policy::{Services, WatchdogAction, WatchdogRule};
use causeway_service::safe::FlashState;

const PAGES: u32 = 64;
const LOCAL: GrantTerms =
    GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
const ALL: Services = Services {
    uuid: [1; 16],
    entropy_bytes_per_second: 1000,
    counters: 2,
    rpmb: true,
    key_slots: 3,
    store_writes_per_second: 100,
    signatures_per_second: 2,
    watchdog: Some(WatchdogRule {
        action: WatchdogAction::RestartVm,
        shortest_ms: 50,
        longest_ms: 5000,
        may_stop: false,
    }),
};

fn boot(given: Services) -> (Platform, Guest) {
    let mut policy = causeway_fake_spmc::platform::standard_policy(3, PAGES);
    policy.set_services(EndpointId::from_raw(1), given).unwrap();
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let guest = Guest::new(&platform, 1, PAGES);
    (platform, guest)
}

/// Every call, about an area; each would be right for a VM that has every service, its keys and a watchdog.
fn every_call(handle: MemHandle) -> Vec<VaultCall> {
    let message = Keyed { handle, slot: 0, offset: 0, length: 16 };
    let text = KeyedText { text: Keyed { slot: 1, ..message }, associated: 4, proof: 512 };
    vec![
        VaultCall::Entropy { count: 8 },
        VaultCall::CounterRead { number: 0 },
        VaultCall::CounterIncrement { number: 0 },
        VaultCall::Rpmb { handle, request: 0, answers: 512, room: 1 },
        VaultCall::KeyGenerate { slot: 2, purpose: KeyPurpose::Mac },
        VaultCall::KeyImport { handle, slot: 2, purpose: KeyPurpose::Mac, offset: 0 },
        VaultCall::KeyDelete { slot: 0 },
        VaultCall::KeyPublic { slot: 2 },
        VaultCall::KeyMac(message),
        VaultCall::KeyVerify { message, tag: 0 },
        VaultCall::KeySign { message: Keyed { slot: 2, ..message }, signature: 0 },
        VaultCall::KeyEncrypt(text),
        VaultCall::KeyDecrypt(text),
        VaultCall::WatchdogStart { timeout_ms: 100, warning_ms: 0 },
        VaultCall::WatchdogPing,
        VaultCall::WatchdogStop,
        VaultCall::WatchdogLeft,
    ]
}

/// Refused with this status, in the ledger, and without an operation of the flash.
fn is_wrong(platform: &Platform, guest: &Guest, call: VaultCall, status: Status) {
    let operations = || platform.machine().flash().model(|model| model.operations);
    let line =
        format!("Refused {{ call_number: {}, status: {} }}", call.id().number(), status.name());
    let counted = || -> u64 {
        let entries = platform.ledger_of(1);
        let of_it = entries.iter().filter(|entry| entry.contains(&line));
        let count = |entry: &String| {
            let (_, rest) = entry.split_once("count: ")?;
            rest.split_once(',')?.0.parse::<u64>().ok()
        };
        of_it.filter_map(count).sum()
    };
    let before = (operations(), counted());
    let met = guest.ask(Call::Vault(call));
    assert_eq!(met, Err(Refusal::Service(status)), "{call:?}");
    assert_eq!((operations(), counted()), (before.0, before.1 + 1), "{call:?}");
}

#[test]
fn without_the_policys_word_no_call_does_anything() {
    let (platform, one) = boot(Services::NONE);
    let handle = one.grant(LOCAL, &[one.pages(8, 2)]).unwrap();
    for call in every_call(handle) {
        is_wrong(&platform, &one, call, Status::PolicyService);
    }
}

#[test]
fn without_the_flash_or_with_a_core_unseen_each_call_on_it_says_so() {
    let (platform, one) = boot(ALL);
    let handle = one.grant(LOCAL, &[one.pages(8, 2)]).unwrap();
    let stored = |call: &VaultCall| {
        !matches!(
            call,
            VaultCall::Entropy { .. }
                | VaultCall::WatchdogStart { .. }
                | VaultCall::WatchdogPing
                | VaultCall::WatchdogStop
                | VaultCall::WatchdogLeft
        )
    };
    for (state, status) in
        [(FlashState::NotThere, Status::NoStore), (FlashState::CoresNotSeen, Status::CoresNotSeen)]
    {
        platform.machine().flash().set_state(state);
        for call in every_call(handle).into_iter().filter(stored) {
            is_wrong(&platform, &one, call, status);
        }
    }
}

#[test]
fn an_area_that_is_not_the_callers_or_does_not_hold_the_bytes_is_refused_by_each_call() {
    let (platform, one) = boot(ALL);
    let two = Guest::new(&platform, 2, PAGES);
    let theirs = two.grant(LOCAL, &[two.pages(8, 2)]).unwrap();
    let mine = one.grant(LOCAL, &[one.pages(8, 2)]).unwrap();
    let in_an_area = |call: &VaultCall| {
        matches!(
            call,
            VaultCall::Rpmb { .. }
                | VaultCall::KeyImport { .. }
                | VaultCall::KeyMac(_)
                | VaultCall::KeyVerify { .. }
                | VaultCall::KeySign { .. }
                | VaultCall::KeyEncrypt(_)
                | VaultCall::KeyDecrypt(_)
        )
    };
    // The first call mounts the store, which an operation of the flash may take.
    one.ask(Call::Vault(VaultCall::CounterRead { number: 0 })).unwrap();
    for call in every_call(theirs).into_iter().filter(in_an_area) {
        is_wrong(&platform, &one, call, Status::NoSuchGrant);
    }
    let far = 8192 - 8;
    let beyond = |call: VaultCall| match call {
        VaultCall::Rpmb { handle, answers, room, .. } => {
            VaultCall::Rpmb { handle, request: far, answers, room }
        }
        VaultCall::KeyImport { handle, slot, purpose, .. } => {
            VaultCall::KeyImport { handle, slot, purpose, offset: far }
        }
        VaultCall::KeyMac(message) => VaultCall::KeyMac(Keyed { offset: far, ..message }),
        VaultCall::KeyVerify { message, .. } => VaultCall::KeyVerify { message, tag: far },
        VaultCall::KeySign { message, .. } => VaultCall::KeySign { message, signature: far },
        VaultCall::KeyEncrypt(text) => VaultCall::KeyEncrypt(KeyedText { proof: far, ..text }),
        VaultCall::KeyDecrypt(text) => VaultCall::KeyDecrypt(KeyedText { proof: far, ..text }),
        other @ (VaultCall::State
        | VaultCall::Entropy { .. }
        | VaultCall::CounterRead { .. }
        | VaultCall::CounterIncrement { .. }
        | VaultCall::KeyGenerate { .. }
        | VaultCall::KeyDelete { .. }
        | VaultCall::KeyPublic { .. }
        | VaultCall::WatchdogStart { .. }
        | VaultCall::WatchdogPing
        | VaultCall::WatchdogStop
        | VaultCall::WatchdogLeft) => other,
    };
    for call in every_call(mine).into_iter().filter(in_an_area) {
        is_wrong(&platform, &one, beyond(call), Status::OutsideArea);
    }
}

#[test]
fn a_slot_without_a_key_or_for_something_else_is_refused_by_each_call() {
    let (platform, one) = boot(ALL);
    let handle = one.grant(LOCAL, &[one.pages(8, 2)]).unwrap();
    let on_a_key = |call: &VaultCall| {
        matches!(
            call,
            VaultCall::KeyDelete { .. }
                | VaultCall::KeyPublic { .. }
                | VaultCall::KeyMac(_)
                | VaultCall::KeyVerify { .. }
                | VaultCall::KeySign { .. }
                | VaultCall::KeyEncrypt(_)
                | VaultCall::KeyDecrypt(_)
        )
    };
    one.ask(Call::Vault(VaultCall::CounterRead { number: 0 })).unwrap();
    for call in every_call(handle).into_iter().filter(on_a_key) {
        is_wrong(&platform, &one, call, Status::SlotEmpty);
    }
    // Slot 0 is to be for MACs, 1 for encryption, 2 for signatures: here each is for something else.
    for (slot, purpose) in [(0, KeyPurpose::Sign), (1, KeyPurpose::Mac), (2, KeyPurpose::Aead)] {
        one.ask(Call::Vault(VaultCall::KeyGenerate { slot, purpose })).unwrap();
    }
    let used = |call: &VaultCall| on_a_key(call) && !matches!(call, VaultCall::KeyDelete { .. });
    for call in every_call(handle).into_iter().filter(used) {
        is_wrong(&platform, &one, call, Status::WrongPurpose);
    }
    for slot in 0..3 {
        let taken = VaultCall::KeyGenerate { slot, purpose: KeyPurpose::Mac };
        is_wrong(&platform, &one, taken, Status::SlotTaken);
    }
}

#[test]
fn a_watchdog_that_is_not_armed_or_may_not_be_stopped_says_so_and_counts() {
    let (platform, one) = boot(ALL);
    for call in [VaultCall::WatchdogPing, VaultCall::WatchdogStop, VaultCall::WatchdogLeft] {
        is_wrong(&platform, &one, call, Status::WatchdogNotArmed);
    }
    for (timeout_ms, warning_ms) in [(49, 0), (5001, 0), (100, 100)] {
        let call = VaultCall::WatchdogStart { timeout_ms, warning_ms };
        is_wrong(&platform, &one, call, Status::WatchdogTime);
    }
    one.ask(Call::Vault(VaultCall::WatchdogStart { timeout_ms: 100, warning_ms: 0 })).unwrap();
    is_wrong(&platform, &one, VaultCall::WatchdogStop, Status::WatchdogMayNotStop);
}
