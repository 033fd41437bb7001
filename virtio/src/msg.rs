//! Owns the virtio-msg messages: what each says and how its bytes lie. Never decides who may send one.
//!
//! Layouts: OASIS patch v2 (transport) and the "ALP2" state of Arm DEN0153 (FF-A bus); see
//! [`dialect`] for what depends on the version, and docs/virtio-msg.md for the whole picture.
//!
//! ```
//! use causeway_virtio::msg::{Body, Message, Request};
//! let ask = Message { dev_num: 3, token: 7, body: Body::Request(Request::GetDeviceInfo) };
//! let bytes = ask.encode();
//! assert_eq!(bytes.bytes(), [0, 2, 3, 0, 7, 0, 8, 0]);
//! assert_eq!(Message::decode(bytes.bytes()), Ok(ask));
//! ```
//!
//! What a driver asks a device, and the answers:
//!
//! ```
//! use causeway_virtio::msg::{
//!     BlockRange, Body, ConfigBytes, ConfigData, ConfigEvent, ConfigRange, DeviceInfo, FeatureBlocks, FeatureWords, Header,
//!     Kind, Message, MsgError, Request, Response, SetVqueue, Shm, Vqueue, VqueueFlags,
//! };
//! use causeway_virtio::{AreaId, BusAddr, DeviceId, Status};
//!
//! fn there_and_back(body: Body) -> Result<(), MsgError> {
//!     let message = Message { dev_num: 0, token: 9, body };
//!     let encoded = message.encode();
//!     assert_eq!(Message::decode(encoded.bytes())?, message);
//!     Ok(())
//! }
//! there_and_back(Body::Request(Request::GetDeviceFeatures(BlockRange { index: 0, count: 2 })))?;
//! let words = FeatureWords::collect([1 << 29, 1]).expect("not too many");
//! there_and_back(Body::Request(Request::SetDriverFeatures(FeatureBlocks { index: 0, words })))?;
//! there_and_back(Body::Request(Request::GetConfig(ConfigRange { offset: 0, len: 8 })))?;
//! let data = ConfigBytes::new(&[1, 2, 3, 4]).expect("not too long");
//! let config = ConfigData { generation: 1, offset: 0, data };
//! there_and_back(Body::Response(Response::GetConfig(config)))?;
//! let event = ConfigEvent::of_status(Status::DRIVER_OK, 1);
//! there_and_back(Body::Request(Request::EventConfig(event)))?;
//!
//! let at = |offset| BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap();
//! let (desc, driver, device) = (at(0), at(0x100), at(0x200));
//! let set = SetVqueue { index: 0, flags: VqueueFlags::ENABLE, size: 8, desc, driver, device };
//! there_and_back(Body::Request(Request::SetVqueue(set)))?;
//! let set = Vqueue { index: 0, max_size: 32, cur_size: 8, enabled: true, desc, driver, device };
//! there_and_back(Body::Response(Response::GetVqueue(set)))?;
//! there_and_back(Body::Response(Response::GetShm(Shm { shmid: 0, len: 4096, address: 0 })))?;
//! let info = DeviceInfo {
//!     device_id: DeviceId::BLOCK.get(), vendor_id: 0, uuid: [0; 16], num_feature_blocks: 2, config_size: 24,
//!     max_virtqueues: 1, admin_vq_start: 0, admin_vq_count: 0,
//! };
//! there_and_back(Body::Response(Response::GetDeviceInfo(info)))?;
//!
//! // What is no message says which rule it breaks.
//! assert_eq!(Message::decode(&[0; 3]), Err(MsgError::Short));
//! let ask = Message { dev_num: 3, token: 7, body: Body::Request(Request::GetDeviceInfo) };
//! let header = Header::decode(ask.encode().bytes())?;
//! assert_eq!((header.kind, header.dev_num, header.token), (Kind::Request, 3, 7));
//! # Ok::<(), MsgError>(())
//! ```
//!
//! What the two ends of a bus say to each other, and how messages lie in registers:
//!
//! ```
//! use causeway_ffa::MemHandle;
//! use causeway_virtio::AreaId;
//! use causeway_virtio::msg::{
//!     AreaAttrs, AreaShare, Body, BusFeatures, BusRequest, BusResponse, BusResult, DeviceBitmap, Encoded, Message,
//!     MsgError, VersionRequest, VersionResponse, dialect, frame_bytes, long_frame_bytes,
//! };
//!
//! let area = AreaId::new(1).unwrap();
//! let (handle, attrs) = (MemHandle::new(7).unwrap(), AreaAttrs::SHARED_READ_WRITE);
//! let share = AreaShare { area, handle, tag: 0, page_count: 2, attrs };
//! let ask = Message { dev_num: 0, token: 1, body: Body::BusRequest(BusRequest::AreaShare(share)) };
//! let encoded: Encoded = ask.encode();
//! // In the fourteen words of DIRECT_REQ2:
//! assert_eq!(Message::decode(&long_frame_bytes(&encoded.to_long_frame()))?, ask);
//!
//! // In the five words of DIRECT_REQ, where it is short enough:
//! let frame = encoded.to_frame().expect("at most 40 bytes");
//! assert_eq!(frame_bytes(&frame)[..encoded.bytes().len()], *encoded.bytes());
//!
//! let result = BusResult::Ok;
//! let body = Body::BusResponse(BusResponse::AreaUnshare { area, result });
//! assert_eq!(Message::decode(Message { body, ..ask }.encode().bytes())?.body, body);
//!
//! let mut devices = DeviceBitmap::new(0, 0, 16).expect("not too many");
//! devices.insert(3);
//! assert!(devices.iter().eq([3]));
//! assert!(BusFeatures::FIFO.with(BusFeatures::DIRECT_TX).contains(BusFeatures::FIFO));
//!
//! // What depends on the version of the protocol.
//! let (bus_version, transport_revision) = (dialect::BUS_VERSION, dialect::TRANSPORT_REVISION);
//! let version = VersionRequest::Den0153V1 { bus_version, transport_revision };
//! assert_eq!(version.dialect(), dialect::Dialect::Den0153V1);
//! let (feature_bits, bus_features, max_areas) = (0, BusFeatures::FIFO, 16);
//! let answer =
//!     VersionResponse { bus_version, transport_revision, ffa_version: None, feature_bits, bus_features, max_areas };
//! assert!(!dialect::is_tokenless_version(encoded.bytes()));
//! assert_eq!(dialect::tokenless_version_answer(&answer).len(), dialect::TOKENLESS_VERSION_BYTES);
//! # Ok::<(), MsgError>(())
//! ```

