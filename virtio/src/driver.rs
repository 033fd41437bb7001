//! Owns what a VM needs to drive a device of ours or of anybody's over a queue. Never speaks to a
//! transport: who sets the queue up and who rings the doorbell is the caller.

pub mod block;

pub use block::Block;
