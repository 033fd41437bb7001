//! Owns what can happen in a walk's world: each action is one sequence. `apply` carries it out.

use super::{Node, Special, Transaction, World};
use crate::lab::HYPERVISOR;
use causeway_abi::{CopyDirection, LedgerScope, Status};
use causeway_ffa::EndpointId;
use std::string::String;
use std::vec::Vec;

macro_rules! kinds {
    ($($name:ident),+ $(,)?) => {
        /// A sort of action, for counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "named after the variants of Act and Question")]
        pub enum Kind { $($name),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

kinds! {
    Send, Reclaim, Offer, Accept, AcceptOther, Reject, Release, Revoke, Map, Unmap, ForgeUnmapped,
    Use, Unuse, Destroy, Create, ForgeDestroyed, Poll, Register, Wait, Version, Features, Events,
    Stats, State, List, Inspect, BusKick, BusWaiting, Garbage, Seal, LedgerHead, LedgerRead,
    SecondCore, Join, Part, Joined, Copy,
}

/// A call that only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named after the calls")]
pub enum Question {
    Version,
    Features,
    Events,
    Stats(u8),
    State,
    List,
    Inspect(u32),
    BusKick,
    LedgerHead(LedgerScope),
    LedgerRead(LedgerScope),
    Joined(u16, u16),
}

/// One thing that happens. Handles are named by number, VMs by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
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
    /// A VM claims to be the hypervisor and says that the peer is unmapped.
    ForgeUnmapped(u64, u16),
    /// The bus begins to use it.
    Use(u64),
    /// The bus ends a use.
    Unuse(u64),
    /// The hypervisor kills a VM: unmaps what it borrowed, then says so.
    Destroy(u16),
    /// The hypervisor starts a VM, or says so of one that lives.
    Create(u16),
    /// A VM claims that another was destroyed.
    ForgeDestroyed(u16, u16),
    /// The hypervisor fetches work and does nothing about it.
    Poll,
    /// The hypervisor, or a VM, names a doorbell.
    Register(u16),
    /// Time passes, to the next deadline.
    Wait,
    /// A VM asks about a handle, or about nothing in particular.
    Ask(Question, u64, u16),
    /// The bus has something for a VM.
    BusWaiting(u16),
    /// The hypervisor, or a VM, freezes the set of grants.
    Seal(u16),
    /// A VM sends a frame that is no call.
    Garbage(u8, u16),
    /// A VM joins an area, its own or not, with another VM's under a number.
    Join(Side, u64),
    /// A VM ends its side of a join.
    Part(Side),
    /// A VM has bytes copied.
    Copy(Side, CopyDirection, Reach),
}

/// A VM's side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Side {
    /// Whose.
    pub vm: u16,
    /// The other VM.
    pub peer: u16,
    /// The join's number.
    pub number: u16,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        Self { vm: self.peer, peer: self.vm, number: self.number }
    }
}

/// Whether the bytes of a copy lie in the areas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// They do.
    Inside,
    /// They lie behind the source.
    BeyondSource,
    /// They would lie behind the destination.
    BeyondDestination,
}

/// What goes wrong in the middle of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nothing.
    Nothing,
    /// The SPMC refuses the retrieve.
    SpmcRefuses,
    /// The SPMC refuses to take a retrieve back.
    SpmcKeeps,
    /// The partition's MMU refuses.
    MmuRefuses,
    /// Time passes to the next deadline, and a tick gets in.
    Late,
}

impl Fault {
    /// Everything that can go wrong.
    pub const ALL: &'static [Self] =
        &[Self::SpmcRefuses, Self::SpmcKeeps, Self::MmuRefuses, Self::Late];

    /// What is added to an action's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::SpmcRefuses => "+SpmcRefuses",
            Self::SpmcKeeps => "+SpmcKeeps",
            Self::MmuRefuses => "+MmuRefuses",
            Self::Late => "+Late",
        }
    }
}

/// An act and what goes wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action {
    /// What happens.
    pub act: Act,
    /// What goes wrong.
    pub fault: Fault,
}

