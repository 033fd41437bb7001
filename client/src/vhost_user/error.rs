//! Owns how a failure of the process is told: at which message, and what was wrong with it. Never
//! decides what follows.

use crate::error::Party;
use causeway_virtio::AreaId;
use core::fmt;

macro_rules! steps {
    ($($(#[$doc:meta])+ $name:ident = $text:literal;)+) => {
        /// A message of the protocol, or an event file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Step { $($(#[$doc])+ $name,)+ }

        impl Step {
            /// Returns the protocol's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

steps! {
    /// The session begins.
    Owner = "SET_OWNER";
    /// What the process offers.
    Offered = "GET_FEATURES";
    /// What of the protocol it knows.
    ProtocolOffered = "GET_PROTOCOL_FEATURES";
    /// What of the protocol is used.
    Protocol = "SET_PROTOCOL_FEATURES";
    /// How many queues it has.
    Queues = "GET_QUEUE_NUM";
    /// Its configuration space.
    Config = "GET_CONFIG";
    /// What the driver accepted.
    Accepted = "SET_FEATURES";
    /// The areas.
    Areas = "SET_MEM_TABLE";
    /// A ring's size.
    RingSize = "SET_VRING_NUM";
    /// Where a ring begins to be served.
    RingBase = "SET_VRING_BASE";
    /// A ring's addresses.
    RingAddress = "SET_VRING_ADDR";
    /// The event file for used buffers.
    RingCall = "SET_VRING_CALL";
    /// The event file for available buffers.
    RingKick = "SET_VRING_KICK";
    /// A ring is switched on or off.
    RingEnable = "SET_VRING_ENABLE";
    /// A ring is stopped.
    RingStop = "GET_VRING_BASE";
    /// Nothing was asked.
    Idle = "no request";
    /// The event files of this side.
    Events = "event files";
}

/// Why a device behind a front door failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DoorError {
    /// The process, or what it was asked to be, lacks something.
    Lacks(&'static str),
    /// The process refused a request.
    Refused(Step),
    /// What the process sent has no meaning.
    Malformed(Step),
    /// The process closed the socket.
    Disconnected(Step),
    /// The process took longer than the patience of the door.
    TimedOut(Step),
    /// This system refused something (no file descriptors left, say).
    System(Step),
    /// The platform has no file for an area.
    NoFile(AreaId),
    /// The file of an area could be cut short by the process, under this program.
    Unsealed(AreaId),
    /// The driver has more areas than a process takes.
    TooManyAreas,
    /// The door is shut, after an earlier failure or because the last area went.
    Over,
}

impl DoorError {
    /// Returns whom the failure points at: the process is the device, hence the peer.
    #[must_use]
    pub const fn blame(&self) -> Party {
        match self {
            Self::Lacks(_)
            | Self::Refused(_)
            | Self::Malformed(_)
            | Self::Disconnected(_)
            | Self::TimedOut(_) => Party::Peer,
            Self::System(_) | Self::NoFile(_) | Self::Unsealed(_) | Self::Over => Party::Caller,
            Self::TooManyAreas => Party::Peer,
        }
    }
}

impl fmt::Display for DoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(what) => write!(f, "the backend process must have {what}"),
            Self::Refused(step) => write!(f, "the backend process refused {}", step.name()),
            Self::Malformed(step) => {
                write!(f, "what the backend process sent must be a reply to {}", step.name())
            }
            Self::Disconnected(step) => {
                write!(f, "the backend process hung up ({})", step.name())
            }
            Self::TimedOut(step) => {
                write!(f, "the backend process must answer {} in time", step.name())
            }
            Self::System(step) => write!(f, "this system refused {}", step.name()),
            Self::NoFile(area) => write!(f, "area {} has no file to give away", area.get()),
            Self::Unsealed(area) => {
                write!(f, "the file of area {} must be sealed against shrinking", area.get())
            }
            Self::TooManyAreas => write!(f, "a link may have 8 areas at a front door"),
            Self::Over => write!(f, "the front door is shut"),
        }
    }
}

impl core::error::Error for DoorError {}
