//! Owns the service interface of the Causeway partition: call numbers, frames, statuses, limits.
//! Never decides anything: the broker (`causeway-memshare`) answers these calls.
//!
//! A call is one FF-A direct message whose five payload words x3-x7 are a [`Frame`].
//! Word 0 holds the call number (bits 7:0), the part number (15:8, zero for a whole frame) and the
//! interface's major version (31:16); its upper half is zero, so that frames can later travel in
//! 32-bit words. Words 1-4 are the arguments. The answer's word 0 holds the call number and the
//! [`Status`] (31:16); words 1-4 are results, all zero unless the status is [`Status::Ok`].
//!
//! A first byte of 0-3 is not a call but a virtio-msg message (its `type` byte, see
//! `causeway-virtio`): both interfaces share the five words.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod call;
pub mod features;
pub mod frame;
pub mod grant;
pub mod interrupt;
pub mod join;
pub mod layout;
pub mod ledger;
pub mod parts;
pub mod range;
pub mod status;
pub mod vault;
mod words;

pub use call::{Call, CallId};
pub use frame::{Frame, Reply};
pub use grant::{GrantKind, GrantSummary, GrantTerms, LifeState, Permission};
pub use interrupt::{InfoPage, InterruptCall, SourceId, SourceState, Trigger};
pub use join::{CopyDirection, JoinName, JoinState};
pub use ledger::{DigestHalf, LedgerScope};
pub use range::{PackedRange, RangeFold};
pub use status::Status;
pub use vault::VaultCall;

/// Major version of this interface. A caller with another major version is refused.
pub const VERSION_MAJOR: u16 = 0;
/// Minor version of this interface. Grows with additions that old callers can ignore.
pub const VERSION_MINOR: u16 = 3;

/// UUID of the partition's own calls, in text order: b4b5671e-4a90-4fe1-b81f-fb13dae1dacb.
/// It is also the `uuid` of the partition manifest, where each cell is little-endian.
pub const SERVICE_UUID: [u8; 16] = [
    0xb4, 0xb5, 0x67, 0x1e, 0x4a, 0x90, 0x4f, 0xe1, 0xb8, 0x1f, 0xfb, 0x13, 0xda, 0xe1, 0xda, 0xcb,
];

/// The whole interface as a C header, generated from this crate's definitions by `cargo xtask header`
/// and checked against them: a build script writes it where its C compiler looks.
pub const C_HEADER: &str = include_str!("../include/causeway.h");

/// The value that stands for "no handle" in results (the architected invalid handle).
pub const NO_HANDLE: u64 = u64::MAX;

/// The peer in the terms of an offer that stands for "the partition only".
pub const NO_PEER: u16 = 0xffff;
