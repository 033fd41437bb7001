//! Owns the boot information: a private copy of it, and the policy in its manifest. Never trusts
//! a length in it.

use crate::arch::entry;
use crate::console::log;
use causeway_ffa::boot_info::BootInfo;
use causeway_memshare::Policy;

/// Bytes of the boot information: header, descriptor and manifest are one page.
const BLOB_BYTES: usize = 4096;
/// Where TF-A keeps it: its own part of secure RAM, below the image.
const BLOB_PLACES: core::ops::Range<u64> = 0x0e00_0000..0x0e10_0000;

/// A private copy of the boot information.
pub(crate) struct BootBlob {
    bytes: [u8; BLOB_BYTES],
    /// Where it was: the addresses in it are absolute.
    address: u64,
}

impl BootBlob {
    /// Copies the blob at `address` while the initial table maps it. All zero if x0 named no place
    /// where TF-A puts it.
    pub(crate) fn read(address: u64) -> Self {
        let mut bytes = [0; BLOB_BYTES];
        let last = BLOB_PLACES.end - BLOB_BYTES as u64;
        if BLOB_PLACES.contains(&address) && address <= last {
            // SAFETY: the range lies in TF-A's secure RAM, which the initial table maps; this core
            // alone runs, and EL3 does not touch the blob after it entered us.
            unsafe { entry::read_secure_ram(address as usize, &mut bytes) };
        }
        Self { bytes, address }
    }

    /// Returns the policy in the manifest; the one that refuses everything if there is none.
    pub(crate) fn policy(&self) -> Policy {
        let manifest = match BootInfo::parse(&self.bytes, self.address) {
            Ok(info) => info.manifest(),
            Err(error) => {
                log!("boot information: {error:?}");
                None
            }
        };
        let Some(manifest) = manifest else {
            log!("no manifest: every caller is refused");
            return Policy::new();
        };
        Policy::from_manifest(manifest).unwrap_or_else(|error| {
            log!("policy: {error:?}: every caller is refused");
            Policy::new()
        })
    }
}
