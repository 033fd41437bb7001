//! Owns the fuzz target of the broker: VMs, a hypervisor, a bus and a faulty SPMC in any order, with
//! donations and joins among the grants, and the invariants of docs (I1-I5, I9 of what is copied)
//! checked after each sequence.
#![no_main]

use arbitrary::{Result, Unstructured};
use causeway_abi::{
    Call, CopyDirection, Frame, GrantKind, GrantSummary, GrantTerms, JoinName, Permission, Reply,
    Status,
};
use causeway_ffa::{EndpointId, FfaError, MemHandle, PAGE_SIZE, PageAddr, PageRange};
use causeway_memshare::policy::{CopyRule, PairRule, Quota};
use causeway_memshare::{
    Borrower, Broker, Caching, Descriptor, Event, GrantId, MapFailed, Next, Policy,
    RetrieveRequest, Security,
};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};

type SmallBroker = Broker<8, 24, 1>;

const PARTITION: EndpointId = EndpointId::from_raw(0x8001);
const WINDOW: u64 = 0x100;
const WINDOW_PAGES: u32 = 16;
/// Whose areas may be copied into whose.
const COPIES: (u16, u16) = (1, 2);

fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn pages(frame: u64, count: u32) -> PageRange {
    let start = PageAddr::new(frame << 12).expect("a page");
    PageRange::new(start, count).expect("a range")
}

/// A transaction in the SPMC's store.
struct Share {
    sender: EndpointId,
    peer: Option<EndpointId>,
    kind: GrantKind,
    permission: Permission,
    ranges: Vec<Option<PageRange>>,
    total: u32,
    security: Security,
    caching: Caching,
    locks: u32,
}

struct World {
    broker: SmallBroker,
    shares: BTreeMap<u64, Share>,
    mapped: BTreeSet<MemHandle>,
    /// What ended with its retrieve: the partition's for good.
    donated: Vec<PageRange>,
    /// Grants of donated memory.
    kept: usize,
    /// Bytes that were moved in this sequence.
    moved: u64,
    now: u64,
    /// A fault was injected in this sequence.
    faulty: bool,
}

fn policy() -> Policy {
    let mut policy = Policy::new().with_hypervisor(id(0)).with_unmap_deadline_ms(5);
    for vm in 1..=4 {
        policy.add_vm(id(vm)).expect("a VM");
    }
    policy.add_window(pages(WINDOW, WINDOW_PAGES)).expect("a window");
    for (owner, peer) in [(1, Some(2)), (1, None), (3, Some(2)), (2, None)] {
        let rule = PairRule {
            owner: id(owner),
            peer: peer.map(id),
            share: true,
            lend: true,
            donate: (owner, peer) == (2, None),
            widest: if owner == 3 { Permission::ReadOnly } else { Permission::ReadWrite },
            max_area_pages: 6,
            quota: Quota { grants: 2, pages: 8, ranges: 6 },
        };
        policy.add_pair(rule).expect("a pair");
    }
    let (from, to) = COPIES;
    policy.add_copy(CopyRule { from: id(from), to: id(to), joins: 2 }).expect("a rule");
    policy
}

impl World {
    fn new() -> Self {
        let mut broker = SmallBroker::new();
        broker.configure(&policy(), PARTITION, 1).expect("a policy that fits");
        broker.spmc_donates();
        let (shares, mapped, donated) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { broker, shares, mapped, donated, kept: 0, moved: 0, now: 0, faulty: false }
    }

    fn fails(&mut self, input: &mut Unstructured<'_>) -> bool {
        let fails = input.ratio(1, 12).unwrap_or(false);
        self.faulty |= fails;
        fails
    }

