//! Owns OFFER: the checks before the retrieve, those of what was retrieved, and the way back.
//! Nothing is entered before the last check has passed.

use super::{Broker, Pending};
use crate::defect::defective;
use crate::event::{Caching, Descriptor, Next, Notice, Out, RetrieveRequest, Security, Step};
use crate::grant::{Extent, Grant, Mapping, Stage};
use crate::ledger::{Action, Record};
use crate::policy::PairRule;
use crate::shelf::Place;
use crate::store::{Staged, Usage};
use causeway_abi::{CallId, Frame, GrantKind, GrantTerms, LifeState, Reply, Status};
use causeway_ffa::descriptor::ExactPages;
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageRange};

/// A handle that no SPMC gives out. It stands in for a live handle of somebody else, so that such a
/// guess takes the same path as an invented handle, at the same cost, and never touches the lock
/// that the handle's true owner relies on.
const NOBODYS: u64 = u64::MAX - 1;

/// The partition's own name for donated memory, whose handle ended with the retrieve and may name
/// another transaction soon. Bit 63 is set in no handle that an SPMC gives out, and says nothing of
/// other VMs: a pair's rules are the policy's, its serials its own.
fn donation(pair: u8, serial: u32) -> Option<MemHandle> {
    MemHandle::new(DONATIONS | u64::from(pair) << 32 | u64::from(serial))
}

