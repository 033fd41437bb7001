//! The naive model: a list of grants, rules in the order of docs/error-precedence.md, no tables.

#![expect(clippy::wildcard_enum_match_arm, reason = "the model names what it treats specially")]

use super::joins::Half;
use super::ops::{Op, aim};
use super::*;
use crate::GrantView;
use crate::lab::Share;
use crate::policy::PairRule;
use crate::store::Usage;

/// The partition's own name of donated memory: the pair's place in the policy, and how many grants
/// the pair has made.
fn donation(pair: usize, made: u64) -> u64 {
    0xd0a7_e000_0000_0000 | u64::try_from(pair).unwrap() << 32 | made
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Offered,
    Accepted,
    Active,
    Releasing(u64),
    Awaiting,
    Kept,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    n: u64,
    owner: (u16, u32),
    peer: Option<(u16, u32)>,
    donated: bool,
    pub(super) permission: Permission,
    at: At,
    mapped: bool,
    uses: u16,
    ranges: Vec<causeway_ffa::PageRange>,
}

/// What both sides must agree upon: handle, owner, peer, state, uses.
pub(super) type Facts = (u64, u16, Option<u16>, LifeState, u16);

pub(super) fn facts(view: GrantView) -> Facts {
    let peer = view.peer.map(EndpointId::get);
    (view.handle.get(), view.owner.get(), peer, view.state, view.use_count)
}

pub(super) struct Model {
    pub(super) policy: Policy,
    held: Vec<Held>,
    /// How many grants each pair has made, in the order of the policy.
    made: Vec<u64>,
    pub(super) halves: Vec<Option<Half>>,
    /// What was copied last: from which area into which, and how much.
    pub(super) moved: Option<(u64, u64, u64)>,
    /// Incarnation and, once the hypervisor spoke of the VM, whether it lives.
    vms: BTreeMap<u16, (u32, Option<bool>)>,
}

impl Model {
    pub(super) fn new(policy: Policy) -> Self {
        let vms = policy.vms().map(|vm| (vm.get(), (0, None))).collect();
        let made = vec![0; policy.pairs().count()];
        Self { policy, held: Vec::new(), made, halves: Vec::new(), moved: None, vms }
    }

    pub(super) fn facts(&self) -> Vec<Facts> {
        let state = |at| match at {
            At::Offered => LifeState::Offered,
            At::Accepted => LifeState::Accepted,
            At::Active => LifeState::Active,
            At::Releasing(_) => LifeState::Releasing,
            At::Awaiting => LifeState::AwaitingUnmap,
            At::Kept => LifeState::Kept,
        };
        let fact = |h: &Held| (h.n, h.owner.0, h.peer.map(|p| p.0), state(h.at), h.uses);
        let mut all: Vec<_> = self.held.iter().map(fact).collect();
        all.sort();
        all
    }

    pub(super) fn charged(&self, rule: &PairRule) -> Usage {
        let of = |h: &&Held| self.is_charged(h, rule);
        let mut usage = Usage::default();
        for held in self.held.iter().filter(of) {
            usage.grants += 1;
            usage.pages += held.ranges.iter().map(|r| r.page_count()).sum::<u32>();
            usage.ranges += u16::try_from(held.ranges.len()).unwrap();
        }
        usage
    }

    fn is_charged(&self, held: &Held, rule: &PairRule) -> bool {
        held.owner.0 == rule.owner.get() && held.peer.map(|p| p.0) == rule.peer.map(EndpointId::get)
    }

    pub(super) fn settle(&mut self, now: u64) {
        for held in &mut self.held {
            if matches!(held.at, At::Releasing(deadline) if deadline <= now) {
                held.at = At::Awaiting;
            }
        }
    }

    pub(super) fn live(&self, vm: u16) -> Option<(u16, u32)> {
        let (incarnation, lives) = *self.vms.get(&vm)?;
        lives.unwrap_or(true).then_some((vm, incarnation))
    }

