//! Owns randomness: the health tests of a raw source, and the generator that it seeds. Never makes
//! randomness up: without a source there is none, and a source that fails its tests stays failed.
//!
//! Source: NIST SP 800-90B, 4.4 (health tests, on bytes, claiming 4 bits of entropy each, with a
//! false alarm in 2^30); SP 800-90A's reseeding, with ChaCha20 as the generator (`rand_chacha`).

#[cfg(test)]
mod tests;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// Equal bytes in a row that fail the source (repetition count test, 1 + 30/4).
const REPETITIONS: u32 = 9;
/// Window of the adaptive proportion test in bytes, and how often its first byte may come.
const WINDOW: u32 = 512;
const PROPORTION: u32 = 71;
/// Raw words (8 bytes) that make one seed: 512 bits of claimed entropy for 256.
const SEED_WORDS: usize = 16;
/// Raw words that are tested, and thrown away, before the first seed.
const STARTUP_WORDS: usize = 128;
/// Bytes from one seed.
const RESEED_AFTER: u32 = 64 * 1024;
/// How often a source that has nothing at the moment is asked again.
const TRIES: u32 = 64;
/// Most bytes of one call.
pub const MAX_REQUEST: usize = 4096;

/// A raw source, e.g. the CPU's RNDRRS.
pub trait RawEntropy {
    /// The next word; `None`: nothing at the moment.
    fn word(&mut self) -> Option<u64>;
}

/// Why there is no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntropyError {
    /// The machine has no source.
    NoSource,
    /// The source failed a health test, now or earlier.
    Failed,
    /// The source has nothing at the moment; later it may.
    Empty,
    /// More than [`MAX_REQUEST`] bytes at once.
    TooMuch,
}

/// The continuous health tests.
#[derive(Clone, Debug)]
struct Health {
    last: Option<u8>,
    repeated: u32,
    first: u8,
    seen: u32,
    in_window: u32,
    failed: bool,
}

impl Health {
    const fn new() -> Self {
        Self { last: None, repeated: 0, first: 0, seen: 0, in_window: 0, failed: false }
    }

    fn byte(&mut self, byte: u8) {
        if self.last == Some(byte) {
            self.repeated = self.repeated.saturating_add(1);
        } else {
            self.last = Some(byte);
            self.repeated = 1;
        }
        if self.in_window == 0 {
            self.first = byte;
            self.seen = 0;
        }
        if byte == self.first {
            self.seen = self.seen.saturating_add(1);
        }
        self.in_window = self.in_window.saturating_add(1);
        if self.in_window == WINDOW {
            self.in_window = 0;
        }
        if self.repeated >= REPETITIONS || self.seen >= PROPORTION {
            self.failed = true;
        }
    }
}

/// Where random bytes come from that may be used for keys.
pub trait Random {
    /// Fills `into`.
    ///
    /// # Errors
    /// `into` is all zeros then; see [`EntropyError`].
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyError>;
}

impl<R: RawEntropy> Random for Drbg<R> {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyError> {
        Drbg::fill(self, into)
    }
}

/// The generator of the partition.
pub struct Drbg<R> {
    raw: Option<R>,
    health: Health,
    started: bool,
    rng: Option<ChaCha20Rng>,
    left: u32,
}

impl<R> core::fmt::Debug for Drbg<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Drbg").field("failed", &self.health.failed).finish_non_exhaustive()
    }
}

impl<R: RawEntropy> Drbg<R> {
    /// `raw` is `None` where the machine has no source: then every request says so.
    #[must_use]
    pub const fn new(raw: Option<R>) -> Self {
        Self { raw, health: Health::new(), started: false, rng: None, left: 0 }
    }

    /// Whether the machine has a source that has not failed.
    #[must_use]
    pub const fn is_offered(&self) -> bool {
        self.raw.is_some() && !self.health.failed
    }

    /// Fills `into`.
    ///
    /// # Errors
    ///
    /// `into` is all zeros then; see [`EntropyError`].
    pub fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyError> {
        into.fill(0);
        if into.len() > MAX_REQUEST {
            return Err(EntropyError::TooMuch);
        }
        let wanted = u32::try_from(into.len()).map_err(|_| EntropyError::TooMuch)?;
        if self.raw.is_none() {
            return Err(EntropyError::NoSource);
        }
        if self.health.failed {
            return Err(EntropyError::Failed);
        }
        if self.left < wanted {
            self.reseed()?;
        }
        self.left = self.left.saturating_sub(wanted);
        match &mut self.rng {
            Some(rng) => rng.fill_bytes(into),
            None => return Err(EntropyError::Failed),
        }
        Ok(())
    }

    /// New seed: raw words and what the old generator says, conditioned by SHA-256.
    fn reseed(&mut self) -> Result<(), EntropyError> {
        if !self.started {
            for _ in 0..STARTUP_WORDS {
                self.raw_word()?;
            }
            self.started = true;
        }
        let mut hash = Sha256::new();
        hash.update(b"causeway drbg seed v1");
        for _ in 0..SEED_WORDS {
            let mut bytes = self.raw_word()?.to_le_bytes();
            hash.update(bytes);
            bytes.zeroize();
        }
        if let Some(rng) = &mut self.rng {
            let mut old = [0; 32];
            rng.fill_bytes(&mut old);
            hash.update(old);
            old.zeroize();
        }
        let mut seed: [u8; 32] = hash.finalize().into();
        self.rng = Some(ChaCha20Rng::from_seed(seed));
        seed.zeroize();
        self.left = RESEED_AFTER;
        Ok(())
    }

    fn raw_word(&mut self) -> Result<u64, EntropyError> {
        let raw = self.raw.as_mut().ok_or(EntropyError::NoSource)?;
        let word = (0..TRIES).find_map(|_| raw.word()).ok_or(EntropyError::Empty)?;
        for byte in word.to_le_bytes() {
            self.health.byte(byte);
        }
        if self.health.failed {
            // What came from a source that fails now is not trusted either.
            self.rng = None;
            self.left = 0;
            return Err(EntropyError::Failed);
        }
        Ok(word)
    }
}
