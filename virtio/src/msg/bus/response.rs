//! Owns the answers of the bus; never decides which answer a request deserves.

use super::{BusResult, DeviceBitmap, MsgError, Reader, Writer, area, result};
use crate::addr::AreaId;
use crate::msg::dialect::VersionResponse;

/// An answer of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusResponse {
    /// An event arrived in a direct message.
    EventAck,
    /// Which devices exist.
    GetDevices(DeviceBitmap),
    /// Here.
    Ping {
        /// What was sent.
        echo: u32,
    },
    /// What the bus speaks.
    Version(VersionResponse),
    /// Whether the id is bound.
    AreaShare {
        /// The id.
        area: AreaId,
        /// The verdict.
        result: BusResult,
    },
    /// Whether the area is let go; the owner may reclaim at once.
    AreaUnshare {
        /// The id.
        area: AreaId,
        /// The verdict.
        result: BusResult,
    },
    /// Everything is forgotten.
    Reset {
        /// The verdict.
        result: BusResult,
    },
    /// No event waits.
    EventPoll,
    /// Whether events will be delivered so.
    EventConfigure {
        /// The verdict.
        result: BusResult,
    },
    /// Whether the FIFO is in use.
    FifoConfigure {
        /// The verdict.
        result: BusResult,
        /// The notification that the device side wants.
        device_notif_id: u16,
    },
    /// The request was not carried out. The header keeps its device and token.
    Error {
        /// Which request.
        original_msg_id: u16,
    },
}

impl BusResponse {
    pub(crate) const fn msg_id(&self) -> u8 {
        match self {
            Self::EventAck => 0x00,
            Self::GetDevices(_) => 0x02,
            Self::Ping { .. } => 0x03,
            Self::Version(_) => 0x80,
            Self::AreaShare { .. } => 0x81,
            Self::AreaUnshare { .. } => 0x82,
            Self::Reset { .. } => 0x83,
            Self::EventPoll => 0x84,
            Self::EventConfigure { .. } => 0x85,
            Self::FifoConfigure { .. } => 0x86,
            Self::Error { .. } => 0x87,
        }
    }

    pub(crate) fn decode(msg_id: u8, r: &mut Reader<'_>) -> Result<Self, MsgError> {
        Ok(match msg_id {
            0x00 => Self::EventAck,
            0x02 => Self::GetDevices(DeviceBitmap::decode(r)?),
            0x03 => Self::Ping { echo: r.u32()? },
            0x80 => Self::Version(VersionResponse::decode(r)?),
            0x81 => Self::AreaShare { area: area(r)?, result: result(r)? },
            0x82 => Self::AreaUnshare { area: area(r)?, result: result(r)? },
            0x83 => Self::Reset { result: result(r)? },
            0x84 => Self::EventPoll,
            0x85 => Self::EventConfigure { result: result(r)? },
            0x86 => Self::FifoConfigure { result: result(r)?, device_notif_id: r.u16()? },
            0x87 => Self::Error { original_msg_id: r.u16()? },
            _ => return Err(MsgError::Unknown),
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::EventAck | Self::EventPoll => w,
            Self::GetDevices(map) => {
                w.u16(map.offset).u16(map.next_offset).u16(map.count());
                w.bytes(map.bits())
            }
            Self::Ping { echo } => w.u32(*echo),
            Self::Version(version) => version.encode(w),
            Self::AreaShare { area, result } | Self::AreaUnshare { area, result } => {
                w.u16(area.get()).u16(result.code())
            }
            Self::Reset { result } | Self::EventConfigure { result } => w.u16(result.code()),
            Self::FifoConfigure { result, device_notif_id } => {
                w.u16(result.code()).u16(*device_notif_id)
            }
            Self::Error { original_msg_id } => w.u16(*original_msg_id),
        };
    }
}
