//! Asks for what there is, for what there is not, and is told lies about it.

use super::*;
use crate::testing::FakeWorld;
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
