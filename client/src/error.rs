//! Owns how a failure is told: which rule was broken and by whom; never hides a code it was given.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # two_vms!(platform, one, two, first, second);
//! use causeway_abi::{Call, CallId, Status};
//! use causeway_client::error::{Awaited, Error, Party, Rule};
//! use causeway_ffa::MemHandle;
//!
//! // Somebody else's handle, a stale one and one that never was: the partition does not say which.
//! let handle = MemHandle::new(0xdead).unwrap();
//! let error = first.call(Call::Revoke { handle }).unwrap_err();
//! let (call, status) = (CallId::Revoke, Status::NoSuchGrant);
//! assert_eq!(error, Error::Refused { call, status });
//! assert_eq!(
//!     error.to_string(),
//!     "the partition refused Revoke: The handle must name a live grant of the caller. (NoSuchGrant)",
//! );
//! assert_eq!(error.blame(), Party::Partition);
//!
//! // What this library found wrong itself, and what it waited for in vain.
//! let broken = Error::Broken { by: Party::Peer, rule: Rule::MessageKind };
//! assert_eq!(broken.blame(), Party::Peer);
//! assert!(broken.to_string().contains(Rule::MessageKind.sentence()));
//! assert_eq!(Error::TimedOut(Awaited::Device).blame(), Party::Peer);
//! ```

use causeway_abi::{CallId, Status};
use causeway_ffa::{FfaError, FuncId};
use causeway_virtio::msg::BusResult;
use core::fmt;

/// Whom a failure points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// This program asked for something that can't be.
    Caller,
    /// The hypervisor, or the SPMC behind it.
    Hypervisor,
    /// The Causeway partition.
    Partition,
    /// The other VM or the device on the bus.
    Peer,
}

/// What this library found wrong in an answer, or in what it was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The registers of an answer must be one of the forms that FF-A defines for the call.
    AnswerForm,
    /// The answer must come from the endpoint that was asked, to the caller.
    AnswerParties,
    /// An answer in the service interface must carry the number of the call.
    AnswerNumber,
    /// The results of a call must have a meaning.
    AnswerValues,
    /// The FF-A version must be 1.1 or a later minor one.
    FfaVersion,
    /// The interface's major version must be this library's.
    InterfaceVersion,
    /// Exactly one partition must offer the service.
    OnePartition,
    /// Partition information must be well formed.
    PartitionInfo,
    /// The answer to a retrieve must be a well-formed descriptor of what was asked for.
    RetrieveResponse,
    /// The ranges that INSPECT returns must add up to its summary.
    InspectedRanges,
    /// A call must not be interrupted or yield without end.
    EndlessCall,
    /// An area must have at least one page, and no more ranges than a descriptor can carry.
    AreaShape,
    /// A mapper must be able to map what was retrieved.
    Mappable,
    /// Shared memory must be as long as its use needs.
    TooSmall,
    /// The message FIFO's header and indices must be valid.
    Fifo,
    /// A message FIFO must have room within the time allowed.
    FifoFull,
    /// A bus message must be well formed.
    MessageForm,
    /// The answer to a bus message must be of the kind, and about the object, that was asked for.
    MessageKind,
    /// The configuration space must stay the same long enough to be read as a whole.
    ConfigGeneration,
    /// A list of devices must end.
    EndlessList,
    /// The tables of this library must have room.
    NoRoom,
    /// An area id may be bound to one grant of a link at a time.
    AreaIdTaken,
    /// The area id must be bound on this link.
    AreaIdUnknown,
    /// No buffer of an area may be in use when it is taken back.
    BuffersTaken,
    /// A network device must give back each buffer once, with one whole frame in it.
    Frame,
    /// A driver must accept VIRTIO_F_VERSION_1.
    VersionOne,
    /// The device must not ask for a reset.
    DeviceNeedsReset,
    /// The device must not be withdrawn while it is in use.
    DeviceRemoved,
}

