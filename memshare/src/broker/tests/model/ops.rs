//! What the model and the broker are asked to do, and how an operation is aimed at something that is
//! there. Knows no rule.

#![expect(clippy::wildcard_enum_match_arm, reason = "an operation is aimed by what it names")]

use super::joins::Side;
use super::naive::Model;
use super::*;
use crate::lab::Share;
use causeway_abi::CopyDirection;
use causeway_ffa::MemHandle;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Send(u64, u16, GrantTerms, Vec<(u64, u32)>),
    /// Honest: by its sender, on its terms.
    Offer {
        n: u64,
        honest: bool,
        caller: u16,
        terms: GrantTerms,
    },
    Accept(u16, u64, bool),
    Reject(u16, u64),
    Release(u16, u64),
    Revoke(u16, u64),
    Map(u64, u16),
    Unmap(u64, u16),
    Destroy(u16),
    Create(u16),
    Use(u64, u16),
    Unuse(u64, u16),
    Join(u64, Side),
    Part(Side),
    Copy(Side, CopyDirection, u64),
    Reclaim(u64),
    Poll,
    Wait(u64),
    BreakRelinquish,
}

impl Op {
    /// The VM whose doing it is, if it is a VM's.
    pub(super) fn caller(&self) -> Option<u16> {
        match self {
            Self::Accept(vm, ..)
            | Self::Reject(vm, _)
            | Self::Release(vm, _)
            | Self::Revoke(vm, _) => Some(*vm),
            Self::Join(_, side) | Self::Part(side) | Self::Copy(side, ..) => Some(side.vm),
            _ => None,
        }
    }

    /// The same, about a live grant and by a party to it, or about a join and by one of its sides.
    pub(super) fn aimed(self, lab: &Small, model: &Model) -> Self {
        let live: Vec<_> = lab.broker.grants().collect();
        match self {
            Self::Join(n, side) => {
                let local: Vec<_> = live.iter().filter(|g| g.peer.is_none()).collect();
                let at = usize::try_from(n).unwrap().checked_rem(local.len());
                let Some(found) = at.map(|at| local[at]) else { return self };
                return Self::Join(found.handle.get(), side.of(found.owner.get()));
            }
            Self::Part(side) => return Self::Part(model.some_side(side)),
            Self::Copy(side, to, offset) => return Self::Copy(model.some_side(side), to, offset),
            _ => {}
        }
        let pick = |n: u64| {
            let at = usize::try_from(n).unwrap().checked_rem(live.len())?;
            let peer = live[at].peer.map_or(9, EndpointId::get);
            Some((live[at].handle.get(), live[at].owner.get(), peer))
        };
        let (n, owner, peer) = match &self {
            Self::Accept(_, n, _)
            | Self::Reject(_, n)
            | Self::Release(_, n)
            | Self::Revoke(_, n)
            | Self::Map(n, _)
            | Self::Unmap(n, _)
            | Self::Use(n, _)
            | Self::Unuse(n, _) => match pick(*n) {
                Some(found) => found,
                None => return self,
            },
            _ => return self,
        };
        match self {
            Self::Accept(_, _, honest) => Self::Accept(peer, n, honest),
            Self::Reject(..) => Self::Reject(peer, n),
            Self::Release(..) => Self::Release(peer, n),
            Self::Revoke(..) => Self::Revoke(owner, n),
            Self::Map(..) => Self::Map(n, peer),
            Self::Unmap(..) => Self::Unmap(n, peer),
            Self::Use(..) => Self::Use(n, owner),
            Self::Unuse(..) => Self::Unuse(n, owner),
            other => other,
        }
    }

    /// Whether it leaves a lock behind at the SPMC.
    pub(super) fn breaks_spmc(&self, lab: &Small) -> bool {
        matches!(self, Self::Offer { .. }) && lab.faults.relinquish.is_some()
    }
}

pub(super) const NOTHING: GrantSummary = GrantSummary {
    owner: EndpointId::from_raw(0),
    permission: Permission::ReadOnly,
    kind: GrantKind::Share,
    generation: 0,
    page_count: 0,
    range_count: 0,
    fold: 0,
};

/// Who offers what: an honest sender repeats its transaction.
pub(super) fn aim(
    shares: &BTreeMap<MemHandle, Share>,
    n: u64,
    honest: bool,
    caller: u16,
    terms: GrantTerms,
) -> (u16, GrantTerms) {
    match shares.get(&handle(n)) {
        Some(share) if honest => {
            let peer = share.borrowers.get(1).map(|b| b.id);
            let permission = share.borrowers[0].permission.unwrap_or(terms.permission);
            (share.sender.get(), GrantTerms { peer, kind: share.kind, permission })
        }
        _ => (caller, terms),
    }
}
