//! Owns the boot information: a private copy of it, from where the firmware left it. Never trusts
//! a length in it.

use crate::arch::entry;
use crate::console::Console;
use crate::console::log;
use causeway_memshare::Policy;
use causeway_service::boot;

/// Bytes of the boot information with the manifest: TF-A's SPMC has a page for it.
#[cfg(not(feature = "hafnium"))]
const BLOB_BYTES: usize = boot::BLOB_BYTES;
/// With Hafnium it is all that lies before the image in the partition's package.
#[cfg(feature = "hafnium")]
const BLOB_BYTES: usize = 4 * boot::BLOB_BYTES;

/// A private copy of the boot information.
pub(crate) struct BootBlob {
    bytes: [u8; BLOB_BYTES],
    /// Where it was: the addresses in it are absolute.
    address: u64,
}

impl BootBlob {
    /// Copies the blob at `address` while the initial table maps it. All zero if x0 named no place
    /// where the firmware puts it.
    pub(crate) fn read(address: u64) -> Self {
        let mut bytes = [0; BLOB_BYTES];
        let place = usize::try_from(address).unwrap_or(usize::MAX);
        if !entry::read_firmware_ram(place, &mut bytes) {
            log!("boot information: not where the firmware leaves it: {address:#x}");
        }
        Self { bytes, address }
    }

    /// Returns the policy in the manifest; the one that refuses everything if there is none.
    pub(crate) fn policy(&self) -> Policy {
        boot::policy(&self.bytes, self.address, &Console)
    }
}
