//! FF-A wire types: bytes and registers in, typed and checked values out. Never acts, never panics on input.
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

pub mod error;
pub mod id;
pub mod page;

pub use error::FfaError;
pub use id::{EndpointId, MemHandle};
pub use page::{PAGE_SIZE, PageAddr, PageRange};
