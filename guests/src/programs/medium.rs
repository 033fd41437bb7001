//! Owns the way to the disk image in VM 2's RAM; never knows what is done with it.

use crate::rt::Boot;
use core::ptr;
use core::slice;

/// The disk image that the monitor mapped into this VM and into no other; with `flip=image` on the
/// command line its first bit is wrong, as a sabotage. Call it once.
pub(super) fn medium(boot: &Boot) -> &'static mut [u8] {
    let number = |key| boot.line.number(key).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let (address, length) = (number("medium"), number("medium_bytes"));
    if address == 0 || length == 0 {
        return &mut [];
    }
    // SAFETY: the monitor says on the command line that these bytes are this VM's medium; it maps
    // them into no other VM, so nobody else writes them. The first page table maps them as normal
    // memory, no other object lies there, and this function is called once.
    let medium: &mut [u8] =
        unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(address), length) };
    if boot.line.get("flip") == Some("image")
        && let Some(byte) = medium.first_mut()
    {
        *byte ^= 1;
    }
    medium
}
