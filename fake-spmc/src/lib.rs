//! An SPMC in this process, for host tests: the EL3 SPMC of TF-A, Hafnium and OP-TEE as named
//! personalities, and a hostile one. Owns the fake machine and nothing of the real software; never
//! part of a product.
//!
//! See `README.md` of this package for what each personality does and how to write tests with it.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod flash;
pub mod guest;
pub mod layout;
pub mod machine;
pub mod pages;
pub mod personality;
pub mod platform;
pub mod probe;
pub mod ram;
mod spans;
pub mod spmc;
pub mod wires;

pub use causeway_service::safe::FlashState;
pub use guest::{Guest, Refusal};
pub use machine::Machine;
pub use pages::{PageModel, Violation};
pub use personality::{Lie, Lies, Personality};
pub use platform::{Floor, Mediation, Platform, RandomSource, Setup};
pub use ram::{Ram, range};
pub use spmc::{Left, Routed, SPMC_ID, Spmc};
