//! Owns the ledger: what is recorded of transitions and refusals, in rooms reserved for each VM.
//! Never holds contents of shared memory; never hashes on append.
//!
//! Each VM, the hypervisor and all strangers together have a room of their own, so that nobody's
//! records push out another's. A room has two rings: one for what happened, one for refusals, so
//! that a flood of refusals pushes out no transition either. A refusal that is already in its ring
//! (same call, same status) is counted there. What is pushed out is counted as lost.
//!
//! The chain of digests is made when records are read, or at a fill mark (`append` returns nothing
//! that depends on it): [`Entry::sequence`] is what it will be chained by.

use crate::policy::{MAX_VMS, Policy};
use causeway_abi::{LifeState, Status};
use causeway_ffa::{EndpointId, MemHandle};

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
    const fn refusal(&self) -> Option<(u8, Status)> {
        match self.action {
            Action::Refused { call_number, status } => Some((call_number, status)),
            Action::Moved(_)
            | Action::Mapped
            | Action::Unmapped
            | Action::UseBegan
            | Action::UseEnded
            | Action::VmCreated
            | Action::VmDestroyed
            | Action::HypervisorRegistered
            | Action::LockLeft => None,
        }
    }
}

/// A record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Counts every entry ever made, from 1.
    pub sequence: u64,
    /// CNTPCT of the last occurrence.
    pub time_ticks: u64,
    /// How often it occurred: more than once only for refusals, which collapse.
    pub count: u32,
    /// What happened, as it was at the first occurrence.
    pub record: Record,
}

/// Entries that were pushed out of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lost {
    /// Transitions and other things that happened.
    pub moves: u64,
    /// Refusals, each with all its repetitions.
    pub refusals: u64,
}

/// Different refusals that a room holds.
const REFUSALS: usize = 16;
/// The VMs, the hypervisor, strangers.
const ROOMS: usize = MAX_VMS + 2;
const HYPERVISOR_ROOM: usize = MAX_VMS;
const STRANGERS_ROOM: usize = MAX_VMS + 1;

/// A ring: the oldest entry makes room for the newest.
#[derive(Clone, Copy, Debug)]
struct Ring<const N: usize> {
    entries: [Option<Entry>; N],
    next: usize,
    lost: u64,
}

impl<const N: usize> Ring<N> {
    const fn new() -> Self {
        Self { entries: [None; N], next: 0, lost: 0 }
    }

    fn push(&mut self, entry: Entry) {
        let Some(place) = self.entries.get_mut(self.next) else { return };
        if place.replace(entry).is_some() {
            self.lost = self.lost.saturating_add(1);
        }
        self.next = self.next.checked_add(1).filter(|n| *n < N).unwrap_or(0);
    }
}

#[derive(Clone, Copy, Debug)]
struct Room<const N: usize> {
    moves: Ring<N>,
    refusals: Ring<REFUSALS>,
}

/// The ledger, with rings of `ROOM` transitions for each VM.
#[derive(Clone, Debug)]
pub struct Ledger<const ROOM: usize> {
    rooms: [Room<ROOM>; ROOMS],
    vms: [Option<EndpointId>; MAX_VMS],
    hypervisor: Option<EndpointId>,
    last_sequence: u64,
}

impl<const ROOM: usize> Ledger<ROOM> {
    /// An empty ledger, for a `static`. Call [`Ledger::configure`] once.
    #[must_use]
    pub const fn new() -> Self {
        let room = Room { moves: Ring::new(), refusals: Ring::new() };
        Self { rooms: [room; ROOMS], vms: [None; MAX_VMS], hypervisor: None, last_sequence: 0 }
    }

    /// Gives the policy's VMs their rooms.
    pub fn configure(&mut self, policy: &Policy) {
        for (room, vm) in self.vms.iter_mut().zip(policy.vms()) {
            *room = Some(vm);
        }
        self.hypervisor = policy.hypervisor();
    }

    /// Appends a record. Constant cost; never fails: what no longer fits is counted.
    pub fn append(&mut self, now_ticks: u64, record: Record) {
        let at = self.room_of(record.subject);
        let Some(room) = self.rooms.get_mut(at) else { return };
        if let Some(key) = record.refusal() {
            let held = room.refusals.entries.iter_mut().flatten();
            let mut same = held
                .filter(|e| e.record.refusal() == Some(key) && e.record.subject == record.subject);
            if let Some(entry) = same.next() {
                entry.count = entry.count.saturating_add(1);
                entry.time_ticks = now_ticks;
                return;
            }
        }
        self.last_sequence = self.last_sequence.saturating_add(1);
        let entry = Entry { sequence: self.last_sequence, time_ticks: now_ticks, count: 1, record };
        if record.refusal().is_some() {
            room.refusals.push(entry);
        } else {
            room.moves.push(entry);
        }
    }

