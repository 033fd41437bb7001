//! Owns the chain: the bytes of an entry, its link, the head over all rings of a scope. Never on the
//! hot path, and bounded in each call.

use super::{Action, Class, Entry, Ledger, ROOMS, Ring, STRANGERS_ROOM};
use causeway_abi::LedgerScope;
use causeway_ffa::EndpointId;
use sha2::{Digest, Sha256};

/// Entries that are chained after a poll that found nothing to do: two SHA-256 blocks.
pub const LINKS_PER_TEND: u32 = 1;

/// A digest.
pub(super) type Link = [u8; 32];
/// Bytes of an entry.
pub(super) const BODY: usize = 64;
/// Bytes of a dump's units: an entry with its link, a ring's line, the head's line.
pub(super) const UNIT: usize = 96;

/// Entries that one call chains at most: two SHA-256 blocks each.
pub const LINKS_PER_CALL: u32 = 32;

/// The head of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// Entries ever made in this scope.
    pub sequence: u64,
    /// The digest; zero while `unchained` is not 0.
    pub digest: [u8; 32],
    /// Entries that still wait for their links: ask again.
    pub unchained: u64,
}

impl Head {
    pub(super) const NONE: Self = Self { sequence: 0, digest: [0; 32], unchained: 0 };
}

/// A ring's line: what the head says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Whose room; all ones for strangers.
    pub(super) subject: u16,
    pub(super) class: u8,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) base: Link,
    pub(super) link: Link,
}

impl Line {
    pub(super) fn bytes(&self) -> [u8; UNIT] {
        let mut writer = Writer::new();
        writer.put(&self.subject.to_le_bytes());
        writer.put(&[self.class, 0, 0, 0, 0, 0]);
        writer.put(&self.first.to_le_bytes());
        writer.put(&self.last.to_le_bytes());
        writer.put(&[0; 8]);
        writer.put(&self.base);
        writer.put(&self.link);
        writer.bytes
    }
}

/// Fills a unit from the front.
pub(super) struct Writer {
    pub(super) bytes: [u8; UNIT],
    at: usize,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; UNIT], at: 0 }
    }

    pub(super) fn put(&mut self, part: &[u8]) {
        let end = self.at.saturating_add(part.len());
        if let Some(place) = self.bytes.get_mut(self.at..end) {
            place.copy_from_slice(part);
            self.at = end;
        }
    }
}

/// The bytes of an entry: what is chained, and what a dump shows.
pub(super) fn body(entry: &Entry) -> [u8; BODY] {
    let record = &entry.record;
    let (action, detail, status) = match record.action {
        Action::Moved(state) => (1, state.code(), 0),
        Action::Mapped => (2, 0, 0),
        Action::Unmapped => (3, 0, 0),
        Action::UseBegan => (4, 0, 0),
        Action::UseEnded => (5, 0, 0),
        Action::Refused { call_number, status } => (6, call_number, status.code()),
        Action::VmCreated => (7, 0, 0),
        Action::VmDestroyed => (8, 0, 0),
        Action::HypervisorRegistered => (9, 0, 0),
        Action::LockLeft => (10, 0, 0),
        Action::Sealed => (11, 0, 0),
        Action::Joined => (12, 0, 0),
        Action::Parted => (13, 0, 0),
        Action::Copied => (14, 0, 0),
        Action::Kept => (15, 0, 0),
        Action::Served { call_number } => (16, call_number, 0),
        Action::InterruptBound => (17, 0, 0),
        Action::InterruptUnbound => (18, 0, 0),
        Action::InterruptStormed => (19, 0, 0),
        Action::WatchdogFired => (20, 0, 0),
        Action::Looked { call_number } => (21, call_number, 0),
    };
    let id = |id: Option<EndpointId>| id.map_or(0xffff, EndpointId::get).to_le_bytes();
    let mut writer = Writer::new();
    writer.put(&entry.sequence.to_le_bytes());
    writer.put(&entry.time_ticks.to_le_bytes());
    writer.put(&entry.count.to_le_bytes());
    writer.put(&record.generation.to_le_bytes());
    writer.put(&record.subject.get().to_le_bytes());
    writer.put(&id(record.owner));
    writer.put(&id(record.peer));
    writer.put(&[action, detail]);
    writer.put(&record.handle.map_or(u64::MAX, |h| h.get()).to_le_bytes());
    writer.put(&record.fold.to_le_bytes());
    writer.put(&record.page_count.to_le_bytes());
    writer.put(&status.to_le_bytes());
    let mut bytes = [0; BODY];
    bytes.copy_from_slice(writer.bytes.split_at(BODY).0);
    bytes
}

pub(super) fn link(before: &Link, body: &[u8; BODY]) -> Link {
    Sha256::new().chain_update(before).chain_update(body).finalize().into()
}

/// A version of the dump: how it begins, and how what its head's digest is over begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) magic: &'static [u8; 8],
    label: &'static [u8; 17],
}

/// What is written: three classes of rings.
pub(super) const FORMAT: Format = Format { magic: b"CWLEDGR2", label: b"causeway-ledger-2" };
/// What was written while there were two classes of rings: it is still checked.
pub(super) const FORMAT_1: Format = Format { magic: b"CWLEDGR1", label: b"causeway-ledger-1" };

/// The digest over a scope: its number and every ring's line.
pub(super) fn head_digest(
    format: Format,
    sequence: u64,
    lines: impl Iterator<Item = [u8; UNIT]>,
) -> Link {
    let start = Sha256::new().chain_update(format.label).chain_update(sequence.to_le_bytes());
    lines.fold(start, |hash, line| hash.chain_update(line)).finalize().into()
}

