//! Owns joined areas: two local areas of two VMs, between which the partition copies on request and
//! counts. Never copies itself, and never lets an area of one VM be named by the other.
//!
//! Each VM joins an area of its own under the other's id and a number. The two halves make a join
//! while both areas and both VMs live; a half whose counterpart is gone waits.

use super::{Broker, Pending, id_of_slot, ok};
use crate::defect::defective;
use crate::event::{MapFailed, Next, Notice, Out};
use crate::grant::{Grant, GrantId, Party};
use crate::ledger::{Action, Record};
use crate::policy::MAX_JOINS;
use crate::table::Bits;
use causeway_abi::join::COPY_MAX_BYTES;
use causeway_abi::{CallId, CopyDirection, JoinName, JoinState, Permission, Status};
use causeway_ffa::MemHandle;

/// One VM's side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Half {
    pub(super) owner: Party,
    /// The other VM, in the life in which it was meant.
    pub(super) peer: Party,
    number: u16,
    slot: u16,
    /// Bytes copied out of the area and into it since it was joined.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Half {
    /// Tells any two halves apart, for comparing states.
    #[cfg(any(test, feature = "explore"))]
    pub(super) fn sort_key(&self) -> [u32; 4] {
        [self.owner.vm.into(), self.peer.vm.into(), self.number.into(), self.peer.incarnation]
    }

    /// Whether this VM knows the half under this name.
    const fn is_named(&self, vm: u8, peer: u8, number: u16) -> bool {
        self.owner.vm == vm && self.peer.vm == peer && self.number == number
    }
}

/// Every half, each in a place that the policy reserved for its owner and peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Halves {
    places: [Option<Half>; MAX_JOINS],
    /// The places that are taken: nobody walks over the others.
    taken: Bits<1>,
}

impl Halves {
    const FITS: () = assert!(MAX_JOINS <= 64, "one word says which places are taken");

    pub(super) const fn new() -> Self {
        let () = Self::FITS;
        Self { places: [None; MAX_JOINS], taken: Bits::new() }
    }

    /// The halves, each with its place.
    fn iter(&self) -> impl Iterator<Item = (u8, &Half)> + '_ {
        self.taken.iter().filter_map(|at| {
            let half = self.places.get(usize::from(at))?.as_ref()?;
            Some((u8::try_from(at).ok()?, half))
        })
    }

    fn at(&self, place: u8) -> Option<Half> {
        self.places.get(usize::from(place)).copied().flatten()
    }

    fn at_mut(&mut self, place: u8) -> Option<&mut Half> {
        self.places.get_mut(usize::from(place))?.as_mut()
    }

    /// Enters a half; `None`, and no change, if every place is taken.
    fn add(&mut self, half: Half) -> Option<()> {
        let at = self.taken.first_absent()?;
        *self.places.get_mut(usize::from(at))? = Some(half);
        self.taken.set(at);
        Some(())
    }

    fn remove(&mut self, place: u8) {
        if let Some(half) = self.places.get_mut(usize::from(place)) {
            *half = None;
            self.taken.clear(u16::from(place));
        }
    }

    /// Changes every half, then puts them in an order of their own, for comparing states.
    #[cfg(any(test, feature = "explore"))]
    pub(super) fn make_canonical(&mut self, mut change: impl FnMut(&mut Half)) {
        if self.taken.is_empty() {
            return;
        }
        self.places.iter_mut().flatten().for_each(&mut change);
        self.places.sort_unstable_by_key(|half| half.map_or([u32::MAX; 4], |h| h.sort_key()));
        self.taken = Bits::new();
        for (at, _) in (0..).zip(self.places.iter().map_while(Option::as_ref)) {
            self.taken.set(at);
        }
    }
}

/// A copy under way: the places of the caller's half and of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CopyJob {
    vm: u8,
    mine: u8,
    other: u8,
    direction: CopyDirection,
    len: u32,
}

