//! Owns the doorbells: level state, rung from empty to non-empty only, and limited per sender. Never
//! loses one: what a sender causes beyond its ration waits until the ration is full again.

use super::{Broker, Pending};
use crate::defect::defective;
use crate::event::{Notice, Out};
use crate::grant::Party;
use crate::policy::vm_bit;
use causeway_ffa::EndpointId;

/// For how long a ration lasts.
pub const RING_WINDOW_MS: u64 = 100;

/// What one VM may make others look at, and what it may not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ration {
    /// Doorbells left until `full_at`.
    pub(super) left: u16,
    pub(super) full_at: u64,
    /// VMs to ring then, bit n for VM n.
    pub(super) late: u64,
}

impl Ration {
    pub(super) const NEW: Self = Self { left: 0, full_at: 0, late: 0 };

    /// When this ration, which is used up, is full again.
    const fn spent_until(&self) -> Option<u64> {
        if self.left == 0 && self.full_at > 0 { Some(self.full_at) } else { None }
    }
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// The VM whose call led to the step under way; none for the hypervisor and for time.
    pub(super) fn sender_of_sequence(&self) -> Option<u8> {
        match self.pending {
            Pending::Offer { vm, .. } | Pending::Undo { vm, .. } => Some(vm),
            Pending::Close { caller, .. } => self.policy.vm_index(caller),
            Pending::Copy(job) => Some(job.vm()),
            Pending::Nothing
            | Pending::Map { .. }
            | Pending::Unmap { .. }
            | Pending::Destroy { .. } => None,
        }
    }

    /// Makes a VM look: sets its doorbell and, if nothing was waiting, the hypervisor's.
    pub(super) fn ring(&mut self, vm: u8, out: &mut Out) {
        self.ring_id(self.id_of(vm), out);
    }

    /// [`Broker::ring`] of a VM whose id is known.
    pub(super) fn ring_id(&mut self, vm: EndpointId, out: &mut Out) {
        let bell = vm_bit(vm);
        if self.bells & bell == 0 && !self.take_ration(bell, out) {
            return;
        }
        self.bells |= bell;
        self.call_hypervisor(out);
    }

    /// Takes one doorbell of the sender's ration; `false`: it has none, and this one comes later.
    fn take_ration(&mut self, bell: u64, out: &Out) -> bool {
        let (limit, window, now) = (self.policy.ring_limit(), self.ring_ticks, out.now());
        let sender = out.sender().map(usize::from);
        let Some(ration) = sender.and_then(|at| self.rations.get_mut(at)) else { return true };
        if ration.full_at <= now {
            *ration = Ration { left: limit, full_at: now.saturating_add(window), late: 0 };
        }
        let Some(left) = ration.left.checked_sub(1) else {
            if defective!(self, RingUnlimited) {
                return true;
            }
            ration.late |= bell;
            return false;
        };
        ration.left = left;
        if left == 0 {
            // From here on the hypervisor's next deadline says when to look again.
            self.expire_at = self.expire_at.min(ration.full_at);
        }
        true
    }

    /// Fills the rations whose time has come and rings what waited for that.
    pub(super) fn refill_rations(&mut self, now: u64, out: &mut Out) {
        let mut bells = 0;
        for ration in &mut self.rations {
            if ration.spent_until().is_some_and(|at| at <= now) {
                bells |= ration.late;
                *ration = Ration::NEW;
            }
        }
        if bells != 0 && !defective!(self, RingLost) {
            self.bells |= bells;
            self.call_hypervisor(out);
        }
    }

    /// When the first ration that is used up is full again.
    pub(super) fn next_refill(&self) -> Option<u64> {
        self.rations.iter().filter_map(Ration::spent_until).min()
    }

    /// Nobody rings a VM that is gone.
    pub(super) fn silence(&mut self, vm: u8) {
        let others = !vm_bit(self.id_of(vm));
        self.bells &= others;
        for ration in &mut self.rations {
            ration.late &= others;
        }
    }

    /// Tells a party, if it still lives, that a grant of its changed.
    pub(super) fn tell(&mut self, party: Party, out: &mut Out) {
        if !self.lives(party) {
            return;
        }
        if let Some(vm) = self.vms.get_mut(usize::from(party.vm)) {
            vm.changed = true;
        }
        self.ring(party.vm, out);
    }

    pub(super) fn call_hypervisor(&mut self, out: &mut Out) {
        if self.attention {
            return;
        }
        self.attention = true;
        if let Some(doorbell) = self.doorbell.filter(|_| !defective!(self, RegisterSilent)) {
            out.push(Notice::RingHypervisor(doorbell));
        }
    }
}
