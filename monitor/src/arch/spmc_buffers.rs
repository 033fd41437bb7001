//! Owns the one RX/TX pair that the monitor shares with the SPMC. Never interprets a message.
//!
//! EL3 reads TX and writes RX during calls, so the pages are copied with volatile accesses and
//! are never borrowed. They lie in the image, below 4 GiB and in one 2 MiB block, as the EL3 SPMC
//! needs. Whoever uses them holds the memory lock over the whole sequence of calls.

use core::cell::UnsafeCell;

/// Bytes in each buffer.
pub(crate) const BUFFER_BYTES: usize = 4096;
const WORDS: usize = BUFFER_BYTES / 8;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; WORDS]>);

// SAFETY: the memory lock makes one core at a time the user of each page; EL3's accesses happen
// inside calls that the same core makes.
unsafe impl Sync for Page {}

static TX: Page = Page(UnsafeCell::new([0; WORDS]));
static RX: Page = Page(UnsafeCell::new([0; WORDS]));

/// Returns the physical addresses of TX and RX.
pub(crate) fn addresses() -> (u64, u64) {
    (TX.0.get() as u64, RX.0.get() as u64)
}

/// Copies a message into TX; what does not fit is left out.
pub(crate) fn write_tx(bytes: &[u8]) {
    for (index, chunk) in bytes.chunks(8).take(WORDS).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let pointer = TX.0.get().cast::<u64>().wrapping_add(index);
        // SAFETY: `index` is below WORDS, so the pointer lies in the static page and is aligned.
        unsafe { pointer.write_volatile(u64::from_le_bytes(word)) };
    }
}

/// Copies from RX.
pub(crate) fn read_rx(out: &mut [u8]) {
    for (index, chunk) in out.chunks_mut(8).take(WORDS).enumerate() {
        let pointer = RX.0.get().cast::<u64>().wrapping_add(index);
        // SAFETY: as in `write_tx`.
        let word = unsafe { pointer.read_volatile() };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}
