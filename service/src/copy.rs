//! Owns the counted copy between two joined areas: maps what it needs for as long as it takes, and
//! moves bytes. Never decides that it may: the broker did.

use crate::partition::Partition;
use crate::platform::{Platform, Window, log};
use causeway_abi::Permission;
use causeway_ffa::{PAGE_SIZE, PageAddr, PageRange};
use causeway_memshare::{GrantId, MapFailed};

/// Bytes that are moved at once, by way of the stack.
const PIECE: usize = 256;

/// Where bytes lie: an area, and an offset in it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) grant: GrantId,
    pub(crate) offset: u64,
}

/// A run of bytes without a gap: the pages that hold it, and where in them it begins.
struct Run {
    pages: PageRange,
    skip: u64,
}

impl Run {
    fn of(address: u64, len: u64) -> Option<Self> {
        let skip = address % PAGE_SIZE;
        let start = PageAddr::new(address.checked_sub(skip)?)?;
        let count = skip.checked_add(len)?.div_ceil(PAGE_SIZE);
        Some(Self { pages: PageRange::new(start, u32::try_from(count).ok()?)?, skip })
    }
}

impl<P: Platform> Partition<P> {
    /// Moves `len` bytes, run by run; returns how many were moved, from the front. No line of the
    /// log tells of these mappings: none outlives the call, and a VM may copy as often as it likes.
    pub(crate) fn copy(&mut self, from: Place, to: Place, len: u32) -> Result<u32, MapFailed> {
        let mut moved = 0;
        while moved < u64::from(len) {
            match self.copy_run(from, to, moved, u64::from(len) - moved) {
                Some(run) if run > 0 => moved += run,
                // What was moved counts; where nothing was, the caller hears that.
                Some(_) | None => break,
            }
        }
        if moved == 0 { Err(MapFailed) } else { u32::try_from(moved).map_err(|_| MapFailed) }
    }

    /// Moves what lies in one run on both sides.
    fn copy_run(&mut self, from: Place, to: Place, done: u64, left: u64) -> Option<u64> {
        let (at, into) = (from.offset.checked_add(done)?, to.offset.checked_add(done)?);
        let (source, len) = self.broker.translate(from.grant, at, left, Permission::ReadOnly)?;
        let (target, len) = self.broker.translate(to.grant, into, len, Permission::ReadWrite)?;
        let (source, target) = (Run::of(source, len)?, Run::of(target, len)?);
        let read = self.platform.map(source.pages, Permission::ReadOnly).ok()?;
        let copied = match self.platform.map(target.pages, Permission::ReadWrite) {
            Ok(write) => {
                let copied = copy_bytes(&read, source.skip, &write, target.skip, len);
                self.unmap_run(write).and(copied)
            }
            Err(MapFailed) => None,
        };
        self.unmap_run(read).and(copied)
    }

    fn unmap_run(&mut self, window: P::Window) -> Option<()> {
        let unmapped = self.platform.unmap(window);
        if unmapped.is_err() {
            log!(self.platform, "copy: a window could not be closed");
        }
        unmapped.ok()
    }
}

fn copy_bytes<W: Window>(from: &W, at: u64, to: &W, into: u64, len: u64) -> Option<u64> {
    let mut bytes = [0; PIECE];
    let mut done = 0;
    while done < len {
        let most = usize::try_from(len - done).map_or(PIECE, |left| left.min(PIECE));
        let piece = bytes.get_mut(..most)?;
        from.read(at.checked_add(done)?, piece).ok()?;
        to.write(into.checked_add(done)?, piece).ok()?;
        done += u64::try_from(most).ok()?;
    }
    Some(len)
}
