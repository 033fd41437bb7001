//! Owns everything that depends on the draft's version: one place to change when it moves. Never
//! decides whether a dialect is served.
//!
//! | dialect | header | VERSION asked / answered | `bus_version` | bus address | longest message |
//! | --- | --- | --- | --- | --- | --- |
//! | RFC of 2025 | 8 bytes, or 6 without token | 18 / 18 | 1 | id << 56 or id << 48 | 96 |
//! | DEN0153 1.0 era | 8 bytes | 8 / 18 | 0x00010000 | id << 48 | 104 or 96 |
//! | ALP2 (2026) | 8 bytes | 12 / 22 | 0x00010000 | id << 48 | 104 |
//!
//! They are told apart by the size of VERSION, the first message of every driver. ALP2 and the DEN0153 1.0
//! era are served; they differ in nothing else that the bus reads. A driver of the RFC is answered in
//! its own layout with the version that we have, so that it gives up in order.

use super::MsgError;
use super::bus::BusFeatures;
use super::wire::{Reader, Writer};

/// The forms of the FF-A bus in the field that we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The 2025 request for comments: VERSION request of 18 bytes.
    Rfc2025,
    /// The era of DEN0153 1.0: VERSION request of 8 payload bytes.
    Den0153V1,
    /// ALP2 (2026): VERSION request of 12 payload bytes.
    Alp2,
}

impl Dialect {
    /// Names the dialect of a caller by the payload of its VERSION request.
    ///
    /// # Errors
    /// [`MsgError::Length`] if no dialect has a request of this length.
    pub const fn of_version_request(payload_bytes: usize) -> Result<Self, MsgError> {
        match payload_bytes {
            18 => Ok(Self::Rfc2025),
            8 => Ok(Self::Den0153V1),
            12 => Ok(Self::Alp2),
            _ => Err(MsgError::Length),
        }
    }

    /// Reports whether a driver of this dialect can go on after VERSION.
    #[must_use]
    pub const fn is_served(self) -> bool {
        match self {
            Self::Rfc2025 => false,
            Self::Den0153V1 | Self::Alp2 => true,
        }
    }

    /// Reports whether VERSION's answer names the FF-A version.
    #[must_use]
    pub const fn tells_ffa_version(self) -> bool {
        match self {
            Self::Rfc2025 | Self::Den0153V1 => false,
            Self::Alp2 => true,
        }
    }
}

/// Largest message of ALP2: x4-x16 of a DIRECT_REQ2.
pub const MAX_MESSAGE_BYTES: usize = 104;

/// `bus_version` of ALP2 and of the DEN0153 1.0 era.
pub const BUS_VERSION: u32 = 0x0001_0000;

/// `bus_version` of the 2025 request for comments.
pub const RFC_BUS_VERSION: u32 = 1;

/// `transport_revision` of OASIS patch v2.
pub const TRANSPORT_REVISION: u32 = 1;

/// UUID of the device role, in text order: c66028b5-2498-4aa1-9de7-77da6122abf0.
pub const DEVICE_ROLE_UUID: [u8; 16] = [
    0xc6, 0x60, 0x28, 0xb5, 0x24, 0x98, 0x4a, 0xa1, 0x9d, 0xe7, 0x77, 0xda, 0x61, 0x22, 0xab, 0xf0,
];

/// UUID of the driver role, in text order: bd7fd089-6795-472b-b47f-db0c5d9a719d.
pub const DRIVER_ROLE_UUID: [u8; 16] = [
    0xbd, 0x7f, 0xd0, 0x89, 0x67, 0x95, 0x47, 0x2b, 0xb4, 0x7f, 0xdb, 0x0c, 0x5d, 0x9a, 0x71, 0x9d,
];

/// What the driver side can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionRequest {
    /// ALP2.
    Alp2 {
        /// Version of the bus, 0 to ask.
        bus_version: u32,
        /// Revision of the transport, 0 to ask.
        transport_revision: u32,
        /// FF-A version.
        ffa_version: u32,
    },
    /// The DEN0153 1.0 era.
    Den0153V1 {
        /// Version of the bus.
        bus_version: u32,
        /// Revision of the transport.
        transport_revision: u32,
    },
    /// The 2025 request for comments.
    Rfc2025 {
        /// Version of the bus.
        bus_version: u32,
        /// Revision of the transport.
        transport_revision: u32,
        /// Transport features.
        feature_bits: u32,
        /// Bus features.
        bus_features: BusFeatures,
        /// Areas that the driver would like to have.
        max_areas: u16,
    },
}

