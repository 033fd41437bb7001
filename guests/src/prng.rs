//! Owns the deterministic pseudo-random numbers of the hostile VM; never used for secrets.

/// SplitMix64: small, full period, the same sequence in every run for the same seed.
#[derive(Clone, Debug)]
pub struct Prng {
    state: u64,
}

impl Prng {
    /// Starts the sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound` (slightly biased, which is fine here); 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// Returns one of the shapes that parsers stumble over: tiny, near a power of two, all ones, random.
    pub fn nasty(&mut self) -> u64 {
        let bits = self.next_u64();
        match self.below(6) {
            0 => bits & 7,
            1 => 1_u64.rotate_left(u32::try_from(bits & 63).unwrap_or(0)),
            2 => 1_u64.rotate_left(u32::try_from(bits & 63).unwrap_or(0)).wrapping_sub(1),
            3 => u64::MAX.wrapping_sub(bits & 0xff),
            4 => bits & 0xffff_ffff,
            _ => bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prng;

    #[test]
    fn the_sequence_is_splitmix64() {
        // First outputs of the reference implementation for seed 1234567.
        let mut prng = Prng::new(1_234_567);
        assert_eq!(prng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(prng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_stays_below() {
        let mut prng = Prng::new(7);
        assert!((0..1000).all(|_| prng.below(10) < 10));
        assert_eq!(prng.below(0), 0);
    }
}
