//! Owns the truth about pages: whose each is, who may touch it, who maps it. Never enforces
//! anything: it records what happened, and names each step that the rules of ownership forbid.
//!
//! The model knows nothing of any SPMC's opinion. Whoever moves memory (the SPMC on a send, a
//! retrieve, a reclaim; a hypervisor or a partition when it maps) says so, and the model compares.

use crate::spans::Spans;
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, MemHandle, PageRange, Transfer};
use std::collections::BTreeMap;

/// A step that ownership forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Somebody mapped what is no normal-world RAM: secure memory, a device, a hole.
    OutsideRam {
        /// Who.
        who: EndpointId,
        /// What.
        range: PageRange,
    },
    /// Somebody maps pages that are neither its own nor lent to it (or with more than was granted).
    NotGranted {
        /// Who.
        who: EndpointId,
        /// The first byte.
        start: u64,
        /// The first byte after it.
        end: u64,
    },
    /// Somebody read or wrote bytes that it does not map (or wrote where it maps for reading).
    Untouchable {
        /// Who.
        who: EndpointId,
        /// The first byte.
        address: u64,
    },
    /// The owner got its pages back while somebody still held the retrieve.
    ReclaimedWhileRetrieved {
        /// The transaction.
        handle: MemHandle,
    },
}

/// A transaction as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its name.
    pub handle: MemHandle,
    /// Who sent it.
    pub owner: EndpointId,
    /// How.
    pub kind: Transfer,
    /// To whom, and with what permission.
    pub borrowers: Vec<(EndpointId, Permission)>,
    /// Which pages. What is no range of pages at all (an SPMC may take that) is not listed.
    pub ranges: Vec<PageRange>,
    /// Those borrowers that have retrieved, once for each time.
    pub retrieved: Vec<EndpointId>,
    /// Whether the sender could give these pages at all: they were its own and in no other
    /// transaction. From one that it could not give, nobody gets a right to anything.
    pub is_sound: bool,
}

/// The pages of one machine.
#[derive(Clone, Debug, Default)]
pub struct PageModel {
    owners: Spans<EndpointId>,
    live: Vec<Live>,
    mapped: BTreeMap<u16, Spans<Permission>>,
    violations: Vec<Violation>,
}

impl PageModel {
    /// Gives pages to an owner, as a hypervisor does when it makes a VM. Only what was given to
    /// somebody is RAM of the normal world.
    pub fn give(&mut self, owner: EndpointId, range: PageRange) {
        self.owners.insert(range, owner);
    }

    /// What happened that must not.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The transactions that have not ended.
    #[must_use]
    pub fn live(&self) -> &[Live] {
        &self.live
    }

    /// Finds a transaction.
    #[must_use]
    pub fn find(&self, handle: MemHandle) -> Option<&Live> {
        self.live.iter().find(|live| live.handle == handle)
    }

    /// Pages in all that an endpoint maps.
    #[must_use]
    pub fn mapped_pages(&self, who: EndpointId) -> u64 {
        let spans = self.mapped.get(&who.get());
        spans.map_or(0, |spans| spans.iter().map(|(from, to, _)| (to - from) / 4096).sum())
    }

    /// Reports whether `owner` owns all of `range` and none of it is in a transaction.
    #[must_use]
    pub fn is_free(&self, owner: EndpointId, range: PageRange) -> bool {
        let shared = |live: &Live| live.ranges.iter().any(|other| other.overlaps(range));
        self.owners.covers(range, |id| id == owner) && !self.live.iter().any(shared)
    }

    /// Reports whether `range` is RAM that some VM owns.
    #[must_use]
    pub fn is_normal_ram(&self, range: PageRange) -> bool {
        self.owners.covers(range, |_| true)
    }

    /// A transaction began.
    pub fn sent(
        &mut self,
        handle: MemHandle,
        owner: EndpointId,
        kind: Transfer,
        borrowers: Vec<(EndpointId, Permission)>,
        ranges: Vec<PageRange>,
    ) {
        let apart = ranges.iter().enumerate().all(|(at, range)| {
            ranges.get(..at).is_none_or(|others| !others.iter().any(|o| o.overlaps(*range)))
        });
        let is_sound = apart && ranges.iter().all(|range| self.is_free(owner, *range));
        let retrieved = Vec::new();
        let judged = ranges.clone();
        self.live.push(Live { handle, owner, kind, borrowers, ranges, retrieved, is_sound });
        self.judge(&judged);
    }

