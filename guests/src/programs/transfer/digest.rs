//! Owns the digest over what lies in shared memory: each byte is loaded once, 64 at a time, into
//! the block that SHA-256 works on. Never makes a private copy of a request and never a reference.

use super::payload::Payload;
use causeway_client::memory::OutOfWindow;
use sha2::{Digest as _, Sha256};

/// Bytes in one block of SHA-256.
const BLOCK: usize = 64;

/// A running SHA-256.
pub(super) struct Digest(Sha256);

impl Digest {
    /// Of nothing.
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds the first `len_bytes` bytes, a multiple of 64, of a payload.
    ///
    /// # Errors
    /// [`OutOfWindow`].
    pub(super) fn add(&mut self, payload: &Payload, len_bytes: usize) -> Result<(), OutOfWindow> {
        let mut block = [0; BLOCK];
        for at in (0_u64..).step_by(BLOCK).take(len_bytes / BLOCK) {
            payload.read(at, &mut block)?;
            self.0.update(block);
        }
        Ok(())
    }

    /// Returns the digest.
    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