/// What an action led to.
#[derive(Debug)]
pub(super) struct Done {
    /// The state after it, not yet canonical.
    pub(super) node: Node,
    /// What it was.
    pub(super) action: Action,
    /// The status, where a call or message has one.
    pub(super) status: Option<Status>,
    /// What the action itself found wrong.
    pub(super) wrong: Option<String>,
}

impl World {
    /// Everything that may be tried in any state: each call by the owner, the peer and strangers.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut acts: Vec<_> = self.transactions.iter().flat_map(|t| self.of_one(t)).collect();
        for id in self.mortals.iter().copied() {
            acts.extend([Act::Destroy(id), Act::Create(id)]);
        }
        acts.extend(self.of_joins());
        acts.extend([Act::Poll, Act::Wait]);
        if self.is(Special::Sealing) {
            acts.push(Act::Seal(HYPERVISOR.get()));
            acts.extend(self.policy.vms().map(|id| Act::Seal(id.get())));
        }
        if self.is(Special::Chatter) {
            acts.push(Act::Register(HYPERVISOR.get()));
            acts.extend(self.small_talk());
        }
        let with_faults = |act: Act| {
            let faults = self.faults.iter().copied().filter(move |f| act.can_meet(*f));
            [Fault::Nothing].into_iter().chain(faults).map(move |fault| Action { act, fault })
        };
        acts.into_iter().flat_map(with_faults).collect()
    }

    fn of_one(&self, t: &Transaction) -> Vec<Act> {
        let n = t.number;
        let mut acts = Vec::from([Act::Send(n), Act::Reclaim(n), Act::Offer(n, t.owner)]);
        if t.flaw.is_some() {
            return acts;
        }
        acts.extend([Act::Use(n), Act::Unuse(n)]);
        let peer = t.terms.peer.map(EndpointId::get);
        let mut callers: Vec<_> = [Some(t.owner), peer].into_iter().flatten().collect();
        callers.extend(&self.strangers);
        callers.sort_unstable();
        callers.dedup();
        for vm in callers {
            acts.extend([
                Act::Offer(n, vm),
                Act::Accept(n, vm),
                Act::AcceptOther(n, vm),
                Act::Reject(n, vm),
                Act::Release(n, vm),
                Act::Revoke(n, vm),
                Act::Map(n, vm),
                Act::Unmap(n, vm),
                Act::ForgeUnmapped(n, vm),
            ]);
        }
        acts.remove(2);
        acts
    }

    fn of_joins(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        for (side, area) in self.joins.iter().copied() {
            acts.extend([Act::Join(side, area), Act::Part(side)]);
            acts.push(Act::Ask(Question::Joined(side.peer, side.number), 0, side.vm));
            for direction in [CopyDirection::ToPeer, CopyDirection::FromPeer] {
                for reach in [Reach::Inside, Reach::BeyondSource, Reach::BeyondDestination] {
                    acts.push(Act::Copy(side, direction, reach));
                }
            }
        }
        acts
    }

    fn small_talk(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        let numbers: Vec<_> = self.transactions.iter().map(|t| t.number).chain([77]).collect();
        let ids = self.policy.vms().map(EndpointId::get);
        for id in ids.chain([HYPERVISOR.get(), 63]) {
            for question in [
                Question::Version,
                Question::Features,
                Question::Events,
                Question::List,
                Question::BusKick,
                Question::Stats(0),
                Question::Stats(9),
                Question::LedgerHead(LedgerScope::Own),
                Question::LedgerHead(LedgerScope::All),
            ] {
                acts.push(Act::Ask(question, 0, id));
            }
            for n in numbers.iter().copied() {
                for question in [
                    Question::State,
                    Question::Inspect(0),
                    Question::Inspect(9),
                    Question::LedgerRead(LedgerScope::Own),
                    Question::LedgerRead(LedgerScope::All),
                ] {
                    acts.push(Act::Ask(question, n, id));
                }
            }
            acts.extend((0..4).map(|flaw| Act::Garbage(flaw, id)));
            acts.push(Act::BusWaiting(id));
            if id != HYPERVISOR.get() {
                acts.push(Act::Register(id));
                acts.push(Act::ForgeDestroyed(id, 1));
            }
        }
        acts
    }

    pub(super) fn transaction(&self, number: u64) -> Option<&Transaction> {
        self.transactions.iter().find(|t| t.number == number)
    }
}

