//! Owns what the virtio bus and the image ask about areas: names, uses, addresses.

use super::{Broker, Pending, id_of_slot};
use crate::defect::defective;
use crate::event::{MapFailed, Next, Out};
use crate::grant::{Grant, GrantId, GrantView};
use crate::ledger::Action;
use causeway_abi::{Permission, Status};
use causeway_ffa::{EndpointId, MemHandle, PageRange};

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Whether `vm` is a live VM of the policy. To be asked before a virtio-msg frame of its is
    /// handled.
    ///
    /// # Errors
    /// [`Status::UnknownCaller`].
    pub fn check_caller(&self, vm: EndpointId) -> Result<(), Status> {
        self.live_vm(vm).map(|_| ()).ok_or(Status::UnknownCaller)
    }

    /// Finds the grant that `owner` made to `device_side` (`None`: to the partition) under
    /// `handle`. For AREA_SHARE and FIFO_CONFIGURE.
    ///
    /// # Errors
    /// [`Status::NoSuchGrant`] for a foreign, stale or invented handle or another peer;
    /// [`Status::WrongState`] unless it is accepted or active.
    pub fn resolve(
        &self,
        owner: EndpointId,
        device_side: Option<EndpointId>,
        handle: MemHandle,
    ) -> Result<GrantView, Status> {
        let view = self.owned(owner, handle).ok_or(Status::NoSuchGrant)?;
        if view.peer != device_side {
            return Err(Status::NoSuchGrant);
        }
        if self.usable(view.id).is_some() { Ok(view) } else { Err(Status::WrongState) }
    }

    /// Finds a grant of `owner` in whatever state; `None` if it has none of this handle.
    #[must_use]
    pub fn owned(&self, owner: EndpointId, handle: MemHandle) -> Option<GrantView> {
        let vm = self.live_vm(owner)?;
        let (slot, grant) = self.own(vm, handle).ok()?;
        (grant.owner.vm == vm).then(|| self.show(slot, grant))
    }

    /// Shows a grant; `None` if the name is stale.
    #[must_use]
    pub fn view(&self, grant: GrantId) -> Option<GrantView> {
        self.store.by_id(grant).map(|g| self.show(grant.slot, g))
    }

    /// Every live grant.
    pub fn grants(&self) -> impl Iterator<Item = GrantView> + '_ {
        self.store.live_slots().filter_map(|slot| Some(self.show(slot, self.store.grant(slot)?)))
    }

    fn show(&self, slot: u16, grant: &Grant) -> GrantView {
        GrantView {
            id: id_of_slot(slot, grant),
            handle: grant.handle,
            owner: self.id_of(grant.owner.vm),
            peer: grant.peer.map(|p| self.id_of(p.vm)),
            generation: grant.serial,
            kind: grant.kind,
            permission: grant.permission,
            state: grant.life(),
            page_count: grant.extent.page_count,
            range_count: u32::from(grant.extent.range_count),
            use_count: grant.use_count,
        }
    }

    /// A grant whose rings may run.
    fn usable(&self, grant: GrantId) -> Option<&Grant> {
        let runs = |g: &&Grant| g.is_usable() && self.lives(g.owner);
        self.store.by_id(grant).filter(|g| runs(g) || defective!(self, QuiesceRuns))
    }

    /// Whether `len` bytes at `offset` lie in the usable grant and it permits `access`. `len` 0 is
    /// never inside.
    #[must_use]
    pub fn permits(&self, grant: GrantId, offset: u64, len: u64, access: Permission) -> bool {
        self.translate(grant, offset, len, access).is_some()
    }

    /// Like [`Broker::permits`]; returns the physical address of the first byte and how many of
    /// the `len` bytes lie there without a gap.
    #[must_use]
    pub fn translate(
        &self,
        grant: GrantId,
        offset: u64,
        len: u64,
        access: Permission,
    ) -> Option<(u64, u64)> {
        let grant = self.usable(grant)?;
        let permitted = match (access, grant.permission) {
            (Permission::ReadOnly, _) | (Permission::ReadWrite, Permission::ReadWrite) => true,
            (Permission::ReadWrite, Permission::ReadOnly) => false,
        };
        let size = u64::from(grant.extent.page_count).checked_mul(causeway_ffa::PAGE_SIZE)?;
        let inside = len > 0 && offset.checked_add(len)? <= size;
        if !permitted || !inside {
            return None;
        }
        let (address, left) = self.store.locate(&grant.extent, offset)?;
        Some((address, left.min(len)))
    }

    /// The ranges of a grant in order; none if the name is stale.
    pub fn ranges(&self, grant: GrantId) -> impl Iterator<Item = PageRange> + '_ {
        let extent = self.store.by_id(grant).map(|g| g.extent);
        let count = extent.map_or(0, |e| u32::from(e.range_count));
        (0..count).filter_map(move |n| self.store.range(extent.as_ref()?, n))
    }

    /// The bus begins to use an area. The first use of a local one maps it.
    pub(super) fn begin_use(&mut self, id: GrantId, out: &mut Out) -> Result<Next, Status> {
        self.free_for_call()?;
        let grant = *self.store.by_id(id).ok_or(Status::NoSuchGrant)?;
        if self.usable(id).is_none() {
            return Err(Status::WrongState);
        }
        if self.is_joined(id.slot) {
            return Err(Status::InUse);
        }
        if grant.peer.is_none() && grant.use_count == 0 {
            self.pending = Pending::Map { slot: id.slot };
            return Ok(Next::Map { grant: id, permission: grant.permission });
        }
        let count = grant.use_count.checked_add(1).ok_or(Status::NoRoom)?;
        Ok(self.count_uses(id.slot, count, out))
    }

    /// The bus ends a use. The last use of a local area unmaps it.
    pub(super) fn end_use(&mut self, id: GrantId, out: &mut Out) -> Result<Next, Status> {
        self.free_for_call()?;
        let grant = *self.store.by_id(id).ok_or(Status::NoSuchGrant)?;
        let count = grant.use_count.checked_sub(1).ok_or(Status::WrongState)?;
        if grant.peer.is_none() && count == 0 && !defective!(self, UnuseMapped) {
            self.pending = Pending::Unmap { slot: id.slot };
            return Ok(Next::Unmap { grant: id });
        }
        Ok(self.count_uses(id.slot, count, out))
    }

    pub(super) fn mapped(&mut self, result: Result<(), MapFailed>, out: &mut Out) -> Next {
        let Pending::Map { slot } = self.pending else { return Next::Idle };
        self.pending = Pending::Nothing;
        match result {
            Ok(()) => self.count_uses(slot, 1, out),
            Err(MapFailed) if defective!(self, UseUnmapped) => self.count_uses(slot, 1, out),
            Err(MapFailed) => Next::Used(Err(Status::NoRoom)),
        }
    }

    pub(super) fn unmapped(&mut self, result: Result<(), MapFailed>, out: &mut Out) -> Next {
        match self.pending {
            Pending::Unmap { slot } => {
                self.pending = Pending::Nothing;
                match result {
                    Ok(()) => self.count_uses(slot, 0, out),
                    Err(MapFailed) => Next::Used(Err(Status::NoRoom)),
                }
            }
            Pending::Destroy { slot, .. } => self.destroyed_mapping(slot, result, out),
            Pending::Nothing
            | Pending::Offer { .. }
            | Pending::Undo { .. }
            | Pending::Close { .. }
            | Pending::Map { .. }
            | Pending::Copy(_) => Next::Idle,
        }
    }

    fn count_uses(&mut self, slot: u16, count: u16, out: &mut Out) -> Next {
        let Some(before) = self.store.grant(slot).copied() else {
            return Next::Used(Err(Status::NoSuchGrant));
        };
        self.store.update(slot, |g| g.use_count = count);
        match (before.use_count, count) {
            (0, 1) => self.log(&before, before.owner.vm, Action::UseBegan, out),
            (1, 0) => self.log(&before, before.owner.vm, Action::UseEnded, out),
            _ => {}
        }
        let after = Grant { use_count: count, ..before };
        Next::Used(Ok(self.show(slot, &after)))
    }

    /// The bus has something for a VM.
    pub(super) fn bus_waiting(&mut self, vm: EndpointId, out: &mut Out) {
        let Some(index) = self.live_vm(vm) else { return };
        if let Some(state) = self.vms.get_mut(usize::from(index)) {
            state.bus = true;
        }
        self.ring(index, out);
    }
}
