//! Holds counters, replay-protected memory, sealed keys and watchdogs to docs/error-precedence.md, on an
//! SPMC in this process, over a flash that only clears bits.

#[path = "support/frames.rs"]
mod frames;
#[path = "safe/keys.rs"]
mod keys;
#[path = "safe/watchdogs.rs"]
mod watchdogs;

use causeway_abi::vault::{KeyPurpose, Keyed, KeyedText, services};
use causeway_abi::{Call, GrantKind, GrantTerms, Permission, Status, VaultCall};
use causeway_fake_spmc::{Guest, Personality, Platform, Refusal, Setup};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::Lost;
use causeway_memshare::policy::{Services, WatchdogAction, WatchdogRule};
use causeway_service::safe::FlashState;
use causeway_vault::flash::model::Tear;
use frames::{KEY, frame, mac, write_frame};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use watchdogs::start;

const PAGES: u32 = 64;
const LOCAL: GrantTerms =
    GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };

const WATCHDOG: WatchdogRule = WatchdogRule {
    action: WatchdogAction::RestartVm,
    shortest_ms: 50,
    longest_ms: 5000,
    may_stop: false,
};
const ALL: Services = Services {
    uuid: [1; 16],
    entropy_bytes_per_second: 1000,
    counters: 2,
    rpmb: true,
    key_slots: 3,
    store_writes_per_second: 100,
    signatures_per_second: 2,
    watchdog: Some(WATCHDOG),
};

fn boot_with(of_vm_1: Services, of_vm_2: Services) -> (Platform, [Guest; 2]) {
    let mut policy = causeway_fake_spmc::platform::standard_policy(3, PAGES);
    policy.set_services(EndpointId::from_raw(1), of_vm_1).unwrap();
    policy.set_services(EndpointId::from_raw(2), of_vm_2).unwrap();
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let guests = [1, 2].map(|vm| Guest::new(&platform, vm, PAGES));
    (platform, guests)
}

fn boot() -> (Platform, [Guest; 2]) {
    let of_vm_2 = Services { uuid: [2; 16], key_slots: 3, ..ALL };
    boot_with(ALL, of_vm_2)
}

fn ask(guest: &Guest, call: VaultCall) -> Result<[u64; 4], Refusal> {
    guest.ask(Call::Vault(call))
}

fn refused<T>(status: Status) -> Result<T, Refusal> {
    Err(Refusal::Service(status))
}

/// A local area of a VM, two pages long.
struct Area<'g> {
    guest: &'g Guest,
    handle: MemHandle,
    start: u64,
}

impl<'g> Area<'g> {
    fn new(guest: &'g Guest) -> Self {
        let pages = guest.pages(8, 2);
        let handle = guest.grant(LOCAL, &[pages]).unwrap();
        Self { guest, handle, start: pages.start().get() }
    }

    fn put(&self, at: u32, bytes: &[u8]) {
        assert!(self.guest.write(self.start + u64::from(at), bytes));
    }

    fn get(&self, at: u32, len: usize) -> Vec<u8> {
        self.guest.read(self.start + u64::from(at), len).unwrap()
    }
}

// ---- counters

#[test]
fn a_counter_goes_up_by_one_and_is_its_vms_own() {
    let (platform, [one, two]) = boot();
    assert_eq!(ask(&one, VaultCall::CounterRead { number: 1 }), Ok([0; 4]));
    for value in 1..=3 {
        let new = ask(&one, VaultCall::CounterIncrement { number: 1 });
        assert_eq!(new, Ok([value, 0, 0, 0]));
    }
    assert_eq!(ask(&one, VaultCall::CounterRead { number: 0 }), Ok([0; 4]));
    assert_eq!(ask(&two, VaultCall::CounterRead { number: 1 }), Ok([0; 4]));
    // A machine that is switched on anew has the same flash.
    let flash = platform.machine().flash().model(|model| model.clone());
    let (again, [one, _]) = boot();
    again.machine().flash().model(|model| *model = flash);
    assert_eq!(ask(&one, VaultCall::CounterRead { number: 1 }), Ok([3, 0, 0, 0]));
}

#[test]
fn a_counter_beyond_policy_is_refused() {
    let (_, [one, _]) = boot();
    for number in [2, 8, 255] {
        for call in [VaultCall::CounterRead { number }, VaultCall::CounterIncrement { number }] {
            assert_eq!(ask(&one, call), refused(Status::NoSuchNumber));
        }
    }
    let (_, [none, _]) = boot_with(Services::NONE, ALL);
    let read = ask(&none, VaultCall::CounterRead { number: 0 });
    assert_eq!(read, refused(Status::PolicyService));
}