impl CopyJob {
    /// Who asked for it.
    pub(super) const fn vm(self) -> u8 {
        self.vm
    }
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// JOIN: enters the caller's half.
    pub(super) fn join(
        &mut self,
        vm: u8,
        handle: MemHandle,
        name: JoinName,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let me = self.id_of(vm);
        let room = self.policy.joins_of(me, name.peer);
        if room == 0 {
            return Err(Status::PolicyPeer);
        }
        let peer = self.live_vm(name.peer).ok_or(Status::PeerNotLive)?;
        let (slot, grant) = self.joinable(vm, handle)?;
        let takes = |h: &Half| h.slot == slot || h.is_named(vm, peer, name.number);
        if self.halves().any(|(_, h)| takes(&h) && self.lives(h.peer)) {
            return Err(Status::AlreadyJoined);
        }
        if !self.seal.admits_join(me, name) && !defective!(self, SealIgnored) {
            return Err(Status::Sealed);
        }
        let is_stale = |(_, h): &(u8, Half)| !self.lives(h.peer);
        let mine = || self.halves().filter(|(_, h)| h.owner.vm == vm && h.peer.vm == peer);
        if mine().count() >= usize::from(room) && !mine().any(|h| is_stale(&h)) {
            return Err(Status::QuotaGrants);
        }
        // Halves that were meant for an earlier life of the other VM make room.
        while let Some((at, half)) = self.first_half(takes) {
            self.end_half(at, &half, out);
        }
        let of_pair = |h: &Half| h.owner.vm == vm && h.peer.vm == peer;
        if self.halves().filter(|(_, h)| of_pair(h)).count() >= usize::from(room) {
            let stale = self.first_half(|h| of_pair(h) && !self.lives(h.peer));
            let (at, half) = stale.ok_or(Status::QuotaGrants)?;
            self.end_half(at, &half, out);
        }
        let (owner, peer) = (self.party(vm), self.party(peer));
        let half = Half { owner, peer, number: name.number, slot, sent: 0, received: 0 };
        self.joins.add(half).ok_or(Status::NoRoom)?;
        self.joined_slots.set(slot);
        self.log_join(&half, &grant, Action::Joined, u64::from(name.number), out);
        let other = self.counterpart(&half).map(|(_, h)| h);
        if other.is_some() {
            self.tell(peer, out);
        }
        let pages = other.map_or(0, |h| self.pages_of(&h));
        Ok(ok(CallId::Join, [u64::from(state(other.as_ref()).code()), pages, 0, 0]))
    }

    /// The caller's own local area, if nothing lies in it.
    fn joinable(&self, vm: u8, handle: MemHandle) -> Result<(u16, Grant), Status> {
        let (slot, grant) = self.own(vm, handle)?;
        let is_local = grant.owner.vm == vm && grant.peer.is_none();
        if !is_local && !defective!(self, JoinForeign) {
            return Err(Status::NoSuchGrant);
        }
        if !grant.is_usable() {
            return Err(Status::WrongState);
        }
        if grant.use_count > 0 { Err(Status::InUse) } else { Ok((slot, *grant)) }
    }

    /// PART: ends the caller's half. The other side waits again.
    pub(super) fn part(&mut self, vm: u8, name: JoinName, out: &mut Out) -> Result<Next, Status> {
        let (place, half) = self.half(vm, name).ok_or(Status::NotJoined)?;
        self.end_half(place, &half, out);
        Ok(ok(CallId::Part, [half.sent, half.received, 0, 0]))
    }

    /// JOINED: how a join stands.
    pub(super) fn joined(&self, vm: u8, name: JoinName) -> Result<Next, Status> {
        let (_, half) = self.half(vm, name).ok_or(Status::NotJoined)?;
        let other = self.counterpart(&half).map(|(_, h)| h);
        let pages = other.map_or(0, |h| self.pages_of(&h));
        let state = u64::from(state(other.as_ref()).code());
        Ok(ok(CallId::Joined, [state, half.sent, half.received, pages]))
    }

    /// COPY: checks everything, then asks for the bytes to be moved.
    pub(super) fn copy(
        &mut self,
        vm: u8,
        (name, direction): (JoinName, CopyDirection),
        (from_offset, to_offset): (u64, u64),
        length: u64,
    ) -> Result<Next, Status> {
        let (mine, half) = self.half(vm, name).ok_or(Status::NotJoined)?;
        let (other, counterpart) = self.counterpart(&half).ok_or(Status::NotJoined)?;
        let (me, peer) = (self.id_of(vm), name.peer);
        let (from, to, source, destination) = match direction {
            CopyDirection::ToPeer => (me, peer, half, counterpart),
            CopyDirection::FromPeer => (peer, me, counterpart, half),
        };
        if !self.policy.may_copy(from, to) && !defective!(self, CopyBackwards) {
            return Err(Status::PolicyCopy);
        }
        let (from, to) = (self.area_of(&source), self.area_of(&destination));
        let (from, to) = from.zip(to).ok_or(Status::NotJoined)?;
        let write = if defective!(self, CopyReadOnly) {
            Permission::ReadOnly
        } else {
            Permission::ReadWrite
        };
        let inside = self.permits(from, from_offset, length, Permission::ReadOnly)
            && self.permits(to, to_offset, length, write);
        if !inside && !defective!(self, CopyOutside) {
            return Err(Status::OutsideArea);
        }
        let len = u32::try_from(length).unwrap_or(u32::MAX).min(COPY_MAX_BYTES);
        self.pending = Pending::Copy(CopyJob { vm, mine, other, direction, len });
        Ok(Next::Copy { from, from_offset, to, to_offset, len })
    }

