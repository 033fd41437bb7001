//! Owns the ledger: what is recorded of transitions and refusals, in rooms reserved for each VM.
//! Never holds contents of shared memory; never hashes on append.
//!
//! Each VM, the hypervisor and all strangers together have a room of their own, so that nobody's
//! records push out another's. A room has three rings: one for what happened, one for refusals, one for
//! calls that only looked, so that a flood of refusals, or a watchdog that is pinged all day, pushes out
//! no transition. A refusal that is already in its ring (same call, same status) is counted there, and so
//! is a look. What is pushed out is counted as lost.
//!
//! Each ring is a chain: `link(n) = SHA-256(link(n - 1), entry n)`. Links are made when somebody asks
//! for the head, or by [`Ledger::tend`] once three quarters of a ring wait for theirs; never by
//! [`Ledger::append`]. The head is a digest over all rings of a scope: where each begins, where it
//! ends, and the links there. docs/ledger.md has the bytes.

mod chain;
mod read;
pub mod verify;

use crate::policy::{MAX_VMS, Policy, VM_IDS};
use causeway_abi::{LifeState, Status};
use causeway_ffa::{EndpointId, MemHandle};
use chain::Link;

pub use chain::{Head, LINKS_PER_CALL, LINKS_PER_TEND};
pub use read::{PAGE_BYTES, Page};

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A grant came into this state.
    Moved(LifeState),
    /// The hypervisor said that it maps the peer: the grant is active.
    Mapped,
    /// The hypervisor said that it does not map the peer any more.
    Unmapped,
    /// The bus began to use the area (first use).
    UseBegan,
    /// The bus ended its last use of the area.
    UseEnded,
    /// A call was refused: its number (0 for a framework message) and the status.
    Refused {
        /// The call's number.
        call_number: u8,
        /// Which rule was broken.
        status: Status,
    },
    /// A VM was created.
    VmCreated,
    /// A VM was destroyed and everything that could be let go was.
    VmDestroyed,
    /// The hypervisor registered its doorbell.
    HypervisorRegistered,
    /// The SPMC would not take back a retrieve: its lock may be left over.
    LockLeft,
    /// The set of grants was frozen; the record's page count is how many there are.
    Sealed,
    /// A VM joined its area with another's; the record's generation and fold are the join's number.
    Joined,
    /// A VM's side of a join ended; the fold is how many bytes were copied out of its area and into
    /// it, the generation the join's number.
    Parted,
    /// The subject had bytes copied between joined areas; the fold is how many. Those that follow
    /// each other are counted in one entry until it is chained.
    Copied,
    /// Donated memory stays with the partition: the offer was refused, or its giver is gone.
    Kept,
    /// The subject's watchdog fired.
    WatchdogFired,
    /// A security service did what it was asked. Those of one call are counted in one entry until it
    /// is chained.
    Served {
        /// The call's number.
        call_number: u8,
    },
    /// A call of a security service that changes nothing did what it was asked. Those of one call are
    /// counted in one entry until it is chained.
    Looked {
        /// The call's number.
        call_number: u8,
    },
    /// A source of interrupts was bound to the subject; the record's generation is the source's
    /// number, its fold the INTID.
    InterruptBound,
    /// It is bound to the subject no more.
    InterruptUnbound,
    /// Its limit masked it; the page count is how often that happened.
    InterruptStormed,
}

/// One line of the ledger, before it gets its sequence number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// In whose room it goes: the VM that caused it; the owner for what time does to its grant.
    pub subject: EndpointId,
    /// The grant's owner, if there is a grant.
    pub owner: Option<EndpointId>,
    /// The grant's peer, if there is one.
    pub peer: Option<EndpointId>,
    /// The handle, if any.
    pub handle: Option<MemHandle>,
    /// The grant's generation, or the VM's incarnation.
    pub generation: u32,
    /// 4 KiB pages.
    pub page_count: u32,
    /// What happened.
    pub action: Action,
    /// [`causeway_abi::RangeFold`] of the grant's ranges, 0 without a grant.
    pub fold: u64,
}

