//! Owns the configurations that are walked: who is there, what the policy allows, what there is to
//! grant, and what may go wrong.

use super::{Fault, Side};
use crate::lab::{HYPERVISOR, Lab, handle, pages, terms, vm};
use crate::policy::{CopyRule, PairRule, Policy, Quota, ReclaimGuard};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_ffa::PageRange;
use std::vec::Vec;

/// What is wrong with a transaction: the broker must never take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A borrower may execute.
    Executable,
    /// The SPMC says that the memory is secure.
    Secure,
    /// It is no normal write-back memory.
    Device,
    /// A range is unaligned, empty or out of range.
    BadRange,
    /// The total is not the sum.
    WrongTotal,
    /// The SPMC's borrowers may only read; read-write is offered.
    Narrower,
    /// Nothing is wrong with it, but policy, quota or windows exclude it.
    Excluded,
}

/// A transaction that its owner may send, offer, revoke and reclaim.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its handle.
    pub number: u64,
    /// Who sends it.
    pub owner: u16,
    /// On which terms.
    pub terms: GrantTerms,
    /// Its pages.
    pub ranges: Vec<PageRange>,
    /// What is wrong with it, if anything.
    pub flaw: Option<Flaw>,
}

impl Transaction {
    /// Enters it into the SPMC's store, flaw and all.
    pub(super) fn send<const G: usize, const R: usize, const W: usize>(
        &self,
        lab: &mut Lab<G, R, W>,
    ) {
        lab.send(self.number, self.owner, self.terms, &self.ranges);
        let share = lab.shares.get_mut(&handle(self.number)).expect("just sent");
        match self.flaw {
            Some(Flaw::Executable) => share.borrowers.iter_mut().for_each(|b| b.executable = true),
            Some(Flaw::Secure) => share.security = crate::Security::Secure,
            Some(Flaw::Device) => share.caching = crate::Caching::Other,
            Some(Flaw::BadRange) => share.ranges.push(None),
            Some(Flaw::WrongTotal) => share.total_page_count += 1,
            Some(Flaw::Narrower) => {
                let permission = Some(Permission::ReadOnly);
                share.borrowers.iter_mut().for_each(|b| b.permission = permission);
            }
            Some(Flaw::Excluded) | None => {}
        }
    }
}

/// What a world has that others lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// The SPMC forgets to check senders and receivers.
    CarelessSpmc,
    /// Another core tries every call in the middle of each sequence.
    SecondCore,
    /// Somebody may seal.
    Sealing,
    /// Calls that only look, malformed frames and the bus take part.
    Chatter,
    /// The SPMC has FFA_MEM_DONATE.
    Donations,
    /// A registered hypervisor, and one doorbell a VM at a time.
    Rationed,
}

/// A named world to walk.
#[derive(Clone, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// Who may grant what to whom.
    pub policy: Policy,
    /// What there is to grant.
    pub transactions: Vec<Transaction>,
    /// The VMs that may be killed and created anew.
    pub mortals: Vec<u16>,
    /// VMs that try each call on every handle.
    pub strangers: Vec<u16>,
    /// What may go wrong in the middle of a sequence.
    pub faults: Vec<Fault>,
    /// Who may try to join which area.
    pub joins: Vec<(Side, u64)>,
    /// What is special about it.
    pub special: Vec<Special>,
}

/// The configurations, roughly from the smallest to the largest.
pub const WORLDS: &[&str] = &[
    "one-grant",
    "two-vcpus",
    "two-cores",
    "rationed",
    "donated",
    "joined",
    "joined-odd",
    "careless-spmc",
    "flawed",
    "guarded",
    "sealed",
    "both-ways",
    "two-owners",
    "crossed-peer",
    "crossed-owner",
    "crossed-other",
];

/// What one pair may use: one grant of two pages in two ranges.
const ONE: Quota = Quota { grants: 1, pages: 2, ranges: 2 };

impl World {
    fn new(name: &'static str, ids: &[u16], pairs: &[(u16, Option<u16>)]) -> Self {
        let mut policy = Policy::new().with_hypervisor(HYPERVISOR).with_unmap_deadline_ms(1);
        for id in ids {
            policy.add_vm(vm(*id)).expect("a VM");
        }
        policy.add_window(pages(0x100, 3)).expect("a window");
        let (stranger, mortals) = ids.split_last().expect("a stranger");
        let world = Self {
            name,
            policy,
            transactions: Vec::new(),
            mortals: mortals.to_vec(),
            strangers: [*stranger].into(),
            faults: [Fault::SpmcKeeps].into(),
            joins: Vec::new(),
            special: Vec::new(),
        };
        pairs.iter().fold(world, |world, (owner, peer)| world.pair(*owner, *peer, ONE))
    }

