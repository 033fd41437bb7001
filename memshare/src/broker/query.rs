//! Owns the calls that only look: VERSION, FEATURES, EVENTS, STATS. EVENTS alone clears a bit.

use super::{Broker, Caller, Life, ok};
use crate::event::Next;
use crate::policy::MAX_VMS;
use causeway_abi::{CallId, Frame, Reply, Status, VERSION_MAJOR, VERSION_MINOR, features};
use causeway_ffa::EndpointId;

/// EVENTS, bit 0: offers wait.
const OFFERS: u64 = 1 << 0;
/// EVENTS, bit 1: own grants changed.
const CHANGED: u64 = 1 << 1;
/// EVENTS, bit 2: bus messages wait.
const BUS: u64 = 1 << 2;

/// STATS: first page of those that show one VM each, in the order of the policy.
pub const STATS_VM_PAGES: u8 = 16;

/// The first word of VERSION, all of whose frames begin with it.
pub const VERSION_CALL: u64 = {
    let [low, high] = VERSION_MAJOR.to_le_bytes();
    u64::from_le_bytes([CallId::Version.number(), 0, low, high, 0, 0, 0, 0])
};

/// FEATURES: whether a call exists.
pub(super) fn has_call(call_number: u8) -> Next {
    let exists = CallId::from_number(call_number).is_some();
    ok(CallId::Features, [u64::from(exists), 0, 0, 0])
}

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// VERSION: made once for each VM.
    pub(super) fn version(&self, caller: EndpointId, who: Caller) -> Next {
        let made = who.vm().and_then(|vm| self.versions.get(usize::from(vm)));
        Next::Reply(made.copied().unwrap_or_else(|| self.version_of(caller)))
    }

    /// Makes every VM's answer to VERSION: policy and SPMC, which are all that is in it, stay as they
    /// are from the start on.
    pub(super) fn make_versions(&mut self) {
        for vm in (0..).take(MAX_VMS) {
            let answer = self.policy.vm_at(vm).map(|id| self.version_of(id));
            if let (Some(place), Some(answer)) = (self.versions.get_mut(usize::from(vm)), answer) {
                *place = answer;
            }
        }
    }

    /// The answer to VERSION, the shortest of all calls, if that is what the frame is and nothing is in
    /// its way: what [`Broker::step`] would answer, without notice or change. `None` says only that
    /// `step` must be asked.
    #[inline(always)]
    #[must_use]
    pub fn version_at_once(&self, now: u64, caller: EndpointId, frame: &Frame) -> Option<Frame> {
        let [word, minor, a, b, c] = *frame;
        if word != VERSION_CALL || (minor >> 16) | a | b | c != 0 || now >= self.expire_at {
            return None;
        }
        if self.policy.hypervisor() == Some(caller) || self.free_for_call().is_err() {
            return None;
        }
        self.versions.get(usize::from(self.live_vm(caller)?)).copied()
    }

    fn version_of(&self, caller: EndpointId) -> Frame {
        let (mut features, mut pages, mut ranges) = (0, 0, 0);
        if self.policy.hypervisor().is_some() {
            features |= features::HYPERVISOR;
        }
        for pair in self.policy.pairs().filter(|p| p.owner == caller) {
            let to_vm = pair.peer.is_some();
            if pair.donate && self.spmc_donates {
                features |= features::DONATE;
            }
            features |= if to_vm { features::GRANTS_TO_VMS } else { features::LOCAL_AREAS };
            pages = pages.max(u64::from(pair.max_area_pages.min(pair.quota.pages)));
            ranges = ranges.max(u64::from(pair.quota.ranges));
        }
        if self.policy.copies().any(|c| c.from == caller || c.to == caller) {
            features |= features::JOINS;
        }
        if self.policy.interrupts().any(|rule| rule.vms().any(|vm| vm == caller)) {
            features |= features::INTERRUPTS;
        }
        features |= self.policy.services(caller).features();
        let version = u64::from(VERSION_MAJOR) << 16 | u64::from(VERSION_MINOR);
        Reply::ok(CallId::Version.number(), [version, features, pages, ranges]).encode()
    }

    pub(super) fn events(&mut self, vm: u8) -> Next {
        let mut word = if self.store.has_offers(vm) { OFFERS } else { 0 };
        if let Some(state) = self.vms.get_mut(usize::from(vm)) {
            word |= if state.changed { CHANGED } else { 0 };
            word |= if state.bus { BUS } else { 0 };
            state.changed = false;
        }
        ok(CallId::Events, [word, 0, 0, 0])
    }

    /// Page 0: live grants, their pages, their ranges, local areas. Page 1: grants that are offered,
    /// accepted, active, closing or kept. Page 16 + n: of the policy's n-th VM: id | life << 16 |
    /// incarnation << 32, then grants, pages and ranges charged to it.
    pub(super) fn stats(&self, page: u8) -> Result<Next, Status> {
        let words = match page {
            0 => {
                let mut sums = [0_u64; 4];
                for (pair, rule) in (0_u8..).zip(self.policy.pairs()) {
                    let usage = self.store.usage(pair);
                    let [grants, pages, ranges, local] = &mut sums;
                    *grants = grants.saturating_add(u64::from(usage.grants));
                    *pages = pages.saturating_add(u64::from(usage.pages));
                    *ranges = ranges.saturating_add(u64::from(usage.ranges));
                    let alone = if rule.peer.is_none() { usage.grants } else { 0 };
                    *local = local.saturating_add(u64::from(alone));
                }
                sums
            }
            1 => {
                let tally = self.store.tally();
                let closing = tally.closing.saturating_add(tally.kept);
                [tally.offered, tally.accepted, tally.active, closing].map(u64::from)
            }
            _ => {
                let index = page.checked_sub(STATS_VM_PAGES).ok_or(Status::BadArgument)?;
                self.vm_stats(index).ok_or(Status::BadArgument)?
            }
        };
        Ok(ok(CallId::Stats, words))
    }

    fn vm_stats(&self, index: u8) -> Option<[u64; 4]> {
        let id = self.policy.vm_at(index)?;
        let vm = self.vms.get(usize::from(index))?;
        let life: u64 = match vm.life {
            Life::Assumed => 0,
            Life::Live => 1,
            Life::Dying => 2,
            Life::Dead => 3,
        };
        let [mut grants, mut pages, mut ranges] = [0_u64; 3];
        for (pair, rule) in (0_u8..).zip(self.policy.pairs()) {
            if rule.owner == id {
                let usage = self.store.usage(pair);
                grants = grants.saturating_add(u64::from(usage.grants));
                pages = pages.saturating_add(u64::from(usage.pages));
                ranges = ranges.saturating_add(u64::from(usage.ranges));
            }
        }
        let who = u64::from(id.get()) | life << 16 | u64::from(vm.incarnation) << 32;
        Some([who, grants, pages, ranges])
    }
}
