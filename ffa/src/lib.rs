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

pub mod answer;
pub mod boot_info;
mod bytes;
pub mod call;
pub mod descriptor;
pub mod error;
pub mod func;
pub mod id;
pub mod page;
pub mod partition_info;
pub mod regs;
pub mod relinquish;
pub mod uuid;
pub mod version;

pub use answer::{Answer, Notifications, Success};
pub use call::{Call, DecodeError, Lengths, Transfer, Width};
pub use error::FfaError;
pub use func::FuncId;
pub use id::{EndpointId, MemHandle};
pub use page::{PAGE_SIZE, PageAddr, PageRange};
pub use regs::Regs;
pub use uuid::Uuid;
pub use version::Version;
