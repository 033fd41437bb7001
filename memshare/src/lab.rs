//! Owns a laboratory for the broker: an SPMC that remembers shares, a driver that carries out
//! effects, faults on request. For tests and walks; never part of the image.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a laboratory stops at the first surprise"
)]

mod intruder;
mod shared;

pub use shared::Shared;

use crate::event::{
    Borrower, Caching, Descriptor, Event, MapFailed, Next, Notice, RetrieveRequest, Security,
    VmVerdict,
};
use crate::grant::{GrantId, GrantView};
use crate::ledger::Record;
use crate::policy::Policy;
use crate::{Action, Broker, Step};
use causeway_abi::{Call, GrantKind, GrantTerms, LifeState, Permission, Reply, Status};
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageAddr, PageRange};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// The partition's id in the laboratory.
pub const PARTITION: EndpointId = EndpointId::from_raw(0x8001);
/// The hypervisor's.
pub const HYPERVISOR: EndpointId = EndpointId::from_raw(0);

/// A transaction in the SPMC's store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// Who sent it.
    pub sender: EndpointId,
    /// Share or lend.
    pub kind: GrantKind,
    /// Its tag.
    pub tag: u64,
    /// Whether it says normal write-back memory.
    pub caching: Caching,
    /// Its NS bit.
    pub security: Security,
    /// Who receives it.
    pub borrowers: Vec<Borrower>,
    /// What the composite descriptor claims.
    pub total_page_count: u32,
    /// The constituents, bad ones as `None`.
    pub ranges: Vec<Option<PageRange>>,
    /// Retrieves that the partition has not given back.
    pub locks: u32,
}

/// Steps that are to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// What the next retrieves answer.
    pub retrieve: Option<FfaError>,
    /// What the next relinquishes answer.
    pub relinquish: Option<FfaError>,
    /// Whether the partition's own MMU refuses.
    pub mmu: Option<MapFailed>,
    /// Whether the SPMC forgets to check senders and receivers, as some do.
    pub careless: bool,
    /// Whether, in the middle of each sequence, time passes to the next deadline and a tick comes.
    pub late: bool,
    /// Whether, in the middle of each sequence, another core tries every call.
    pub second_core: bool,
    /// A call that, in the middle of each sequence, another core makes for good.
    pub meanwhile: Option<(EndpointId, Call)>,
}

/// A broker among the things that it decides about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lab<const G: usize, const R: usize, const W: usize> {
    /// The broker.
    pub broker: Broker<G, R, W>,
    /// The SPMC's store.
    pub shares: Shared<BTreeMap<MemHandle, Share>>,
    /// What the partition maps, by handle.
    pub mapped: Shared<BTreeSet<MemHandle>>,
    /// What the partition was given for good.
    pub donated: Vec<PageRange>,
    /// What was copied from where to where; a walk clears it.
    pub copies: Vec<(MemHandle, MemHandle, u32)>,
    /// What is to fail.
    pub faults: Faults,
    /// The time.
    pub now: u64,
    /// What the ledger would hold; a walk clears it.
    pub records: Vec<Record>,
    /// How often the hypervisor's doorbell rang; a walk clears it.
    pub rings: u32,
    /// Areas that the bus was told are gone; a walk clears it.
    pub lost: Vec<GrantId>,
    /// Calls that another core tried in the middle of a sequence; a walk clears it.
    pub intrusions: usize,
    /// A call of another core that got in between the steps of a sequence.
    pub intruder: Option<&'static str>,
}

/// The end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer to a call.
    Reply(Reply),
    /// The answer to a framework message.
    Verdict(VmVerdict),
    /// The bus or the ledger may go on.
    Kick(EndpointId),
    /// The answer to a use.
    Used(Result<GrantView, Status>),
    /// Nothing.
    Idle,
}

/// A VM's id.
#[must_use]
pub const fn vm(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

/// A handle.
#[must_use]
pub fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).expect("not the invalid handle")
}

/// `count` pages from page frame `frame` on.
#[must_use]
pub fn pages(frame: u64, count: u32) -> PageRange {
    let start = PageAddr::new(frame << 12).expect("a page");
    PageRange::new(start, count).expect("a range")
}

