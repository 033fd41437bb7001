//! Owns the way from what OP-TEE hands over to the policy: a private copy of the boot information, and
//! of the manifest that it names. Never trusts a length in it.

use crate::arch::entry;
use crate::machine::log;
use causeway_memshare::Policy;

/// Bytes of boot information that matter: its header and one descriptor.
const HEAD: usize = 64;
/// The longest manifest: one page, as under the other SPMCs.
const MANIFEST_BYTES: usize = 4096;
const SIGNATURE: u32 = 0x0ffa;

/// Where a manifest lies.
struct Place {
    address: u64,
    bytes: usize,
}

/// Reads the one descriptor (DEN0077A 1.1, tables 5.8 and 5.9): type 0 is a device tree, and the
/// contents are its address.
fn place(head: &[u8; HEAD]) -> Option<Place> {
    let get32 = |at: usize| head.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    if get32(0)? != SIGNATURE || get32(16)? == 0 || get32(20)? != 32 {
        return None;
    }
    let kind = *head.get(48)?;
    let bytes = usize::try_from(get32(52)?).ok()?;
    let address = u64::from_le_bytes(*head.get(56..)?.first_chunk()?);
    (kind == 0 && bytes <= MANIFEST_BYTES).then_some(Place { address, bytes })
}

/// Returns the policy in the manifest; the one that refuses everything if there is none.
pub(crate) fn policy(boot_info: u64) -> Policy {
    let mut head = [0; HEAD];
    let mut manifest = [0; MANIFEST_BYTES];
    let found = entry::read_handed_over(boot_info, &mut head).then(|| place(&head)).flatten();
    let copied = found.and_then(|place| {
        let room = manifest.get_mut(..place.bytes)?;
        entry::read_handed_over(place.address, room).then_some(place.bytes)
    });
    let Some(bytes) = copied.and_then(|bytes| manifest.get(..bytes)) else {
        log!("no manifest: every caller is refused");
        return Policy::new();
    };
    Policy::from_manifest(bytes).unwrap_or_else(|error| {
        log!("policy: {error:?}: every caller is refused");
        Policy::new()
    })
}