impl Record {
    /// A record that is about no grant.
    #[must_use]
    pub const fn new(subject: EndpointId, action: Action) -> Self {
        Self {
            subject,
            owner: None,
            peer: None,
            handle: None,
            generation: 0,
            page_count: 0,
            action,
            fold: 0,
        }
    }

    /// A call of `subject` was refused.
    #[must_use]
    pub const fn of_refusal(subject: EndpointId, call_number: u8, status: Status) -> Self {
        Self::new(subject, Action::Refused { call_number, status })
    }

    /// Whether those that tell the same are counted in one entry.
    const fn is_counted(&self) -> bool {
        match self.action {
            Action::Refused { .. }
            | Action::Copied
            | Action::Served { .. }
            | Action::Looked { .. } => true,
            Action::Moved(_)
            | Action::Mapped
            | Action::Unmapped
            | Action::UseBegan
            | Action::UseEnded
            | Action::VmCreated
            | Action::VmDestroyed
            | Action::HypervisorRegistered
            | Action::LockLeft
            | Action::Sealed
            | Action::Joined
            | Action::Parted
            | Action::Kept
            | Action::WatchdogFired
            | Action::InterruptBound
            | Action::InterruptUnbound
            | Action::InterruptStormed => false,
        }
    }

    const fn refusal(&self) -> Option<(u8, Status)> {
        if let Action::Refused { call_number, status } = self.action {
            Some((call_number, status))
        } else {
            None
        }
    }
}

/// A record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Counts the entries of its ring, from 1, without gaps: a VM learns nothing of others by it.
    pub sequence: u64,
    /// CNTPCT of the last occurrence.
    pub time_ticks: u64,
    /// How often it occurred: more than once only for what collapses until it is chained (refusals,
    /// looks, services, copies).
    pub count: u32,
    /// What happened, as it was at the first occurrence.
    pub record: Record,
}

impl Entry {
    /// The same once more.
    fn again(&mut self, now_ticks: u64, fold: u64) {
        self.count = self.count.saturating_add(1);
        self.time_ticks = now_ticks;
        self.record.fold = self.record.fold.saturating_add(fold);
    }
}

/// Entries that were pushed out of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lost {
    /// Transitions and other things that happened.
    pub moves: u64,
    /// Refusals, each with all its repetitions.
    pub refusals: u64,
    /// Calls that only looked, each with all its repetitions.
    pub looks: u64,
}

/// Different refusals that a room holds.
const REFUSALS: usize = 16;
/// Different calls that only look: as many as the interface has, so that none is lost before it is chained.
pub const LOOKS: usize = 4;
/// The VMs, the hypervisor, strangers.
const ROOMS: usize = MAX_VMS + 2;
const HYPERVISOR_ROOM: usize = MAX_VMS;
const STRANGERS_ROOM: usize = MAX_VMS + 1;
const STRANGERS: u8 = {
    let [low, ..] = STRANGERS_ROOM.to_le_bytes();
    low
};

const HYPERVISOR: u8 = {
    let [low, ..] = HYPERVISOR_ROOM.to_le_bytes();
    low
};

/// What a ring is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Class {
    Moves,
    Refusals,
    Looks,
}

/// An entry and, once it is chained, its link.
#[derive(Clone, Copy, Debug)]
struct Place {
    entry: Entry,
    link: Link,
}

/// A ring and its chain: the oldest entry makes room for the newest.
#[derive(Clone, Copy, Debug)]
struct Ring<const N: usize> {
    places: [Option<Place>; N],
    /// Where the next entry goes.
    next: usize,
    /// Number of the newest entry.
    last: u64,
    /// Number of the oldest entry that is still held; `last + 1` if none is.
    first: u64,
    /// Entries up to this one are chained.
    chained: u64,
    /// Link of the entry before `first`. Entries that were lost before they were chained are in it
    /// by their number only.
    base: Link,
    /// Link of the entry `chained`.
    link: Link,
    /// What it held when somebody asked for the head: of its VM, of the auditor.
    cuts: [Cut; 2],
}

/// The oldest and the newest entry of a ring, as a head has them.
#[derive(Clone, Copy, Debug)]
struct Cut {
    first: u64,
    last: u64,
}