    fn pair(mut self, owner: u16, peer: Option<u16>, quota: Quota) -> Self {
        let rule = PairRule {
            owner: vm(owner),
            peer: peer.map(vm),
            share: true,
            lend: false,
            donate: false,
            widest: Permission::ReadWrite,
            max_area_pages: 2,
            quota,
        };
        self.policy.add_pair(rule).expect("a pair");
        self
    }

    fn donating(mut self, owner: u16, quota: Quota) -> Self {
        let rule = PairRule {
            owner: vm(owner),
            peer: None,
            share: true,
            lend: false,
            donate: true,
            widest: Permission::ReadWrite,
            max_area_pages: 2,
            quota,
        };
        self.policy.add_pair(rule).expect("a pair");
        self
    }

    fn with(mut self, number: u64, owner: u16, peer: Option<u16>, frames: &[u64]) -> Self {
        let ranges = frames.iter().map(|frame| pages(*frame, 1)).collect();
        let terms = terms(peer);
        self.transactions.push(Transaction { number, owner, terms, ranges, flaw: None });
        self
    }

    fn but(mut self, flaw: Flaw, change: impl FnOnce(&mut Transaction)) -> Self {
        let last = self.transactions.last_mut().expect("a transaction");
        last.flaw = Some(flaw);
        change(last);
        self
    }

    fn of_kind(mut self, kind: GrantKind) -> Self {
        self.transactions.last_mut().expect("a transaction").terms.kind = kind;
        self
    }

