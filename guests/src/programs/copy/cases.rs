//! The copies that VM 1 and VM 2 have made in turn: sizes from one byte to the whole area, at odd
//! offsets, across pages and ranges, pushed and pulled from either side. Never trusts one side's word:
//! each digests what it has, and both must come to the same.

use super::area::Area;
use super::{MILLIS, copy};
use crate::rt::signal;
use causeway_abi::join::COPY_MAX_BYTES;
use causeway_abi::{CopyDirection, JoinName};
use sha2::{Digest as _, Sha256};

/// Who asks, from whose area, from which offset to which, how many bytes.
struct Case {
    caller: u16,
    source: u16,
    from: u64,
    to: u64,
    len: u64,
}

const fn case([caller, source]: [u16; 2], [from, to, len]: [u64; 3]) -> Case {
    Case { caller, source, from, to, len }
}

const ALL: u64 = super::PAGES * 4096;

const CASES: [Case; 14] = [
    case([1, 1], [0, 0, 1]),
    case([1, 1], [ALL - 1, ALL - 1, 1]),
    case([1, 1], [0, 0, 4096]),
    case([1, 1], [1, 3, 4095]),
    case([1, 1], [4000, 8191, 200]),
    // VM 1's first range ends at 12288, VM 2's at 8192 and 24576.
    case([1, 1], [12_283, 24_569, 9_000]),
    case([1, 1], [16_381, 28_669, 16_384]),
    case([1, 1], [0, 0, ALL]),
    case([1, 1], [5, 0, ALL - 5]),
    case([1, 2], [8_190, 12_287, 5]),
    case([1, 2], [3, 40_000, 20_001]),
    case([2, 2], [24_570, 16_380, 12_345]),
    case([2, 1], [100, 77, 16_385]),
    case([2, 1], [0, 7, ALL - 7]),
];

/// What lies where nothing was copied to.
const WIPED: u8 = 0xa5;

fn pattern(case: u64, offset: u64) -> u8 {
    let [byte, ..] = (case * 97 + offset + (offset >> 8) * 13 + (offset >> 16) * 5).to_le_bytes();
    byte
}

/// The bytes that all cases take out of VM 1's area, and bring into it.
pub(super) fn totals() -> [u64; 2] {
    let of = |source| CASES.iter().filter(|case| case.source == source).map(|case| case.len).sum();
    [of(1), of(2)]
}

/// What was not as it should be: the case's number, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) usize, pub(super) &'static str);

/// Runs every case as `own`, in step with the other side.
pub(super) fn run(own: u16, area: &Area, join: JoinName) -> Result<(), Broken> {
    let other = 3 - own;
    let mut first = None;
    for (number, case) in (0..).zip(&CASES) {
        let is_source = case.source == own;
        area.fill(|offset| if is_source { pattern(number, offset) } else { WIPED });
        // Both have prepared their side before the caller begins.
        meet(own, other, 1);
        let mut wrong = None;
        if case.caller == own {
            wrong = carry_out(case, is_source, join);
        }
        meet(own, other, 2);
        let (at, written) =
            if is_source { (case.from, true) } else { (case.to, is_exact(area, number, case)) };
        if !written {
            wrong = Some("other bytes than the source's, or bytes beside them");
        }
        let digest = digest(area, at, case.len);
        let theirs = exchange(own, other, digest);
        if theirs != digest {
            wrong = Some("digests differ");
        }
        first = first.or(wrong.map(|what| Broken(usize::try_from(number).unwrap_or(0), what)));
    }
    first.map_or(Ok(()), Err)
}

/// Copies until all is done; each call but the last moves the most that one may.
fn carry_out(case: &Case, is_source: bool, join: JoinName) -> Option<&'static str> {
    let way = if is_source { CopyDirection::ToPeer } else { CopyDirection::FromPeer };
    let mut done = 0;
    while done < case.len {
        let left = case.len - done;
        let moved = copy(join, way, [case.from + done, case.to + done, left]);
        if moved != Ok(left.min(u64::from(COPY_MAX_BYTES))) {
            return Some("a copy moved another count");
        }
        done += moved.unwrap_or(left);
    }
    None
}

/// Whether the destination holds the source's bytes at their place, and nothing else was written.
fn is_exact(area: &Area, number: u64, case: &Case) -> bool {
    let end = case.to + case.len;
    area.bytes().all(|(offset, byte)| {
        let inside = (case.to..end).contains(&offset);
        byte == if inside { pattern(number, case.from + offset - case.to) } else { WIPED }
    })
}

/// The first eight bytes of SHA-256 over a part of the area.
fn digest(area: &Area, from: u64, len: u64) -> u64 {
    let mut hash = Sha256::new();
    area.bytes()
        .filter(|(offset, _)| (from..from + len).contains(offset))
        .for_each(|(_, byte)| hash.update([byte]));
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Both come this far before either goes on.
fn meet(own: u16, other: u16, word: u64) {
    assert_eq!(exchange(own, other, word), word, "both are as far");
}

fn exchange(own: u16, other: u16, word: u64) -> u64 {
    if own < other {
        signal::send_within(other, word, MILLIS);
        signal::receive_within(other, MILLIS)
    } else {
        let theirs = signal::receive_within(other, MILLIS);
        signal::send_within(other, word, MILLIS);
        theirs
    }
}
