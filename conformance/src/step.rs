//! Owns the words in which cases are written; never carries one out.

use causeway_abi::{JoinState, LedgerScope, Permission, Status};
use causeway_ffa::{EndpointId, FfaError, Transfer};

/// Whether a deviation may excuse the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// On no SPMC.
    Never,
    /// For a limit that is named.
    NamedLimit,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name: group, slash, claim.
    pub name: &'static str,
    /// What it is about: a document and a place in it.
    pub clause: &'static str,
    /// Whether it may be excused.
    pub weight: Weight,
    /// What is done.
    pub steps: &'static [Step],
}

/// Which of the handles that the case got; [`Handle::Invented`] never was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// The n-th place of the case, 0 to 7.
    At(usize),
    /// A number that no SPMC gave out.
    Invented,
}

/// Under which name a VM knows a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The other VM.
    pub peer: EndpointId,
    /// The number of the join.
    pub number: u16,
}

/// Pages of a VM's RAM, counted from where its RAM begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Whose; 0xffff: memory that is no VM's.
    pub of: EndpointId,
    /// The first page.
    pub page: u64,
    /// How many.
    pub count: u32,
}

/// A call of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// VERSION: the major version is ours.
    Version,
    /// FEATURES of a call number: whether the call exists.
    Features(u8, bool),
    /// OFFER to the partition, or to a VM, with the tag that was sent.
    Offer(Handle, Option<EndpointId>, Permission),
    /// REVOKE.
    Revoke(Handle),
    /// STATE.
    State(Handle),
    /// LIST: nothing is offered to the caller.
    ListNothing,
    /// INSPECT.
    Inspect(Handle),
    /// JOIN, and where the join stands then.
    Join(Handle, Name, JoinState),
    /// PART.
    Part(Name),
    /// COPY from the caller's area into the other: offsets and bytes.
    CopyTo(Name, [u64; 3]),
    /// COPY of this many bytes from the start of the caller's area to the start of the other; so many are
    /// moved.
    CopyAtMost(Name, u64, u64),
    /// JOINED: bytes out of the caller's area since it joined, and into it.
    Counted(Name, [u64; 2]),
    /// LEDGER_READ of the first page into an area.
    LedgerRead(Handle, LedgerScope),
    /// HYP_UNMAPPED of the caller itself.
    HypUnmapped(Handle),
    /// ENTROPY.
    Entropy,
    /// VAULT_STATE.
    VaultState,
}

/// One step of a case, with how it must end.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The case is about calls in parts: it has no meaning where whole frames come through.
    InPartsOnly,
    /// LIST of a VM from another core finds nothing. As the first step of a case: the case has no meaning
    /// where there is no other core, or where calls take two messages.
    SecondCore(EndpointId),
    /// FFA_VERSION answers this major version and at least this minor one.
    Version(u16, u16),
    /// FFA_FEATURES of a function says that it exists.
    Feature(u32),
    /// Exactly one partition has the UUID of the service.
    Discover,
    /// A transaction is taken; its handle is kept.
    Send(usize, Transfer, Area, Option<EndpointId>, Permission),
    /// A share is refused by the SPMC, or else its offer by the partition with this status.
    NotTwice(Area, Status),
    /// A call of a VM ends with this status.
    Ask(EndpointId, Ask, Status),
    /// A call of a VM is refused: by which status depends on what the SPMC says of the transaction.
    Refused(EndpointId, Ask),
    /// These words in one message end with this status.
    Words(EndpointId, [u64; 5], Status),
    /// This frame, in as many messages as it takes, ends with this status.
    Frame(EndpointId, [u64; 5], Status),
    /// So many messages of random words, of this seed, are each answered by whatever it may be.
    Garbage(EndpointId, u64, u32),
    /// FFA_MEM_RECLAIM succeeds.
    Reclaim(usize),
    /// FFA_MEM_RECLAIM is refused with this error.
    ReclaimRefused(usize, FfaError),
    /// An area is filled with a pattern of this seed.
    Fill(Area, u8),
    /// An area holds the pattern of this seed.
    Holds(Area, u8),
    /// An area does not hold the pattern of this seed any more.
    Changed(Area, u8),
    /// LEDGER_HEAD of a VM's own records, until all are chained.
    LedgerHead(EndpointId),
    /// A VM is told to be created or destroyed, and the partition agrees.
    Vm(VmNews, EndpointId),
    /// As many bytes are moved from one VM to another by COPY through joined areas of 16 pages each,
    /// and their SHA-256 is the same on both sides.
    MoveFile(EndpointId, EndpointId, u64),
}

/// What the hypervisor tells of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmNews {
    /// VM_CREATED.
    Created,
    /// VM_DESTROYED.
    Destroyed,
}