/// Read-write sharing with a peer or the partition alone.
#[must_use]
pub fn terms(peer: Option<u16>) -> GrantTerms {
    GrantTerms { peer: peer.map(vm), kind: GrantKind::Share, permission: Permission::ReadWrite }
}

impl<const G: usize, const R: usize, const W: usize> Lab<G, R, W> {
    /// A laboratory under a policy.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let mut broker = Broker::new();
        broker.configure(policy, PARTITION, 1).expect("a policy that fits");
        Self {
            broker,
            shares: Shared::default(),
            mapped: Shared::default(),
            donated: Vec::new(),
            copies: Vec::new(),
            faults: Faults::default(),
            now: 0,
            records: Vec::new(),
            rings: 0,
            lost: Vec::new(),
            intrusions: 0,
            intruder: None,
        }
    }

    /// Becomes a copy of another laboratory, without what its last step left behind and a walk
    /// clears; keeps the room of its lists.
    pub(crate) fn become_copy_of(&mut self, other: &Self) {
        self.broker.clone_from(&other.broker);
        self.shares.clone_from(&other.shares);
        self.mapped.clone_from(&other.mapped);
        self.donated.clone_from(&other.donated);
        (self.faults, self.now) = (other.faults, other.now);
        self.copies.clear();
        self.records.clear();
        self.lost.clear();
        (self.rings, self.intrusions, self.intruder) = (0, 0, None);
    }

    /// Whether nothing tells it from another laboratory but what a walk clears.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let Self { broker, shares, mapped, donated, faults, now, .. } = self;
        (broker, shares, mapped) == (&other.broker, &other.shares, &other.mapped)
            && (donated, faults, now) == (&other.donated, &other.faults, &other.now)
    }

    /// Enters a well-made transaction, as FFA_MEM_SHARE or _LEND would.
    pub fn send(&mut self, number: u64, owner: u16, terms: GrantTerms, ranges: &[PageRange]) {
        let ids = [Some(PARTITION), terms.peer];
        let borrower = |id| Borrower { id, permission: Some(terms.permission), executable: false };
        let share = Share {
            sender: vm(owner),
            kind: terms.kind,
            tag: 0,
            caching: Caching::NormalWriteBackInner,
            security: Security::NonSecure,
            borrowers: ids.into_iter().flatten().map(borrower).collect(),
            total_page_count: ranges.iter().map(|r| r.page_count()).sum(),
            ranges: ranges.iter().copied().map(Some).collect(),
            locks: 0,
        };
        self.shares.insert(handle(number), share);
    }

    /// FFA_MEM_RECLAIM: refused while the partition holds a retrieve.
    pub fn reclaim(&mut self, number: u64) -> Result<(), FfaError> {
        match self.shares.get(&handle(number)) {
            None => Err(FfaError::InvalidParameters),
            Some(share) if share.locks > 0 => Err(FfaError::Denied),
            Some(_) => {
                self.shares.remove(&handle(number));
                Ok(())
            }
        }
    }

    /// How many retrieves of a transaction the partition holds.
    #[must_use]
    pub fn locks(&self, number: u64) -> u32 {
        self.shares.get(&handle(number)).map_or(0, |s| s.locks)
    }

    /// Makes a call and carries out what it leads to.
    pub fn call(&mut self, caller: u16, call: Call) -> Reply {
        match self.drive(Event::call(vm(caller), &call)) {
            Outcome::Reply(reply) => {
                assert_eq!(reply.call_number, call.id().number(), "an answer to another call");
                reply
            }
            Outcome::Kick(_) => Reply::ok(call.id().number(), [0; 4]),
            other @ (Outcome::Verdict(_) | Outcome::Used(_) | Outcome::Idle) => {
                panic!("{call:?} ended with {other:?}")
            }
        }
    }

    /// The hypervisor's "VM created".
    pub fn created(&mut self, id: u16) -> VmVerdict {
        self.framework(Event::VmCreated { caller: HYPERVISOR, vm: vm(id) })
    }

    /// The hypervisor's "VM destroyed", once.
    pub fn destroyed(&mut self, id: u16) -> VmVerdict {
        self.framework(Event::VmDestroyed { caller: HYPERVISOR, vm: vm(id) })
    }

    /// A framework message.
    pub fn framework(&mut self, event: Event<'_>) -> VmVerdict {
        match self.drive(event) {
            Outcome::Verdict(verdict) => verdict,
            other @ (Outcome::Reply(_) | Outcome::Kick(_) | Outcome::Used(_) | Outcome::Idle) => {
                panic!("a framework message ended with {other:?}")
            }
        }
    }

    /// A use begins.
    pub fn begin_use(&mut self, grant: GrantId) -> Result<GrantView, Status> {
        self.used(Event::Use { grant })
    }

    /// A use ends.
    pub fn end_use(&mut self, grant: GrantId) -> Result<GrantView, Status> {
        self.used(Event::Unuse { grant })
    }

    fn used(&mut self, event: Event<'_>) -> Result<GrantView, Status> {
        match self.drive(event) {
            Outcome::Used(result) => result,
            other
            @ (Outcome::Reply(_) | Outcome::Verdict(_) | Outcome::Kick(_) | Outcome::Idle) => {
                panic!("a use ended with {other:?}")
            }
        }
    }

    /// Drives a sequence to its end, as the image does.
    pub fn drive(&mut self, first: Event<'_>) -> Outcome {
        let mut step = Step::new();
        let at_once = if let Event::Frame { caller, frame } = &first {
            self.broker.version_at_once(self.now, *caller, frame)
        } else {
            None
        };
        self.broker.step_into(self.now, first, &mut step);
        if let Some(answer) = at_once {
            assert_eq!(step.reply(), Some(&answer), "answered at once, and otherwise by a step");
        }
        for _ in 0..1000 {
            self.take_notices(&step);
            self.meanwhile(step.next());
            let event = match step.next() {
                Next::Retrieve(request) => {
                    self.retrieve(&request, &mut step);
                    continue;
                }
                Next::Relinquish(handle) => Event::Relinquished(self.relinquish(handle)),
                Next::Map { grant, .. } => {
                    let result = self.faults.mmu.map_or(Ok(()), Err);
                    if let (Ok(()), Some(view)) = (result, self.broker.view(grant)) {
                        assert!(self.mapped.insert(view.handle), "mapped twice");
                    }
                    Event::Mapped(result)
                }
                Next::Unmap { grant } => {
                    let result = self.faults.mmu.map_or(Ok(()), Err);
                    if let (Ok(()), Some(view)) = (result, self.broker.view(grant)) {
                        assert!(self.mapped.remove(&view.handle), "unmapped twice");
                    }
                    Event::Unmapped(result)
                }
                Next::Copy { from, to, len, .. } => Event::Copied(self.copy(from, to, len)),
                Next::Continue => Event::Continue,
                Next::Reply(frame) => {
                    return Outcome::Reply(Reply::decode(&frame).expect("an answer"));
                }
                Next::VmReply(verdict) => return Outcome::Verdict(verdict),
                Next::BusKick { vm }
                | Next::BusFrame { vm }
                | Next::Interrupt { caller: vm, .. }
                | Next::LedgerHead { vm, .. }
                | Next::LedgerRead { vm, .. }
                | Next::Vault { vm, .. } => return Outcome::Kick(vm),
                Next::Used(result) => return Outcome::Used(result),
                Next::Idle => return Outcome::Idle,
            };
            self.broker.step_into(self.now, event, &mut step);
        }
        panic!("a sequence without end");
    }

    fn take_notices(&mut self, step: &Step) {
        for notice in step.notices() {
            match *notice {
                Notice::Ledger(record) => self.records.push(record),
                Notice::RingHypervisor(_) => self.rings += 1,
                Notice::AreaLost { grant, .. } => self.lost.push(grant),
            }
        }
    }

    /// What other cores do while a sequence waits for the result of an effect. The image's lock
    /// lets none of them in; should it fail, the broker refuses them.
    fn meanwhile(&mut self, next: Next) {
        match next {
            Next::Retrieve(_)
            | Next::Relinquish(_)
            | Next::Map { .. }
            | Next::Unmap { .. }
            | Next::Copy { .. }
            | Next::Continue => {}
            Next::Reply(_)
            | Next::VmReply(_)
            | Next::BusKick { .. }
            | Next::BusFrame { .. }
            | Next::Interrupt { .. }
            | Next::LedgerHead { .. }
            | Next::LedgerRead { .. }
            | Next::Vault { .. }
            | Next::Used(_)
            | Next::Idle => return,
        }
        if self.faults.second_core {
            self.intrusions += 1;
            self.intruder = self.intruder.or_else(|| intruder::intrude(&self.broker, self.now));
        }
        if let Some((caller, call)) = self.faults.meanwhile {
            self.intrusions += 1;
            let step = self.broker.step(self.now, Event::call(caller, &call));
            self.take_notices(&step);
            let busy = Reply::refused(call.id().number(), Status::Busy).encode();
            if step.next() != Next::Reply(busy) {
                self.intruder = Some("the other call");
            }
        }
        if self.faults.late {
            self.now = self.now.max(self.broker.next_deadline().unwrap_or(0));
            let step = self.broker.step(self.now, Event::Tick);
            self.take_notices(&step);
        }
    }

    fn retrieve(&mut self, request: &RetrieveRequest, step: &mut Step) {
        let careless = self.faults.careless;
        let known = self.shares.get_mut(&request.handle);
        let share = match (self.faults.retrieve, known) {
            (Some(error), _) => Err(error),
            (None, None) => Err(FfaError::InvalidParameters),
            (None, Some(share)) => {
                let sender = share.sender == request.owner && share.tag == request.tag;
                let listed = share.borrowers.iter().any(|b| b.id == PARTITION);
                let donates = |kind| kind == GrantKind::Donate;
                let typed = donates(share.kind) == donates(request.kind);
                if careless || (sender && listed && typed) {
                    share.locks += 1;
                    Ok(share.clone())
                } else {
                    Err(FfaError::InvalidParameters)
                }
            }
        };
        let share = match share {
            Ok(share) => {
                if share.kind == GrantKind::Donate {
                    // The transaction ends with the retrieve: the pages are the partition's.
                    self.shares.remove(&request.handle);
                    self.donated.extend(share.ranges.iter().flatten());
                    self.donated.sort_by_key(|range| range.start());
                }
                share
            }
            Err(error) => {
                return self.broker.step_into(self.now, Event::Retrieved(Err(error)), step);
            }
        };
        let descriptor = Descriptor {
            sender: share.sender,
            tag: share.tag,
            kind: Some(share.kind),
            caching: share.caching,
            security: share.security,
            borrowers: &share.borrowers,
            total_page_count: share.total_page_count,
            ranges: &mut share.ranges.iter().copied(),
        };
        self.broker.step_into(self.now, Event::Retrieved(Ok(descriptor)), step);
    }

    fn copy(&mut self, from: GrantId, to: GrantId, len: u32) -> Result<u32, MapFailed> {
        self.faults.mmu.map_or(Ok(()), Err)?;
        let id = |grant| self.broker.view(grant).map(|view| view.handle);
        let (Some(from), Some(to)) = (id(from), id(to)) else { return Err(MapFailed) };
        self.copies.push((from, to, len));
        Ok(len)
    }

    fn relinquish(&mut self, handle: MemHandle) -> Result<(), FfaError> {
        if let Some(error) = self.faults.relinquish {
            return Err(error);
        }
        let share = self.shares.get_mut(&handle).ok_or(FfaError::InvalidParameters)?;
        share.locks = share.locks.checked_sub(1).ok_or(FfaError::Denied)?;
        Ok(())
    }

    /// What the ledger would say last about grants.
    #[must_use]
    pub fn last_move(&self) -> Option<LifeState> {
        self.records
            .iter()
            .rev()
            .find_map(|r| if let Action::Moved(state) = r.action { Some(state) } else { None })
    }
}