    /// The bytes were moved, or some of them, or none.
    pub(super) fn copied(&mut self, result: Result<u32, MapFailed>, out: &mut Out) -> Next {
        let Pending::Copy(CopyJob { vm, mine, other, direction, len }) = self.pending else {
            return Next::Idle;
        };
        self.pending = Pending::Nothing;
        let moved = u64::from(result.unwrap_or(0).min(len));
        if moved == 0 {
            let caller = self.id_of(vm);
            return self.answer(caller, CallId::Copy.number(), Err(Status::NoRoom), out);
        }
        let (source, destination) = match direction {
            CopyDirection::ToPeer => (mine, other),
            CopyDirection::FromPeer => (other, mine),
        };
        let counted = if defective!(self, CopyUncounted) { 0 } else { moved };
        if let Some(half) = self.joins.at_mut(source) {
            half.sent = half.sent.saturating_add(counted);
        }
        if let Some(half) = self.joins.at_mut(destination) {
            half.received = half.received.saturating_add(counted);
        }
        let Some(half) = self.joins.at(mine) else { return Next::Idle };
        if let Some(grant) = self.store.grant(half.slot).copied() {
            self.log_join(&half, &grant, Action::Copied, moved, out);
        }
        ok(CallId::Copy, [moved, half.sent, half.received, 0])
    }

    /// Ends the half, if there is one, of an area that ends.
    pub(super) fn end_join_of(&mut self, slot: u16, out: &mut Out) {
        if !self.is_joined(slot) || defective!(self, JoinOutlives) {
            return;
        }
        if let Some((place, half)) = self.first_half(|h| h.slot == slot) {
            self.end_half(place, &half, out);
        }
    }

    fn end_half(&mut self, place: u8, half: &Half, out: &mut Out) {
        let other = self.opposite(half);
        self.joins.remove(place);
        self.joined_slots.clear(half.slot);
        if let Some(grant) = self.store.grant(half.slot).copied() {
            let bytes = half.sent.saturating_add(half.received);
            self.log_join(half, &grant, Action::Parted, bytes, out);
        }
        if other.is_some() {
            self.tell(half.peer, out);
        }
    }

    fn halves(&self) -> impl Iterator<Item = (u8, Half)> + '_ {
        self.joins.iter().map(|(at, half)| (at, *half))
    }

    fn first_half(&self, is: impl Fn(&Half) -> bool) -> Option<(u8, Half)> {
        self.halves().find(|(_, h)| is(h))
    }

    /// Whether an area is joined: the bus must not use it, lest bytes of others get into its FIFO.
    pub(super) fn is_joined(&self, slot: u16) -> bool {
        self.joined_slots.contains(slot)
    }

    /// The caller's half of this name.
    fn half(&self, vm: u8, name: JoinName) -> Option<(u8, Half)> {
        let peer = self.policy.vm_index(name.peer)?;
        self.halves().find(|(_, h)| h.is_named(vm, peer, name.number) && self.lives(h.owner))
    }

    /// The other side of a half, while both VMs live.
    fn counterpart(&self, half: &Half) -> Option<(u8, Half)> {
        self.opposite(half).filter(|(_, h)| self.lives(h.owner) && self.lives(h.peer))
    }

    /// The other side of a half.
    fn opposite(&self, half: &Half) -> Option<(u8, Half)> {
        let number = |h: &Half| h.number == half.number || defective!(self, JoinAnyNumber);
        self.halves().find(|(_, h)| h.owner == half.peer && h.peer == half.owner && number(h))
    }

    fn area_of(&self, half: &Half) -> Option<GrantId> {
        self.store.grant(half.slot).map(|g| id_of_slot(half.slot, g))
    }

    fn pages_of(&self, half: &Half) -> u64 {
        self.store.grant(half.slot).map_or(0, |g| u64::from(g.extent.page_count))
    }

    /// In the room of the half's owner: what the other side does fills nobody else's.
    fn log_join(&self, half: &Half, grant: &Grant, action: Action, bytes: u64, out: &mut Out) {
        out.push(Notice::Ledger(Record {
            subject: self.id_of(half.owner.vm),
            owner: Some(self.id_of(half.owner.vm)),
            peer: Some(self.id_of(half.peer.vm)),
            handle: Some(grant.handle),
            generation: u32::from(half.number),
            page_count: grant.extent.page_count,
            action,
            fold: bytes,
        }));
    }

    /// The names of all halves, for the seal: owner, peer, number.
    pub(super) fn join_names(
        &self,
    ) -> impl Iterator<Item = (causeway_ffa::EndpointId, JoinName)> + '_ {
        self.joins.iter().map(|(_, h)| {
            let name = JoinName { peer: self.id_of(h.peer.vm), number: h.number };
            (self.id_of(h.owner.vm), name)
        })
    }
}

const fn state(other: Option<&Half>) -> JoinState {
    match other {
        Some(_) => JoinState::Joined,
        None => JoinState::Waiting,
    }
}
