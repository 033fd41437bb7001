//! Puts virtio rings into brokered memory: the normal-world side of Causeway, for VMs and VMMs.
//! Never decides for the partition, and never trusts a peer.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod backend;
pub mod borrow;
pub mod bus;
pub mod conduit;
pub mod connection;
pub mod doorbell;
pub mod error;
pub mod grant;
#[cfg(feature = "guest")]
pub mod guest;
pub mod memory;
#[cfg(test)]
mod testing;
pub mod wait;

pub use connection::{Connection, Mailbox};
pub use error::{Error, Party, Rule};
pub use wait::{Bound, Wait};
