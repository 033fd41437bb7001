//! Owns the lives of VMs: created, destroyed, and what a destruction lets go, in bounded parts.

use super::{Broker, Life, Pending, id_of_slot};
use crate::defect::defective;
use crate::event::{MapFailed, Next, Out, VmVerdict};
use crate::grant::{Grant, Mapping, Party, Stage};
use crate::ledger::Action;
use causeway_abi::{GrantKind, Status};
use causeway_ffa::{EndpointId, FfaError};

/// Grants that one "VM destroyed" message deals with before it answers "in progress".
pub const DESTROY_BATCH: u8 = 16;

/// What a destruction means for one grant.
enum Fate {
    /// It is on its way out already, and the peer still maps it.
    Waits,
    /// The peer maps it and gets its deadline.
    Quiesce,
    /// The partition maps it.
    Unmap,
    /// Nobody maps it.
    Relinquish,
    /// It was donated: there is nothing to give back.
    Keep,
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    fn says_hypervisor(&self, caller: EndpointId) -> Result<(), Status> {
        let known = self.policy.hypervisor() == Some(caller);
        if known { Ok(()) } else { Err(Status::NotHypervisor) }
    }

    pub(super) fn vm_created(
        &mut self,
        caller: EndpointId,
        vm: EndpointId,
        out: &mut Out,
    ) -> Result<Next, Status> {
        self.says_hypervisor(caller)?;
        self.free_for_call()?;
        // The hypervisor may run VMs that the policy does not name; they get nothing here.
        let Some(index) = self.policy.vm_index(vm) else {
            return Ok(Next::VmReply(VmVerdict::Done));
        };
        let holds = !self.store.involving(index).is_empty();
        let Some(state) = self.vms.get_mut(usize::from(index)) else {
            return Err(Status::NoRoom);
        };
        let lives = match state.life {
            Life::Live | Life::Dying => true,
            Life::Assumed => holds,
            Life::Dead => false,
        };
        if lives && !defective!(self, CreateLive) {
            return Err(Status::AlreadyLive);
        }
        let incarnation = state.incarnation.checked_add(1).ok_or(Status::NoRoom)?;
        *state = super::Vm { life: Life::Live, incarnation, changed: false, bus: false };
        self.log_vm(vm, incarnation, Action::VmCreated, out);
        Ok(Next::VmReply(VmVerdict::Done))
    }

    /// The hypervisor says that the VM has stopped and that what it borrowed is unmapped.
    pub(super) fn vm_destroyed(
        &mut self,
        now: u64,
        caller: EndpointId,
        vm: EndpointId,
        out: &mut Out,
    ) -> Result<Next, Status> {
        self.says_hypervisor(caller)?;
        self.free_for_call()?;
        let Some(index) = self.policy.vm_index(vm) else {
            return Ok(Next::VmReply(VmVerdict::Done));
        };
        let Some(state) = self.vms.get_mut(usize::from(index)) else {
            return Err(Status::NoRoom);
        };
        match state.life {
            Life::Dead => return Ok(Next::VmReply(VmVerdict::Done)),
            Life::Assumed | Life::Live | Life::Dying => {}
        }
        state.life = Life::Dying;
        state.changed = false;
        state.bus = false;
        self.silence(index);
        Ok(self.destroy_next(now, index, 0, DESTROY_BATCH, out))
    }

