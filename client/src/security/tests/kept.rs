//! Counters, replay-protected memory, keys and watchdogs on the fake SPMC: what is done, each refusal, and
//! answers that lie.

use super::*;
use crate::conduit::Conduit;
use crate::error::Party;
use crate::testing::Fault;
use crate::wait::Bound;
use causeway_fake_spmc::FlashState;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The VM that policy gives everything.
const VM: u16 = 3;
const KEY: [u8; 32] = *b"a key that this VM brings along.";
const TEXT: [u8; 12] = *b"twelve bytes";

fn open<'c>(world: &FakeWorld, conduit: &'c dyn Conduit) -> Connection<'c> {
    Connection::open(conduit, world.mailbox(VM)).unwrap()
}

fn refused<T>(call: CallId, status: Status) -> Result<T, Error> {
    Err(Error::Refused { call, status })
}

#[test]
fn counters_go_up_by_one_and_refusals_have_their_names() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let security = Security::of(&connection);
    let all = services::COUNTERS | services::RPMB | services::KEYS | services::WATCHDOG;
    assert_eq!(security.services().unwrap() & all, all);
    assert_eq!(security.counter(1), Ok(0));
    assert_eq!((security.increment(1), security.increment(1)), (Ok(1), Ok(2)));
    assert_eq!((security.counter(1), security.counter(0)), (Ok(2), Ok(0)));
    assert_eq!(security.counter(2), refused(CallId::CounterRead, Status::NoSuchNumber));
    assert_eq!(security.increment(255), refused(CallId::CounterIncrement, Status::NoSuchNumber));
    while security.increment(0).is_ok() {}
    assert_eq!(security.increment(0), refused(CallId::CounterIncrement, Status::QuotaRate));
    world.platform().pass(1001);
    let flash = world.platform().machine().flash();
    for (state, status) in
        [(FlashState::NotThere, Status::NoStore), (FlashState::CoresNotSeen, Status::CoresNotSeen)]
    {
        flash.set_state(state);
        assert_eq!(security.increment(0), refused(CallId::CounterIncrement, status));
        assert_eq!(security.counter(0), refused(CallId::CounterRead, status));
    }
}

#[test]
fn a_key_does_what_it_is_for_and_is_deleted() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let security = Security::of(&connection);
    let area = KeyArea::open(&connection, world.pages(VM, 2)).unwrap();
    area.import(0, KeyPurpose::Mac, &KEY).unwrap();
    let mut expected = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    expected.update(&TEXT);
    let expected: [u8; 32] = expected.finalize().into_bytes().into();
    assert_eq!(area.mac(0, &TEXT), Ok(expected));
    assert_eq!(area.verify(0, &TEXT, &expected), Ok(()));
    assert_eq!(
        area.verify(0, b"another text", &expected),
        refused(CallId::KeyVerify, Status::NotAuthentic)
    );
    security.generate_key(1, KeyPurpose::Aead).unwrap();
    let mut text = TEXT;
    let sealed = area.encrypt(1, b"head", &mut text).unwrap();
    assert_ne!(text, TEXT);
    let hidden = text;
    let wrong = area.decrypt(1, b"HEAD", &mut text, &sealed);
    assert_eq!((wrong, text), (refused(CallId::KeyDecrypt, Status::NotAuthentic), hidden));
    assert_eq!(area.decrypt(1, b"head", &mut text, &sealed), Ok(()));
    assert_eq!(text, TEXT);
    security.generate_key(2, KeyPurpose::Sign).unwrap();
    let (one, two) = (area.sign(2, b"one").unwrap(), area.sign(2, b"two").unwrap());
    assert_ne!(one, two);
    assert_ne!(security.public_key(2).unwrap(), [0; 32]);
    assert_eq!(security.delete_key(2), Ok(()));
    // Two signatures and a public key are this second's three of the class.
    assert_eq!(area.sign(2, b"one"), refused(CallId::KeySign, Status::QuotaRate));
    world.platform().pass(1001);
    assert_eq!(area.sign(2, b"one"), refused(CallId::KeySign, Status::SlotEmpty));
    area.close(&FakeWait::idle(), Bound::NONE).unwrap();
}

#[test]
fn each_refusal_of_a_key_has_its_name() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let security = Security::of(&connection);
    let area = KeyArea::open(&connection, world.pages(VM, 2)).unwrap();
    area.import(0, KeyPurpose::Mac, &KEY).unwrap();
    let taken = area.import(0, KeyPurpose::Mac, &KEY);
    assert_eq!(taken, refused(CallId::KeyImport, Status::SlotTaken));
    assert_eq!(
        security.generate_key(0, KeyPurpose::Sign),
        refused(CallId::KeyGenerate, Status::SlotTaken)
    );
    assert_eq!(security.public_key(0), refused(CallId::KeyPublic, Status::WrongPurpose));
    assert_eq!(security.delete_key(1), refused(CallId::KeyDelete, Status::SlotEmpty));
    assert_eq!(security.delete_key(3), refused(CallId::KeyDelete, Status::NoSuchNumber));
    assert_eq!(area.mac(7, &TEXT), refused(CallId::KeyMac, Status::NoSuchNumber));
    // Longer than any message: refused here, before anybody is asked.
    let calls = world.calls();
    let long = area.mac(0, &[0; 4097]);
    assert_eq!(long.map_err(|error| error.blame()), Err(Party::Caller));
    assert_eq!(world.calls(), calls);
    let flash = world.platform().machine().flash();
    flash.set_root_key(Some([7; 32]));
    flash.set_state(FlashState::NotThere);
    assert_eq!(area.mac(0, &TEXT), refused(CallId::KeyMac, Status::NoStore));
}