#[test]
fn without_a_provisioned_flash_or_with_a_core_unseen_nothing_is_stored() {
    let (platform, [one, _]) = boot();
    let flash = platform.machine().flash();
    let state = || ask(&one, VaultCall::State).unwrap()[0];
    let stored = services::COUNTERS | services::RPMB | services::KEYS;
    assert_eq!(state() & stored, stored);
    flash.set_state(FlashState::NotThere);
    assert_eq!(state() & (stored | services::FLASH_READY), 0);
    let met = ask(&one, VaultCall::CounterIncrement { number: 0 });
    assert_eq!(met, refused(Status::NoStore));
    flash.set_state(FlashState::CoresNotSeen);
    assert_eq!(state() & (stored | services::FLASH_READY), stored);
    let met = ask(&one, VaultCall::CounterIncrement { number: 0 });
    assert_eq!(met, refused(Status::CoresNotSeen));
    assert_eq!(flash.model(|model| model.operations), 0);
    flash.set_state(FlashState::Ready);
    assert_eq!(ask(&one, VaultCall::CounterIncrement { number: 0 }), Ok([1, 0, 0, 0]));
}

#[test]
fn writes_to_the_flash_stay_within_the_vms_rate_and_refusals_take_nothing() {
    let few = Services { store_writes_per_second: 2, ..ALL };
    let (platform, [one, two]) = boot_with(few, ALL);
    for _ in 0..5 {
        let met = ask(&one, VaultCall::CounterIncrement { number: 9 });
        assert_eq!(met, refused(Status::NoSuchNumber));
    }
    let up = |guest| ask(guest, VaultCall::CounterIncrement { number: 0 });
    assert!(up(&one).is_ok() && up(&one).is_ok());
    assert_eq!(up(&one), refused(Status::QuotaRate));
    assert!(ask(&one, VaultCall::CounterRead { number: 0 }).is_ok(), "reading is free");
    assert!(up(&two).is_ok(), "another VM's rate is its own");
    platform.pass(1001);
    assert_eq!(up(&one), Ok([3, 0, 0, 0]));
}

#[test]
fn an_error_of_the_flash_is_told_and_the_store_is_mended_at_the_next_call() {
    let (platform, [one, _]) = boot();
    let up = || ask(&one, VaultCall::CounterIncrement { number: 0 });
    assert_eq!(up(), Ok([1, 0, 0, 0]));
    let flash = platform.machine().flash();
    flash.model(|model| model.cut_at(model.operations, Tear::Middle));
    assert_eq!(up(), refused(Status::FlashFailed));
    assert_eq!(ask(&one, VaultCall::CounterRead { number: 0 }), refused(Status::FlashFailed));
    flash.model(|model| model.power_on());
    let [value, ..] = ask(&one, VaultCall::CounterRead { number: 0 }).unwrap();
    assert!(value == 1 || value == 2, "{value}");
    assert_eq!(up(), Ok([value + 1, 0, 0, 0]));
}

#[test]
fn what_the_flash_failed_at_is_taken_off_the_rate() {
    let few = Services { store_writes_per_second: 2, ..ALL };
    let (platform, [one, _]) = boot_with(few, ALL);
    let up = || ask(&one, VaultCall::CounterIncrement { number: 0 });
    assert_eq!(up(), Ok([1, 0, 0, 0]));
    let flash = platform.machine().flash();
    flash.model(|model| model.cut_at(model.operations, Tear::Middle));
    assert_eq!(up(), refused(Status::FlashFailed));
    flash.model(|model| model.power_on());
    assert_eq!(up(), refused(Status::QuotaRate));
    platform.pass(1001);
    assert!(up().is_ok());
}

#[test]
fn a_flash_that_goes_on_failing_is_mounted_a_few_times_a_second_for_each_vm_that_asks() {
    let (platform, [one, two]) = boot();
    let flash = platform.machine().flash();
    flash.model(|model| model.cut_at(model.operations, Tear::Middle));
    for _ in 0..100 {
        let met = ask(&one, VaultCall::CounterRead { number: 0 });
        assert_eq!(met, refused(Status::FlashFailed));
    }
    assert_eq!(flash.opened(), 4);
    flash.model(|model| model.power_on());
    let read = |vm| ask(vm, VaultCall::CounterRead { number: 0 });
    assert_eq!(read(&one), refused(Status::FlashFailed), "it used up its tries");
    assert_eq!(read(&two), Ok([0; 4]), "another has its own");
    assert_eq!((read(&one), flash.opened()), (Ok([0; 4]), 5), "and opened it for all");
    flash.model(|model| model.cut_at(model.operations, Tear::Middle));
    assert_eq!(ask(&two, VaultCall::CounterIncrement { number: 0 }), refused(Status::FlashFailed));
    flash.model(|model| model.power_on());
    assert_eq!(read(&one), refused(Status::FlashFailed));
    platform.pass(1001);
    assert_eq!(read(&one), Ok([0; 4]));
}

