//! Owns the way from the boot information to the policy in its manifest. Never trusts a length in
//! it, and never keeps it.

use crate::platform::{Log, log};
use causeway_ffa::boot_info::BootInfo;
use causeway_memshare::Policy;

/// Bytes of the boot information: header, descriptor and manifest are one page.
pub const BLOB_BYTES: usize = 4096;

/// Returns the policy in the manifest of a private copy of the boot information; the one that
/// refuses everything if there is none. `address` is where the original was: the addresses in it
/// are absolute.
#[must_use]
pub fn policy(blob: &[u8], address: u64, console: &impl Log) -> Policy {
    let manifest = match BootInfo::parse(blob, address) {
        Ok(info) => info.manifest(),
        Err(error) => {
            log!(*console, "boot information: {error:?}");
            None
        }
    };
    let Some(manifest) = manifest else {
        log!(*console, "no manifest: every caller is refused");
        return Policy::new();
    };
    Policy::from_manifest(manifest).unwrap_or_else(|error| {
        log!(*console, "policy: {error:?}: every caller is refused");
        Policy::new()
    })
}