pub mod bus;
pub mod data;
pub mod dialect;
pub mod transport;
pub(crate) mod wire;

pub use bus::{
    AreaAttrs, AreaShare, BusFeatures, BusRequest, BusResponse, BusResult, DeviceBitmap,
    DeviceState, EventMethod, ShareKind,
};
pub use data::{ConfigBytes, FeatureWords};
pub use dialect::{MAX_MESSAGE_BYTES, VersionRequest, VersionResponse};
pub use transport::{
    BlockRange, ConfigData, ConfigEvent, ConfigRange, DeviceInfo, FeatureBlocks, Request, Response,
    SetVqueue, Shm, Vqueue, VqueueFlags,
};

use wire::{Reader, Writer};

/// Bytes in the header of each message.
pub const HEADER_BYTES: usize = 8;

/// Bytes of a message that fit in x3-x7 of a direct message.
pub const FRAME_BYTES: usize = 40;

/// Words of a direct message of the second kind (x4-x17 of FFA_MSG_SEND_DIRECT_REQ2).
pub const LONG_FRAME_WORDS: usize = 14;

/// Bytes of those words; a message has [`MAX_MESSAGE_BYTES`] of them at most.
pub const LONG_FRAME_BYTES: usize = 112;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MsgError {
    /// Fewer bytes than a header, or than `msg_size` says.
    Short,
    /// `msg_size` is below the header's or above the dialect's limit.
    Size,
    /// The type byte has bits that mean nothing.
    Type,
    /// No message has this type and id.
    Unknown,
    /// The payload's length is not that of the message.
    Length,
    /// A bus message names a device.
    BusDevice,
    /// A reserved field is not zero.
    Reserved,
    /// A field has none of its documented values.
    Value,
}

/// Bits 1:0 of the type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 0: a request or event about a device.
    Request,
    /// 1: the answer to it.
    Response,
    /// 2: a request or event about the bus.
    BusRequest,
    /// 3: the answer to it.
    BusResponse,
}

impl Kind {
    /// Returns the type byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Response => 1,
            Self::BusRequest => 2,
            Self::BusResponse => 3,
        }
    }

    /// Names a type byte.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Request),
            1 => Some(Self::Response),
            2 => Some(Self::BusRequest),
            3 => Some(Self::BusResponse),
            _ => None,
        }
    }
}

/// The first eight bytes of each message, readable even where the rest is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Request or response, of a device or of the bus.
    pub kind: Kind,
    /// Which message; bit 6: event, bit 7: defined by the bus.
    pub msg_id: u8,
    /// The device, 0 for bus messages. Device 0 exists.
    pub dev_num: u16,
    /// Chosen by the sender of a request, echoed by its answer.
    pub token: u16,
    /// Bytes in the message with this header.
    pub msg_size: u16,
}

