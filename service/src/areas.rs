//! Owns which shared areas the partition maps at the moment. Maps and unmaps whole areas, as the
//! broker decided; never decides, and never maps what the broker did not name.

use crate::lines::Said;
use crate::mapped::MappedArea;
use crate::platform::{Log, Mapper, Window};
use crate::sizes::{AREAS_OF_A_VM, MAX_AREA_PAGES, MAX_AREAS};
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, PageRange};
use causeway_memshare::{GrantId, GrantView, MapFailed};

struct Entry<W> {
    grant: GrantId,
    owner: EndpointId,
    area: MappedArea<W>,
}

/// The mapped areas.
pub(crate) struct Areas<W> {
    entries: [Option<Entry<W>>; MAX_AREAS],
}

impl<W: Window> Areas<W> {
    /// None.
    pub(crate) const fn new() -> Self {
        Self { entries: [const { None }; MAX_AREAS] }
    }

    /// Returns the way into a mapped area.
    pub(crate) fn get(&self, grant: GrantId) -> Option<&MappedArea<W>> {
        self.entries.iter().flatten().find(|entry| entry.grant == grant).map(|entry| &entry.area)
    }

    /// Maps all ranges of an area, or none.
    pub(crate) fn map(
        &mut self,
        tables: &mut (impl Mapper<Window = W> + Log),
        view: &GrantView,
        permission: Permission,
        ranges: impl Iterator<Item = PageRange>,
    ) -> Result<(), MapFailed> {
        let (grant, owner) = (view.id, view.owner);
        let theirs = self.entries.iter().flatten().filter(|entry| entry.owner == owner).count();
        if self.get(grant).is_some() || view.page_count > MAX_AREA_PAGES || theirs >= AREAS_OF_A_VM
        {
            return Err(MapFailed);
        }
        let slot = self.entries.iter_mut().find(|entry| entry.is_none()).ok_or(MapFailed)?;
        let mut area = MappedArea::new();
        for range in ranges {
            let mapped = tables.map(range, permission);
            if mapped.and_then(|window| add(&mut area, tables, window)).is_err() {
                unmap_all(owner, area, tables)?;
                return Err(MapFailed);
            }
            report(owner, tables, range);
        }
        *slot = Some(Entry { grant, owner, area });
        Ok(())
    }

    /// Unmaps an area. When it returns, no core can reach its pages.
    pub(crate) fn unmap(
        &mut self,
        tables: &mut (impl Mapper<Window = W> + Log),
        grant: GrantId,
    ) -> Result<(), MapFailed> {
        let mine = |entry: &&mut Option<Entry<W>>| entry.as_ref().is_some_and(|e| e.grant == grant);
        let slot = self.entries.iter_mut().find(mine).ok_or(MapFailed)?;
        slot.take().map_or(Ok(()), |entry| unmap_all(entry.owner, entry.area, tables))
    }
}

/// Adds a window; unmaps it again if the area has no room for it.
fn add<W: Window>(
    area: &mut MappedArea<W>,
    tables: &mut impl Mapper<Window = W>,
    window: W,
) -> Result<(), MapFailed> {
    match area.add(window) {
        Ok(()) => Ok(()),
        Err(window) => tables.unmap(window).and(Err(MapFailed)),
    }
}

fn unmap_all<W: Window>(
    owner: EndpointId,
    area: MappedArea<W>,
    tables: &mut (impl Mapper<Window = W> + Log),
) -> Result<(), MapFailed> {
    let mut result = Ok(());
    for window in area.into_windows() {
        let range = window.range();
        if tables.unmap(window).is_err() {
            result = Err(MapFailed);
        }
        tables.tell(Some(owner), Said::Unmap { range });
    }
    result
}

/// Reads the bits back from the descriptors for a line: the tests look at these lines, in which
/// areas of remote devices never appear.
#[expect(clippy::panic, reason = "an invariant of the platform's tables, not anyone's input")]
fn report(owner: EndpointId, tables: &(impl Mapper + Log), range: PageRange) {
    match tables.mapped_bits(range) {
        Some(bits) => tables.tell(Some(owner), Said::Map { range, bits }),
        None => panic!("the tables do not hold what they were given"),
    }
}
