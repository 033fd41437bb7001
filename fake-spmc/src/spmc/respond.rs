//! Owns the bytes of retrieve responses: each SPMC's own, and the lies. Never moves memory.

use super::raw::{RawHead, header_len, le};
use super::send::kind_flag;
use super::store::Sent;
use crate::personality::{Lie, Lies};
use causeway_ffa::EndpointId;

/// NS bit of the attributes.
const NS: u16 = 1 << 6;
/// Normal, write-back, inner shareable.
const NORMAL: u16 = 0x2f;
/// "Not executable" in the access field.
const NOT_EXECUTABLE: u8 = 1 << 2;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end)) {
        room.copy_from_slice(value);
    }
}

/// The stored descriptor with handle and kind, and the NS bit. Source: TF-A 2.12.1,
/// `spmc_ffa_mem_retrieve_req`.
pub(super) fn as_sent(sent: &Sent) -> Vec<u8> {
    let mut bytes = sent.bytes.clone();
    let attributes = sent.head().map_or(0, |head| head.attributes) | NS;
    put(&mut bytes, 2, &attributes.to_le_bytes());
    put(&mut bytes, 4, &kind_flag(sent.kind).to_le_bytes());
    put(&mut bytes, 8, &sent.handle.get().to_le_bytes());
    bytes
}

/// Source: Hafnium of August 2026, `ffa_partition_retrieve_response_init`: one receiver, and no tag (run).
pub(super) fn own_entry(sent: &Sent, request: &RawHead, who: EndpointId) -> Option<Vec<u8>> {
    let head = sent.head()?;
    let composite = sent.composite()?;
    let header = header_len(sent.version);
    let at = header + 16;
    let mut bytes = vec![0; at + 16 + 16 * composite.ranges.len()];
    // Where the sender left the type open, the response names it.
    let attributes = if head.attributes == 0 { NORMAL } else { head.attributes };
    let head = RawHead { tag: 0, ..head };
    header_fields(&mut bytes, &head, attributes | NS, kind_flag(sent.kind), sent.handle.get());
    put(&mut bytes, 28, &1u32.to_le_bytes());
    if sent.version.minor() != 0 {
        put(&mut bytes, 24, &16u32.to_le_bytes());
        put(&mut bytes, 32, &u32::try_from(header).ok()?.to_le_bytes());
    }
    let asked = request.receivers.iter().find(|receiver| receiver.id == who)?;
    let granted = head.receivers.iter().find(|receiver| receiver.id == who)?;
    // Neither asked for nor sent (a donation): to be written.
    let data = match (asked.access & 3, granted.access & 3) {
        (0, 0) => 2,
        (0, granted) => granted,
        (asked, _) => asked,
    };
    put(&mut bytes, header, &who.get().to_le_bytes());
    put(&mut bytes, header + 2, &[data | NOT_EXECUTABLE]);
    put(&mut bytes, header + 4, &u32::try_from(at).ok()?.to_le_bytes());
    write_composite(&mut bytes, at, composite.total_pages, &composite.ranges)?;
    Some(bytes)
}

/// Source: OP-TEE 4.10, `create_retrieve_response`: one receiver, handle 0, always "share".
pub(super) fn optee(sent: &Sent, who: EndpointId) -> Option<Vec<u8>> {
    let head = sent.head()?;
    let composite = sent.composite()?;
    let own = head.receivers.iter().find(|receiver| receiver.id == who)?;
    let header = header_len(sent.version);
    let at = header + 16;
    let mut bytes = vec![0; at + 16 + 16 * composite.ranges.len()];
    let share = kind_flag(causeway_ffa::Transfer::Share);
    header_fields(&mut bytes, &head, head.attributes | NS, share, 0);
    put(&mut bytes, 28, &1u32.to_le_bytes());
    if sent.version.minor() != 0 {
        put(&mut bytes, 24, &16u32.to_le_bytes());
        put(&mut bytes, 32, &u32::try_from(header).ok()?.to_le_bytes());
    }
    put(&mut bytes, header, &who.get().to_le_bytes());
    put(&mut bytes, header + 2, &[own.access]);
    put(&mut bytes, header + 4, &u32::try_from(at).ok()?.to_le_bytes());
    write_composite(&mut bytes, at, composite.total_pages, &composite.ranges)?;
    Some(bytes)
}

fn header_fields(bytes: &mut [u8], head: &RawHead, attributes: u16, flags: u32, handle: u64) {
    put(bytes, 0, &head.sender.get().to_le_bytes());
    put(bytes, 2, &attributes.to_le_bytes());
    put(bytes, 4, &flags.to_le_bytes());
    put(bytes, 8, &handle.to_le_bytes());
    put(bytes, 16, &head.tag.to_le_bytes());
}

