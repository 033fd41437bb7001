//! Owns what must not tell two states apart in a walk over all states: the clock, how often names
//! were used, unread doorbells. Never part of the image.

use super::{Broker, Life, Pending};
use crate::grant::{Party, Stage};
use std::vec::Vec;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// A copy in which the time is 0, deadlines are what is left of them, generations are those of
    /// a first use, and lives of VMs are the present one (1) or an earlier one (0).
    #[must_use]
    pub fn canonical(&self, now: u64) -> Self {
        let mut copy = self.clone();
        copy.store.forget_generations();
        copy.expire_at =
            if self.expire_at == u64::MAX { u64::MAX } else { self.expire_at.saturating_sub(now) };
        let slots: Vec<_> = self.store.live_slots().collect();
        for slot in slots {
            let Some(grant) = self.store.grant(slot).copied() else { continue };
            let lives = |party: Party| u32::from(self.party(party.vm) == party);
            copy.store.update(slot, |g| {
                g.owner.incarnation = lives(grant.owner);
                if let (Some(to), Some(from)) = (&mut g.peer, grant.peer) {
                    to.incarnation = lives(from);
                }
                match &mut g.stage {
                    Stage::Releasing { deadline: at } | Stage::AwaitingUnmap { ask_at: at } => {
                        *at = at.saturating_sub(now);
                    }
                    Stage::Offered | Stage::Accepted | Stage::Active => {}
                }
            });
        }
        for vm in &mut copy.vms {
            vm.incarnation = 1;
            (vm.changed, vm.bus) = (false, false);
            if vm.life == Life::Assumed {
                vm.life = Life::Live;
            }
        }
        (copy.bells, copy.attention, copy.poll_from) = (0, false, 0);
        copy
    }

    /// Whether no sequence is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending == Pending::Nothing
    }
}
