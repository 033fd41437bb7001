//! The naive model of joins: a list of halves, each with its area, and copies that are counted.

use super::naive::Model;
use causeway_abi::{Call, CopyDirection, JoinName, JoinState, Permission, Status};
use causeway_ffa::{EndpointId, MemHandle};

/// How many bytes each copy asks for.
const LENGTH: u64 = 8;

/// Whose side of which join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) vm: u16,
    pub(super) peer: u16,
    pub(super) number: u16,
}

impl Side {
    pub(super) fn name(self) -> JoinName {
        JoinName { peer: EndpointId::from_raw(self.peer), number: self.number }
    }

    /// A side that this VM may have: VM 1 and VM 3 may be joined.
    pub(super) fn of(self, vm: u16) -> Self {
        Self { vm, peer: if vm == 1 { 3 } else { 1 }, number: self.number % 2 }
    }

    pub(super) fn join(self, handle: MemHandle) -> Call {
        Call::Join { handle, name: self.name() }
    }

    /// Copies between the beginnings of the areas, or from and to an offset.
    pub(super) fn copy(self, direction: CopyDirection, offset: u64) -> Call {
        let (from_offset, to_offset) = (offset, offset);
        Call::Copy { name: self.name(), direction, from_offset, to_offset, length: LENGTH }
    }
}

/// One side of a join, in the lives of both VMs in which it was meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    owner: (u16, u32),
    peer: (u16, u32),
    number: u16,
    /// The area.
    pub(super) n: u64,
    sent: u64,
    received: u64,
}

impl Model {
    /// A side that is there, if one is: one that is joined if its number is even.
    pub(super) fn some_side(&self, side: Side) -> Side {
        let there = (0..self.halves.len()).filter(|at| self.halves[*at].is_some());
        let joined = |at: &usize| side.number % 2 == 1 || self.opposite(*at).is_some();
        let found = there.filter(joined).find_map(|at| self.halves[at]);
        found.map_or(side, |h| Side { vm: h.owner.0, peer: h.peer.0, number: h.number })
    }

    fn is_alive(&self, party: (u16, u32)) -> bool {
        self.live(party.0) == Some(party)
    }

    pub(super) fn end_join_of(&mut self, n: u64) {
        for half in &mut self.halves {
            *half = half.filter(|h| h.n != n);
        }
    }

    pub(super) fn join(&mut self, n: u64, side: Side) -> Result<(), Status> {
        let id = EndpointId::from_raw;
        let owner = self.live(side.vm).ok_or(Status::UnknownCaller)?;
        let room = usize::from(self.policy.joins_of(id(side.vm), id(side.peer)));
        if room == 0 {
            return Err(Status::PolicyPeer);
        }
        let peer = self.live(side.peer).ok_or(Status::PeerNotLive)?;
        if self.local(side.vm, n)? {
            return Err(Status::InUse);
        }
        let of_pair = |h: &Half| (h.owner.0, h.peer.0) == (side.vm, side.peer);
        let taken = |h: &Half| h.n == n || of_pair(h) && h.number == side.number;
        let all = || self.halves.iter().flatten();
        if all().any(|h| taken(h) && self.is_alive(h.peer)) {
            return Err(Status::AlreadyJoined);
        }
        if all().filter(|h| of_pair(h) && self.is_alive(h.peer)).count() >= room {
            return Err(Status::QuotaGrants);
        }
        // What was meant for an earlier life of the other VM makes room.
        self.halves.iter_mut().for_each(|half| *half = half.filter(|h| !taken(h)));
        if self.halves.iter().flatten().filter(|h| of_pair(h)).count() >= room {
            let stale = |h: &Half| of_pair(h) && !self.is_alive(h.peer);
            let at = self.halves.iter().position(|half| half.is_some_and(|h| stale(&h))).unwrap();
            self.halves[at] = None;
        }
        let half = Half { owner, peer, number: side.number, n, sent: 0, received: 0 };
        match self.halves.iter_mut().find(|half| half.is_none()) {
            Some(free) => *free = Some(half),
            None => self.halves.push(Some(half)),
        }
        Ok(())
    }

    fn half(&self, side: Side) -> Result<usize, Status> {
        let owner = self.live(side.vm).ok_or(Status::UnknownCaller)?;
        let is = |h: &Half| (h.owner, h.peer.0, h.number) == (owner, side.peer, side.number);
        let found = self.halves.iter().position(|half| half.is_some_and(|h| is(&h)));
        found.ok_or(Status::NotJoined)
    }

    fn opposite(&self, at: usize) -> Option<usize> {
        let mine = self.halves[at]?;
        let is = |h: &Half| (h.owner, h.peer, h.number) == (mine.peer, mine.owner, mine.number);
        let both_live = self.is_alive(mine.owner) && self.is_alive(mine.peer);
        self.halves.iter().position(|half| half.is_some_and(|h| is(&h))).filter(|_| both_live)
    }

    pub(super) fn part(&mut self, side: Side) -> Result<(), Status> {
        let at = self.half(side)?;
        self.halves[at] = None;
        Ok(())
    }

    /// What JOINED answers: state, bytes sent and received, pages of the other side.
    pub(super) fn joined(&self, side: Side) -> (Status, [u64; 4]) {
        let at = match self.half(side) {
            Ok(at) => at,
            Err(status) => return (status, [0; 4]),
        };
        let half = self.halves[at].unwrap();
        let other = self.opposite(at).and_then(|at| self.halves[at]);
        let state = if other.is_some() { JoinState::Joined } else { JoinState::Waiting };
        let pages = other.map_or(0, |h| self.area(h.n).1);
        (Status::Ok, [u64::from(state.code()), half.sent, half.received, pages])
    }

    pub(super) fn copy(
        &mut self,
        side: Side,
        direction: CopyDirection,
        offset: u64,
    ) -> Result<(), Status> {
        let mine = self.half(side)?;
        let other = self.opposite(mine).ok_or(Status::NotJoined)?;
        let (from, to) = match direction {
            CopyDirection::ToPeer => (mine, other),
            CopyDirection::FromPeer => (other, mine),
        };
        let [source, destination] = [from, to].map(|at| self.halves[at].unwrap());
        let id = |half: &Half| EndpointId::from_raw(half.owner.0);
        if !self.policy.may_copy(id(&source), id(&destination)) {
            return Err(Status::PolicyCopy);
        }
        let fits = |half: &Half| offset + LENGTH <= self.area(half.n).1 * 4096;
        let writable = self.area(destination.n).0 == Permission::ReadWrite;
        if !fits(&source) || !fits(&destination) || !writable {
            return Err(Status::OutsideArea);
        }
        self.halves[from].as_mut().unwrap().sent += LENGTH;
        self.halves[to].as_mut().unwrap().received += LENGTH;
        self.moved = Some((source.n, destination.n, LENGTH));
        Ok(())
    }
}
