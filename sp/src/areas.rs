//! Owns which shared areas the partition maps at the moment. Maps and unmaps whole areas, as the
//! broker decided; never decides, and never maps what the broker did not name.

use crate::console;
use crate::lines::Said;
use crate::stage1::{MapRefusal, Stage1};
use crate::window::{MAX_AREAS, MappedArea, Window};
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, PageRange};
use causeway_memshare::{GrantId, GrantView, MapFailed};

/// Pages of one mapped area: bounds the work of mapping and invalidating.
const MAX_PAGES: u32 = 4096;

struct Entry {
    grant: GrantId,
    owner: EndpointId,
    area: MappedArea,
}

/// The mapped areas.
pub(crate) struct Areas {
    entries: [Option<Entry>; MAX_AREAS],
}

impl Areas {
    /// None.
    pub(crate) const fn new() -> Self {
        Self { entries: [const { None }; MAX_AREAS] }
    }

    /// Returns the way into a mapped area.
    pub(crate) fn get(&self, grant: GrantId) -> Option<&MappedArea> {
        self.entries.iter().flatten().find(|entry| entry.grant == grant).map(|entry| &entry.area)
    }

    /// Maps all ranges of an area, or none.
    pub(crate) fn map(
        &mut self,
        tables: &mut Stage1,
        view: &GrantView,
        permission: Permission,
        ranges: impl Iterator<Item = PageRange>,
    ) -> Result<(), MapFailed> {
        let (grant, owner) = (view.id, view.owner);
        if self.get(grant).is_some() || view.page_count > MAX_PAGES {
            return Err(MapFailed);
        }
        let slot = self.entries.iter_mut().find(|entry| entry.is_none()).ok_or(MapFailed)?;
        let mut area = MappedArea::new();
        for range in ranges {
            let mapped = tables.map_shared(range, permission);
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
    pub(crate) fn unmap(&mut self, tables: &mut Stage1, grant: GrantId) -> Result<(), MapFailed> {
        let mine = |entry: &&mut Option<Entry>| entry.as_ref().is_some_and(|e| e.grant == grant);
        let slot = self.entries.iter_mut().find(mine).ok_or(MapFailed)?;
        slot.take().map_or(Ok(()), |entry| unmap_all(entry.owner, entry.area, tables))
    }
}

/// Adds a window; unmaps it again if the area has no room for it.
fn add(area: &mut MappedArea, tables: &mut Stage1, window: Window) -> Result<(), MapRefusal> {
    match area.add(window) {
        Ok(()) => Ok(()),
        Err(window) => tables.unmap_shared(window).and(Err(MapRefusal::Library)),
    }
}

fn unmap_all(owner: EndpointId, area: MappedArea, tables: &mut Stage1) -> Result<(), MapFailed> {
    let mut result = Ok(());
    for window in area.into_windows() {
        let range = window.range();
        if tables.unmap_shared(window).is_err() {
            result = Err(MapFailed);
        }
        console::tell(Some(owner), Said::Unmap { range });
    }
    result
}

/// Reads the bits back from the descriptors for a line: the tests look at these lines, in which
/// areas of remote devices never appear.
fn report(owner: EndpointId, tables: &Stage1, range: PageRange) {
    match tables.mapped_bits(range) {
        Some(bits) => console::tell(Some(owner), Said::Map { range, bits }),
        None => panic!("the tables do not hold what they were given"),
    }
}
