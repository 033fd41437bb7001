//! Owns one RX/TX buffer pair and who holds RX. Never looks at what is in them.

use super::{Outcome, success};
use crate::ram::Ram;
use causeway_ffa::{FfaError, PageAddr};

/// A buffer pair, registered or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Mailbox {
    pair: Option<(u64, u64, usize)>,
    /// The reader holds RX.
    is_full: bool,
}

impl Mailbox {
    pub(super) fn map(&mut self, tx: PageAddr, rx: PageAddr, pages: u32) -> Outcome {
        if self.pair.is_some() {
            return Err(FfaError::Denied);
        }
        let bytes = usize::try_from(pages).map_err(|_| FfaError::InvalidParameters)? * 4096;
        self.pair = Some((tx.get(), rx.get(), bytes));
        Ok(success())
    }

    pub(super) fn unmap(&mut self) -> Outcome {
        self.is_full = false;
        self.pair.take().map(|_| success()).ok_or(FfaError::InvalidParameters)
    }

    pub(super) fn release(&mut self) -> Outcome {
        if core::mem::take(&mut self.is_full) { Ok(success()) } else { Err(FfaError::Denied) }
    }

    /// Bytes of each buffer; `None` while none is registered.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.pair.map(|(_, _, bytes)| bytes)
    }

    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Copies the first bytes of TX.
    pub(super) fn read_tx(&self, ram: &Ram, len: usize) -> Result<Vec<u8>, FfaError> {
        let (tx, _, bytes) = self.pair.ok_or(FfaError::InvalidParameters)?;
        if len > bytes {
            return Err(FfaError::InvalidParameters);
        }
        let mut copy = vec![0; len];
        ram.read(tx, &mut copy).ok_or(FfaError::InvalidParameters)?;
        Ok(copy)
    }

    /// Fills RX from its start, and gives it to the reader. `bytes` are cut at its end.
    pub(super) fn fill_rx(&mut self, ram: &Ram, bytes: &[u8]) -> Result<(), FfaError> {
        let (_, rx, room) = self.pair.ok_or(FfaError::InvalidParameters)?;
        let part = bytes.get(..bytes.len().min(room)).unwrap_or(bytes);
        ram.write(rx, part).ok_or(FfaError::InvalidParameters)?;
        self.is_full = true;
        Ok(())
    }
}
