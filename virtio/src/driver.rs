//! Owns what a VM needs to drive a device of ours or of anybody's over a queue. Never speaks to a
//! transport: who sets the queue up and who rings the doorbell is the caller.
//!
//! ```
//! use causeway_virtio::driver::block::{Done, Geometry, Outcome, Ticket};
//! use causeway_virtio::Features;
//!
//! // What the device says of itself: the first field counts its sectors.
//! let mut space = [0; Geometry::CONFIG_BYTES];
//! space[0] = 8;
//! let geometry = Geometry::from_config(&space, Features::VERSION_1);
//! assert_eq!(geometry.sectors(), 8);
//!
//! /// The request that a finished one was, if it did what it should.
//! fn good(done: &Done) -> Option<Ticket> {
//!     matches!(done.outcome, Outcome::Ok).then_some(done.ticket)
//! }
//! ```

pub mod block;

pub use block::Block;