// ---- RPMB: frames made here from the definitions (JESD84-B51), not by the partition's code

fn rpmb(area: &Area<'_>, request: &[u8; 512], room: u16) -> Result<Vec<u8>, Refusal> {
    area.put(0, request);
    let call = VaultCall::Rpmb { handle: area.handle, request: 0, answers: 512, room };
    let [count, ..] = ask(area.guest, call)?;
    Ok(area.get(512, usize::try_from(count).unwrap() * 512))
}

/// The result of the last programming or writing.
fn result(area: &Area<'_>) -> (u16, u32) {
    let answer = rpmb(area, &frame(5, |_| ()), 1).unwrap();
    let half = u16::from_be_bytes(answer[508..510].try_into().unwrap());
    (half, u32::from_be_bytes(answer[500..504].try_into().unwrap()))
}

fn program(area: &Area<'_>) {
    assert_eq!(rpmb(area, &frame(1, |f| f[196..228].copy_from_slice(&KEY)), 0), Ok(Vec::new()));
    assert_eq!(result(area).0, 0);
}

#[test]
fn the_key_is_programmed_once_and_writes_prove_it_and_count() {
    let (_, [one, _]) = boot();
    let area = Area::new(&one);
    assert_eq!(rpmb(&area, &write_frame(0, 3, 7), 0), Ok(Vec::new()));
    assert_eq!(result(&area).0, 7, "no key yet");
    program(&area);
    rpmb(&area, &frame(1, |f| f[196..228].fill(9)), 0).unwrap();
    assert_eq!(result(&area).0, 1, "never again");
    rpmb(&area, &write_frame(0, 3, 7), 0).unwrap();
    assert_eq!(result(&area), (0, 1));
    rpmb(&area, &write_frame(0, 3, 8), 0).unwrap();
    assert_eq!(result(&area).0, 3, "a replay");
    let mut forged = write_frame(1, 3, 8);
    forged[300] ^= 1;
    rpmb(&area, &forged, 0).unwrap();
    assert_eq!(result(&area).0, 2, "not authentic");
    rpmb(&area, &write_frame(1, 512, 8), 0).unwrap();
    assert_eq!(result(&area).0, 4, "outside");
    let nonce = *b"sixteen of nonce";
    let read = frame(4, |f| {
        f[484..500].copy_from_slice(&nonce);
        f[504..506].copy_from_slice(&2_u16.to_be_bytes());
        f[506..508].copy_from_slice(&2_u16.to_be_bytes());
    });
    let answer = rpmb(&area, &read, 2).unwrap();
    assert_eq!(answer.len(), 1024);
    assert!(answer[228..484].iter().all(|b| *b == 0) && answer[740..996].iter().all(|b| *b == 7));
    assert_eq!((&answer[996..1012], &answer[708..740]), (&nonce[..], &mac(&answer)[..]));
    let counter = rpmb(&area, &frame(2, |f| f[484..500].copy_from_slice(&nonce)), 1).unwrap();
    assert_eq!((counter[503], &counter[196..228]), (1, &mac(&counter)[..]));
}

#[test]
fn after_a_write_that_failed_the_store_is_mounted_anew() {
    let (platform, [one, _]) = boot();
    let area = Area::new(&one);
    program(&area);
    let flash = platform.machine().flash();
    let mounted = flash.opened();
    flash.model(|model| model.cut_at(model.operations, Tear::Middle));
    rpmb(&area, &write_frame(0, 0, 5), 0).unwrap();
    flash.model(|model| model.power_on());
    assert_eq!(result(&area).0, 5, "a write failure");
    assert_eq!(flash.opened(), mounted + 1);
    let counter = rpmb(&area, &frame(2, |_| ()), 1).unwrap()[503];
    rpmb(&area, &write_frame(counter.into(), 0, 6), 0).unwrap();
    assert_eq!(result(&area), (0, u32::from(counter) + 1));
}

