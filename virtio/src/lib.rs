//! Virtio for memory that somebody else may change: queues, the virtio-msg messages, the message
//! FIFO, the bus that a partition runs, and device models. Decides and copies; never acts, never
//! allocates, never holds a reference into shared memory.
//!
//! Usable alone: all that a user supplies is an [`AreaMap`] (how to copy bytes at a bus address).
//!
//! | module | what it owns |
//! | --- | --- |
//! | [`addr`] | bus addresses, `area_id << 48 | offset` |
//! | [`mem`] | the traits through which memory is copied |
//! | [`msg`] | the virtio-msg messages and their bytes |
//! | [`fifo`] | the message FIFO in shared memory |
//! | [`queue`] | virtqueues, device side and driver side |
//! | [`device`] | device models, and the server that turns messages into calls of a model |
//! | [`driver`] | drivers of devices over a queue: block |
//! | [`bus`] | the routing core of a partition that serves several VMs |
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

pub mod addr;
pub mod bus;
pub mod device;
pub mod driver;
pub mod fifo;
pub mod mem;
pub mod msg;
pub mod queue;
pub mod types;

pub use addr::{AreaId, BusAddr};
pub use mem::{Access, AreaMap, MemError};
pub use types::{DeviceId, Features, Status};
