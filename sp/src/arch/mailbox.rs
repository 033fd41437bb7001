//! Owns the RX and TX pages that the SPMC shares with us; gives out and takes copies only, never
//! a reference. Who may use them is decided by the partition's one lock.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use zerocopy::FromBytes;

/// What is copied at once: a pair of registers.
type Word = u128;
const WORD: usize = size_of::<Word>();

/// Bytes in each buffer.
pub(crate) const MAILBOX_BYTES: usize = 4096;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; MAILBOX_BYTES]>);

// SAFETY: reached only through raw volatile accesses below, by the holder of a `Mailbox`.
unsafe impl Sync for Page {}

static TX: Page = Page(UnsafeCell::new([0; MAILBOX_BYTES]));
static CLAIMED: AtomicBool = AtomicBool::new(false);
static RX: Page = Page(UnsafeCell::new([0; MAILBOX_BYTES]));

/// The right to use the two pages. There is one, in the partition's state under its lock.
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
        let tx = TX.0.get();
        // By words where the message is aligned, which our buffers are: most of it, most of the time.
        let whole = bytes.len() / WORD * WORD;
        let (head, _) = bytes.split_at(whole);
        let done = <[Word]>::ref_from_bytes(head).map_or(0, |words| {
            in_words(words.len(), |index| {
                let Some(word) = words.get(index) else { return };
                let target = tx.cast::<Word>().wrapping_add(index);
                // SAFETY: word `index` lies below `head.len()`, so inside the page, which is
                // aligned, static and mapped read-write; no reference to it exists. EL3 reads it
                // only during an SMC, which this core is not in.
                unsafe { target.write_volatile(*word) };
            });
            whole
        });
        let (_, rest) = bytes.split_at(done);
        for (index, byte) in rest.iter().enumerate() {
            let target = tx.cast::<u8>().wrapping_add(done + index);
            // SAFETY: as above, with `done + index` below `bytes.len()`.
            unsafe { target.write_volatile(*byte) };
        }
        true
    }

    /// Copies the first bytes of RX; false if `out` is longer than the page.
    #[inline(always)]
    pub(crate) fn read_rx(&self, out: &mut [u8]) -> bool {
        if out.len() > MAILBOX_BYTES {
            return false;
        }
        let rx = RX.0.get();
        let whole = out.len() / WORD * WORD;
        let (head, _) = out.split_at_mut(whole);
        let done = <[Word]>::mut_from_bytes(head).map_or(0, |words| {
            in_words(words.len(), |index| {
                let Some(word) = words.get_mut(index) else { return };
                let source = rx.cast::<Word>().wrapping_add(index);
                // SAFETY: as in `write_tx`; EL3 writes RX only during an SMC.
                *word = unsafe { source.read_volatile() };
            });
            whole
        });
        let (_, rest) = out.split_at_mut(done);
        for (index, byte) in rest.iter_mut().enumerate() {
            let source = rx.cast::<u8>().wrapping_add(done + index);
            // SAFETY: as in `write_tx`, with `done + index` below `out.len()`.
            *byte = unsafe { source.read_volatile() };
        }
        true
    }
}

/// Copies `count` words, one after the other. What nearly every grant sends and gets, requests of 4 or 5
/// words and responses of 6 or 7, goes without a loop.
#[inline(always)]
fn in_words(count: usize, mut copy: impl FnMut(usize)) {
    match count {
        4 => (0..4).for_each(copy),
        5 => (0..5).for_each(copy),
        6 => (0..6).for_each(copy),
        7 => (0..7).for_each(copy),
        _ => {
            for index in 0..count {
                copy(index);
            }
        }
    }
}