impl<const N: usize> Ring<N> {
    /// Chains up to `budget` entries; returns what is left of the budget. Entries that were pushed
    /// out before they were chained enter by their number.
    fn chain(&mut self, mut budget: u32) -> u32 {
        if self.chained < self.lost() && budget > 0 {
            let lost = self.lost().to_le_bytes();
            let hash = Sha256::new().chain_update(b"lost").chain_update(self.link);
            self.link = hash.chain_update(lost).finalize().into();
            self.base = self.link;
            self.chained = self.lost();
            budget = budget.saturating_sub(1);
        }
        while budget > 0 && self.chained < self.last {
            let sequence = self.chained.saturating_add(1);
            let before = self.link;
            let place = self.place_of(sequence).and_then(|at| self.places.get_mut(at));
            let Some(Some(place)) = place else { break };
            place.link = link(&before, &body(&place.entry));
            self.link = place.link;
            self.chained = sequence;
            budget = budget.saturating_sub(1);
        }
        budget
    }

    fn line(&self, subject: Option<EndpointId>, class: Class) -> Line {
        let class = match class {
            Class::Moves => 0,
            Class::Refusals => 1,
            Class::Looks => 2,
        };
        Line {
            subject: subject.map_or(0xffff, EndpointId::get),
            class,
            first: self.first,
            last: self.last,
            base: self.base,
            link: self.link,
        }
    }
}

impl<const ROOM: usize> Ledger<ROOM> {
    /// The rooms of a scope.
    pub(super) fn rooms_of(&self, vm: EndpointId, scope: LedgerScope) -> core::ops::Range<usize> {
        match scope {
            LedgerScope::All => 0..ROOMS,
            LedgerScope::Own => {
                // A stranger has no room of its own and never gets here.
                let room = self.room_of(vm).min(STRANGERS_ROOM);
                room..room.saturating_add(1)
            }
        }
    }

    /// The lines of a scope's rings, in the order of a dump. A ring of looks has one once there was a
    /// look: whoever never looks pays for no line.
    pub(super) fn lines(&self, rooms: core::ops::Range<usize>) -> impl Iterator<Item = Line> + '_ {
        let of = |at| self.rooms.get(at).map(|room| (self.owner_of(at), room));
        rooms.filter_map(of).flat_map(|(owner, room)| {
            let looks = (room.looks.last > 0).then(|| room.looks.line(owner, Class::Looks));
            [room.moves.line(owner, Class::Moves), room.refusals.line(owner, Class::Refusals)]
                .into_iter()
                .chain(looks)
        })
    }

    /// Chains what waits in the caller's scope, [`LINKS_PER_CALL`] entries at most, and returns the
    /// head. With nothing left to chain, this fixes up to where [`Ledger::page`] reads.
    pub fn head(&mut self, vm: EndpointId, scope: LedgerScope) -> Head {
        let rooms = self.rooms_of(vm, scope);
        let mut budget = LINKS_PER_CALL;
        let (mut sequence, mut unchained) = (0_u64, 0_u64);
        for room in self.rooms.get_mut(rooms.clone()).unwrap_or_default() {
            budget = room.moves.chain(budget);
            budget = room.refusals.chain(budget);
            budget = room.looks.chain(budget);
            for (last, waits) in [
                (room.moves.last, room.moves.unchained()),
                (room.refusals.last, room.refusals.unchained()),
                (room.looks.last, room.looks.unchained()),
            ] {
                sequence = sequence.saturating_add(last);
                unchained = unchained.saturating_add(waits);
            }
        }
        if unchained > 0 {
            return Head { sequence, digest: [0; 32], unchained };
        }
        let cut = usize::from(scope.code());
        for room in self.rooms.get_mut(rooms.clone()).unwrap_or_default() {
            room.moves.cut(cut);
            room.refusals.cut(cut);
            room.looks.cut(cut);
        }
        let digest = head_digest(FORMAT, sequence, self.lines(rooms).map(|l| l.bytes()));
        let head = Head { sequence, digest, unchained };
        if let Some(place) = self.kept_head_mut(vm, scope) {
            *place = head;
        }
        head
    }

    fn kept_head_mut(&mut self, vm: EndpointId, scope: LedgerScope) -> Option<&mut Head> {
        match scope {
            LedgerScope::All => Some(&mut self.auditors_head),
            LedgerScope::Own => {
                let room = self.room_of(vm);
                self.heads.get_mut(room)
            }
        }
    }

    /// The head as it was when [`Ledger::head`] last had nothing left to chain.
    #[must_use]
    pub fn kept_head(&self, vm: EndpointId, scope: LedgerScope) -> Head {
        match scope {
            LedgerScope::All => self.auditors_head,
            LedgerScope::Own => self.heads.get(self.room_of(vm)).copied().unwrap_or(Head::NONE),
        }
    }

    /// Chains one entry of a ring in which three quarters wait: between calls, where time is nobody's.
    /// Returns how many were chained, [`LINKS_PER_TEND`] at most. Never one of the looks: there is a place
    /// for each of them, and one that is chained is counted no further.
    pub fn tend(&mut self) -> u32 {
        let mut budget = LINKS_PER_TEND;
        for room in &mut self.rooms {
            if is_due(&room.moves) {
                budget = room.moves.chain(budget);
            }
            if is_due(&room.refusals) {
                budget = room.refusals.chain(budget);
            }
        }
        LINKS_PER_TEND.saturating_sub(budget)
    }
}

/// The fill mark: three quarters of the ring wait.
fn is_due<const N: usize>(ring: &Ring<N>) -> bool {
    usize::try_from(ring.unchained()).is_ok_and(|n| n.saturating_mul(4) >= N.saturating_mul(3))
}
