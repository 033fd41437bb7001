//! Owns what the bus and the image around it say to each other, but for what the bus wants done
//! (effect.rs). Never decides.

use crate::fifo::Slot;
use crate::msg::{BusFeatures, Encoded, LONG_FRAME_WORDS};
use causeway_ffa::{EndpointId, MemHandle};

/// x4-x17 of a direct message of the second kind.
pub type LongWords = [u64; LONG_FRAME_WORDS];

/// What the bus says of itself and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusConfig {
    /// The FF-A version that VERSION answers.
    pub ffa_version: u32,
    /// What VERSION says about the ways of transfer.
    pub features: BusFeatures,
    /// Ticks that a backend has for an answer.
    pub answer_ticks: u64,
}

/// One device of a link, from the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPolicy {
    /// The driver VM.
    pub driver: EndpointId,
    /// The backend VM; none for a device of the partition.
    pub backend: Option<EndpointId>,
    /// The number by which the backend announces the device.
    pub backend_dev: u16,
    /// The number by which the driver sees it.
    pub driver_dev: u16,
}

/// Why the manifest's links do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetupError {
    /// More VMs, links or devices of a link than there is room for.
    NoRoom,
    /// A VM or a device number of a driver twice, or a VM linked to itself.
    Duplicate,
    /// A link names a VM that was not added.
    UnknownVm,
}

/// What the bus has to know about a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// The VM that borrows it beside the partition; none for a local area.
    pub peer: Option<EndpointId>,
    /// Tells two grants of one handle apart.
    pub generation: u32,
    /// 4 KiB pages.
    pub page_count: u32,
    /// Whether the borrowers may write.
    pub writable: bool,
    /// Whether it may be used now: accepted, and neither released nor revoked.
    pub usable: bool,
}

/// The grants, as the broker knows them.
pub trait GrantView {
    /// Returns the live grant that `owner` gave under `handle`; `None` for any other.
    fn grant(&self, owner: EndpointId, handle: MemHandle) -> Option<GrantFacts>;
}

/// How [`Effect::OpenFifo`](super::Effect::OpenFifo) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The area is mapped, and the FIFO in it is well formed.
    Yes,
    /// It is not, and nothing is mapped.
    No,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A direct message of a VM whose first byte is 0-3. Ends in one [`Effect::Reply`](super::Effect::Reply), at once or
    /// after [`Event::FifoOpened`].
    Frame {
        /// The sender that the SPMC vouches for.
        vm: EndpointId,
        /// x3-x7.
        words: [u64; 5],
    },
    /// The same, where a direct message carries x4-x17 (FFA_MSG_SEND_DIRECT_REQ2). Ends in one
    /// [`Effect::LongReply`](super::Effect::LongReply).
    LongFrame {
        /// The sender that the SPMC vouches for.
        vm: EndpointId,
        /// x4-x17.
        words: LongWords,
    },
    /// A message taken from a VM's FIFO.
    FifoMessage {
        /// Whose FIFO.
        vm: EndpointId,
        /// The message.
        slot: Slot,
    },
    /// A message of a device in the partition.
    LocalMessage {
        /// The driver on whose link it is.
        driver: EndpointId,
        /// The message.
        message: Encoded,
    },
    /// The result of [`Effect::OpenFifo`](super::Effect::OpenFifo).
    FifoOpened {
        /// Whose FIFO.
        vm: EndpointId,
        /// The result.
        opened: Opened,
    },
    /// Taking from or pushing into the FIFO found it malformed.
    FifoBroken {
        /// Whose FIFO.
        vm: EndpointId,
    },
    /// The FIFO had no room for [`Effect::Push`](super::Effect::Push).
    PushFailed {
        /// Whose FIFO.
        vm: EndpointId,
        /// What was to be pushed.
        slot: Slot,
    },
    /// The VM has looked at its FIFO (BUS_KICK): there may be room again. A VM that takes events
    /// and sends nothing kicks now and then, because it is sent only a few before it does.
    Kick {
        /// Whose FIFO.
        vm: EndpointId,
    },
    /// A VM is no more.
    VmGone {
        /// Which.
        vm: EndpointId,
    },
    /// A grant has ended, whoever ended it. Its uses are gone: no [`Effect::AreaFree`](super::Effect::AreaFree) follows.
    GrantGone {
        /// Its owner.
        owner: EndpointId,
        /// Its handle.
        handle: MemHandle,
    },
    /// Time has passed.
    Tick,
    /// The effects of the last step were carried out, and there were more.
    Continue,
}

/// Counts for figures and tests; none of them decides anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests forwarded to a device side.
    pub forwarded: u64,
    /// Answers handed to a driver.
    pub answered: u64,
    /// Requests that ended in an error: refused, timed out, or answered wrongly.
    pub failed: u64,
    /// Messages dropped: malformed, unasked-for, or for a FIFO without room.
    pub dropped: u64,
}