impl VersionRequest {
    /// Returns the dialect that the caller speaks.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Alp2 { .. } => Dialect::Alp2,
            Self::Den0153V1 { .. } => Dialect::Den0153V1,
            Self::Rfc2025 { .. } => Dialect::Rfc2025,
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let dialect = Dialect::of_version_request(r.len())?;
        let (bus_version, transport_revision) = (r.u32()?, r.u32()?);
        Ok(match dialect {
            Dialect::Alp2 => Self::Alp2 { bus_version, transport_revision, ffa_version: r.u32()? },
            Dialect::Den0153V1 => Self::Den0153V1 { bus_version, transport_revision },
            Dialect::Rfc2025 => Self::Rfc2025 {
                bus_version,
                transport_revision,
                feature_bits: r.u32()?,
                bus_features: BusFeatures::from_raw(r.u32()?),
                max_areas: r.u16()?,
            },
        })
    }

    pub(crate) fn encode<'w>(&self, w: &'w mut Writer) -> &'w mut Writer {
        match *self {
            Self::Alp2 { bus_version, transport_revision, ffa_version } => {
                w.u32(bus_version).u32(transport_revision).u32(ffa_version)
            }
            Self::Den0153V1 { bus_version, transport_revision } => {
                w.u32(bus_version).u32(transport_revision)
            }
            Self::Rfc2025 {
                bus_version,
                transport_revision,
                feature_bits,
                bus_features,
                max_areas,
            } => {
                w.u32(bus_version).u32(transport_revision).u32(feature_bits);
                w.u32(bus_features.get()).u16(max_areas)
            }
        }
    }
}

/// What the bus speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionResponse {
    /// Version of the bus.
    pub bus_version: u32,
    /// Revision of the transport.
    pub transport_revision: u32,
    /// FF-A version; ALP2 only.
    pub ffa_version: Option<u32>,
    /// Transport features.
    pub feature_bits: u32,
    /// Bus features.
    pub bus_features: BusFeatures,
    /// Areas that the driver side may have at once.
    pub max_areas: u16,
}

impl VersionResponse {
    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let tells_ffa_version = match r.len() {
            18 => false,
            22 => true,
            _ => return Err(MsgError::Length),
        };
        let (bus_version, transport_revision) = (r.u32()?, r.u32()?);
        let ffa_version = if tells_ffa_version { Some(r.u32()?) } else { None };
        let (feature_bits, bus_features) = (r.u32()?, BusFeatures::from_raw(r.u32()?));
        let max_areas = r.u16()?;
        Ok(Self {
            bus_version,
            transport_revision,
            ffa_version,
            feature_bits,
            bus_features,
            max_areas,
        })
    }

    pub(crate) fn encode<'w>(&self, w: &'w mut Writer) -> &'w mut Writer {
        w.u32(self.bus_version).u32(self.transport_revision);
        if let Some(ffa_version) = self.ffa_version {
            w.u32(ffa_version);
        }
        w.u32(self.feature_bits).u32(self.bus_features.get()).u16(self.max_areas)
    }
}

/// Bytes of a VERSION of the RFC, asked or answered, whose header has no token.
pub const TOKENLESS_VERSION_BYTES: usize = 24;

/// Reports whether these bytes are a VERSION request of the RFC with the six-byte header (type, id,
/// le16 dev_num, le16 msg_size). With an eight-byte header they would be a message of size 1.
#[must_use]
pub fn is_tokenless_version(bytes: &[u8]) -> bool {
    let mut r = Reader::new(bytes);
    let header = r.array::<6>();
    let [s0, s1] = u16::try_from(TOKENLESS_VERSION_BYTES).unwrap_or(0).to_le_bytes();
    header == Ok([2, 0x80, 0, 0, s0, s1]) && r.u32() == Ok(RFC_BUS_VERSION)
}

/// Returns the answer to such a request: `answer` in the layout of the RFC, without token.
#[must_use]
pub fn tokenless_version_answer(answer: &VersionResponse) -> [u8; TOKENLESS_VERSION_BYTES] {
    let answer = VersionResponse { ffa_version: None, ..*answer };
    let mut w = Writer::new();
    let [s0, s1] = u16::try_from(TOKENLESS_VERSION_BYTES).unwrap_or(0).to_le_bytes();
    w.bytes(&[3, 0x80, 0, 0, s0, s1]);
    answer.encode(&mut w);
    w.first_chunk()
}