    /// Carries a sequence out, as the image does; returns the answer to a frame.
    fn drive(&mut self, input: &mut Unstructured<'_>, first: Event<'_>) -> Option<Frame> {
        let mut step = self.broker.step(self.now, first);
        for _ in 0..200 {
            assert!(step.notices().count() <= 8);
            step = match step.next() {
                Next::Retrieve(request) => self.retrieve(input, &request),
                Next::Relinquish(handle) => {
                    let fails = self.fails(input);
                    let share = self.shares.get_mut(&handle.get());
                    let result = match share {
                        Some(share) if !fails => {
                            share.locks = share.locks.checked_sub(1).expect("I2: never locked");
                            Ok(())
                        }
                        Some(_) | None => Err(FfaError::Denied),
                    };
                    self.broker.step(self.now, Event::Relinquished(result))
                }
                Next::Map { grant, .. } => {
                    let result = if self.fails(input) { Err(MapFailed) } else { Ok(()) };
                    if let (Ok(()), Some(view)) = (result, self.broker.view(grant)) {
                        assert!(view.peer.is_none(), "I5: a remote area is mapped");
                        assert!(self.mapped.insert(view.handle), "mapped twice");
                    }
                    self.broker.step(self.now, Event::Mapped(result))
                }
                Next::Unmap { grant } => {
                    let result = if self.fails(input) { Err(MapFailed) } else { Ok(()) };
                    if let (Ok(()), Some(view)) = (result, self.broker.view(grant)) {
                        assert!(self.mapped.remove(&view.handle), "unmapped twice");
                    }
                    self.broker.step(self.now, Event::Unmapped(result))
                }
                Next::Copy { from, from_offset, to, to_offset, len } => {
                    self.is_copied((from, from_offset), (to, to_offset), len);
                    // A fault on the way: nothing, or a part.
                    let fails = self.fails(input);
                    let whole = u64::from(len);
                    let mut part = || input.int_in_range(0..=whole).unwrap_or(0);
                    self.moved = if fails { part() } else { whole };
                    let moved = u32::try_from(self.moved).expect("a part of it");
                    let result = if moved == 0 { Err(MapFailed) } else { Ok(moved) };
                    self.broker.step(self.now, Event::Copied(result))
                }
                Next::Continue => self.broker.step(self.now, Event::Continue),
                Next::Reply(frame) => return Some(frame),
                _ => return None,
            };
        }
        panic!("a sequence without end");
    }

    /// I3, I5: between two local areas, the way that policy allows, within both.
    fn is_copied(&self, from: (GrantId, u64), to: (GrantId, u64), len: u32) {
        let area = |(grant, offset): (GrantId, u64)| {
            let view = self.broker.view(grant).expect("I3: copies what is no grant");
            let size = u64::from(view.page_count) * PAGE_SIZE;
            assert!(view.peer.is_none(), "I3: copies what others share");
            assert!(offset + u64::from(len) <= size, "I5: copies what is beyond the area");
            (view.owner.get(), view.permission)
        };
        let ((from, _), (to, permission)) = (area(from), area(to));
        assert_eq!((from, to), COPIES, "I3: no policy allows this");
        assert_eq!(permission, Permission::ReadWrite, "I5: writes what is to be read");
    }

    fn retrieve(
        &mut self,
        input: &mut Unstructured<'_>,
        request: &RetrieveRequest,
    ) -> causeway_memshare::Step {
        let fails = self.fails(input);
        let donates = |kind| kind == GrantKind::Donate;
        let share = self.shares.get_mut(&request.handle.get());
        let theirs = |share: &&mut Share| {
            share.sender == request.owner && donates(share.kind) == donates(request.kind)
        };
        let Some(share) = share.filter(theirs).filter(|_| !fails) else {
            let refused = Event::Retrieved(Err(FfaError::InvalidParameters));
            return self.broker.step(self.now, refused);
        };
        share.locks += 1;
        let one = |id| Borrower { id, permission: Some(share.permission), executable: false };
        let borrowers: Vec<Borrower> =
            [Some(PARTITION), share.peer].into_iter().flatten().map(one).collect();
        let descriptor = Descriptor {
            sender: share.sender,
            tag: 0,
            kind: Some(share.kind),
            caching: share.caching,
            security: share.security,
            borrowers: &borrowers,
            total_page_count: share.total,
            ranges: &mut share.ranges.iter().copied(),
        };
        let step = self.broker.step(self.now, Event::Retrieved(Ok(descriptor)));
        if donates(share.kind) {
            // The transaction ended with the retrieve, whatever the broker makes of it.
            self.donated.extend(share.ranges.iter().flatten());
            self.shares.remove(&request.handle.get());
        }
        step
    }

