//! Holds counters, replay-protected memory, sealed keys and watchdogs to docs/error-precedence.md, on an
//! SPMC in this process, over a flash that only clears bits.

#[path = "support/frames.rs"]
mod frames;

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

// ---- keys

fn keyed(area: &Area<'_>, slot: u8, offset: u32, length: u16) -> Keyed {
    Keyed { handle: area.handle, slot, offset, length }
}

fn bytes_of(words: [u64; 4]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn an_imported_key_makes_the_mac_that_its_owner_expects_and_can_be_deleted() {
    let (_, [one, _]) = boot();
    let area = Area::new(&one);
    area.put(100, &KEY);
    let import = VaultCall::KeyImport {
        handle: area.handle,
        slot: 1,
        purpose: KeyPurpose::Mac,
        offset: 100,
    };
    assert_eq!(ask(&one, import), Ok([0; 4]));
    assert_eq!(ask(&one, import), refused(Status::SlotTaken));
    area.put(0, b"a message");
    let tag = ask(&one, VaultCall::KeyMac(keyed(&area, 1, 0, 9))).unwrap();
    let mut expected = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    expected.update(b"a message");
    assert_eq!(bytes_of(tag), expected.finalize().into_bytes().to_vec());
    area.put(200, &bytes_of(tag));
    let verify = |tag| ask(&one, VaultCall::KeyVerify { message: keyed(&area, 1, 0, 9), tag });
    assert_eq!(verify(200), Ok([0; 4]));
    assert_eq!(verify(201), refused(Status::NotAuthentic));
    assert_eq!(ask(&one, VaultCall::KeyPublic { slot: 1 }), refused(Status::WrongPurpose));
    assert_eq!(ask(&one, VaultCall::KeyDelete { slot: 1 }), Ok([0; 4]));
    let gone = ask(&one, VaultCall::KeyMac(keyed(&area, 1, 0, 9)));
    assert_eq!(gone, refused(Status::SlotEmpty));
    assert_eq!(ask(&one, VaultCall::KeyDelete { slot: 1 }), refused(Status::SlotEmpty));
}

#[test]
fn a_generated_key_encrypts_signs_and_never_leaves() {
    let (_, [one, _]) = boot();
    let area = Area::new(&one);
    let generate = |slot, purpose| ask(&one, VaultCall::KeyGenerate { slot, purpose });
    generate(0, KeyPurpose::Aead).unwrap();
    generate(2, KeyPurpose::Sign).unwrap();
    area.put(0, b"headthe text");
    let text = KeyedText { text: keyed(&area, 0, 0, 8), associated: 4, proof: 512 };
    ask(&one, VaultCall::KeyEncrypt(text)).unwrap();
    let sealed = area.get(0, 12);
    assert!(sealed[..4] == *b"head" && sealed[4..] != *b"the text");
    area.put(0, b"HEAD");
    let forged = ask(&one, VaultCall::KeyDecrypt(text));
    assert_eq!(forged, refused(Status::NotAuthentic));
    assert_eq!(area.get(4, 8), sealed[4..], "nothing was decrypted");
    area.put(0, b"head");
    ask(&one, VaultCall::KeyDecrypt(text)).unwrap();
    assert_eq!(area.get(0, 12), b"headthe text");
    let public = bytes_of(ask(&one, VaultCall::KeyPublic { slot: 2 }).unwrap());
    let sign = VaultCall::KeySign { message: keyed(&area, 2, 0, 12), signature: 1024 };
    ask(&one, sign).unwrap();
    let key = ed25519_dalek::VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&area.get(1024, 64)).unwrap();
    assert!(key.verify_strict(b"headthe text", &signature).is_ok());
    assert_eq!(ask(&one, sign), refused(Status::QuotaRate), "two of the long class in a second");
}