    /// The number of the last entry.
    #[must_use]
    pub const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The entry after `sequence`, of `subject` or (`None`) of all. Begin with 0. Looks at every
    /// entry once: for dumps, not for hot paths.
    #[must_use]
    pub fn next_after(&self, sequence: u64, subject: Option<EndpointId>) -> Option<&Entry> {
        let entries = self
            .rooms
            .iter()
            .flat_map(|r| r.moves.entries.iter().chain(r.refusals.entries.iter()).flatten());
        let wanted = |s: EndpointId| subject.is_none_or(|only| only == s);
        let later = entries.filter(|e| e.sequence > sequence && wanted(e.record.subject));
        later.min_by_key(|e| e.sequence)
    }

    /// What was pushed out of the room of this subject (strangers share one).
    #[must_use]
    pub fn lost(&self, subject: EndpointId) -> Lost {
        self.rooms.get(self.room_of(subject)).map_or(Lost::default(), |room| Lost {
            moves: room.moves.lost,
            refusals: room.refusals.lost,
        })
    }

    fn room_of(&self, subject: EndpointId) -> usize {
        if self.hypervisor == Some(subject) {
            return HYPERVISOR_ROOM;
        }
        self.vms.iter().position(|vm| *vm == Some(subject)).unwrap_or(STRANGERS_ROOM)
    }
}

impl<const ROOM: usize> Default for Ledger<ROOM> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(subject: u16, action: Action) -> Record {
        Record {
            subject: EndpointId::from_raw(subject),
            owner: None,
            peer: None,
            handle: MemHandle::new(u64::from(subject)),
            generation: 1,
            page_count: 1,
            action,
            fold: 0,
        }
    }

    fn ledger() -> Ledger<4> {
        let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
        policy.add_vm(EndpointId::from_raw(1)).unwrap();
        policy.add_vm(EndpointId::from_raw(2)).unwrap();
        let mut ledger = Ledger::new();
        ledger.configure(&policy);
        ledger
    }

    fn refused(call_number: u8, status: Status) -> Action {
        Action::Refused { call_number, status }
    }

    fn dump(ledger: &Ledger<4>, subject: Option<u16>) -> Vec<Entry> {
        let subject = subject.map(EndpointId::from_raw);
        let mut all = Vec::new();
        while let Some(entry) =
            ledger.next_after(all.last().map_or(0, |e: &Entry| e.sequence), subject)
        {
            all.push(*entry);
        }
        all
    }

    #[test]
    fn entries_come_back_in_the_order_of_their_numbers() {
        let mut ledger = ledger();
        for (time, subject) in (0..).zip([1, 2, 9, 0, 1]) {
            ledger.append(time, record(subject, Action::Mapped));
        }
        let all = dump(&ledger, None);
        assert_eq!(all.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(dump(&ledger, Some(1)).len(), 2);
    }

    #[test]
    fn repeated_refusals_are_one_counted_entry() {
        let mut ledger = ledger();
        for time in 0..1000 {
            ledger.append(time, record(1, refused(0x20, Status::NoSuchGrant)));
            ledger.append(time, record(1, refused(0x21, Status::NoSuchGrant)));
        }
        let all = dump(&ledger, None);
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|e| e.count == 1000 && e.time_ticks == 999));
    }

    #[test]
    fn no_flood_pushes_out_another_vms_entries_or_a_transition() {
        let mut ledger = ledger();
        ledger.append(0, record(1, Action::Moved(LifeState::Offered)));
        ledger.append(0, record(2, refused(0, Status::Busy)));
        for number in 0..=255 {
            for subject in [1, 7, 8] {
                ledger.append(1, record(subject, refused(number, Status::UnknownCall)));
            }
        }
        let moves = |subject| dump(&ledger, Some(subject)).into_iter().filter(|e| e.count == 1);
        assert!(moves(1).any(|e| e.record.action == Action::Moved(LifeState::Offered)));
        assert_eq!(dump(&ledger, Some(2)).len(), 1);
        let flood = ledger.lost(EndpointId::from_raw(1));
        assert_eq!((flood.moves, flood.refusals), (0, 256 - 16));
        assert_eq!(ledger.lost(EndpointId::from_raw(2)), Lost::default());
    }

    #[test]
    fn a_full_room_counts_what_it_loses() {
        let mut ledger = ledger();
        for time in 0..10 {
            ledger.append(time, record(2, Action::Mapped));
        }
        assert_eq!(ledger.lost(EndpointId::from_raw(2)).moves, 6);
        assert_eq!(dump(&ledger, Some(2)).first().map(|e| e.sequence), Some(7));
    }
}