    /// A call; a refusal of a sequence without faults must change nothing (I4).
    fn frame(&mut self, input: &mut Unstructured<'_>, caller: u16, frame: Frame) -> Option<Reply> {
        self.drive(input, Event::Tick);
        (self.faulty, self.moved) = (false, 0);
        let before = self.broker.clone();
        let answer = self.drive(input, Event::Frame { caller: id(caller), frame })?;
        let reply = Reply::decode(&answer).expect("an answer");
        if reply.status != Status::Ok && !self.faulty {
            assert!(self.broker == before, "I4: {:?} changed something", reply.status);
        }
        Some(reply)
    }

    fn check(&mut self) {
        let mut kept = 0;
        let mut used = BTreeSet::new();
        let mut live = BTreeSet::new();
        for grant in self.broker.grants() {
            assert!(live.insert(grant.handle), "a handle is in two grants");
            for range in self.broker.ranges(grant.id) {
                assert!(pages(WINDOW, WINDOW_PAGES).contains(range), "I5: {range:?} is no RAM");
                for page in (range.start().get()..range.end()).step_by(PAGE_SIZE as usize) {
                    assert!(used.insert(page), "I1: {page:#x} is in two grants");
                }
            }
            if grant.kind == GrantKind::Donate {
                kept += 1;
                let given = self.broker.ranges(grant.id).all(|r| self.donated.contains(&r));
                assert!(given, "I5: {} was never given", grant.handle);
                continue;
            }
            let share = &self.shares[&grant.handle.get()];
            assert!(share.locks > 0, "I2: {} is not locked", grant.handle);
            assert!(share.sender == grant.owner && share.peer == grant.peer, "I3");
        }
        for handle in &self.mapped {
            assert!(live.contains(handle), "I5: {handle} is mapped and no grant");
        }
        assert!(kept >= self.kept, "I1: a donation is forgotten");
        self.kept = kept;
    }
}

fn send(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let number = input.int_in_range(0..=5u64)?;
    if world.shares.contains_key(&number) {
        return Ok(());
    }
    let count = input.int_in_range(1..=3)?;
    let mut ranges = Vec::new();
    for _ in 0..count {
        let frame = WINDOW - 1 + u64::from(input.int_in_range(0..=17u8)?);
        let range = pages(frame, input.int_in_range(1..=3)?);
        ranges.push(if input.ratio(1, 30)? { None } else { Some(range) });
    }
    // The SPMC knows who has what was donated.
    let gone = |range: &PageRange| world.donated.iter().any(|given| given.overlaps(*range));
    if ranges.iter().flatten().any(gone) {
        return Ok(());
    }
    let total = ranges.iter().flatten().map(|range| range.page_count()).sum();
    let share = Share {
        sender: id(input.int_in_range(1..=3)?),
        peer: *input.choose(&[None, Some(id(2)), Some(id(2)), Some(id(4))])?,
        kind: *input.choose(&[GrantKind::Share, GrantKind::Lend, GrantKind::Donate])?,
        permission: *input.choose(&[Permission::ReadOnly, Permission::ReadWrite])?,
        total: if input.ratio(1, 30)? { total + 1 } else { total },
        security: if input.ratio(1, 30)? { Security::Secure } else { Security::NonSecure },
        caching: if input.ratio(1, 30)? { Caching::Other } else { Caching::NormalWriteBackInner },
        ranges,
        locks: 0,
    };
    world.shares.insert(number, share);
    Ok(())
}

fn call(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let handle = MemHandle::new(input.int_in_range(0..=6)?).expect("a handle");
    let caller = input.int_in_range(0..=4u16)?;
    let vm = id(input.int_in_range(1..=4)?);
    let call = match input.int_in_range(0..=11)? {
        0..=2 => {
            let Some(share) = world.shares.get(&handle.get()) else { return Ok(()) };
            let (kind, permission) = (share.kind, share.permission);
            let terms = GrantTerms { peer: share.peer, kind, permission };
            let owner = share.sender.get();
            let frame = Call::Offer { handle, terms, tag: 0 }.encode();
            world.frame(input, owner, frame);
            return Ok(());
        }
        3 | 4 => {
            let inspect = Call::Inspect { handle, range_index: 0 };
            let Some(reply) = world.frame(input, 2, inspect.encode()) else { return Ok(()) };
            let [a, b, c, _] = reply.results;
            let Some(seen) = GrantSummary::from_words([a, b, c]) else { return Ok(()) };
            let frame = Call::Accept { handle, seen }.encode();
            world.frame(input, 2, frame);
            return Ok(());
        }
        5 => Call::Revoke { handle },
        6 => Call::Release { handle },
        7 => Call::HypMapping { handle, vm },
        8 => Call::HypUnmapped { handle, vm },
        9 => Call::HypPoll,
        10 => Call::State { handle },
        _ => Call::Reject { handle, generation: input.int_in_range(0..=3)? },
    };
    world.frame(input, caller, call.encode());
    Ok(())
}

