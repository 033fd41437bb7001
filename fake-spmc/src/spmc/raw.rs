//! Owns a reading of descriptors that is as lax as the laxest SPMC: bytes in, fields out, whatever
//! they say. Never judges one: the checks of each SPMC are in `send` and `retrieve`.

use causeway_ffa::{EndpointId, PageAddr, PageRange, Version};

/// One receiver as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawReceiver {
    pub(super) id: EndpointId,
    pub(super) access: u8,
    pub(super) composite: u32,
    /// Where it begins.
    pub(super) at: usize,
}

/// The header and the receivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawHead {
    pub(super) sender: EndpointId,
    pub(super) attributes: u16,
    pub(super) flags: u32,
    pub(super) handle: u64,
    pub(super) tag: u64,
    pub(super) stride: usize,
    pub(super) first_receiver: usize,
    pub(super) receivers: Vec<RawReceiver>,
}

/// The composite: page total and ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawComposite {
    pub(super) total_pages: u32,
    pub(super) range_count: u32,
    pub(super) ranges: Vec<(u64, u32)>,
}

/// Reads a little-endian number of `N` bytes.
pub(super) fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(N)?)?;
    Some(part.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    u32::try_from(le::<4>(bytes, at)?).ok()
}

/// Bytes of the header.
pub(super) const fn header_len(version: Version) -> usize {
    if version.minor() == 0 { 32 } else { 48 }
}

impl RawHead {
    /// Reads what lies inside `bytes`. `None` if a field, or a receiver, does not. More than 64
    /// receivers are too many to be meant.
    pub(super) fn read(bytes: &[u8], version: Version) -> Option<Self> {
        let is_short = version.minor() == 0;
        let count = le32(bytes, 28)?;
        let (count, stride, first) = if is_short {
            (count, 16, 32)
        } else {
            let size = le32(bytes, 24)?;
            (count, usize::try_from(size).ok()?, usize::try_from(le32(bytes, 32)?).ok()?)
        };
        if count > 64 {
            return None;
        }
        let receiver = |index: u32| {
            let at = first.checked_add(stride.checked_mul(usize::try_from(index).ok()?)?)?;
            bytes.get(at..at.checked_add(16)?)?;
            Some(RawReceiver {
                id: EndpointId::from_raw(u16::try_from(le::<2>(bytes, at)?).ok()?),
                access: u8::try_from(le::<1>(bytes, at + 2)?).ok()?,
                composite: le32(bytes, at + 4)?,
                at,
            })
        };
        Some(Self {
            sender: EndpointId::from_raw(u16::try_from(le::<2>(bytes, 0)?).ok()?),
            attributes: u16::try_from(le::<2>(bytes, 2)?).ok()?,
            flags: le32(bytes, 4)?,
            handle: le::<8>(bytes, 8)?,
            tag: le::<8>(bytes, 16)?,
            stride,
            first_receiver: first,
            receivers: (0..count).map(receiver).collect::<Option<_>>()?,
        })
    }

    /// Reports whether `id` is among the receivers.
    pub(super) fn lists(&self, id: EndpointId) -> bool {
        self.receivers.iter().any(|receiver| receiver.id == id)
    }
}

impl RawComposite {
    /// Reads the composite at `at`, and all ranges up to the end of `bytes`.
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let (total_pages, range_count) = (le32(bytes, at)?, le32(bytes, at.checked_add(4)?)?);
        let ranges = bytes.get(at.checked_add(16)?..)?.chunks_exact(16);
        let range = |one: &[u8]| Some((le::<8>(one, 0)?, le32(one, 8)?));
        Some(Self { total_pages, range_count, ranges: ranges.map(range).collect::<Option<_>>()? })
    }

    /// Those ranges that are runs of pages at all.
    pub(super) fn page_ranges(&self) -> Vec<PageRange> {
        let page = |(start, pages): &(u64, u32)| PageRange::new(PageAddr::new(*start)?, *pages);
        self.ranges.iter().filter_map(page).collect()
    }
}
