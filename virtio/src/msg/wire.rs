//! Owns little-endian cursors over a message; never knows what a field means.

use super::{Encoded, HEADER_BYTES, MAX_MESSAGE_BYTES, MsgError};

/// Takes fields off the front of a payload.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns how many bytes are left.
    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], MsgError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(MsgError::Length)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], MsgError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(MsgError::Length)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, MsgError> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, MsgError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, MsgError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, MsgError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Checks that every byte was taken.
    pub(crate) const fn finish(&self) -> Result<(), MsgError> {
        if self.rest.is_empty() { Ok(()) } else { Err(MsgError::Length) }
    }
}

/// Puts fields one after another; the size field of the header is filled in at the end.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: [u8; MAX_MESSAGE_BYTES],
    len: usize,
}

impl Writer {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; MAX_MESSAGE_BYTES], len: 0 }
    }

    /// Appends bytes. The types of the messages bound them, so nothing is ever cut off (tested
    /// with the longest of each).
    pub(crate) fn bytes(&mut self, from: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(from.len());
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(from);
            self.len = end;
        }
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Returns the first bytes as they are, for messages with another header.
    pub(crate) fn first_chunk<const N: usize>(&self) -> [u8; N] {
        self.bytes.first_chunk().copied().unwrap_or([0; N])
    }

    pub(crate) fn finish(mut self) -> Encoded {
        let len = u16::try_from(self.len).unwrap_or(0);
        if let Some(size) = self.bytes.get_mut(HEADER_BYTES.saturating_sub(2)..HEADER_BYTES) {
            size.copy_from_slice(&len.to_le_bytes());
        }
        Encoded::new(self.bytes, len)
    }
}
