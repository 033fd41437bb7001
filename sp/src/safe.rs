//! Owns the platform's hook for the secure flash: which sectors are the store's, when the bank may leave
//! read-array mode, where the hardware-unique key comes from. Never stores anything itself.

use crate::arch::{flash, regs};
use crate::console::log;
use crate::cores;
use causeway_service::safe::{FlashState, Safe, SecureFlash};
use causeway_vault::flash::cfi::{Bank, Cfi, Operation, When};
use causeway_vault::keys::RootKey;
use causeway_vault::provision;
use core::ops::Range;
use spin::Once;
use zeroize::Zeroizing;

/// The one safe of this image. Not all zeros: built at the start, so that none of it lies in the image.
static SAFE: Once<Safe<Platform>> = Once::new();

/// The way to the safe.
pub(crate) type Handle = &'static Safe<Platform>;

/// Returns the safe.
pub(crate) fn safe() -> Option<Handle> {
    Some(SAFE.call_once(|| Safe::new(Platform)))
}

/// The first bank of QEMU's `virt` machine.
#[derive(Debug)]
pub(crate) struct Platform;

/// The way to the bank.
#[derive(Debug)]
pub(crate) struct FirstBank {
    /// The log tells of each operation.
    tells: bool,
}

impl Bank for FirstBank {
    fn read(&self, offset: u32) -> u32 {
        flash::read(offset)
    }

    fn write(&mut self, offset: u32, word: u32) {
        flash::write(offset, word);
    }

    fn may_leave_array(&self) -> bool {
        cores::all_seen()
    }

    fn tell(&mut self, operation: Operation, at: u32, when: When) {
        if self.tells {
            log!("flash {operation:?} {when:?} at={at:#x}");
        }
    }
}

/// The record by which a factory makes the flash this device's store. There are no fuses on this
/// machine: the record's sector stands in for them.
fn record() -> Zeroizing<[u8; provision::RECORD]> {
    let mut bytes = Zeroizing::new([0; provision::RECORD]);
    for (offset, word) in (flash::RECORD.start..).step_by(4).zip(bytes.as_chunks_mut::<4>().0) {
        *word = flash::read(offset).to_le_bytes();
    }
    bytes
}

/// Whether the log is to tell of each operation; `None` for a flash that nobody provisioned. Looked at
/// once: nobody writes the record while the machine is on.
fn tells() -> Option<bool> {
    static TELLS: Once<Option<bool>> = Once::new();
    *TELLS.call_once(|| provision::read(&record()).map(|found| found.tells))
}

impl SecureFlash for Platform {
    type Flash = Cfi<FirstBank>;

    fn state(&self) -> FlashState {
        // A flash that nobody provisioned is the one of `-bios`, or a new one: nothing would last.
        if tells().is_none() {
            FlashState::NotThere
        } else if cores::all_seen() {
            FlashState::Ready
        } else {
            FlashState::CoresNotSeen
        }
    }

    fn open(&mut self) -> Option<Self::Flash> {
        let tells = tells()?;
        let mut flash = Cfi::new(FirstBank { tells }, flash::STORE).ok()?;
        flash.identify().ok()?;
        Some(flash)
    }

    fn store_range(&self) -> Range<u32> {
        flash::STORE
    }

    fn root_key(&self) -> Option<RootKey> {
        provision::read(&record()).map(|provision| provision.root_key)
    }

    fn time(&self) -> (u64, u64) {
        (regs::now(), regs::counter_frequency())
    }
}
