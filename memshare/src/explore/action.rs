//! Owns what can happen in a walk's world: each action is one sequence, carried out to its end.

use super::{Node, Transaction, World};
use crate::event::{Event, VmVerdict};
use crate::lab::{handle, vm};
use causeway_abi::{Call, GrantSummary, NO_HANDLE, Status};
use causeway_ffa::{EndpointId, FfaError};
use std::format;
use std::string::String;
use std::vec::Vec;

/// One thing that happens. Handles are named by number, VMs by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The owner's FFA_MEM_SHARE.
    Send(u64),
    /// The owner's FFA_MEM_RECLAIM.
    Reclaim(u64),
    /// A VM, the owner or not, offers it on the transaction's terms.
    Offer(u64, u16),
    /// A VM accepts what it inspected just before.
    Accept(u64, u16),
    /// A VM accepts something else.
    AcceptOther(u64, u16),
    /// A VM rejects it.
    Reject(u64, u16),
    /// A VM says that it let go, true or not.
    Release(u64, u16),
    /// A VM revokes it.
    Revoke(u64, u16),
    /// The hypervisor asks leave to map a VM and, with leave, does.
    Map(u64, u16),
    /// The hypervisor unmaps a VM and says so.
    Unmap(u64, u16),
    /// A VM claims to be the hypervisor and says that another is unmapped.
    ForgeUnmapped(u64, u16),
    /// The bus begins to use it.
    Use(u64),
    /// The bus ends a use.
    Unuse(u64),
    /// The hypervisor kills a VM: unmaps what it borrowed, then says so, until it is done.
    Destroy(u16),
    /// The hypervisor starts a VM, or says so of one that lives.
    Create(u16),
    /// The hypervisor fetches work and does nothing about it.
    Poll,
    /// Time passes, to the next deadline.
    Wait,
    /// The SPMC refuses the next relinquish: with a revoke by the owner.
    RevokeFails(u64, u16),
    /// The same with a kill: it is left unfinished.
    DestroyFails(u16),
}

/// What an action led to.
#[derive(Debug)]
pub(super) struct Done {
    /// The state after it, not yet canonical.
    pub(super) node: Node,
    /// The action's kind and the status it ended with.
    pub(super) event: String,
    /// The status, where a call or message has one.
    pub(super) status: Option<Status>,
    /// Who acted, if it was a VM.
    pub(super) actor: Option<u16>,
}

impl World {
    /// Everything that may be tried in any state: each call by the owner, the peer and a stranger.
    pub(super) fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        let of_one = |t: &Transaction| {
            let n = t.number;
            let mut list = Vec::from([
                Action::Send(n),
                Action::Reclaim(n),
                Action::Use(n),
                Action::Unuse(n),
                Action::RevokeFails(n, t.owner),
            ]);
            let peer = t.terms.peer.map(EndpointId::get);
            for vm in [Some(t.owner), peer, Some(self.stranger)].into_iter().flatten() {
                list.extend([
                    Action::Offer(n, vm),
                    Action::Accept(n, vm),
                    Action::AcceptOther(n, vm),
                    Action::Reject(n, vm),
                    Action::Release(n, vm),
                    Action::Revoke(n, vm),
                    Action::Map(n, vm),
                    Action::Unmap(n, vm),
                    Action::ForgeUnmapped(n, vm),
                ]);
            }
            list
        };
        let lives =
            |vm: &u16| [Action::Destroy(*vm), Action::Create(*vm), Action::DestroyFails(*vm)];
        let calls = self.transactions.iter().flat_map(of_one);
        calls.chain(self.mortals.iter().flat_map(lives)).chain([Action::Poll, Action::Wait])
    }

    fn transaction(&self, number: u64) -> Option<&Transaction> {
        self.transactions.iter().find(|t| t.number == number)
    }
}

impl Action {
    /// Carries it out on a copy; `None` where it has no meaning in this state.
    pub(super) fn apply(self, world: &World, before: &Node) -> Option<Done> {
        let mut node = before.clone();
        let (status, actor) = node.act(self, world)?;
        node.lab.faults.relinquish = None;
        let name = format!("{self:?}");
        let kind = name.split('(').next().unwrap_or_default();
        let event = format!("{kind}:{}", status.map_or("-", Status::name));
        Some(Done { node, event, status, actor })
    }
}

