//! Owns how a policy is put together and checked as a whole; never reads bytes.

use super::{
    CopyRule, Link, MAX_JOINS, NO_PEER, PairRule, Policy, PolicyError, ReclaimGuard, VM_ID_LIMIT,
};
use causeway_ffa::{EndpointId, PAGE_SIZE, PageRange};

impl Policy {
    /// Names the hypervisor that speaks for VMs.
    #[must_use]
    pub const fn with_hypervisor(mut self, id: EndpointId) -> Self {
        self.hypervisor = Some(id);
        self
    }

    /// States who keeps an owner from reclaiming what a VM maps.
    #[must_use]
    pub const fn with_reclaim_guard(mut self, guard: ReclaimGuard) -> Self {
        self.guard = guard;
        self
    }

    /// Sets how long a peer may take to let go.
    #[must_use]
    pub const fn with_unmap_deadline_ms(mut self, milliseconds: u32) -> Self {
        self.unmap_deadline_ms = milliseconds;
        self
    }

    /// Sets how many doorbells one VM may cause within [`crate::broker::RING_WINDOW_MS`]; none at all
    /// would leave others unheard, so that 0 counts as 1.
    #[must_use]
    pub const fn with_ring_limit(mut self, limit: u16) -> Self {
        self.ring_limit = if limit == 0 { 1 } else { limit };
        self
    }

    /// Names the VM that may read the whole ledger.
    #[must_use]
    pub const fn with_auditor(mut self, vm: EndpointId) -> Self {
        self.auditor = Some(vm);
        self
    }

    /// Names the VM that, like the hypervisor, may freeze the set of grants.
    #[must_use]
    pub const fn with_sealer(mut self, vm: EndpointId) -> Self {
        self.sealer = Some(vm);
        self
    }

    /// Adds a VM.
    ///
    /// # Errors
    /// If it is there already, its id is 64 or more or the hypervisor's, or the table is full.
    pub fn add_vm(&mut self, vm: EndpointId) -> Result<(), PolicyError> {
        if vm.get() >= VM_ID_LIMIT {
            return Err(PolicyError::IdTooLarge(vm));
        }
        if self.hypervisor == Some(vm) {
            return Err(PolicyError::BadProperty("id"));
        }
        if self.vms().any(|v| v == vm) {
            return Err(PolicyError::Duplicate("vm"));
        }
        let place = self.vms().count();
        fits(self.vms.push(vm), "vm")?;
        if let (Some(to), Ok(place)) =
            (self.vm_places.get_mut(usize::from(vm.get())), u8::try_from(place))
        {
            *to = place;
        }
        Ok(())
    }

    /// Adds what an owner may grant to a peer.
    ///
    /// # Errors
    /// If the pair is there already, names itself or a VM that is not there, donates to a VM, or the
    /// table is full.
    pub fn add_pair(&mut self, rule: PairRule) -> Result<(), PolicyError> {
        if rule.peer == Some(rule.owner) {
            return Err(PolicyError::BadProperty("peer"));
        }
        // FF-A gives donated memory one receiver, and the partition has to see it.
        if rule.donate && rule.peer.is_some() {
            return Err(PolicyError::BadProperty("kinds"));
        }
        // A range's page count has 28 bits where it is packed into one word.
        if rule.max_area_pages >= 1 << 28 {
            return Err(PolicyError::BadProperty("max-area-pages"));
        }
        if self.pairs().any(|known| known.owner == rule.owner && known.peer == rule.peer) {
            return Err(PolicyError::Duplicate("grant"));
        }
        let known = |vm| self.vm_index(vm).map(usize::from).ok_or(PolicyError::UnknownVm(vm));
        let owner = known(rule.owner)?;
        let peer = rule.peer.map_or(Ok(NO_PEER), known)?;
        let place = self.pairs().count();
        fits(self.pairs.push(Some(rule)), "grant")?;
        let to = self.pair_places.get_mut(owner).and_then(|places| places.get_mut(peer));
        if let (Some(to), Ok(place)) = (to, u8::try_from(place)) {
            *to = place;
        }
        Ok(())
    }

