//! Owns who somebody is to the broker: the hypervisor, a VM that lives, a party to a grant. Never decides
//! what they may do.

use super::{Broker, Life};
use crate::defect::defective;
use crate::grant::{Grant, GrantId, Party};
use causeway_abi::Status;
use causeway_ffa::EndpointId;

/// Who calls, once known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Hypervisor,
    Vm(u8),
}

impl Caller {
    pub(super) const fn vm(self) -> Option<u8> {
        match self {
            Self::Hypervisor => None,
            Self::Vm(vm) => Some(vm),
        }
    }
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    pub(super) fn caller(&self, id: EndpointId) -> Result<Caller, Status> {
        if self.policy.hypervisor() == Some(id) {
            return Ok(Caller::Hypervisor);
        }
        let known = self.policy.vm_index(id);
        let live = known.filter(|vm| self.is_live(*vm) || defective!(self, DeadCaller));
        live.map(Caller::Vm).ok_or(Status::UnknownCaller)
    }

    pub(super) fn live_vm(&self, id: EndpointId) -> Option<u8> {
        self.policy.vm_index(id).filter(|vm| self.is_live(*vm))
    }

    pub(super) fn is_live(&self, vm: u8) -> bool {
        self.vms.get(usize::from(vm)).is_some_and(|v| match v.life {
            Life::Assumed | Life::Live => true,
            Life::Dying | Life::Dead => false,
        })
    }

    /// A VM in its present life.
    pub(super) fn party(&self, vm: u8) -> Party {
        let incarnation = self.vms.get(usize::from(vm)).map_or(0, |v| v.incarnation);
        Party { vm, incarnation }
    }

    /// Whether this life of the VM is the present one.
    pub(super) fn lives(&self, party: Party) -> bool {
        self.is_live(party.vm) && self.party(party.vm) == party
    }

    #[inline]
    pub(super) fn id_of(&self, vm: u8) -> EndpointId {
        // Only places in the policy's table are ever stored.
        self.policy.id_of(vm)
    }

    /// The grant of this VM, in its present life, as owner or peer.
    pub(super) fn own(
        &self,
        vm: u8,
        handle: causeway_ffa::MemHandle,
    ) -> Result<(u16, &Grant), Status> {
        let slot = self.store.find(handle).ok_or(Status::NoSuchGrant)?;
        let grant = self.store.grant(slot).ok_or(Status::NoSuchGrant)?;
        let me = self.party(vm);
        let mut mine = grant.owner == me || grant.peer == Some(me);
        if defective!(self, OldLife) {
            mine = grant.owner.vm == vm || grant.peer.is_some_and(|p| p.vm == vm);
        }
        if mine || defective!(self, AnyonesHandle) {
            Ok((slot, grant))
        } else if defective!(self, ForeignHandle) {
            Err(Status::WrongState)
        } else {
            Err(Status::NoSuchGrant)
        }
    }
}

pub(super) fn id_of_slot(slot: u16, grant: &Grant) -> GrantId {
    GrantId { slot, generation: grant.generation }
}
