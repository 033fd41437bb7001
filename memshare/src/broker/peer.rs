//! Owns the peer's calls: LIST, INSPECT, ACCEPT, REJECT, RELEASE.

use super::{Broker, Cause, ok};
use crate::defect::defective;
use crate::event::{Next, Out};
use crate::grant::{Grant, Stage};
use crate::ledger::Action;
use causeway_abi::NO_HANDLE;
use causeway_abi::{CallId, GrantSummary, LifeState, PackedRange, Status};
use causeway_ffa::MemHandle;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// The next offer from the cursor on; the cursor counts the VM's own offers.
    pub(super) fn list(&self, vm: u8, cursor: u32) -> Next {
        let found = u16::try_from(cursor).ok().and_then(|n| self.store.offer_from(vm, n));
        let (handle, more) = found.map_or((NO_HANDLE, None), |(g, more)| (g.handle.get(), more));
        ok(CallId::List, [handle, more.map_or(0, u64::from), 0, 0])
    }

    pub(super) fn inspect(&self, vm: u8, handle: MemHandle, index: u32) -> Result<Next, Status> {
        let (_, grant) = self.as_peer(vm, handle)?;
        let range = self.store.range(&grant.extent, index).ok_or(Status::BadArgument)?;
        let [a, b, c] = self.summary(grant).words();
        let packed = PackedRange::pack(range).map_or(0, PackedRange::word);
        Ok(ok(CallId::Inspect, [a, b, c, packed]))
    }

    pub(super) fn accept(
        &mut self,
        vm: u8,
        handle: MemHandle,
        seen: GrantSummary,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let (slot, grant) = self.as_peer(vm, handle)?;
        let grant = *grant;
        if grant.stage != Stage::Offered && !defective!(self, AcceptTwice) {
            return Err(Status::WrongState);
        }
        if seen != self.summary(&grant) && !defective!(self, AcceptUnseen) {
            return Err(Status::TermsChanged);
        }
        self.store.update(slot, |g| g.stage = Stage::Accepted);
        if !defective!(self, AcceptUnrecorded) {
            self.log(&grant, vm, Action::Moved(LifeState::Accepted), out);
        }
        self.tell(grant.owner, out);
        Ok(ok(CallId::Accept, [0; 4]))
    }

    pub(super) fn reject(
        &mut self,
        vm: u8,
        handle: MemHandle,
        generation: u32,
    ) -> Result<Next, Status> {
        let (slot, grant) = self.as_peer(vm, handle)?;
        if grant.stage != Stage::Offered && !defective!(self, RejectAccepted) {
            return Err(Status::WrongState);
        }
        if grant.serial != generation {
            return Err(Status::TermsChanged);
        }
        Ok(self.close(slot, handle, self.id_of(vm), Cause::Reject))
    }

    /// Lets go. The peer's word is not enough while the hypervisor has not said that it is unmapped.
    pub(super) fn release(
        &mut self,
        now: u64,
        vm: u8,
        handle: MemHandle,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let (slot, grant) = self.as_peer(vm, handle)?;
        if grant.stage == Stage::Offered {
            return Err(Status::WrongState);
        }
        if !self.may_be_mapped(grant) || defective!(self, ReleaseOnWord) {
            return Ok(self.close(slot, handle, self.id_of(vm), Cause::Release));
        }
        if grant.is_usable() {
            self.quiesce(now, slot, vm, out);
        }
        self.reply_state(now, CallId::Release, slot)
    }

    fn as_peer(&self, vm: u8, handle: MemHandle) -> Result<(u16, &Grant), Status> {
        let (slot, grant) = self.own(vm, handle)?;
        if grant.owner.vm == vm { Err(Status::NoSuchGrant) } else { Ok((slot, grant)) }
    }

    fn summary(&self, grant: &Grant) -> GrantSummary {
        GrantSummary {
            owner: self.id_of(grant.owner.vm),
            permission: grant.permission,
            kind: grant.kind,
            generation: grant.serial,
            page_count: grant.extent.page_count,
            range_count: u32::from(grant.extent.range_count),
            fold: grant.extent.fold,
        }
    }
}
