//! Owns a send of which some fragments are gone and some are not; never sends one by itself.

use crate::calls::{self, Mailbox, Refused};
use alloc::vec::Vec;

/// FFA_MEM_FRAG_RX: more is to come.
const MORE: u64 = 0x8400_007a;

/// A descriptor on its way.
pub(super) struct Sending {
    function: u64,
    bytes: Vec<u8>,
    /// Bytes of each fragment but the last.
    each: usize,
    sent: usize,
    name: u64,
}

impl Sending {
    /// Nothing of it is sent yet.
    pub(super) const fn new(function: u64, bytes: Vec<u8>, each: usize) -> Self {
        Self { function, bytes, each, sent: 0, name: 0 }
    }

    /// The name under which its further fragments go.
    pub(super) const fn name(&self) -> u64 {
        self.name
    }

    /// Sends the next fragment; the handle, if it was the last.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn next(&mut self, mailbox: &Mailbox) -> Result<Option<u64>, Refused> {
        let end = self.bytes.len().min(self.sent + self.each);
        let fragment = self.bytes.get(self.sent..end).unwrap_or_default();
        mailbox.write(fragment);
        let [len, total] =
            [fragment.len(), self.bytes.len()].map(|n| u64::try_from(n).unwrap_or(0));
        let answer = if self.sent == 0 {
            calls::ffa([self.function, total, len, 0, 0, 0, 0, 0])?
        } else {
            mailbox.send_next(self.name, len)?
        };
        self.sent = end;
        if answer[0] & 0xffff_ffff == MORE {
            self.name = calls::half_sent(&answer);
            return Ok(None);
        }
        Ok(Some((answer[2] & 0xffff_ffff) | (answer[3] << 32)))
    }
}

/// Sends all that is left, and returns the handle.
pub(super) fn send_whole(mailbox: &Mailbox, mut sending: Sending) -> Result<u64, Refused> {
    loop {
        if let Some(handle) = sending.next(mailbox)? {
            return Ok(handle);
        }
    }
}