    /// Deals with the next grant of a dying VM from slot `from` on.
    fn destroy_next(&mut self, now: u64, vm: u8, from: u16, left: u8, out: &mut Out) -> Next {
        let involved = self.store.involving(vm);
        let mut from = Some(from);
        self.pending = Pending::Nothing;
        while let Some(slot) = from.and_then(|f| involved.next_from(f)) {
            from = slot.checked_add(1);
            let Some(grant) = self.store.grant(slot).copied() else { continue };
            // The hypervisor's word counts even if the next step fails: this VM maps nothing.
            if grant.peer.is_some_and(|p| p.vm == vm) {
                self.store.update(slot, |g| g.mapping = Mapping::Absent);
            }
            let fate = self.fate(vm, &grant);
            if matches!(fate, Fate::Waits) {
                continue;
            }
            let Some(left) = left.checked_sub(1) else {
                return Next::VmReply(VmVerdict::InProgress);
            };
            self.pending = Pending::Destroy { vm, slot, left };
            // Before the image unmaps or lets go, the bus forgets the area. After a failure it is
            // told once more.
            if grant.is_usable() && !matches!(fate, Fate::Quiesce) {
                self.area_lost(slot, &grant, out);
            }
            return match fate {
                Fate::Waits => continue,
                Fate::Quiesce => {
                    self.quiesce(now, slot, vm, out);
                    Next::Continue
                }
                Fate::Unmap => Next::Unmap { grant: id_of_slot(slot, &grant) },
                Fate::Relinquish => Next::Relinquish(grant.handle),
                Fate::Keep => {
                    self.keep(slot, out);
                    Next::Continue
                }
            };
        }
        if let Some(state) = self.vms.get_mut(usize::from(vm)) {
            state.life = Life::Dead;
        }
        let Party { incarnation, .. } = self.party(vm);
        self.log_vm(self.id_of(vm), incarnation, Action::VmDestroyed, out);
        Next::VmReply(VmVerdict::Done)
    }

    fn fate(&self, vm: u8, grant: &Grant) -> Fate {
        if defective!(self, DestroyMapped) {
            return Fate::Relinquish;
        }
        if defective!(self, DestroyKeeps) {
            return Fate::Waits;
        }
        if grant.stage == Stage::Kept {
            return Fate::Waits;
        }
        match grant.peer {
            None if grant.use_count > 0 => Fate::Unmap,
            None if grant.kind == GrantKind::Donate && !defective!(self, DonateForgotten) => {
                Fate::Keep
            }
            Some(peer) if peer.vm != vm && self.lives(peer) && self.may_be_mapped(grant) => {
                if grant.is_usable() { Fate::Quiesce } else { Fate::Waits }
            }
            None | Some(_) => Fate::Relinquish,
        }
    }

    /// Goes on after [`Next::Continue`].
    pub(super) fn resume(&mut self, now: u64, out: &mut Out) -> Next {
        let Pending::Destroy { vm, slot, left } = self.pending else { return Next::Idle };
        self.destroy_next(now, vm, slot.saturating_add(1), left, out)
    }

    pub(super) fn destroyed_one(
        &mut self,
        vm: u8,
        slot: u16,
        left: u8,
        result: Result<(), FfaError>,
        out: &mut Out,
    ) -> Next {
        if result.is_err() {
            return self.destruction_failed(Status::SpmcFailure, out);
        }
        self.forget(slot, Some(vm), out);
        self.pending = Pending::Destroy { vm, slot, left };
        Next::Continue
    }

    /// The partition unmapped a dead VM's area, or could not.
    pub(super) fn destroyed_mapping(
        &mut self,
        slot: u16,
        result: Result<(), MapFailed>,
        out: &mut Out,
    ) -> Next {
        if result.is_err() {
            return self.destruction_failed(Status::NoRoom, out);
        }
        self.store.update(slot, |g| g.use_count = 0);
        let Some(grant) = self.store.grant(slot) else { return Next::Idle };
        self.log(grant, grant.owner.vm, Action::UseEnded, out);
        if grant.kind == GrantKind::Donate {
            self.keep(slot, out);
            return Next::Continue;
        }
        Next::Relinquish(grant.handle)
    }

    /// What was done stays done; the hypervisor sends the message again.
    fn destruction_failed(&mut self, status: Status, out: &mut Out) -> Next {
        self.pending = Pending::Nothing;
        let hypervisor = self.policy.hypervisor().unwrap_or_default();
        self.verdict(hypervisor, Err(status), out)
    }
}