/// Joins, and copies whose counts must agree with what was moved (I9).
fn join(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let (caller, peer) = *input.choose(&[(1, 2), (2, 1), (1, 2), (2, 1), (3, 2)])?;
    let name = JoinName { peer: id(peer), number: input.int_in_range(0..=1)? };
    let call = match input.int_in_range(0..=7)? {
        0..=2 => {
            let mine = |g: &causeway_memshare::GrantView| g.owner == id(caller);
            let live: Vec<_> = world.broker.grants().filter(mine).map(|g| g.handle).collect();
            let Ok(handle) = input.choose(&live) else { return Ok(()) };
            Call::Join { handle: *handle, name }
        }
        3 => Call::Part { name },
        _ => {
            let direction = *input.choose(&[CopyDirection::ToPeer, CopyDirection::FromPeer])?;
            let mut offset = || input.int_in_range(0..=3_u64).map(|pages| pages * PAGE_SIZE / 2);
            let (from_offset, to_offset) = (offset()?, offset()?);
            let length = input.int_in_range(0..=20_000)?;
            return copy(
                world,
                input,
                caller,
                Call::Copy { name, direction, from_offset, to_offset, length },
                (name, direction),
            );
        }
    };
    world.frame(input, caller, call.encode());
    Ok(())
}

fn copy(
    world: &mut World,
    input: &mut Unstructured<'_>,
    caller: u16,
    call: Call,
    (name, direction): (JoinName, CopyDirection),
) -> Result<()> {
    let counts = |world: &mut World, input: &mut Unstructured<'_>| {
        let reply = world.frame(input, caller, Call::Joined { name }.encode())?;
        let [_, sent, received, _] = reply.results;
        Some((sent, received))
    };
    let before = counts(world, input);
    world.frame(input, caller, call.encode());
    let moved = world.moved;
    let after = counts(world, input);
    let expected = before.map(|(sent, received)| match direction {
        CopyDirection::ToPeer => (sent + moved, received),
        CopyDirection::FromPeer => (sent, received + moved),
    });
    assert_eq!(after, expected, "I9: {moved} bytes were moved");
    Ok(())
}

fn act(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    match input.int_in_range(0..=18)? {
        0 | 1 => send(world, input)?,
        2 => {
            let number = input.int_in_range(0..=5)?;
            if world.shares.get(&number).is_some_and(|share| share.locks == 0) {
                world.shares.remove(&number);
            }
        }
        3..=9 => call(world, input)?,
        10 | 11 => {
            let live: Vec<_> = world.broker.grants().map(|g| g.id).collect();
            let Ok(grant) = input.choose(&live) else { return Ok(()) };
            let grant = *grant;
            let begins: bool = input.arbitrary()?;
            let event = if begins { Event::Use { grant } } else { Event::Unuse { grant } };
            world.drive(input, event);
        }
        12 => {
            let (caller, vm) = (id(input.int_in_range(0..=1)?), id(input.int_in_range(0..=5)?));
            world.drive(input, Event::VmDestroyed { caller, vm });
        }
        13 => {
            let (caller, vm) = (id(input.int_in_range(0..=1)?), id(input.int_in_range(0..=5)?));
            world.drive(input, Event::VmCreated { caller, vm });
        }
        14 => {
            let caller = input.int_in_range(0..=5u16)?;
            let mut frame: Frame = [0; 5];
            for word in &mut frame {
                *word = if input.arbitrary()? {
                    u64::from(input.arbitrary::<u8>()?)
                } else {
                    input.arbitrary()?
                };
            }
            world.frame(input, caller, frame);
        }
        15..=17 => join(world, input)?,
        _ => {
            world.now += u64::from(input.arbitrary::<u8>()?);
            world.drive(input, Event::Tick);
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let mut world = World::new();
    while !input.is_empty() && act(&mut world, &mut input).is_ok() {
        world.check();
    }
});