impl Act {
    /// What it is counted as.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Send(_) => Kind::Send,
            Self::Reclaim(_) => Kind::Reclaim,
            Self::Offer(..) => Kind::Offer,
            Self::Accept(..) => Kind::Accept,
            Self::AcceptOther(..) => Kind::AcceptOther,
            Self::Reject(..) => Kind::Reject,
            Self::Release(..) => Kind::Release,
            Self::Revoke(..) => Kind::Revoke,
            Self::Map(..) => Kind::Map,
            Self::Unmap(..) => Kind::Unmap,
            Self::ForgeUnmapped(..) => Kind::ForgeUnmapped,
            Self::Use(_) => Kind::Use,
            Self::Unuse(_) => Kind::Unuse,
            Self::Destroy(_) => Kind::Destroy,
            Self::Create(_) => Kind::Create,
            Self::ForgeDestroyed(..) => Kind::ForgeDestroyed,
            Self::Poll => Kind::Poll,
            Self::Register(_) => Kind::Register,
            Self::Wait => Kind::Wait,
            Self::BusWaiting(_) => Kind::BusWaiting,
            Self::Garbage(..) => Kind::Garbage,
            Self::Seal(_) => Kind::Seal,
            Self::Join(..) => Kind::Join,
            Self::Part(_) => Kind::Part,
            Self::Copy(..) => Kind::Copy,
            Self::Ask(question, ..) => match question {
                Question::Version => Kind::Version,
                Question::Features => Kind::Features,
                Question::Events => Kind::Events,
                Question::Stats(_) => Kind::Stats,
                Question::State => Kind::State,
                Question::List => Kind::List,
                Question::Inspect(_) => Kind::Inspect,
                Question::BusKick => Kind::BusKick,
                Question::LedgerHead(_) => Kind::LedgerHead,
                Question::LedgerRead(_) => Kind::LedgerRead,
                Question::Joined(..) => Kind::Joined,
            },
        }
    }

    /// The VM that acts, if it is one. (Others act for the owner, the hypervisor, or nobody.)
    pub(super) const fn actor(self) -> Option<u16> {
        match self {
            Self::Offer(_, id)
            | Self::Accept(_, id)
            | Self::AcceptOther(_, id)
            | Self::Reject(_, id)
            | Self::Release(_, id)
            | Self::Revoke(_, id)
            | Self::ForgeUnmapped(_, id)
            | Self::ForgeDestroyed(id, _)
            | Self::Register(id)
            | Self::Seal(id)
            | Self::Ask(_, _, id)
            | Self::Garbage(_, id) => {
                if id == 0 {
                    None
                } else {
                    Some(id)
                }
            }
            Self::Join(side, _) | Self::Part(side) | Self::Copy(side, ..) => Some(side.vm),
            Self::Send(_)
            | Self::Reclaim(_)
            | Self::Map(..)
            | Self::Unmap(..)
            | Self::Use(_)
            | Self::Unuse(_)
            | Self::Destroy(_)
            | Self::Create(_)
            | Self::Poll
            | Self::Wait
            | Self::BusWaiting(_) => None,
        }
    }

    /// Whether a fault can strike in the middle of it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are one step")]
    pub(super) const fn can_meet(self, fault: Fault) -> bool {
        match self.kind() {
            Kind::Offer => !matches!(fault, Fault::MmuRefuses),
            Kind::Revoke | Kind::Reject | Kind::Release | Kind::Unmap => {
                matches!(fault, Fault::SpmcKeeps | Fault::Late)
            }
            Kind::Use | Kind::Unuse | Kind::Copy => {
                matches!(fault, Fault::MmuRefuses | Fault::Late)
            }
            Kind::Destroy => !matches!(fault, Fault::SpmcRefuses),
            _ => false,
        }
    }
}
