//! Owns the messages of the bus itself, general and FF-A's; never decides what the bus answers.

use super::MsgError;
use super::dialect::VersionRequest;
use super::wire::{Reader, Writer};
use crate::addr::AreaId;
use causeway_ffa::MemHandle;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident: $raw:ty { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Returns the wire value.
            #[must_use]
            pub const fn code(self) -> $raw {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Names a wire value.
            #[must_use]
            pub const fn from_code(code: $raw) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    /// The verdict in answers of the FF-A bus.
    BusResult: u16 {
        /// Carried out.
        Ok = 0,
        /// Refused; nothing changed.
        Error = 1,
        /// Not now; ask again.
        Busy = 2,
    }
}

codes! {
    /// What happened to a device.
    DeviceState: u16 {
        /// It can be used.
        Added = 1,
        /// It is gone.
        Removed = 2,
    }
}

codes! {
    /// How events reach the driver side.
    EventMethod: u8 {
        /// It asks with EVENT_POLL.
        Poll = 0,
        /// An FF-A notification makes it ask.
        Notification = 1,
        /// Indirect messages.
        Indirect = 2,
        /// They are pushed into its FIFO.
        Fifo = 3,
    }
}

codes! {
    /// The kind of transaction behind an area (`attrs` bits 1:0).
    ShareKind: u32 {
        /// FFA_MEM_SHARE.
        Share = 0,
        /// FFA_MEM_LEND.
        Lend = 1,
        /// FFA_MEM_DONATE.
        Donate = 2,
    }
}

/// The `attrs` of AREA_SHARE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AreaAttrs(u32);

impl AreaAttrs {
    /// Shared, read-write, not executable, inner-shareable write-back normal non-secure memory.
    pub const SHARED_READ_WRITE: Self = Self(0x0000_06f4);
    /// The same, read-only.
    pub const SHARED_READ_ONLY: Self = Self(0x0000_06f0);

    const WRITE: u32 = 1 << 2;
    const EXECUTE: u32 = 1 << 3;
    /// Bit 11: the driver wants the area kept over a reset.
    const RETENTION: u32 = 1 << 11;

    /// Accepts documented bits and kinds only.
    #[must_use]
    pub const fn new(raw: u32) -> Option<Self> {
        if raw & !0xfff == 0 && ShareKind::from_code(raw & 3).is_some() {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// Returns the wire value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Reports whether the device side may write.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// Reports whether this is what the bus takes: share or lend, not executable, normal
    /// write-back inner-shareable non-secure memory; writable or not, retention asked or not.
    #[must_use]
    pub const fn is_plain_memory(self) -> bool {
        let kind_and_asks = 1 | Self::WRITE | Self::RETENTION;
        self.0 & Self::EXECUTE == 0 && self.0 & !kind_and_asks == Self::SHARED_READ_ONLY.0
    }
}

/// What a side of the bus can do. Source: ALP2, `bus_features`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BusFeatures(u32);

impl BusFeatures {
    /// Takes direct messages.
    pub const DIRECT_RX: Self = Self(1);
    /// Sends direct messages.
    pub const DIRECT_TX: Self = Self(1 << 1);
    /// Takes indirect messages.
    pub const INDIRECT_RX: Self = Self(1 << 2);
    /// Sends indirect messages.
    pub const INDIRECT_TX: Self = Self(1 << 3);
    /// Takes notifications.
    pub const NOTIF_RX: Self = Self(1 << 4);
    /// Sends notifications.
    pub const NOTIF_TX: Self = Self(1 << 5);
    /// Has the message FIFO.
    pub const FIFO: Self = Self(1 << 6);

    /// Wraps the wire value.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the wire value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Reports whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Joins two sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Binds an area id of the link to a granted handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AreaShare {
    /// The id.
    pub area: AreaId,
    /// The grant.
    pub handle: MemHandle,
    /// The FF-A tag of the transaction.
    pub tag: u64,
    /// 4 KiB pages.
    pub page_count: u32,
    /// What memory it is.
    pub attrs: AreaAttrs,
}

/// A message to the bus, or an event of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusRequest {
    /// Which devices are there?
    GetDevices {
        /// First number asked about.
        offset: u16,
        /// How many numbers.
        count: u16,
    },
    /// Are you there?
    Ping {
        /// Comes back.
        echo: u32,
    },
    /// A device came or went.
    EventDevice {
        /// Which.
        dev_num: u16,
        /// What happened.
        state: DeviceState,
    },
    /// What do you speak?
    Version(VersionRequest),
    /// Bind an area id.
    AreaShare(AreaShare),
    /// Let an area go.
    AreaUnshare {
        /// Which.
        area: AreaId,
    },
    /// Forget everything of this caller.
    Reset,
    /// Is there an event?
    EventPoll,
    /// Deliver events so.
    EventConfigure {
        /// How.
        method: EventMethod,
        /// The notification to raise.
        notif_id: u16,
    },
    /// Use this area as message FIFO.
    FifoConfigure {
        /// The area.
        handle: MemHandle,
        /// 4 KiB pages.
        page_count: u16,
        /// The notification that the driver side wants.
        driver_notif_id: u16,
    },
    /// The device side wants an area back with its owner.
    EventAreaRelease {
        /// Which.
        area: AreaId,
    },
}

impl BusRequest {
    pub(crate) const fn msg_id(&self) -> u8 {
        match self {
            Self::GetDevices { .. } => 0x02,
            Self::Ping { .. } => 0x03,
            Self::EventDevice { .. } => 0x40,
            Self::Version(_) => 0x80,
            Self::AreaShare(_) => 0x81,
            Self::AreaUnshare { .. } => 0x82,
            Self::Reset => 0x83,
            Self::EventPoll => 0x84,
            Self::EventConfigure { .. } => 0x85,
            Self::FifoConfigure { .. } => 0x86,
            Self::EventAreaRelease { .. } => 0xc0,
        }
    }

    /// Reports whether this is an event, which has no answer of its own.
    #[must_use]
    pub const fn is_event(&self) -> bool {
        self.msg_id() & 0x40 != 0
    }

    pub(crate) fn decode(msg_id: u8, r: &mut Reader<'_>) -> Result<Self, MsgError> {
        Ok(match msg_id {
            0x02 => Self::GetDevices { offset: r.u16()?, count: r.u16()? },
            0x03 => Self::Ping { echo: r.u32()? },
            0x40 => Self::EventDevice {
                dev_num: r.u16()?,
                state: DeviceState::from_code(r.u16()?).ok_or(MsgError::Value)?,
            },
            0x80 => Self::Version(VersionRequest::decode(r)?),
            0x81 => Self::AreaShare(AreaShare {
                area: area(r)?,
                handle: handle(r)?,
                tag: r.u64()?,
                page_count: r.u32()?,
                attrs: AreaAttrs::new(r.u32()?).ok_or(MsgError::Value)?,
            }),
            0x82 => Self::AreaUnshare { area: area(r)? },
            0x83 => Self::Reset,
            0x84 => Self::EventPoll,
            0x85 => {
                let (method, reserved, notif_id) = (r.u8()?, r.u8()?, r.u16()?);
                let method = EventMethod::from_code(method).ok_or(MsgError::Value)?;
                if reserved != 0 {
                    return Err(MsgError::Reserved);
                }
                Self::EventConfigure { method, notif_id }
            }
            0x86 => Self::FifoConfigure {
                handle: handle(r)?,
                page_count: r.u16()?,
                driver_notif_id: r.u16()?,
            },
            0xc0 => Self::EventAreaRelease { area: area(r)? },
            _ => return Err(MsgError::Unknown),
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::GetDevices { offset, count } => w.u16(*offset).u16(*count),
            Self::Ping { echo } => w.u32(*echo),
            Self::EventDevice { dev_num, state } => w.u16(*dev_num).u16(state.code()),
            Self::Version(version) => version.encode(w),
            Self::AreaShare(s) => {
                w.u16(s.area.get()).u64(s.handle.get()).u64(s.tag);
                w.u32(s.page_count).u32(s.attrs.get())
            }
            Self::AreaUnshare { area } | Self::EventAreaRelease { area } => w.u16(area.get()),
            Self::Reset | Self::EventPoll => w,
            Self::EventConfigure { method, notif_id } => w.u8(method.code()).u8(0).u16(*notif_id),
            Self::FifoConfigure { handle, page_count, driver_notif_id } => {
                w.u64(handle.get()).u16(*page_count).u16(*driver_notif_id)
            }
        };
    }
}

mod bitmap;
mod response;

pub use bitmap::DeviceBitmap;
pub use response::BusResponse;

fn area(r: &mut Reader<'_>) -> Result<AreaId, MsgError> {
    AreaId::new(r.u16()?).ok_or(MsgError::Value)
}

fn handle(r: &mut Reader<'_>) -> Result<MemHandle, MsgError> {
    MemHandle::new(r.u64()?).ok_or(MsgError::Value)
}

fn result(r: &mut Reader<'_>) -> Result<BusResult, MsgError> {
    BusResult::from_code(r.u16()?).ok_or(MsgError::Value)
}