impl<const N: usize> Ring<N> {
    const fn new() -> Self {
        Self {
            places: [None; N],
            next: 0,
            last: 0,
            first: 1,
            chained: 0,
            base: [0; 32],
            link: [0; 32],
            cuts: [Cut { first: 1, last: 0 }; 2],
        }
    }

    const fn lost(&self) -> u64 {
        self.first.saturating_sub(1)
    }

    const fn unchained(&self) -> u64 {
        self.last.saturating_sub(self.chained)
    }

    /// Fixes what a dump of this scope holds.
    fn cut(&mut self, scope: usize) {
        if let Some(place) = self.cuts.get_mut(scope) {
            *place = Cut { first: self.first, last: self.last };
        }
    }

    fn push(&mut self, time_ticks: u64, record: &Record) {
        let Some(place) = self.places.get_mut(self.next) else { return };
        self.last = self.last.saturating_add(1);
        if let Some(old) = place {
            self.first = old.entry.sequence.saturating_add(1);
            if old.entry.sequence <= self.chained {
                self.base = old.link;
            }
        }
        let entry = Entry { sequence: self.last, time_ticks, count: 1, record: *record };
        *place = Some(Place { entry, link: [0; 32] });
        self.next = self.next.checked_add(1).filter(|n| *n < N).unwrap_or(0);
    }

    fn place_of(&self, sequence: u64) -> Option<usize> {
        let back = usize::try_from(self.last.checked_sub(sequence)?).ok()?;
        let behind = self.next.checked_add(N)?.checked_sub(back.checked_add(1)?)?;
        (sequence >= self.first).then(|| behind.checked_rem(N)).flatten()
    }

    fn get(&self, sequence: u64) -> Option<&Place> {
        self.places.get(self.place_of(sequence)?)?.as_ref()
    }

    /// The newest entry, if it tells of copies in the same join and is not chained yet.
    fn same_copy(&mut self, record: &Record) -> Option<&mut Entry> {
        if record.action != Action::Copied || self.last <= self.chained {
            return None;
        }
        let newest = self.place_of(self.last)?;
        let entry = &mut self.places.get_mut(newest)?.as_mut()?.entry;
        let same = Record { fold: entry.record.fold, ..*record };
        (entry.record == same).then_some(entry)
    }

    /// An entry for the same call of a security service, if it is not chained yet.
    fn same_service(&mut self, record: &Record) -> Option<&mut Entry> {
        if !matches!(record.action, Action::Served { .. } | Action::Looked { .. }) {
            return None;
        }
        let chained = self.chained;
        let open = self.places.iter_mut().flatten().map(|p| &mut p.entry);
        open.filter(|e| e.sequence > chained).find(|e| e.record == *record)
    }

    /// The same refusal, if it is not chained yet.
    fn same(&mut self, record: &Record) -> Option<&mut Entry> {
        let (key, chained) = (record.refusal(), self.chained);
        let open = self.places.iter_mut().flatten().map(|p| &mut p.entry);
        open.filter(|e| e.sequence > chained)
            .find(|e| e.record.refusal() == key && e.record.subject == record.subject)
    }
}

#[derive(Clone, Copy, Debug)]
struct Room<const N: usize> {
    moves: Ring<N>,
    refusals: Ring<REFUSALS>,
    looks: Ring<LOOKS>,
}

impl<const N: usize> Room<N> {
    /// Counts a record in the entry that tells the same, or appends it. By itself, so that a grant's record
    /// saves no register for it.
    #[inline(never)]
    fn count(&mut self, now_ticks: u64, record: &Record) {
        if let Action::Looked { .. } = record.action {
            match self.looks.same_service(record) {
                Some(entry) => entry.again(now_ticks, 0),
                None => self.looks.push(now_ticks, record),
            }
        } else if record.refusal().is_some() {
            match self.refusals.same(record) {
                Some(entry) => entry.again(now_ticks, 0),
                None => self.refusals.push(now_ticks, record),
            }
        } else {
            let counted = match self.moves.same_copy(record) {
                None => self.moves.same_service(record),
                found => found,
            };
            match counted {
                Some(entry) => entry.again(now_ticks, record.fold),
                None => self.moves.push(now_ticks, record),
            }
        }
    }
}