const DONATIONS: u64 = 0xd0a7_e000_0000_0000;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    #[inline(always)]
    pub(super) fn offer(
        &mut self,
        vm: u8,
        handle: MemHandle,
        terms: GrantTerms,
        tag: u64,
    ) -> Result<Next, Status> {
        let peer_place = match terms.peer {
            Some(peer) => Some(self.policy.vm_index(peer).ok_or(Status::PolicyPeer)?),
            None => None,
        };
        let (pair, rule) = self.policy.pair(vm, peer_place).ok_or(Status::PolicyPeer)?;
        if !rule.allows_kind(terms.kind) {
            return Err(Status::PolicyKind);
        }
        if !rule.allows_permission(terms.permission) {
            return Err(Status::PolicyPermission);
        }
        let donates = terms.kind == GrantKind::Donate;
        if donates && !self.spmc_donates && !defective!(self, DonateUnsupported) {
            return Err(Status::SpmcKind);
        }
        let live_peer = peer_place.filter(|peer| self.is_live(*peer));
        if live_peer != peer_place && !defective!(self, OfferDeadPeer) {
            return Err(Status::PeerNotLive);
        }
        let full = self.store.usage(pair).grants >= rule.quota.grants;
        if full && !defective!(self, OfferQuota) {
            return Err(Status::QuotaGrants);
        }
        if !self.store.has_room(pair) {
            return Err(Status::NoRoom);
        }
        let live = self.store.find(handle).and_then(|slot| self.store.grant(slot));
        let asked = match live {
            Some(grant) if grant.owner == self.party(vm) => return Err(Status::WrongState),
            Some(_) => MemHandle::new(NOBODYS).unwrap_or(handle),
            None => handle,
        };
        let GrantTerms { peer, kind, permission } = terms;
        let owner = self.id_of(vm);
        let request = RetrieveRequest { handle: asked, owner, peer, tag, kind, permission };
        self.pending = Pending::Offer { vm, pair, peer: live_peer, request };
        Ok(Next::Retrieve(request))
    }

    /// The retrieve of an offer failed.
    pub(super) fn retrieve_failed(&mut self, error: FfaError, out: &mut Out) -> Next {
        let Pending::Offer { request, .. } = self.pending else { return Next::Idle };
        self.pending = Pending::Nothing;
        self.refuse_offer(request.owner, retrieve_status(error), out)
    }

    /// What was offered is ours, and locked; all but its pages is as it was asked for.
    #[inline(never)]
    pub(super) fn retrieved_as_asked(
        &mut self,
        now: u64,
        mut pages: ExactPages<'_>,
        step: &mut Step,
    ) {
        let Pending::Offer { vm, pair, peer, request } = self.pending else {
            self.begin(now, step);
            step.next = Ok(Next::Idle);
            return;
        };
        let Step { out, next } = step;
        out.begin(now, Some(vm));
        let who = (vm, pair, peer);
        let total = pages.page_count();
        let entered = match (self.check_name(&request), pages.only()) {
            (Ok(()), Some(range)) => match self.store.extent_of_one(pair, range) {
                Some(extent) => self.judge(who, &request, &Staged::of_one(extent), total, out),
                None => Err(Status::PolicyPeer),
            },
            (Ok(()), None) => {
                let staged = self.store.stage(pair, &mut pages);
                self.judge_apart(who, &request, &staged, total, out)
            }
            (Err(status), _) => Err(status),
        };
        // Written where it stays, in each case: a step is large.
        match entered {
            Ok(answer) => *next = Ok(Next::Reply(answer)),
            Err(status) => *next = Ok(self.refuse_retrieved(vm, pair, request, status, out)),
        }
    }

    /// What was offered is ours, and locked: it is judged by what the response says.
    pub(super) fn retrieved(&mut self, found: Descriptor<'_>, out: &mut Out) -> Next {
        let Pending::Offer { vm, pair, peer, request } = self.pending else { return Next::Idle };
        let entered = self.check_told(&request, &found).and_then(|()| {
            let Descriptor { ranges, total_page_count, .. } = found;
            let staged = self.store.stage(pair, ranges);
            self.judge_apart((vm, pair, peer), &request, &staged, total_page_count, out)
        });
        match entered {
            Ok(answer) => Next::Reply(answer),
            Err(status) => self.refuse_retrieved(vm, pair, request, status, out),
        }
    }

    #[inline(never)]
    fn refuse_retrieved(
        &mut self,
        vm: u8,
        pair: u8,
        request: RetrieveRequest,
        status: Status,
        out: &mut Out,
    ) -> Next {
        self.store.unstage(pair);
        if request.kind == GrantKind::Donate {
            return self.keep_refused(&request, status, out);
        }
        if defective!(self, OfferKeepsLock) {
            self.pending = Pending::Nothing;
            return self.refuse_offer(request.owner, status, out);
        }
        self.pending = Pending::Undo { vm, request, status };
        Next::Relinquish(request.handle)
    }

    /// A donation that is refused after it was retrieved cannot be given back: its transaction ended
    /// with the retrieve. The pages are the partition's, in no grant, and the ledger says so.
    fn keep_refused(&mut self, request: &RetrieveRequest, status: Status, out: &mut Out) -> Next {
        self.pending = Pending::Nothing;
        if !defective!(self, DonateUnrecorded) {
            let record = Record::of_refusal(request.owner, 0, status);
            let (handle, action) = (Some(request.handle), Action::Kept);
            out.push(Notice::Ledger(Record { handle, action, ..record }));
        }
        self.refuse_offer(request.owner, status, out)
    }

    /// The retrieve of a refused offer was given back, or was not.
    pub(super) fn undone(
        &mut self,
        request: RetrieveRequest,
        status: Status,
        result: Result<(), FfaError>,
        out: &mut Out,
    ) -> Next {
        self.pending = Pending::Nothing;
        if result.is_err() {
            let record = Record::of_refusal(request.owner, 0, status);
            let (handle, peer) = (Some(request.handle), request.peer);
            let action = Action::LockLeft;
            out.push(Notice::Ledger(Record { handle, peer, action, ..record }));
            return self.refuse_offer(request.owner, Status::SpmcFailure, out);
        }
        self.refuse_offer(request.owner, status, out)
    }

    fn refuse_offer(&self, owner: EndpointId, status: Status, out: &mut Out) -> Next {
        self.answer(owner, CallId::Offer.number(), Err(status), out)
    }

    /// What stands for a live handle of somebody else is nobody's.
    #[inline]
    fn check_name(&self, request: &RetrieveRequest) -> Result<(), Status> {
        if request.handle.get() == NOBODYS { Err(Status::NoSuchGrant) } else { Ok(()) }
    }

    /// All but the pages of a response that is not word for word what was asked for.
    #[inline(never)]
    fn check_told(&self, request: &RetrieveRequest, found: &Descriptor<'_>) -> Result<(), Status> {
        self.check_parties(request, found)?;
        check_attributes(found)
    }

    /// [`Broker::judge`] of what is rare.
    #[inline(never)]
    fn judge_apart(
        &mut self,
        who: (u8, u8, Option<u8>),
        request: &RetrieveRequest,
        staged: &Staged,
        total_page_count: u32,
        out: &mut Out,
    ) -> Result<Frame, Status> {
        self.judge(who, request, staged, total_page_count, out)
    }

    /// Judges what was staged, and enters it.
    #[inline(always)]
    fn judge(
        &mut self,
        (vm, pair, peer): (u8, u8, Option<u8>),
        request: &RetrieveRequest,
        staged: &Staged,
        total_page_count: u32,
        out: &mut Out,
    ) -> Result<Frame, Status> {
        match self.check_staged(pair, request, staged, total_page_count) {
            Ok(staged) => self.enter((vm, pair, peer), request, staged, out),
            Err(status) => Err(status),
        }
    }

    #[inline(always)]
    fn check_staged(
        &mut self,
        pair: u8,
        request: &RetrieveRequest,
        staged: &Staged,
        total_page_count: u32,
    ) -> Result<(Extent, Place), Status> {
        let rule = self.policy.pair_at(pair).ok_or(Status::PolicyPeer)?;
        let extent = staged.extent.ok_or(Status::DescriptorMalformed)?;
        if staged.malformed || staged.page_count != u64::from(total_page_count) {
            return Err(Status::DescriptorMalformed);
        }
        self.check_size(rule, self.store.usage(pair), staged.page_count, staged.range_count)?;
        let inside = match self.policy.window_of(extent.first) {
            None => false,
            Some(window) => extent.range_count == 1 || self.rest_inside(&extent, window),
        };
        if !inside && !defective!(self, OfferOutsideRam) {
            return Err(Status::OutsideRam);
        }
        let place = match self.store.find_place(&extent) {
            Ok(place) => place,
            Err(place) if defective!(self, OfferOverlap) => place,
            Err(_) => return Err(Status::Overlap),
        };
        let admitted = !self.is_sealed() || self.seal_admits(request, &extent);
        if !admitted && !defective!(self, SealIgnored) {
            return Err(Status::Sealed);
        }
        Ok((extent, place))
    }

    /// Whether the ranges after the first lie in windows, most likely in that of the first.
    #[inline(never)]
    fn rest_inside(&self, extent: &Extent, mut window: PageRange) -> bool {
        self.store.rest_ranges(extent).all(|range| {
            window.contains(range)
                || self.policy.window_of(range).map(|found| window = found).is_some()
        })
    }

    /// Sender, kind, tag and borrowers must be those of the offer.
    fn check_parties(
        &self,
        request: &RetrieveRequest,
        found: &Descriptor<'_>,
    ) -> Result<(), Status> {
        // An SPMC that lets us retrieve what another VM sent: for the caller it does not exist.
        let stranger = found.sender != request.owner && !defective!(self, OfferSender);
        if stranger {
            return Err(Status::NoSuchGrant);
        }
        self.check_name(request)?;
        let kind_differs = found.kind.is_some_and(|kind| kind != request.kind);
        if kind_differs || found.tag != request.tag {
            return Err(Status::DescriptorMismatch);
        }
        let wanted = usize::from(request.peer.is_some()).saturating_add(1);
        let once = |id| found.borrowers.iter().filter(|b| b.id == id).count() == 1;
        let listed = once(self.partition) && request.peer.is_none_or(once);
        let permitted = found.borrowers.iter().all(|b| b.permission == Some(request.permission))
            || defective!(self, OfferPermission);
        if found.borrowers.len() != wanted || !listed || !permitted {
            return Err(Status::DescriptorMismatch);
        }
        Ok(())
    }

    fn check_size(
        &self,
        rule: &PairRule,
        used: Usage,
        pages: u64,
        ranges: u64,
    ) -> Result<(), Status> {
        if pages > u64::from(rule.max_area_pages) {
            return Err(Status::PolicySize);
        }
        if u64::from(used.ranges).saturating_add(ranges) > u64::from(rule.quota.ranges) {
            return Err(Status::QuotaRanges);
        }
        if u64::from(used.pages).saturating_add(pages) > u64::from(rule.quota.pages) {
            return Err(Status::QuotaPages);
        }
        Ok(())
    }

    #[inline(always)]
    fn enter(
        &mut self,
        (vm, pair, peer): (u8, u8, Option<u8>),
        request: &RetrieveRequest,
        (extent, place): (Extent, Place),
        out: &mut Out,
    ) -> Result<Frame, Status> {
        let donated = match request.kind {
            GrantKind::Share | GrantKind::Lend => None,
            GrantKind::Donate => {
                let name = donation(pair, self.store.next_serial(pair));
                Some(name.ok_or(Status::NoRoom)?)
            }
        };
        let opened = self.store.open(pair, &extent, place).ok_or(Status::NoRoom)?;
        let grant = Grant {
            handle: donated.unwrap_or(request.handle),
            owner: self.party(vm),
            peer: peer.map(|peer| self.party(peer)),
            pair,
            kind: request.kind,
            permission: request.permission,
            stage: if peer.is_some() { Stage::Offered } else { Stage::Active },
            mapping: Mapping::Absent,
            use_count: 0,
            generation: 0,
            serial: 0,
            offer: 0,
            extent,
        };
        let grant = *self.store.enter(opened, grant).ok_or(Status::NoRoom)?;
        self.pending = Pending::Nothing;
        let peer = request.peer.filter(|_| peer.is_some());
        out.push(Notice::Ledger(Record {
            subject: request.owner,
            owner: Some(request.owner),
            peer,
            handle: Some(grant.handle),
            generation: grant.serial,
            page_count: grant.extent.page_count,
            action: Action::Moved(match peer {
                Some(_) => LifeState::Offered,
                None => LifeState::Active,
            }),
            fold: grant.extent.fold,
        }));
        if let Some(peer) = peer.filter(|_| !defective!(self, OfferSilent)) {
            self.ring_id(peer, out);
        }
        let counts = u64::from(grant.serial) | u64::from(grant.extent.page_count) << 32;
        let results = [counts, grant.extent.fold, grant.handle.get(), 0];
        Ok(Reply::ok(CallId::Offer.number(), results).encode())
    }
}

/// Normal write-back inner-shareable memory, non-secure, executable for nobody.
fn check_attributes(found: &Descriptor<'_>) -> Result<(), Status> {
    let secure = match found.security {
        Security::NonSecure | Security::NotReported => false,
        Security::Secure => true,
    };
    let odd = match found.caching {
        Caching::NormalWriteBackInner => false,
        Caching::Other => true,
    };
    if secure || odd || found.borrowers.iter().any(|b| b.executable) {
        return Err(Status::BadAttributes);
    }
    Ok(())
}

/// What a refused retrieve says about the handle. The SPMC's word for "there is no such
/// transaction for you" differs; a lack of its own resources is no fault of the handle.
const fn retrieve_status(error: FfaError) -> Status {
    match error {
        FfaError::InvalidParameters | FfaError::Denied | FfaError::Aborted => Status::NoSuchGrant,
        FfaError::NoMemory
        | FfaError::Busy
        | FfaError::Interrupted
        | FfaError::Retry
        | FfaError::NoData
        | FfaError::NotReady
        | FfaError::NotSupported
        | FfaError::Unknown(_) => Status::SpmcFailure,
    }
}