#[test]
fn a_replay_protected_area_is_its_vms_own_and_outlives_it() {
    let (platform, [one, two]) = boot();
    let (mine, theirs) = (Area::new(&one), Area::new(&two));
    program(&mine);
    rpmb(&mine, &write_frame(0, 0, 5), 0).unwrap();
    rpmb(&theirs, &write_frame(0, 0, 6), 0).unwrap();
    assert_eq!(result(&theirs).0, 7, "the other has no key");
    rpmb(&mine, &write_frame(1, 0, 7), 0).unwrap();
    assert!(platform.kill(1) && platform.restart(1));
    let one = Guest::new(&platform, 1, PAGES);
    let mine = Area::new(&one);
    assert_eq!(result(&mine).0, 1, "the old life's result is not for the new one");
    rpmb(&mine, &write_frame(2, 0, 8), 0).unwrap();
    assert_eq!(result(&mine), (0, 3));
}

#[test]
fn frames_that_make_no_sense_or_lie_elsewhere_are_refused() {
    let (_, [one, two]) = boot();
    let (area, foreign) = (Area::new(&one), Area::new(&two));
    for kind in [0, 6, 0x100, 0xffff] {
        assert_eq!(rpmb(&area, &frame(kind, |_| ()), 1), refused(Status::BadFrame), "{kind}");
    }
    assert_eq!(rpmb(&area, &frame(2, |_| ()), 0), refused(Status::BadFrame), "no room");
    let call = |handle, request, answers, room| {
        ask(&one, VaultCall::Rpmb { handle, request, answers, room })
    };
    let met = call(foreign.handle, 0, 512, 1);
    assert_eq!(met, refused(Status::NoSuchGrant));
    for (request, answers, room) in
        [(8192 - 511, 0, 1), (0, 8192 - 511, 1), (0, 7680, 2), (u32::MAX, 0, 1), (0, u32::MAX, 16)]
    {
        assert_eq!(call(area.handle, request, answers, room), refused(Status::OutsideArea));
    }
    let read_only = GrantTerms { permission: Permission::ReadOnly, ..LOCAL };
    let handle = one.grant(read_only, &[one.pages(12, 1)]).unwrap();
    assert_eq!(call(handle, 0, 512, 1), refused(Status::BadArgument));
    let (_, [none, _]) = boot_with(Services { rpmb: false, ..ALL }, ALL);
    let area = Area::new(&none);
    assert_eq!(rpmb(&area, &frame(2, |_| ()), 1), refused(Status::PolicyService));
}

// ---- the ledger

#[test]
fn what_was_done_or_refused_is_in_the_ledger_and_no_contents_are() {
    let (platform, [one, _]) = boot();
    for (number, done) in [(0, true), (0, true), (77, false)] {
        let met = ask(&one, VaultCall::CounterIncrement { number });
        assert_eq!(met.is_ok(), done);
    }
    let entries = platform.ledger_of(1);
    let counted = |text: &str| entries.iter().filter(|line| line.contains(text)).count();
    assert_eq!(counted("Served { call_number: 103 }"), 1, "{entries:?}");
    assert_eq!(counted("count: 2"), 1, "both in one entry");
    assert_eq!(counted("call_number: 103, status: NoSuchNumber"), 1);
}

#[test]
fn calls_that_only_look_push_nothing_out_of_the_ledger() {
    let (platform, [one, _]) = boot();
    start(&one, 5000, 0).unwrap();
    let before = platform.ledger_of(1);
    for _ in 0..200 {
        ask(&one, VaultCall::State).unwrap();
        ask(&one, VaultCall::WatchdogPing).unwrap();
        ask(&one, VaultCall::WatchdogLeft).unwrap();
        ask(&one, VaultCall::CounterRead { number: 0 }).unwrap();
    }
    let after = platform.ledger_of(1);
    let (looks, others): (Vec<_>, Vec<_>) =
        after.into_iter().partition(|line| line.contains("Looked { call_number: "));
    assert_eq!(others, before);
    // Each of the four has its place and is counted there: none was lost.
    assert_eq!(looks.len(), causeway_memshare::ledger::LOOKS, "{looks:?}");
    assert!(looks.iter().all(|line| line.contains("count: 200")), "{looks:?}");
    assert_eq!(platform.partition(|p| p.ledger().lost(one.id())), Lost::default());
    let met = ask(&one, VaultCall::CounterRead { number: 77 });
    assert_eq!(met, refused(Status::NoSuchNumber));
    let told = before.len() + looks.len() + 1;
    assert_eq!(platform.ledger_of(1).len(), told, "a refusal is told");
}
