//! Owns what is known of one source: its terms, its state, its counters. Never decides on its own.

use crate::rate::{Bucket, Limit};
use crate::ticker::Ticker;
use causeway_abi::{Status, Trigger};
use causeway_ffa::EndpointId;

/// What the manifest says of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTerms {
    /// The interrupt's number at the controller.
    pub intid: u32,
    /// How its line behaves.
    pub trigger: Trigger,
    /// The VM that hears of it; `None`: nobody until the hypervisor binds it.
    pub vm: Option<EndpointId>,
    /// Beyond this it is masked.
    pub limit: Limit,
}

/// What happened to a source's interrupts. `taken` = `delivered` + `coalesced` + `dropped` + the
/// ones that wait (see `Router::waiting`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Acknowledged at the controller.
    pub taken: u64,
    /// Fetched by the VM, each as an event of its own.
    pub delivered: u64,
    /// Came while an earlier one still waited: told to the VM as a number.
    pub coalesced: u64,
    /// Nobody was bound, the source was closed, or the VM died before it fetched.
    pub dropped: u64,
    /// Came although the source was masked or not re-armed: the device, or the controller, lies.
    pub out_of_turn: u64,
    /// How often the limit masked it.
    pub storms: u32,
}

/// Why a call was refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqError {
    /// No such source, or not the caller's: the two are not told apart.
    NoSource,
    /// Nothing is waiting to be fetched, or nothing fetched is to be completed.
    Nothing,
    /// The source is masked already, or not masked.
    AlreadySo,
    /// The limit masked it, and its cooling time is not over.
    Cooling,
    /// The table is full, or two sources of the manifest have one INTID.
    Table,
}

impl IrqError {
    /// The status that says so to a caller.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::NoSource => Status::NoSource,
            Self::Nothing => Status::NothingWaits,
            Self::AlreadySo => Status::AlreadySo,
            Self::Cooling => Status::Cooling,
            Self::Table => Status::NoRoom,
        }
    }
}

/// Where a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The next interrupt is welcome.
    Armed,
    /// One is waiting to be fetched; the number counts those that came meanwhile.
    Waiting {
        /// Beyond the first.
        more: u32,
    },
    /// Fetched, not yet completed. An edge source may have new ones waiting behind it.
    Fetched {
        /// New ones since the fetch (edge only).
        behind: u32,
    },
}

/// A source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) terms: SourceTerms,
    pub(crate) vm: Option<EndpointId>,
    pub(crate) phase: Phase,
    /// Masked by the VM, or not opened by it yet.
    pub(crate) masked: bool,
    /// Masked by the limit, until this time at least.
    pub(crate) stormed_until: Option<u64>,
    pub(crate) bucket: Bucket,
    pub(crate) counters: Counters,
    /// Whose they are. Another VM begins at zero: it learns nothing of who had the source before.
    counted_for: Option<EndpointId>,
    /// When the first of those that wait came.
    pub(crate) first_at: u64,
    /// What its timer still has to raise.
    pub(crate) ticker: Ticker,
}

impl Source {
    pub(crate) fn new(terms: SourceTerms) -> Self {
        Self {
            terms,
            vm: terms.vm,
            phase: Phase::Armed,
            masked: true,
            stormed_until: None,
            bucket: Bucket::new(terms.limit),
            counters: Counters::default(),
            counted_for: terms.vm,
            first_at: 0,
            ticker: Ticker::default(),
        }
    }

    /// Binds it to a VM. The counters of its last VM stay until another comes.
    pub(crate) fn bind(&mut self, vm: EndpointId) {
        self.vm = Some(vm);
        if self.counted_for != self.vm {
            self.counted_for = self.vm;
            self.counters = Counters::default();
        }
    }

    /// Whether the controller should let it through now.
    pub(crate) fn is_open(&self) -> bool {
        let held = match self.terms.trigger {
            Trigger::Level => self.phase != Phase::Armed,
            Trigger::Edge => false,
        };
        !self.masked && self.stormed_until.is_none() && !held
    }

    /// Interrupts that wait and have not been fetched.
    pub(crate) fn waiting(&self) -> u64 {
        match self.phase {
            Phase::Armed => 0,
            Phase::Waiting { more } => u64::from(more).saturating_add(1),
            Phase::Fetched { behind } => u64::from(behind),
        }
    }
}
