//! Owns the proofs about the use of RX and TX: each fragment is copied once, nothing beyond it is
//! taken, and RX is given back whatever came. The SPMC here is a script; fake-spmc has a real one.

use super::*;
use causeway_abi::{GrantKind, Permission};
use causeway_ffa::{Lengths, Regs};
use causeway_memshare::RetrieveRequest;
use std::collections::VecDeque;

const OWN: EndpointId = EndpointId::from_raw(0x8001);
/// What an earlier message left in RX.
const STALE: u8 = 0xee;

/// What the partition did with its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Retrieve,
    NextFragment,
    Read,
    Release,
    Relinquish,
}

/// An SPMC that serves one response in fragments, each with the length that it tells.
struct Script {
    fragments: VecDeque<(Vec<u8>, u32)>,
    total: u32,
    handle: MemHandle,
    rx: Vec<u8>,
    rx_is_ours: bool,
    did: Vec<Did>,
}

impl Script {
    fn of(fragments: &[(Vec<u8>, u32)], total: u32) -> Self {
        Self {
            fragments: fragments.iter().cloned().collect(),
            total,
            handle: handle(7),
            rx: vec![STALE; MAILBOX_BYTES],
            rx_is_ours: false,
            did: Vec::new(),
        }
    }

    /// Fills RX with the next fragment; the rest of it stays as it was.
    fn fill(&mut self) -> u32 {
        let (bytes, told) = self.fragments.pop_front().unwrap();
        self.rx[..bytes.len()].copy_from_slice(&bytes);
        self.rx_is_ours = true;
        told
    }
}

impl Conduit for Script {
    fn call(&mut self, out: &[u64; 8]) -> Regs {
        let call = Call::decode(&Regs::from_smc8(*out), crate::dispatch::VERSION).unwrap();
        let answer = if matches!(call, Call::MemRetrieveReq { .. }) {
            self.did.push(Did::Retrieve);
            let told = self.fill();
            Answer::MemRetrieveResp(Lengths::new(self.total, told).unwrap())
        } else if matches!(call, Call::MemFragRx { .. }) {
            assert!(!self.rx_is_ours, "the next fragment was asked for before RX was free");
            self.did.push(Did::NextFragment);
            let length = self.fill();
            let endpoint = EndpointId::from_raw(0);
            Answer::MemFragTx { handle: self.handle, length, endpoint }
        } else if matches!(call, Call::RxRelease { .. }) {
            assert!(self.rx_is_ours, "RX was given back twice");
            self.did.push(Did::Release);
            self.rx_is_ours = false;
            Answer::success()
        } else {
            assert_eq!(call, Call::MemRelinquish, "this is no part of a retrieve");
            self.did.push(Did::Relinquish);
            Answer::success()
        };
        answer.encode()
    }
}

impl Mailbox for Script {
    fn write_tx(&mut self, bytes: &[u8]) -> bool {
        bytes.len() <= MAILBOX_BYTES
    }

    fn read_rx(&mut self, into: &mut [u8]) -> bool {
        assert!(self.rx_is_ours, "RX was read after it was given back");
        self.did.push(Did::Read);
        let Some(bytes) = self.rx.get(..into.len()) else { return false };
        into.copy_from_slice(bytes);
        // Whoever looks a second time sees something else.
        self.rx.iter_mut().for_each(|byte| *byte = !*byte);
        true
    }
}

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).unwrap()
}

fn ask(script: &mut Script, response: &mut Response) -> Result<(), FfaError> {
    let request = RetrieveRequest {
        handle: handle(7),
        owner: EndpointId::from_raw(1),
        peer: None,
        tag: 0,
        kind: GrantKind::Share,
        permission: Permission::ReadWrite,
    };
    let asked = crate::facts::request(&request, OWN);
    retrieve(script, OWN, (request.handle, &asked), response)
}