fn write_composite(bytes: &mut [u8], at: usize, total: u32, ranges: &[(u64, u32)]) -> Option<()> {
    put(bytes, at, &total.to_le_bytes());
    put(bytes, at + 4, &u32::try_from(ranges.len()).ok()?.to_le_bytes());
    for (index, (start, pages)) in ranges.iter().enumerate() {
        put(bytes, at + 16 + 16 * index, &start.to_le_bytes());
        put(bytes, at + 24 + 16 * index, &pages.to_le_bytes());
    }
    Some(())
}

/// Total and first length of a response of `len` bytes in a buffer of `room`, or a lie.
pub(super) fn announced(len: usize, room: usize, lies: Lies) -> (u32, u32) {
    let word = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let first = len.min(room);
    if lies.has(Lie::HugeTotal) {
        return (u32::MAX, word(first));
    }
    if lies.has(Lie::LongTotal) || lies.has(Lie::EndlessFragments) {
        return (word(len + 160), word(first));
    }
    if lies.has(Lie::LongFragment) {
        return (word(room + 16), word(room + 16));
    }
    if lies.has(Lie::FragmentHandle) || lies.has(Lie::NoFragment) {
        return (word(len), word(first.min(64)));
    }
    (word(len), word(first))
}

/// Where things are in a whole response of FF-A 1.1.
struct Places {
    receivers: Vec<usize>,
    composite: usize,
}

fn places(bytes: &[u8]) -> Option<Places> {
    let head = RawHead::read(bytes, causeway_ffa::Version::V1_1)?;
    let composite = usize::try_from(head.receivers.first()?.composite).ok()?;
    Some(Places {
        receivers: head.receivers.iter().map(|receiver| receiver.at).collect(),
        composite,
    })
}

/// Changes a true response into what a hostile SPMC says.
pub(super) fn lie(bytes: &mut Vec<u8>, lies: Lies) {
    if lies == Lies::NONE {
        return;
    }
    let has = |lie| lies.has(lie);
    if let Some(places) = places(bytes) {
        lie_about_ranges(bytes, places.composite, lies);
        for at in places.receivers {
            if has(Lie::Permission) {
                put(bytes, at + 2, &[2 | NOT_EXECUTABLE]);
            }
            if has(Lie::Executable) {
                put(bytes, at + 2, &[2 | 2 << 2]);
            }
            if has(Lie::Receiver) {
                put(bytes, at, &0x7abcu16.to_le_bytes());
            }
        }
    }
    let fields: [(Lie, usize, &[u8]); 8] = [
        (Lie::Handle, 8, &[0x77]),
        (Lie::Tag, 16, &[0xa5, 0xa5]),
        (Lie::Sender, 0, &[0x3f, 0x00]),
        (Lie::SecureMemory, 2, &[0x2f]),
        (Lie::DeviceMemory, 2, &[0x54]),
        (Lie::Kind, 4, &[3 << 3]),
        (Lie::ReceiverOffset, 32, &[0xf0, 0xff, 0xff, 0xff]),
        (Lie::Ones, 0, &[0xff; 80]),
    ];
    for (_, at, value) in fields.into_iter().filter(|(lie, ..)| has(*lie)) {
        put(bytes, at, value);
    }
    if has(Lie::Truncated) {
        bytes.truncate(48);
    }
}

/// Secure RAM: the partition's own image on QEMU.
const SECURE: u64 = 0x0e10_0000;

fn lie_about_ranges(bytes: &mut Vec<u8>, at: usize, lies: Lies) {
    let first = at + 16;
    if lies.has(Lie::SecureRange) {
        put(bytes, first, &SECURE.to_le_bytes());
    }
    if lies.has(Lie::UnalignedRange) {
        put(bytes, first, &0x8000_0010u64.to_le_bytes());
    }
    if lies.has(Lie::EndlessRange) {
        put(bytes, first + 8, &u32::MAX.to_le_bytes());
        put(bytes, at, &u32::MAX.to_le_bytes());
    }
    let word = |bytes: &[u8], at| le::<4>(bytes, at).and_then(|word| u32::try_from(word).ok());
    if let Some(total) = word(bytes, at).filter(|_| lies.has(Lie::PageTotal)) {
        put(bytes, at, &total.wrapping_add(1).to_le_bytes());
    }
    if let Some(count) = word(bytes, at + 4).filter(|_| lies.has(Lie::RangeCount)) {
        put(bytes, at + 4, &count.wrapping_add(1).to_le_bytes());
    }
    if lies.has(Lie::SameRangeTwice) {
        let again = bytes.get(first..first + 16).map(<[u8]>::to_vec).unwrap_or_default();
        let pages = word(bytes, first + 8).unwrap_or(0);
        bytes.extend(again);
        let total = word(bytes, at).unwrap_or(0).wrapping_add(pages);
        let count = word(bytes, at + 4).unwrap_or(0).wrapping_add(1);
        put(bytes, at, &total.to_le_bytes());
        put(bytes, at + 4, &count.to_le_bytes());
    }
}
