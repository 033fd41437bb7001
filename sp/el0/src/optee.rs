//! Owns the difference between OP-TEE's messages on memory and the specified ones: our requests into
//! its form, its responses into ours. Pure; never calls, never judges what was granted.
//!
//! Source: OP-TEE 4.10, core/arch/arm/kernel/spmc_sp_handler.c (`ffa_mem_retrieve`,
//! `create_retrieve_response`), and FF-A 1.1 (DEN0077A: tables 10.20, 10.16, 10.13, 10.14).

use causeway_ffa::{MemHandle, PageAddr, PageRange};

/// Bytes of the specified request with one borrower: header and entry.
const SPECIFIED_REQUEST: usize = 48 + UNIT;
/// Bytes of OP-TEE's request: a composite and one range, all zero, behind it.
pub(crate) const REQUEST: usize = SPECIFIED_REQUEST + 2 * UNIT;
/// Bytes of a response with one borrower and one range.
pub(crate) const RESPONSE: usize = REQUEST;

const COMPOSITE: u32 = 64;
/// Bytes of an entry, of a composite without ranges, and of a range.
const UNIT: usize = 16;
/// The bit "non-secure" of the memory attributes.
const NON_SECURE: u8 = 0x40;

/// Turns a retrieve request into OP-TEE's form. `None` for one with more than our own entry: OP-TEE
/// has no transaction with two borrowers of which we are one, so there is nothing to retrieve.
pub(crate) fn request(specified: &[u8]) -> Option<[u8; REQUEST]> {
    let specified: &[u8; SPECIFIED_REQUEST] = specified.try_into().ok()?;
    let mut out = [0; REQUEST];
    let (head, _) = out.split_first_chunk_mut()?;
    *head = *specified;
    // The entry's offset of the composite: OP-TEE follows it, and reads the wished address there.
    put32(&mut out, 52, COMPOSITE)?;
    Some(out)
}

/// A response of OP-TEE, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retrieved {
    /// The response as specified: our handle, and the pages where the hypervisor says that they are.
    pub(crate) response: [u8; RESPONSE],
    /// Those pages; `None` if what the hypervisor said is no run of pages.
    pub(crate) pages: Option<PageRange>,
    /// Where OP-TEE mapped them.
    pub(crate) mapped_at: u64,
    /// Whether it mapped them writable.
    pub(crate) writable: bool,
}

/// Reads a response. OP-TEE tells a partition its own virtual address instead of the pages', so the
/// address comes from the tag: the hypervisor writes it there (`docs/spmc-facts.md`, OPTEE-PAGES), and
/// OP-TEE vouches that request and share have the same. `None`: not of the one form it ever writes.
pub(crate) fn response(raw: &[u8; RESPONSE], asked: MemHandle) -> Option<Retrieved> {
    let (mapped_at, count) = (get64(raw, 80)?, get32(raw, 88)?);
    let layout = [(24, 16), (28, 1), (32, 48), (52, COMPOSITE), (64, count), (68, 1)];
    if !layout.iter().all(|(at, value)| get32(raw, *at) == Some(*value)) {
        return None;
    }
    let bytes = u64::from(count) << 12;
    if count == 0 || mapped_at == 0 || mapped_at & 0xfff != 0 {
        return None;
    }
    mapped_at.checked_add(bytes)?;
    let tag = get64(raw, 16)?;
    let mut response = *raw;
    // Its handle is always 0, and it leaves the NS bit as the owner wrote it, although it takes no
    // other memory of the normal world than non-secure memory (`sp_mem_add_pages`).
    *response.get_mut(2)? |= NON_SECURE;
    // Stale bytes of the last message: it clears the header and the composite, and no more.
    put64(&mut response, 56, 0)?;
    put32(&mut response, 92, 0)?;
    put64(&mut response, 8, asked.get())?;
    put64(&mut response, 80, tag)?;
    let pages = PageAddr::new(tag).and_then(|start| PageRange::new(start, count));
    let writable = *raw.get(50)? & 0x2 != 0;
    Some(Retrieved { response, pages, mapped_at, writable })
}

fn get32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

fn get64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

fn put32(bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_le_bytes();
    Some(())
}

fn put64(bytes: &mut [u8], at: usize, value: u64) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_le_bytes();
    Some(())
}

#[cfg(test)]
mod tests;
