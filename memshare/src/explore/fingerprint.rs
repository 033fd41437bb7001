//! Owns how a state is told from others: two 64-bit lanes of multiplications over all that its
//! `Hash` feeds. Never for tables that an adversary fills: it is fast, not keyed.

use super::Node;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A state's name among millions.
pub(super) type Fingerprint = u128;

/// The names of the states that were seen: they are hashes already, so their lower half serves as
/// the hash of the set.
pub(super) type Seen = HashSet<Fingerprint, BuildHasherDefault<LowerHalf>>;

/// Takes a name as its own hash.
#[derive(Default)]
pub(super) struct LowerHalf(u64);

impl Hasher for LowerHalf {
    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<8>();
        self.0 = words.iter().fold(self.0, |all, word| all ^ u64::from_le_bytes(*word));
    }

    #[inline]
    fn write_u128(&mut self, name: u128) {
        let [a, b, c, d, e, f, g, h, ..] = name.to_le_bytes();
        self.0 = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Two lanes, and small values that wait until they fill a word.
struct Lanes {
    a: u64,
    b: u64,
    waiting: u64,
    bits: u32,
}

impl Lanes {
    fn word(&mut self, n: u64) {
        self.a = fold(self.a ^ n ^ 0x9e37_79b9_7f4a_7c15, 0xa076_1d64_78bd_642f);
        self.b = fold(self.b.rotate_left(23) ^ n ^ 0xd6e8_feb8_6659_fd93, 0xe703_7ed1_a0b4_28db);
    }

    #[inline]
    fn small(&mut self, n: u64, bits: u32) {
        if self.bits + bits > 64 {
            let word = core::mem::take(&mut self.waiting);
            self.word(word);
            self.bits = 0;
        }
        self.waiting |= n << self.bits;
        self.bits += bits;
    }
}

fn fold(word: u64, factor: u64) -> u64 {
    let product = u128::from(word).wrapping_mul(u128::from(factor)).to_le_bytes();
    let [a, b, c, d, e, f, g, h, high @ ..] = product;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_le_bytes(high)
}

impl Hasher for Lanes {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.small(u64::from(*byte), 8);
        }
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.small(u64::from(n), 8);
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.small(u64::from(n), 16);
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.small(u64::from(n), 32);
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    /// Discriminants and lengths: small as a rule.
    #[inline]
    fn write_isize(&mut self, n: isize) {
        match u8::try_from(n) {
            Ok(u8::MAX) | Err(_) => self.write(&n.to_le_bytes()),
            Ok(n) => self.small(u64::from(n), 8),
        }
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        match u8::try_from(n) {
            Ok(u8::MAX) | Err(_) => self.write(&n.to_le_bytes()),
            Ok(n) => self.small(u64::from(n), 8),
        }
    }

    fn finish(&self) -> u64 {
        self.a
    }
}

pub(super) fn of(node: &Node) -> Fingerprint {
    let mut lanes = Lanes { a: 1, b: 2, waiting: 0, bits: 0 };
    node.hash(&mut lanes);
    let rest = lanes.waiting;
    lanes.word(rest);
    u128::from(lanes.a) << 64 | u128::from(lanes.b)
}
