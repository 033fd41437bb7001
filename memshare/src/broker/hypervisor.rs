//! Owns what the hypervisor says and asks: HYP_REGISTER, HYP_POLL, HYP_MAPPING, HYP_UNMAPPED. The
//! caller was checked before.

use super::{Broker, Cause, ok};
use crate::defect::defective;
use crate::event::{Doorbell, Next, Notice, Out};
use crate::grant::{Grant, Mapping, Stage};
use crate::ledger::Action;
use causeway_abi::{CallId, NO_HANDLE, Status};
use causeway_ffa::{EndpointId, MemHandle};

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    pub(super) fn hyp_register(
        &mut self,
        caller: EndpointId,
        doorbell: Doorbell,
        out: &mut Out,
    ) -> Next {
        self.doorbell = Some(doorbell);
        self.log_vm(caller, 0, Action::HypervisorRegistered, out);
        if self.attention {
            out.push(Notice::RingHypervisor(doorbell));
        }
        ok(CallId::HypRegister, [0; 4])
    }

    /// Hands out work. The hypervisor polls until nothing comes, and again at the deadline.
    pub(super) fn hyp_poll(&mut self, now: u64, out: &mut Out) -> Next {
        let bells = core::mem::take(&mut self.bells);
        self.attention = false;
        let (mut handle, mut vm) = (NO_HANDLE, 0);
        if let Some((slot, grant)) = self.due_for_unmap(now) {
            self.await_unmap(slot, now, now.saturating_add(self.unmap_ticks), out);
            self.poll_from = slot.checked_add(1).unwrap_or(0);
            handle = grant.handle.get();
            vm = grant.peer.map_or(0, |p| self.id_of(p.vm).get());
        }
        let deadline = self.next_deadline().unwrap_or(0);
        ok(CallId::HypPoll, [bells, handle, u64::from(vm), deadline])
    }

    /// The next grant, in turn, whose peer the hypervisor should unmap now.
    fn due_for_unmap(&self, now: u64) -> Option<(u16, Grant)> {
        if defective!(self, PollSilent) {
            return None;
        }
        let due = |slot: u16| {
            let grant = *self.store.grant(slot)?;
            let mapped = grant.mapping == Mapping::Present;
            (mapped && look_at(&grant)? <= now).then_some((slot, grant))
        };
        let closing = self.store.closing();
        let behind = closing.iter().filter(|s| *s >= self.poll_from).find_map(due);
        behind.or_else(|| closing.iter().filter(|s| *s < self.poll_from).find_map(due))
    }

    /// The next moment at which [`crate::Event::Tick`] or a poll would change something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let grants = self.store.closing().iter().filter_map(|slot| self.store.grant(slot));
        grants.filter_map(look_at).chain(self.next_refill()).min()
    }

    /// Asked before the stage-2 change: only what the peer accepted may be mapped.
    pub(super) fn hyp_mapping(
        &mut self,
        handle: MemHandle,
        vm: EndpointId,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let (slot, grant) = self.borrowed_by(handle, vm)?;
        let live = grant.peer.is_some_and(|p| self.lives(p)) && self.lives(grant.owner);
        if !live || !(grant.is_usable() || defective!(self, MapUnaccepted)) {
            return Err(Status::NoSuchGrant);
        }
        if grant.mapping == Mapping::Present {
            return Err(Status::WrongState);
        }
        let unrecorded = defective!(self, MapUnrecorded);
        self.store.update(slot, |g| {
            g.mapping = if unrecorded { Mapping::Absent } else { Mapping::Present };
            g.stage = Stage::Active;
        });
        if let Some(peer) = grant.peer {
            self.log(&grant, peer.vm, Action::Mapped, out);
        }
        Ok(ok(CallId::HypMapping, [0; 4]))
    }

    /// Said after the stage-2 change. A grant that is on its way out goes now.
    pub(super) fn hyp_unmapped(
        &mut self,
        caller: EndpointId,
        handle: MemHandle,
        vm: EndpointId,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let (slot, grant) = self.borrowed_by(handle, vm)?;
        match grant.stage {
            Stage::Offered | Stage::Accepted | Stage::Kept => {}
            Stage::Active => self.note_unmapped(slot, &grant, out),
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. }
                if defective!(self, UnmappedIgnored) => {}
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. } => {
                return Ok(self.close(slot, handle, caller, Cause::HypUnmapped));
            }
        }
        Ok(ok(CallId::HypUnmapped, [0; 4]))
    }

    fn note_unmapped(&mut self, slot: u16, grant: &Grant, out: &mut Out) {
        if grant.mapping == Mapping::Absent {
            return;
        }
        self.store.update(slot, |g| g.mapping = Mapping::Absent);
        if let Some(peer) = grant.peer {
            self.log(grant, peer.vm, Action::Unmapped, out);
        }
    }

    fn borrowed_by(&self, handle: MemHandle, vm: EndpointId) -> Result<(u16, Grant), Status> {
        let slot = self.store.find(handle).ok_or(Status::NoSuchGrant)?;
        let grant = self.store.grant(slot).ok_or(Status::NoSuchGrant)?;
        let peer = self.policy.vm_index(vm).ok_or(Status::NoSuchGrant)?;
        let borrowed = grant.peer.is_some_and(|p| p.vm == peer);
        if borrowed { Ok((slot, *grant)) } else { Err(Status::NoSuchGrant) }
    }
}

/// When a grant on its way out next needs attention. One whose peer was destroyed, and whose lock
/// the SPMC would not take back, waits for the hypervisor to repeat the destruction.
fn look_at(grant: &Grant) -> Option<u64> {
    match (grant.stage, grant.mapping) {
        (Stage::Releasing { deadline }, _) => Some(deadline),
        (Stage::AwaitingUnmap { ask_at }, Mapping::Present) => Some(ask_at),
        (Stage::AwaitingUnmap { .. }, Mapping::Absent)
        | (Stage::Offered | Stage::Accepted | Stage::Active | Stage::Kept, _) => None,
    }
}