#[test]
fn a_key_is_bound_to_its_vms_id_its_uuid_and_its_device() {
    let (platform, [one, two]) = boot();
    let area = Area::new(&one);
    ask(&one, VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Mac }).unwrap();
    let mine = ask(&one, VaultCall::KeyMac(keyed(&area, 0, 0, 16))).unwrap();
    let theirs = Area::new(&two);
    let met = ask(&two, VaultCall::KeyMac(keyed(&theirs, 0, 0, 16)));
    assert_eq!(met, refused(Status::SlotEmpty), "another VM's slots are its own");
    let flash = platform.machine().flash().model(|model| model.clone());
    let try_as = |uuid, root| {
        let (again, [one, _]) = boot_with(Services { uuid, ..ALL }, Services::NONE);
        again.machine().flash().model(|model| *model = flash.clone());
        again.machine().flash().set_root_key(root);
        let area = Area::new(&one);
        ask(&one, VaultCall::KeyMac(keyed(&area, 0, 0, 16)))
    };
    assert_eq!(try_as([1; 16], Some([0x5a; 32])), Ok(mine));
    assert_eq!(try_as([3; 16], Some([0x5a; 32])), refused(Status::NotOurs), "another UUID");
    assert_eq!(try_as([1; 16], Some([0x5b; 32])), refused(Status::NotOurs), "another device");
    assert_eq!(try_as([1; 16], None), refused(Status::NoStore), "a device without a key");
}

#[test]
fn wrong_places_lengths_and_slots_are_refused_and_change_nothing() {
    let (platform, [one, _]) = boot();
    let area = Area::new(&one);
    ask(&one, VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Aead }).unwrap();
    let before = platform.machine().flash().model(|model| model.operations);
    let text = |length, associated, proof| {
        let text = KeyedText { text: keyed(&area, 0, 0, length), associated, proof };
        ask(&one, VaultCall::KeyEncrypt(text))
    };
    assert_eq!(text(4096, 1, 0), refused(Status::BadArgument));
    assert_eq!(text(u16::MAX, u16::MAX, 0), refused(Status::BadArgument));
    assert_eq!(text(16, 0, 8192 - 39), refused(Status::OutsideArea));
    let beyond = VaultCall::KeyMac(keyed(&area, 0, 8190, 3));
    assert_eq!(ask(&one, beyond), refused(Status::OutsideArea));
    for slot in [3, 8, 255] {
        let met = ask(&one, VaultCall::KeyDelete { slot });
        assert_eq!(met, refused(Status::NoSuchNumber));
    }
    let wrong = VaultCall::KeyMac(keyed(&area, 0, 0, 3));
    assert_eq!(ask(&one, wrong), refused(Status::WrongPurpose));
    assert_eq!(platform.machine().flash().model(|model| model.operations), before);
    let (_, [none, _]) = boot_with(Services { key_slots: 0, ..ALL }, ALL);
    let met = ask(&none, VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Mac });
    assert_eq!(met, refused(Status::PolicyService));
}

// ---- watchdogs

fn start(guest: &Guest, timeout_ms: u32, warning_ms: u32) -> Result<[u64; 4], Refusal> {
    ask(guest, VaultCall::WatchdogStart { timeout_ms, warning_ms })
}

