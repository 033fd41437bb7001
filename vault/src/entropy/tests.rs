//! Sources that fail in different ways; each is a fake.

use super::{Drbg, EntropyError, MAX_REQUEST, RESEED_AFTER, RawEntropy};

/// A deterministic source that looks random: splitmix64.
struct Good(u64);

impl RawEntropy for Good {
    fn word(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    }
}

/// Calls a function for each word.
struct Source<F>(F);

impl<F: FnMut() -> Option<u64>> RawEntropy for Source<F> {
    fn word(&mut self) -> Option<u64> {
        (self.0)()
    }
}

#[test]
fn a_good_source_never_fails_its_tests_and_the_bytes_differ() {
    let mut drbg = Drbg::new(Some(Good(1)));
    let mut last = [0; 64];
    for _ in 0..if cfg!(miri) { 10 } else { 20_000 } {
        let mut bytes = [0; 64];
        drbg.fill(&mut bytes).unwrap();
        assert_ne!(bytes, last);
        last = bytes;
    }
}

#[test]
fn without_a_source_there_is_none() {
    let mut drbg = Drbg::<Good>::new(None);
    let mut bytes = [1; 8];
    assert_eq!(drbg.fill(&mut bytes), Err(EntropyError::NoSource));
    assert_eq!(bytes, [0; 8]);
    assert!(!drbg.is_offered());
}

#[test]
fn a_source_that_is_stuck_fails_and_stays_failed() {
    let mut words = 0;
    let mut good = Good(7);
    let mut drbg = Drbg::new(Some(Source(|| {
        words += 1;
        // Stuck after a while, then well again.
        if (300..310).contains(&words) { Some(0) } else { good.word() }
    })));
    let mut bytes = [0; 64];
    let failed = (0..20_000).find_map(|_| drbg.fill(&mut bytes).err());
    assert_eq!(failed, Some(EntropyError::Failed));
    assert_eq!(bytes, [0; 64], "nothing half made is given out");
    for _ in 0..100 {
        assert_eq!(drbg.fill(&mut bytes), Err(EntropyError::Failed));
    }
    assert!(!drbg.is_offered());
}

#[test]
fn a_source_with_a_favourite_byte_fails() {
    let mut good = Good(3);
    let mut n = 0_u64;
    let mut drbg = Drbg::new(Some(Source(|| {
        n += 1;
        // Every fourth byte is 0x55: never many in a row, far too many in a window.
        good.word().map(|w| w & !0x00ff_0000_00ff | 0x0055_0000_0055)
    })));
    let mut bytes = [0; 64];
    let failed = (0..20_000).find_map(|_| drbg.fill(&mut bytes).err());
    assert_eq!(failed, Some(EntropyError::Failed));
}

#[test]
fn a_source_that_has_nothing_at_the_moment_is_asked_a_bounded_number_of_times() {
    let mut asked = 0_u32;
    let mut drbg = Drbg::new(Some(Source(|| {
        asked += 1;
        None
    })));
    assert_eq!(drbg.fill(&mut [0; 8]), Err(EntropyError::Empty));
    assert!(drbg.is_offered());
    assert_eq!(asked, 64);
}

#[test]
fn a_request_that_is_too_long_is_refused() {
    let mut drbg = Drbg::new(Some(Good(1)));
    assert_eq!(drbg.fill(&mut [0; MAX_REQUEST + 1]), Err(EntropyError::TooMuch));
    assert_eq!(drbg.fill(&mut [0; MAX_REQUEST]), Ok(()));
}

#[test]
fn the_generator_is_seeded_anew_after_its_ration() {
    let mut words = 0_u32;
    let mut good = Good(5);
    let mut drbg = Drbg::new(Some(Source(|| {
        words += 1;
        good.word()
    })));
    let mut bytes = [0; MAX_REQUEST];
    for _ in 0..=RESEED_AFTER / 4096 {
        drbg.fill(&mut bytes).unwrap();
    }
    assert_eq!(words, 128 + 2 * 16);
}