    fn failing(mut self, faults: &[Fault]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    pub(super) fn is(&self, special: Special) -> bool {
        self.special.contains(&special)
    }

    /// A configuration of [`WORLDS`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all: [fn() -> Self; 16] = [
            Self::one_grant,
            Self::two_vcpus,
            Self::two_cores,
            Self::rationed,
            Self::donated,
            Self::joined,
            Self::joined_odd,
            Self::careless_spmc,
            Self::flawed,
            Self::guarded,
            Self::sealed,
            Self::both_ways,
            Self::two_owners,
            Self::crossed_peer,
            Self::crossed_owner,
            Self::crossed_other,
        ];
        all.into_iter().map(|make| make()).find(|world| world.name == name)
    }

    /// One owner (1), one peer (3), a stranger (5): one area for both and two for the
    /// partition, of which quota allows one; every fault, all calls.
    #[must_use]
    pub fn one_grant() -> Self {
        let mut world = Self::new("one-grant", &[1, 3, 5], &[(1, Some(3)), (1, None)])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 1, None, &[0x102])
            .with(2, 1, None, &[0x101])
            .failing(Fault::ALL);
        world.special = [Special::Chatter].into();
        world
    }

    /// The same with a second core in the middle of every sequence, and two owners.
    #[must_use]
    pub fn two_cores() -> Self {
        let mut world = Self::new("two-cores", &[1, 2, 3, 5], &[(1, Some(3)), (2, None)])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, None, &[0x101])
            .failing(&[Fault::SpmcKeeps, Fault::MmuRefuses, Fault::Late]);
        world.special = [Special::SecondCore].into();
        world
    }

    /// One VM (1) with an area for the peer (3) and two for the partition: in the middle of each
    /// sequence of one of its processors another of them tries every call.
    #[must_use]
    pub fn two_vcpus() -> Self {
        let mut world = Self::new("two-vcpus", &[1, 3, 5], &[(1, Some(3)), (1, None)])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 1, None, &[0x102])
            .with(2, 1, None, &[0x101])
            .failing(&[Fault::SpmcKeeps, Fault::MmuRefuses, Fault::Late]);
        world.special = [Special::SecondCore].into();
        world
    }

    /// An owner and a peer, each of whom may ring once at a time.
    #[must_use]
    pub fn rationed() -> Self {
        let mut world = Self::new("rationed", &[1, 3, 5], &[(1, Some(3))])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .failing(&[Fault::SpmcKeeps, Fault::Late]);
        // Whole windows, so that what is left of each comes in few sizes.
        let window = u32::try_from(crate::broker::RING_WINDOW_MS).expect("a short time");
        world.policy = world.policy.with_ring_limit(1).with_unmap_deadline_ms(window);
        world.special = [Special::Rationed].into();
        world
    }

    /// A VM that may donate: two pages, one at a time, one that is no RAM, and shares over them.
    #[must_use]
    pub fn donated() -> Self {
        let mut world = Self::new("donated", &[1, 3, 5], &[(3, None)])
            .donating(1, Quota { grants: 3, pages: 3, ranges: 3 })
            .with(0, 1, None, &[0x101])
            .of_kind(GrantKind::Donate)
            .with(1, 1, None, &[0x102])
            .of_kind(GrantKind::Donate)
            .with(2, 1, None, &[0x101])
            .with(3, 3, None, &[0x102])
            .with(10, 1, None, &[0x0ff])
            .of_kind(GrantKind::Donate)
            .but(Flaw::Excluded, |_| {})
            .failing(Fault::ALL);
        world.special = [Special::Donations].into();
        world
    }

    /// Two VMs whose areas may be joined, one of them under two numbers, and copies allowed one way.
    #[must_use]
    pub fn joined() -> Self {
        let world = Self::new("joined", &[1, 3, 5], &[(1, None), (3, None)])
            .with(0, 1, None, &[0x101])
            .with(1, 3, None, &[0x102])
            .failing(&[Fault::MmuRefuses, Fault::Late]);
        world.joining(&[((1, 3, 5), 0), ((3, 1, 5), 1), ((3, 1, 6), 1), ((5, 1, 5), 0)])
    }

    /// The same with areas that must not be joined, or not be written: one that may only be read, and
    /// one that has a peer.
    #[must_use]
    pub fn joined_odd() -> Self {
        let mut world = Self::new("joined-odd", &[1, 3, 5], &[(1, None), (3, None), (3, Some(1))])
            .with(0, 1, None, &[0x101])
            .with(2, 3, None, &[0x100])
            .with(3, 3, Some(1), &[0x102])
            .failing(&[Fault::MmuRefuses]);
        if let Some(t) = world.transactions.get_mut(1) {
            t.terms.permission = Permission::ReadOnly;
        }
        world.mortals = [3].into();
        world.joining(&[((1, 3, 5), 0), ((3, 1, 5), 2), ((1, 3, 5), 3)])
    }

    fn joining(mut self, sides: &[((u16, u16, u16), u64)]) -> Self {
        let rule = CopyRule { from: vm(1), to: vm(3), joins: 1 };
        self.policy.add_copy(rule).expect("a rule");
        let side = |((vm, peer, number), area)| (Side { vm, peer, number }, area);
        self.joins = sides.iter().copied().map(side).collect();
        self
    }

    /// An SPMC that lets everybody retrieve everything, and two owners with the same peer, the one
    /// trying the other's handles.
    #[must_use]
    pub fn careless_spmc() -> Self {
        let mut world = Self::new("careless-spmc", &[1, 2, 3, 5], &[(1, Some(3)), (2, Some(3))])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, Some(3), &[0x102]);
        world.strangers = [1, 2, 5].into();
        world.special = [Special::CarelessSpmc].into();
        world
    }

    /// One sound area among transactions that must never be taken.
    #[must_use]
    pub fn flawed() -> Self {
        let narrow = Quota { grants: 2, pages: 1, ranges: 1 };
        let world = Self::new("flawed", &[1, 3, 5], &[(1, Some(3))]).donating(1, narrow);
        let lend = |t: &mut Transaction| t.terms.kind = GrantKind::Lend;
        let same = |_: &mut Transaction| {};
        let mut world = world
            .with(0, 1, Some(3), &[0x100])
            .with(10, 1, Some(3), &[0x101])
            .but(Flaw::Executable, same)
            .with(11, 1, None, &[0x101])
            .but(Flaw::Secure, same)
            .with(12, 1, None, &[0x102])
            .but(Flaw::BadRange, same)
            .with(13, 1, None, &[0x102])
            .but(Flaw::WrongTotal, same)
            .with(14, 1, None, &[0x101])
            .but(Flaw::Narrower, same)
            .with(15, 1, Some(3), &[0x101])
            .but(Flaw::Excluded, lend)
            .with(16, 1, None, &[0x0ff])
            .but(Flaw::Excluded, same)
            .with(17, 1, None, &[0x100, 0x101, 0x102])
            .but(Flaw::Excluded, same)
            .with(18, 1, None, &[0x101, 0x102])
            .but(Flaw::Excluded, same)
            .with(19, 1, None, &[0x102])
            .but(Flaw::Device, same)
            .with(20, 1, None, &[0x101])
            .but(Flaw::Excluded, |t| t.ranges = [pages(0x101, 2)].into())
            .with(21, 1, Some(5), &[0x101])
            .but(Flaw::Excluded, same)
            .with(22, 1, None, &[0x101])
            .of_kind(GrantKind::Donate)
            .but(Flaw::Excluded, same);
        world.policy = narrowed(&world.policy);
        world.faults = Fault::ALL.to_vec();
        world
    }

    /// A hypervisor that refuses a reclaim itself while a VM maps: a peer's word is enough.
    #[must_use]
    pub fn guarded() -> Self {
        let mut world = Self::new("guarded", &[1, 2, 3, 5], &[(1, Some(3)), (2, Some(3))])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, Some(3), &[0x101]);
        world.policy = world.policy.with_reclaim_guard(ReclaimGuard::Hypervisor);
        world
    }

    /// An owner with two areas over the same page and one for the partition; the hypervisor and VM 3
    /// may seal.
    #[must_use]
    pub fn sealed() -> Self {
        let pairs = [(1, Some(3)), (1, None), (2, Some(3))];
        let mut world = Self::new("sealed", &[1, 2, 3, 5], &pairs)
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 1, None, &[0x101])
            .with(2, 2, Some(3), &[0x102]);
        world.policy = world.policy.with_sealer(vm(3));
        // Who cannot be killed here is killed in the other worlds.
        world.mortals = [1].into();
        world.special = [Special::Sealing].into();
        world
    }

    /// Two VMs (1, 3) that each own an area of which the other is the peer, and one more owner (2).
    #[must_use]
    pub fn both_ways() -> Self {
        Self::new("both-ways", &[1, 2, 3, 5], &[(1, Some(3)), (3, Some(1)), (2, None)])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 3, Some(1), &[0x101])
            .with(2, 2, None, &[0x102])
    }

    /// Two owners (1, 2), two peers (3, 4), a stranger (5), three pages: one area to each peer, over
    /// the same page, and a local one.
    #[must_use]
    pub fn two_owners() -> Self {
        Self::new("two-owners", &[1, 2, 3, 4, 5], &[(1, Some(3)), (2, Some(4)), (2, None)])
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, Some(4), &[0x101])
            .with(2, 2, None, &[0x102])
    }

    /// Two owners, one peer of both, a second peer of the first owner, three pages, four areas; one
    /// VM that dies. (All of them dying at once takes hours to walk: "two-owners" has that.)
    fn crossed(name: &'static str, mortal: u16) -> Self {
        let pairs = [(1, Some(3)), (1, Some(4)), (2, Some(3)), (2, None)];
        let mut world = Self::new(name, &[1, 2, 3, 4, 5], &pairs)
            .with(0, 1, Some(3), &[0x101, 0x100])
            .with(1, 2, Some(3), &[0x101])
            .with(2, 2, None, &[0x102])
            .with(3, 1, Some(4), &[0x102]);
        world.mortals = [mortal].into();
        world
    }

    /// [`World::crossed`] where the owner of two areas dies.
    #[must_use]
    pub fn crossed_owner() -> Self {
        Self::crossed("crossed-owner", 1)
    }

    /// [`World::crossed`] where the other owner dies.
    #[must_use]
    pub fn crossed_other() -> Self {
        Self::crossed("crossed-other", 2)
    }

    /// [`World::crossed`] where the peer of two owners dies.
    #[must_use]
    pub fn crossed_peer() -> Self {
        Self::crossed("crossed-peer", 3)
    }
}

/// The same policy, with one more VM that may only be read.
fn narrowed(policy: &Policy) -> Policy {
    let mut policy = *policy;
    let rule = PairRule {
        owner: vm(1),
        peer: Some(vm(5)),
        share: true,
        lend: false,
        donate: false,
        widest: Permission::ReadOnly,
        max_area_pages: 2,
        quota: ONE,
    };
    policy.add_pair(rule).expect("a pair");
    policy
}
