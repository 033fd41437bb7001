//! RPMB as a host driver sees it. The driver's side of the MAC is computed here from the standard's
//! byte positions, not by the code under test.

use super::frame::{FRAME, Frame, Outcome, Request};
use super::{Area, BLOCKS, MAX_READ};
use crate::flash::model::{Model, SECTOR, Tear};
use crate::store::Store;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::vec;
use std::vec::Vec;

const SECTORS: usize = 30;
const KEY: [u8; 32] = [0x5c; 32];

fn range() -> core::ops::Range<u32> {
    0..u32::try_from(SECTORS * SECTOR).unwrap()
}

fn mount(flash: Model) -> Store<Model> {
    Store::mount(flash, range()).unwrap()
}

/// HMAC-SHA256 over bytes 228..512, by the standard's words.
fn mac(key: &[u8; 32], frames: &[Frame]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for frame in frames {
        mac.update(&frame.0[228..512]);
    }
    mac.finalize().into_bytes().into()
}

struct Host {
    store: Store<Model>,
    area: Area,
}

impl Host {
    fn new() -> Self {
        Self { store: mount(Model::new(SECTORS)), area: Area::new() }
    }

    fn keyed() -> Self {
        let mut host = Self::new();
        assert_eq!(host.program(&KEY), Outcome::Ok.code());
        host
    }

    fn ask(&mut self, request: &Frame, answers: usize) -> Option<Vec<Frame>> {
        let mut into = vec![Frame::default(); answers];
        let count = self.area.request(&mut self.store, 1, request, &mut into)?;
        into.truncate(count);
        Some(into)
    }

    fn result(&mut self) -> Frame {
        self.ask(&Frame::new_request(Request::ReadResult), 1).unwrap()[0]
    }

    fn program(&mut self, key: &[u8; 32]) -> u16 {
        let mut frame = Frame::new_request(Request::ProgramKey);
        frame.set_key_mac(key);
        assert!(self.ask(&frame, 1).unwrap().is_empty());
        let result = self.result();
        assert_eq!(result.type_code(), 0x100);
        result.result()
    }

    fn write_frame(address: u16, fill: u8, counter: u32) -> Frame {
        let mut frame = Frame::new_request(Request::Write);
        frame.set_data(&[fill; 256]);
        frame.set_address(address);
        frame.set_block_count(1);
        frame.set_counter(counter);
        let proof = mac(&KEY, &[frame]);
        frame.set_key_mac(&proof);
        frame
    }

    fn send_write(&mut self, frame: &Frame) -> u16 {
        assert!(self.ask(frame, 1).unwrap().is_empty());
        let result = self.result();
        assert_eq!(result.type_code(), 0x300);
        assert_eq!(mac(&KEY, &[result]), result.key_mac());
        assert_eq!(result.address(), frame.address());
        result.result()
    }

    fn counter(&mut self) -> u32 {
        let mut frame = Frame::new_request(Request::ReadCounter);
        frame.set_nonce(&[9; 16]);
        let answer = self.ask(&frame, 1).unwrap()[0];
        assert_eq!((answer.type_code(), answer.result()), (0x200, 0));
        assert_eq!(answer.nonce(), [9; 16]);
        assert_eq!(mac(&KEY, &[answer]), answer.key_mac());
        answer.counter()
    }

    fn read(&mut self, address: u16, count: u16) -> Vec<Frame> {
        let mut frame = Frame::new_request(Request::Read);
        frame.set_nonce(&[3; 16]);
        frame.set_address(address);
        frame.set_block_count(count);
        self.ask(&frame, usize::from(count.max(1))).unwrap()
    }
}

#[test]
fn golden_positions_of_the_fields() {
    // JESD84-B51, 6.6.22.1: stuff 196, key/MAC 32, data 256, nonce 16, counter 4, address 2,
    // count 2, result 2, type 2.
    let mut frame = Frame::new_request(Request::Write);
    frame.set_key_mac(&[0xaa; 32]);
    frame.set_data(&[0xbb; 256]);
    frame.set_nonce(&[0xcc; 16]);
    frame.set_counter(0x0102_0304);
    frame.set_address(0x0506);
    frame.set_block_count(0x0708);
    let mut golden = [0; FRAME];
    golden[196..228].fill(0xaa);
    golden[228..484].fill(0xbb);
    golden[484..500].fill(0xcc);
    golden[500..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 3]);
    assert_eq!(frame.0, golden);
}

#[test]
fn the_key_is_programmed_once() {
    let mut host = Host::new();
    assert_eq!(host.read(0, 1)[0].result(), Outcome::NoKey.code());
    assert_eq!(host.program(&KEY), 0);
    assert_eq!(host.program(&[1; 32]), Outcome::GeneralFailure.code());
    assert_eq!(host.counter(), 0, "the first key still proves the answers");
}

#[test]
fn a_proven_write_is_read_back_and_advances_the_counter() {
    let mut host = Host::keyed();
    assert_eq!(host.send_write(&Host::write_frame(17, 0x11, 0)), 0);
    assert_eq!(host.counter(), 1);
    assert_eq!(host.send_write(&Host::write_frame(511, 0x22, 1)), 0);
    let frames = host.read(16, 2);
    assert_eq!(frames[0].data(), [0; 256]);
    assert_eq!(frames[1].data(), [0x11; 256]);
    assert_eq!(mac(&KEY, &frames), frames[1].key_mac(), "the last frame proves all");
    assert_eq!(host.read(511, 1)[0].data(), [0x22; 256]);
}