impl Rule {
    /// Returns the rule in one sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AnswerForm => "An answer must have a form that FF-A defines for the call.",
            Self::AnswerParties => "An answer must come from the one that was asked.",
            Self::AnswerNumber => "An answer must carry the number of its call.",
            Self::AnswerValues => "The results of a call must have a meaning.",
            Self::FfaVersion => "FF-A must be version 1.1 or a later 1.x.",
            Self::InterfaceVersion => "The partition's interface must have our major version.",
            Self::OnePartition => "Exactly one partition must offer the service.",
            Self::PartitionInfo => "Partition information must be well formed.",
            Self::RetrieveResponse => "A retrieve must return what was asked for, well formed.",
            Self::InspectedRanges => "Inspected ranges must add up to their summary.",
            Self::EndlessCall => "A call must not be interrupted or yield without end.",
            Self::AreaShape => "An area must have pages, and no more ranges than fit.",
            Self::Mappable => "Retrieved memory must lie where the mapper can map it.",
            Self::TooSmall => "Memory must be as long as its use needs.",
            Self::Fifo => "The header and indices of a message FIFO must be valid.",
            Self::FifoFull => "A message FIFO must have room within the time allowed.",
            Self::MessageForm => "A bus message must be well formed.",
            Self::MessageKind => "The answer to a bus message must fit its request.",
            Self::ConfigGeneration => "A configuration space must stay the same while it is read.",
            Self::EndlessList => "The list of devices must end.",
            Self::NoRoom => "The tables of this library must have room.",
            Self::AreaIdTaken => "An area id may name one grant of a link at a time.",
            Self::AreaIdUnknown => "The area id must be bound on this link.",
            Self::BuffersTaken => "Buffers of an area must be back before the area is.",
            Self::Frame => "A network device must give back each buffer once, with a whole frame.",
            Self::VersionOne => "Driver and device must both have VIRTIO_F_VERSION_1.",
            Self::DeviceRemoved => "A device must not be withdrawn while it is in use.",
            Self::DeviceNeedsReset => "The device must not be in need of a reset.",
        }
    }
}

/// What was awaited when the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// The grant's change to another state.
    GrantState,
    /// The answer to a bus message.
    BusAnswer,
    /// A device that the driver may use.
    Device,
    /// A ledger to which nothing is added while it is read.
    LedgerAtRest,
}

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The hypervisor or the SPMC refused an FF-A call.
    Ffa {
        /// The call.
        call: FuncId,
        /// Its code.
        error: FfaError,
    },
    /// The partition refused a call of its interface; the status names the rule.
    Refused {
        /// The call.
        call: CallId,
        /// The rule that was broken.
        status: Status,
    },
    /// The bus or the device answered ERROR to a message (it names no reason).
    BusError {
        /// The message's id.
        msg_id: u16,
    },
    /// The bus answered with a result other than success.
    BusRefused(BusResult),
    /// Somebody did not keep to the protocol. Nothing that they sent was used.
    Broken {
        /// Who.
        by: Party,
        /// The rule.
        rule: Rule,
    },
    /// The bound passed.
    TimedOut(Awaited),
}

impl Error {
    /// Returns whom the failure points at.
    #[must_use]
    pub const fn blame(&self) -> Party {
        match self {
            Self::Ffa { .. } => Party::Hypervisor,
            Self::Refused { .. } => Party::Partition,
            Self::BusError { .. } | Self::BusRefused(_) | Self::TimedOut(_) => Party::Peer,
            Self::Broken { by, .. } => *by,
        }
    }

    /// The partition broke a rule.
    pub(crate) const fn partition(rule: Rule) -> Self {
        Self::Broken { by: Party::Partition, rule }
    }

    /// The hypervisor or the SPMC broke a rule.
    pub(crate) const fn hypervisor(rule: Rule) -> Self {
        Self::Broken { by: Party::Hypervisor, rule }
    }

    /// The other VM or the device broke a rule.
    pub(crate) const fn peer(rule: Rule) -> Self {
        Self::Broken { by: Party::Peer, rule }
    }

    /// The caller of this library broke a rule.
    pub(crate) const fn caller(rule: Rule) -> Self {
        Self::Broken { by: Party::Caller, rule }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ffa { call, error } => {
                write!(f, "{} was refused by the hypervisor or the SPMC: {error:?}", call.name())
            }
            Self::Refused { call, status } => {
                write!(f, "the partition refused {call:?}: {} ({})", status.rule(), status.name())
            }
            Self::BusError { msg_id } => {
                write!(f, "the bus or the device could not carry out message {msg_id:#04x}")
            }
            Self::BusRefused(result) => write!(f, "the bus answered {result:?}"),
            Self::Broken { by, rule } => write!(f, "{by:?} broke a rule: {}", rule.sentence()),
            Self::TimedOut(what) => write!(f, "time ran out while waiting for {what:?}"),
        }
    }
}

impl core::error::Error for Error {}

/// Takes a result that nobody is left to hear (in a drop, or after an earlier failure).
pub(crate) fn unheard<T>(_: Result<T, Error>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_one_who_caused_it() {
        let ffa = Error::Ffa { call: FuncId::MemReclaim, error: FfaError::Denied };
        let refused = Error::Refused { call: CallId::Accept, status: Status::TermsChanged };
        assert_eq!(ffa.blame(), Party::Hypervisor);
        assert_eq!(refused.blame(), Party::Partition);
        assert_eq!(Error::peer(Rule::MessageKind).blame(), Party::Peer);
        assert!(refused.to_string().contains(Status::TermsChanged.rule()));
        assert!(ffa.to_string().contains("FFA_MEM_RECLAIM"));
    }
}
