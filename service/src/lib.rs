//! The partition without a machine: what a message asks for, the one state, and the carrying out of
//! what the cores decide, over a [`Platform`]. Never touches a register, a page table or a device.
//!
//! The image (`causeway-sp`) and the in-process SPMC of the host tests run this same code; they
//! differ in their platform only.
//!
//! ```text
//! what the SPMC delivers -> dispatch::task -> Partition (under the platform's one lock)
//!     -> memshare, virtio decide -> effects -> Platform -> dispatch::answer -> back to the SPMC
//! ```
//!
//! A platform is one type with a handful of small traits: see [`platform`]. Whoever has one core, or
//! holds a lock of its own, drives all of it by [`Partition::handle`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod areas;
pub mod boot;
mod bus;
mod copy;
pub mod devices;
pub mod dispatch;
pub mod entropy;
mod facts;
mod interrupts;
mod ledger;
pub mod lines;
mod mapped;
mod partition;
pub mod platform;
mod rate;
mod rpmb;
pub mod safe;
mod sizes;
pub mod spmc;
#[cfg(test)]
mod testing;
mod transactions;
mod vault;
pub mod virtual_gic;

pub use partition::Partition;
pub use platform::Platform;
pub use sizes::{LEDGER_ROOM, MAX_AREA_PAGES, MAX_AREAS, MAX_PIECES, PROFILE, ram, ram_of_one};
