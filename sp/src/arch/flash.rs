//! Owns accesses to the secure flash (the first bank of CFI flash, secure world only). Never knows a command
//! sequence, and reaches the store's sectors and the record's only: nothing else of the bank is mapped.

use core::arch::asm;
use core::ops::Range;

/// The sectors of the store, in the bank, which begins at physical address 0. The firmware lies in the
/// first 16 MiB.
pub(crate) const STORE: Range<u32> = 0x0200_0000..0x0220_0000;
/// The sector before: the record that makes the flash this device's store. Mapped read-only.
pub(crate) const RECORD: Range<u32> = 0x01fc_0000..0x0200_0000;

/// Whether an aligned word lies in what is mapped.
fn is_mapped(offset: u32) -> bool {
    offset.is_multiple_of(4) && (STORE.contains(&offset) || RECORD.contains(&offset))
}

/// Reads a word of the bank; all ones, as erased flash, where nothing is mapped.
pub(crate) fn read(offset: u32) -> u32 {
    if !is_mapped(offset) {
        return u32::MAX;
    }
    let word: u32;
    // SAFETY: the address is an aligned word of device memory that our tables map from the start to
    // the end; reading flash has no effect but the value.
    unsafe {
        asm!("ldr {0:w}, [{1}]", out(reg) word, in(reg) u64::from(offset),
            options(nostack, preserves_flags, readonly));
    }
    word
}

/// Writes a word of the store's sectors; nothing where another is named.
pub(crate) fn write(offset: u32, word: u32) {
    if !(is_mapped(offset) && STORE.contains(&offset)) {
        return;
    }
    // SAFETY: the address is an aligned word of device memory that our tables map for writing from the
    // start to the end, and no Rust object lies there. DSB: the next access comes after this one.
    unsafe {
        asm!("str {0:w}, [{1}]", "dsb sy", in(reg) word, in(reg) u64::from(offset),
            options(nostack, preserves_flags));
    }
}