    fn find(&self, n: u64) -> Option<usize> {
        self.held.iter().position(|h| h.n == n)
    }

    /// The caller's own area that no other VM shares, and whether something lies in it.
    pub(super) fn local(&self, caller: u16, n: u64) -> Result<bool, Status> {
        let held = &self.held[self.as_owner(caller, n)?];
        if held.peer.is_some() { Err(Status::NoSuchGrant) } else { Ok(held.uses > 0) }
    }

    pub(super) fn area(&self, n: u64) -> (Permission, u64) {
        let held = &self.held[self.find(n).unwrap()];
        (held.permission, held.ranges.iter().map(|r| u64::from(r.page_count())).sum())
    }

    fn as_owner(&self, caller: u16, n: u64) -> Result<usize, Status> {
        let me = self.live(caller).ok_or(Status::UnknownCaller)?;
        self.find(n).filter(|at| self.held[*at].owner == me).ok_or(Status::NoSuchGrant)
    }

    fn as_peer(&self, caller: u16, n: u64) -> Result<usize, Status> {
        let me = self.live(caller).ok_or(Status::UnknownCaller)?;
        self.find(n).filter(|at| self.held[*at].peer == Some(me)).ok_or(Status::NoSuchGrant)
    }

    pub(super) fn run(&mut self, op: &Op, lab: &Small) -> Option<Status> {
        let result = match op.clone() {
            Op::Send(..) | Op::Reclaim(_) | Op::Poll | Op::BreakRelinquish => return None,
            Op::Wait(ticks) => {
                self.settle(lab.now + ticks);
                return None;
            }
            Op::Offer { n, honest, caller, terms } => {
                let (caller, terms) = aim(&lab.shares, n, honest, caller, terms);
                self.offer(caller, n, terms, lab)
            }
            Op::Accept(caller, n, honest) => self.as_peer(caller, n).and_then(|at| {
                match (self.held[at].at, honest) {
                    (At::Offered, true) => self.held[at].at = At::Accepted,
                    (At::Offered, false) => return Err(Status::TermsChanged),
                    _ => return Err(Status::WrongState),
                }
                Ok(())
            }),
            Op::Reject(caller, n) => {
                self.as_peer(caller, n).and_then(|at| match self.held[at].at {
                    At::Offered => self.drop_grant(at, lab),
                    _ => Err(Status::WrongState),
                })
            }
            Op::Release(caller, n) => {
                self.as_peer(caller, n).and_then(|at| match self.held[at].at {
                    At::Offered => Err(Status::WrongState),
                    _ => self.let_go(at, lab),
                })
            }
            Op::Revoke(caller, n) => self.as_owner(caller, n).and_then(|at| {
                let held = &self.held[at];
                if held.donated {
                    return Err(Status::Donated);
                }
                if held.peer.is_none() && held.uses > 0 {
                    return Err(Status::InUse);
                }
                self.let_go(at, lab)
            }),
            Op::Map(n, vm) => self.map(n, vm),
            Op::Unmap(n, vm) => self.unmap(n, vm, lab),
            Op::Destroy(vm) => {
                self.destroy(vm, lab.now);
                return None;
            }
            Op::Create(vm) => self.create(vm),
            Op::Use(n, owner) => match self.as_owner(owner, n) {
                Err(_) => return None,
                Ok(at) => self.count(at, 1),
            },
            Op::Unuse(n, owner) => match self.as_owner(owner, n) {
                Err(_) => return None,
                Ok(at) => self.count(at, -1),
            },
            Op::Join(n, side) => self.join(n, side),
            Op::Part(side) => self.part(side),
            Op::Copy(side, direction, offset) => self.copy(side, direction, offset),
        };
        Some(result.err().unwrap_or(Status::Ok))
    }

