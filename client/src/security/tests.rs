//! Asks for what there is, for what there is not, and is told lies about it.

mod each_failure;
mod kept;

use super::*;
use crate::memory::Pages;
use crate::testing::{FakeWait, FakeWorld, Fault};
use crate::wait::Bound;
use causeway_abi::vault::services;
use causeway_abi::{CallId, Status};

#[test]
fn random_bytes_fill_a_buffer_of_any_length() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let security = Security::of(&connection);
    assert_eq!(security.services().unwrap() & services::ENTROPY, services::ENTROPY);
    let (mut first, mut second) = ([0; 77], [0; 77]);
    security.entropy(&mut first).unwrap();
    security.entropy(&mut second).unwrap();
    assert_ne!(first, second);
    assert!(first.iter().filter(|byte| **byte == 0).count() < 20);
}

#[test]
fn a_refusal_half_way_leaves_no_bytes_behind() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let mut calls = 0;
    world.falsify(move |call, _, _| {
        calls += u32::from(call == CallId::Entropy);
        (calls == 2).then_some(Status::EntropyEmpty)
    });
    let mut bytes = [1; 48];
    let refused = Security::of(&connection).entropy(&mut bytes);
    let status = Status::EntropyEmpty;
    assert_eq!(refused, Err(Error::Refused { call: CallId::Entropy, status }));
    assert_eq!(bytes, [0; 48]);
}

#[test]
fn a_vm_without_the_service_is_told_so() {
    let world = FakeWorld::new();
    let conduit = world.vm(2);
    let connection = Connection::open(&conduit, world.mailbox(2)).unwrap();
    let security = Security::of(&connection);
    assert_eq!(security.services().unwrap(), 0);
    let status = Status::PolicyService;
    let refused = Err(Error::Refused { call: CallId::Entropy, status });
    assert_eq!(security.entropy(&mut [0; 8]), refused);
}

// ---- the areas: whatever became of a call, nothing of it is left there

const SECRET: &[u8] = &[0x5e; 300];

fn assert_empty(pages: &Pages<'_>, context: &str) {
    let mut bytes = vec![1; pages.window().len_bytes()];
    pages.window().read(0, &mut bytes).unwrap();
    let left = bytes.iter().position(|byte| *byte != 0);
    assert_eq!(left, None, "{context}");
}

fn with_keys<R>(
    connection: &Connection<'_>,
    pages: Pages<'static>,
    name: &str,
    work: impl FnOnce(&KeyArea<'_>) -> R,
) -> R {
    let area = KeyArea::open(connection, pages).unwrap();
    let result = work(&area);
    assert_empty(&area.close(&FakeWait::idle(), Bound::NONE).unwrap(), name);
    result
}

type Use = fn(&KeyArea<'_>) -> Result<(), Error>;

/// Every use of a key: 0 is for tags, 1 signs, 2 encrypts.
const USES: [(&str, Use); 6] = [
    ("import", |area| area.import(0, KeyPurpose::Mac, &[7; 32])),
    ("mac", |area| area.mac(0, SECRET).map(|_| ())),
    ("verify", |area| area.verify(0, SECRET, &[9; 32])),
    ("sign", |area| area.sign(1, SECRET).map(|_| ())),
    ("encrypt", |area| area.encrypt(2, SECRET, &mut [6; 200]).map(|_| ())),
    ("decrypt", |area| area.decrypt(2, SECRET, &mut [6; 200], &Sealed { proof: [5; 40] })),
];

#[test]
fn nothing_of_a_use_of_a_key_is_left_in_the_area() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let security = Security::of(&connection);
    for (name, work) in USES {
        let refused = with_keys(&connection, world.pages(1, 2), name, |area| {
            // Where the import would succeed, the partition's answer is lost.
            world.fail_after(0, Fault::LostAnswer);
            let result = work(area);
            world.stop_failing();
            result
        });
        assert!(refused.is_err(), "{name}");
    }
    security.generate_key(1, KeyPurpose::Sign).unwrap();
    security.generate_key(2, KeyPurpose::Aead).unwrap();
    for (name, work) in USES {
        let result = with_keys(&connection, world.pages(1, 2), name, work);
        let status = match name {
            "import" => Some(Status::SlotTaken),
            "verify" | "decrypt" => Some(Status::NotAuthentic),
            _ => None,
        };
        let met = result.map_err(|error| match error {
            Error::Refused { status, .. } => Some(status),
            Error::Ffa { .. }
            | Error::BusError { .. }
            | Error::BusRefused(_)
            | Error::Broken { .. }
            | Error::TimedOut(_) => None,
        });
        assert_eq!(met, status.map_or(Ok(()), |status| Err(Some(status))), "{name}");
    }
    let round = with_keys(&connection, world.pages(1, 2), "a round", |area| {
        let mut text = *b"a text";
        let sealed = area.encrypt(2, SECRET, &mut text)?;
        assert_ne!(text, *b"a text");
        area.decrypt(2, SECRET, &mut text, &sealed)?;
        Ok::<_, Error>(text)
    });
    assert_eq!(round, Ok(*b"a text"));
}

#[test]
fn nothing_is_left_of_what_does_not_fit_or_is_too_long() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    for (name, work) in USES {
        // One page has no room beside the message.
        let small = with_keys(&connection, world.pages(1, 1), name, work);
        assert!(small.is_err(), "{name}");
    }
    let long = with_keys(&connection, world.pages(1, 2), "4097 bytes", |area| {
        area.encrypt(2, SECRET, &mut [6; 4097 - 300])
    });
    assert_eq!(long, Err(Error::caller(Rule::TooSmall)));
}

#[test]
fn nothing_of_a_frame_is_left_in_the_area() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let mut program = [0; FRAME_BYTES];
    program[196..228].copy_from_slice(&[0x5e; 32]);
    program[511] = 1;
    let mut fetch = [0; FRAME_BYTES];
    fetch[511] = 5;
    for (name, request, room, lost, count) in [
        ("the answer is lost", &program, 0, true, None),
        ("the key is programmed again", &program, 0, false, Some(0)),
        ("the result is read", &fetch, 2, false, Some(1)),
        ("no room for the result", &fetch, 0, false, None),
        ("more room than the area has", &program, 8, false, None),
        ("a frame that is no request", &[0x5e; FRAME_BYTES], 0, false, None),
    ] {
        let area = RpmbArea::open(&connection, world.pages(1, 1)).unwrap();
        if lost {
            world.fail_after(0, Fault::LostAnswer);
        }
        let met = area.request(request, &mut vec![[0; FRAME_BYTES]; room]);
        world.stop_failing();
        assert_eq!(met.ok(), count, "{name}");
        assert_empty(&area.close(&FakeWait::idle(), Bound::NONE).unwrap(), name);
    }
}
