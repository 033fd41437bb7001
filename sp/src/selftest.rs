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
//! | 0xf9 | copies, fills and compares runs of every length to 300 at every alignment | cases, cases that differ from a plain loop |

use crate::arch::{entry, image, provoke, regs};
use crate::partition;
use causeway_abi::Frame;

/// Reports whether a frame is one of these.
pub(crate) fn is_meant(frame: &Frame) -> bool {
    let [first, ..] = frame[0].to_le_bytes();
    (0xf0..=0xf9).contains(&first)
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
        0xf9 => (answer[1], answer[2]) = copies(),
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

/// Bytes of the arrays of [`copies`].
const FIELD: usize = 340;

/// Tries `arch::copy` by what calls it, against loops that the compiler cannot turn into calls.
fn copies() -> (u64, u64) {
    let (mut cases, mut wrong) = (0, 0);
    let mut count = |good: bool| {
        cases += 1;
        wrong += u64::from(!good);
    };
    let bytes: [u8; FIELD] = core::array::from_fn(|at| (at * 7 + at / 256) as u8);
    for len in 0..300 {
        for (from, to) in (0..16).flat_map(|from| [(from, 0), (from, 5), (from, 8), (0, from)]) {
            let mut target = [0xee; FIELD];
            target[to..to + len].copy_from_slice(&bytes[from..from + len]);
            count(like(&target, |at| {
                if (to..to + len).contains(&at) { bytes[at - to + from] } else { 0xee }
            }));
            let mut moved = bytes;
            moved.copy_within(from..from + len, to);
            count(like(&moved, |at| {
                if (to..to + len).contains(&at) { bytes[at - to + from] } else { bytes[at] }
            }));
            let mut filled = bytes;
            filled[from..from + len].fill(0x5a);
            count(like(
                &filled,
                |at| {
                    if (from..from + len).contains(&at) { 0x5a } else { bytes[at] }
                },
            ));
            let mut other = bytes;
            let (here, there) = (&bytes[from..from + len], from..from + len);
            count(here == &other[there.clone()]);
            if len != 0 {
                other[from + len / 2] ^= 0x80;
                let greater = other[from + len / 2] > bytes[from + len / 2];
                count((&other[there.clone()] > here) == greater && &other[there] != here);
            }
        }
    }
    (cases, wrong)
}

fn like(found: &[u8; FIELD], expected: impl Fn(usize) -> u8) -> bool {
    let mut same = true;
    for (at, byte) in found.iter().enumerate() {
        same &= core::hint::black_box(*byte) == core::hint::black_box(expected(at));
    }
    same
}