    /// Adds a RAM window; windows that touch become one.
    ///
    /// # Errors
    /// If it overlaps another, or the table is full.
    pub fn add_window(&mut self, window: PageRange) -> Result<(), PolicyError> {
        if self.windows().any(|w| w.overlaps(window)) {
            return Err(PolicyError::Duplicate("ram-windows"));
        }
        let mut merged = window;
        let touching = |a: PageRange, b: PageRange| a.end() == b.start().get();
        let before = self.windows;
        for other in before.as_slice().iter().copied().flatten() {
            let first = if other.start() < merged.start() { other } else { merged };
            if touching(other, merged) || touching(merged, other) {
                let bytes = other.len_bytes().saturating_add(merged.len_bytes());
                let pages = u32::try_from(bytes / PAGE_SIZE).ok();
                merged = pages
                    .and_then(|p| PageRange::new(first.start(), p))
                    .ok_or(PolicyError::BadProperty("ram-windows"))?;
                self.windows.retain(|w| *w != Some(other));
            }
        }
        let at = self.windows().take_while(|w| w.start() < merged.start()).count();
        fits(self.windows.insert(at, Some(merged)), "ram-windows")
    }

    /// Adds a link.
    ///
    /// # Errors
    /// If the driver sees that device number already, or the table is full.
    pub fn add_link(&mut self, link: Link) -> Result<(), PolicyError> {
        if self.links().any(|l| l.driver == link.driver && l.driver_device == link.driver_device) {
            return Err(PolicyError::Duplicate("link"));
        }
        fits(self.links.push(Some(link)), "link")
    }

    /// Lets the partition copy from one VM's areas to another's.
    ///
    /// # Errors
    /// If there is such a rule already, it names one VM twice or no joins, or the table is full.
    pub fn add_copy(&mut self, rule: CopyRule) -> Result<(), PolicyError> {
        if rule.from == rule.to {
            return Err(PolicyError::BadProperty("to"));
        }
        if rule.joins == 0 {
            return Err(PolicyError::BadProperty("joins"));
        }
        if self.may_copy(rule.from, rule.to) {
            return Err(PolicyError::Duplicate("copy"));
        }
        fits(self.copies.push(Some(rule)), "copy")
    }

    /// Checks what concerns more than one entry, against tables of this size.
    ///
    /// # Errors
    /// An unknown VM in a pair or link, pairs of VMs without a hypervisor that speaks for them, or
    /// quotas that together reserve more than the tables hold.
    pub fn check(&self, grants: usize, ranges: usize) -> Result<(), PolicyError> {
        let known =
            |vm: EndpointId| self.vm_index(vm).map(|_| ()).ok_or(PolicyError::UnknownVm(vm));
        for pair in self.pairs() {
            known(pair.owner)?;
            pair.peer.map_or(Ok(()), known)?;
        }
        for link in self.links() {
            known(link.driver)?;
            link.backend.map_or(Ok(()), known)?;
        }
        for copy in self.copies() {
            known(copy.from)?;
            known(copy.to)?;
        }
        for source in self.interrupts() {
            source.vms().try_for_each(known)?;
        }
        self.auditor.map_or(Ok(()), known)?;
        self.sealer.map_or(Ok(()), known)?;
        if self.vms().any(|vm| self.hypervisor == Some(vm)) {
            return Err(PolicyError::Duplicate("hypervisor-id"));
        }
        let speaks = self.hypervisor.is_some() || self.guard == ReclaimGuard::Hypervisor;
        if !speaks && self.pairs().any(|p| p.peer.is_some()) {
            return Err(PolicyError::NoHypervisor);
        }
        let reserved_grants: usize = self.pairs().map(|p| usize::from(p.quota.grants)).sum();
        let reserved_ranges: usize = self.pairs().map(|p| usize::from(p.quota.ranges)).sum();
        // Each side of a join takes a place, for each ordered pair of VMs.
        let with_all = |a| self.vms().map(move |b| usize::from(self.joins_of(a, b))).sum::<usize>();
        let reserved_joins: usize = self.vms().map(with_all).sum();
        if reserved_joins > MAX_JOINS {
            return Err(PolicyError::OverCommitted("joins"));
        }
        if reserved_grants > grants {
            return Err(PolicyError::OverCommitted("grants"));
        }
        if reserved_ranges > ranges {
            return Err(PolicyError::OverCommitted("ranges"));
        }
        Ok(())
    }
}

pub(super) const fn fits(pushed: bool, kind: &'static str) -> Result<(), PolicyError> {
    if pushed { Ok(()) } else { Err(PolicyError::TooMany(kind)) }
}
