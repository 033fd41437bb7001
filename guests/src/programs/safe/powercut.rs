//! The workload of `cargo xtask powercut`: tells what it finds, then counts and writes, and tells of each
//! step when the partition has acknowledged it. Never ends by itself: the power does.

use super::frames::{self, KEY, NO_KEY, OK};
use super::{connect, until_ready};
use crate::rt::Boot;
use crate::rt::client::take_pages;
use crate::say;
use causeway_client::security::{RpmbArea, Security};

/// Blocks that are written in turn: one in each page of the area, so that the store turns over.
const BLOCKS: u32 = 32;
const STRIDE: u32 = 16;

fn place(counter: u32) -> u16 {
    u16::try_from(counter % BLOCKS * STRIDE).unwrap_or(0)
}

/// What the write that found this counter wrote.
fn contents(counter: u32) -> [u8; 256] {
    let mut data = [0xa5; 256];
    data[..4].copy_from_slice(&counter.to_le_bytes());
    data
}

/// VM 1.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = connect();
    let security = Security::of(connection);
    assert!(until_ready(security), "every core is seen");
    let area = RpmbArea::open(connection, take_pages(3)).expect("a local area");
    let mut written = match frames::ask(&area, &frames::read_counter()) {
        Some(answer) if answer.result == NO_KEY => {
            let programmed = frames::order(&area, &frames::program(&KEY));
            assert!(programmed.is_some_and(|a| a.result == OK), "the key is programmed");
            0
        }
        Some(answer) => {
            assert!(answer.authentic && answer.result == OK, "{answer:?}");
            answer.counter
        }
        None => panic!("no answer of the replay-protected area"),
    };
    let counted = security.counter(0).expect("a counter");
    // Every block that was ever written holds what its last write wrote.
    let mut wrong = 0;
    for last in written.saturating_sub(BLOCKS)..written {
        let read = frames::ask(&area, &frames::read(place(last))).expect("an answer");
        wrong += u32::from(!(read.authentic && read.data == contents(last)));
    }
    say!("FOUND counter={counted} written={written} wrong={wrong}");
    loop {
        let frame = frames::write(written, place(written), &contents(written));
        match frames::order(&area, &frame) {
            Some(answer) if answer.result == OK => written = answer.counter,
            met => panic!("a write was not taken: {met:?}"),
        }
        let counted = security.increment(0).expect("counted");
        say!("ACK counter={counted} written={written}");
    }
}
