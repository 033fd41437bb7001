//! Owns sealed mode: the set of grants is frozen until the platform is reset. What is in the set may
//! be let go and granted again; nothing else may be granted. Never lets anything go itself.

use super::{Broker, Caller, ok};
use crate::defect::defective;
use crate::event::{Next, Notice, Out, RetrieveRequest};
use crate::grant::Extent;
use crate::ledger::{Action, Record};
use crate::policy::MAX_JOINS;
use crate::table::Bits;
use causeway_abi::{CallId, GrantKind, JoinName, LedgerScope, Permission, Status};
use causeway_ffa::{EndpointId, MemHandle, PageRange};
use sha2::{Digest, Sha256};

/// What tells one member of the set from all others: SHA-256 over owner, peer, kind, permission, the
/// number of ranges and every range in order, [`PART`] ranges at a time.
type Member = [u8; 32];

/// Ranges that are hashed at once, with what came before.
const PART: u32 = 64;

/// Members that one SEAL hashes at most.
pub const SEAL_GRANTS: u32 = 16;
/// Blocks of SHA-256 after which one SEAL begins no other part; a part has 13 at most.
pub const SEAL_BLOCKS: u32 = 32;

/// The frozen set. It is complete with the first SEAL: a member that is not hashed yet is a grant that
/// lives, and is hashed before it ends. Until then nothing like it can be offered, since its pages are
/// taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seal<const G: usize, const W: usize> {
    /// How many members there are; `None`: not sealed.
    count: Option<u16>,
    /// Digests of the members that were hashed.
    members: [Member; G],
    hashed: u16,
    /// Slots of the members that have yet to be hashed.
    waiting: Bits<W>,
    /// The first of them, as far as it is hashed: how many of its ranges, and the digest so far.
    begun: Option<(u16, u32, Member)>,
    /// Owner and name of each half of a join.
    joins: [Option<(EndpointId, JoinName)>; MAX_JOINS],
}

impl<const G: usize, const W: usize> Seal<G, W> {
    pub(super) const fn new() -> Self {
        Self {
            count: None,
            members: [[0; 32]; G],
            hashed: 0,
            waiting: Bits::new(),
            begun: None,
            joins: [None; MAX_JOINS],
        }
    }

    /// Whether the set, if it is frozen, holds this half of a join.
    pub(super) fn admits_join(&self, owner: EndpointId, name: JoinName) -> bool {
        self.count.is_none() || self.joins.contains(&Some((owner, name)))
    }

    fn holds(&self, member: &Member) -> bool {
        self.members.get(..usize::from(self.hashed)).unwrap_or_default().contains(member)
    }

    fn add(&mut self, slot: u16, member: Member) {
        self.waiting.clear(slot);
        self.begun = None;
        if let Some(place) = self.members.get_mut(usize::from(self.hashed)) {
            *place = member;
            self.hashed = self.hashed.saturating_add(1);
        }
    }
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Whether the set of grants is frozen.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.seal.count.is_some()
    }

    /// Freezes the set of the grants that live and are not on their way out, with the first call.
    /// Every call hashes some of the members, and says how many are left: said again when none is, it
    /// changes nothing.
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
            self.freeze(caller, out);
        }
        let mut blocks = SEAL_BLOCKS;
        for _ in 0..SEAL_GRANTS {
            let Some(slot) = self.seal.waiting.first().filter(|_| blocks > 0) else { break };
            blocks = self.hash_waiting(slot, blocks);
        }
        let count = self.seal.count.unwrap_or(0);
        let left = count.saturating_sub(self.seal.hashed);
        Ok(ok(CallId::Seal, [u64::from(count), u64::from(left), 0, 0]))
    }

    fn freeze(&mut self, caller: EndpointId, out: &mut Out) {
        let count = self.store.usable_or_offered(&mut self.seal.waiting);
        self.seal.count = Some(count);
        let mut joins = [None; MAX_JOINS];
        for (place, name) in joins.iter_mut().zip(self.join_names()) {
            *place = Some(name);
        }
        self.seal.joins = joins;
        out.push(Notice::Ledger(Record {
            action: Action::Sealed,
            page_count: u32::from(count),
            ..Record::new(caller, Action::Sealed)
        }));
    }

    /// Hashes about so many blocks of a member; returns how many may still be hashed.
    fn hash_waiting(&mut self, slot: u16, blocks: u32) -> u32 {
        let Some(grant) = self.store.grant(slot) else {
            self.seal.waiting.clear(slot);
            return blocks;
        };
        let (owner, peer) = (self.id_of(grant.owner.vm), grant.peer.map(|p| self.id_of(p.vm)));
        let extent = grant.extent;
        let header = header(owner, peer, grant.kind, grant.permission, &extent);
        let begun = self.seal.begun.filter(|(begun, ..)| *begun == slot);
        let (mut done, mut member) = begun.map_or((0, [0; 32]), |(_, done, member)| (done, member));
        let (count, mut left) = (u32::from(extent.range_count), blocks);
        while done < count {
            if left == 0 {
                self.seal.begun = Some((slot, done, member));
                return 0;
            }
            left = left.saturating_sub(blocks_of(PART.min(count.saturating_sub(done))));
            member = self.hash_part(&member, &header, &extent, done);
            done = done.saturating_add(PART);
        }
        self.seal.add(slot, member);
        left
    }

    /// A grant is about to end: if it is a member that has yet to be hashed, it is hashed now.
    #[inline]
    pub(super) fn seal_before_end(&mut self, slot: u16) {
        if self.seal.waiting.contains(slot) {
            self.hash_waiting(slot, u32::MAX);
        }
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
        let header = header(owner, peer, kind, permission, extent);
        let (mut done, mut member) = (0, [0; 32]);
        while done < u32::from(extent.range_count) {
            member = self.hash_part(&member, &header, extent, done);
            done = done.saturating_add(PART);
        }
        member
    }

    /// The digest with the next part of the ranges.
    fn hash_part(&self, before: &Member, header: &[u8; 8], extent: &Extent, done: u32) -> Member {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(header);
        let end = done.saturating_add(PART).min(u32::from(extent.range_count));
        for ordinal in done..end {
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

/// Blocks of SHA-256 in a part of so many ranges: digest, header, 12 bytes a range, padding.
const fn blocks_of(ranges: u32) -> u32 {
    ranges.saturating_mul(12).saturating_add(49).div_ceil(64)
}

fn header(
    owner: EndpointId,
    peer: Option<EndpointId>,
    kind: GrantKind,
    permission: Permission,
    extent: &Extent,
) -> [u8; 8] {
    let [o0, o1] = owner.get().to_le_bytes();
    let [p0, p1] = peer.map_or(0xffff, EndpointId::get).to_le_bytes();
    let [c0, c1] = extent.range_count.to_le_bytes();
    [o0, o1, p0, p1, kind.code(), permission.code(), c0, c1]
}

fn range_bytes(range: PageRange) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (start, count) = bytes.split_at_mut(8);
    start.copy_from_slice(&range.start().get().to_le_bytes());
    count.copy_from_slice(&range.page_count().to_le_bytes());
    bytes
}
