//! Owns how the ledger is dumped, page by page: the head's line, a line for each ring, then the
//! entries, ring by ring. Never chains and never changes anything.

use super::chain::{FORMAT, UNIT, Writer, body};
use super::{Class, Cut, Ledger, Ring};
use causeway_abi::{LedgerScope, Status};
use causeway_ffa::EndpointId;

/// The most bytes of one page.
pub const PAGE_BYTES: usize = 4096;
/// Units of one page.
const UNITS: usize = PAGE_BYTES / UNIT;

/// A page of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    bytes: [u8; PAGE_BYTES],
    units: usize,
    /// Where the next page begins; 0: this was the last.
    pub next_cursor: u64,
}

impl Page {
    /// What to write into the reader's area.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.units.saturating_mul(UNIT)).unwrap_or(&[])
    }

    fn push(&mut self, unit: &[u8; UNIT]) -> bool {
        let from = self.units.saturating_mul(UNIT);
        let place = self.bytes.get_mut(from..from.saturating_add(UNIT));
        let Some(place) = place.filter(|_| self.units < UNITS) else { return false };
        place.copy_from_slice(unit);
        self.units = self.units.saturating_add(1);
        true
    }
}

/// A cursor: which ring of the scope (from 1), and its entry.
const RING_SHIFT: u32 = 48;

impl<const ROOM: usize> Ledger<ROOM> {
    /// Writes the page at `cursor`, 0 to begin, of the dump that the last [`Ledger::head`] of this
    /// scope fixed.
    ///
    /// # Errors
    /// [`Status::WrongState`] if no head was fixed; [`Status::BadArgument`] for a cursor that no
    /// page returned; [`Status::Busy`] if entries were pushed out in between: begin anew with the
    /// head.
    pub fn page(&self, vm: EndpointId, scope: LedgerScope, cursor: u64) -> Result<Page, Status> {
        let head = self.kept_head(vm, scope);
        if head.digest == [0; 32] {
            return Err(Status::WrongState);
        }
        let rooms = self.rooms_of(vm, scope);
        let mut page = Page { bytes: [0; PAGE_BYTES], units: 0, next_cursor: 0 };
        if cursor == 0 {
            // The lines are those of the head only while nothing was added.
            let lines = self.lines(rooms.clone());
            let now = super::chain::head_digest(FORMAT, head.sequence, lines.map(|l| l.bytes()));
            if now != head.digest {
                return Err(Status::Busy);
            }
            let count = u32::try_from(self.lines(rooms.clone()).count()).unwrap_or(u32::MAX);
            let mut writer = Writer::new();
            writer.put(FORMAT.magic);
            writer.put(&count.to_le_bytes());
            writer.put(&u32::from(scope.code()).to_le_bytes());
            writer.put(&head.sequence.to_le_bytes());
            writer.put(&[0; 8]);
            writer.put(&head.digest);
            let _fits = page.push(&writer.bytes);
            for line in self.lines(rooms.clone()) {
                let _fits = page.push(&line.bytes());
            }
        }
        self.fill(&mut page, rooms, scope, cursor)?;
        Ok(page)
    }

    fn fill(
        &self,
        page: &mut Page,
        rooms: core::ops::Range<usize>,
        scope: LedgerScope,
        cursor: u64,
    ) -> Result<(), Status> {
        let cut = usize::from(scope.code());
        let mut from = (cursor >> RING_SHIFT, cursor & !(u64::MAX << RING_SHIFT));
        let mut ordinal = 0_u64;
        for room in self.rooms.get(rooms).unwrap_or_default() {
            for class in [Class::Moves, Class::Refusals, Class::Looks] {
                ordinal = ordinal.saturating_add(1);
                if ordinal < from.0 {
                    continue;
                }
                let start = if ordinal == from.0 { from.1 } else { 0 };
                from = (0, 0);
                let stopped = match class {
                    Class::Moves => copy(&room.moves, cut, start, page),
                    Class::Refusals => copy(&room.refusals, cut, start, page),
                    Class::Looks => copy(&room.looks, cut, start, page),
                }?;
                if let Some(sequence) = stopped {
                    page.next_cursor = ordinal << RING_SHIFT | sequence;
                    return Ok(());
                }
            }
        }
        if from.0 > ordinal { Err(Status::BadArgument) } else { Ok(()) }
    }
}

/// Copies the entries of the cut, from `start` (0: the oldest) on; returns where the page was full. One
/// that was pushed out since is missed here, also where this page is the first of its ring.
fn copy<const N: usize>(
    ring: &Ring<N>,
    cut: usize,
    start: u64,
    page: &mut Page,
) -> Result<Option<u64>, Status> {
    let Some(&Cut { first, last }) = ring.cuts.get(cut) else { return Err(Status::WrongState) };
    let mut sequence = if start == 0 { first } else { start };
    if sequence < ring.first && sequence <= last {
        return Err(Status::Busy);
    }
    while sequence <= last {
        let Some(place) = ring.get(sequence) else { return Err(Status::Busy) };
        let mut writer = Writer::new();
        writer.put(&body(&place.entry));
        writer.put(&place.link);
        if !page.push(&writer.bytes) {
            return Ok(Some(sequence));
        }
        sequence = sequence.saturating_add(1);
    }
    Ok(None)
}
