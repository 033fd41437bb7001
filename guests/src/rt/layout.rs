//! Owns where things lie in a guest's address space; never touches them. Virtual equals IPA.

use aarch64_rt::InitialPagetable;

/// First byte of RAM, where the image is loaded.
pub const RAM_START: u64 = 0x4000_0000;
/// The heap: private memory, after the image's window (image/guest.ld).
pub const HEAP_START: usize = 0x4100_0000;
/// Bytes of heap.
pub const HEAP_LEN: usize = 0x0100_0000;
/// First page that may be granted to others.
pub const PAGES_START: u64 = 0x4200_0000;
/// Bytes in a page.
pub const PAGE_LEN: u64 = 4096;

/// A block of normal write-back, inner-shareable memory at level 1 (DDI0487, D8.3).
const NORMAL: usize = 0b01 | (1 << 2) | (0b11 << 8) | (1 << 10);
/// Not executable at EL1 and EL0.
const NEVER_EXECUTE: usize = (1 << 53) | (1 << 54);

/// RAM at 1 GiB, the disk medium at 2 GiB, the window of retrieved memory at 4 GiB. Stage 2 says
/// what of it exists.
pub const PAGE_TABLE: InitialPagetable = {
    let mut table = [0; 512];
    table[1] = 0x4000_0000 | NORMAL;
    table[2] = 0x8000_0000 | NORMAL | NEVER_EXECUTE;
    table[4] = 0x1_0000_0000 | NORMAL | NEVER_EXECUTE;
    InitialPagetable(table)
};
