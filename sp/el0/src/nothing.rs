//! Owns the types of what S-EL0 has none of: the secure flash. There is no value of them.

use causeway_service::safe::{FlashState, SecureFlash};
use causeway_vault::flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use causeway_vault::keys::RootKey;
use core::ops::Range;

/// No flash, and no way to one.
#[derive(Debug)]
pub(crate) enum NoFlash {}

/// What cannot happen.
#[derive(Debug)]
pub(crate) enum Never {}

impl NorFlashError for Never {
    fn kind(&self) -> NorFlashErrorKind {
        match *self {}
    }
}

impl ErrorType for NoFlash {
    type Error = Never;
}

impl ReadNorFlash for NoFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, _offset: u32, _bytes: &mut [u8]) -> Result<(), Never> {
        match *self {}
    }

    fn capacity(&self) -> usize {
        match *self {}
    }
}

impl NorFlash for NoFlash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 1;

    async fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Never> {
        match *self {}
    }

    async fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Never> {
        match *self {}
    }
}

impl SecureFlash for NoFlash {
    type Flash = Self;

    fn state(&self) -> FlashState {
        match *self {}
    }

    fn open(&mut self) -> Option<Self> {
        match *self {}
    }

    fn store_range(&self) -> Range<u32> {
        match *self {}
    }

    fn root_key(&self) -> Option<RootKey> {
        match *self {}
    }

    fn time(&self) -> (u64, u64) {
        match *self {}
    }
}
