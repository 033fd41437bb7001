//! Owns plain and expected-to-fault accesses to memory that others may change; never makes a
//! reference to it.

use core::arch::asm;

/// What a register holds that a skipped load did not write.
const UNTOUCHED: u64 = 0x0bad_c0de_5ca1_ab1e;

/// Reads a byte.
#[must_use]
pub fn read_u8(address: u64) -> u8 {
    let value: u32;
    // SAFETY: a load has no effect on Rust's objects; an address that is not mapped ends in an
    // exception, never in a wrong value.
    unsafe {
        asm!("ldrb {v:w}, [{a}]", a = in(reg) address, v = out(reg) value, options(nostack, readonly));
    };
    value.to_le_bytes()[0]
}

/// Reads two bytes at an aligned address.
#[must_use]
pub fn read_u16(address: u64) -> u16 {
    let value: u32;
    // SAFETY: as for `read_u8`.
    unsafe {
        asm!("ldrh {v:w}, [{a}]", a = in(reg) address, v = out(reg) value, options(nostack, readonly));
    };
    let [low, high, ..] = value.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Reads eight bytes at an aligned address.
#[must_use]
pub fn read_u64(address: u64) -> u64 {
    let value: u64;
    // SAFETY: as for `read_u8`.
    unsafe {
        asm!("ldr {v}, [{a}]", a = in(reg) address, v = out(reg) value, options(nostack, readonly));
    };
    value
}

/// Writes eight bytes at an aligned address of [`super::pages`] or of the window of retrieved memory.
///
/// # Panics
/// If the address is neither: everything else may hold objects of ours.
pub fn write_u64(address: u64, value: u64) {
    assert!(is_shareable(address), "write outside the shareable pages: {address:#x}");
    // SAFETY: the address lies in pages of which this program holds no reference and no object.
    unsafe { asm!("str {v}, [{a}]", a = in(reg) address, v = in(reg) value, options(nostack)) };
}

/// Writes a byte; same limits as [`write_u64`].
///
/// # Panics
/// As [`write_u64`].
pub fn write_u8(address: u64, value: u8) {
    assert!(is_shareable(address), "write outside the shareable pages: {address:#x}");
    let value = u32::from(value);
    // SAFETY: as for `write_u64`.
    unsafe { asm!("strb {v:w}, [{a}]", a = in(reg) address, v = in(reg) value, options(nostack)) };
}

/// Writes two bytes at an aligned address; same limits as [`write_u64`].
///
/// # Panics
/// As [`write_u64`].
pub fn write_u16(address: u64, value: u16) {
    assert!(is_shareable(address), "write outside the shareable pages: {address:#x}");
    let value = u32::from(value);
    // SAFETY: as for `write_u64`.
    unsafe { asm!("strh {v:w}, [{a}]", a = in(reg) address, v = in(reg) value, options(nostack)) };
}

fn is_shareable(address: u64) -> bool {
    (super::pages::start()..super::pages::end()).contains(&address)
        || (0x8000_0000..0xc000_0000).contains(&address)
        || (0x1_0000_0000..0x1_4000_0000).contains(&address)
}

/// Tries to read; `None` if the monitor skipped the load because stage 2 does not map the address.
/// FAULT_SKIP must have been set. Not for memory that holds the sentinel on purpose.
#[must_use]
pub fn try_read(address: u64) -> Option<u64> {
    let value: u64;
    // SAFETY: as for `read_u64`; the register holds the sentinel if the load was skipped.
    unsafe {
        asm!("ldr {v}, [{a}]", a = in(reg) address, v = inlateout(reg) UNTOUCHED => value, options(nostack));
    };
    (value != UNTOUCHED).then_some(value)
}
