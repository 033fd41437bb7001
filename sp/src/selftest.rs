//! Owns frames that break the partition's own rules, for tests of W^X, guard pages and the crash
//! path. Never part of an image that is used: only with the feature `selftest`.
//!
//! | first byte | does | x4-x7 of the answer |
//! | --- | --- | --- |
//! | 0xf0 | panics | |
//! | 0xf1, 0xf2, 0xf3 | reads, writes, executes at x4 | what was read |
//! | 0xf4 | uses up its stack | |
//! | 0xf5 | executes a floating-point instruction | |
//! | 0xf6 | asks the MMU for a read (x5 = 0) or write (1) of x4 | PAR_EL1: bit 0 fault, bit 9 non-secure |
//! | 0xf7 | nothing | code, constants, variables, this core's stack |
//! | 0xf8 | panics with the partition's lock held | |

use crate::arch::{entry, image, provoke, regs};
use crate::partition;
use causeway_abi::Frame;

/// Reports whether a frame is one of these.
pub(crate) fn is_meant(frame: &Frame) -> bool {
    let [first, ..] = frame[0].to_le_bytes();
    (0xf0..=0xf8).contains(&first)
}

/// Does what the frame says; most of them never return.
pub(crate) fn run(frame: &Frame) -> Frame {
    let [word, address, write, ..] = *frame;
    let [first, ..] = word.to_le_bytes();
    let mut answer = [word, 0, 0, 0, 0];
    match first {
        0xf0 => panic!("selftest"),
        0xf1 => answer[1] = provoke::read(address),
        0xf2 => provoke::write(address),
        0xf3 => provoke::execute(address),
        0xf4 => answer[1] = deeper(address),
        0xf5 => provoke::floating_point(),
        0xf6 => answer[1] = provoke::translate(address, write != 0),
        0xf7 => {
            let [stack, _] = entry::stacks(regs::this_core());
            let starts = [image::text(), image::rodata(), image::data(), stack];
            for (word, range) in answer.iter_mut().skip(1).zip(starts) {
                *word = range.start as u64;
            }
        }
        _ => {
            let held = partition::with(|_| panic!("selftest, locked"));
            answer[1] = u64::from(held.is_err());
        }
    }
    answer
}

/// Calls itself with a kilobyte on the stack until the guard page stops it.
fn deeper(depth: u64) -> u64 {
    let mut room = [depth; 128];
    core::hint::black_box(&mut room);
    if depth == u64::MAX { 0 } else { deeper(depth + 1) + room[0] }
}
