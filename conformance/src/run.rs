//! Owns the carrying out of a case: step by step, and what is taken back afterwards.

use crate::file;
use crate::step::{Area, Ask, Case, Handle, Name, Step, VmNews};
use crate::world::{Shared, World};
use causeway_abi::{
    Call, CallId, CopyDirection, DigestHalf, GrantKind, GrantTerms, JoinName, LedgerScope,
    Permission, Reply, Status, VaultCall,
};
use causeway_ffa::call::{Framework, FrameworkMessage};
use causeway_ffa::{
    Call as FfaCall, EndpointId, FfaError, MemHandle, PageAddr, PageRange, Regs, Transfer,
};

/// Handles that a case can keep.
const PLACES: usize = 8;

/// How a case that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Every step ended as it says.
    Passed,
    /// It has no meaning in this world.
    NotApplicable,
}

/// Why a case failed: the step, from 1, and what came instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub step: usize,
    /// What came.
    pub why: Why,
}

/// What came instead of what the case says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another status.
    Status(Status),
    /// The SPMC answered with an error.
    Ffa(FfaError),
    /// It succeeded, and should not have.
    Succeeded,
    /// Another value.
    Value(u64),
    /// An answer that cannot be read.
    Unreadable,
    /// The case itself is wrong.
    Case,
    /// Bytes are not what they should be.
    Bytes,
}

impl From<FfaError> for Why {
    fn from(error: FfaError) -> Self {
        Self::Ffa(error)
    }
}

#[derive(Clone, Copy)]
struct Kept {
    handle: MemHandle,
    owner: EndpointId,
    tag: u64,
}

/// One run of one case.
pub(crate) struct Run<'a, W> {
    pub(crate) world: &'a mut W,
    kept: [Option<Kept>; PLACES],
}

/// Carries a case out.
///
/// # Errors
/// The first step that did not end as the case says.
pub fn run<W: World>(case: &Case, world: &mut W) -> Result<Done, Failure> {
    let in_parts_only = matches!(case.steps, [Step::InPartsOnly, ..]);
    if in_parts_only && !world.speaks_in_parts() {
        return Ok(Done::NotApplicable);
    }
    if let [Step::SecondCore(vm), ..] = *case.steps {
        let probe = Call::List { cursor: 0 }.encode();
        if world.speaks_in_parts() || world.words_on_second_core(vm, &probe).is_none() {
            return Ok(Done::NotApplicable);
        }
    }
    let mut run = Run { world, kept: [None; PLACES] };
    let mut result = Ok(());
    for (index, step) in case.steps.iter().enumerate() {
        if let Err(why) = run.step(step) {
            result = Err(Failure { step: index + 1, why });
            break;
        }
    }
    let left = run.take_back();
    let left = left.map_err(|why| Failure { step: case.steps.len() + 1, why });
    result.and(left).map(|()| Done::Passed)
}