impl Node {
    #[expect(clippy::too_many_lines, reason = "one table of actions is clearer whole")]
    fn act(&mut self, action: Action, world: &World) -> Option<(Option<Status>, Option<u16>)> {
        let by = |vm: u16, status: Status| Some((Some(status), Some(vm)));
        let lab = &mut self.lab;
        match action {
            Action::Send(n) => {
                let t = world.transaction(n)?;
                let lives = lab.broker.check_caller(vm(t.owner)).is_ok();
                if lab.shares.contains_key(&handle(n)) || !lives {
                    return None;
                }
                lab.send(n, t.owner, t.terms, &t.ranges);
                Some((None, None))
            }
            Action::Reclaim(n) => lab.reclaim(n).ok().map(|()| (None, None)),
            Action::Offer(n, vm) => {
                let terms = world.transaction(n)?.terms;
                let call = Call::Offer { handle: handle(n), terms, tag: 0 };
                by(vm, lab.call(vm, call).status)
            }
            Action::Accept(n, vm) | Action::AcceptOther(n, vm) => {
                let inspect = Call::Inspect { handle: handle(n), range_index: 0 };
                let reply = lab.call(vm, inspect);
                let [a, b, c, _] = reply.results;
                let Some(seen) = GrantSummary::from_words([a, b, c]) else {
                    return by(vm, reply.status);
                };
                let other = matches!(action, Action::AcceptOther(..));
                let fold = if other { !seen.fold } else { seen.fold };
                let seen = GrantSummary { fold, ..seen };
                by(vm, lab.call(vm, Call::Accept { handle: handle(n), seen }).status)
            }
            Action::Reject(n, vm) => {
                let found = lab.broker.grants().find(|g| g.handle == handle(n));
                let generation = found.map_or(0, |g| g.id.generation);
                by(vm, lab.call(vm, Call::Reject { handle: handle(n), generation }).status)
            }
            Action::Release(n, vm) => {
                by(vm, lab.call(vm, Call::Release { handle: handle(n) }).status)
            }
            Action::Revoke(n, vm) => {
                by(vm, lab.call(vm, Call::Revoke { handle: handle(n) }).status)
            }
            Action::RevokeFails(n, vm) => {
                lab.faults.relinquish = Some(FfaError::Denied);
                by(vm, lab.call(vm, Call::Revoke { handle: handle(n) }).status)
            }
            Action::Map(n, id) => {
                let status = lab.call(0, Call::HypMapping { handle: handle(n), vm: vm(id) }).status;
                if status == Status::Ok {
                    self.stage2.insert((n, id));
                }
                Some((Some(status), None))
            }
            Action::Unmap(n, id) => {
                self.stage2.remove(&(n, id));
                let call = Call::HypUnmapped { handle: handle(n), vm: vm(id) };
                Some((Some(lab.call(0, call).status), None))
            }
            Action::ForgeUnmapped(n, id) => {
                let peer = world.transaction(n)?.terms.peer?;
                let call = Call::HypUnmapped { handle: handle(n), vm: peer };
                by(id, lab.call(id, call).status)
            }
            Action::Use(n) | Action::Unuse(n) => {
                let found = lab.broker.grants().find(|g| g.handle == handle(n))?;
                let begin = matches!(action, Action::Use(_));
                // One use is enough: the second only counts.
                if begin && found.use_count > 0 {
                    return None;
                }
                let used = if begin { lab.begin_use(found.id) } else { lab.end_use(found.id) };
                Some((Some(used.err().unwrap_or(Status::Ok)), None))
            }
            Action::Destroy(id) | Action::DestroyFails(id) => {
                let fails = matches!(action, Action::DestroyFails(_));
                lab.faults.relinquish = fails.then_some(FfaError::Denied);
                self.stage2.retain(|(_, v)| *v != id);
                let message = Event::VmDestroyed { caller: vm(0), vm: vm(id) };
                Some((Some(status_of(lab.framework(message))), None))
            }
            Action::Create(id) => Some((Some(status_of(lab.created(id))), None)),
            Action::Poll => {
                let [_, asked, id, _] = lab.call(0, Call::HypPoll).results;
                let id = u16::try_from(id).ok()?;
                let mapped = self.stage2.contains(&(asked, id));
                assert!(asked == NO_HANDLE || mapped, "asked to unmap what is not mapped");
                Some((Some(Status::Ok), None))
            }
            Action::Wait => {
                lab.now = lab.broker.next_deadline()?;
                lab.drive(Event::Tick);
                Some((None, None))
            }
        }
    }
}

fn status_of(verdict: VmVerdict) -> Status {
    match verdict {
        VmVerdict::Done => Status::Ok,
        VmVerdict::InProgress => Status::Busy,
        VmVerdict::Refused(status) => status,
    }
}
