//! Owns the fake partition's grants: as little of the broker as a caller can see.

use super::memory::FakeMemory;
use causeway_abi::{
    Call, CallId, DigestHalf, GrantSummary, GrantTerms, LedgerScope, LifeState, NO_HANDLE,
    PackedRange, RangeFold, Reply, Status,
};
use causeway_ffa::{EndpointId, MemHandle};

struct FakeGrant {
    handle: MemHandle,
    owner: u16,
    terms: GrantTerms,
    state: LifeState,
    generation: u32,
}

impl FakeGrant {
    fn peer(&self) -> Option<u16> {
        self.terms.peer.map(EndpointId::get)
    }
}

#[derive(Default)]
pub(crate) struct FakeBroker {
    grants: Vec<FakeGrant>,
    generation: u32,
    rings: u64,
    /// What INSPECT adds to the fold: a partition that lies.
    pub(crate) fold_lie: u64,
    /// Records that LEDGER_HEAD has not chained yet; 32 fewer after each call.
    pub(crate) ledger_waiting: u64,
    /// What LEDGER_READ returns, call by call: bytes written and the next cursor.
    pub(crate) ledger_pages: Vec<(u64, u64)>,
    /// The cursors that LEDGER_READ was asked for.
    pub(crate) ledger_cursors: Vec<u64>,
    /// Answers of Busy before each call is carried out.
    pub(crate) busy: u32,
    busy_left: u32,
}

type Outcome = Result<[u64; 4], Status>;

impl FakeBroker {
    pub(super) fn left(&self) -> usize {
        self.grants.len()
    }

    /// Whether the partition's own retrieve stands in the way of a reclaim.
    pub(super) fn locks(&self, handle: MemHandle) -> bool {
        self.grants.iter().any(|grant| grant.handle == handle)
    }

    pub(super) fn lets_map(&self, handle: MemHandle, vm: u16) -> bool {
        self.grants.iter().any(|grant| {
            grant.handle == handle
                && grant.peer() == Some(vm)
                && matches!(grant.state, LifeState::Accepted | LifeState::Active)
        })
    }

    pub(super) fn take_ring(&mut self, vm: u16) -> bool {
        let bit = 1 << vm;
        let rung = self.rings & bit != 0;
        self.rings &= !bit;
        rung
    }

    pub(super) fn call(&mut self, vm: u16, words: [u64; 5], memory: &FakeMemory) -> [u64; 5] {
        let [number, ..] = words[0].to_le_bytes();
        if self.busy_left < self.busy {
            self.busy_left += 1;
            return Reply::refused(number, Status::Busy).encode();
        }
        self.busy_left = 0;
        let outcome = Call::decode(&words).and_then(|call| self.serve(vm, call, memory));
        match outcome {
            Ok(results) => Reply::ok(number, results).encode(),
            Err(status) => Reply::refused(number, status).encode(),
        }
    }

    fn find(
        &mut self,
        handle: MemHandle,
        fits: impl Fn(&FakeGrant) -> bool,
    ) -> Result<usize, Status> {
        let found = self.grants.iter().position(|grant| grant.handle == handle && fits(grant));
        found.ok_or(Status::NoSuchGrant)
    }