impl Header {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`MsgError::Short`], [`MsgError::Type`], [`MsgError::Size`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MsgError> {
        let mut r = Reader::new(bytes.get(..HEADER_BYTES).ok_or(MsgError::Short)?);
        let kind = Kind::from_code(r.u8()?).ok_or(MsgError::Type)?;
        let (msg_id, dev_num, token, msg_size) = (r.u8()?, r.u16()?, r.u16()?, r.u16()?);
        let size = usize::from(msg_size);
        if !(HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&size) {
            return Err(MsgError::Size);
        }
        Ok(Self { kind, msg_id, dev_num, token, msg_size })
    }

    /// Reports whether the message is an event: it has no answer of its own.
    #[must_use]
    pub const fn is_event(&self) -> bool {
        self.msg_id & 0x40 != 0
    }
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// About a device.
    Request(Request),
    /// The answer of a device.
    Response(Response),
    /// About the bus.
    BusRequest(BusRequest),
    /// The answer of the bus.
    BusResponse(BusResponse),
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The device; 0 in bus messages.
    pub dev_num: u16,
    /// Chosen by the sender of a request, echoed by its answer.
    pub token: u16,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// Reads the message at the start of `bytes`; what follows it is ignored.
    ///
    /// # Errors
    /// The first rule that is broken. Every input is a message or an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, MsgError> {
        let header = Header::decode(bytes)?;
        let payload =
            bytes.get(HEADER_BYTES..usize::from(header.msg_size)).ok_or(MsgError::Short)?;
        let mut r = Reader::new(payload);
        let body = match header.kind {
            Kind::Request => Body::Request(Request::decode(header.msg_id, &mut r)?),
            Kind::Response => Body::Response(Response::decode(header.msg_id, &mut r)?),
            Kind::BusRequest => Body::BusRequest(BusRequest::decode(header.msg_id, &mut r)?),
            Kind::BusResponse => Body::BusResponse(BusResponse::decode(header.msg_id, &mut r)?),
        };
        r.finish()?;
        let names_device = match body {
            Body::Request(_) | Body::Response(_) => true,
            Body::BusResponse(BusResponse::Error { .. }) => true,
            Body::BusRequest(_) | Body::BusResponse(_) => false,
        };
        if header.dev_num != 0 && !names_device {
            return Err(MsgError::BusDevice);
        }
        Ok(Self { dev_num: header.dev_num, token: header.token, body })
    }

    /// Writes the message.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let (kind, msg_id) = match &self.body {
            Body::Request(m) => (Kind::Request, m.msg_id()),
            Body::Response(m) => (Kind::Response, m.msg_id()),
            Body::BusRequest(m) => (Kind::BusRequest, m.msg_id()),
            Body::BusResponse(m) => (Kind::BusResponse, m.msg_id()),
        };
        let mut w = Writer::new();
        w.u8(kind.code()).u8(msg_id).u16(self.dev_num).u16(self.token).u16(0);
        match &self.body {
            Body::Request(m) => m.encode(&mut w),
            Body::Response(m) => m.encode(&mut w),
            Body::BusRequest(m) => m.encode(&mut w),
            Body::BusResponse(m) => m.encode(&mut w),
        }
        w.finish()
    }

    /// The bus's report that the request with this header was not carried out.
    #[must_use]
    pub fn error_for(header: &Header) -> Self {
        Self {
            dev_num: header.dev_num,
            token: header.token,
            body: Body::BusResponse(BusResponse::Error {
                original_msg_id: u16::from(header.msg_id),
            }),
        }
    }
}

/// The bytes of one message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    bytes: [u8; MAX_MESSAGE_BYTES],
    len: u16,
}

impl Encoded {
    pub(crate) const fn new(bytes: [u8; MAX_MESSAGE_BYTES], len: u16) -> Self {
        Self { bytes, len }
    }

    /// Returns the message's bytes, `msg_size` of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// Returns the words x3-x7 of a direct message; `None` if the message is longer than 40 bytes.
    #[must_use]
    pub fn to_frame(&self) -> Option<[u64; 5]> {
        if usize::from(self.len) > FRAME_BYTES {
            return None;
        }
        let mut words = [0; 5];
        let (chunks, _) = self.bytes.as_chunks::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        Some(words)
    }
}

impl Encoded {
    /// Returns the words x4-x17 of a direct message of the second kind, its tail zero. Every
    /// message fits.
    #[must_use]
    pub fn to_long_frame(&self) -> [u64; LONG_FRAME_WORDS] {
        let mut words = [0; LONG_FRAME_WORDS];
        let (chunks, _) = self.bytes.as_chunks::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        words
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl core::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Encoded").field(&self.bytes()).finish()
    }
}

/// Returns the 40 bytes that x3-x7 of a direct message carry.
#[must_use]
pub fn frame_bytes(words: &[u64; 5]) -> [u8; FRAME_BYTES] {
    let mut bytes = [0; FRAME_BYTES];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

/// Returns the 112 bytes that x4-x17 of a direct message of the second kind carry.
#[must_use]
pub fn long_frame_bytes(words: &[u64; LONG_FRAME_WORDS]) -> [u8; LONG_FRAME_BYTES] {
    let mut bytes = [0; LONG_FRAME_BYTES];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests;