    fn offer(&mut self, caller: u16, n: u64, terms: GrantTerms, lab: &Small) -> Result<(), Status> {
        let me = self.live(caller).ok_or(Status::UnknownCaller)?;
        let mine = |p: &PairRule| p.owner.get() == caller && p.peer == terms.peer;
        let pair = self.policy.pairs().position(|p| mine(&p)).ok_or(Status::PolicyPeer)?;
        let rule = self.policy.pairs().nth(pair).unwrap();
        let kind = match terms.kind {
            GrantKind::Share => rule.share,
            GrantKind::Lend => rule.lend,
            GrantKind::Donate => rule.donate,
        };
        let used = self.charged(&rule);
        let peer = terms.peer.map(|p| self.live(p.get()));
        let live = self.find(n).map(|at| self.held[at].owner);
        // The SPMC lets nobody retrieve a donation as a share, or the other way round.
        let typed = |s: &&Share| (s.kind == GrantKind::Donate) == (terms.kind == GrantKind::Donate);
        let share = lab.shares.get(&handle(n)).filter(|s| s.sender.get() == caller).filter(typed);
        for (broken, status) in [
            (!kind, Status::PolicyKind),
            (terms.permission > rule.widest, Status::PolicyPermission),
            (peer == Some(None), Status::PeerNotLive),
            (used.grants >= rule.quota.grants, Status::QuotaGrants),
            (live == Some(me), Status::WrongState),
            (live.is_some() || share.is_none(), Status::NoSuchGrant),
        ] {
            if broken {
                return Err(status);
            }
        }
        let verdict = self.check_share(share.unwrap(), &rule, terms, used);
        // What was donated is not given back: its transaction ended with the retrieve.
        let donated = terms.kind == GrantKind::Donate;
        if verdict.is_err() && lab.faults.relinquish.is_some() && !donated {
            return Err(Status::SpmcFailure);
        }
        let ranges = verdict?;
        self.made[pair] += 1;
        let n = if donated { donation(pair, self.made[pair]) } else { n };
        let at = if peer.is_some() { At::Offered } else { At::Active };
        let (owner, peer, permission) = (me, peer.flatten(), terms.permission);
        let (mapped, uses) = (false, 0);
        self.held.push(Held { n, owner, peer, donated, permission, at, mapped, uses, ranges });
        Ok(())
    }

    fn check_share(
        &self,
        share: &Share,
        rule: &PairRule,
        terms: GrantTerms,
        used: Usage,
    ) -> Result<Vec<causeway_ffa::PageRange>, Status> {
        let ranges: Vec<_> = share.ranges.iter().map(|r| r.unwrap()).collect();
        let of = |r: &causeway_ffa::PageRange| (r.start().get()..r.end()).step_by(4096);
        let mut frames: Vec<u64> = ranges.iter().flat_map(of).collect();
        let count = u32::try_from(frames.len()).unwrap();
        let in_ram =
            |a: &u64| (0x10_0000..0x20_0000).contains(a) || (0x30_0000..0x31_0000).contains(a);
        let outside = !frames.iter().all(in_ram);
        frames.extend(self.held.iter().flat_map(|h| &h.ranges).flat_map(of));
        let all = frames.len();
        let different = frames.into_iter().collect::<BTreeSet<_>>().len();
        let same_peer = share.borrowers.get(1).map(|b| b.id) == terms.peer;
        let same_permission = share.borrowers[0].permission == Some(terms.permission);
        let list = u16::try_from(ranges.len()).unwrap();
        for (broken, status) in [
            (
                share.kind != terms.kind || !same_peer || !same_permission,
                Status::DescriptorMismatch,
            ),
            (count > rule.max_area_pages, Status::PolicySize),
            (used.ranges + list > rule.quota.ranges, Status::QuotaRanges),
            (used.pages + count > rule.quota.pages, Status::QuotaPages),
            (outside, Status::OutsideRam),
            (different != all, Status::Overlap),
        ] {
            if broken {
                return Err(status);
            }
        }
        Ok(ranges)
    }