    fn serve(&mut self, vm: u16, call: Call, memory: &FakeMemory) -> Outcome {
        match call {
            Call::Version { .. } => Ok([1, 0, 1024, 16]),
            Call::Offer { handle, terms, .. } => self.offer(vm, handle, terms, memory),
            Call::Revoke { handle } => self.revoke(vm, handle, memory),
            Call::State { handle } => {
                let at = self.find(handle, |g| g.owner == vm || g.peer() == Some(vm))?;
                let grant = &self.grants[at];
                Ok([u64::from(grant.state.code()), u64::from(grant.generation), 0, 0])
            }
            Call::List { cursor } => Ok(self.list(vm, cursor)),
            Call::Inspect { handle, range_index } => self.inspect(vm, handle, range_index, memory),
            Call::Accept { handle, seen } => {
                let at = self.find(handle, |g| g.peer() == Some(vm))?;
                if self.summary(at, memory) != seen {
                    return Err(Status::TermsChanged);
                }
                self.grants[at].state = LifeState::Active;
                Ok([0; 4])
            }
            Call::Reject { handle, .. } => {
                let at = self.find(handle, |g| g.peer() == Some(vm))?;
                self.grants.remove(at);
                Ok([0; 4])
            }
            Call::Release { handle } => {
                let at = self.find(handle, |g| g.peer() == Some(vm))?;
                if memory.is_mapped(handle) {
                    return Err(Status::StillMapped);
                }
                self.grants.remove(at);
                Ok([u64::from(LifeState::Released.code()), 0, 0, 0])
            }
            Call::Seal => Ok([3, 0, 0, 0]),
            Call::Features { call_number } => {
                Ok([u64::from(call_number == CallId::Seal.number()), 0, 0, 0])
            }
            Call::LedgerHead { scope: LedgerScope::All, .. } if vm != 1 => {
                Err(Status::PolicyCaller)
            }
            Call::LedgerHead { half, .. } => {
                let waiting = self.ledger_waiting;
                self.ledger_waiting = waiting.saturating_sub(32);
                Ok(match half {
                    DigestHalf::First => [77, 0x0807_0605_0403_0201, 2, waiting],
                    DigestHalf::Second => [77, 3, 4, waiting],
                })
            }
            Call::LedgerRead { cursor, .. } => {
                self.ledger_cursors.push(cursor);
                if self.ledger_pages.is_empty() {
                    return Err(Status::Busy);
                }
                let (written, next) = self.ledger_pages.remove(0);
                Ok([written, next, 0, 0])
            }
            other => panic!("the library has no business with {other:?}"),
        }
    }

    fn offer(
        &mut self,
        owner: u16,
        handle: MemHandle,
        terms: GrantTerms,
        memory: &FakeMemory,
    ) -> Outcome {
        let ranges = memory.ranges(handle).ok_or(Status::NoSuchGrant)?;
        self.generation += 1;
        let state = if terms.peer.is_some() { LifeState::Offered } else { LifeState::Active };
        let generation = self.generation;
        self.grants.push(FakeGrant { handle, owner, terms, state, generation });
        self.rings |= terms.peer.map_or(0, |peer| 1 << peer.get());
        let pages: u32 = ranges.iter().map(|range| range.page_count()).sum();
        let fold = ranges.iter().fold(RangeFold::new(), |fold, range| fold.with(*range));
        Ok([u64::from(generation) | (u64::from(pages) << 32), fold.get(), 0, 0])
    }

    fn revoke(&mut self, owner: u16, handle: MemHandle, memory: &FakeMemory) -> Outcome {
        let at = self.find(handle, |g| g.owner == owner)?;
        let state = if memory.is_mapped(handle) {
            self.rings |= self.grants[at].terms.peer.map_or(0, |peer| 1 << peer.get());
            self.grants[at].state = LifeState::Releasing;
            LifeState::Releasing
        } else {
            self.grants.remove(at);
            LifeState::Released
        };
        Ok([u64::from(state.code()), 0, 0, 0])
    }

    fn list(&self, vm: u16, cursor: u32) -> [u64; 4] {
        let skip = usize::try_from(cursor).unwrap();
        let mut offers = (self.grants.iter())
            .filter(|grant| grant.peer() == Some(vm) && grant.state == LifeState::Offered)
            .skip(skip);
        let first = offers.next().map_or(NO_HANDLE, |grant| grant.handle.get());
        let next = if offers.next().is_some() { u64::from(cursor) + 1 } else { 0 };
        [first, next, 0, 0]
    }

    fn summary(&self, at: usize, memory: &FakeMemory) -> GrantSummary {
        let grant = &self.grants[at];
        let ranges = memory.ranges(grant.handle).unwrap();
        GrantSummary {
            owner: EndpointId::from_raw(grant.owner),
            permission: grant.terms.permission,
            kind: grant.terms.kind,
            generation: grant.generation,
            page_count: ranges.iter().map(|range| range.page_count()).sum(),
            range_count: u32::try_from(ranges.len()).unwrap(),
            fold: ranges.iter().fold(RangeFold::new(), |fold, range| fold.with(*range)).get()
                ^ self.fold_lie,
        }
    }

    fn inspect(&mut self, vm: u16, handle: MemHandle, index: u32, memory: &FakeMemory) -> Outcome {
        let at = self.find(handle, |g| g.peer() == Some(vm))?;
        let ranges = memory.ranges(handle).unwrap();
        let range = ranges.get(usize::try_from(index).unwrap()).ok_or(Status::BadArgument)?;
        let [a, b, c] = self.summary(at, memory).words();
        Ok([a, b, c, PackedRange::pack(*range).unwrap().word()])
    }
}
