//! A rule of one way: bytes go from VM 2 to VM 3, whoever asks, and never back. Never more than a page.

use super::area::Area;
use super::{MILLIS, copy, join, joined, name, refused};
use crate::calls::Mailbox;
use crate::check;
use crate::rt::{Boot, signal};
use causeway_abi::{CopyDirection, JoinState, Status};

const fn byte(offset: u64) -> u8 {
    let [byte, ..] = (offset * 3 + 1).to_le_bytes();
    byte
}

/// VM 2's part: it joins, and is read from.
pub(super) fn give(mailbox: &Mailbox) {
    let area = Area::share(mailbox, &[1]);
    area.fill(byte);
    assert_eq!(join(&area, name(3, 1)), Ok((JoinState::Waiting, 0)), "VM 3 is to join");
    signal::send_within(3, 1, MILLIS);
    assert_eq!(signal::receive_within(3, MILLIS), 1, "VM 3 is through");
    // What VM 3 was refused has written nothing.
    let same = area.bytes().all(|(offset, found)| found == byte(offset));
    signal::send_within(3, if same { 1 } else { 2 }, MILLIS);
    area.take_back();
}

/// VM 3.
pub(in crate::programs) fn receiver(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 has joined");
    let (area, data) = (Area::share(&mailbox, &[1]), name(2, 1));
    area.fill(|_| 0);
    assert_eq!(join(&area, data), Ok((JoinState::Joined, 1)), "VM 2 waits");
    let pulled = copy(data, CopyDirection::FromPeer, [1, 0, 4095]);
    let there = area.bytes().take(4095).all(|(offset, found)| found == byte(offset + 1));
    check!("copy/one_way_rule_lets_bytes_come", pulled == Ok(4095) && there, "{pulled:?} {there}");
    area.fill(|_| 0);
    let pushed = copy(data, CopyDirection::ToPeer, [0, 0, 16]);
    let counts = joined(data);
    signal::send_within(2, 1, MILLIS);
    let untouched = signal::receive_within(2, MILLIS) == 1;
    let same = counts == Ok((JoinState::Joined, 0, 4095));
    let right = pushed == refused(Status::PolicyCopy) && untouched && same;
    check!("copy/one_way_rule_lets_none_go_back", right, "{pushed:?} {untouched} {counts:?}");
    area.take_back();
}
