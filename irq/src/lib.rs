//! Routing of secure interrupts to VMs: decides which VM hears of an interrupt, when a source is
//! masked, and who may do what with it. Never touches a device or the interrupt controller.
//!
//! ```text
//!   device --> GIC --> image: acknowledge --> Router::taken --> effects: quiet, mask, ring
//!                                                 |
//!   VM: fetch <- event (source, how often) -------+
//!   VM: complete --> Router::complete --> effects: re-arm
//! ```
//! A VM never owns the device. It hears that the interrupt came, and says when it has dealt with it.
//! A level source stays quiet until then; an edge source goes on, and what comes meanwhile is
//! counted (coalesced), not queued: the state of a source has a fixed size.
//!
//! A source is closed until its VM opens it, and again in each new life of the VM.
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

mod rate;
mod router;
mod source;
mod ticker;

pub use causeway_abi::{SourceId, Trigger};
pub use rate::Limit;
pub use router::{Effect, Effects, Fetched, MAX_SOURCES, Raised, Router, Standing, Taken};
pub use source::{Counters, IrqError, SourceTerms};
pub use ticker::Ticker;
