//! Owns the end of a transaction: an owner's reclaim, and that of an owner who is gone. Never
//! reclaims what a VM maps; what the partition holds, the SPMC refuses.

use super::{Memory, Outcome};
use crate::arch::sysreg;
use crate::arch::uart::say;
use crate::hyp::dispatch::Refusal;
use crate::hyp::partition;
use crate::hyp::state::{COUNTERS, stage2};
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::{Answer, Call, FfaError, MemHandle, Transfer};
use causeway_monitor::book::{Share, Slot};
use causeway_monitor::layout::VmIndex;
use causeway_monitor::rules::{self, LastReclaim};

/// How far the reclaim of a dead owner's transactions has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Estate {
    /// Nothing is left.
    Settled,
    /// Somebody still holds something.
    Held,
}

impl Memory {
    /// FFA_MEM_RECLAIM of a VM.
    pub(crate) fn reclaim(
        &mut self,
        vm: VmIndex,
        handle: MemHandle,
        flags: ReclaimFlags,
    ) -> Outcome {
        #[cfg(feature = "raw")]
        if let Some(outcome) = self.reclaim_below(vm, handle, flags) {
            return outcome;
        }
        if flags != ReclaimFlags::default() {
            return Err(FfaError::InvalidParameters.into());
        }
        let (slot, share) = rules::check_reclaim(&self.book, vm, handle)?;
        let flags = ReclaimFlags::default();
        partition::ffa(&Call::MemReclaim { handle, flags }).map_err(Refusal::Below)?;
        self.close(slot, &share);
        Ok(Answer::success())
    }

    /// The SPMC let go: the pages are the owner's again.
    pub(super) fn close(&mut self, slot: Slot, share: &Share) {
        let owner = share.terms.owner;
        if share.terms.kind == Transfer::Lend {
            let mut table = stage2(owner);
            self.book.ranges(slot).for_each(|range| table.restore_ram(owner, range));
            sysreg::dsb();
            sysreg::isb();
        }
        self.claims[owner.index()].release(owner, self.book.ranges(slot));
        self.book.remove(slot);
        COUNTERS.reclaims.count();
    }

    /// Reclaims what a dead VM owned, as far as nobody maps or holds it.
    pub(crate) fn settle(&mut self, vm: VmIndex) -> Estate {
        let free = |share: &Share| share.terms.owner == vm && !share.terms.is_mapped();
        let mut last = None;
        while let Some(slot) = self.book.next_slot(last, free) {
            last = Some(slot);
            let Some(share) = self.book.share(slot).copied() else { continue };
            let flags = ReclaimFlags::default();
            let answer = partition::ffa(&Call::MemReclaim { handle: share.handle, flags });
            match rules::after_last_reclaim(answer.map(|_| ())) {
                LastReclaim::Free => self.close(slot, &share),
                LastReclaim::Unknown => {
                    // The SPMC does not know what it gave us: nobody can hold it.
                    say!("reclaim of {}: the SPMC does not know it", share.handle);
                    self.close(slot, &share);
                }
                // The others may be free: they are tried all the same.
                LastReclaim::Held => {}
            }
        }
        if self.book.slots(|share| share.terms.owner == vm).next().is_some() {
            return Estate::Held;
        }
        #[cfg(feature = "raw")]
        let estate = self.settle_unchecked(vm);
        #[cfg(not(feature = "raw"))]
        let estate = Estate::Settled;
        estate
    }
}
