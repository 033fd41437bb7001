//! Owns everything that depends on the draft's version: one place to change when it moves.

use super::MsgError;

/// The forms of the FF-A bus in the field that we tell apart. Only ALP2 is spoken.
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
}

/// Largest message of ALP2: x4-x16 of a DIRECT_REQ2.
pub const MAX_MESSAGE_BYTES: usize = 104;

/// `bus_version` of ALP2.
pub const BUS_VERSION: u32 = 0x0001_0000;

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
