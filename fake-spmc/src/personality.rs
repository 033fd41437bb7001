//! Owns the list of ways in which SPMCs differ, as data; never acts on one. Each real SPMC's answers
//! are in a file of their own, with their sources.

mod el3;
mod hafnium;
mod hostile;
mod optee;

pub use hostile::{Lie, Lies};

use causeway_ffa::descriptor::Dialect;
use causeway_ffa::{FfaError, Version};

/// Whether a call, or a form of it, is taken.
pub type Verdict = Result<(), FfaError>;

/// Which negotiated versions a caller of memory calls may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryVersions {
    /// 1.0 and 1.1 alone.
    UpTo1_1,
    /// Each.
    Any,
}

/// Which borrowers a retrieve request must list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Each of them, in any order.
    EveryBorrower,
    /// Each of them, or the caller alone with the bypass flag (bit 10).
    EveryBorrowerOrBypass,
    /// The caller alone.
    CallerAlone,
}

/// How a retrieve response looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The sender's own bytes.
    AsSent,
    /// Written anew: the entry of whoever asks, alone, and 0 for the tag.
    OwnEntry,
    /// Written anew in OP-TEE's own way.
    OpTee,
}

/// What happens to a retrieve by somebody who is no borrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It is refused.
    Refused(FfaError),
    /// The SPMC crashes, and the machine with it.
    Crash,
}

/// How often one borrower may retrieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retrieves {
    /// As often as it likes; each must be relinquished.
    Counted,
    /// Once.
    Once(FfaError),
}

/// Which bits of x3-x7 of a direct request reach a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// All.
    Whole,
    /// The lower 32 of each.
    Lower32,
}

/// Who has the interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controlling {
    /// The partition reaches the GIC itself.
    OwnGic,
    /// The SPMC keeps it and hands interrupts on by hypervisor calls.
    Virtual,
    /// Partitions get no interrupts.
    Nobody,
}

/// Who has notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notifying {
    /// Nobody.
    Nobody,
    /// VMs, from VMs; partitions can neither set nor get any.
    VmsOnly,
    /// VMs and partitions; global ones only.
    Everybody,
}

/// What the descriptor store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// That many bytes: each transaction costs its descriptor and `overhead` more.
    Bytes {
        /// All of the store.
        total: usize,
        /// What each transaction costs beside its descriptor.
        overhead: usize,
    },
    /// That many transactions, each with at most that many fragments.
    Transactions {
        /// Transactions at once.
        count: usize,
        /// Fragments of one of them.
        fragments: usize,
    },
}

/// How handles are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handles {
    /// Counted from a first one.
    CountedFrom(u64),
    /// The lowest free index, with bits set that say whose transaction it is.
    FreeIndexWith(u64),
}

/// What an SPMC does where others do something else. `tests/side_by_side/` has a
/// test for each difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// For reports.
    pub name: &'static str,
    /// "FF-A reported".
    pub reported: Version,
    /// "memory calls take 1.0 or 1.1 only".
    pub memory_versions: MemoryVersions,
    /// "share / lend / donate to a partition".
    pub share: Verdict,
    /// As above.
    pub lend: Verdict,
    /// As above.
    pub donate: Verdict,
    /// "{SP, VM} share".
    pub share_with_vm: Verdict,
    /// "{SP, VM} lend".
    pub lend_with_vm: Verdict,
    /// "retrieve must list".
    pub listing: Listing,
    /// How retrieve requests are written (OP-TEE: with a zeroed composite).
    pub dialect: Dialect,
    /// "fragmented send".
    pub fragmented_send: Verdict,
    /// "fragmented retrieve response".
    pub fragmented_response: Verdict,
    /// "zero flags" on lend and donate; on share everybody refuses them.
    pub zero: Verdict,
    /// "address check (is it normal RAM?)".
    pub secure_address: Verdict,
    /// "same page in two live shares".
    pub overlap: Verdict,
    /// "direct messages".
    pub arguments: Arguments,
    /// "DIRECT_REQ2".
    pub direct2: Verdict,
    /// "MSG_SEND2".
    pub indirect: Verdict,
    /// "notifications".
    pub notifying: Notifying,
    /// "INFO_GET_REGS".
    pub info_regs: Verdict,
    /// "secure interrupt": whether FFA_INTERRUPT names it.
    pub interrupt_id: Verdict,
    /// As above: how a partition gets at the controller.
    pub controlling: Controlling,
    /// "descriptor store".
    pub capacity: Capacity,
    /// "first handle".
    pub handles: Handles,
    /// "partition info stride".
    pub info_stride: usize,
    /// What the UUID field holds where a UUID was asked for: stale bytes, or zero (`None`).
    pub stale_uuid: Option<u8>,
    /// "retrieve response".
    pub response: Response,
    /// "refuses a non-receiver".
    pub stranger: Stranger,
    /// How often a borrower may retrieve.
    pub retrieves: Retrieves,
    /// Status for a handle that means nothing.
    pub no_such_handle: FfaError,
}

/// One SPMC to be played: what it does, and what it lies about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Personality {
    /// What it does.
    pub quirks: Quirks,
    /// What it lies about; nothing for a real one.
    pub lies: Lies,
}

impl Personality {
    /// TF-A's EL3 SPMC 2.12 on QEMU.
    pub const EL3: Self = Self { quirks: el3::QUIRKS, lies: Lies::NONE };
    /// Hafnium at S-EL2.
    pub const HAFNIUM: Self = Self { quirks: hafnium::QUIRKS, lies: Lies::NONE };
    /// OP-TEE 4.10 as S-EL1 SPMC.
    pub const OPTEE: Self = Self { quirks: optee::QUIRKS, lies: Lies::NONE };
    /// Those that do what their sources say.
    pub const HONEST: [Self; 3] = [Self::EL3, Self::HAFNIUM, Self::OPTEE];

    /// The EL3 SPMC, but with lies.
    #[must_use]
    pub const fn hostile(lies: Lies) -> Self {
        Self { quirks: Quirks { name: "hostile", ..el3::QUIRKS }, lies }
    }

    /// Finds one by its name: `el3`, `hafnium`, `optee`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::HONEST.into_iter().find(|one| one.quirks.name == name)
    }
}