fn logged(platform: &Platform, text: &str) -> usize {
    platform.log().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_watchdog_warns_then_asks_the_hypervisor_for_a_restart_once() {
    let (platform, [one, two]) = boot();
    start(&one, 1000, 300).unwrap();
    platform.pass(600);
    assert_eq!(ask(&one, VaultCall::WatchdogLeft), Ok([400, 0, 0, 0]));
    ask(&one, VaultCall::WatchdogPing).unwrap();
    platform.pass(750);
    assert_eq!(ask(&one, VaultCall::WatchdogLeft), Ok([250, 1, 0, 0]), "warned");
    assert_eq!(ask(&two, VaultCall::WatchdogPing), refused(Status::WatchdogNotArmed));
    assert_eq!(ask(&two, VaultCall::WatchdogStop), refused(Status::WatchdogNotArmed));
    platform.pass(251);
    assert_eq!(logged(&platform, "fired: RestartVm"), 1);
    assert_eq!(platform.restarts_asked(), [1]);
    assert_eq!(ask(&one, VaultCall::WatchdogLeft), refused(Status::WatchdogNotArmed));
    platform.pass(5000);
    assert_eq!(platform.restarts_asked(), [1], "once");
}

#[test]
fn a_watchdog_that_policy_says_so_resets_the_platform() {
    let rule = WatchdogRule { action: WatchdogAction::ResetSystem, ..WATCHDOG };
    let (platform, [one, _]) = boot_with(Services { watchdog: Some(rule), ..ALL }, ALL);
    start(&one, 100, 0).unwrap();
    platform.pass(99);
    assert_eq!(logged(&platform, "reset"), 0);
    platform.pass(2);
    assert_eq!(logged(&platform, "reset"), 1);
}

#[test]
fn times_outside_policy_and_a_stop_that_policy_forbids_are_refused() {
    let (platform, [one, two]) = boot_with(
        ALL,
        Services { watchdog: Some(WatchdogRule { may_stop: true, ..WATCHDOG }), ..ALL },
    );
    for (timeout, warning) in [(49, 0), (5001, 0), (0, 0), (u32::MAX, 0), (100, 100), (100, 200)] {
        assert_eq!(start(&one, timeout, warning), refused(Status::WatchdogTime));
    }
    start(&one, 100, 0).unwrap();
    assert_eq!(ask(&one, VaultCall::WatchdogStop), refused(Status::WatchdogMayNotStop));
    start(&two, 100, 0).unwrap();
    assert_eq!(ask(&two, VaultCall::WatchdogStop), Ok([0; 4]));
    platform.pass(200);
    assert_eq!(platform.restarts_asked(), [1], "the stopped one never fires");
    let (_, [none, _]) = boot_with(Services::NONE, ALL);
    assert_eq!(start(&none, 100, 0), refused(Status::PolicyService));
    let met = ask(&none, VaultCall::WatchdogPing);
    assert_eq!(met, refused(Status::PolicyService));
}

#[test]
fn the_watchdog_of_a_vm_that_was_destroyed_in_order_never_fires() {
    let (platform, [one, _]) = boot();
    start(&one, 100, 0).unwrap();
    assert!(platform.kill(1));
    platform.pass(200);
    assert!(platform.restarts_asked().is_empty());
}

#[test]
fn a_restart_that_an_old_life_is_due_is_not_asked_for_the_new_one() {
    let (platform, [one, _]) = boot();
    start(&one, 100, 0).unwrap();
    platform.machine().pass(200);
    // The hypervisor destroys the VM before it looks.
    platform.interrupts_unseen();
    assert_eq!(logged(&platform, "fired: RestartVm"), 1);
    assert!(platform.kill(1) && platform.restart(1));
    platform.pass(200);
    assert_eq!(platform.restarts_asked(), [0_u16; 0]);
}

#[test]
fn the_watchdog_of_a_vm_that_is_dying_fires_no_more() {
    let (platform, [one, two]) = boot();
    for page in 8..32 {
        one.grant(LOCAL, &[one.pages(page, 1)]).unwrap();
    }
    start(&one, 100, 0).unwrap();
    assert!(!platform.say_destroyed(1), "its grants take more than one message");
    platform.pass(200);
    assert!(ask(&two, VaultCall::State).is_ok());
    assert_eq!(logged(&platform, "fired"), 0);
    assert!(platform.say_destroyed(1) && platform.restarts_asked().is_empty());
}

#[test]
fn of_vms_that_are_to_be_restarted_together_none_waits_for_another_doorbell() {
    let mut policy = causeway_fake_spmc::platform::standard_policy(3, PAGES);
    for vm in 1..=3 {
        policy.set_services(EndpointId::from_raw(vm), ALL).unwrap();
    }
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    for vm in 1..=3 {
        start(&Guest::new(&platform, vm, PAGES), 100, 0).unwrap();
    }
    platform.machine().pass(200);
    platform.interrupts_unseen();
    for (vm, more) in [(1, true), (2, true), (3, false)] {
        let [_, _, word, deadline] = platform.hypervisor(Call::HypPoll).unwrap().results;
        assert_eq!(word & 0xffff_ffff_0001_0000, vm << 32 | 1 << 16);
        let now = platform.machine().now();
        assert_eq!(deadline != 0 && deadline <= now, more, "VM {vm}: {deadline} at {now}");
    }
}

#[test]
fn a_vm_that_arms_its_watchdog_again_and_again_rings_nobody() {
    let (platform, [one, _]) = boot();
    for _ in 0..20 {
        start(&one, 5000, 0).unwrap();
        start(&one, 50, 0).unwrap();
        assert!(!platform.take_bell(1), "the secure timer looks at the deadline");
    }
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