impl<W: World> Run<'_, W> {
    fn step(&mut self, step: &Step) -> Result<(), Why> {
        match *step {
            Step::InPartsOnly => Ok(()),
            Step::SecondCore(vm) => {
                let list = Call::List { cursor: 0 }.encode();
                let answer = self.world.words_on_second_core(vm, &list).ok_or(Why::Case)??;
                let reply = Reply::decode(&answer).ok_or(Why::Unreadable)?;
                expect(reply.status, Status::Ok)?;
                let [first, ..] = reply.results;
                (first == causeway_abi::NO_HANDLE).then_some(()).ok_or(Why::Value(first))
            }
            Step::Version(major, minor) => self.version(major, minor),
            Step::Feature(function) => self.feature(function),
            Step::Discover => {
                let (found, count) = self.world.discover()?;
                let right = count == 1 && found == self.world.partition();
                right.then_some(()).ok_or(Why::Value(u64::from(count)))
            }
            Step::Send(place, kind, area, peer, permission) => {
                self.send(kind, area, peer, permission).map(|kept| self.keep(place, Some(kept)))?
            }
            Step::NotTwice(area, status) => self.not_twice(area, status),
            Step::Ask(from, ask, status) => self.ask(from, ask, status),
            Step::Refused(from, ask) => {
                let call = self.call(from, ask)?;
                let refused = self.service(from, &call)?.status != Status::Ok;
                refused.then_some(()).ok_or(Why::Succeeded)
            }
            Step::Words(from, words, status) => {
                let answer = self.world.words(from, &words)?;
                expect(Reply::decode(&answer).ok_or(Why::Unreadable)?.status, status)
            }
            Step::Frame(from, frame, status) => {
                let answer = self.world.frame(from, &frame)?;
                expect(Reply::decode(&answer).ok_or(Why::Unreadable)?.status, status)
            }
            Step::Garbage(from, seed, count) => self.garbage(from, seed, count),
            Step::Reclaim(place) => {
                let kept = self.at(place)?;
                self.world.reclaim(kept.handle)?;
                self.keep(place, None)
            }
            Step::ReclaimRefused(place, error) => {
                let kept = self.at(place)?;
                match self.world.reclaim(kept.handle) {
                    Err(found) if found == error => Ok(()),
                    Err(found) => Err(Why::Ffa(found)),
                    Ok(()) => Err(Why::Succeeded),
                }
            }
            Step::Fill(area, seed) => {
                let range = self.range(area)?;
                file::fill(self.world, range, seed);
                Ok(())
            }
            Step::Holds(area, seed) => {
                let range = self.range(area)?;
                file::holds(self.world, range, seed).then_some(()).ok_or(Why::Bytes)
            }
            Step::Changed(area, seed) => {
                let range = self.range(area)?;
                (!file::holds(self.world, range, seed)).then_some(()).ok_or(Why::Bytes)
            }
            Step::LedgerHead(vm) => self.ledger_head(vm),
            Step::Vm(news, vm) => self.vm(news, vm),
            Step::MoveFile(from, to, bytes) => self.move_file(from, to, bytes),
        }
    }

    fn version(&mut self, major: u16, minor: u16) -> Result<(), Why> {
        let mut regs = Regs::ZERO;
        let asked = u64::from(major) << 16 | u64::from(minor);
        let [x0, x1, ..] = &mut regs.0;
        (*x0, *x1) = (0x8400_0063, asked);
        let found = self.world.call(&regs).x(0);
        let right = found >> 16 == u64::from(major) && found >= asked && found < 1 << 31;
        right.then_some(()).ok_or(Why::Value(found))
    }

    fn feature(&mut self, function: u32) -> Result<(), Why> {
        let mut regs = Regs::ZERO;
        let [x0, x1, ..] = &mut regs.0;
        (*x0, *x1) = (0x8400_0064, u64::from(function));
        let answer = self.world.call(&regs);
        let found = u64::from(answer.w(0));
        if found == 0x8400_0061 { Ok(()) } else { Err(Why::Value(found)) }
    }

    fn range(&self, area: Area) -> Result<PageRange, Why> {
        let start = PageAddr::new(self.world.ram(area.of) + (area.page << 12));
        start.and_then(|start| PageRange::new(start, area.count)).ok_or(Why::Case)
    }

    /// The tag is where the pages begin: the hypervisor vouches for it where the SPMC does not tell
    /// the partition, and elsewhere it is a tag like any other.
    fn send(
        &mut self,
        kind: Transfer,
        area: Area,
        peer: Option<EndpointId>,
        permission: Permission,
    ) -> Result<Kept, Why> {
        let pages = self.range(area)?;
        let tag = pages.start().get();
        let owner = if area.of == NOBODY { EndpointId::from_raw(1) } else { area.of };
        let handle = self.world.send(&Shared { kind, owner, peer, permission, pages, tag })?;
        Ok(Kept { handle, owner, tag })
    }

    fn not_twice(&mut self, area: Area, status: Status) -> Result<(), Why> {
        let kept = match self.send(Transfer::Share, area, None, Permission::ReadWrite) {
            Ok(kept) => kept,
            Err(Why::Ffa(_)) => return Ok(()),
            Err(other) => return Err(other),
        };
        let Kept { handle, owner, tag } = kept;
        let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
        let terms = GrantTerms { peer: None, kind, permission };
        let answer = self.service(owner, &Call::Offer { handle, terms, tag });
        let taken_back = self.world.reclaim(handle).map_err(Why::from);
        let found = answer?.status;
        if found == Status::Ok {
            return Err(Why::Succeeded);
        }
        expect(found, status).and(taken_back)
    }

    fn keep(&mut self, place: usize, kept: Option<Kept>) -> Result<(), Why> {
        *self.kept.get_mut(place).ok_or(Why::Case)? = kept;
        Ok(())
    }

    fn at(&self, place: usize) -> Result<Kept, Why> {
        self.kept.get(place).copied().flatten().ok_or(Why::Case)
    }

    fn named(&self, handle: Handle) -> Result<Kept, Why> {
        match handle {
            Handle::At(place) => self.at(place),
            Handle::Invented => {
                let handle = MemHandle::new(0x7f_1234_5678).ok_or(Why::Case)?;
                Ok(Kept { handle, owner: NOBODY, tag: 0 })
            }
        }
    }

    /// Makes a call of the service.
    pub(crate) fn service(&mut self, from: EndpointId, call: &Call) -> Result<Reply, Why> {
        let answer = self.world.frame(from, &call.encode())?;
        let reply = Reply::decode(&answer).ok_or(Why::Unreadable)?;
        if reply.call_number == call.id().number() { Ok(reply) } else { Err(Why::Unreadable) }
    }

    fn ask(&mut self, from: EndpointId, ask: Ask, status: Status) -> Result<(), Why> {
        let call = self.call(from, ask)?;
        let reply = self.service(from, &call)?;
        expect(reply.status, status)?;
        let [first, second, third, _] = reply.results;
        let right = status != Status::Ok
            || match ask {
                Ask::Version => first >> 16 == u64::from(causeway_abi::VERSION_MAJOR),
                Ask::Features(_, exists) => first == u64::from(exists),
                Ask::ListNothing => first == causeway_abi::NO_HANDLE,
                Ask::Join(_, _, state) => first == u64::from(state.code()),
                Ask::CopyTo(_, [_, _, bytes]) | Ask::CopyAtMost(_, _, bytes) => first == bytes,
                Ask::Counted(_, counts) => [second, third] == counts,
                Ask::LedgerRead(..) => first > 0,
                Ask::Offer(..)
                | Ask::Revoke(_)
                | Ask::State(_)
                | Ask::Inspect(_)
                | Ask::Part(_)
                | Ask::HypUnmapped(_)
                | Ask::Entropy
                | Ask::VaultState => true,
            };
        right.then_some(()).ok_or(Why::Value(first))
    }

    fn call(&self, from: EndpointId, ask: Ask) -> Result<Call, Why> {
        Ok(match ask {
            Ask::Version => Call::Version { minor: causeway_abi::VERSION_MINOR },
            Ask::Features(call_number, _) => Call::Features { call_number },
            Ask::Offer(handle, peer, permission) => {
                let kept = self.named(handle)?;
                let terms = GrantTerms { peer, kind: GrantKind::Share, permission };
                Call::Offer { handle: kept.handle, terms, tag: kept.tag }
            }
            Ask::Revoke(handle) => Call::Revoke { handle: self.named(handle)?.handle },
            Ask::State(handle) => Call::State { handle: self.named(handle)?.handle },
            Ask::ListNothing => Call::List { cursor: 0 },
            Ask::Inspect(handle) => {
                Call::Inspect { handle: self.named(handle)?.handle, range_index: 0 }
            }
            Ask::Join(handle, name, _) => {
                Call::Join { handle: self.named(handle)?.handle, name: joined(name) }
            }
            Ask::Part(name) => Call::Part { name: joined(name) },
            Ask::CopyTo(name, [from_offset, to_offset, length]) => Call::Copy {
                name: joined(name),
                direction: CopyDirection::ToPeer,
                from_offset,
                to_offset,
                length,
            },
            Ask::CopyAtMost(name, length, _) => Call::Copy {
                name: joined(name),
                direction: CopyDirection::ToPeer,
                from_offset: 0,
                to_offset: 0,
                length,
            },
            Ask::Counted(name, _) => Call::Joined { name: joined(name) },
            Ask::LedgerRead(handle, scope) => {
                Call::LedgerRead { handle: self.named(handle)?.handle, scope, cursor: 0 }
            }
            Ask::HypUnmapped(handle) => {
                Call::HypUnmapped { handle: self.named(handle)?.handle, vm: from }
            }
            Ask::Entropy => Call::Vault(VaultCall::Entropy { count: 8 }),
            Ask::VaultState => Call::Vault(VaultCall::State),
        })
    }

    /// Half of the messages begin with a number of a call, and half of those with a part's.
    fn garbage(&mut self, from: EndpointId, seed: u64, count: u32) -> Result<(), Why> {
        let mut state = seed;
        let mut next = || {
            // Knuth's MMIX generator, its better half below.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.rotate_left(32)
        };
        for turn in 0..count {
            let mut words = [(); 5].map(|()| next());
            let [first, ..] = &mut words;
            if turn % 2 == 0 {
                *first &= 0x7f;
            }
            if turn % 4 == 0 {
                *first |= (1 + u64::from(turn / 4 % 2)) << 8;
            }
            self.world.words(from, &words)?;
        }
        Ok(())
    }

    fn ledger_head(&mut self, vm: EndpointId) -> Result<(), Why> {
        // Each call chains some records; a VM's room has at most 128 of them.
        for _ in 0..128 {
            let head = Call::LedgerHead { scope: LedgerScope::Own, half: DigestHalf::First };
            let reply = self.service(vm, &head)?;
            expect(reply.status, Status::Ok)?;
            let [_, _, _, left] = reply.results;
            if left == 0 {
                return Ok(());
            }
        }
        Err(Why::Ffa(FfaError::Retry))
    }

    fn vm(&mut self, news: VmNews, vm: EndpointId) -> Result<(), Why> {
        let message = match news {
            VmNews::Created => FrameworkMessage::VmCreated { info: None, vm },
            VmNews::Destroyed => FrameworkMessage::VmDestroyed { info: None, vm },
        };
        let receiver = self.world.partition();
        let request = Framework { sender: EndpointId::from_raw(0), receiver, message };
        // In progress: it is to be said again. Bounded, as everything is.
        for _ in 0..64 {
            let answer = self.world.call(&FfaCall::FrameworkReq(request).encode());
            match answer.x(3) & 0xffff_ffff {
                0 if answer.w(0) == 0x8400_0070 => return Ok(()),
                RETRY => {}
                other => return Err(Why::Value(other)),
            }
        }
        Err(Why::Ffa(FfaError::Retry))
    }

    /// Takes back whatever the case still has: an offer is revoked, every handle reclaimed.
    fn take_back(&mut self) -> Result<(), Why> {
        let mut result = Ok(());
        for place in 0..PLACES {
            let Ok(kept) = self.at(place) else { continue };
            // It may have been revoked, or never offered.
            let revoked = self.service(kept.owner, &Call::Revoke { handle: kept.handle });
            if let Err(error) = self.world.reclaim(kept.handle) {
                result = revoked.and(Err(Why::Ffa(error)));
            }
        }
        result
    }
}

/// FFA RETRY (-7) as a register has it.
const RETRY: u64 = 0xffff_fff9;
/// Who is no VM.
const NOBODY: EndpointId = EndpointId::from_raw(0xffff);

fn expect(found: Status, wanted: Status) -> Result<(), Why> {
    if found == wanted { Ok(()) } else { Err(Why::Status(found)) }
}

pub(crate) fn joined(name: Name) -> JoinName {
    JoinName { peer: name.peer, number: name.number }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "step={} ", self.step)?;
        match self.why {
            Why::Status(status) => write!(f, "status={}", status.name()),
            Why::Ffa(error) => write!(f, "ffa={error:?}"),
            Why::Succeeded => f.write_str("succeeded"),
            Why::Value(value) => write!(f, "value={value:#x}"),
            Why::Unreadable => f.write_str("unreadable"),
            Why::Case => f.write_str("case"),
            Why::Bytes => f.write_str("bytes"),
        }
    }
}

/// Numbers of calls, for cases that write them as words.
pub(crate) const fn word(call: CallId) -> u64 {
    call.number() as u64
}
