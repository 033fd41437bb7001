//! FF-A wire types: bytes and registers in, typed and checked values out. Never acts, never panics on input.
//!
//! A hypervisor that looks at what its VM asks for:
//!
//! ```
//! use causeway_ffa::{Answer, Call, FfaError, Regs, Version};
//!
//! fn serve(registers: &Regs) -> Regs {
//!     let answer = match Call::decode(registers, Version::V1_1) {
//!         Ok(Call::IdGet) => Answer::endpoint(causeway_ffa::EndpointId::from_raw(1)),
//!         Ok(_) => Answer::Error(FfaError::NotSupported),
//!         Err(error) => Answer::Error(error.status()),
//!     };
//!     answer.encode()
//! }
//! let asked = serve(&Call::IdGet.encode());
//! assert!(matches!(Answer::decode(&asked, Version::V1_1), Ok(Answer::Success(_))));
//! assert!(matches!(Answer::decode(&serve(&Regs::ZERO), Version::V1_1), Ok(Answer::Error(FfaError::NotSupported))));
//! ```
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