    fn drop_grant(&mut self, at: usize, lab: &Small) -> Result<(), Status> {
        if lab.faults.relinquish.is_some() {
            return Err(Status::SpmcFailure);
        }
        let held = self.held.remove(at);
        self.end_join_of(held.n);
        Ok(())
    }

    fn let_go(&mut self, at: usize, lab: &Small) -> Result<(), Status> {
        let held = &mut self.held[at];
        if !held.mapped {
            return self.drop_grant(at, lab);
        }
        if held.at == At::Active {
            held.at = At::Releasing(lab.now + 100);
            held.uses = 0;
        }
        Ok(())
    }

    fn map(&mut self, n: u64, vm: u16) -> Result<(), Status> {
        let at = self.find(n).ok_or(Status::NoSuchGrant)?;
        let owner = self.held[at].owner;
        let live = self.live(owner.0) == Some(owner);
        let peer = self.live(vm).filter(|p| self.held[at].peer == Some(*p));
        let held = &mut self.held[at];
        match (held.at, held.mapped) {
            (At::Accepted | At::Active, mapped) if live && peer.is_some() => {
                if mapped {
                    return Err(Status::WrongState);
                }
                (held.at, held.mapped) = (At::Active, true);
                Ok(())
            }
            _ => Err(Status::NoSuchGrant),
        }
    }

    fn unmap(&mut self, n: u64, vm: u16, lab: &Small) -> Result<(), Status> {
        let at = self.find(n).ok_or(Status::NoSuchGrant)?;
        let held = &mut self.held[at];
        if held.peer.map(|p| p.0) != Some(vm) {
            return Err(Status::NoSuchGrant);
        }
        match held.at {
            At::Offered | At::Accepted | At::Active => held.mapped = false,
            At::Releasing(_) | At::Awaiting => return self.drop_grant(at, lab),
            At::Kept => unreachable!("a donation has no peer"),
        }
        Ok(())
    }

    fn destroy(&mut self, vm: u16, now: u64) {
        if let Some((_, lives)) = self.vms.get_mut(&vm) {
            *lives = Some(false);
        }
        let survivors: Vec<_> = self.held.drain(..).collect();
        for mut held in survivors {
            let peer = held.peer.map(|p| p.0);
            if held.owner.0 == vm && held.mapped {
                if held.at == At::Active {
                    (held.at, held.uses) = (At::Releasing(now + 100), 0);
                }
            } else if held.owner.0 == vm && held.donated {
                (held.at, held.uses) = (At::Kept, 0);
                self.end_join_of(held.n);
            } else if held.owner.0 == vm || peer == Some(vm) {
                self.end_join_of(held.n);
                continue;
            }
            if peer != Some(vm) {
                self.held.push(held);
            }
        }
    }

    fn create(&mut self, vm: u16) -> Result<(), Status> {
        let holds = self.held.iter().any(|h| h.owner.0 == vm || h.peer.map(|p| p.0) == Some(vm));
        let Some((incarnation, lives)) = self.vms.get_mut(&vm) else { return Ok(()) };
        match lives {
            Some(true) => return Err(Status::AlreadyLive),
            None if holds => return Err(Status::AlreadyLive),
            None | Some(false) => {}
        }
        (*incarnation, *lives) = (*incarnation + 1, Some(true));
        Ok(())
    }

    fn count(&mut self, at: usize, change: i16) -> Result<(), Status> {
        let joined = self.halves.iter().flatten().any(|h| h.n == self.held[at].n);
        let held = &mut self.held[at];
        let usable = matches!(held.at, At::Accepted | At::Active);
        if change > 0 && !usable {
            return Err(Status::WrongState);
        }
        if change > 0 && joined {
            return Err(Status::InUse);
        }
        held.uses = held.uses.checked_add_signed(change).ok_or(Status::WrongState)?;
        Ok(())
    }
}
