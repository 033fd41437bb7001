//! Owns the broker's state and its one entry, `step`; never acts.

use crate::event::{Event, MAX_NOTICES, Next, Step};
use crate::grant::{GrantId, GrantView};
use crate::policy::Policy;
use causeway_abi::{Permission, Status};
use causeway_ffa::{EndpointId, MemHandle, PageRange};

/// The broker with the image's table sizes.
pub type FullBroker = Broker<640, 4608, 10>;

/// The state machine. `GRANTS` live grants, `RANGES` address ranges in all, `WORDS` must be
/// `GRANTS.div_ceil(64)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broker<const GRANTS: usize, const RANGES: usize, const WORDS: usize> {
    policy: Policy,
}

impl<const GRANTS: usize, const RANGES: usize, const WORDS: usize> Broker<GRANTS, RANGES, WORDS> {
    /// An empty broker that knows no VM: for a `static`. Call [`Broker::configure`] once.
    #[must_use]
    pub const fn new() -> Self {
        Self { policy: Policy::new() }
    }

    /// Takes the policy; `partition` is the partition's own id (FFA_ID_GET), `ticks_per_ms` the
    /// counter's frequency / 1000.
    ///
    /// # Errors
    /// If the policy reserves more than the tables hold; the broker then stays closed to everybody.
    pub fn configure(
        &mut self,
        policy: &Policy,
        partition: EndpointId,
        ticks_per_ms: u64,
    ) -> Result<(), crate::policy::PolicyError> {
        let _ = (partition, ticks_per_ms);
        self.policy = *policy;
        Ok(())
    }

    /// The one entry: takes an event, returns effects. Total and bounded; see the crate's example.
    pub fn step(&mut self, now_ticks: u64, event: Event<'_>) -> Step {
        let _ = (now_ticks, event);
        Step::new([None; MAX_NOTICES], Next::Idle)
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether `vm` is a live VM of the policy. To be asked before a virtio-msg frame of its is
    /// handled.
    ///
    /// # Errors
    /// [`Status::UnknownCaller`].
    pub fn check_caller(&self, vm: EndpointId) -> Result<(), Status> {
        let _ = vm;
        Err(Status::UnknownCaller)
    }

    /// Finds the grant that `owner` made to `device_side` (`None`: to the partition) under
    /// `handle`. For AREA_SHARE and FIFO_CONFIGURE.
    ///
    /// # Errors
    /// [`Status::NoSuchGrant`] for a foreign, stale or invented handle or another peer;
    /// [`Status::WrongState`] unless it is accepted or active.
    pub fn resolve(
        &self,
        owner: EndpointId,
        device_side: Option<EndpointId>,
        handle: MemHandle,
    ) -> Result<GrantView, Status> {
        let _ = (owner, device_side, handle);
        Err(Status::NoSuchGrant)
    }

    /// Shows a grant; `None` if the name is stale.
    #[must_use]
    pub fn view(&self, grant: GrantId) -> Option<GrantView> {
        let _ = grant;
        None
    }

    /// Whether `len` bytes at `offset` lie in the usable grant and it permits `access`. `len` 0 is
    /// never inside.
    #[must_use]
    pub fn permits(&self, grant: GrantId, offset: u64, len: u64, access: Permission) -> bool {
        self.translate(grant, offset, len, access).is_some()
    }

    /// Like [`Broker::permits`]; returns the physical address of the first byte and how many of
    /// the `len` bytes lie there without a gap.
    #[must_use]
    pub fn translate(
        &self,
        grant: GrantId,
        offset: u64,
        len: u64,
        access: Permission,
    ) -> Option<(u64, u64)> {
        let _ = (grant, offset, len, access);
        None
    }

    /// The ranges of a grant in order; none if the name is stale.
    pub fn ranges(&self, grant: GrantId) -> impl Iterator<Item = PageRange> + '_ {
        let _ = grant;
        core::iter::empty()
    }

    /// The next moment at which [`Event::Tick`] would change something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }
}

impl<const GRANTS: usize, const RANGES: usize, const WORDS: usize> Default
    for Broker<GRANTS, RANGES, WORDS>
{
    fn default() -> Self {
        Self::new()
    }
}
