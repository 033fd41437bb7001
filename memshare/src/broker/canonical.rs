//! Owns what must not tell two states apart in a walk over all states: the clock, how often names
//! were used, unread doorbells. Never part of the image.

use super::bell::Ration;
use super::{Broker, Life, Pending};
use crate::defect::Defect;
use crate::grant::{Party, Stage};
use causeway_ffa::EndpointId;
use core::hash::{Hash, Hasher};

/// Up to this limit a walk counts what is left of a ration.
const SMALL_RATION: u16 = 2;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Makes the time 0, deadlines what is left of them, generations those of a first use, and lives
    /// of VMs the present one (1) or an earlier one (0).
    pub fn make_canonical(&mut self, now: u64) {
        self.store.forget_generations();
        if self.expire_at != u64::MAX {
            self.expire_at = self.expire_at.saturating_sub(now);
        }
        let incarnations = self.vms.map(|vm| vm.incarnation);
        let lives = |party: Party| {
            let present = incarnations.get(usize::from(party.vm)).copied().unwrap_or(0);
            u32::from(present == party.incarnation)
        };
        for slot in 0..u16::try_from(G).unwrap_or(u16::MAX) {
            self.store.update(slot, |g| {
                g.owner.incarnation = lives(g.owner);
                if let Some(peer) = &mut g.peer {
                    peer.incarnation = lives(*peer);
                }
                match &mut g.stage {
                    Stage::Releasing { deadline: at } | Stage::AwaitingUnmap { ask_at: at } => {
                        *at = at.saturating_sub(now);
                    }
                    Stage::Offered | Stage::Accepted | Stage::Active | Stage::Kept => {}
                }
            });
        }
        self.joins.make_canonical(|half| {
            half.owner.incarnation = lives(half.owner);
            half.peer.incarnation = lives(half.peer);
            (half.sent, half.received) = (0, 0);
        });
        for vm in &mut self.vms {
            vm.incarnation = 1;
            (vm.changed, vm.bus) = (false, false);
        }
        let limit = self.policy.ring_limit();
        for ration in &mut self.rations {
            // What is left of a ration tells states apart only where it is small or used up.
            let counts = ration.full_at > now && (limit <= SMALL_RATION || ration.left == 0);
            *ration = if counts {
                Ration { full_at: ration.full_at.saturating_sub(now), ..*ration }
            } else {
                Ration::NEW
            };
        }
        (self.bells, self.attention, self.poll_from) = (0, false, 0);
    }

    /// Makes the broker wrong in one way, to see whether a walk finds it.
    pub fn sabotage(&mut self, defect: Option<Defect>) {
        self.defect = defect;
    }

    /// Whether the hypervisor was told of every VM that has something to look at.
    #[must_use]
    pub fn rings_are_told(&self) -> bool {
        self.bells == 0 || self.attention
    }

    /// Whether this VM has used up its ration of doorbells.
    #[must_use]
    pub fn may_not_ring(&self, vm: EndpointId, now: u64) -> bool {
        let ration = self.policy.vm_index(vm).and_then(|at| self.rations.get(usize::from(at)));
        ration.is_some_and(|r| r.left == 0 && r.full_at > now)
    }

    /// Doorbells that wait for a ration, bit n for VM n.
    #[must_use]
    pub fn late_bells(&self) -> u64 {
        self.rations.iter().fold(0, |all, r| all | r.late)
    }

    /// Whether the hypervisor named a doorbell.
    #[must_use]
    pub const fn has_doorbell(&self) -> bool {
        self.doorbell.is_some()
    }

    /// Whether nobody ever spoke of this VM, which lives by assumption.
    #[must_use]
    pub fn is_assumed(&self, vm: EndpointId) -> bool {
        let state = self.policy.vm_index(vm).and_then(|at| self.vms.get(usize::from(at)));
        state.is_some_and(|v| v.life == Life::Assumed)
    }

    /// VMs whose doorbell is to be rung, bit n for VM n.
    #[must_use]
    pub const fn bells(&self) -> u64 {
        self.bells
    }

    /// Whether no sequence is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending == Pending::Nothing
    }
}

/// The policy never changes, so that it tells no states apart.
impl<const G: usize, const R: usize, const W: usize> Hash for Broker<G, R, W> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.store.hash(state);
        self.vms.hash(state);
        self.pending.hash(state);
        self.doorbell.hash(state);
        self.seal.hash(state);
        self.joins.hash(state);
        self.rations.hash(state);
        (self.bells, self.attention, self.poll_from, self.expire_at).hash(state);
    }
}