#[test]
fn a_watchdog_is_armed_pinged_asked_and_stopped_within_policy() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let security = Security::of(&connection);
    let unarmed = |call| refused::<()>(call, Status::WatchdogNotArmed);
    assert_eq!(security.ping_watchdog(), unarmed(CallId::WatchdogPing));
    assert_eq!(security.stop_watchdog(), unarmed(CallId::WatchdogStop));
    assert_eq!(
        security.watchdog_left().map(|_| ()),
        unarmed(CallId::WatchdogLeft),
        "nothing is left of none"
    );
    for (timeout, warning) in [(49, 0), (5001, 0), (100, 100)] {
        let met = security.start_watchdog(timeout, warning);
        assert_eq!(met, refused(CallId::WatchdogStart, Status::WatchdogTime));
    }
    security.start_watchdog(1000, 300).unwrap();
    world.platform().pass(600);
    assert_eq!(security.watchdog_left(), Ok((400, false)));
    security.ping_watchdog().unwrap();
    world.platform().pass(800);
    assert_eq!(security.watchdog_left(), Ok((200, true)));
    assert_eq!(security.stop_watchdog(), Ok(()));
    world.platform().pass(5000);
    assert!(world.platform().restarts_asked().is_empty());
}

#[test]
fn frames_go_in_and_answers_come_out() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let area = RpmbArea::open(&connection, world.pages(VM, 2)).unwrap();
    let mut frame = [0; FRAME_BYTES];
    frame[511] = 2;
    let mut answers = [[0; FRAME_BYTES]; 2];
    assert_eq!(area.request(&frame, &mut answers), Ok(1));
    // Result 7 (no key) of request 2.
    assert_eq!(answers[0][508..], [0, 7, 2, 0]);
    frame[511] = 9;
    let met = area.request(&frame, &mut answers);
    assert_eq!(met, refused(CallId::Rpmb, Status::BadFrame));
}

/// Every call of this module, with its number; each returns whether it went well.
type Attempt = (CallId, fn(Security<'_>, &KeyArea<'_>) -> Result<(), Error>);

const ATTEMPTS: [Attempt; 17] = [
    (CallId::Entropy, |s, _| s.entropy(&mut [0; 8])),
    (CallId::CounterRead, |s, _| s.counter(0).map(|_| ())),
    (CallId::CounterIncrement, |s, _| s.increment(0).map(|_| ())),
    (CallId::KeyGenerate, |s, _| s.generate_key(1, KeyPurpose::Sign)),
    (CallId::KeyImport, |_, a| a.import(0, KeyPurpose::Mac, &KEY)),
    (CallId::KeyDelete, |s, _| s.delete_key(0)),
    (CallId::KeyPublic, |s, _| s.public_key(1).map(|_| ())),
    (CallId::KeyMac, |_, a| a.mac(0, &TEXT).map(|_| ())),
    (CallId::KeyVerify, |_, a| a.verify(0, &TEXT, &KEY)),
    (CallId::KeySign, |_, a| a.sign(1, &TEXT).map(|_| ())),
    (CallId::KeyEncrypt, |_, a| {
        let mut text = TEXT;
        let met = a.encrypt(0, b"", &mut text).map(|_| ());
        assert!(met.is_ok() || text == TEXT, "the text is as it was");
        met
    }),
    (CallId::KeyDecrypt, |_, a| {
        let mut text = TEXT;
        let met = a.decrypt(0, b"", &mut text, &Sealed { proof: [0; 40] });
        assert!(met.is_ok() || text == TEXT, "the text is as it was");
        met
    }),
    (CallId::WatchdogStart, |s, _| s.start_watchdog(100, 0)),
    (CallId::WatchdogPing, |s, _| s.ping_watchdog()),
    (CallId::WatchdogStop, |s, _| s.stop_watchdog()),
    (CallId::WatchdogLeft, |s, _| s.watchdog_left().map(|_| ())),
    (CallId::VaultState, |s, _| s.services().map(|_| ())),
];

#[test]
fn every_status_of_every_call_is_told_as_it_came() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let area = KeyArea::open(&connection, world.pages(VM, 2)).unwrap();
    for status in Status::ALL.iter().copied().filter(|status| *status != Status::Ok) {
        for (number, attempt) in ATTEMPTS {
            world.falsify(move |call, _, _| (call == number).then_some(status));
            let met = attempt(Security::of(&connection), &area);
            assert_eq!(met, refused(number, status), "{number:?}");
        }
    }
}

#[test]
fn an_answer_that_is_none_is_the_partitions_or_the_hypervisors_fault() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let area = KeyArea::open(&connection, world.pages(VM, 2)).unwrap();
    for fault in [Fault::Garbage, Fault::LostAnswer] {
        for (number, attempt) in ATTEMPTS {
            world.fail_after(0, fault);
            let met = attempt(Security::of(&connection), &area).map_err(|error| error.blame());
            let blamed = [Err(Party::Hypervisor), Err(Party::Partition)];
            assert!(blamed.contains(&met), "{number:?} {fault:?}: {met:?}");
        }
    }
}

#[test]
fn more_answers_than_there_was_room_for_are_a_lie() {
    let world = FakeWorld::new();
    let conduit = world.vm(VM);
    let connection = open(&world, &conduit);
    let area = RpmbArea::open(&connection, world.pages(VM, 2)).unwrap();
    let mut frame = [0; FRAME_BYTES];
    frame[511] = 2;
    for count in [3, u64::from(u32::MAX), u64::MAX] {
        world.falsify(move |call, _, results| {
            results[0] = count;
            (call == CallId::Rpmb).then_some(Status::Ok)
        });
        let met = area.request(&frame, &mut [[0; FRAME_BYTES]; 2]);
        assert_eq!(met, Err(Error::partition(Rule::AnswerValues)), "{count}");
    }
}
