//! Owns the safe of a platform without a secure flash: there is no value of it, so that a build holds
//! nothing of what would need one. Never stores anything.

use super::{FlashState, Safe, SecureFlash};
use causeway_vault::flash::cfi::{Bank, Cfi};
use causeway_vault::keys::RootKey;
use core::ops::{Deref, Range};

/// A secure flash, and the way to a safe on it, that nobody has.
#[derive(Clone, Copy, Debug)]
pub enum Absent {}

impl Deref for Absent {
    type Target = Safe<Self>;

    fn deref(&self) -> &Safe<Self> {
        match *self {}
    }
}

impl SecureFlash for Absent {
    type Flash = Cfi<Self>;

    fn state(&self) -> FlashState {
        match *self {}
    }

    fn open(&mut self) -> Option<Cfi<Self>> {
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

impl Bank for Absent {
    fn read(&self, _offset: u32) -> u32 {
        match *self {}
    }

    fn write(&mut self, _offset: u32, _word: u32) {
        match *self {}
    }

    fn may_leave_array(&self) -> bool {
        match *self {}
    }
}
