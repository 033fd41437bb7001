//! Owns how a grant ends: quiesced, past its deadline, let go. A failed step leaves it as it was.

use super::{Broker, Cause, Pending, id_of_slot, ok};
use crate::defect::defective;
use crate::event::{Next, Notice, Out, Step};
use crate::grant::{Grant, Mapping, Stage};
use crate::ledger::Action;
use causeway_abi::{CallId, LifeState, Status};
use causeway_ffa::{EndpointId, FfaError, MemHandle};

/// How many deadlines one step looks after; the others count all the same ([`super::owner::life_at`])
/// and are seen by the next steps.
const EXPIRE_PER_STEP: usize = 2;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Begins to let a grant go that nobody maps.
    pub(super) fn close(
        &mut self,
        slot: u16,
        handle: MemHandle,
        caller: EndpointId,
        cause: Cause,
    ) -> Next {
        self.pending = Pending::Close { slot, caller, cause };
        Next::Relinquish(handle)
    }

    #[inline(never)]
    pub(super) fn relinquished(&mut self, now: u64, result: Result<(), FfaError>, step: &mut Step) {
        let Pending::Close { slot, caller, cause } = self.pending else {
            self.begin(now, step);
            step.next = Ok(self.relinquished_otherwise(result, &mut step.out));
            return;
        };
        let Step { out, next } = step;
        out.begin(now, self.policy.vm_index(caller));
        self.pending = Pending::Nothing;
        *next = Ok(self.closed(slot, caller, cause, result, out));
    }

    #[inline(never)]
    fn relinquished_otherwise(&mut self, result: Result<(), FfaError>, out: &mut Out) -> Next {
        match self.pending {
            Pending::Undo { request, status, .. } => self.undone(request, status, result, out),
            Pending::Destroy { vm, slot, left } => self.destroyed_one(vm, slot, left, result, out),
            Pending::Nothing
            | Pending::Offer { .. }
            | Pending::Close { .. }
            | Pending::Map { .. }
            | Pending::Unmap { .. }
            | Pending::Copy(_) => Next::Idle,
        }
    }

    fn closed(
        &mut self,
        slot: u16,
        caller: EndpointId,
        cause: Cause,
        result: Result<(), FfaError>,
        out: &mut Out,
    ) -> Next {
        let id = match cause {
            Cause::Revoke => CallId::Revoke,
            Cause::Reject => CallId::Reject,
            Cause::Release => CallId::Release,
            Cause::HypUnmapped => CallId::HypUnmapped,
        };
        if result.is_err() && !defective!(self, CloseFailed) {
            return self.answer(caller, id.number(), Err(Status::SpmcFailure), out);
        }
        let released = u64::from(LifeState::Released.code());
        let answer = match cause {
            Cause::Revoke | Cause::Release => [released, 0, 0, 0],
            Cause::Reject | Cause::HypUnmapped => [0; 4],
        };
        if let Some(grant) = self.store.grant(slot) {
            if cause == Cause::HypUnmapped {
                let subject = grant.peer.map_or(grant.owner.vm, |p| p.vm);
                self.log(grant, subject, Action::Unmapped, out);
            }
            if grant.is_usable() {
                self.area_lost(slot, grant, out);
            }
        }
        // The sequence's sender is the caller.
        self.forget(slot, out.sender(), out);
        ok(id, answer)
    }

    pub(super) fn area_lost(&self, slot: u16, grant: &Grant, out: &mut Out) {
        let owner = self.id_of(grant.owner.vm);
        let (grant, handle) = (id_of_slot(slot, grant), grant.handle);
        out.push(Notice::AreaLost { grant, owner, handle });
    }

    /// The lock is gone: the name dies. `by` is the VM that caused it and needs no telling.
    pub(super) fn forget(&mut self, slot: u16, by: Option<u8>, out: &mut Out) {
        self.end_join_of(slot, out);
        self.seal_before_end(slot);
        let Some(grant) = self.store.grant(slot) else { return };
        let (owner, peer) = (grant.owner, grant.peer);
        self.log(grant, by.unwrap_or(owner.vm), Action::Moved(LifeState::Released), out);
        self.store.remove(slot);
        if by != Some(owner.vm) {
            self.tell(owner, out);
        }
        if let Some(peer) = peer.filter(|peer| by != Some(peer.vm)) {
            self.tell(peer, out);
        }
    }

    /// The giver of donated memory is gone. Nobody can name it any more, and its pages never come
    /// back: they stay in the tables (I1) and charged to the pair.
    pub(super) fn keep(&mut self, slot: u16, out: &mut Out) {
        self.end_join_of(slot, out);
        self.store.update(slot, |g| g.stage = Stage::Kept);
        let Some(grant) = self.store.grant(slot) else { return };
        self.log(grant, grant.owner.vm, Action::Kept, out);
    }

    /// A grant that its peer may still map is on its way out: its ring is dead from now on, and the
    /// peer has until the deadline.
    pub(super) fn quiesce(&mut self, now: u64, slot: u16, by: u8, out: &mut Out) {
        let Some(grant) = self.store.grant(slot).copied() else { return };
        let deadline = now.saturating_add(self.unmap_ticks);
        self.store.update(slot, |g| {
            g.stage = Stage::Releasing { deadline };
            g.use_count = 0;
        });
        self.expire_at = self.expire_at.min(deadline);
        if !defective!(self, QuiesceUntold) {
            self.area_lost(slot, &grant, out);
        }
        self.log(&grant, by, Action::Moved(LifeState::Releasing), out);
        for party in [Some(grant.owner), grant.peer].into_iter().flatten() {
            if party.vm != by {
                self.tell(party, out);
            }
        }
    }

    /// Looks after deadlines that have passed, a few at a time.
    #[inline]
    pub(super) fn expire(&mut self, now: u64, out: &mut Out) {
        if now >= self.expire_at && !defective!(self, ExpireNever) {
            self.expire_some(now, out);
        }
    }

    #[inline(never)]
    fn expire_some(&mut self, now: u64, out: &mut Out) {
        self.refill_rations(now, out);
        for _ in 0..EXPIRE_PER_STEP {
            let overdue = |slot: &u16| {
                self.store.grant(*slot).is_some_and(|g| match g.stage {
                    Stage::Releasing { deadline } => deadline <= now,
                    Stage::Offered
                    | Stage::Accepted
                    | Stage::Active
                    | Stage::AwaitingUnmap { .. }
                    | Stage::Kept => false,
                })
            };
            let Some(slot) = self.store.closing().iter().find(overdue) else { break };
            self.await_unmap(slot, now, now, out);
        }
        let deadlines = self.store.closing().iter().filter_map(|slot| {
            self.store.grant(slot).and_then(|g| match g.stage {
                Stage::Releasing { deadline } => Some(deadline),
                Stage::Offered
                | Stage::Accepted
                | Stage::Active
                | Stage::AwaitingUnmap { .. }
                | Stage::Kept => None,
            })
        });
        self.expire_at = deadlines.chain(self.next_refill()).min().unwrap_or(u64::MAX);
    }

    /// The deadline has passed: the hypervisor is to unmap the peer, and is asked from `ask_at` on.
    pub(super) fn await_unmap(&mut self, slot: u16, now: u64, ask_at: u64, out: &mut Out) {
        let Some(grant) = self.store.grant(slot).copied() else { return };
        self.store.update(slot, |g| g.stage = Stage::AwaitingUnmap { ask_at });
        if matches!(grant.stage, Stage::Releasing { .. }) {
            self.log(&grant, grant.owner.vm, Action::Moved(LifeState::AwaitingUnmap), out);
            // Unmapped already: the peer was destroyed, and the SPMC would not take the lock back.
            if ask_at <= now && grant.mapping == Mapping::Present {
                self.call_hypervisor(out);
            }
        }
    }
}
