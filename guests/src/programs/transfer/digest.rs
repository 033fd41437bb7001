//! Owns the digest over what lies in shared memory: each byte is loaded once, 64 at a time, into
//! the block that SHA-256 works on. Never makes a private copy of a request and never a reference.

use super::payload::Payload;
use causeway_client::memory::OutOfWindow;
use sha2::{Digest as _, Sha256};

/// A running SHA-256.
pub(super) struct Digest(Sha256);

impl Digest {
    /// Of nothing.
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds the first `len_bytes` bytes of a payload.
    ///
    /// # Errors
    /// [`OutOfWindow`].
    pub(super) fn add(&mut self, payload: &Payload, len_bytes: usize) -> Result<(), OutOfWindow> {
        payload.visit(len_bytes, |block| self.0.update(block))
    }

    /// Adds bytes of this VM's own.
    pub(super) fn add_private(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest.
    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