/// The ledger, with rings of `ROOM` transitions for each VM.
#[derive(Clone, Debug)]
pub struct Ledger<const ROOM: usize> {
    rooms: [Room<ROOM>; ROOMS],
    vms: [Option<EndpointId>; MAX_VMS],
    hypervisor: Option<EndpointId>,
    /// The room of each id.
    places: [u8; VM_IDS],
    /// The heads as they were last asked for: of each VM, and of the auditor.
    heads: [Head; ROOMS],
    auditors_head: Head,
}

impl<const ROOM: usize> Ledger<ROOM> {
    /// An empty ledger, for a `static`. Call [`Ledger::configure`] once.
    #[must_use]
    pub const fn new() -> Self {
        let room = Room { moves: Ring::new(), refusals: Ring::new(), looks: Ring::new() };
        Self {
            rooms: [room; ROOMS],
            vms: [None; MAX_VMS],
            hypervisor: None,
            places: [STRANGERS; VM_IDS],
            heads: [Head::NONE; ROOMS],
            auditors_head: Head::NONE,
        }
    }

    /// Gives the policy's VMs their rooms.
    pub fn configure(&mut self, policy: &Policy) {
        for (at, (room, vm)) in (0_u8..).zip(self.vms.iter_mut().zip(policy.vms())) {
            *room = Some(vm);
            if let Some(place) = self.places.get_mut(usize::from(vm.get())) {
                *place = at;
            }
        }
        self.hypervisor = policy.hypervisor();
        let hypervisors = self.hypervisor.map(|id| usize::from(id.get()));
        if let Some(place) = hypervisors.and_then(|id| self.places.get_mut(id)) {
            *place = HYPERVISOR;
        }
    }

    /// Appends a record. Constant cost, no digest; never fails: what no longer fits is counted.
    #[inline(never)]
    pub fn append(&mut self, now_ticks: u64, record: &Record) {
        let at = self.room_of(record.subject);
        let Some(room) = self.rooms.get_mut(at) else { return };
        // The first of the two is enough for nearly every record.
        let moved = matches!(record.action, Action::Moved(_));
        if moved || !record.is_counted() {
            room.moves.push(now_ticks, record);
        } else {
            room.count(now_ticks, record);
        }
    }

    /// Every entry of `subject` or (`None`) of all, room by room, oldest first: for tests and hosts.
    pub fn entries(&self, subject: Option<EndpointId>) -> impl Iterator<Item = &Entry> + '_ {
        let of_ring = |first: u64, last: u64| first..=last;
        let rooms = self.rooms.iter().flat_map(move |room| {
            let Room { moves, refusals, looks } = room;
            let moves = of_ring(moves.first, moves.last).filter_map(|n| moves.get(n));
            let refusals = of_ring(refusals.first, refusals.last).filter_map(|n| refusals.get(n));
            let looks = of_ring(looks.first, looks.last).filter_map(|n| looks.get(n));
            moves.chain(refusals).chain(looks)
        });
        let wanted = move |s: EndpointId| subject.is_none_or(|only| only == s);
        rooms.map(|p| &p.entry).filter(move |e| wanted(e.record.subject))
    }

    /// What was pushed out of the room of this subject (strangers share one).
    #[must_use]
    pub fn lost(&self, subject: EndpointId) -> Lost {
        self.rooms.get(self.room_of(subject)).map_or(Lost::default(), |room| Lost {
            moves: room.moves.lost(),
            refusals: room.refusals.lost(),
            looks: room.looks.lost(),
        })
    }

    #[inline]
    fn room_of(&self, subject: EndpointId) -> usize {
        match self.places.get(usize::from(subject.get())) {
            Some(place) => usize::from(*place),
            None if self.hypervisor == Some(subject) => HYPERVISOR_ROOM,
            None => STRANGERS_ROOM,
        }
    }

    /// Whose room it is; `None`: strangers'.
    fn owner_of(&self, room: usize) -> Option<EndpointId> {
        if room == HYPERVISOR_ROOM {
            return self.hypervisor;
        }
        self.vms.get(room).copied().flatten()
    }
}

impl<const ROOM: usize> Default for Ledger<ROOM> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
