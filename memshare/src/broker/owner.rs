//! Owns the owner's calls on a grant: REVOKE, and STATE, which the peer may ask too.

use super::{Broker, Cause, ok};
use crate::defect::defective;
use crate::event::{Next, Out};
use crate::grant::{Grant, Mapping, Stage};
use crate::policy::ReclaimGuard;
use causeway_abi::{CallId, GrantKind, LifeState, Status};
use causeway_ffa::MemHandle;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Takes a grant back: at once if nobody maps it, else the peer has until a deadline.
    pub(super) fn revoke(
        &mut self,
        now: u64,
        vm: u8,
        handle: MemHandle,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let (slot, grant) = self.own(vm, handle)?;
        if grant.owner.vm != vm {
            return Err(Status::NoSuchGrant);
        }
        if grant.kind == GrantKind::Donate && !defective!(self, DonateReturned) {
            return Err(Status::Donated);
        }
        if grant.peer.is_none() && grant.use_count > 0 && !defective!(self, RevokeInUse) {
            return Err(Status::InUse);
        }
        if !self.may_be_mapped(grant) || defective!(self, RevokeOnWord) {
            return Ok(self.close(slot, handle, self.id_of(vm), Cause::Revoke));
        }
        if grant.is_usable() {
            self.quiesce(now, slot, vm, out);
        }
        self.reply_state(now, CallId::Revoke, slot)
    }

    /// Says where a grant stands.
    pub(super) fn state(&self, now: u64, vm: u8, handle: MemHandle) -> Result<Next, Status> {
        let (_, grant) = self.own(vm, handle)?;
        let life = life_at(grant, now);
        Ok(ok(CallId::State, [u64::from(life.code()), u64::from(grant.serial), 0, 0]))
    }

    /// Whether the peer may still map the pages, and nobody but us would keep the owner from
    /// reclaiming them.
    pub(super) fn may_be_mapped(&self, grant: &Grant) -> bool {
        match (self.policy.reclaim_guard(), grant.mapping) {
            (ReclaimGuard::Partition, Mapping::Present) => true,
            (ReclaimGuard::Partition, Mapping::Absent) | (ReclaimGuard::Hypervisor, _) => false,
        }
    }

    pub(super) fn reply_state(&self, now: u64, id: CallId, slot: u16) -> Result<Next, Status> {
        let grant = self.store.grant(slot).ok_or(Status::NoSuchGrant)?;
        Ok(ok(id, [u64::from(life_at(grant, now).code()), 0, 0, 0]))
    }
}

/// Where a grant stands at this moment: a deadline counts when it passes, not when it is seen.
pub(super) const fn life_at(grant: &Grant, now: u64) -> LifeState {
    match grant.stage {
        Stage::Releasing { deadline } if deadline <= now => LifeState::AwaitingUnmap,
        Stage::Offered
        | Stage::Accepted
        | Stage::Active
        | Stage::Releasing { .. }
        | Stage::AwaitingUnmap { .. }
        | Stage::Kept => grant.life(),
    }
}