/// Bytes that are different in each place of each fragment.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + seed) % 199).unwrap()).collect()
}

fn whole(seed: usize, len: u32) -> (Vec<u8>, u32) {
    (bytes(seed, usize::try_from(len).unwrap()), len)
}

#[test]
fn kb_10_each_fragment_is_copied_once_and_never_looked_at_again() {
    let fragments = [whole(1, 4096), whole(2, 4096), whole(3, 100)];
    let mut script = Script::of(&fragments, 8292);
    let mut response = Response::new();
    assert_eq!(ask(&mut script, &mut response), Ok(()));
    assert_eq!(response.bytes().unwrap(), [bytes(1, 4096), bytes(2, 4096), bytes(3, 100)].concat());
    let reads = script.did.iter().filter(|did| **did == Did::Read).count();
    assert_eq!(reads, 3, "RX was looked at more often than it was filled");
}

#[test]
fn kb_12_nothing_beyond_the_told_length_of_a_message_is_taken() {
    let mut response = Response::new();
    for len in [1_u32, 80, 4095] {
        let mut script = Script::of(&[whole(5, len)], len);
        assert_eq!(ask(&mut script, &mut response), Ok(()));
        assert_eq!(response.bytes().unwrap(), whole(5, len).0, "the tail of RX came along");
    }
    // Nor does the tail of the response before: this one is shorter than the last.
    let mut script = Script::of(&[whole(6, 16)], 16);
    assert_eq!(ask(&mut script, &mut response), Ok(()));
    assert_eq!(response.bytes().unwrap().len(), 16);
}

#[test]
fn kb_21_a_retrieve_and_its_fragments_are_one_sequence_that_ends_with_rx_free() {
    let mut script = Script::of(&[whole(1, 4096), whole(2, 4096), whole(3, 1)], 8193);
    assert_eq!(ask(&mut script, &mut Response::new()), Ok(()));
    let one = [Did::Read, Did::Release];
    let next = [Did::NextFragment, Did::Read, Did::Release];
    let expected = [&[Did::Retrieve][..], &one, &next, &next].concat();
    assert_eq!(script.did, expected);
    assert!(!script.rx_is_ours);
}

#[test]
fn kb_02_a_fragment_that_lies_ends_in_a_relinquish_with_rx_free() {
    let cases = [
        // More than is left, nothing at all, more than RX holds.
        (vec![whole(1, 4096), (bytes(2, 100), 101)], 4196),
        (vec![whole(1, 4096), (bytes(2, 4096), 5000)], 9096),
        (vec![whole(1, 4096), (bytes(2, 4), u32::MAX)], 4100),
    ];
    for (fragments, total) in cases {
        let mut script = Script::of(&fragments, total);
        assert!(ask(&mut script, &mut Response::new()).is_err(), "{total}");
        assert_eq!(script.did.last(), Some(&Did::Relinquish), "{:?}", script.did);
        assert!(!script.rx_is_ours, "RX was kept");
    }
}

#[test]
fn kb_09_a_fragment_of_another_transaction_is_refused() {
    let mut script = Script::of(&[whole(1, 4096), whole(2, 100)], 4196);
    script.handle = handle(8);
    assert_eq!(ask(&mut script, &mut Response::new()), Err(FfaError::InvalidParameters));
    assert_eq!(script.did.last(), Some(&Did::Relinquish));
    assert!(!script.rx_is_ours);
}

#[test]
fn kb_01_a_response_longer_than_its_room_is_refused_without_a_copy_beyond_it() {
    let fragments = vec![whole(1, 4096); 17];
    let mut script = Script::of(&fragments, 17 * 4096);
    let mut response = Response::new();
    assert_eq!(ask(&mut script, &mut response), Err(FfaError::NoMemory));
    assert_eq!(script.did.last(), Some(&Did::Relinquish));
    assert!(response.bytes().unwrap().len() <= RESPONSE_BYTES);
}