#[test]
fn each_wrong_write_has_its_own_result_and_changes_nothing() {
    let mut host = Host::keyed();
    assert_eq!(host.send_write(&Host::write_frame(3, 1, 0)), 0);
    let replay = Host::write_frame(3, 1, 0);
    let ahead = Host::write_frame(3, 9, 2);
    let outside = Host::write_frame(BLOCKS, 9, 1);
    let mut forged = Host::write_frame(3, 9, 1);
    forged.set_data(&[8; 256]);
    let mut two = Frame::new_request(Request::Write);
    two.set_block_count(2);
    two.set_counter(1);
    let proof = mac(&KEY, &[two]);
    two.set_key_mac(&proof);
    for (frame, outcome) in [
        (replay, Outcome::CounterFailure),
        (ahead, Outcome::CounterFailure),
        (outside, Outcome::AddressFailure),
        (forged, Outcome::AuthenticationFailure),
        (two, Outcome::GeneralFailure),
    ] {
        assert_eq!(host.send_write(&frame), outcome.code(), "{frame:?}");
        assert_eq!(host.counter(), 1);
        assert_eq!(host.read(3, 1)[0].data(), [1; 256]);
    }
}

#[test]
fn without_a_key_nothing_is_written_or_read() {
    let mut host = Host::new();
    assert!(host.ask(&Host::write_frame(0, 1, 0), 1).unwrap().is_empty());
    assert_eq!(host.result().result(), Outcome::NoKey.code());
    let mut frame = Frame::new_request(Request::ReadCounter);
    frame.set_nonce(&[1; 16]);
    assert_eq!(host.ask(&frame, 1).unwrap()[0].result(), Outcome::NoKey.code());
}

#[test]
fn reads_outside_the_area_or_too_long_are_refused() {
    let mut host = Host::keyed();
    assert_eq!(host.read(BLOCKS, 1)[0].result(), Outcome::AddressFailure.code());
    assert_eq!(host.read(BLOCKS - 1, 2)[0].result(), Outcome::AddressFailure.code());
    assert_eq!(host.read(u16::MAX, 2)[0].result(), Outcome::AddressFailure.code());
    assert_eq!(host.read(0, MAX_READ + 1)[0].result(), Outcome::GeneralFailure.code());
    assert_eq!(host.read(0, MAX_READ).len(), usize::from(MAX_READ));
}

#[test]
fn a_result_is_read_once_and_unknown_requests_have_no_answer() {
    let mut host = Host::keyed();
    assert_eq!(host.send_write(&Host::write_frame(0, 1, 0)), 0);
    assert_eq!(host.result().result(), Outcome::GeneralFailure.code());
    for code in [0, 6, 0x100, 0x300, u16::MAX] {
        let mut frame = Frame::default();
        frame.0[510..].copy_from_slice(&u16::to_be_bytes(code));
        assert_eq!(host.ask(&frame, 1), None, "{code}");
    }
    assert_eq!(host.ask(&Frame::new_request(Request::Read), 0), None, "no room for the answer");
}

#[test]
fn an_expired_counter_refuses_writes_for_ever() {
    let mut host = Host::keyed();
    host.area.counter = Some(u32::MAX - 1);
    let last = host.send_write(&Host::write_frame(0, 1, u32::MAX - 1));
    assert_eq!(last, 0x80, "done, and expired");
    let next = host.send_write(&Host::write_frame(0, 2, u32::MAX));
    assert_eq!(next, 0x85);
    assert_eq!(host.read(0, 1)[0].data(), [1; 256]);
}

#[test]
fn two_vms_have_two_areas() {
    let mut host = Host::keyed();
    assert_eq!(host.send_write(&Host::write_frame(0, 1, 0)), 0);
    let mut other = Area::new();
    let mut into = [Frame::default()];
    let request = Frame::new_request(Request::Read);
    assert_eq!(other.request(&mut host.store, 2, &request, &mut into), Some(1));
    assert_eq!(into[0].result(), Outcome::NoKey.code());
}

#[test]
fn a_power_cut_leaves_data_and_counter_together() {
    let mut host = Host::keyed();
    assert_eq!(host.send_write(&Host::write_frame(0, 1, 0)), 0);
    let flash = host.store.unmount();
    let begun = flash.operations;
    for tear in [Tear::Before, Tear::Middle, Tear::After] {
        for at in 0..12 {
            let mut cut = flash.clone();
            cut.cut_at(begun + at, tear);
            let mut host = Host { store: mount(cut), area: Area::new() };
            let acknowledged = host
                .ask(&Host::write_frame(0, 2, 1), 1)
                .and_then(|_| host.ask(&Frame::new_request(Request::ReadResult), 1))
                .is_some_and(|frames| frames[0].result() == 0);
            let mut after = host.store.unmount();
            after.power_on();
            let mut host = Host { store: mount(after), area: Area::new() };
            let (counter, data) = (host.counter(), host.read(0, 1)[0].data()[0]);
            assert!((counter, data) == (2, 2) || (!acknowledged && (counter, data) == (1, 1)));
        }
    }
}

#[test]
fn a_result_that_found_no_room_is_there_at_the_next_request() {
    let mut host = Host::new();
    let mut frame = Frame::new_request(Request::ProgramKey);
    frame.set_key_mac(&KEY);
    assert!(host.ask(&frame, 0).unwrap().is_empty());
    assert_eq!(host.ask(&Frame::new_request(Request::ReadResult), 0), None);
    let result = host.result();
    assert_eq!((result.type_code(), result.result()), (0x100, Outcome::Ok.code()));
}
