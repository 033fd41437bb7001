//! Security services behind the partition's calls: a persistent store on NOR flash, replay-protected
//! memory (RPMB), monotonic counters, sealed keys, entropy, watchdogs. Decides and computes; never
//! touches a device: flash, clock and entropy source are traits that the image implements.
//!
//! ```text
//!   calls, virtio-rpmb ---> rpmb   counters   keys      entropy        watchdog
//!                             \        |       /  \        |               |
//!                              +--- store ----+    +---- DRBG          (pure; the image
//!                                     |                    |            carries out its actions)
//!                               NorFlash (trait)    RawEntropy (trait)
//! ```
//! What is durable, and when: a call that changed the store returns only after the flash has
//! acknowledged the last byte. A cut at any other moment leaves the value of before or after.
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

#[cfg(any(test, feature = "model"))]
extern crate std;

pub mod entropy;
pub mod flash;

pub mod store;

pub mod counter;
pub mod keys;
pub mod provision;
pub mod rpmb;
pub mod watchdog;
pub use store::{Store, StoreError};
