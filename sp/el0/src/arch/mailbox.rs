//! Owns the TX and RX pages that OP-TEE shares with us; gives out and takes copies only, never a
//! reference.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes in each buffer.
pub(crate) const MAILBOX_BYTES: usize = 4096;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; MAILBOX_BYTES]>);

// SAFETY: reached only through raw volatile accesses below, by the holder of a `Mailbox`.
unsafe impl Sync for Page {}

static TX: Page = Page(UnsafeCell::new([0; MAILBOX_BYTES]));
static RX: Page = Page(UnsafeCell::new([0; MAILBOX_BYTES]));
static CLAIMED: AtomicBool = AtomicBool::new(false);

/// The right to use the two pages. There is one.
#[derive(Debug)]
pub(crate) struct Mailbox {
    _private: (),
}

impl Mailbox {
    /// Gives out the right; `None` if it was given out before.
    pub(crate) fn claim() -> Option<Self> {
        (!CLAIMED.swap(true, Ordering::AcqRel)).then_some(Self { _private: () })
    }

    /// Returns the address of TX, then of RX, for FFA_RXTX_MAP.
    pub(crate) fn addresses(&self) -> (u64, u64) {
        (TX.0.get() as u64, RX.0.get() as u64)
    }

    /// Writes a message for the SPMC; false if it does not fit, and then nothing is written.
    pub(crate) fn write_tx(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > MAILBOX_BYTES {
            return false;
        }
        for (index, byte) in bytes.iter().enumerate() {
            let target = TX.0.get().cast::<u8>().wrapping_add(index);
            // SAFETY: `index` is below the page's size; the page is static and mapped read-write, no
            // reference to it exists, and OP-TEE reads it only during an SVC.
            unsafe { target.write_volatile(*byte) };
        }
        true
    }

    /// Copies the first bytes of RX; false if `out` is longer than the page.
    pub(crate) fn read_rx(&self, out: &mut [u8]) -> bool {
        if out.len() > MAILBOX_BYTES {
            return false;
        }
        for (index, byte) in out.iter_mut().enumerate() {
            let source = RX.0.get().cast::<u8>().wrapping_add(index);
            // SAFETY: as in `write_tx`; OP-TEE writes RX only during an SVC.
            *byte = unsafe { source.read_volatile() };
        }
        true
    }
}