    /// A borrower retrieved. A donation ends with that: the pages are the borrower's.
    pub fn retrieved(&mut self, handle: MemHandle, who: EndpointId) {
        let Some(at) = self.live.iter().position(|live| live.handle == handle) else { return };
        if self.live.get(at).is_some_and(|live| live.kind == Transfer::Donate) {
            let live = self.live.remove(at);
            for range in live.ranges.iter().filter(|_| live.is_sound) {
                self.owners.insert(*range, who);
            }
        } else if let Some(live) = self.live.get_mut(at) {
            live.retrieved.push(who);
        }
    }

    /// A borrower let go.
    pub fn relinquished(&mut self, handle: MemHandle, who: EndpointId) {
        let Some(live) = self.live.iter_mut().find(|live| live.handle == handle) else { return };
        if let Some(at) = live.retrieved.iter().position(|id| *id == who) {
            live.retrieved.remove(at);
        }
        let ranges = live.ranges.clone();
        self.judge(&ranges);
    }

    /// The transaction ended: the owner has its pages back.
    pub fn reclaimed(&mut self, handle: MemHandle) {
        let Some(at) = self.live.iter().position(|live| live.handle == handle) else { return };
        let live = self.live.remove(at);
        if !live.retrieved.is_empty() {
            self.violations.push(Violation::ReclaimedWhileRetrieved { handle });
        }
        self.judge(&live.ranges);
    }

    /// Reports whether `who` may map `range` with `permission` at this moment.
    #[must_use]
    pub fn may(&self, who: EndpointId, range: PageRange, permission: Permission) -> bool {
        let mut rights = Spans::default();
        for (from, to, owner) in self.owners.overlapping(range) {
            if let Some(part) = run(from, to).filter(|_| owner == who) {
                rights.insert(part, Permission::ReadWrite);
            }
        }
        for live in self.live.iter().filter(|live| live.is_sound) {
            let granted = live.borrowers.iter().find(|(id, _)| *id == who);
            let holds = live.retrieved.contains(&who);
            for part in live.ranges.iter().filter(|part| part.overlaps(range)) {
                match granted {
                    Some((_, permission)) if holds => rights.insert(*part, *permission),
                    _ if live.owner == who && live.kind != Transfer::Share => rights.remove(*part),
                    _ => {}
                }
            }
        }
        rights.covers(range, |right| right >= permission)
    }

    /// `who` maps pages.
    pub fn map(&mut self, who: EndpointId, range: PageRange, permission: Permission) {
        if !self.is_normal_ram(range) {
            self.violations.push(Violation::OutsideRam { who, range });
        } else if !self.may(who, range, permission) {
            let (start, end) = (range.start().get(), range.end());
            self.violations.push(Violation::NotGranted { who, start, end });
        }
        self.mapped.entry(who.get()).or_default().insert(range, permission);
    }

    /// `who` maps pages no more.
    pub fn unmap(&mut self, who: EndpointId, range: PageRange) {
        self.mapped.entry(who.get()).or_default().remove(range);
    }

    /// Reports whether `who` maps all of `range`.
    #[must_use]
    pub fn maps(&self, who: EndpointId, range: PageRange, permission: Permission) -> bool {
        let spans = self.mapped.get(&who.get());
        spans.is_some_and(|spans| spans.covers(range, |mapped| mapped >= permission))
    }

    /// `who` reads or writes bytes of one page; false (and a violation) if it does not map them.
    pub fn touch(&mut self, who: EndpointId, page: PageRange, permission: Permission) -> bool {
        let allowed = self.maps(who, page, permission);
        if !allowed {
            let address = page.start().get();
            self.violations.push(Violation::Untouchable { who, address });
        }
        allowed
    }

    /// Looks at everybody who maps some of these pages.
    fn judge(&mut self, ranges: &[PageRange]) {
        let mut found = Vec::new();
        for (id, spans) in &self.mapped {
            let who = EndpointId::from_raw(*id);
            let touched = ranges.iter().flat_map(|range| spans.overlapping(*range));
            for (from, to, permission) in touched {
                let all = run(from, to).is_some_and(|run| self.may(who, run, permission));
                if !all {
                    found.push(Violation::NotGranted { who, start: from, end: to });
                }
            }
        }
        found.dedup();
        self.violations.extend(found);
    }
}

fn run(from: u64, to: u64) -> Option<PageRange> {
    let pages = u32::try_from((to - from) / 4096).ok()?;
    PageRange::new(causeway_ffa::PageAddr::new(from)?, pages)
}

#[cfg(test)]
mod tests;
