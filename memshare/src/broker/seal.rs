//! Owns sealed mode: the set of grants is frozen until the platform is reset. What is in the set may
//! be let go and granted again; nothing else may be granted. Never lets anything go itself.

use super::{Broker, Caller, ok};
use crate::defect::defective;
use crate::event::{Next, Notice, Out, RetrieveRequest};
use crate::grant::{Extent, Stage};
use crate::ledger::Action;
use crate::policy::MAX_JOINS;
use causeway_abi::{CallId, GrantKind, JoinName, LedgerScope, Permission, Status};
use causeway_ffa::{EndpointId, MemHandle, PageRange};
use sha2::{Digest, Sha256};

/// What tells one member of the set from all others: SHA-256 over owner, peer, kind, permission and
/// every range in order.
type Member = [u8; 32];

/// The frozen set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seal<const G: usize> {
    /// `None`: not sealed.
    count: Option<u16>,
    members: [Member; G],
    /// Owner and name of each half of a join.
    joins: [Option<(EndpointId, JoinName)>; MAX_JOINS],
}

impl<const G: usize> Seal<G> {
    pub(super) const fn new() -> Self {
        Self { count: None, members: [[0; 32]; G], joins: [None; MAX_JOINS] }
    }

    /// Whether the set, if it is frozen, holds this half of a join.
    pub(super) fn admits_join(&self, owner: EndpointId, name: JoinName) -> bool {
        self.count.is_none() || self.joins.contains(&Some((owner, name)))
    }

    fn holds(&self, member: &Member) -> bool {
        let count = usize::from(self.count.unwrap_or(0));
        self.members.get(..count).unwrap_or_default().contains(member)
    }
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Whether the set of grants is frozen.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.seal.count.is_some()
    }

    /// Freezes the set of the grants that live and are not on their way out. Linear in all ranges:
    /// of the long class, once between two resets. Said again, it changes nothing.
    pub(super) fn seal(
        &mut self,
        caller: EndpointId,
        who: Caller,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let named = match who {
            Caller::Hypervisor => true,
            Caller::Vm(_) => self.policy.sealer() == Some(caller) || defective!(self, SealForged),
        };
        if !named {
            return Err(Status::PolicyCaller);
        }
        if self.seal.count.is_none() {
            // In place: the set is too large for a stack.
            let mut count = 0_u16;
            for slot in 0..u16::try_from(G).unwrap_or(u16::MAX) {
                let Some(member) = self.member_of(slot) else { continue };
                if let Some(place) = self.seal.members.get_mut(usize::from(count)) {
                    *place = member;
                    count = count.saturating_add(1);
                }
            }
            self.seal.count = Some(count);
            let mut joins = [None; MAX_JOINS];
            for (place, name) in joins.iter_mut().zip(self.join_names()) {
                *place = Some(name);
            }
            self.seal.joins = joins;
            out.push(Notice::Ledger(crate::Record {
                action: Action::Sealed,
                page_count: u32::from(count),
                ..super::refusal(caller, 0, Status::Ok)
            }));
        }
        Ok(ok(CallId::Seal, [u64::from(self.seal.count.unwrap_or(0)), 0, 0, 0]))
    }

    /// `None` for a grant on its way out.
    fn member_of(&self, slot: u16) -> Option<Member> {
        let grant = self.store.grant(slot)?;
        match grant.stage {
            Stage::Offered | Stage::Accepted | Stage::Active => {}
            Stage::Releasing { .. } | Stage::AwaitingUnmap { .. } | Stage::Kept => return None,
        }
        let (owner, peer) = (self.id_of(grant.owner.vm), grant.peer.map(|p| self.id_of(p.vm)));
        Some(self.member(owner, peer, grant.kind, grant.permission, &grant.extent))
    }

    /// Whether the frozen set holds what is offered.
    #[inline(never)]
    pub(super) fn seal_admits(&self, request: &RetrieveRequest, extent: &Extent) -> bool {
        let RetrieveRequest { owner, peer, kind, permission, .. } = *request;
        self.seal.holds(&self.member(owner, peer, kind, permission, extent))
    }

    fn member(
        &self,
        owner: EndpointId,
        peer: Option<EndpointId>,
        kind: GrantKind,
        permission: Permission,
        extent: &Extent,
    ) -> Member {
        let mut hash = Sha256::new();
        hash.update(owner.get().to_le_bytes());
        hash.update(peer.map_or(0xffff, EndpointId::get).to_le_bytes());
        hash.update([kind.code(), permission.code(), 0, 0]);
        for ordinal in 0..u32::from(extent.range_count) {
            if let Some(range) = self.store.range(extent, ordinal) {
                hash.update(range_bytes(range));
            }
        }
        hash.finalize().into()
    }

    /// Whose records a VM may read.
    pub(super) fn may_read(&self, vm: u8, scope: LedgerScope) -> Result<(), Status> {
        match scope {
            LedgerScope::Own => Ok(()),
            LedgerScope::All if self.policy.auditor() == self.policy.vm_at(vm) => Ok(()),
            LedgerScope::All => Err(Status::PolicyCaller),
        }
    }

    /// LEDGER_READ: who may read what, and into which area.
    pub(super) fn ledger_read(
        &self,
        vm: u8,
        handle: MemHandle,
        scope: LedgerScope,
        cursor: u64,
    ) -> Result<Next, Status> {
        self.may_read(vm, scope)?;
        let reader = self.id_of(vm);
        let area = self.resolve(reader, None, handle)?;
        match area.permission {
            Permission::ReadWrite => {}
            Permission::ReadOnly => return Err(Status::BadArgument),
        }
        Ok(Next::LedgerRead { vm: reader, grant: area.id, scope, cursor })
    }
}

fn range_bytes(range: PageRange) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (start, count) = bytes.split_at_mut(8);
    start.copy_from_slice(&range.start().get().to_le_bytes());
    count.copy_from_slice(&range.page_count().to_le_bytes());
    bytes
}
